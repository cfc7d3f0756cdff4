#!/usr/bin/env bats
# --io rawbytes and mr convert: keys and values of any bytes.
# shellcheck disable=SC2016,SC2154 # the commands expand their variables themselves
load helper
load failure
load pairs

# ------------------------------------------------------------------- jobs

@test "pairs of any bytes are sorted by key, whatever the size of splits" {
	for seed in 1 2; do
		pairs "$seed" 3000
		for size in 1K 50K 64M; do
			expect 0 mr run --io rawbytes -r cat \
				--block-size "$size" pairs
			prints sorted
			expect 0 mr run --io rawbytes -m cat -r cat -j 3 \
				--block-size "$size" pairs
			prints sorted
			expect 0 mr run --io rawbytes -m cat -j 3 \
				--block-size "$size" pairs
			prints pairs
		done
		expect 0 mr run --io rawbytes -r cat <pairs
		prints sorted
		expect 0 mr run --io rawbytes <pairs
		prints pairs
	done
}

@test "pairs: however they are gathered, sorted and merged" {
	pairs 3 20000
	for words in group nogroup switch group,disk nogroup,disk,nojoin \
	    switch,onerun,disk nogroup,noradix; do
		MR_DEBUG=$words expect 0 mr run --io rawbytes -m cat -r cat \
			-j 3 -S 8M --batch-size 2 --block-size 100K pairs
		prints sorted
	done
	expect 0 mr sort --io rawbytes -S 4M --compress-program gzip pairs
	prints sorted
}

@test "pairs: a map command sees whole pairs, a reduce command whole groups" {
	pairs 4 500
	mr run --io rawbytes -m "$reverse" pairs >want
	run ! cmp -s want pairs
	mr run --io rawbytes -m "$reverse" want | cmp - pairs
	for n in 1 7 1000; do
		expect 0 mr run --io rawbytes -N "$n" -j 4 -m cat pairs
		prints pairs
	done
	expect 0 mr run --io rawbytes -N 250 -m "$reverse" pairs
	prints want
	expect 0 mr map --io rawbytes -N 200 -c "$reverse" <pairs
	prints want
	expect 0 mr reduce --io rawbytes --block-size 64K -c "$reverse" <sorted
	mr run --io rawbytes -m "$reverse" sorted | cmp - ../out
	raw a 1 a 2 b 3 c 4 c 5 >in
	expect 0 mr run --io rawbytes -R 3 -r cat -O dir in
	cat dir/part-* | cmp - in
}

@test "pairs: the filters and shuffle" {
	pairs 5 3000
	expect 0 mr map --io rawbytes cat <pairs
	prints pairs
	expect 0 mr sort --io rawbytes <pairs
	prints sorted
	expect 0 mr sort --io rawbytes -c sorted
	expect 1 mr sort --io rawbytes -c pairs
	says 'pairs:[0-9]+: disorder: '
	expect 0 mr sort --io rawbytes -m sorted
	prints sorted
	expect 0 mr sort --io rawbytes pairs -o out
	cmp out sorted
	expect 0 mr reduce --io rawbytes cat <sorted
	prints sorted
	expect 0 mr reduce --io rawbytes --grouped -i sorted cat
	prints sorted
	expect 1 mr reduce --io rawbytes cat <pairs
	says 'not in key order: record [0-9]+'
	expect 0 mr shuffle --io rawbytes -R 3 -O parts pairs
	for part in parts/part-*; do
		mr sort --io rawbytes "$part" >"$part.sorted"
	done
	expect 0 mr sort --io rawbytes -m parts/*.sorted
	prints sorted
}

@test "pairs: mr reduce cuts only between keys" {
	raw a 1 a 2 b 3 b 4 b 5 c 6 >in
	# shellcheck disable=SC2129
	for i in $(seq 3000); do raw aa "$i"; done >>in
	for i in $(seq 3000); do raw b "$i"; done >>in
	raw d '' >>in
	for how in '--io rawbytes --grouped' '--io rawbytes'; do
		# shellcheck disable=SC2086
		expect 0 mr sort --io rawbytes in
		mv ../out sorted
		# shellcheck disable=SC2086
		expect 0 mr reduce $how --block-size 64K -j 4 -c '
			mr sort --io rawbytes -u' -i sorted
		mr convert --from rawbytes --to text ../out | cut -f1 >got
		printf '%s\n' a aa b c d | cmp - got
	done
}

@test "pairs: sort -u keeps the first pair of each key" {
	raw b 1 a 1 b 2 a 2 >in
	raw a 1 b 1 >want
	expect 0 mr sort --io rawbytes -u in
	prints want
	expect 0 mr sort --io rawbytes -um want want
	prints want
	expect 1 mr sort --io rawbytes -uc in
}

@test "pairs: a failed attempt leaves no trace" {
	pairs 6 3000
	expect 0 mr run --io rawbytes -N 300 --retries 1 -r cat -m '
		if [ "$MR_ATTEMPT" = 0 ]; then
			head -c 100
			[ $((MR_TASK % 2)) = 0 ] || exit 3
			exit 0
		fi
		cat' pairs
	prints sorted
}

@test "pairs: files that share a task are not torn" {
	pairs 7 200
	for i in 1 2 3; do cp pairs "f$i"; done
	cat f? >want
	expect 0 mr run --io rawbytes --pack -m cat f1 f2 f3
	prints want
	mr sort --io rawbytes want >want.sorted
	expect 0 mr run --io rawbytes --pack -r cat f1 f2 f3
	prints want.sorted
	# shellcheck disable=SC2238 # a file's name
	head -c 1000 pairs >cut
	expect 1 mr run --io rawbytes --pack -m cat f1 cut f2
	says 'cut: the pair at byte [0-9]+ is cut short'
}

@test "pairs: input that is generated is pairs, too" {
	expect 0 mr run --io rawbytes --range 0:3 -N 1 -m cat
	raw 0 1 1 2 2 3 | cmp - ../out
	: >a
	: >b
	expect 0 mr run --io rawbytes --names -m cat b a
	raw b '' a '' | cmp - ../out
	cat >source <<-'END'
		#!/bin/sh
		[ "$1" != count ] || exec echo 5
		i=$1
		while [ "$i" -lt $(($1 + $2)) ]; do
			printf '\0\0\0\1k\0\0\0\3a\tb'
			i=$((i + 1))
		done
	END
	chmod +x source
	for i in 1 2 3 4 5; do printf '\0\0\0\1k\0\0\0\3a\tb'; done >want
	expect 0 mr run --io rawbytes --source ./source -N 2 -m cat
	prints want
	expect 0 mr run --io rawbytes --source ./source -r cat
	prints want
}

# -------------------------------------------------------------- bad pairs

@test "a pair that is cut short is an error with its offset, wherever it is" {
	raw a v key value >good
	size=$(wc -c <good)
	for n in 1 3 4 5 8 9; do
		{ cat good; raw long value | head -c "$n"; } >in
		for how in 'run -m cat' 'run -r cat' 'run -N 1 -m cat' \
		    sort 'sort -c' 'sort -m' 'shuffle -R 2 -O parts'; do
			# shellcheck disable=SC2086
			expect 1 mr $how --io rawbytes in
			says "in: the pair at byte $size is cut short"
			[ ! -e parts ]
		done
		for how in 'map' 'reduce'; do
			expect 1 mr $how --io rawbytes cat <in
			says "standard input: the pair at byte $size is cut short"
		done
		expect 1 mr convert --from rawbytes --to text in
		says "in: the pair at byte $size is cut short"
		printf 'a\tv\nkey\tvalue\n' | cmp - ../out
	done
}

@test "an absurd length is an error with its offset and takes no memory" {
	[ -z "${ASAN_OPTIONS:-}" ] || skip "a sanitizer needs more room"
	raw key value >good
	size=$(wc -c <good)
	for what in '\xff\xff\xff\xff' '\x80\0\0\0' \
	    '\x7f\xff\xff\xf0abc' '\0\0\0\1k\xff\xff\xff\xff' \
	    '\0\0\0\1k\x7f\xff\xff\xf0abc' '\x40\0\0\0'; do
		# shellcheck disable=SC2059
		{ cat good; printf "$what"; } >in
		for how in 'run -m cat' 'run -r cat' sort 'sort -c' 'sort -m' \
		    'shuffle -R 2 -O parts' 'convert --from rawbytes --to text'; do
			io='--io rawbytes'
			[ "${how#convert}" = "$how" ] || io=
			# shellcheck disable=SC2016,SC2086
			expect 1 sh -c 'ulimit -v 600000; exec mr "$@"' sh \
				$how $io -- in
			says "in: .*at byte $size"
		done
		for how in map reduce; do
			expect 1 sh -c 'ulimit -v 600000; exec mr "$@"' sh \
				$how --io rawbytes cat <in
			says "standard input: .*at byte $size"
		done
	done
}

@test "what a command prints that is no pair is an error with its offset" {
	raw key value >good
	raw k v >in
	for what in '\xff\xff\xff\xff' '\0\0\0\1' 'text\n'; do
		# shellcheck disable=SC2059
		{ cat good; printf "$what"; } >printed
		for how in 'mr run -m' 'mr run -r' 'mr run -r cat -m' \
		    'mr run -m cat --finish' 'mr map -c' 'mr reduce -c'; do
			# shellcheck disable=SC2086 # words
			expect 1 $how 'cat >/dev/null; cat printed' \
				--io rawbytes <in
			says 'in its output: .*at byte 16'
			prints_nothing
		done
		expect 0 mr run --retries 1 -m 'test $MR_ATTEMPT = 1 ||
			exec cat printed; cat' --io rawbytes in
		prints in
	done
}

# ---------------------------------------------------------------- convert

@test "convert: any pairs are the same after text and back" {
	for seed in 11 12; do
		pairs "$seed" 2000
		for o in '' '-z' '-t :' '-z -t ,' '-t \0'; do
			# shellcheck disable=SC2086
			mr convert --from rawbytes --to text $o pairs >text
			# shellcheck disable=SC2086
			expect 0 mr convert --from text --to rawbytes $o text
			prints pairs
			# shellcheck disable=SC2086
			expect 0 mr convert --to text --from rawbytes $o <pairs
			prints text
		done
		mr convert --from rawbytes --to text pairs >text
		[ "$(wc -l <text)" -eq 2000 ]
	done
}

@test "convert: text without backslashes is the same after pairs and back" {
	needs python3
	python3 -c 'import random, sys
r = random.Random(3)
for i in range(3000):
    k, v = (bytes(b for b in r.randbytes(r.randint(0, 30))
                  if b not in b"\\\n\0") for _ in "kv")
    sys.stdout.buffer.write(k.replace(b"\t", b"") + b"\t" + v + b"\n")' >in
	grep -qa "$(printf '\t.*\t')" in
	grep -qa "$(printf '\r')" in
	mr convert --from text --to rawbytes in >pairs
	expect 0 mr convert --from rawbytes --to text pairs
	prints in
	tr '\n' '\0' <in >zero
	mr convert -z --from text --to rawbytes zero >pairs
	expect 0 mr convert -z --from rawbytes --to text pairs
	prints zero
}

@test "convert: escapes are those of C" {
	printf '%s\t%s\n' 'a\tb\\\n' 'c\tc\\d\x41\101\0\x7e\e' >in
	sed -i 's/\\e$/\\a\\b\\f\\v\\r\\"/' in
	expect 0 mr convert --from text --to rawbytes in
	printf '\0\0\0\5a\tb\\\n\0\0\0\17c\tc\\dAA\0~\a\b\f\v\r"' >want
	prints want
	expect 0 mr convert --from rawbytes --to text want
	printf 'a\\tb\\\\\\n\tc\tc\\\\dAA\0~\a\b\f\v\r"\n' | cmp - ../out
	# The separator is what is escaped in keys, in octal where C has no name.
	raw 'a:b' 'c:d' | expect 0 mr convert -t : --from rawbytes --to text
	[ "$(cat ../out)" = 'a\072b:c:d' ]
	# A last line without newline is a line, an empty value a value.
	printf 'a\t' | expect 0 mr convert --from text --to rawbytes
	raw a '' | cmp - ../out
	printf '\t\n' | expect 0 mr convert --from text --to rawbytes
	raw '' '' | cmp - ../out
	: | expect 0 mr convert --from text --to rawbytes
	prints_nothing
}

@test "convert: what would not come back is an error that names it" {
	{ printf 'a\t1\nb\t2\n'; printf 'c\n'; } >in
	expect 1 mr convert --from text --to rawbytes in
	says 'in: record 3, at byte 8: no separator, and a pair must have a value'
	raw a 1 b 2 | cmp - ../out
	# shellcheck disable=SC1003 # a backslash alone
	for bad in '\q' '\' '\x' '\xg' '\8' '\777' '\N'; do
		printf 'a\t1\nb\t%s\n' "$bad" >in
		expect 1 mr convert --from text --to rawbytes in
		says 'in: record 2, at byte 4: a backslash that begins no escape'
		raw a 1 | cmp - ../out
	done
	expect 1 mr convert --from text --to rawbytes none
	says 'none: No such file'
}

@test "convert: several files, one after the other" {
	printf 'a\t1\n' >a
	printf 'b\t2' >b
	raw a 1 b 2 a 1 >want
	expect 0 mr convert --from text --to rawbytes a b a
	prints want
	expect 0 mr convert --from text --to rawbytes a - a <b
	prints want
}

@test "formats that make no sense are refused" {
	raw a 1 >in
	refused 'must be text or rawbytes' mr run --io binary -m 'touch ran' in
	for o in '-z' '-t :' '--key-fields 2'; do
		# shellcheck disable=SC2086
		refused "${o%% *} has no effect without lines" \
			mr run --io rawbytes $o -m 'touch ran' -r 'touch ran' in
		# shellcheck disable=SC2086
		refused "${o%% *} has no effect without lines" \
			mr sort --io rawbytes $o in
	done
	for o in '-L 2' '--recstart x' '--recend x' '--header skip'; do
		# shellcheck disable=SC2086
		refused "${o%% *} has no effect without lines" \
			mr run --io rawbytes $o -m 'touch ran' in
	done
	refused 'check and --io rawbytes exclude each other' \
		mr run --io rawbytes --check -r cat in
	refused 'agg and --io rawbytes exclude each other: .*fields of text' \
		mr run --io rawbytes --agg count in
	refused 'from what to what' mr convert in
	refused 'from what to what' mr convert --from text --to text in
	refused 'records end with that byte' \
	    mr convert -t $'\n' --from text --to rawbytes in
	refused 'records end with that byte' \
	    mr convert -z -t '\0' --from rawbytes --to text in
	refused 'may stand in escapes' \
		mr convert --from text --to rawbytes -t n in
	expect 0 mr run --io text -m cat in
}
