#!/usr/bin/env bats
# A kept job is killed, refused what it asks for, damaged and raced for, again
# and again, and is right each time.
#
# Of what there are many points to try, a sample is tried that is spread
# evenly; with MR_SOAK=1 all of them are.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load ../helper
load ../failure

# Small, with several runs to be merged and several parts.  Each task is noted
# in the file runs when it is run.
make_job() {
	seq "$1" | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	reference in >ref
	cat >mapper <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK" >>"$RUNS" && exec cat
	END
	chmod +x mapper
	export RUNS=$PWD/runs
	: >runs
	: >before
	job=(run --job-dir jd -j 2 --block-size 2K -R 2 -m ./mapper -r ./mapper -o out in)
	# What is committed right after a crash, and that it is not run again.
	cat >committed <<-'END'
		(cd jd 2>/dev/null && ls map/* reduce/* 2>/dev/null | tr / " " |
			sed "s/ 0*\([0-9]\)/ \1/") >before
		: >runs
	END
	cat >check <<-'END'
		while read -r task; do
			! grep -qx "$task" runs || { echo "$task again"; exit 1; }
		done <before && cmp out ref
	END
}

prepare='rm -rf jd out .mr* "${TMPDIR:?}"/.mr*; : >runs; : >before'
left='ls -A | grep -vxE "in|ref|out|jd|runs|before|committed|check|mapper"; ls -A jd/tmp'

# sweep MODE [FLAG]: as tools/crash-sweep.
sweep() {
	needs_killat
	make_job 600
	summed "$TOOLS/crash-sweep" -qx -m "$1" -w jd -k "$(most 30)" ${2:+"$2"} \
		-e write,rename,fork,fsync,unlink,openat,mkdir -p "$prepare" \
		-i '! test -e out || cmp out ref || exit 1; sh committed' \
		-c 'sh check' -l "$left" -- mr "${job[@]}"
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "one process of a kept job killed before any call" {
	sweep one
}

@test "one process of a kept job killed after any call" {
	sweep one -a
}

@test "the driver of a kept job killed before any call" {
	sweep root
}

@test "the driver of a kept job killed after any call" {
	sweep root -a
}

@test "all of a kept job killed before any call" {
	sweep all
}

@test "all of a kept job killed after any call" {
	sweep all -a
}

@test "power lost before any call: what was not synced is gone" {
	sweep power
}

@test "power lost after any call: what was not synced is gone" {
	sweep power -a
}

# refused_calls LIST NS: as tools/fault-sweep.  A job that fails goes on when
# the fault is gone.
refused_calls() {
	make_job 600
	summed "$TOOLS/fault-sweep" -q -F "$1" -N "$2" -p "$prepare" -c 'sh check' \
		-u "! test -e out && sh committed && mr ${job[*]} && sh check" \
		-l "$left" -- mr "${job[@]}"
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "any call of a kept job refused: right, or an error after which it goes on" {
	needs_strace
	if [ -z "${MR_SOAK:-}" ]; then
		refused_calls "$(some_faults)" '1 2 4 9 20 33'
	else
		refused_calls "$(all_faults)" "$(seq -s ' ' 60)"
	fi
}

@test "the Nth request of a kept job for memory refused" {
	needs_tool faultshim.so
	needs_plain_binary dynamic
	if [ -n "${MR_SOAK:-}" ]; then
		refused_calls 'malloc mallocs' "$(seq -s ' ' 400)"
	else
		refused_calls 'malloc mallocs' '1 2 3 5 8 13 21 34 55 89 144 233'
	fi
}

@test "a run, a part, the plan and the cuts, cut off and changed at any byte" {
	local tried=0

	damaged_job "$(most 20)"
	echo "# $tried of $tried recovered or refused" >&3
}

gone() {
	[ -z "$(test_processes)" ]
}

@test "a second after KILL of the driver nothing of it lives, grandchildren neither" {
	local from took most=0
	cat >tree <<-'END'
		#!/bin/sh
		setsid sleep 1000 &
		sh -c 'sleep 1001 & sleep 1002 | sleep 1003' &
		: >"$STARTED"
		exec sleep 1004
	END
	chmod +x tree
	seq 3000 >in
	export STARTED=$PWD/started
	while read -r -a job; do
		rm -rf started jd
		start mr "${job[@]}" in
		wait_until test -e started
		kill -KILL "$JOB"
		from=${EPOCHREALTIME/./}
		ends 137 2>/dev/null
		wait_until gone
		took=$(((${EPOCHREALTIME/./} - from) / 1000))
		[ "$took" -le "$most" ] || most=$took
		[ -z "$(ls -A "$TMPDIR")" ]
	done <<-'END'
		run -j 2 --block-size 2K -m ./tree
		run -j 2 --block-size 2K -m ./tree -r cat --job-dir jd
		run -j 2 -m cat -r ./tree
		run -j 2 -m cat -r ./tree --job-dir jd
		run -m cat --combine ./tree -r cat
		run --per-key -r ./tree
		run -r cat --finish ./tree
		run --partition ./tree -R 2 -O jd -r cat
		run --decompress ./tree -r cat
		map ./tree
		reduce ./tree
	END
	echo "# gone after $most ms at most" >&3
	[ -z "${MR_SOAK:-}" ] || [ "$most" -le 1000 ]
}

@test "two drivers, 100 times: one works, the other is sent away or prints the same" {
	make_job 300
	for ((n = 0; n < 100; n++)); do
		rm -rf jd out
		a=0 b=0
		mr "${job[@]}" 2>/dev/null 3>&- &
		mr "${job[@]}" -o out2 2>/dev/null 3>&- || b=$?
		wait "$!" || a=$?
		case $a$b in
		00 | 075 | 750) ;;
		*) echo "$a and $b"; return 1 ;;
		esac
		[ "$a" -ne 0 ] || cmp out ref
		[ "$b" -ne 0 ] || cmp out2 ref
	done
}
