# The first point, then each time the one that is farthest from those taken.
BEGIN { FS = OFS = "\t" }
{ x[NR] = $1; y[NR] = $2; far[NR] = -1 }
END {
	for (at = 1; k > 0 && NR > 0; k--) {
		print x[at], y[at], 0
		best = -1
		for (i = 1; i <= NR; i++) {
			d = (x[i] - x[at]) ^ 2 + (y[i] - y[at]) ^ 2
			if (far[i] < 0 || d < far[i])
				far[i] = d
			if (far[i] > best) {
				best = far[i]
				next_at = i
			}
		}
		at = next_at
	}
}
