# 192.0.2.7 - - [21/Nov/2026:15:04:05 +0100] "GET /path HTTP/1.1" 200 512
# becomes HOUR TAB FAILED TAB BYTES TAB HOST; the hour is 2026-11-21T15+0100.
BEGIN { OFS = "\t" }
$4 ~ /^\[[0-9]+\/[A-Z][a-z][a-z]\/[0-9]+:/ {
	split(substr($4, 2), t, /[\/:]/)
	month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", t[2]) + 2) / 3
	line = $0
	sub(/^.*" /, "", line)
	split(line, status, " ")
	print sprintf("%s-%02d-%sT%s", t[3], month, t[1], t[4]) \
	    substr($5, 1, 5), (status[1] >= 500) + 0, status[2] + 0, $1
}
