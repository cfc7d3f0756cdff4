#!/usr/bin/env bats
# A kept job is killed again and again, and raced for, and is right each time.
load ../helper
load ../failure

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
	job=(run --job-dir jd -j 2 --block-size 8K -R 3 -m ./mapper -r ./mapper -o out in)
}

# cat_check: makes the script check, which sees that each task in the file
# before ("map 3") has not been run again, and that the output is right.
cat_check() {
	cat >check <<-'END'
		while read -r task; do
			! grep -qx "$task" runs || exit 1
		done <before && cmp out ref
	END
}

# sweep MODE [FLAG]: as tools/crash-sweep.
sweep() {
	needs_tool killat
	needs_plain_binary
	"$TOOLS/killat" true 2>/dev/null || skip "processes cannot be traced here"
	cat_check
	"$TOOLS/crash-sweep" -qx -m "$1" -w jd -k 60 ${2:+"$2"} \
		-e write,rename,fork,fsync,unlink,openat,mkdir \
		-p 'rm -rf jd out .mr* "${TMPDIR:?}"/.mr*; : >runs; : >before' \
		-i '! test -e out && (cd jd 2>/dev/null && ls map/* reduce/* 2>/dev/null |
			tr / " " | sed "s/ 0*\([0-9]\)/ \1/") >before; : >runs' \
		-c 'sh check' \
		-l 'ls -A | grep -vxE "in|ref|out|jd|runs|before|check|mapper"; ls -A jd/tmp' \
		-- mr "${job[@]}" 3>&-
	rm -rf "${TMPDIR:?}"/.mr*
}

@test "one process of a kept job killed before any call, and after" {
	make_job 3000
	sweep one
	sweep one -a
}

@test "the driver of a kept job killed before any call, and after" {
	make_job 3000
	sweep root
	sweep root -a
}

@test "all of a kept job killed before any call, and after" {
	make_job 3000
	sweep all
	sweep all -a
}

@test "power lost at any call: what was not synced is gone" {
	make_job 3000
	sweep power
}

@test "random jobs killed every 50 to 500 ms until they are done: the same bytes" {
	for ((n = 1; n <= 40; n++)); do
		rm -rf jd out
		make_job $((RANDOM % 30000 + 1))
		job+=(--block-size $((RANDOM % 8 + 1))K -R $((RANDOM % 5 + 1)))
		got=137
		for ((tries = 0; tries < 60 && got != 0; tries++)); do
			got=0
			timeout -s KILL "0.$((RANDOM % 450 + 50))" \
				mr "${job[@]}" 2>../err 3>&- || got=$?
			[ "$got" -ne 0 ] || break
			[ "$got" -eq 137 ] || { cat ../err; return 1; }
				[ ! -e out ] || cmp out ref
		done
		mr "${job[@]}"
		cmp out ref
	done
	rm -rf "${TMPDIR:?}"/.mr* .mr*
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
