#!/bin/sh
# Word count: adds up the numbers of neighbouring equal keys.  A shell loop
# is slow; it is here to show that a reducer need not be more than this.
tab=$(printf '\t')

key=
sum=
while IFS=$tab read -r next number; do
	if [ -n "$sum" ] && [ "$next" != "$key" ]; then
		printf '%s\t%s\n' "$key" "$sum"
		sum=0
	fi
	key=$next
	sum=$((sum + number))
done
[ -z "$sum" ] || printf '%s\t%s\n' "$key" "$sum"
