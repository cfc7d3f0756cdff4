#!/usr/bin/env bats
# --ship: tasks run where there is only what they were given.  And what all
# tasks find in their environment.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# a_script NAME TEXT...: an executable shell script.
a_script() {
	local name=$1

	shift
	printf '%s\n' '#!/bin/sh' "$@" >"$name"
	chmod +x "$name"
}

@test "--ship: a task finds the files by their names, and nothing else" {
	mkdir -p data/inner bin
	echo inner >data/inner/file
	echo words >data/words.txt
	a_script bin/prog 'cat words.txt dict/file && ls -A'
	echo record >in
	printf '%s\n' words inner dict prog words.txt >want
	expect 0 mr run --ship bin/prog --ship data/words.txt \
		--ship data/inner/=dict -m ./prog in
	prints want
	expect 0 mr run --ship bin/prog --ship data/words.txt \
		--ship "$PWD/data/inner=dict" -r ./prog in
	prints want
	for sub in map reduce; do
		expect 0 mr "$sub" --ship bin/prog --ship data/words.txt \
			--ship data/inner=dict ./prog <in
		prints want
		expect 0 mr "$sub" --ship bin/prog --ship data/words.txt \
			--ship data/inner=dict -c './prog' <in
		prints want
	done
	expect 0 mr run --ship bin -m 'bin/prog 2>/dev/null; ls' in
	[ "$(cat ../out)" = bin ]
}

@test "--ship: what a task leaves in its directory nobody sees" {
	seq 100 >in
	: >given
	expect 0 mr run -j 3 --ship given --block-size 10 -m '
		[ "$(ls -A)" = given ] || exit 9
		echo >left; mkdir dir; echo >dir/file; rm given; cat' in
	prints in
	[ "$(ls -A)" = "$(printf 'given\nin')" ]
	expect 0 mr run --ship given --retries 1 --block-size 10 -m '
		[ "$(ls -A)" = given ] || exit 9
		echo >left; [ "$MR_ATTEMPT" = 1 ] || exit 3; cat' in
	prints in
	[ -e given ]
}

@test "--ship: names of inputs, TMPDIR and MR_OUTPUT_DIR are absolute" {
	mkdir d t
	echo record >d/in
	: >given
	expect 0 mr run --ship given -T t -O out -m '
		cat "$MR_INPUT_FILE" "$map_input_file"
		for path in "$MR_INPUT_FILE" "$TMPDIR" "$MR_OUTPUT_DIR" \
		    "$mapreduce_task_output_dir"; do
			case $path in /*) ;; *) exit 9 ;; esac
		done
		[ "$PWD" != "'"$PWD"'" ] || exit 8
		echo file >"$MR_OUTPUT_DIR/file"' d/in
	[ "$(cat out/part-*)" = "$(printf 'record\nrecord')" ]
	[ "$(cat out/file)" = file ]
	[ -z "$(ls -A t)" ]
	echo word >words
	expect 0 mr run --ship words --names -m cat d/in ./words
	printf '%s\n' "$PWD/d/in" "$PWD/./words" | cmp - ../out
	# Without --ship names are as they were given, but for these two.
	expect 0 mr run -T t -m '
		[ "$MR_INPUT_FILE" = d/in ] || exit 9
		case $TMPDIR$MR_OUTPUT_DIR in /*/*) ;; *) exit 8 ;; esac' d/in
}

@test "--ship: a relative command that is not shipped is refused, with the cure" {
	mkdir bin
	a_script prog 'touch ran'
	a_script bin/prog 'cat; echo shipped'
	: >given
	for options in '-m ./prog' '-r ./prog' '-m cat --finish ./prog'; do
		# shellcheck disable=SC2086
		expect 2 mr run --ship given $options /dev/null
		says '^mr: (-m|-r|--finish): ./prog: with --ship .*; add --ship ./prog, and call it ./prog$'
	done
	expect 2 mr run --ship given -m bin/prog /dev/null
	says 'add --ship bin/prog, and call it ./prog$'
	expect 2 mr run --ship given -m ../dir/prog /dev/null
	expect 2 mr map --ship given ./prog </dev/null
	expect 2 mr reduce --ship given -c './prog x' </dev/null
	expect 2 mr run --ship given --source ./prog
	[ ! -e ran ]
	expect 0 mr run --ship bin/prog -m ./prog /dev/null
	[ "$(cat ../out)" = shipped ]
	expect 0 mr run --ship bin -m bin/prog /dev/null
	expect 0 mr run --ship given -m "$PWD/bin/prog" /dev/null
	expect 127 mr run --ship bin -m bin/none /dev/null
	chmod -x bin/prog
	expect 126 mr run --ship bin/prog=other -m ./other /dev/null
}

@test "--ship: a source and --per-key and --finish run there, too" {
	a_script source '[ "$1" = count ] && echo 1 || cat given'
	printf 'k\tv\n' >given
	cp given want
	expect 0 mr run --ship source --ship given --source ./source \
		-m 'cat && cat given' --per-key -r 'cat given' \
		--finish 'cat && cat given'
	cat want want | cmp - ../out
}

@test "--ship: what cannot be shipped is refused" {
	: >given
	mkdir dir
	: >dir/given
	while read -r arg why; do
		expect 2 mr run --ship "$arg" -m 'touch ran' /dev/null
		says "^mr: --ship $arg: .*$why"
	done <<-'EOF'
		none No such file
		given/ No such file|Not a directory
		none=x No such file
		given=a/b cannot be the name
		given= cannot be the name
		given=.. cannot be the name
		.. cannot be the name
		/ cannot be the name
	EOF
	expect 2 mr run --ship given --ship dir/given -m 'touch ran' /dev/null
	says 'the name given is taken'
	expect 2 mr run --ship given /dev/null
	says '^mr: --ship has no effect without -m CMD or -r CMD$'
	[ ! -e ran ]
	mv given 'a=b'
	expect 0 mr run --ship 'a=b=c' -m 'ls' /dev/null
	[ "$(cat ../out)" = c ]
}

# --------------------------------------------------- the task environment

# The names of this attempt, in a line.
show='echo "$MR_PHASE $MR_TASK/${MR_TASKS-?} $MR_ATTEMPT ${MR_INPUT_FILE-?}" \
    "${MR_INPUT_START-?}+${MR_INPUT_LENGTH-?}"'

@test "map tasks find their piece of the file, whoever runs them" {
	seq 1000 >in
	for j in 1 2 5; do
		expect 0 mr run -j "$j" --block-size 1000 -m '
			tail -c "+$((MR_INPUT_START + 1))" "$MR_INPUT_FILE" |
			    head -c "$MR_INPUT_LENGTH" | cmp - /dev/stdin &&
			    echo "$MR_TASK $MR_TASKS"' in
		for i in 0 1 2 3; do echo "$i 4"; done | cmp - ../out
	done
	expect 0 mr run -N 300 -m '
		tail -c "+$((MR_INPUT_START + 1))" "$MR_INPUT_FILE" |
		    head -c "$MR_INPUT_LENGTH" | cmp - /dev/stdin' in
}

@test "a second attempt finds the same, and its number" {
	seq 1000 >in
	expect 0 mr run -j 2 --retries 2 --block-size 1000 -m "
		$show >>seen
		[ \"\$MR_ATTEMPT\" = 2 ]" in
	sort -u seen >all
	[ "$(wc -l <all)" -eq 12 ]
	[ "$(sed -E 's| [012] in | |' all | sort -u | wc -l)" -eq 4 ]
	run ! grep -v '^map [0-3]/4 [012] in [0-9]*+[0-9]*$' all
}

@test "streams have offsets, and a count of tasks only when it is known" {
	seq 60000 >in
	cat in | expect 0 mr run -j 2 --block-size 64K -m "$show"
	grep -q '^map 0/? 0 ? ?+?$' ../out
	mkfifo fifo
	cat in >fifo 3>&- &
	expect 0 mr run -j 2 --block-size 64K -m "$show" fifo
	awk '{ split($5, x, "+"); if (x[1] != at) bad = 1; at += x[2]
		if ($4 != "fifo" || $2 !~ /[?]$/) bad = 1 }
		END { exit bad || NR < 2 || at != '"$(wc -c <in)"' }' ../out
}

@test "whole files have their size, packed files no name, no input neither" {
	seq 10 >a
	: >b
	expect 0 mr run --whole-file -m "$show" a b
	printf '%s\n' 'map 0/2 0 a 0+21' 'map 1/2 0 b 0+0' | cmp - ../out
	expect 0 mr run --pack -m "$show" a b a
	echo 'map 0/1 0 ? ?+?' | cmp - ../out
	expect 0 mr run -m "$show" b
	echo 'map 0/1 0 ? ?+?' | cmp - ../out
	expect 0 mr run --sample 3 -m "$show" a
	echo 'map 0/1 0 a 0+21' | cmp - ../out
}

@test "nothing of an outer job gets into a task of an inner one" {
	echo record >in
	a_script inner 'mr run -m "env | grep -E \"^(MR_|mapred|map_)\"" </dev/null |
		grep -vE "^MR(_TEST_MARK|_PHASE|_TASK|_TASKS|_ATTEMPT|_CPUS|_OUTPUT_DIR|_JOB_ID)?=|^mapreduce_(job_id|task_)"'
	expect 0 mr run --ok-exit 1 -m ./inner -r cat in
	prints_nothing
	expect 0 mr run --ok-exit 1 --range 5:6 -m ./inner
	prints_nothing
	MR_KEY=x MR_RANGE_START=x MR_SOURCE_COUNT=x MR_INPUT_FILE=x \
		expect 1 ./inner
	prints_nothing
}
