# Loaded by the tests of Slurm: a cluster for a file of them.

start_cluster() {
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
	"$BATS_TEST_DIRNAME/cluster" up "$CLUSTER" "$@"
}

end_cluster() {
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

is_gone() {
	[ -z "$(squeue -h)" ]
}
