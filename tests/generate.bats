#!/usr/bin/env bats
# --range and --source: input that is in no file.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# numbers: a source of the 1,000 records "1" to "1000", one a line.
numbers() {
	cat >numbers <<-'EOF'
		#!/bin/sh
		case $1 in
		count) echo 1000 ;;
		*) seq "$(($1 + 1))" "$(($1 + $2))" ;;
		esac
	EOF
	chmod +x numbers
}

each='awk "{ for (i = \$1; i < \$2; i++) print i }"'

# ------------------------------------------------------------------ ranges

@test "--range: each task gets START TAB END, and all indices are there once" {
	for range in 0:1 0:255 0:256 0:257 -1000:1000 7:70000; do
		seq "${range%:*}" "$((${range#*:} - 1))" >want
		expect 0 mr run --range "$range" -m "$each"
		prints want
		expect 0 mr run --range "$range"
		[ "$(wc -l <../out)" -le 256 ]
		eval "$each" <../out | cmp - want
	done
	printf '3\t4\n4\t5\n' >want
	expect 0 mr run --range 3:5
	prints want
}

@test "--range: at any -j the tasks are the same" {
	mr run -j 1 --range 0:5000 -m 'cat; echo "$MR_TASK $MR_TASKS"' >want
	[ "$(tail -n 1 want)" = '249 250' ]
	for j in 2 3 7; do
		expect 0 mr run -j "$j" --range 0:5000 \
			-m 'cat; echo "$MR_TASK $MR_TASKS"'
		prints want
	done
}

@test "-N: so many numbers, or records, a task" {
	expect 0 mr run -N 300 --range 100:1100
	printf '%s\t%s\n' 100 400 400 700 700 1000 1000 1100 >want
	prints want
	numbers
	expect 0 mr run -N 300 --source ./numbers -m 'wc -l; echo "$MR_TASKS"'
	printf '%s\n' 300 4 300 4 300 4 100 4 >want
	prints want
}

@test "--source: records of several lines are counted as such" {
	numbers
	printf '#!/bin/sh
[ "$1" != count ] || { echo 250; exit; }
./numbers "$(($1 * 4))" "$(($2 * 4))"\n' >source
	chmod +x source
	seq 1000 >want
	expect 0 mr run -L 4 -N 100 --source ./source -m 'cat; wc -l >&2'
	prints want
	expect 1 mr run -L 5 --source ./source -m cat
	expect 1 mr run -L 3 -N 6 --source ./source -m cat
	says 'it printed 8 records, not 6'
	for option in '-L 4' '--recstart x' '--header skip'; do
		# shellcheck disable=SC2086
		expect 2 mr run $option --range 1:3 -m cat
		says "^mr: ${option% *} has no effect without files"
	done
	expect 2 mr run --header skip --source ./source -m cat
}

@test "--range: what it begins with and ends with is in the environment" {
	expect 0 mr run --range -5:5000 \
		-m 'read a b; [ "$a $b" = "$MR_RANGE_START $MR_RANGE_END" ] &&
		    [ -z "${MR_INPUT_FILE+set}" ]'
	MR_RANGE_START=1 expect 0 mr run -m '[ -z "${MR_RANGE_START+set}" ]' \
		</dev/null
}

@test "--range: sorted, and with -z" {
	seq 0 999 | LC_ALL=C sort >want
	expect 0 mr run --range 0:1000 -m "$each" -r cat
	prints want
	expect 0 mr run -z --range 0:2
	printf '0\t1\0001\t2\0' >want
	prints want
}

@test "--range: the ends of what a 64-bit number can be" {
	expect 0 mr run --range 9223372036854775806:9223372036854775807
	printf '9223372036854775806\t9223372036854775807\n' >want
	prints want
	expect 0 mr run -r cat \
		--range -9223372036854775808:9223372036854775807
	[ "$(wc -l <../out)" -eq 256 ]
	grep -q '^-9223372036854775808	' ../out
	grep -q '	9223372036854775807$' ../out
}

@test "--range: an empty range is empty input" {
	expect 0 mr run --range 5:5 -m 'echo once; wc -l' -r cat
	printf '0\nonce\n' >want
	prints want
	expect 0 mr run --range 5:5
	prints_nothing
	expect 1 mr run --nonempty --range 5:5
	expect 0 mr run --nonempty --range 5:6 -m :
}

@test "--range: what is no range is refused" {
	for bad in '' : 1 1: :1 2:1 1:2:3 a:b 1:x ' 1:2' 1:2K 1.5:3 \
	    1:9223372036854775808 +1:2; do
		expect 2 mr run --range "$bad" -m 'touch ran'
		says '^mr: --range .*: must be A:B'
	done
	[ ! -e ran ]
}

@test "generated input and files exclude each other" {
	expect 2 mr run --range 1:2 in
	says '^mr: --range and FILE exclude each other$'
	expect 2 mr run --source 'touch ran;' -
	says '^mr: --source and FILE exclude each other$'
	expect 2 mr run --source 'touch ran;' --range 1:2
	says '^mr: --range and --source exclude each other$'
	for option in "--block-size 1K" --whole-file --pack --recursive \
	    "--files-from f"; do
		# shellcheck disable=SC2086
		expect 2 mr run --range 1:2 -m cat $option
		says "^mr: ${option%% *} has no effect without files"
	done
	[ ! -e ran ]
}

@test "a task of a range that fails is named by it, and the second attempt gets it again" {
	expect 123 mr run -j 1 --range 100:110 \
		-m 'read a b; [ "$a" != 103 ] || exit 9'
	says '^mr: map task 3 failed after 1 attempt: .*: exit status 9$'
	says '^mr:   input range 103:104$'
	expect 0 mr run --range 100:110 --retries 1 -m '
		read a b
		[ "$MR_ATTEMPT" = 1 ] || { echo wrong; exit 3; }
		echo "$a $b $MR_RANGE_START $MR_RANGE_END"'
	seq 100 109 | awk '{ print $1, $1 + 1, $1, $1 + 1 }' >want
	prints want
}

# ----------------------------------------------------------------- sources

@test "--source: what the tasks get together is all records, in order" {
	numbers
	seq 1000 >want
	for j in 1 2 5; do
		expect 0 mr run -j "$j" --source ./numbers
		prints want
		expect 0 mr run -j "$j" --source ./numbers -m cat
		prints want
	done
	LC_ALL=C sort want >sorted
	expect 0 mr run --source ./numbers -r cat
	prints sorted
	expect 0 mr run -S 4M --source ./numbers -m cat -r cat -O parts
	cat parts/part-* | cmp - sorted
}

@test "--source: count is asked once, and before any map" {
	numbers
	printf '#!/bin/sh\necho "$1 $2" >>asked\nexec ./numbers "$@"\n' >source
	chmod +x source
	expect 0 mr run --source ./source -m 'grep -q count asked'
	[ "$(head -n 1 asked)" = 'count ' ]
	[ "$(grep -c count asked)" -eq 1 ]
	sed 1d asked | sort -n | awk '
		{ if ($1 != at) bad = 1; at += $2 }
		END { exit bad || at != 1000 }'
}

@test "--source: its arguments are arguments, whatever the line holds" {
	cat >'odd source' <<-'EOF'
		#!/bin/sh
		[ "$1" = 'a  b' ] || exit 9
		[ "$2" != count ] || { echo ' 2 '; exit; }
		printf 'a\nb\n' | tail -n "+$(($2 + 1))" | head -n "$3"
	EOF
	chmod +x 'odd source'
	printf 'a\nb\n' >want
	expect 0 mr run --source '"./odd source" "a  b"'
	prints want
}

@test "--source: no records are empty input" {
	expect 0 mr run --source 'echo 0; :' -m 'echo once; wc -l'
	printf 'once\n0\n' >want
	prints want
	expect 1 mr run --nonempty --source 'echo 0; :'
}

@test "--source: a last record without newline is completed" {
	numbers
	printf '#!/bin/sh\n./numbers "$@" | head -c -1\n' >source
	chmod +x source
	seq 1000 >want
	expect 0 mr run --source ./source
	prints want
}

@test "--source: too few records, or too many, fail the task" {
	numbers
	for how in 'sed \$d' 'sed p' 'sed 1d' 'sed "s/$/\n/"'; do
		printf '#!/bin/sh\n[ $1 = count ] && exec ./numbers count
./numbers "$@" | if [ "$1" = 16 ]; then %s; else cat; fi\n' "$how" >source
		chmod +x source
		expect 1 mr run --source ./source -m 'cat >>ran'
		says '^mr: map task 4 failed after 1 attempt: \./source: it printed [0-9]+ records?, not 4$'
		says '^mr:   input records 16-19 of \./source$'
		prints_nothing
	done
	# No map has seen any of it.
	run ! grep -qx 17 ran
}

@test "--source: a fetch that fails is no input, and is tried again" {
	numbers
	cat >source <<-'EOF'
		#!/bin/sh
		[ "$1" != count ] || exec ./numbers count
		./numbers "$@"
		mkdir "tried-$1" 2>/dev/null && exit 5
		exit 0
	EOF
	chmod +x source
	expect 123 mr run --source ./source -m 'touch ran'
	says '^mr: map task [0-9]+ failed after 1 attempt: \./source: exit status 5$'
	[ ! -e ran ]
	rmdir tried-*
	seq 1000 >want
	expect 0 mr run --retries 1 --source ./source
	prints want
	rmdir tried-*
	expect 0 mr run --retries 1 --source ./source -m cat -r cat
	LC_ALL=C sort want | cmp - ../out
}

@test "--source: a count that fails, or is no number, ends the job" {
	expect 123 mr run --source 'exit 4;' -m 'touch ran'
	says '^mr: count task 0 failed after 1 attempt: exit 4;: exit status 4$'
	for count in x '' -1 1.5 '1 2' 99999999999999999999; do
		expect 1 mr run --source "echo '$count'; :" -m 'touch ran'
		says ' count: it printed no number of records$'
		prints_nothing
	done
	expect 125 mr run --source 'kill -KILL $$;'
	expect 124 mr run --timeout 0.2 --source 'exec tail -f /dev/null;'
	expect 127 mr run --source ./none -m 'touch ran'
	says '^mr: --source: ./none: No such file'
	[ ! -e ran ]
	numbers
	printf '#!/bin/sh\nmkdir tried 2>/dev/null && exit 3
exec ./numbers "$@"\n' >source
	chmod +x source
	expect 0 mr run --retries 1 --source ./source
	seq 1000 | cmp - ../out
}

@test "--source: --ok-exit is for the commands, not for it" {
	numbers
	printf '#!/bin/sh\n./numbers "$@"; exit 1\n' >source
	chmod +x source
	expect 123 mr run --ok-exit 1 --source ./source -m 'cat; exit 1'
	says 'source: exit status 1$'
	expect 0 mr run --ok-exit 1 --source ./numbers -m 'cat; exit 1'
}

@test "--source: it knows what it has counted, and the map is not given its output" {
	numbers
	printf '#!/bin/sh\necho "$1 ${MR_SOURCE_COUNT-none}" >>seen
exec ./numbers "$@"\n' >source
	chmod +x source
	expect 0 mr run --source ./source -O out
	grep -qx 'count none' seen
	grep -qx '0 1000' seen
	[ "$(grep -vc ' 1000$' seen)" -eq 1 ]
}

@test "--source: a worker that is killed is replaced, and its part is fetched again" {
	numbers
	seq 1000 >want
	expect 0 mr run --retries 1 --source ./numbers -m '
		mkdir killed 2>/dev/null && kill -KILL "$PPID"
		cat'
	prints want
}

@test "--source: SIGTERM while it counts leaves nothing" {
	printf '#!/bin/sh\ntouch counting\nexec tail -f /dev/null\n' >source
	chmod +x source
	start mr run --source ./source
	wait_until test -e counting
	kill -TERM "$JOB"
	ends 143
}

@test "--dry-run asks nothing of a source, and shows the ranges" {
	expect 0 mr run --dry-run --source 'touch ran;' -m 'touch ran'
	grep -q '^source: touch ran;$' ../out
	[ ! -e ran ]
	expect 0 mr run --dry-run --range 0:10 -m 'touch ran'
	grep -q '^map task 9: range 9:10$' ../out
	[ ! -e ran ]
}
