#!/usr/bin/env bats
load ../helper

@test "2,000 random keys, data and options sort as sort(1) sorts" {
	command -v python3 >/dev/null || skip "no python3"
	"$BATS_TEST_DIRNAME/../contract/keydefs.py" --cases 2000
}
