#!/usr/bin/env bats
# mr status, wait, logs, resume, cancel, rm and task: a job that is kept, seen
# from outside, and left in the background.
load helper
load failure

make_job() {
	seq 6000 | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	reference in >ref
	cat >mapper <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK" >>"$RUNS"
		echo "this is $MR_PHASE $MR_TASK" >&2
		[ ! -e gate ] || read x <gate
		[ ! -e bad ] || [ "$MR_TASK" -ne 2 ] || exit 7
		exec cat
	END
	chmod +x mapper
	export RUNS=$PWD/runs
	: >runs
	job=(run --job-dir jd -j 2 --block-size 8K -R 2 -m ./mapper -r cat)
}

@test "a job in the background: its directory is printed, mr wait prints the rest" {
	make_job
	expect 0 mr "${job[@]}" --detach in
	[ "$(cat ../out)" = "$PWD/jd" ]
	expect 0 mr wait jd
	prints ref
	says 'this is map 3'
	expect 0 mr wait jd
	prints ref
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(wc -l <runs)" -eq "$(ls jd/map | wc -l)" ]
}

@test "in the background with -o and -O, of standard input, without a terminal" {
	make_job
	expect 0 mr "${job[@]}" --detach -o out - <in
	expect 0 mr wait jd
	prints_nothing
	cmp out ref
	rm -r jd
	expect 0 mr "${job[@]}" --detach -O parts - <in
	expect 0 mr wait jd
	prints_nothing
	cat parts/part-* | cmp - ref
	# Once more: the directory is there, and it is this job's.
	expect 0 mr "${job[@]}" -O parts - </dev/null
	cat parts/part-* | cmp - ref
	expect 0 mr resume jd
	rm -r jd
	expect 2 mr "${job[@]}" -O parts in
}

@test "a failed job in the background: mr wait says what mr run would have said" {
	make_job
	: >bad
	expect 123 mr "${job[@]}" -j 1 in
	mv ../err want
	rm -r jd
	expect 0 mr "${job[@]}" -j 1 --detach in
	expect 123 mr wait jd
	prints_nothing
	diff ../err want
	expect 0 mr status jd
	grep -q 'failed, exit status 123$' ../out
	rm bad
	expect 0 mr resume jd
	prints ref
	expect 0 mr wait jd
	prints ref
}

@test "mr status tells what is done and who works on it" {
	make_job
	mkfifo gate
	expect 0 mr "${job[@]}" --detach in
	wait_until test -s runs
	expect 0 mr status jd
	grep -q "running, process [0-9]* on $(uname -n)\$" ../out
	grep -q 'map: 0 of [0-9]* tasks are done' ../out
	grep -q 'reduce: not begun' ../out
	pid=$(sed -n 's/.*process \([0-9]*\) on.*/\1/p' ../out)
	[ "$(readlink "/proc/$pid/exe")" = "$MR" ]
	expect 0 mr status --json jd
	python3 -m json.tool ../out >/dev/null || ! command -v python3
	grep -q '"state": "running"' ../out
	kill -KILL "$pid"
	expect 1 mr wait jd
	says 'not complete'
	expect 0 mr status jd
	grep -q interrupted ../out
	rm gate
	expect 0 mr resume -q jd
	prints ref
	expect 0 mr status jd
	grep -q 'complete$' ../out
	grep -q 'reduce: 2 of 2 tasks are done' ../out
}

@test "mr cancel stops a job, mr resume goes on with it" {
	make_job
	mkfifo gate
	expect 0 mr "${job[@]}" --detach in
	wait_until test -s runs
	expect 75 mr rm jd
	expect 75 mr resume jd
	expect 0 mr cancel jd
	expect 143 mr wait jd
	expect 0 mr cancel jd
	says 'nobody works on the job'
	rm gate
	expect 0 mr resume jd
	prints ref
}

@test "mr logs prints what tasks have said" {
	make_job
	mr "${job[@]}" in >/dev/null 2>&1
	expect 0 mr logs jd
	grep -qx 'map 3: this is map 3' ../out
	[ "$(wc -l <../out)" -eq "$(ls jd/map | wc -l)" ]
	expect 0 mr logs jd map 3
	[ "$(cat ../out)" = 'this is map 3' ]
	expect 1 mr logs jd map 300
	says 'has not been run'
	expect 2 mr logs jd 3
}

@test "mr task runs a task in the foreground, unless it is done" {
	make_job
	: >bad
	expect 123 mr "${job[@]}" --detach -j 1 in || expect 0 mr wait jd ||
		expect 123 mr wait jd
	: >runs
	expect 123 mr task jd map 2
	says 'map task 2 failed after 1 attempt'
	says 'this is map 2'
	expect 1 mr task jd reduce 0
	says 'map task 2 is not committed'
	rm bad
	expect 0 mr task jd map 2
	prints_nothing
	expect 0 mr task jd map 2
	[ "$(cat runs)" = "$(printf 'map 2\nmap 2')" ]
	n=$(mr status jd | sed -n 's/^map: .* of \([0-9]*\) .*/\1/p')
	expect 2 mr task jd map "$n"
	says "there is no map task $n: there are $n"
	# All of it, by many processes at once.
	for _ in 1 2 3; do
		mr task jd map 0-$((n - 1)) 2>/dev/null &
	done
	wait
	for _ in 1 2 3; do
		mr task jd reduce 0-1 &
	done
	wait
	expect 0 mr status jd
	grep -q 'reduce: 2 of 2 tasks' ../out
	: >runs
	expect 0 mr resume jd
	prints ref
	[ ! -s runs ]
	[ -z "$(ls -A jd/tmp)" ]
}

@test "mr resume: from anywhere, with other commands where that is allowed" {
	make_job
	expect 123 mr run --job-dir jd --block-size 8K -m ./mapper -r 'exit 9' in
	: >runs
	mkdir other
	(cd other && mr resume -j 3 -S 5M -r 'cat -' ../jd) >got
	cmp got ref
	[ ! -s runs ]
	expect 2 mr resume -m cat jd
	says 'planned with --map=./mapper, not with --map=cat'
	expect 2 mr resume -r cat jd
	expect 2 mr resume
	expect 2 mr resume other
	says 'it has no plan'
}

@test "mr rm removes what mr has made, and follows no link" {
	make_job
	mkdir precious
	: >precious/file
	mr "${job[@]}" in >/dev/null 2>&1
	ln -s "$PWD/precious" jd/logs/link
	ln -s jd link
	expect 2 mr rm link/
	expect 2 mr rm precious
	says 'it has no plan'
	: >jd/mine
	expect 2 mr rm jd
	says 'it holds mine'
	rm jd/mine
	expect 0 mr rm jd
	[ ! -e jd ]
	[ -e precious/file ]
	expect 2 mr rm jd
}

@test "what is no job, and no task of it, is refused" {
	make_job
	mr "${job[@]}" in >/dev/null 2>&1
	mkdir -m 700 none
	for sub in status wait cancel rm resume logs task; do
		expect 2 mr "$sub"
		says 'which job directory\?'
	done
	for sub in status wait rm resume; do
		expect 2 mr "$sub" none
		says 'none: .*it has no plan'
	done
	for sub in wait resume; do
		expect 2 mr "$sub" jd jd
		says 'only one job directory'
	done
	expect 2 mr task jd
	expect 2 mr task jd 0
	says 'which task\?'
	for n in x 1- -1 2-1 1-x 99999999999; do
		expect 2 mr task jd map -- "$n"
		says 'no number of a task, nor a range'
	done
	expect 0 mr status jd
	grep -q 'complete$' ../out
}

@test "-v names the keys that have much of the bytes" {
	awk 'BEGIN {
		for (i = 0; i < 300; i++)
			printf "hot\tvalue %06d\nk%05d\tv\n", i * 7919 % 100003, i
	}' >in
	for words in nojoin nojoin,nogroup nogroup group; do
		MR_DEBUG=$words expect 0 mr sort -v -j 2 --block-size 24 in
		says 'keys with over 10 % of the bytes: hot \(65 %\)$'
	done
	# One record has most, and groups stand before and behind it.
	awk 'BEGIN { printf "a\t1\na\t2\nb\t%030000d\nc\t1\nc\t2\n", 5 }' >in
	for words in nogroup group; do
		MR_DEBUG=$words expect 0 mr sort -v in
		says 'keys with over 10 % of the bytes: b \(99 %\)$'
	done
}
