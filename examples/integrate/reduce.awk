#!/usr/bin/env -S LC_ALL=C awk -f
# Adds up the values of each key.

BEGIN { FS = "\t" }
NR > 1 && $1 "" != key { printf "%s\t%.17g\n", key, sum; sum = 0 }
{ key = $1 ""; sum += $2 }
END { if (NR > 0) printf "%s\t%.17g\n", key, sum }
