# Lines of a page, with links or without, become one with all of them.
BEGIN { FS = OFS = "\t" }
NR > 1 && $1 "" != page { print page links; links = "" }
{
	page = $1 ""
	for (i = 2; i <= NF; i++)
		links = links OFS $i
}
END { if (NR) print page links }
