#!/usr/bin/env bats
# What mr lets others say, and what it says itself; and where it writes to.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

@test "--tag: each line of a task's standard error begins with the task" {
	seq 100 >in
	expect 0 mr run --tag -j 1 --block-size 150 -R 1 -m 'printf "one\ntwo" >&2; cat' \
		--combine 'echo three >&2; cat' -r 'echo four >&2; cat' in
	reference in | cmp - ../out
	says '^map 0: one$'
	says '^map 1: two$'
	says '^combine [0-9]+: three$'
	says '^reduce 0: four$'
	says_no '^(one|two|three|four)$'
	expect 0 mr map --tag sh -c 'yes tagged | head -n 30000 >&2; cat' <in
	[ "$(grep -cx 'map 0: tagged' ../err)" -eq 30000 ]
}

@test "USR1: a line about the progress" {
	mkfifo gate
	seq 10 >in
	start mr run -m ': >started; read x <gate; cat' in
	wait_until test -e started
	kill -USR1 "$JOB"
	wait_until grep -q '^mr: .*0/1' ../err
	echo >gate
	ends 0
	prints in
}

@test "progress tells of tasks that have been stopped, and go on" {
	seq 10 >in
	start mr run -j 2 --block-size 12 -m 'test "$MR_TASK" = 1 || {
		echo $$ >pid && mv pid stopped && kill -STOP $$
	}; cat' in
	wait_until test -e stopped
	told() {
		kill -USR1 "$JOB"
		tail -n 1 ../err | grep -q "$@"
	}
	wait_until told '(1 stopped)'
	kill -0 "$JOB"
	kill -CONT "$(cat stopped)"
	ends 0
	prints in
}

@test "control bytes in what is told are shown as \\xNN" {
	expect 2 mr sort -k $'\e[2J\n'
	says '\\x1B\[2J\\x0A'
	expect 2 mr run -r cat $'no\tsuch\e[31mfile'
	says 'no\\x09such\\x1B\[31mfile'
	[ "$(LC_ALL=C tr -d '\n -~' <../err | wc -c)" -eq 0 ]
}

@test "-o names a pipe or a device: it is written as it is" {
	seq 1000 >in
	reference in >ref
	mkfifo pipe
	cat pipe >got 3>&- &
	expect 0 mr run -r cat -o pipe in
	wait "$!"
	cmp got ref
	[ -p pipe ]
	expect 0 mr run -r cat -o /dev/null in
	[ -c /dev/null ]
	[ ! -e /dev/full ] || expect 1 mr run -r cat -o /dev/full in
	mkdir dir
	refused 'is a directory; -O DIR writes parts' mr run -m ': >ran' -o dir in
}

@test "two files of one name in MR_OUTPUT_DIR, and names of mr's, are failures" {
	seq 100 >in
	expect 1 mr run --block-size 100 -m 'echo >"$MR_OUTPUT_DIR/same"' -O out in
	says '^mr: two tasks left a file same in MR_OUTPUT_DIR$'
	for name in part-00000 part-x _SUCCESS _; do
		expect 123 mr run --retries 2 -m "echo >\"\$MR_OUTPUT_DIR/$name\"" -O out in
		says "failed after 1 attempt: .*: it left a file in MR_OUTPUT_DIR whose name is mr's: $name\$"
	done
	[ "$(ls -A)" = in ]
}

@test "a part whose last line is not ended is followed by others all the same" {
	seq 100 >in
	expect 0 mr run --block-size 100 -m 'printf "%s" "$MR_TASK"' in
	mv ../out whole
	[ "$(wc -l <whole)" -ge 1 ]
	expect 0 mr run --block-size 100 -m 'printf "%s" "$MR_TASK"' -O out in
	cat out/part-* | cmp - whole
	expect 0 mr run --job-dir jd --block-size 100 -m 'printf "%s" "$MR_TASK"' -O out2 in
	cat out2/part-* | cmp - whole
	# Of reduce tasks the very last line stays as it is.
	seq 300000 >in
	expect 0 mr run -R 3 -r 'cat >/dev/null; printf "%s" "$MR_TASK"' in
	printf '0\n1\n2' | cmp - ../out
	expect 0 mr run -R 3 -r 'cat >/dev/null; printf "%s" "$MR_TASK"' -O out3 in
	printf '0\n1\n2' | cmp - <(cat out3/part-*)
}
