#!/usr/bin/env -S LC_ALL=C awk -f
# Prints every letter and digit as C TAB 1: counts characters, not words.

{
	line = tolower($0)
	gsub(/[^a-z0-9]/, "", line)
	n = length(line)
	for (i = 1; i <= n; i++)
		print substr(line, i, 1) "\t1"
}
