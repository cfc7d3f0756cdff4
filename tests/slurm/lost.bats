#!/usr/bin/env bats
# What Slurm, a node or a person takes away from a job in the middle of it.
# shellcheck disable=SC2016 # the commands expand their variables themselves
# shellcheck disable=SC2154 # make_job sets job
load ../helper
load ../failure
load cluster

setup_file() {
	start_cluster
}

teardown_file() {
	end_cluster
}

# Starts a job of four elements, each of which has begun its first task and
# waits as long as there is hold-map.
held_elements() {
	make_job
	: >hold-map
	start mr "${job[@]}" --elements 4 in
	# Tasks 0, 4, 9 and 14 of 19 are the first ones of the elements.
	for task in 0 4 9 14; do
		wait_until grep -q "^map $task " runs
	done
}

# tamper CASES: a job that is held is released, and what mr would be called
# for on a node, as "PHASE ELEMENT", may come to something else.
tamper() {
	wait_until test -e jd/queue
	mv jd/engine/mr mr-itself
	cat >jd/engine/mr <<-END
		#!/bin/sh
		[ "\$1" = element ] || exec "$PWD/mr-itself" "\$@"
		case "\$3 \$SLURM_ARRAY_TASK_ID" in
		$1
		esac
		exec "$PWD/mr-itself" "\$@"
	END
	chmod +x jd/engine/mr
	scontrol release "$(job_of map)"
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
	wait_until again map "$task"
	rm hold-map
	ends 0
	prints ref
	cluster wake node2
}

@test "a node that joins during the job gets work" {
	make_job
	cluster kill node3
	: >hold-map
	start mr "${job[@]}" in
	wait_until begun map node2
	cluster start node3
	wait_until begun map node3
	rm hold-map
	ends 0
	prints ref
}

@test "elements that are put back into the queue, and what is cancelled of a job" {
	held_elements
	scontrol requeue "$(job_of map)_0"
	scancel "$(job_of map)_1"
	wait_until again map 0
	rm hold-map
	ends 0
	prints ref
	again map 4
	run ! again map 9
}

@test "the last job runs all that is missing, even if it is put back itself" {
	make_job
	: >hold-reduce
	start mr "${job[@]}" --sbatch --hold in
	tamper 'verdict*) ;; *) exit 0 ;;'
	wait_until begun reduce
	scontrol requeue "$(job_of verdict)"
	wait_until again reduce 0
	rm hold-reduce
	ends 0
	prints ref
	[ "$(grep -c '^map ' runs)" -eq 19 ]
}

@test "a task that Slurm has lost without a trace is run by the sweeps" {
	make_job
	start mr "${job[@]}" --elements 4 --sbatch --hold in
	tamper '"map 0" | "reduce 1") exit 0 ;;
		"map 1" | "reduce 2") kill -KILL $$ ;;
		"map 2") exit 1 ;;'
	ends 0
	prints ref
	[ "$(cut -d ' ' -f 1,2 runs | sort | uniq -d)" = '' ]
}

@test "what a map has committed may be seen late" {
	make_job
	start mr "${job[@]}" --sbatch --hold in
	tamper '"map-sweep 0") mv "$2/map/000000" hidden; exit 0 ;;
		map-sweep*) exit 0 ;;
		"reduce 0") { sleep 2; mv hidden "$2/map/000000"; } & ;;'
	ends 0
	prints ref
	[ "$(grep -c '^map 0 ' runs)" -eq 1 ]
	run ! grep 'is not committed' jd/engine/[0-9]*
}

@test "what is damaged after it was committed is not read" {
	make_job
	start mr "${job[@]}" --sbatch --hold in
	tamper '"map-sweep 0") printf X | dd of="$2/map/000003" \
			bs=1 seek=20 conv=notrunc ;;'
	ends 1
	prints_nothing
	says 'map/000003: it is damaged; without it mr resume runs its task again'
	wait_until is_gone
	rm jd/map/000003
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(grep -c '^map 3 ' runs)" -eq 2 ]
}

@test "slurmctld killed in the middle, and started with what it had saved" {
	held_elements
	# What it has not saved, within some seconds, is lost.
	touch now
	scontrol update jobid="$(job_of verdict)" comment=x
	wait_until test "$CLUSTER/state/job_state" -nt now
	cluster kill controller
	# Work goes on meanwhile, and nobody takes the job for lost.
	rm hold-map
	done_are() { [ "$(ls jd/map | wc -l)" -ge "$1" ]; }
	wait_until done_are 19
	expect 0 mr status jd
	grep -q 'map: 19 of 19' ../out
	mr wait jd >waited 3>&- &
	waiter=$!
	cluster start controller
	ends 0
	prints ref
	wait "$waiter"
	cmp waited ref
}

@test "slurmctld stopped for a while, and 1000 tasks" {
	make_job
	start mr run --on slurm --job-dir jd -N 20 -m ./mapper -r ./reducer in
	wait_until begun map
	read -r controller _ <"$CLUSTER/run/slurmctld"
	kill -STOP "$controller"
	sleep 20	# that is the test
	kill -CONT "$controller"
	ends 0
	prints ref
	[ "$(ls jd/map | wc -l)" -eq 1000 ]
}
