#!/usr/bin/env -S LC_ALL=C awk -f
# Inverted index: prints every name in a source file as NAME TAB FILE:LINE,
# once a line.  A name is a run of ASCII letters, digits and underscores that
# does not begin with a digit.
#
# Standard input is a whole file (--whole-file), so NR is its line.

BEGIN { file = ENVIRON["MR_INPUT_FILE"] }

{
	n = split($0, word, /[^A-Za-z0-9_]+/)
	split("", seen)
	for (i = 1; i <= n; i++)
		if (word[i] ~ /^[A-Za-z_]/ && !(word[i] in seen)) {
			seen[word[i]]
			print word[i] "\t" file ":" NR
		}
}
