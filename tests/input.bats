#!/usr/bin/env bats
# Input that is empty, odd, changing, missing or hostile.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# ------------------------------------------------------------ empty input

@test "empty input: the reduce runs exactly once, whatever -R says" {
	: | expect 0 mr run -r 'echo x >>ran; wc -l' -R 4
	[ "$(cat ../out)" = 0 ]
	[ "$(wc -l <ran)" -eq 1 ]
	: >in
	expect 0 mr run -r 'wc -l' in
	[ "$(cat ../out)" = 0 ]
	: | expect 0 mr reduce -c 'wc -l'
	[ "$(cat ../out)" = 0 ]
}

@test "empty input: the map runs exactly once, and its output is the result" {
	: >a
	: >b
	: | expect 0 mr run -m 'echo x >>ran; cat; echo one'
	[ "$(cat ../out)" = one ]
	expect 0 mr run -m 'echo x >>ran; cat; echo one' -r cat a b
	[ "$(cat ../out)" = one ]
	[ "$(wc -l <ran)" -eq 2 ]
	: | expect 0 mr map echo one
	[ "$(cat ../out)" = one ]
}

@test "a reduce whose input is empty runs once though the map had input" {
	seq 1000 >in
	expect 0 mr run -m 'cat >/dev/null' -r 'wc -l' -R 4 in
	[ "$(cat ../out)" = 0 ]
}

@test "an empty partition runs no process" {
	printf 'only\t1\n' >in
	expect 0 mr run -R 5 -r 'echo x >>ran; cat' in
	[ "$(wc -l <ran)" -eq 1 ]
	prints in
}

@test "an empty file among others is no task of its own" {
	: >a
	echo b >b
	: >c
	expect 0 mr run -m 'echo x >>ran; cat' a b c
	[ "$(wc -l <ran)" -eq 1 ]
	[ "$(cat ../out)" = b ]
}

@test "--whole-file: an empty file is a task" {
	: >a
	: >b
	echo c >c
	expect 0 mr run --whole-file -m 'wc -l' a b c
	printf '0\n0\n1\n' >want
	prints want
}

@test "empty input: the filters print nothing and succeed" {
	: | expect 0 mr map cat
	prints_nothing
	: | expect 0 mr sort
	prints_nothing
	: | expect 0 mr reduce cat
	prints_nothing
	: | expect 0 mr run
	prints_nothing
}

@test "--nonempty: no record at all is exit 1" {
	: >a
	expect 1 mr run --nonempty -m cat a
	prints_nothing
	echo a >a
	expect 0 mr run --nonempty -m cat a
	# Records that were left out have been there.
	gzip a
	for input in a.gz -; do
		for put_up in '--max-failures 1' --skip-bad-records; do
			# shellcheck disable=SC2086
			expect 3 mr run --nonempty $put_up -m '! grep a' \
				"$input" < <(zcat a.gz)
			prints_nothing
		done
	done
}

# ------------------------------------------------------------------ records

@test "a last line without newline is completed and not glued to the next file" {
	printf 'a\t1' >a
	printf 'b\t2\n' >b
	printf 'c' >c
	printf 'a\t1\nb\t2\nc\n' >want
	expect 0 mr run a b c
	prints want
	expect 0 mr run -m cat a b c
	prints want
	expect 0 mr run -r cat a b c
	prints want
	expect 0 mr run -m cat -r cat a b c
	prints want
	expect 0 mr sort a b c
	prints want
	expect 0 mr map cat <c
	[ "$(od -An -c <../out | tr -d ' ')" = 'c\n' ]
}

@test "--pack: files that share a process are not glued together" {
	needs_option --pack
	for i in $(seq 50); do printf 'line %02d' "$i" >"f$i"; done
	for f in f? f??; do cat "$f"; echo; done >want
	expect 0 mr run --pack -m cat f? f??
	prints want
}

@test "output that a command leaves without newline is completed" {
	printf 'a\nb\n' >in
	expect 0 mr run -m 'cat >/dev/null; printf "x\ty"' -r cat in
	[ "$(od -An -c <../out | tr -d ' ')" = 'x\ty\n' ]
}

@test "empty lines, empty keys and records without TAB are kept as they are" {
	printf '\n\tv\nk\nk\t\nk\n\n\t\nk\tx\n\tv\n' >in
	reference in >want
	expect 0 mr run -m cat -r cat in
	prints want
	expect 0 mr sort in
	prints want
	expect 0 mr reduce cat <want
	prints want
	expect 0 mr run -m cat in
	prints in
}

@test "any byte is kept, and keys compare as bytes" {
	needs python3
	python3 -c 'import random, sys
random.seed(5)
sys.stdout.buffer.write(random.randbytes(1000000))' >in
	echo >>in
	reference in >want
	expect 0 mr run -m cat -r cat in
	prints want
	expect 0 mr run -j 3 --block-size 10K -r cat in
	prints want
	expect 0 mr sort -S 4M in
	prints want
	expect 0 mr run -m cat in
	prints in
}

@test "CR stays: a key with it is another key" {
	printf 'a\r\nb\t1\r\na\nb\r\n' >in
	reference in >want
	expect 0 mr run -m cat -r cat in
	prints want
}

@test "a 30 MB record passes whole, between small ones" {
	{
		echo small
		head -c 30000000 /dev/zero | tr '\0' x
		printf '\tvalue\nzz\n'
	} >in
	reference in >want
	expect 0 mr run -S 16M -m cat -r cat in
	prints want
	expect 0 mr run --block-size 64K -m cat in
	prints in
}

@test "a key of any length is in one partition only" {
	for n in 100 4000 70000 300000; do
		{
			echo small
			head -c "$n" /dev/zero | tr '\0' x
			printf '\tvalue\nzz\n'
		} >in
		for R in 1 2 3 7; do
			expect 0 mr run -j 2 -R "$R" -m cat -r cat in
			prints in
		done
	done
}

@test "one key with 99 in 100 records keeps their order, and -v names it" {
	awk 'BEGIN {
		for (i = 0; i < 400000; i++)
			print (i % 100 ? "hot" : "k" i) "\t" i
	}' >in
	reference in >want
	expect 0 mr run -v -S 8M -j 2 -R 4 -m cat -r cat in
	prints want
	says '"?hot"?'
}

@test "shell syntax in keys and records is never run" {
	{
		printf '$(touch pwned)\t1\n'
		printf '`touch pwned`\t$(touch pwned)\n'
		printf '; touch pwned #\n'
		printf '"; touch pwned "\n'
	} >in
	reference in >want
	expect 0 mr run -m cat -r cat -R 2 in
	prints want
	expect 0 mr reduce cat <want
	prints want
	test ! -e pwned
}

# -------------------------------------------------------------- many files

@test "3,000 files pass through 16 descriptors" {
	mkdir many
	seq 9000 | split -l 3 -a 4 - many/f
	seq 9000 >want
	expect 0 prlimit --nofile=16 "$MR" run many
	prints want
	expect 0 prlimit --nofile=16 "$MR" run -m cat --pack many
	prints want
	expect 0 prlimit --nofile=16 "$MR" run -r cat many/*
	reference want >sorted
	prints sorted
}

@test "3,000 names from --files0-from pass through 16 descriptors" {
	needs_option --files0-from
	mkdir many
	seq 9000 | split -l 3 -a 4 - many/f
	seq 9000 >want
	find many -type f -print0 | LC_ALL=C sort -z |
		expect 0 prlimit --nofile=16 "$MR" run --files0-from -
	prints want
}

@test "a file that is named twice is read twice" {
	printf 'b\na\n' >f
	printf 'a\na\nb\nb\n' >want
	expect 0 mr run -r cat f f
	prints want
	expect 0 mr run -m cat f ./f f
	cat f f f >want
	prints want
}

# ------------------------------------------------------- files that change

@test "a file that vanishes after planning fails the job by its name" {
	for i in $(seq 40); do echo "$i" >"f$i"; done
	expect 1 mr run -j 1 -m 'rm -f f40; cat' f? f??
	prints_nothing
	says 'f40'
}

@test "a vanished file is not tried for ever" {
	needs_option --retries
	for i in $(seq 40); do echo "$i" >"f$i"; done
	expect 1 mr run -j 1 --retries 3 -m 'rm -f f40; cat' f? f??
	says 'f40'
}

@test "of a file that grows exactly the planned size is read" {
	seq 100000 >in
	cp in want
	expect 0 mr run -j 1 --block-size 64K -m 'echo more >>in; cat' in
	prints want
	[ "$(wc -c <in)" -gt "$(wc -c <want)" ]
}

@test "a file that shrinks is an error, never a short result" {
	seq 100000 >in
	expect 1 mr run -j 1 --block-size 64K -m 'truncate -s 1000 in; cat' in
	prints_nothing
	says 'in'
	seq 100000 >in
	expect 1 mr run -j 1 --block-size 64K -r cat -m 'truncate -s 200000 in; cat' in
	prints_nothing
}

@test "standard input that is a plain file is cut like one, and counts as read" {
	seq 100000 >in
	cp in want
	expect 0 mr run -j 1 --block-size 64K -m 'echo more >>in; cat' <in
	prints want
	cp want in
	expect 1 mr run -j 1 --block-size 64K -m 'truncate -s 9 in; cat' <in
	says 'input standard input, bytes '
	prints_nothing
	cp want in
	expect 0 mr map --dry-run --block-size 300K cat <in
	grep 'map task 1: standard input, records that begin in bytes [1-9]' ../out
	# What a shell has read is not read again, nor what mr has read.
	expect 0 sh -c 'exec 3>&1 >/dev/null
		mr map --dry-run cat; mr run --check -m cat; cat >&3' <in
	prints want
	expect 0 sh -c 'mr map cat; cat' <in
	prints want
	expect 0 sh -c 'read -r one; mr map cat; cat' <in
	tail -n +2 in | cmp - ../out
	expect 0 mr run -m cat - - <in
	prints want
	# It need not have a name any more.
	expect 0 sh -c 'rm in; mr sort -k 1,1n; cat' <in
	prints want
}

@test "standard input that is shorter than it says is read to its end" {
	local f=/sys/kernel/uevent_seqnum
	[ -r $f ] && [ "$(stat -c %s $f)" -gt "$(wc -c <<<"$(<$f)")" ] ||
		skip "there is no $f"
	expect 0 mr map cat <$f
	prints $f
}

@test "standard input is read by who may not open that file" {
	is_root || skip "this is for root"
	seq 100000 >in
	chmod 600 in
	ordinary_user
	expect 0 user mr map cat <in
	prints in
}

@test "bad files are all named, and nothing is started" {
	echo a >good
	ln -s nowhere dangling
	expect 2 mr run -m 'touch ran; cat' missing1 good missing2 dangling
	says missing1
	says missing2
	says dangling
	test ! -e ran
	prints_nothing
	expect 2 mr sort good missing1
	says missing1
	prints_nothing
}

@test "a file or directory that may not be read is named, and nothing is started" {
	ordinary_user
	echo a >good
	echo a >secret
	mkdir closed
	chmod 000 secret closed
	expect 2 user mr run -m 'touch ran; cat' good secret closed
	says secret
	says closed
	test ! -e ran
	expect 2 user mr sort secret
	says secret
	chmod 700 closed
}

# ------------------------------------------------- input that is no plain file

@test "FIFOs, /proc files, process substitutions and /dev/stdin are read to their end" {
	reference /proc/filesystems >want
	expect 0 mr run -m cat -r cat /proc/filesystems
	prints want
	expect 0 mr sort /proc/filesystems
	prints want
	seq 3 >want
	expect 0 bash -c 'mr run -m cat <(seq 3)'
	prints want
	expect 0 bash -c 'seq 3 | mr run -m cat /dev/stdin'
	prints want
	mkfifo fifo
	seq 100000 >want
	cat want >fifo 3>&- &
	expect 0 mr run -m cat fifo
	prints want
}

@test "a socket on standard input is read to its end" {
	needs python3
	seq 50000 >in
	cp in want
	expect 0 python3 -c '
import socket, subprocess, sys, threading
ours, theirs = socket.socketpair()
p = subprocess.Popen(["mr", "run", "-m", "cat"], stdin=theirs)
theirs.close()
ours.sendall(open("in", "rb").read())
ours.close()
sys.exit(p.wait())'
	prints want
}

@test "what comes from a FIFO is still there for a second attempt" {
	needs_option --retries
	mkfifo fifo
	seq 50000 >want
	cat want >fifo 3>&- &
	expect 0 mr run --retries 1 --block-size 64K \
		-m 'test -e "t$MR_TASK" || { : >"t$MR_TASK"; head -c 100 >/dev/null; exit 1; }; cat' fifo
	prints want
	rm -f t[0-9]*
	# shellcheck disable=SC2002 # a pipe is what is wanted
	cat want | expect 0 mr run --retries 1 --block-size 64K \
		-m 'test -e "t$MR_TASK" || { : >"t$MR_TASK"; head -c 100 >/dev/null; exit 1; }; cat'
	prints want
}

@test "an input that fails while it is read is an error that names it" {
	# Reading this from its beginning is EIO.
	[ -r /proc/self/mem ] || skip "there is no /proc/self/mem"
	expect 1 mr run -m cat /proc/self/mem || expect 2 mr run -m cat /proc/self/mem
	says '/proc/self/mem'
	prints_nothing
}

# ------------------------------------------------------------------- names

@test "the output may be an input" {
	printf 'c\nb\na\n' >f
	expect 0 mr run -r cat -o f f
	[ "$(cat f)" = "$(printf 'a\nb\nc')" ]
	printf 'c\nb\na\n' >f
	expect 0 mr sort -o f f
	[ "$(cat f)" = "$(printf 'a\nb\nc')" ]
	printf 'c\nb\na\n' >f
	expect 0 mr run -m cat -o f f f
	[ "$(wc -l <f)" -eq 6 ]
	expect 123 mr run -m 'cat; exit 1' -o f f
	[ "$(wc -l <f)" -eq 6 ]
}

@test "a file name may hold any byte, and reaches tasks unchanged" {
	name=$'-a b\n$(touch pwned)`touch pwned`\'"\\ \t\xff'
	echo record >"./$name"
	expect 0 mr run -m 'printf %s "$MR_INPUT_FILE"; cat >/dev/null' -- "$name"
	printf '%s\n' "$name" >want	# a map's record is completed
	prints want
	test ! -e pwned
	expect 0 mr run -m cat -o "-o $name" -- "$name"
	[ "$(cat "./-o $name")" = record ]
	expect 0 mr run -m cat -O "-O $name" -- "$name"
	[ "$(cat "./-O $name"/part-*)" = record ]
	test ! -e pwned
}

@test "messages show control bytes of a file name as \\xNN" {
	name=$'new\nline\033[31m\001'
	echo record >"$name"
	expect 123 mr run -m 'exit 3' "$name"
	says 'new\\x0[aA]line\\x1[bB]\[31m\\x01'
	run -1 grep -q "$(printf '[\001\033]')" ../err
	expect 2 mr run -m cat "$name" "missing$name"
	says 'missingnew\\x0[aA]line'
	run -1 grep -q "$(printf '[\001\033]')" ../err
}

@test "messages show control bytes of a key as \\xNN" {
	printf 'b\n\033[31ma\n' >in
	expect 1 mr reduce cat <in
	says '2'
	run -1 grep -q "$(printf '\033')" ../err
	printf 'b\n\033[31ma\n' >in
	expect 1 mr sort -c <in
	run -1 grep -q "$(printf '\033')" ../err
}

@test "an unreadable operand of a filter is refused before anything is printed" {
	echo a >good
	expect 2 mr map -i missing cat
	says missing
	prints_nothing
}

@test "what a command hands on of a stream without copying it stays as it is" {
	local number
	case $(uname -m) in
	x86_64) number=275;;
	aarch64) number=76;;
	*) skip "the number of splice is not known";;
	esac
	command -v perl >/dev/null || skip "no perl"
	# The first task gives its first bytes to a pipe that is read at the end.
	cat >mapper <<-end
	#!/bin/sh
	[ "\$MR_TASK" != 0 ] || perl -e '
		open(my \$to, "+<", "fifo") or die;
		syscall($number, 0, 0, fileno \$to, 0, 4096, 0) > 0 or die' ||
		exit
	exec cat
	end
	chmod +x mapper
	mkfifo fifo
	exec 7<>fifo
	seq -w 200000 >in
	head -c 4096 in >want
	for j in 1 2; do
		cat in | mr map -j "$j" --block-size 64K ./mapper >out
		tail -c +4097 in | cmp - out
		head -c 4096 <&7 | cmp - want
	done
	exec 7>&-
}

@test "blocks of a stream that are on disk are given back, and nothing beside them" {
	seq -w 2000000 >in
	for j in 1 4; do
		(ulimit -n 20; cat in | MR_DEBUG=paced mr map -j "$j" cat) |
			cmp - in
	done
}
