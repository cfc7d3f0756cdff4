#!/usr/bin/env bats
# mr run --job-dir: a job that is kept, and goes on after whatever ended it.
load helper
load failure

# Both commands note every execution of a task in the file runs.
make_job() {
	seq "${1:-6000}" | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	reference in | awk '{ n[$1]++; if ($1 != last && NR > 1) print last, n[last]
		last = $1 } END { print last, n[last] }' >ref
	cat >mapper <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK" >>"$RUNS" && exec cat
	END
	cat >reducer <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK" >>"$RUNS"
		exec awk '$1 != last && NR > 1 { print last, n } $1 != last { n = 0 }
			{ n++; last = $1 } END { if (NR) print last, n }'
	END
	chmod +x mapper reducer
	export RUNS=$PWD/runs
	: >runs
	job=(run --job-dir jd -j 2 --block-size 8K -R 3 -m ./mapper -r ./reducer)
}

# committed: lines "map 3" of the tasks that are committed.
committed() {
	(cd jd && ls map/* reduce/* 2>/dev/null) | tr / ' ' |
		sed 's/ 0*\([0-9]\)/ \1/'
}

# once FILE: each task in FILE has been run exactly once.
once() {
	local task

	while read -r task; do
		[ "$(grep -cx "$task" runs)" -eq 1 ] ||
			{ echo "$task: $(grep -cx "$task" runs) times"; return 1; }
	done <"$1"
}

nothing_ran() {
	[ ! -s runs ] || { echo "run again:"; cat runs; return 1; }
}

@test "a job directory is made, private, and the output is as ever" {
	make_job
	umask 0
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(stat -c %a jd)" = 700 ]
	[ -z "$(find jd -perm /077 -type f)" ]
	[ "$(committed | wc -l)" -eq "$(sort -u runs | wc -l)" ]
	[ -z "$(ls -A jd/tmp)" ]
}

@test "the same command on a finished job runs nothing and prints the result again" {
	make_job
	mr "${job[@]}" in >/dev/null
	: >runs
	expect 0 mr "${job[@]}" in
	prints ref
	expect 0 mr "${job[@]}" -j 5 -S 5M -T . -o out -q in
	cmp out ref
	expect 0 mr "${job[@]}" -O parts in
	cat parts/part-* | cmp - ref
	nothing_ran
}

@test "after a kill of everything the job goes on: no committed task again, same bytes" {
	make_job
	for when in 2 5 8; do
		rm -rf jd
		: >runs
		export when
		sed -i '2s/.*/[ "$(wc -l <"$RUNS")" -lt "$when" ] || kill -KILL $(cat pids)\n&/' mapper reducer
		start setsid sh -c 'echo -$$ >pids; exec "$@"' sh mr "${job[@]}" in
		ends 137
		sed -i 2d mapper reducer
		prints_nothing
		committed >before
		expect 0 mr "${job[@]}" -j 3 -S 6M in
		prints ref
		once before
	done
}

@test "killed at any write, link, fsync or fork, the job goes on: same bytes" {
	needs_killat
	make_job 3000
	cat >check <<-'END'
		while read -r task; do
			! grep -qx "$task" runs || exit 1
		done <before && cmp out ref
	END
	for mode in one root all power; do
		"$TOOLS/crash-sweep" -qx -m "$mode" -w jd -k 12 \
			-e write,rename,fork,fsync,unlink,openat,mkdir \
			-p 'rm -rf jd out .mr* "${TMPDIR:?}"/.mr*; : >runs; : >before' \
			-i '! test -e out && (cd jd 2>/dev/null && ls map/* reduce/* 2>/dev/null |
				tr / " " | sed "s/ 0*\([0-9]\)/ \1/") >before; : >runs' \
			-r "mr ${job[*]} -o out in" -c 'sh check' \
			-l 'ls -A | grep -vxE "in|ref|out|jd|runs|before|check|mapper|reducer"
				ls -A jd/tmp' \
			-- mr "${job[@]}" -o out in 3>&-
	done
	rm -rf "$TMPDIR"/.mr*
}

@test "a failed job is kept: its cause removed, it goes on" {
	make_job
	sed -i '3s/.*/[ "$MR_TASK" -ne 1 ] || [ -e good ] || exit 7/' reducer
	sed -i '$ s/^/#/' reducer
	cat >>reducer <<-'END'
		exec awk '$1 != last && NR > 1 { print last, n } $1 != last { n = 0 }
			{ n++; last = $1 } END { if (NR) print last, n }'
	END
	sed -i '/^#exec/d;/^#\t/d' reducer
	expect 123 mr "${job[@]}" in
	prints_nothing
	committed >before
	grep -q map before
	: >good
	: >runs
	expect 0 mr "${job[@]}" in
	prints ref
	[ -z "$(sort runs | comm -12 - <(sort before))" ]
}

@test "standard input and pipes are read once and kept" {
	make_job
	mkfifo pipe
	cat <in >pipe 3>&- &
	expect 0 mr "${job[@]}" pipe - <in
	cat in in | reference | ./reducer >twice
	prints twice
	: >runs
	cat <in >pipe 3>&- &
	expect 0 mr "${job[@]}" pipe - </dev/null
	kill "$!"
	wait
	prints twice
	nothing_ran
	rm -r jd
	expect 0 bash -c 'mr "$@" <(cat in)' sh "${job[@]}"
	expect 0 bash -c 'mr "$@" 8<in <(:)' sh "${job[@]}"
	prints ref
}

@test "map-only jobs, -O and what tasks leave in MR_OUTPUT_DIR are kept, too" {
	make_job
	map=(run --job-dir jd --block-size 8K -m 'cat >"$MR_OUTPUT_DIR/$MR_TASK"; echo "$MR_TASK"; [ -e good ] || [ $MR_TASK -ne 4 ]' -O parts)
	expect 123 mr "${map[@]}" in
	[ ! -e parts ]
	: >good
	expect 0 mr "${map[@]}" in
	n=$(ls jd/map | wc -l)
	cat parts/part-* | cmp - <(seq 0 $((n - 1)))
	for ((i = 0; i < n; i++)); do cat "parts/$i"; done | cmp - in
	[ -e parts/_mr/logs/map-000003 ]
	expect 0 mr run --job-dir j2 -m 'grep -v 5' --block-size 8K in
	grep -v 5 in | cmp - ../out
	rm -r j2
}

@test "another job in the directory is refused: it says what differs" {
	make_job
	mr "${job[@]}" in >/dev/null
	cp in in2
	: >runs
	local want
	other() {
		expect 2 mr run --job-dir jd --block-size 8K -R 3 "$@"
		says "$want"
		prints_nothing
	}
	want='planned with --map=./mapper, not with --map=cat' other -m cat -r ./reducer in
	want='planned with --reduce=./reducer, not' other -m ./mapper -r cat in
	expect 2 mr run --job-dir jd --block-size 8K -m ./mapper in
	says 'planned with --reduce=./reducer$'
	want='planned without --zero-terminated' other -z -m ./mapper -r ./reducer in
	want='planned with the input in, not in2' other -m ./mapper -r ./reducer in2
	want='planned without the input in2' other -m ./mapper -r ./reducer in in2
	expect 2 mr run --job-dir jd --block-size 8K -R4 -m ./mapper -r ./reducer in
	says 'planned with --reducers=3, not with --reducers=4'
	mkdir sub
	cp mapper reducer sub
	(cd sub && want='planned in ' other --job-dir ../jd -m ./mapper -r ./reducer ../in)
	nothing_ran
}

@test "an input of a committed task that has changed is refused, another is planned anew" {
	make_job
	cat >>mapper <<-'END'
		END
	sed -i 's/exec cat/{ [ "$MR_INPUT_FILE" = in ] || [ -e good ]; } \&\& exec cat/' mapper
	cp in in2
	expect 123 mr "${job[@]}" -j 1 in in2
	: >good
	echo 'new	1' >>in2
	expect 0 mr "${job[@]}" in in2
	cat in in2 | reference | ./reducer >want
	prints want
	: >runs
	echo 'new	1' >>in
	expect 2 mr "${job[@]}" in in2
	says 'map task 0 is committed, and its input in has been changed'
	mv in in3
	expect 2 mr "${job[@]}" in in2
	nothing_ran
}

@test "other commands are taken where nothing has been made with the old ones" {
	make_job
	expect 123 mr run --job-dir jd --block-size 8K -m ./mapper -r 'exit 9' in
	committed >before
	: >runs
	expect 0 mr run --job-dir jd --block-size 8K -m ./mapper -r ./reducer in
	prints ref
	run ! grep map runs
	expect 123 mr run --job-dir j2 --block-size 8K -m 'exit 9' -r ./reducer - <in
	expect 0 mr run --job-dir j2 --block-size 8K -m ./mapper -r ./reducer - </dev/null
	prints ref
}

@test "a part whose range is empty stands in the way of no other reduce command" {
	make_job
	sed 's/.*	/same	/' in >one
	cp one ref
	expect 123 mr run --job-dir jd -j 2 -R 3 -m ./mapper -r 'cat >/dev/null
		until ls jd/reduce/* >/dev/null 2>&1; do sleep 0.02; done
		exit 9' one
	: >runs
	expect 0 mr run --job-dir jd -R 3 -m ./mapper -r cat one
	prints ref
	nothing_ran
}

@test "two drivers in one directory: one works, the other is sent away" {
	make_job
	mkfifo gate
	sed -i 's/exec cat/{ read x <gate; exec cat; }/' mapper
	start mr "${job[@]}" in
	wait_until test -s runs
	expect 75 mr "${job[@]}" in
	says "another mr is at work on it: process $JOB on $(uname -n)"
	while kill -0 "$JOB" 2>/dev/null; do timeout 1 sh -c 'echo >gate'; done &
	wait "$JOB"
	wait
}

@test "a directory that is not ours, or no directory of a job, is refused" {
	make_job
	mkdir other
	: >other/file
	expect 2 mr run --job-dir other -r cat in
	says 'other: it is no job directory: it holds file'
	ln -s nowhere link
	expect 2 mr run --job-dir link -r cat in
	[ ! -e nowhere ]
	mkdir real
	ln -s real link2
	expect 2 mr run --job-dir link2/ -r cat in
	expect 2 mr run --job-dir none/none -r cat in
	mkdir wide
	: >wide/plan
	chmod 777 wide
	expect 2 mr run --job-dir wide -r cat in
	says 'others may write in it'
	is_root || return 0
	mkdir theirs
	chown 65534 theirs
	expect 2 mr run --job-dir theirs -r cat in
	says 'belongs to another user'
}

@test "files cut off or changed at any byte are recovered or refused" {
	local tried=0

	damaged_job 8
	[ "$tried" -gt 80 ]
}

@test "a map that is damaged when some parts have been made of it is refused" {
	make_job
	cat >reducer <<-'END'
		#!/bin/sh
		cat
		[ "$MR_TASK" -ne 1 ] || [ -e good ]
	END
	expect 123 mr "${job[@]}" -j 1 in
	[ -n "$(ls jd/reduce)" ]
	truncate -s -1 jd/map/000002
	expect 1 mr "${job[@]}" in
	says 'a map task.s file is damaged or gone, and parts have been made of it; mr rm'
	prints_nothing
	# Of none, it is made again.
	rm jd/reduce/*
	: >good
	: >runs
	expect 0 mr "${job[@]}" in
	[ "$(cat runs)" = 'map 2' ]
	reference in | cmp - ../out
}

@test "10,000 tasks, and few descriptors" {
	seq 10000 | awk '{ print $1 % 977 "\t" $1 }' >in
	reference in >ref
	(
		ulimit -n 1024
		mr run --no-sync --job-dir jd --block-size 6 -r cat in | cmp - ref
	)
	[ "$(ls jd/map | wc -l)" -ge 8000 ]
}

@test "a sample of a kept job is drawn once, and goes on" {
	make_job
	sample=(--sample 50 --seed 3 --block-size 8K -R 3 -m ./mapper)
	expect 0 mr run "${sample[@]}" -r ./reducer in
	mv ../out want
	expect 123 mr run --job-dir jd "${sample[@]}" -r 'exit 9' in
	committed >before
	: >runs
	expect 0 mr run --job-dir jd "${sample[@]}" -r ./reducer in
	prints want
	run ! grep map runs
	expect 0 mr task jd map 0
	echo x >>in
	expect 2 mr run --job-dir jd "${sample[@]}" -r ./reducer in
	says 'in has been changed since the sample was drawn'
	# Killed before it is drawn.
	rm -r jd
	mkfifo gate
	sample=(--sample 5 --decompress 'read x <gate; cat' -m ./mapper -r cat)
	start mr run --job-dir jd "${sample[@]}" in
	wait_until test -e jd/plan
	kill -KILL "$JOB"
	ends 137
	rm gate
	echo go >gate
	expect 2 mr task jd map 0
	says 'the sample is not drawn yet, for which all of the input is read: .* mr resume$'
	expect 0 mr run "${sample[@]}" in
	mv ../out want
	expect 0 mr run --job-dir jd "${sample[@]}" in
	prints want
}

@test "a kept job with a source asks how much there is once" {
	make_job
	cat >source <<-'END'
		#!/bin/sh
		echo "source ${1#[0-9]*}" >>"$RUNS"
		[ "$1" = count ] && echo 1000 && exit
		seq 1 1000 | tail -n "+$(($1 + 1))" | head -n "$2"
	END
	chmod +x source
	src=(run --job-dir jd --source ./source -N 100 -R 2 -m ./mapper)
	expect 123 mr "${src[@]}" -r 'exit 9'
	[ "$(grep -c count runs)" -eq 1 ]
	: >runs
	expect 0 mr "${src[@]}" -r ./mapper
	seq 1000 | reference | cmp - ../out
	run ! grep -E 'map|source' runs
	expect 0 mr resume jd
	seq 1000 | reference | cmp - ../out
}

@test "a kept job without any input runs each command once, and not again" {
	make_job
	: >empty
	for in in empty - '| cat'; do
		rm -rf jd
		: >runs
		empty=("${job[@]}" "$in")
		[ "$in" != '| cat' ] || empty=("${job[@]}" --decompress cat empty)
		expect 0 mr "${empty[@]}" </dev/null
		prints empty
		[ "$(sort runs)" = $'map 0\nreduce 0' ]
		expect 0 mr "${empty[@]}" </dev/null
		prints empty
		[ "$(wc -l <runs)" -eq 2 ]
	done
}

@test "files that share a task or are one have changed: planned anew, if not done" {
	make_job
	for i in 1 2 3 4; do seq "$i" 9 >"f$i"; done
	for how in --pack --whole-file; do
		rm -rf jd good
		pack=(run --job-dir jd "$how" -R 1 -r cat -m '[ -e good ] && cat' f1 f2 f3 f4)
		expect 123 mr "${pack[@]}"
		seq 100 >f2
		: >f3
		: >good
		expect 0 mr "${pack[@]}"
		cat f1 f2 f3 f4 | reference | cmp - ../out
		echo new >>f3
		expect 2 mr "${pack[@]}"
		says 'its input f3 has been changed|f3 was empty'
	done
}
