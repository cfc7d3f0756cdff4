#!/usr/bin/env bats
# A result that --append brings up to date is never lost, whatever happens.
load ../helper
load ../failure

records() {
	seq "$1" "$2" | awk '{ print $1 * 7919 % 23 "\t" $1 }'
}

# The state base is of a part of the input.
begin() {
	records 1 2000 >log
	records 1 3000 >came
	mr run --append -O base -r cat log
	mr run -r cat came >want
}

# sweep MODE FLAG... -- COMMAND...: as tools/crash-sweep; then the result is
# brought up to date, and right.
sweep() {
	local mode=$1

	shift
	needs_tool killat
	needs_plain_binary
	"$TOOLS/killat" true 2>/dev/null || skip "processes cannot be traced here"
	"$TOOLS/crash-sweep" -qx -m "$mode" -w . -k 40 \
		-e write,rename,fork,fsync,unlink,openat,mkdir,link \
		-i 'cat out/part-* | cmp - want || cmp out/part-00000 base/part-00000' \
		-r 'mr run --append -O out -r cat log*' \
		-c 'cat out/part-* | cmp - want' \
		-l 'ls -A | grep -vxE "log|log.1|came|want|base|out|tmp"' "$@" 3>&-
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "killed before any call, and after" {
	begin
	for mode in one root all; do
		sweep "$mode" -p 'rm -rf out .mr* "${TMPDIR:?}"/.mr*
			cp -a base out; cp came log' \
			-- mr run --append -O out -r cat log
		sweep "$mode" -a -p 'rm -rf out .mr* "${TMPDIR:?}"/.mr*
			cp -a base out; cp came log' \
			-- mr run --append -O out -r cat log
	done
}

@test "power lost at any call: what was not synced is gone" {
	begin
	sweep power -p 'rm -rf out .mr* "${TMPDIR:?}"/.mr*
		cp -a base out; cp came log' -- mr run --append -O out -r cat log
}

@test "killed while it notes that a log was moved" {
	begin
	cp base/part-00000 want
	head -n 2000 came >log
	for mode in all power; do
		sweep "$mode" -p 'rm -rf out .mr* "${TMPDIR:?}"/.mr* log log.1
			cp -a base out; head -n 2000 came >log.1' \
			-- mr run --append -O out -r cat log.1
	done
}
