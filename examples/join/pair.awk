# All that is kept of a key is its left side.
BEGIN { FS = OFS = "\t" }
NR == 1 || $1 "" != key { key = $1 ""; n = 0 }
{ rest = $0; sub(/^[^\t]*\t[^\t]*\t/, "", rest) }
$2 == "left" { left[++n] = rest; next }
{ for (i = 1; i <= n; i++) print key, left[i], rest }
