#!/usr/bin/env -S LC_ALL=C awk -f
# Word count: adds up the numbers of neighbouring equal keys.
#
# "" makes the comparison one of strings: 1 and 01 are two words.

BEGIN { FS = "\t" }

NR > 1 && $1 "" != key "" { end_group() }

{
	key = $1
	sum += $2
}

END { if (NR > 0) end_group() }

function end_group()
{
	printf "%s\t%.0f\n", key, sum	# %d stops at 2^31 in some awks
	sum = 0
}
