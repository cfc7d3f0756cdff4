#!/usr/bin/env bats
# Built-in reducers: mr agg, and --agg of mr run and mr reduce.
load helper
load failure

# agg WORD...: mr agg of ../in says what run --agg and reduce --agg say.
agg() {
	mr agg "$@" <in >one || return
	mr reduce --agg "$*" <in | cmp one - || return
	mr run --agg "$*" in | cmp one - || return
	cat one
}

records() {
	printf 'a\t1\tx\na\t2.50\ty\na\t-3\tx\nb\t7\t\n' >in
}

@test "each operation, in its order of words" {
	records
	[ "$(agg count sum 2 min 2 max 2 range 2 mean 2)" = \
		$'a\t3\t0.5\t-3\t2.5\t5.5\t0.16666666666667
b\t1\t7\t7\t7\t0\t7' ]
	[ "$(agg pvar 2 svar 2 pstdev 2 sstdev 2)" = \
		$'a\t5.3888888888889\t8.0833333333333\t2.3213980461974\t2.8431203515387
b\t0\tnan\t0\tnan' ]
	[ "$(agg first 2 last 3 unique 3 countunique 3 collapse 2)" = \
		$'a\t1\tx\tx,y\t2\t1,2.50,-3
b\t7\t\t\t1\t7' ]
	[ "$(agg top:2 2 top:9 2 count 3 sum 2,2 MAX 2-2)" = \
		$'a\t2.5,1\t2.5,1,-3\t3\t0.5\t0.5\t2.5
b\t7\t7\t1\t7\t7\t7' ]
}

@test "fields are counted in the whole record, also those of the key" {
	printf '1 2 3 4\n1 2 5 6\n7 8 9 10\n' >in
	mr agg -t ' ' --key-fields 2 sum 1 sum 2 sum 3,4 <in >out
	printf '1 2 2 4 8 10\n7 8 7 8 9 10\n' | cmp - out
	mr run -t ' ' --key-fields 2 --agg 'sum 1 sum 2 sum 3,4' in | cmp - out
	# A record that is all key has no other field.
	printf 'a\na\n' >in
	[ "$(agg count collapse 1)" = $'a\t2\ta,a' ]
	for command in 'mr agg count 2' 'mr run --agg "count 2"'; do
		eval "expect 1 $command <in"
		says "key 'a': a record has less than 2 fields: 'a'"
	done
}

@test "records that end with NUL, keys that are empty or odd" {
	printf '\t1\0\t2\0\n\t3\0' >in
	mr run -z --agg 'sum 2' in >out
	printf '\t3\0\n\t3\0' | cmp - out
	mr agg -z sum 2 <in | cmp - out
	printf '\t1\n\t0.5\n' >in
	MR_DEBUG=radix mr run --agg 'sum 2' in >out
	printf '\t1.5\n' | cmp - out
}

@test "no input: no output" {
	: >in
	[ -z "$(agg count sum 2)" ]
}

@test "integers are summed exactly up to 128 bits, then it is an error" {
	# What awk and 64 bits get wrong.
	printf 'a\t9223372036854775807\na\t9223372036854775807\na\t1\n' >in
	[ "$(agg sum 2)" = $'a\t18446744073709551615' ]
	big=170141183460469231731687303715884105727
	printf 'a\t%s\n' $big >in
	[ "$(agg sum 2 min 2)" = $'a\t'$big$'\t'$big ]
	# The way there does not matter.
	printf 'a\t%s\na\t%s\na\t-%s\n' $big $big $big >in
	[ "$(agg sum 2)" = $'a\t'$big ]
	printf 'a\t-%s\na\t-1\n' $big >in
	[ "$(agg sum 2)" = $'a\t-170141183460469231731687303715884105728' ]
	printf 'a\t%s\na\t1\nb\t1\n' $big >in
	for command in 'mr agg sum 2' 'mr run --agg "sum 2"' \
	    'mr run --agg "sum 2" -R 3 -m cat'; do
		eval "expect 1 $command <in"
		says "key 'a': a sum of integers has more than 128 bits"
		prints_nothing
	done
	printf 'b\t%s\nb\t-1.0\n' $big >in
	[ "$(agg sum 2)" = $'b\t1.7014118346047e+38' ]
}

@test "sums of decimals are rounded once, whatever the order" {
	printf 'a\t1e300\na\t1\na\t-1e300\na\t1e-300\n' >in
	[ "$(agg sum 2)" = $'a\t1' ]
	yes "$(printf 'a\t0.1')" | head -n 10 >in
	[ "$(agg sum 2 mean 2 pvar 2)" = $'a\t1\t0.1\t0' ]
}

@test "a value that is no number is exit 1, with key and record" {
	for bad in x '' '1 ' 1.2.3 0x10 1e inf nan -- '1,5' . 1e99999; do
		printf 'a\t1\nkey\t%s\tmore\nz\t1\n' "$bad" >in
		for command in 'mr agg sum 2' 'mr reduce --agg "max 2"' \
		    'mr run --agg "top:2 2"' 'mr run -m cat --agg "svar 2"' \
		    'env MR_DEBUG=switch mr run -m cat --retries 3 --agg "mean 2"'; do
			eval "expect 1 $command <in"
			says "key 'key': field 2 of a record is no number: '"
			grep -qF "'key\\x09$bad\\x09more'" ../err
		done
		prints_nothing
	done
	# What is not asked for may be anything.
	[ "$(agg count collapse 2 | wc -l)" -eq 3 ]
}

@test "a record that is no number counts only if its task succeeds" {
	# The first attempt's last record is torn.
	printf '#!/bin/sh\nif mkdir seen 2>/dev/null; then
		printf "a\\t5\\na\\t"; exit 1; fi\ncat\n' >flaky
	chmod +x flaky
	printf 'a\t1\n' >in
	[ "$(mr run -m ./flaky --retries 1 --agg 'sum 2' in)" = $'a\t1' ]
	[ -d seen ]
}

@test "a failed attempt leaves nothing in the aggregates of others" {
	# Small tasks share a worker's memory; each third fails at first,
	# having printed much.
	cat >flaky <<-'EOF'
		#!/bin/sh
		if [ $((MR_TASK % 3)) -eq 1 ] && mkdir "seen$MR_TASK" 2>/dev/null
		then
			seq 1000 | sed 's/.*/k&	1000000/'
			sed 's/	.*/	1000000/'
			exit 1
		fi
		cat
	EOF
	chmod +x flaky
	seq 2000 | awk '{ print "k" $1 % 97 "\t" $1 }' >in
	for debug in group nogroup switch nojoin,onerun; do
		for last in '' 'last 2'; do
			rm -rf seen*
			MR_DEBUG=$debug mr run -j 2 -m ./flaky --retries 1 \
				--block-size 1K --agg "count sum 2 max 2 $last" \
				in >out
			[ -d seen1 ]
			LC_ALL=C sort -s -k1,1 in |
				mr agg "count sum 2 max 2 $last" | cmp - out
		done
	done
}

@test "short numbers, long ones and decimals of a key, in whatever task" {
	awk 'BEGIN {
		split("9 -4611686018427387903 4611686018427387904 0.5 +7 -1e3 " \
		    "999999999999999999 1234567890123456789 12345678 -00 007",
		    odd, " ")
		for (i = 0; i < 20000; i++) {
			j = i * 13 % 97 + 1
			x = j < 12 && i > 2000 ? odd[j] : i * 31 % 1999 - 900
			print "k" i * i * i % 1009 "\t" x "\t" i
		}
	}' >in
	ops='count sum 2 min 2 max 2 range 2 mean 2 svar 2'
	for words in "$ops" 'sum 2' 'sum 3 count 1 max 2'; do
		LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 in |
			mr agg "$words" >want
		for block in 500 40K; do
			for debug in group switch; do
				MR_DEBUG=$debug mr run -j 2 --block-size \
				    $block --agg "$words" in | cmp want -
			done
		done
	done
	printf 'a\t1\nb\t12345678\na\t-\n' >in
	expect 1 mr run --agg 'sum 2' in
	says "key 'a': field 2 of a record is no number"
}

@test "full memory: tallies of keys that come often, of others later" {
	# Half of the records are of a few keys, of others from time to time;
	# now and then a number is not for a tally.
	awk 'BEGIN {
		for (i = 0; i < 60000; i++) {
			few = i % 2 ? int(i / 15000) * 50 + i * 7 % 41 :
			    i * 7919 % 20011
			print "k" few "\t" (i % 4001 == 9 ? "0.5" : \
			    i * 7919 % 100003)
		}
	}' >in
	words='count sum 2 min 2 max 2'
	cat >flaky <<-'EOF'
		#!/bin/sh
		cat
		[ $((MR_TASK % 3)) -ne 1 ] || ! mkdir "seen$MR_TASK" 2>/dev/null
	EOF
	chmod +x flaky
	LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 in |
		mr agg "$words" >want
	for block in 20K 200K; do
		for debug in group switch noradix; do
			rm -rf seen*
			MR_DEBUG=cramped,$debug mr run -j 2 -m ./flaky \
				--retries 1 --block-size $block \
				--agg "$words" in | cmp want -
			[ -d seen1 ]
		done
	done
	MR_DEBUG=cramped,group mr run -j 1 --block-size 20K -R 2 -O parts \
		--partition "awk '{ print length(\$0) % 2 }'" \
		--agg "$words" in
	LC_ALL=C sort parts/part-* | cmp want -
	# A record that fits only if nothing stays.
	{ head -n 20000 in; printf '%0300000d\t1\n' 0; tail -n 20000 in; } >long
	LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 long | mr agg sum 2 >want
	MR_DEBUG=cramped mr run --agg 'sum 2' long | cmp want -
}

@test "mr agg refuses what is not in order, unless it need not be" {
	printf 'b\t1\na\t2\na\t1\n' >in
	expect 1 mr agg sum 2 <in
	says 'not in key order: record 2'
	mr agg --grouped sum 2 <in >out
	printf 'b\t1\na\t3\n' | cmp - out
}

@test "many keys and long lists in little memory, over several merges" {
	seq 300000 | awk '{ print $1 * 7919 % 200003 "\t" $1 "\t" $1 % 11 }' >in
	LC_ALL=C sort -s -k1,1 in | mr agg count sum 2 last 2 unique 3 >want
	mr run -S 8M -j 2 --batch-size 2 --agg 'count sum 2 last 2 unique 3' \
		in | cmp want -
	cut -f 1-3 want >sums
	mr run -S 8M -j 2 --agg 'count sum 2' in | cmp sums -
	# One key with all.
	sed 's/[^	]*/k/' in >one
	mr agg countunique 2 collapse 2 top:1000 2 <one >want
	mr run -S 8M -j 2 --agg 'countunique 2 collapse 2 top:1000 2' one |
		cmp want -
	[ "$(cut -f 2 want)" = 300000 ]
	cut -f 4 want | tr , '\n' | cmp - <(seq 300000 -1 299001)
}

@test "full memory: lists that grow, by values of any length" {
	awk 'BEGIN {
		x = "0123456789"
		x = x x x x x x
		for (i = 0; i < 20000; i++)
			print i * 7919 % 211 "\t" \
			    substr(x, 1, int(i * i * 37 / 7) % 57)
	}' >in
	for words in 'collapse 2' 'last 2 first 2' 'unique 2' 'count collapse 2 collapse 1'
	do
		LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 in |
			mr agg "$words" >want
		MR_DEBUG=cramped,group mr run --agg "$words" in | cmp want -
	done
}

@test "what a key keeps is limited by -S, and the key is named" {
	# Eight million bytes of a key between others.
	{ echo a 1; seq -f 'k %.0f' 10000000 10900000; echo z 1; } | tr ' ' '\t' >in
	for words in 'collapse 2' 'countunique 2'; do
		expect 1 mr run -S 16M -j 2 --batch-size 2 --agg "$words" in
		says "key 'k': more than 7.0M would have to be kept of its values"
		prints_nothing
	done
	expect 1 mr agg -S 16M -j 1 'collapse 2' <in
	says "key 'k': more than 7.0M would have to be kept"
	[ "$(mr run -S 16M -j 2 --agg 'top:2 2 last 2 max 2' in)" = \
		$'a\t1\t1\t1\nk\t10900000,10899999\t10900000\t10900000
z\t1\t1\t1' ]
}

@test "output in parts, in a file, and in a directory" {
	seq 1000 | awk '{ print $1 % 100 "\t" $1 }' >in
	mr run --agg 'sum 2' in >want
	[ "$(wc -l <want)" -eq 100 ]
	mr run --agg 'sum 2' -R 3 -O parts in
	[ "$(find parts -name 'part-*' | wc -l)" -eq 3 ]
	cat parts/part-* | cmp want -
	mr run --agg 'sum 2' -o in in
	cmp want in
}

@test "-k: the order of keys, and that of the values of a key" {
	seq 3000 | awk '{ print $1 * 7 % 100 "\t" $1 * 13 % 1009 "\t" $1 }' >in
	LC_ALL=C sort -s -t "$(printf '\t')" -k1,1n -k2,2nr in >sorted
	mr agg --grouped first 2 collapse 3 sum 3 <sorted >want
	[ "$(head -n 2 want | cut -f 1 | tr '\n' ' ')" = '0 1 ' ]
	for debug in group nogroup switch onerun,nojoin; do
		MR_DEBUG=$debug mr run -j 3 --block-size 999 -R 4 -k 1,1n \
			-k 2,2nr --agg 'first 2 collapse 3 sum 3' in | cmp want -
	done
	mr agg -k1,1n -k2,2nr first 2 collapse 3 sum 3 <sorted | cmp want -
	expect 1 mr agg -k1,1n -k2,2n count <sorted
	says 'not in key order'
	refused_k=$(mr agg --grouped -k1,1 count <sorted 2>&1) && false
	[[ $refused_k = *'-k has no effect without order'* ]]
}

@test "wrong words are refused, with what is right" {
	while IFS='|' read -r said words; do
		expect 2 mr run --agg "$words" none
		says "$said"
		# shellcheck disable=SC2086
		[ -z "$words" ] || expect 2 mr agg $words </dev/null
		says "$said"
	done <<-'EOF'
		which operation|
		sum needs a field|sum
		sum needs a field|sum count
		top needs a field|top:3
		from 1 on|sum 0
		needs a field|sum x2 2
		from 1 on|sum 2,
		not a list|sum 3-2
		not a list|sum 2:3
		did you mean sum|sun 2
		datamash -g1 median 2|median 2
		datamash -g1 MODE 2|MODE 2
		no operation|2
		no operation|frobnicate 2
		how many|top 2
		how many|top:0 2
		how many|top:x 2
		takes no number|sum:2 2
	EOF
	expect 2 mr agg
	says 'which operation'
	expect 2 mr run --agg count -r cat none
	says '^mr: --agg and -r CMD exclude each other'
	expect 2 mr run --agg count --combine cat none
	says '^mr: --combine has no effect without -r CMD'
	expect 2 mr reduce --agg count cat
	says 'exclude each other'
	expect 2 mr reduce --agg count --retries 1
	says '--retries has no effect without a command'
	expect 2 mr run --agg count --per-key none
	says '--per-key has no effect without -r CMD'
}

@test "random data: exact, however it is cut, gathered and merged" {
	command -v python3 >/dev/null || skip "no python3"
	"$BATS_TEST_DIRNAME/agg/random_sets.py" --mr "$MR" --sets 150
}

@test "500 random data sets: as datamash, but where that loses digits" {
	command -v python3 >/dev/null || skip "no python3"
	command -v datamash >/dev/null || skip "no datamash"
	"$BATS_TEST_DIRNAME/agg/random_sets.py" --mr "$MR" --sets 500 --datamash
}

@test "what the manual says of a median is right" {
	command -v mandoc >/dev/null || skip "no mandoc"
	command -v datamash >/dev/null || skip "no datamash"
	command=$(mandoc -T ascii "$BATS_TEST_DIRNAME/../man/mr-agg.1" |
		sed 's/.\x08//g' | grep -o 'mr run -r .datamash.* file' |
		tr '`' "'")
	[ -n "$command" ]
	printf 'b\t3\na\t5\nb\t1\na\t6\nb\t100\n' >file
	eval "$command" >out
	printf 'a\t5.5\nb\t3\n' | cmp - out
}
