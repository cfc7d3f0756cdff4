#!/usr/bin/env bats
# Big things: records, keys, groups, files, numbers of files; and a locale that
# takes long to make.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load ../helper
load ../failure

export LIMIT=300	# seconds that expect waits

needs_memory() {
	[ "$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)" -ge "$1" ] ||
		skip "this takes $1 MiB of memory"
}

needs_disk() {
	[ "$(df -Pm . | awk 'NR == 2 { print $4 }')" -ge "$1" ] ||
		skip "this takes $1 MiB of disk"
}

@test "a record of 1 GB works, or fails with its position" {
	needs_plain_binary
	needs_memory 6000
	needs_disk 5000
	{
		echo small
		head -c 1G /dev/zero | tr '\0' x
		printf '\tvalue\nzz\n'
	} >in
	got=0
	timeout -s KILL 300 mr run -S 64M -m cat -r cat -o out in 2>../err 3>&- || got=$?
	case $got in
	0) cmp in out ;;
	1)	says 'in.*(byte|offset|record)'
		test ! -e out ;;
	*) cat ../err; false ;;
	esac
}

@test "a record of 1 GB in less memory than that fails cleanly" {
	needs_plain_binary
	needs_disk 3000
	{
		echo small
		head -c 1G /dev/zero | tr '\0' x
		echo
	} >in
	got=0
	timeout -s KILL 300 prlimit --as=$((600 << 20)) "$MR" run -S 64M -r cat -o out in 2>../err 3>&- || got=$?
	case $got in
	0) cmp in out ;;
	1)	[ -s ../err ]
		test ! -e out ;;
	*) cat ../err; false ;;
	esac
}

@test "ten million distinct keys in a memory cgroup of 64 MB" {
	needs_plain_binary
	needs_disk 500
	needs_memory_cgroup 64M
	seq -w 10000000 | tac >in
	in_cgroup bash -c '"$@" 2>../err 3>&-' bash \
		timeout -s KILL 300 mr run -S 24M -j 2 -m cat -r cat -o out in
	seq -w 10000000 | cmp - out
}

@test "ten million distinct keys through the filters" {
	needs_disk 500
	seq -w 10000000 | tac | mr map -S 24M cat | mr sort -S 24M | mr reduce -S 24M cat >out
	seq -w 10000000 | cmp - out
}

@test "one key with 99 in 100 of 8 million records in a memory cgroup of 64 MB" {
	needs_plain_binary
	needs_disk 1500
	needs_memory_cgroup 64M
	awk 'BEGIN {
		for (i = 0; i < 8000000; i++)
			print (i % 100 ? "hot" : "k" i) "\t" i " of many"
	}' >in
	in_cgroup bash -c '"$@" 2>../err 3>&-' bash \
		timeout -s KILL 300 mr run -S 24M -j 2 -m cat -r cat -o out in
	reference -S 500M in | cmp - out
}

# 100,000 files of three records each, in one directory.
make_files() {
	mkdir many
	seq -w 300000 | split -l 3 -a 5 -d - many/f
	seq -w 300000 >want
	[ "$(find many -type f | wc -l)" -eq 100000 ]
}

@test "100,000 files: a directory, with 16 descriptors" {
	make_files
	expect 0 prlimit --nofile=16 "$MR" run many
	prints want
	expect 0 prlimit --nofile=16 "$MR" run -S 16M -m cat --pack -r cat many
	prints want
}

@test "100,000 files: names as operands and from a list, with 16 descriptors" {
	make_files

	# One argument list holds about 2 MB, 100,000 names of 6 bytes.
	if [ "$(getconf ARG_MAX)" -ge 2000000 ]; then
		expect 0 sh -c 'cd many && exec prlimit --nofile=16 "$MR" run -r cat *'
		prints want
	fi
	if mr run --help | grep -q -- --files0-from; then
		find many -type f -print0 | LC_ALL=C sort -z |
			expect 0 prlimit --nofile=16 "$MR" run --files0-from -
		prints want
		find many -type f -print0 | LC_ALL=C sort -z >list
		expect 0 prlimit --nofile=16 "$MR" run -m cat --pack --files0-from list
		prints want
	fi
}

@test "20,000 files, a task each" {
	mkdir many
	seq -w 60000 | split -l 3 -a 5 -d - many/f
	seq -w 60000 >want
	expect 0 prlimit --nofile=16 "$MR" run -j 2 -m cat -r cat many
	prints want
}

@test "100,000 files in a memory cgroup of 48 MB" {
	needs_plain_binary
	needs_memory_cgroup 48M
	make_files
	in_cgroup bash -c '"$@" >../out 2>../err 3>&-' bash \
		timeout -s KILL 300 mr run -S 16M -j 2 -m cat --pack -r cat many
	prints want
}

@test "offsets and sizes beyond 4 GiB" {
	needs python3
	needs_disk 100
	# 5120 records of 1 MiB, all holes but for the last byte of each.
	python3 -c '
import os
fd = os.open("in", os.O_WRONLY | os.O_CREAT)
for i in range(1, 5121):
    os.pwrite(fd, b"\n", i * 1048576 - 1)'
	expect 0 mr run -j 2 -m 'wc -c' in
	[ "$(awk '{ n += $1 } END { printf "%d", n }' ../out)" = 5368709120 ]
	# 64 MiB blocks: one starts at exactly 4 GiB, and later ones follow.
	expect 0 mr run -j 2 --block-size 64M -m 'cat >/dev/null; echo "$MR_INPUT_START $MR_INPUT_LENGTH"' in
	awk '$1 != at { exit 1 } { at += $2 } END { if (at != 5368709120) exit 1 }' ../out
	[ "$(tail -n 1 ../out | cut -d ' ' -f 1)" -gt 4294967296 ]
	expect 0 mr run -v -j 2 -m 'head -c 1' in
}

@test "the locale en_US changes no order, though sort's is another" {
	needs localedef
	localedef -i en_US -f UTF-8 "$PWD/en_US.UTF-8" >/dev/null 2>&1 || skip "the locale en_US cannot be made"
	printf '%s\n' B a b A é z Z >in
	reference in >want
	[ "$(LOCPATH=$PWD LC_ALL=en_US.UTF-8 sort in | head -n 1)" = a ]
	expect 0 env "LOCPATH=$PWD" LC_ALL=en_US.UTF-8 mr run -m cat -r cat in
	prints want
	expect 0 env "LOCPATH=$PWD" LC_ALL=en_US.UTF-8 mr sort in
	prints want
}
