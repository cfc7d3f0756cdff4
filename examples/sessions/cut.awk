# HOST TAB SECONDS TAB PATH, by host and time.
function out() { if (n) print host, from, last - from, n, path }
BEGIN { FS = OFS = "\t" }
$1 "" != host || $2 - last > gap {
	out()
	host = $1 ""; from = $2; path = $3; n = 0
}
{ last = $2; n++ }
END { out() }
