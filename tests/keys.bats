#!/usr/bin/env bats
# Keys and orders, held to sort(1).  MR_CONTRACT_SEED=N repeats the random
# cases.
load helper
load failure

keydefs() {
	command -v python3 >/dev/null || skip "no python3"
	"$BATS_TEST_DIRNAME/contract/keydefs.py" "$@"
}

@test "random keys sort as sort(1) sorts them, byte for byte" {
	keydefs --cases 250
}

@test "the random cases see an order that is not stable" {
	cat >wrong <<-'EOF'
		#!/bin/sh
		mr "$@" | LC_ALL=C sort
	EOF
	chmod +x wrong
	run keydefs --mr ./wrong --cases 60 --keep .
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'the output differs'* ]]
}

@test "NaNs come between what is no number and numbers, and are equal" {
	printf '%s\n' 1 nan -inf x NaN -nan 'nan(7)' 0 >in
	expect 0 mr sort -g in
	printf '%s\n' x nan NaN -nan 'nan(7)' -inf 0 1 | cmp - ../out
}

@test "-R is shuf's work" {
	expect 2 mr sort -R in
	says 'shuf\(1\)'
	expect 2 mr sort --sort=random in
	says 'shuf\(1\)'
	expect 2 mr sort -k 1R in
	says 'shuf\(1\)'
}

@test "other ways to say what sort(1) lets one say" {
	printf '%s\n' 10 9 1e1 >in
	mr sort -n in >want
	printf '%s\n' 1e1 9 10 | cmp - want
	expect 0 mr sort --sort=numeric -s in
	prints want
	expect 0 mr sort --numeric-sort --stable in
	prints want
	expect 2 mr sort --sort=size in
	says '--sort=size'
	expect 1 mr sort --check=quiet -n in
	[ ! -s ../err ]
	expect 1 mr sort --check=diagnose-first -n in
	says '^mr sort: in:2: disorder: 9$'
	expect 0 mr sort --check=silent -n want
	expect 2 mr sort --check=loudly in
	expect 2 mr sort -cC in
}

@test "-c names the first record that is out of order, as sort does" {
	printf 'a 1\nb 3\nc 2\nd 1\n' >in
	expect 1 mr sort -c -t ' ' -k 2,2n in
	LC_ALL=C sort -c -t ' ' -k 2,2n -s in 2>want || :
	sed 's/^sort:/mr sort:/' want | cmp - ../err
	expect 1 mr sort -c -t ' ' -k 2,2n <in
	says '^mr sort: -:3: disorder: c 2$'
	expect 0 mr sort -c -t ' ' -k 1,1 in
}

@test "a key that is none is refused, with what it should be" {
	for key in 0 1.0 1,0 '' x '1,' 1. 1,2x 1n2 -1; do
		expect 2 mr sort -k "$key" </dev/null
		says '^mr sort: -k .*F\[\.C\]\[OPTS\]'
	done
	expect 2 mr sort -n -g </dev/null
	says 'orders -gn are incompatible'
	expect 2 mr sort -k 1,1Mh </dev/null
	says 'orders -hM are incompatible'
}

@test "--files0-from names the files, for sorting, checking and merging" {
	printf '1\n3\n' >'a b'
	printf '2\n4\n' >$'c\nd'
	printf 'a b\0c\nd\0' >list
	seq 4 >want
	for option in -n -m; do
		expect 0 mr sort "$option" --files0-from list
		prints want
		expect 0 mr sort "$option" --files0-from - <list
		prints want
	done
	expect 2 mr sort -c --files0-from list
	says 'only one file'
	printf 'a b\0' >list
	expect 0 mr sort -c --files0-from list
	expect 2 mr sort --files0-from list "a b"
}

@test "-v warns of a field that is empty in all records" {
	printf 'a b\nc d\n' >in
	for option in -z -m -c; do
		mr sort "$option" -v -k 2,2n in >/dev/null 2>err || :
		grep -qx "mr sort: warning: field 2 is empty in all records; -t ' '?" err
	done
	mr sort -v -t ' ' -k 2,2n in >/dev/null 2>err
	run ! grep warning err
	mr sort -v -k 2,2n </dev/null 2>err
	run ! grep warning err
	mr sort -k 2,2n in 2>err >/dev/null
	[ ! -s err ]
}

@test "keys longer than memory's blocks, spilled and merged" {
	for i in 3 1 2 1; do
		head -c 300000 /dev/zero | tr '\0' "$i"
		printf '\t%s\n' "$i"
	done >in
	sort -s -t "$(printf '\t')" -k 1,1nr -k 2,2 in >want
	for options in '-S 4M' '-S 4M --batch-size 2 -j 2' '-j 1'; do
		# shellcheck disable=SC2086
		mr sort $options -k 1,1nr -k 2,2 in in in | cmp - \
			<(sort -s -t "$(printf '\t')" -k 1,1nr -k 2,2 in in in)
	done
}

# --------------------------------------------------------- groups

tab=$'\t'

@test "run: keys in the order of -k, then by their bytes, then their records" {
	printf '%s\n' "10${tab}b" "9${tab}x" "010${tab}a" "10${tab}a" \
		"9${tab}a" "1e1${tab}c" >in
	for options in '' '-R 4' '-j 1 -S 4M' '--block-size 8'; do
		# shellcheck disable=SC2086
		expect 0 mr run $options -r cat -k 1,1n -k 2,2r in
		LC_ALL=C sort -s -t "$tab" -k 1,1n -k 1,1 -k 2,2r in |
			cmp - ../out
	done
	# 010, 10 and 1e1 are no group, though they are equal by number.
	expect 0 mr run -r "awk '{ print NR, \$0 }'" --per-key -k 1,1n in
	grep -c '^1 ' ../out >count
	[ "$(cat count)" -eq 4 ]
}

@test "a first -k that is not of the key is refused, with what to write" {
	: >in
	while IFS='|' read -r args cure; do
		# shellcheck disable=SC2086
		expect 2 mr run -r cat $args in
		says "of no more \(--key-fields [0-9]+\): $cure\$"
		# shellcheck disable=SC2086
		expect 2 mr reduce $args cat <in
		says ": $cure\$"
		[[ $args == *fields* ]] || args="--key-fields 1 $args"
		# shellcheck disable=SC2086
		expect 2 mr sort $args in
		says ": $cure\$"
		# The cure is one.
		[[ $args != *fields* ]] || n=${args#--key-fields }
		# shellcheck disable=SC2086
		expect 0 mr run -r cat --key-fields "${n%% *}" $cure in
	done <<-'EOF'
		-k 2,2n|-k 1,1 -k 2,2n
		-k 1n|-k 1,1n
		-k 1|-k 1,1
		-k 1,2|-k 1,1
		-k 1,1.3r|-k 1,1r
		--key-fields 2 -k 1,1|-k 1,1 -k 2,2
		--key-fields 2 -k 1,3nr -k 3|-k 1,2nr -k 3
		--key-fields 3 -k 1,1 -k 3,3n|-k 1,1 -k 3,3n -k 2,3
	EOF
}

@test "-k without anything to sort, or any order to look at, is refused" {
	expect 2 mr run -m cat -k 1,1 in
	says '^mr: -k has no effect without -r CMD'
	expect 2 mr reduce --grouped -k 1,1 cat </dev/null
	says '^mr reduce: -k has no effect without order'
}

@test "no group is cut, however many records and orders within it" {
	# Three keys, 60,000 records, in parts of a few kilobytes.
	awk 'BEGIN { for (i = 0; i < 60000; i++)
		print "key" i % 3 "\t" i * 7919 % 60000 }' >in
	LC_ALL=C sort -s -t "$tab" -k 1,1r -k 2,2n in >sorted
	cut -f 1 sorted | uniq -c >want
	for options in '-R 40' '-R 40 -S 4M --batch-size 2' '-R 3'; do
		# shellcheck disable=SC2086
		expect 0 mr run $options -k 1,1r -k 2,2n \
			-r 'cut -f 1 | uniq -c' in
		prints want
		# shellcheck disable=SC2086
		expect 0 mr run $options -k 1,1r -k 2,2n -r cat in
		prints sorted
	done
	for options in '--block-size 10K' '--block-size 300K -j 3'; do
		# shellcheck disable=SC2086
		expect 0 mr reduce $options -k 1,1r -k 2,2n \
			-c 'cut -f 1 | uniq -c' < <(cat sorted)
		prints want
		# shellcheck disable=SC2086
		expect 0 mr reduce $options -k 1,1r -k 2,2n \
			-c 'cut -f 1 | uniq -c' -i sorted
		prints want
	done
}

@test "reduce -k finds what is out of order, also where its input is cut" {
	seq 30000 -1 -30000 >in
	for input in '-i in' -; do
		[ "$input" = - ] && input=
		for block in 1K 4K 1M; do
			# shellcheck disable=SC2086
			mr reduce $input -k 1,1nr --block-size "$block" cat \
				< <(cat in) | cmp - in
			# shellcheck disable=SC2086
			expect 1 mr reduce $input -k 1,1n \
				--block-size "$block" cat < <(cat in)
			says 'not in key order: record 2 '
		done
	done
	# An empty record is not less than all others: here it is 0.
	{ echo; seq -3 3; } >in
	expect 1 mr reduce -k 1,1n --block-size 1 -i in cat
	says 'record 2 '
	expect 1 mr reduce -k 1,1n --block-size 1 cat < <(cat in)
	says 'record 2 '
	printf 'a\t2\na\t1\n' >in
	expect 0 mr reduce -k 1,1 cat < <(cat in)
	expect 1 mr reduce -k 1,1 -k 2,2n cat <in
}

@test "reduce finds what is out of order behind any number of equal records" {
	for record in '' b 'b\t1' 'b\t123456' 'b\t1234567' 'bbbbbbbbbbbbbbbbb\t1'; do
		for n in 1 2 3 9 100 40000; do
			yes "$(printf '%b' "$record")" | head -n "$n" >in
			printf '%b0' "$record" >>in
			mr reduce uniq <in >out
			uniq in | cmp - out
			[ -n "$record" ] || continue
			echo a >less
			expect 1 mr reduce cat < <(sed "\$d" in; cat less)
			says "not in key order: record $((n + 1)) "
		done
	done
}

@test "what was printed before that ends with a record" {
	seq -w 300000 >in
	echo 1 >>in
	: >../err
	{ mr reduce --block-size 512K cat <in 2>../err || echo $? >status; } | {
		until grep 'not in key order' ../err; do :; done >/dev/null
		cat		# a pipe has been full of it
	} >out
	[ "$(cat status)" -eq 1 ]
	[ -s out ]
	[ "$(tail -c 1 out)" = '' ]
	head -c "$(wc -c <out)" in | cmp - out
}

@test "reduce tells any two keys apart, however long and alike they are" {
	# In order.  NUL and 0xff are bytes like others.
	for key in '' '\0000' '\0000\0000' '\0000a' 1 '1\0000' 1234567 \
		'1234567\0000' 12345678 '12345678\0000' 12345678a 1a \
		'\0376' '\0377' '\0377\0377'; do
		printf '%b\tv\n%b\n' "$key" "$key"
	done >in
	mr reduce cat <in | cmp - in
	# Each pair of neighbours the other way round.
	while IFS=' ' read -r less more; do
		printf "%b\n%b\n" "$more" "$less" >pair
		expect 1 mr reduce cat <pair
		says 'not in key order: record 2 '
	done <<-'END'
		\0 \0000\0000
		1 1\0000
		1\0000 1a
		1234567 1234567\0000
		1234567\0000 12345678
		12345678 12345678\0000
		12345678\0000 12345678a
		abcdefgha abcdefghb
		\0377 \0377\0377
	END
}

@test "-v names the key, not what it is sorted by" {
	{ seq 1000 | sed "s/^/hot$tab/"; seq 100; } >in
	mr run -v -k 1,1r -k 2,2n -r cat in 2>err >/dev/null
	grep -E 'hot \(9[0-9] %\)' err
}
