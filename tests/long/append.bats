#!/usr/bin/env bats
# A result that --append brings up to date is never lost, whatever happens.
#
# Of what there are many points to try, a sample is tried that is spread
# evenly; with MR_SOAK=1 all of them are.
# shellcheck disable=SC2016 # the commands expand their variables themselves
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
	cat base/part-* >old
}

job=(mr run --append -O out -r cat)
fresh='rm -rf out .mr* "${TMPDIR:?}"/.mr*; cp -a base out'
right='cat out/part-* | cmp - want'
left='ls -A | grep -vxE "log|log.1|log.gz|came|want|old|base|out|tmp|input"; ls -A out/_mr | grep -x tmp'

# sweep MODE [FLAG]... -- CMD...: as tools/crash-sweep; then the result is
# brought up to date, and right.
sweep() {
	local mode=$1

	shift
	needs_killat
	summed "$TOOLS/crash-sweep" -qx -m "$mode" -w . -k "$(most 40)" \
		-e write,rename,fork,fsync,unlink,openat,mkdir,link \
		-i 'cat out/part-* | cmp - want || cat out/part-* | cmp - old' \
		-r "${job[*]} log*" -c "$right" -l "$left" "$@"
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "killed before any call, and after" {
	begin
	for mode in one root all; do
		sweep "$mode" -p "$fresh; cp came log" -- "${job[@]}" log
		sweep "$mode" -a -p "$fresh; cp came log" -- "${job[@]}" log
	done
}

@test "killed when there is no result yet, before any call, and after" {
	begin
	: >old
	for flag in '' -a; do
		sweep all ${flag:+"$flag"} -p 'rm -rf out .mr* "${TMPDIR:?}"/.mr*; cp came log' \
			-i '! test -e out || cat out/part-* | cmp - want' -- "${job[@]}" log
	done
}

@test "power lost at any call: what was not synced is gone" {
	begin
	sweep power -p "$fresh; cp came log" -- "${job[@]}" log
	sweep power -a -p "$fresh; cp came log" -- "${job[@]}" log
}

@test "killed while it notes that a log was moved" {
	begin
	cp old want
	for mode in all power; do
		sweep "$mode" -p "$fresh; rm -f log log.1; head -n 2000 came >log.1" \
			-- "${job[@]}" log.1
	done
}

# refused_calls LIST NS [FILE]...: as tools/fault-sweep, over each of these
# files as the input.  After a failure the old result is there, and what
# follows is right.
refused_calls() {
	local list=$1 ns=$2 file

	shift 2
	for file; do
		summed "$TOOLS/fault-sweep" -q -F "$list" -N "$ns" \
			-p "$fresh; rm -f log*; cp -p input/$file ." -c "$right" \
			-u "cat out/part-* | cmp - old && ${job[*]} $file && $right" \
			-l "$left" -- "${job[@]}" "$file"
	done
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "any call refused: right, or an error after which it is" {
	needs_strace
	begin
	mkdir input
	cp came input/log
	gzip -n <came >input/log.gz
	if [ -z "${MR_SOAK:-}" ]; then
		refused_calls "$(some_faults)" '1 2 4 9 20 33' log
		refused_calls 'read+pread64:EIO' '1 3 9 30' log log.gz
	else
		refused_calls "$(all_faults)" "$(seq -s ' ' 60)" log log.gz
	fi
}

@test "any call refused that notes where a log was moved" {
	needs_strace
	begin
	mkdir input
	head -n 2000 came >input/log.1
	cp old want
	if [ -z "${MR_SOAK:-}" ]; then
		refused_calls "$(some_faults)" '1 2 4 9' log.1
	else
		refused_calls "$(all_faults)" "$(seq -s ' ' 60)" log.1
	fi
}

@test "the Nth request for memory refused" {
	needs_tool faultshim.so
	needs_plain_binary dynamic
	begin
	mkdir input
	cp came input/log
	if [ -z "${MR_SOAK:-}" ]; then
		refused_calls 'malloc mallocs' '1 2 3 5 8 13 21 34 55 89 144 233' log
	else
		refused_calls 'malloc mallocs' "$(seq -s ' ' 400)" log
	fi
}

@test "the manifest and a run, cut off and changed at any byte" {
	local tried=0

	damaged_state "$(most 60)"
	echo "# $tried of $tried refused" >&3
}
