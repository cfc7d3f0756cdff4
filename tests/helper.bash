# Loaded by every .bats file.  A test starts in an empty directory, with a
# private TMPDIR that it must leave empty and with no process left behind.
# $MR is the program under test: an absolute path, ../mr if it is not set.
bats_require_minimum_version 1.5.0

helper_dir=$(cd "${BASH_SOURCE[0]%/*}" && pwd)

setup() {
	MR=$(realpath "${MR:-$helper_dir/../mr}")
	[ -x "$MR" ] || { echo "there is no $MR: make first" >&2; return 1; }
	PATH=${MR%/*}:$PATH
	TMPDIR=$BATS_TEST_TMPDIR/tmp
	# Every process that a test starts has this in its environment, and
	# mr's tasks have it still when they have a TMPDIR of their own.
	MR_TEST_MARK=$BATS_TEST_TMPDIR
	export MR PATH TMPDIR MR_TEST_MARK LC_ALL=C
	unset LANGUAGE POSIXLY_CORRECT MR_ON MR_CPUS MR_JOB_ID
	if [ "${MR##*/}" != mr ]; then
		mkdir "$BATS_TEST_TMPDIR/bin"
		ln -s "$MR" "$BATS_TEST_TMPDIR/bin/mr"
		PATH=$BATS_TEST_TMPDIR/bin:$PATH
	fi
	mkdir "$TMPDIR" "$BATS_TEST_TMPDIR/dir"
	cd "$BATS_TEST_TMPDIR/dir" || return
}

teardown() {
	local left tries=0 bad=0

	left=$(test_processes)
	while [ -n "$left" ] && [ $((tries += 1)) -le 40 ]; do
		sleep 0.05	# what was killed may still be on its way out
		left=$(test_processes)
	done
	if [ -n "$left" ]; then
		echo "processes left:"
		for pid in $left; do
			echo "$pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
			# One that stays would keep bats waiting for ever.
			kill -KILL "$pid"
		done 2>/dev/null
		bad=1
	fi
	if [ -n "$(ls -A "$TMPDIR")" ]; then
		echo "left in TMPDIR:"
		ls -lA "$TMPDIR"
		bad=1
	fi
	return "$bad"
}

# test_processes: the ids of this test's processes, as far as /proc shows
# them.  What has only forked since setup, as a subshell has, is not among
# them: the environment that /proc shows is that of the last execve.
test_processes() {
	local mark=MR_TEST_MARK=$MR_TEST_MARK

	[ -r /proc/self/environ ] || return 0
	(
		unset MR_TEST_MARK	# grep and sed must not match
		grep -lszxF "$mark" /proc/[0-9]*/environ | sed 's/[^0-9]//g'
	)
}

# wait_until CMD [ARG]...: until the command succeeds, ten seconds at most, or
# PATIENCE.
wait_until() {
	local tries=0

	until "$@"; do
		[ $((tries += 1)) -le $((20 * ${PATIENCE:-10})) ] ||
			{ echo "waited in vain: $*"; return 1; }
		sleep 0.05
	done
}
