# ADDRESS TAB NAME, then ADDRESS TAB REQUESTS TAB BYTES, becomes
# NAME TAB REQUESTS TAB BYTES; who has no name keeps the address.
BEGIN { FS = OFS = "\t" }
NF == 2 { address = $1; name = $2 }
NF == 3 { print $1 == address ? name : $1, $2, $3 }
