# PAGE TAB RANK TAB LINK ...: the page with its links, and what each gets.
BEGIN { FS = OFS = "\t" }
{
	links = ""
	for (i = 3; i <= NF; i++) {
		links = links OFS $i
		print $i, sprintf("%.17g", $2 / (NF - 2))
	}
	print $1, "links" links
}
