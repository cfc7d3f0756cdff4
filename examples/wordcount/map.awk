#!/usr/bin/env -S LC_ALL=C awk -f
# Word count: prints every word as WORD TAB 1.  A word is a run of ASCII
# letters and digits, in lower case.  (In the C locale awk sees bytes, so that
# no byte is an invalid character.)

{
	n = split(tolower($0), word, /[^a-z0-9]+/)
	for (i = 1; i <= n; i++)
		if (word[i] != "")	# before the first, after the last
			print word[i] "\t1"
}
