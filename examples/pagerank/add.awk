# What a page gets is added up; its links are put behind its new rank.
function out() {
	printf "%s\t%.17g%s\n", page, (0.15 + 0.85 * ENVIRON["LOST"]) / \
	    ENVIRON["N"] + 0.85 * sum, links
	sum = 0
	links = ""
}
BEGIN { FS = "\t" }
NR > 1 && $1 "" != page { out() }
{ page = $1 "" }
$2 == "links" { links = substr($0, length($1 FS $2) + 1); next }
{ sum += $2 }
END { if (NR) out() }
