# hash.awk - sums NUMBER per KEY in an awk array: KEY TAB NUMBER -> KEY TAB SUM
# in no order.  What people write when sorting first is too slow.

BEGIN { FS = "\t" }

{ sum[$1] += $2 }

END { for (key in sum) printf "%s\t%.0f\n", key, sum[key] }
