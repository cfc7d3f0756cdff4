# Lines START TAB END: the records from number START up to END.  The key comes
# from a generator that is set by the number, so tasks need not know of others.
BEGIN { filling = sprintf("%76s", ""); gsub(/ /, "=", filling) }
{
	for (i = $1; i < $2; i++) {
		x = (i * 7919 + 12345) % 2147483647
		key = ""
		for (j = 0; j < 10; j++) {
			x = x * 48271 % 2147483647
			key = key sprintf("%c", 65 + int(x / 16) % 26)
		}
		printf "%s\t%012d%s\n", key, i, filling
	}
}
