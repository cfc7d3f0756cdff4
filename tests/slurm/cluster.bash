# Loaded by the tests of Slurm: a cluster for a file of them, and a job.

# On a machine that is busy all of it takes its time.
export PATIENCE=100 LIMIT=100

# why_not: why there can be no cluster here, or nothing.
why_not() {
	local program
	[ "$(id -u)" -eq 0 ] || { echo "a cluster needs root"; return; }
	for program in slurmctld slurmd sbatch munged unshare flock; do
		command -v "$program" >/dev/null ||
			{ echo "there is no $program"; return; }
	done
	unshare --pid --fork --mount-proc --uts sh -c \
		'hostname x && mount --bind /tmp /var/tmp' 2>/dev/null ||
		echo "there are no namespaces to be had"
}

# A file's set-up cannot skip its tests in each version of bats: they do.
start_cluster() {
	PATH=$PATH:/usr/sbin:/sbin
	NO_CLUSTER=$(why_not)
	export NO_CLUSTER
	[ -z "$NO_CLUSTER" ] || return 0
	# Sockets in it have long names, and nodes see another /var/tmp.
	CLUSTER=$(mktemp -d /tmp/mr-slurm.XXXXXX)
	export CLUSTER SLURM_CONF=$CLUSTER/slurm.conf
	"$BATS_TEST_DIRNAME/cluster" up "$CLUSTER" "$BATS_ROOT_PID" "$@"
}

end_cluster() {
	[ -z "${CLUSTER:-}" ] || "$BATS_TEST_DIRNAME/cluster" down "$CLUSTER"
}

eval "$(declare -f setup | sed '1 s/setup/helper_setup/')"
setup() {
	[ -z "$NO_CLUSTER" ] || skip "$NO_CLUSTER"
	helper_setup
}

# What a test that failed has left must not be in the way of the next one.
eval "$(declare -f teardown | sed '1 s/teardown/helper_teardown/')"
teardown() {
	[ -z "$NO_CLUSTER" ] || return 0
	scancel --me
	helper_teardown
}

cluster() {
	"$BATS_TEST_DIRNAME/cluster" "$1" "$CLUSTER" "${@:2}"
}

is_gone() {
	[ -z "$(squeue -h)" ]
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
	# shellcheck disable=SC2034 # by the tests
	job=(run --on slurm --job-dir jd --block-size 10K -R 4
		-m ./mapper -r ./reducer)
}

# begun PHASE [NODE]: a task of the phase runs on the node.
begun() {
	grep -q "^$1 [0-9]* ${2:-}" runs
}

# again PHASE TASK: it has begun twice at least.
again() {
	[ "$(grep -c "^$1 $2 " runs)" -ge 2 ]
}

# job_of PHASE: Slurm's number of the job of that phase, of jd.
job_of() {
	local first
	first=$(mr status --json jd | sed -n 's/.*"first_job": \([0-9]*\),.*/\1/p')
	case $1 in
	map) echo "$first" ;;
	map-sweep) echo $((first + 1)) ;;
	reduce) echo $((first + 2)) ;;
	verdict) echo $((first + 4)) ;;
	esac
}

