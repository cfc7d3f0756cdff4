#!/usr/bin/env bats
# mr sort without runs: records stay where they are, or are written once, by
# ranges of keys (bucket.c, divide.c, deal.c).  MR_DEBUG=buckets makes small
# input such, deal makes that of pipes, nobuckets none.
load helper
load failure

# records N [PREFIX]: N records of some 40 bytes, most of them with keys of
# their own, in no order.
records() {
	gawk -v n="$1" -v prefix="$2" 'BEGIN {
		srand(n)
		for (i = 0; i < n; i++)
			printf "%s%08x\t%030d\n", prefix, rand() * 2 ^ 32, i
	}'
}

# has_buckets ARGUMENT...: mr sort makes no run.
has_buckets() {
	mr sort -v "$@" 2>../err >out
	says '; 0 runs'
}

# has_runs ARGUMENT...: it does.
has_runs() {
	mr sort -v "$@" 2>../err >out
	says '; [1-9][0-9]* runs?,'
}

@test "files are sorted where they are as with runs" {
	records 30000 >a
	records 10000 >b
	printf 'last without end\tx' >>b
	{ cat a b; echo; } | LC_ALL=C sort -s -t '	' -k 1,1 >want
	has_buckets a b
	cmp want out
	for words in nobuckets buckets buckets,refs buckets,copies \
	    buckets,copies,disk buckets,radix \
	    buckets,noradix buckets,hand buckets,disk buckets,deal \
	    buckets,deal,disk buckets,deal,paced; do
		for j in 1 2 5; do
			MR_DEBUG=$words mr sort -j "$j" a b >out
			cmp want out
			MR_DEBUG=$words mr sort -j "$j" --block-size 9999 a - <b | cmp want -
			MR_DEBUG=$words mr sort -j "$j" -o out a b
			cmp want out
			cat a b | MR_DEBUG=$words mr sort -j "$j" | cmp want -
		done
	done
	mr sort a b >/dev/null
}

@test "what comes by a pipe is held, if it is not too much" {
	records 80000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	cat in | has_buckets
	cmp want out
	cat in | has_buckets -j 1 -k 1,1
	cmp want out
	has_runs -k 1,1r <in
	LC_ALL=C sort -s -t '	' -k 1,1r in | cmp - out
	head -c 3999999 in | has_buckets
	head -c 3999999 in | LC_ALL=C sort -s -t '	' -k 1,1 | cmp - out
	head -c 20 in | has_runs
	printf '' | mr sort | cmp - /dev/null
	mkfifo fifo
	cat in >fifo &
	has_buckets fifo
	cmp want out
}

@test "of what is more, blocks are divided as they come" {
	records 80000 >in
	printf 'last without end\tx' >>in
	{ cat in; echo; } | LC_ALL=C sort -s -t '	' -k 1,1 >want
	for size in 1M 4M 6M; do		# half of it is held
		cat in | has_buckets -S "$size"
		says "sorted 80001 records, .* spilled [23][0-9]{6} bytes"
		cmp want out
	done
	{ cat in; echo; cat in; } | has_buckets -S 6M -u
	cmp want out
	cat in | has_runs -S 6M --block-size 3M
	cmp want out
	cat in | has_runs -S 6M --compress-program gzip
	cmp want out
	# Input that is in order has no ranges of keys that last.
	cat want | has_runs -S 6M
	cmp want out
}

@test "a length of more than a byte is as good as a shorter one" {
	records 40000 >in
	for n in 15 16 17 254 255 256 257; do
		printf "%s\t%0$((n - 9))d\n" 88888888 0
		printf "%0$((n - 1))d\t\n" 7
		printf "%0${n}d\n" 8
	done >odd
	for file in "in in" "in odd in" "odd in in"; do
		eval "cat $file" >all
		LC_ALL=C sort -s -t '	' -k 1,1 all >want
		cat all | has_buckets -S 6M
		cmp want out
		MR_DEBUG=buckets,copies has_buckets --block-size 9999 all
		cmp want out
		cat all | MR_DEBUG=buckets,deal has_buckets -S 6M
		cmp want out
	done
	records 40000 zz | cat all - >narrow	# the blocks become runs
	LC_ALL=C sort -s -t '	' -k 1,1 narrow >want
	cat narrow | has_runs -S 6M
	cmp want out
}

@test "a stream that does not go on as it began is sorted with runs" {
	records 60000 >in
	records 40000 zz | cat in - >narrow	# for one bucket
	{ cat in; head -c 1000000 /dev/zero | tr '\0' x; echo; cat in; } >long
	{ cat in; yes | head -c 1000000; } >short	# more than expected
	for file in narrow long short; do
		LC_ALL=C sort -s -t '	' -k 1,1 "$file" >want
		for words in '' deal deal,disk deal,pool; do
			export MR_DEBUG=$words
			for j in 1 3; do
				cat "$file" | has_runs -S 6M -j "$j"
				says "sorted $(wc -l <want) records"
				cmp want out
			done
		done
		unset MR_DEBUG
	done
}

@test "so is one that does so at once" {
	records 3000 >in
	head -c 20000 /dev/zero | tr '\0' x >x
	{ cat x; echo; cat in; } >none		# no block can be cut
	{ cat in x; echo; cat in in; } >one	# one worker had a task
	export MR_DEBUG=buckets,deal
	for file in none one; do
		LC_ALL=C sort -s -t '	' -k 1,1 "$file" >want
		for block in 8192 100K 64K; do
			cat "$file" | mr sort -j 4 --block-size "$block" >out
			cmp want out
		done
	done
}

@test "so are keys that begin alike, and whole records" {
	for prefix in x same_for_all_of_them_; do
		records 40000 "$prefix" >in
		LC_ALL=C sort -s -t '	' -k 1,1 in >want
		has_buckets in
		cmp want out
	done
	LC_ALL=C sort -u in in >want
	has_buckets -u in in
	cmp want out
}

@test "what would not pay is sorted with runs" {
	records 40000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	has_runs --compress-program gzip -S 2M in
	cmp want out
	has_buckets -S 2M in
	cmp want out
	says 'spilled 1[0-9]{6} bytes'
	gawk '{ print substr($0, 1, 4) "\n" substr($0, 5, 4) }' \
		in in in in in in >short
	gawk '{ print rand() < .1 ? "hot\t" $0 : $0 }' in >hot
	for file in short hot; do
		LC_ALL=C sort -s -t '	' -k 1,1 "$file" >want
		has_runs "$file"
		cmp want out
		cat "$file" | has_runs
		cmp want out
	done
}

@test "where the sample misleads, all is done again with runs" {
	# Records of two bytes are more than are reckoned with.
	records 40000 >in
	{ head -c 999424 in; yes | head -c 3000000; } >many
	LC_ALL=C sort -s -t '	' -k 1,1 many >want
	export MR_DEBUG=buckets
	for j in 1 3; do
		has_runs -j "$j" many
		says "sorted $(wc -l <want) records"
		cmp want out
		cat many | has_runs -j "$j"
		says "sorted $(wc -l <want) records"
		cmp want out
	done
}

@test "a file that is written to is not sorted where it is" {
	records 40000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	mr sort in 1<>in
	cmp want in
	records 40000 >in
	mr sort in -o in
	cmp want in
}

@test "a file that shrinks while it is sorted fails the job" {
	yes "$(printf %099d 7)" | head -c 150000000 |
		gawk '{ print rand() "\t" $0 }' >in
	for how in 'truncate -s 5000000 in' ': >in'; do
		cp in was
		{ mr sort -S 300M -j 1 in 2>../err || echo $? >status; } |
			{ head -c 1; sh -c "$how"; cat; } >out
		[ "$(cat status)" -eq 1 ]
		says '^mr sort: a file of the input became shorter while it was sorted, or cannot be read$'
		says 'stopped; the output is not complete'
		mv was in
	done
}

# changed COMMAND: runs it when the first byte of the sorted file in is out.
changed() {
	{ mr sort -S 300M -j 1 in 2>../err || echo $? >status; } |
		{ head -c 1; sh -c "$1"; cat; } >out
	[ "$(cat status)" -eq 1 ]
	says '^mr sort: a file of the input was changed while it was sorted$'
	says 'stopped; the output is not complete'
}

@test "a file that is written over while it is sorted fails the job" {
	yes "$(printf %099d 7)" | head -c 150000000 |
		gawk '{ printf "%.8f\t%s\n", rand(), $0 }' >was
	# Longer lines, no lines, and lines of the same length in another order.
	gawk '{ print $0 $0 }' was >longer
	head -c 150000000 /dev/zero >none
	{ LC_ALL=C sort -r was; head was; } >other
	for with in longer none other; do
		cp was in
		changed "dd if=$with of=in conv=notrunc bs=1M 2>dd"
	done
	cp was in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	mr sort -S 300M -j 1 in | { head -c 1; mv in new; echo more >>new; cat; } >out
	cmp want out
}

@test "whatever dies while input is sorted where it is" {
	needs_killat
	records 3000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	# No task is repeated: a death that nobody notices is rare.
	export MR_DEBUG=buckets,hand
	survives "exec $MR sort -j 2 -o out in" 0
	export MR_DEBUG=buckets,hand,stream
	survives "exec $MR sort -j 2 -o out <in" 0
	records 600 >in			# a system call a bucket and block
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	export MR_DEBUG=buckets,hand,deal,stream
	survives "exec $MR sort -j 2 --block-size 8192 -o out <in" 0
}
