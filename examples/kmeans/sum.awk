# Sums and counts of each centre's points; with mean, what they come to.
function out() {
	if (mean)
		printf "%.6f\t%.6f\t%d\n", x / n, y / n, n
	else
		printf "%s\t%.17g\t%.17g\t%d\n", centre, x, y, n
	x = y = n = 0
}
BEGIN { FS = "\t" }
NR > 1 && $1 "" != centre { out() }
{ centre = $1 ""; x += $2; y += $3; n += $4 }
END { if (NR) out() }
