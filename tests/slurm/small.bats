#!/usr/bin/env bats
# A cluster that allows eleven elements of an array, and few jobs.
load ../helper
load ../failure
load cluster

setup_file() {
	start_cluster --nodes 2 MaxArraySize=11 MaxJobCount=40
}

teardown_file() {
	end_cluster
}

@test "more tasks than an array may have elements" {
	seq 20000 >in
	expect 0 mr run --on slurm --job-dir jd -N 100 -m cat -r cat -R 30 in
	sort in | cmp - ../out
	[ "$(ls jd/map | wc -l)" -eq 200 ]
	[ "$(find jd/engine -name '1_*' | wc -l)" -eq 10 ]
	expect 2 mr run --on slurm --job-dir jd2 --elements 11 -r cat in
	says 'takes no more than 10'
}
