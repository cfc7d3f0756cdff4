#!/usr/bin/env bats
# Output that cannot be written, disks that fill, limits that are reached.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# ---------------------------------------------------------- standard output

@test "a closed standard output is an error" {
	seq -w 100 >in
	for c in 'run -m cat -r cat in' 'run in' 'map cat' 'sort in' 'reduce cat' --version '--help'; do
		expect 1 sh -c "mr $c <in >&-"
		says 'output'
	done
}

@test "a full standard output is an error" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	seq -w 100 >in
	for c in 'run -m cat -r cat in' 'run in' 'map cat' 'sort in' 'reduce cat' --version '--help'; do
		expect 1 sh -c "mr $c <in >/dev/full"
		says 'output.*No space left'
	done
}

@test "a closed standard input is no input from elsewhere, and a closed stderr no end" {
	seq 100 >in
	expect 0 sh -c 'mr run -m cat -r cat in <&-'
	reference in >want
	prints want
	expect 1 sh -c 'mr run -m cat <&-'
	prints_nothing
	expect 0 sh -c 'mr run -S 8M -m cat -r cat in 2>&-'
	prints want
	expect 123 sh -c 'mr run -m "exit 3" in 2>&-'
}

@test "when the reader of its output goes away, mr dies of SIGPIPE and says nothing" {
	seq -w 1000000 >in
	for c in 'run -m cat -r cat in' 'run in' 'map cat' 'sort in' 'reduce cat'; do
		status=0
		# shellcheck disable=SC2086 # several words
		timeout -s KILL 60 bash -c '
			env --default-signal=PIPE mr "$@" <in 2>../err 3>&- | head -n 1
			exit "${PIPESTATUS[0]}"' bash $c >../out || status=$?
		[ "$status" -eq 141 ]
		[ "$(cat ../out)" = 0000001 ]
		[ ! -s ../err ]
	done
}

# ------------------------------------------------------------- directories

@test "a temporary directory that is missing or none is found at the start" {
	seq 100 >in
	echo x >file
	for t in /nonexistent/dir ./file; do
		expect 2 mr run -T "$t" -m 'touch ran; cat' -r cat in
		says "$t"
		expect 2 env "TMPDIR=$t" mr run -m 'touch ran; cat' -r cat in
		says "$t"
		test ! -e ran
		expect 2 mr sort -T "$t" in
		says "$t"
	done
}

@test "a temporary directory that may not be written is found at the start" {
	ordinary_user
	seq 100 >in
	mkdir closed
	chmod 555 closed
	expect 2 user mr run -T closed -m 'touch ran; cat' -r cat in
	says closed
	test ! -e ran
}

@test "a read-only temporary directory is found at the start" {
	seq 100 >in
	on_tmpfs ro '
		expect 2 mr run -T fs -m "touch ran; cat" -r cat in
		says fs
		test ! -e ran'
}

@test "an output that cannot be made is found before any work" {
	seq 100 >in
	expect 2 mr run -m 'touch ran; cat' -o none/out in
	says 'none'
	expect 2 mr run -m 'touch ran; cat' -O none/out in
	says 'none'
	test ! -e ran
}

# ------------------------------------------------------------------- disks

@test "a full temporary directory ends the job, named, with nothing left there" {
	random_records 200000 >in
	on_tmpfs size=256k '
		expect 1 mr run -T fs -S 4M -m cat -r cat in
		prints_nothing
		says "fs.*No space left|No space left.*fs"
		says "^mr: fs: .* [0-9.]+[KM] of this worker.s so far .-T DIR chooses another directory.: No"
		[ -z "$(ls -A fs)" ]
		expect 1 mr sort -T fs -S 4M in
		prints_nothing
		says "fs.*No space left|No space left.*fs"
		[ -z "$(ls -A fs)" ]'
}

@test "a full output directory ends the job and keeps the old output" {
	random_records 20000 >in
	on_tmpfs size=256k '
		echo old >fs/kept
		expect 1 mr run -m cat -r cat -o fs/kept in
		says "^mr: fs/kept: writing the output, of which [0-9.]+[KM] at least are missing: No space left"
		[ "$(cat fs/kept)" = old ]
		expect 1 mr run -m cat -r cat -O fs/dir in
		says "No space left"
		expect 1 mr sort -o fs/kept in
		[ "$(cat fs/kept)" = old ]
		[ "$(ls -A fs)" = kept ]'
}

@test "a directory without free inodes ends the job cleanly" {
	random_records 200000 >in
	on_tmpfs nr_inodes=2 '
		echo old >fs/kept
		# Found before any work is as good.
		expect 1 mr run -T fs -S 4M -m cat -r cat in ||
			expect 2 mr run -T fs -S 4M -m cat -r cat in
		prints_nothing
		says "fs.*No space left"
		expect 1 mr run -m cat -O fs/dir in ||
			expect 2 mr run -m cat -O fs/dir in
		says "fs.*No space left"
		[ "$(ls -A fs)" = kept ]
		[ "$(cat fs/kept)" = old ]'
}

# ------------------------------------------------------------------ limits

@test "16 descriptors are enough, also to merge many runs" {
	random_records 100000 >in
	reference in >want
	expect 0 prlimit --nofile=16 "$MR" run -S 4M -j 8 -R 4 -m cat -r cat in
	prints want
	expect 0 prlimit --nofile=16 "$MR" sort -S 4M in
	prints want
	expect 0 prlimit --nofile=16 "$MR" map -j 4 cat <in
	prints in
	expect 0 prlimit --nofile=16 "$MR" reduce -j 4 cat <want
	prints want
	# A combiner runs while a map command waits: it needs pipes of its own.
	for n in 19 20 24; do
		MR_DEBUG=pool expect 0 prlimit --nofile=$n "$MR" run -j 2 -m cat \
			--combine cat -r cat in
		prints want
	done
	expect 0 prlimit --nofile=17 "$MR" run -r cat -R 4 -O out \
		--partition 'while read -r x; do echo 0; done' <in
	cat out/part-* | cmp want -
	expect 1 prlimit --nofile=16 "$MR" run -r cat -R 4 -O no \
		--partition 'while read -r x; do echo 0; done' in
	says 'too few file descriptors \(ulimit -n 16\): 19 are enough'
	expect 0 prlimit --nofile=17 "$MR" run -m cat \
		--skip-bad-records <in
	MR_DEBUG=pool expect 1 prlimit --nofile=18 "$MR" run -m cat \
		--combine cat -r cat in
	says 'too few file descriptors \(ulimit -n 18\)'
}

@test "with ever fewer descriptors mr is right or refuses with a message" {
	seq 20000 >in
	reference in >want
	for n in 15 14 13 12 11 10 9 8 7 6 5; do
		got=0
		prlimit --nofile=$n "$MR" run -j 2 -m cat -r cat in >../out 2>../err 3>&- || got=$?
		case $got in
		0) prints want ;;
		1)	prints_nothing
			says 'descriptor|open files|Too many open' ;;
		*) echo "status $got with $n"; false ;;
		esac
	done
	# The loader alone needs four; eight cannot be enough for a job.
	[ "$got" -eq 1 ]
}

@test "a limit on the size of files is an error like a full disk" {
	random_records 20000 >in
	echo old >kept
	expect 1 prlimit --fsize=4096 "$MR" run -m cat -r cat -o kept in
	says 'File too large'
	[ "$(cat kept)" = old ]
	expect 1 sh -c 'exec prlimit --fsize=4096 "$MR" run -m cat -r cat in >printed'
	says 'File too large'
	rm printed
	expect 1 prlimit --fsize=4096 "$MR" sort -S 4M -o kept in
	[ "$(ls -A)" = "$(printf 'in\nkept')" ]
}

@test "in a task the limit on the size of files kills as ever" {
	echo a >in
	ulimit -c 0
	expect 125 prlimit --fsize=4096 "$MR" run -m 'exec head -c 10000 /dev/zero >big' in
	says SIGXFSZ
	rm big
}

@test "without a process to spare the job fails cleanly or works" {
	needs prlimit
	ordinary_user
	seq 20000 >in
	reference in >want
	# The last is enough, whatever else that user runs.
	for n in 1 2 3 4 6 12 300; do
		got=0
		user prlimit --nproc=$n mr run -j 8 -m cat -r cat in >../out 2>../err 3>&- || got=$?
		case $got in
		0) prints want ;;
		1 | 123)
			prints_nothing
			says 'Resource temporarily unavailable|[cC]annot fork' ;;
		*) echo "status $got with $n"; false ;;
		esac
	done
	[ "$got" -eq 0 ]
}

@test "a fork that fails for a moment is tried again" {
	needs strace
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	seq 20000 >in
	reference in >want
	for n in 1 2 3; do
		expect 0 strace -f -b execve -qq -o ../trace -e trace=clone,clone3,fork,vfork \
			-e "inject=clone,clone3,fork,vfork:error=EAGAIN:when=$n" \
			mr run -j 2 --block-size 16K -m cat -r cat in
		prints want
	done
}

@test "with little address space mr works or fails with a message" {
	needs_plain_binary
	random_records 40000 >in
	reference in >want
	for mib in 4 8 12 16 24 32 64 128 256; do
		got=0
		prlimit --as=$((mib << 20)) "$MR" run -S 16M -j 2 -m cat -r cat in >../out 2>../err 3>&- || got=$?
		case $got in
		0) prints want ;;
		# 123, 125: it was the task that could not start.
		1 | 123 | 125 | 127)
			prints_nothing
			[ -s ../err ] ;;
		*) echo "status $got with $mib MiB"; false ;;
		esac
	done
	[ "$got" -eq 0 ]
}

@test "memory that cannot be had is never a crash" {
	needs_plain_binary dynamic
	needs_tool faultshim.so
	random_records 3000 >in
	reference in >want
	for n in 1 2 3 4 5 6 7 8 9 10 12 15 20 30 50 100; do
		for v in FS_MALLOC FS_MALLOCP; do
			got=0
			env LD_PRELOAD="$TOOLS/faultshim.so" FS_ONLY=mr "$v=$n" mr run -S 4M -j 2 -m cat -r cat in >../out 2>../err 3>&- || got=$?
			case $got in
			0) prints want ;;
			1)	prints_nothing
				says 'memory' ;;
			*) echo "status $got with $v=$n"; false ;;
			esac
		done
	done
}

@test "short reads and writes and interruptions change nothing" {
	needs_plain_binary dynamic
	needs_tool faultshim.so
	random_records 600 >in
	reference in >want
	# Each second call interrupted would keep a loop of two calls for ever.
	for v in 'FS_SHORT=1' 'FS_EINTR=3' 'FS_SHORT=1 FS_EINTR=5'; do
		for c in 'run -j 2 --block-size 4K -m cat -r cat in' 'sort in'; do
			# shellcheck disable=SC2086 # several words
			expect 0 env LD_PRELOAD="$TOOLS/faultshim.so" FS_ONLY=mr $v mr $c
			prints want
		done
		# shellcheck disable=SC2086 # several words
		expect 0 env LD_PRELOAD="$TOOLS/faultshim.so" FS_ONLY=mr $v mr map --block-size 4K cat < <(cat in)
		prints in
		# shellcheck disable=SC2086 # several words
		expect 0 env LD_PRELOAD="$TOOLS/faultshim.so" FS_ONLY=mr $v mr reduce --block-size 4K cat < <(cat want)
		prints want
	done
}

@test "a file system without O_TMPFILE, a kernel without memfd_create: the same" {
	needs_plain_binary dynamic
	needs_tool faultshim.so
	random_records 100000 >in
	reference in >want
	lacking() {
		rm -f ../lacked
		expect "$1" env LD_PRELOAD="$TOOLS/faultshim.so" FS_ONLY=mr \
			FS_LACKS=1 FS_LOG="$PWD/../lacked" mr "${@:2}"
		[ -s ../lacked ]
		[ -z "$(ls -A "$TMPDIR")" ]
	}
	lacking 0 run -j 2 -S 4M -m cat -r cat in
	prints want
	lacking 0 sort -S 4M --compress-program gzip in
	prints want
	lacking 0 run -j 2 -m cat -r cat -o out <in
	cmp out want
	lacking 123 run --job-dir jd -j 2 -m cat -r 'exit 1' in
	lacking 0 run --job-dir jd -j 2 -m cat -r cat in
	prints want
	[ -z "$(ls -A jd/tmp)" ]
	head -n 50000 in >first
	lacking 0 run --append -O kept -r cat first
	lacking 0 run --append -O kept -r cat first in
	cat first in | reference | cmp - <(cat kept/part-*)
	[ "$(ls -A)" = "$(printf '%s\n' first in jd kept out want)" ]
}

@test "a memory cgroup little above -S is enough for more input than that" {
	needs_plain_binary
	needs_memory_cgroup 64M
	random_records 600000 >in
	in_cgroup bash -c '"$@" >../out 2>../err 3>&-' bash \
		mr run -S 16M -j 2 -m cat -r cat -o sorted in
	LC_ALL=C reference -c sorted
	[ "$(wc -c <sorted)" -eq "$(wc -c <in)" ]
}

@test "what comes through a pipe is kept no longer than it is needed, and not mixed up" {
	awk 'BEGIN { for (i = 0; i < 1200000; i++)
		print i * 7919 % 1000003 % 7 "\t" i }' >in
	awk -F '\t' '{ n[$1]++; s[$1] += $2 } END { for (k in n)
		print k "\t" n[k] "\t" s[k] }' in | LC_ALL=C sort >want
	# It is longer than any file may be.
	[ "$(wc -c <in)" -gt 10000000 ]
	for j in 1 2; do
		expect 0 bash -c 'ulimit -f 6144
			cat in | mr run -S 16M -j "$1" --agg "count sum 2"' \
			bash "$j"
		prints want
	done
	# Blocks that commands read take no more than they are long.
	head -c 4000000 in >few
	expect 0 bash -c 'ulimit -f 6144
		cat few | mr run -S 64M -N 2000 -m cat'
	prints few
}

@test "of what comes through a pipe nothing is left when it has been sorted" {
	[ -e /proc/self/fd ] || skip "there is no /proc"
	cat >held <<-\end
		#!/bin/sh
		cat >/dev/null
		for f in /proc/$PPID/fd/*; do
			case $(readlink "$f") in
			*memfd:*) stat -Lc '%b %B' "$f" ;;
			esac
		done | awk '{ sum += $1 * $2 } END { print sum + 0 }'
	end
	chmod +x held
	# Equal records are a run of a few bytes.
	yes a | head -n 15000000 | mr run -S 64M -j 2 -r ./held >out
	[ "$(cat out)" -lt 1000000 ]
}

@test "output that is far longer than what was sorted, or read, takes no more memory" {
	needs_plain_binary
	yes 'a key	a value' | head -n 8000000 >in
	echo one >few
	for c in 'sort in' 'run -r cat in' 'run -m "cat $PWD/in" few'; do
		needs_memory_cgroup 64M
		in_cgroup bash -c "mr ${c/ / -S 16M -j 2 } "'>printed 2>../err 3>&-'
		cmp in printed
	done
}

@test "the clock may jump while a task runs with --timeout" {
	needs_plain_binary dynamic
	needs_option --timeout
	needs faketime
	echo a >in
	echo '+0' >offset
	lib=$(faketime -f +0 sh -c 'echo "$LD_PRELOAD"')
	[ -n "$lib" ] || skip "faketime does not say where its library is"
	# The wall clock alone is false, not the times of files: one day on, then
	# back to 2001.
	for jump in +1d '@2001-01-01 00:00:00'; do
		expect 0 env "LD_PRELOAD=$lib" "FAKETIME_TIMESTAMP_FILE=$PWD/offset" \
			NO_FAKE_STAT=1 FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
			mr run --timeout 20 -m "echo '$jump' >offset; sleep 0.3; cat" -r cat in
		[ "$(cat ../out)" = a ]
	done
}

# --------------------------------------------------------- of other people

@test "64 tasks at once leave the pipes of their user at full size" {
	needs python3
	ordinary_user
	mkfifo -m 666 go
	for i in $(seq 64); do echo "$i" >"f$i"; done
	: >running
	chmod 666 running
	who=
	! is_root || who='setpriv --reuid=54321 --regid=54321 --clear-groups'
	# shellcheck disable=SC2086 # several words
	start $who "$MR_AS_USER" run -S 1G -j 64 -m 'echo >>running; : <go; cat' f? f??
	all_run() { [ "$(wc -l <running)" -eq 64 ]; }
	wait_until all_run
	size=$(user python3 -c '
import fcntl, os
print(fcntl.fcntl(os.pipe()[0], 1032))	# F_GETPIPE_SZ')
	# With a writer in place all 64 can open it.
	exec 9<>go
	ends 0
	exec 9>&-
	[ "$size" -ge 65536 ]
	[ "$(wc -l <../out)" -eq 64 ]
}

@test "a record that is too long is an error with its file and its place" {
	# The limit is 2 GiB, or for tests 1 MiB.
	export MR_DEBUG=short
	{ printf 'a\tb\n%.0s' {1..10}; head -c 3M /dev/zero | tr '\0' x; } >in
	echo record >small
	for how in 'run -r cat' 'run --agg count' sort 'shuffle -R 2 -O parts'; do
		# shellcheck disable=SC2086
		expect 1 mr $how small in
		says ' task 1 failed after 1 attempt: the record at byte 40 has more than 1048576 bytes'
		says 'input in, bytes 0-3145767'
		prints_nothing
	done
	for how in '-m cat -r cat' '-z -m cat -r cat' '-m cat --agg count' \
	    '-m cat -k 1,1r -r cat'; do
		# shellcheck disable=SC2086
		expect 1 mr run $how --retries 2 small in
		says 'map task 1 failed after 1 attempt: the record at byte (4)?0 of its output has more'
		says 'input in, bytes'
	done
	for how in '-c in' '-m in in'; do
		# shellcheck disable=SC2086
		expect 1 mr sort $how
		says 'in: the record at byte 40 has more than 1048576 bytes'
	done
	expect 1 mr run -r cat --combine 'cat >/dev/null; head -c 3M /dev/zero' \
		small
	says 'the record at byte 0 of its output has more'
	# What is not sorted may be of any length.
	expect 0 mr run -m cat in
	{ cat in; echo; } | cmp - ../out
}

@test "memory that a record is too long for is an error with its file and its place" {
	needs_plain_binary
	{ printf 'a\tb\n%.0s' {1..10}; head -c 40M /dev/zero | tr '\0' x; } >in
	echo record >small
	gzip -1 -k in
	for how in 'run -r cat' 'run --agg count' 'sort' 'shuffle -R 2 -O parts' \
	    'run -k 1,1r -r cat'; do
		# shellcheck disable=SC2086
		expect 1 prlimit --as=$((48 << 20)) "$MR" $how -S 8M -j 1 small in
		says '^mr.*: out of memory \([0-9]+ bytes more were needed\): the record at byte 40 of in has over [0-9]+ bytes$'
		prints_nothing
		[ ! -e parts ]
	done
	for how in '-m cat -r cat small in' '-z -m cat -r cat small in' \
	    '-r cat small in.gz'; do
		# shellcheck disable=SC2086
		expect 1 prlimit --as=$((48 << 20)) "$MR" run $how -S 8M -j 1
		says 'out of memory.*: the record at byte (4)?0 of the output of task 1, input in(.gz)? has over [0-9]+ bytes$'
		prints_nothing
	done
	for how in -c -m; do
		expect 1 prlimit --as=$((48 << 20)) "$MR" sort $how in
		says 'out of memory.*: the record at byte 40 of in has over [0-9]+ bytes$'
	done
	# What is not sorted may be of any length.
	expect 0 prlimit --as=$((48 << 20)) "$MR" run -S 8M -j 1 -m cat in
	{ cat in; echo; } | cmp - ../out
}
