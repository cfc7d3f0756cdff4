#!/usr/bin/env bats
# MR_CONTRACT_SEED=N takes other jobs; contract.py by itself takes new ones each
# time.  A job that fails is kept in /var/tmp.
load helper

contract() {
	command -v python3 >/dev/null || skip "no python3"
	command -v perl >/dev/null || skip "no perl"
	"$BATS_TEST_DIRNAME/contract/contract.py" "$@"
}

# planted: the script on standard input, a wrong mr, does not pass.
planted() {
	{ echo '#!/bin/bash'; cat; } >wrong
	chmod +x wrong
	run contract --mr ./wrong --seed "2$BATS_TEST_NUMBER" --jobs 120 \
	    --max-failures 1 --keep kept
	echo "$output"
	[ "$status" -eq 1 ]
}

@test "random jobs print what coreutils print, byte for byte" {
	contract --seed "${MR_CONTRACT_SEED:-1}" --jobs 200 --max-failures 2 --shrink 20
}

@test "the contract test sees a lost record, and the job runs again alone" {
	planted <<-'EOF'
		"$MR" "$@" | sed \$d
		exit "${PIPESTATUS[0]}"
	EOF
	job=$(sed -n 's/^contract: job \([0-9]*\) .*FAILED/\1/p' <<<"$output")
	job=${job%%$'\n'*}
	[ -s "kept/job-$job/job.sh" ]
	[ -s "kept/job-$job/reference.sh" ]
	run contract --mr ./wrong --seed "2$BATS_TEST_NUMBER" --only "$job" \
	    --keep again
	[ "$status" -eq 1 ]
	cmp "kept/job-$job/whole" "again/job-$job/whole"
}

@test "the contract test sees a sort that is not stable" {
	planted <<-'EOF'
		[ "$1" = sort ] && [[ "$* " != *' -'[cCoz]* ]] || exec "$MR" "$@"
		"$MR" "$@" | LC_ALL=C sort
	EOF
	[[ "$output" = *"  record "* ]]
}

@test "the contract test sees a wrong exit status" {
	planted <<-'EOF'
		"$MR" "$@"
		exit 0
	EOF
	[[ "$output" = *"  exit status 0, not "* ]]
}

@test "the contract test sees a file left in TMPDIR" {
	planted <<-'EOF'
		"$MR" "$@"
		status=$?
		: >"$TMPDIR/left"
		exit "$status"
	EOF
	[[ "$output" = *"  left in tmp: "* ]]
}

@test "the contract test sees a process left" {
	planted <<-'EOF'
		setsid sleep 1000 </dev/null >/dev/null 2>&1 &
		exec "$MR" "$@"
	EOF
	[[ "$output" = *"  process "*" left: sleep 1000"* ]]
}
