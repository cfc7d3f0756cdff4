#!/usr/bin/env -S LC_ALL=C awk -f
# Inverted index: joins the values of neighbouring equal keys, with TABs.
#
# "" makes the comparison one of strings: 1 and 01 are two names.

BEGIN { FS = "\t" }

NR == 1 || $1 "" != key "" {
	if (NR > 1)
		print ""
	key = $1
	printf "%s", key
}

{ printf "\t%s", $2 }

END { if (NR > 0) print "" }
