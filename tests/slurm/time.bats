#!/usr/bin/env bats
# Slurm's own time limits.  They are of a minute at least.
# shellcheck disable=SC2016 # the commands expand their variables themselves
# shellcheck disable=SC2154 # make_job sets job
load ../helper
load ../failure
load cluster

setup_file() {
	start_cluster --nodes 2
}

teardown_file() {
	end_cluster
}

@test "a time limit ends an element, and not the task or the job" {
	export PATIENCE=300
	make_job
	: >hold-map
	: >hold-finish
	sed -i 's/^while/[ "$MR_TASK" != 3 ] || &/' mapper
	start mr "${job[@]}" --retries 0 --sbatch '-t 1' in
	expect 0 mr run --on slurm --job-dir jd2 --retries 0 --detach \
		--elements 1 --sbatch '-t 1' -m cat --finish 'cat
			while [ -e hold-finish ]; do sleep 0.1; done' in
	wait_until begun map
	wait_until again map 3
	rm hold-map
	ends 0
	prints ref
	[ "$(cut -d ' ' -f 1,2 runs | sort | uniq -d)" = 'map 3' ]
	[ ! -e jd/failed ]

	# There is nobody after the last element.
	LIMIT=300 expect 1 mr wait jd2
	says 'has ended the job before it was complete \(mr resume\)$'
	says 'DUE TO TIME LIMIT'
	rm hold-finish
	expect 0 mr resume jd2
	prints in
}
