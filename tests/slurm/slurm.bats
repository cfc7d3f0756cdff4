#!/usr/bin/env bats
# mr run --on slurm, on a real cluster of four nodes that is started here.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load ../helper
load ../failure

setup_file() {
	bats_require_minimum_version 1.5.0
	PATH=$PATH:/usr/sbin:/sbin
	[ "$(id -u)" -eq 0 ] || skip "a cluster needs root"
	for program in slurmctld slurmd sbatch munged unshare; do
		command -v "$program" >/dev/null || skip "there is no $program"
	done
	unshare --pid --fork --mount-proc --uts hostname x 2>/dev/null ||
		skip "there are no namespaces to be had"
	# Sockets in it have long names, and nodes see another /var/tmp.
	CLUSTER=$(mktemp -d /tmp/mr-slurm.XXXXXX)
	export CLUSTER SLURM_CONF=$CLUSTER/slurm.conf
	"$BATS_TEST_DIRNAME/cluster" up "$CLUSTER"
}

teardown_file() {
	[ -z "${CLUSTER:-}" ] || "$BATS_TEST_DIRNAME/cluster" down "$CLUSTER"
}

# What a test that failed has left must not be in the way of the next one.
eval "$(declare -f teardown | sed '1 s/teardown/helper_teardown/')"
teardown() {
	scancel --me
	helper_teardown
}

cluster() {
	"$BATS_TEST_DIRNAME/cluster" "$1" "$CLUSTER" "${@:2}"
}

# Both commands note every execution of a task in the file runs, and wait as
# long as there is a file of their name.
make_job() {
	seq 20000 | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	sort -s -t "$(printf '\t')" -k1,1 in | cut -f 1 | uniq -c >ref
	cat >mapper <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK $(hostname)" >>runs
		while [ -e hold-map ]; do sleep 0.1; done
		exec cat
	END
	cat >reducer <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK $(hostname)" >>runs
		while [ -e hold-reduce ]; do sleep 0.1; done
		cut -f 1 | uniq -c
	END
	chmod +x mapper reducer
	: >runs
	job=(run --on slurm --job-dir jd --block-size 10K -R 4
		-m ./mapper -r ./reducer)
}

# begun PHASE NODE: a task of the phase runs on the node.
begun() {
	grep -q "^$1 [0-9]* ${2:-}" runs
}

is_gone() {
	[ -z "$(squeue -h)" ]
}

@test "what a cluster prints is what one machine prints" {
	make_job
	mr run -m ./mapper -r ./reducer in | cmp - ref
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(cut -d ' ' -f 3 runs | sort -u | wc -l)" -gt 1 ]
	expect 0 mr "${job[@]}" in
	prints ref
	for options in '-m cat' "-m cat -k 1,1n -r cat" '--agg count' \
	    '-m cat --combine cat -r cat' "-r cat --finish 'head -n 7'" \
	    "-r 'wc -l' --per-key" '--sample 10% -m cat' \
	    '--sample 100 --seed 3 -r cat' '-m cat -L 4'; do
		rm -rf jd
		eval "mr run $options in" >want
		eval "mr run --on slurm --job-dir jd --block-size 50K $options in" |
			cmp - want
	done
	cat >count <<-'END'
		#!/bin/sh
		[ "$1" = count ] && echo 900 || seq "$1" "$(($1 + $2 - 1))"
	END
	chmod +x count
	for options in '--range 0:1000 -m cat' '--source ./count -r cat'; do
		rm -rf jd
		eval "mr run $options" >want
		eval "mr run --on slurm --job-dir jd $options" | cmp - want
	done
	rm -rf jd
	expect 0 mr run --on slurm --job-dir jd -r cat -O dir -R 3 in
	[ "$(ls dir)" = "$(printf '%s\n' _SUCCESS _mr part-0000{0,1,2})" ]
	cat dir/part-* | cmp - <(sort -s -t "$(printf '\t')" -k1,1 in)
}

@test "standard input and pipes reach the nodes" {
	make_job
	expect 0 mr "${job[@]}" - <in
	prints ref
	rm -r jd
	expect 0 bash -c 'mr "$@" <(cat in)' sh "${job[@]}"
	prints ref
}

@test "a task that fails ends the job, with its message and its node" {
	make_job
	sed -i '3s/^/[ "$MR_TASK" != 5 ] || { echo oops >\&2; exit 7; }\n/' mapper
	expect 123 mr "${job[@]}" in
	prints_nothing
	says '^mr: map task 5 failed after 4 attempts on node[1-4]: ./mapper: exit status 7$'
	says '^mr:   | oops$'
	says '^mr: stopped; no output written$'
	[ "$(grep -c '^map 5 ' runs)" -eq 4 ]
	wait_until is_gone
	expect 123 mr wait jd
	says 'map task 5 failed'
	sed -i 3d mapper
	expect 0 mr "${job[@]}" in
	prints ref
}

@test "a node that dies while it maps, or reduces, loses nothing" {
	make_job
	: >hold-map
	: >hold-reduce
	start mr "${job[@]}" in
	wait_until begun map node1
	cluster kill node1
	rm hold-map
	wait_until begun reduce
	node=$(grep '^reduce' runs | cut -d ' ' -f 3 | head -n 1)
	[ "$node" = node1 ] || cluster kill "$node"
	rm hold-reduce
	ends 0
	prints ref
	cluster start node1
	[ "$node" = node1 ] || cluster start "$node"
}

@test "a node that hangs and comes back: two attempts at once, same bytes" {
	make_job
	: >hold-map
	start mr "${job[@]}" --elements 8 in	# two nodes are left for others
	wait_until begun map node2
	cluster hang node2
	# Its tasks run on, and others run them again.
	task=$(grep -m 1 node2 runs | cut -d ' ' -f 2)
	again() { [ "$(grep -c "^map $task " runs)" -ge 2 ]; }
	wait_until again
	rm hold-map
	ends 0
	prints ref
	cluster wake node2
}

@test "the driver is not needed: killed, and whoever asks again gets the result" {
	make_job
	: >hold-map
	start mr "${job[@]}" in
	wait_until begun map
	kill -KILL "$JOB"
	ends 137
	expect 0 mr status jd
	grep -q ': running, slurm jobs' ../out
	expect 75 mr run --job-dir jd --block-size 10K -R 4 \
		-m ./mapper -r ./reducer in
	expect 75 mr rm jd
	rm hold-map
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(cut -d ' ' -f 1,2 runs | sort | uniq -d)" = '' ]
	expect 0 mr wait jd
	prints ref
	expect 0 mr status jd
	grep -q ': complete' ../out
	expect 0 mr rm jd
	[ ! -e jd ]
}

@test "Ctrl-C and mr cancel leave nothing in the queue; then it goes on" {
	make_job
	: >hold-map
	start mr "${job[@]}" in
	wait_until begun map
	kill -INT "$JOB"
	ends 130
	wait_until is_gone
	expect 0 mr "${job[@]}" --detach in
	expect 0 mr cancel jd
	wait_until is_gone
	expect 143 mr wait jd
	rm hold-map
	expect 0 mr "${job[@]}" in
	prints ref
}
