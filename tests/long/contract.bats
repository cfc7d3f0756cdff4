#!/usr/bin/env bats
load ../helper

contract() {
	command -v python3 >/dev/null || skip "no python3"
	command -v perl >/dev/null || skip "no perl"
	"$BATS_TEST_DIRNAME/../contract/contract.py" "$@"
}

@test "hundreds of random jobs print what coreutils print" {
	contract --seed "${MR_CONTRACT_SEED:-2}" --jobs 250 --shrink 60
}

@test "random jobs that spill and merge print what coreutils print" {
	contract --seed "${MR_CONTRACT_SEED:-3}" --big --jobs 40 --shrink 60
}

@test "random jobs killed until they are done print what coreutils print" {
	contract --seed "${MR_CONTRACT_SEED:-4}" --killed --shrink 60 \
	    --jobs "$([ -n "${MR_SOAK:-}" ] && echo 200 || echo 30)"
}
