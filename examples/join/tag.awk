# KEY TAB REST becomes KEY TAB SIDE TAB REST.
BEGIN { FS = OFS = "\t" }
{ key = $1; sub(/^[^\t]*\t?/, ""); print key, side, $0 }
