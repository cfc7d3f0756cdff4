# 192.0.2.7 - - [21/Nov/2026:15:04:05 +0100] "GET /path HTTP/1.1" 200 512
# becomes HOST TAB SECONDS TAB PATH; the seconds are since 1970 in UTC.
function days(y, m, d) {
	if (m <= 2) { y--; m += 12 }
	return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + \
	    int((153 * (m - 3) + 2) / 5) + d - 719469
}
BEGIN { OFS = "\t" }
$4 ~ /^\[[0-9]+\/[A-Z][a-z][a-z]\/[0-9]+:/ {
	split(substr($4, 2), t, /[\/:]/)
	month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", t[2]) + 2) / 3
	zone = substr($5, 2, 2) * 3600 + substr($5, 4, 2) * 60
	if (substr($5, 1, 1) == "-")
		zone = -zone
	print $1, days(t[3], month, t[1]) * 86400 + t[4] * 3600 + \
	    t[5] * 60 + t[6] - zone, $7
}
