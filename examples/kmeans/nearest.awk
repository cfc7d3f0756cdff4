# The centres are the first file; a point becomes CENTRE TAB X TAB Y TAB 1.
BEGIN { FS = OFS = "\t" }
FILENAME != "-" { x[++n] = $1; y[n] = $2; next }
{
	best = 1
	for (i = 1; i <= n; i++) {
		d = (x[i] - $1) ^ 2 + (y[i] - $2) ^ 2
		if (i == 1 || d < least) {
			least = d
			best = i
		}
	}
	print best, $1, $2, 1
}
