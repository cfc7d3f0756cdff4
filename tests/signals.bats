#!/usr/bin/env bats
# Signals to mr, and what is left when it, or one of its processes, is killed.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

waits='touch started; sleep 1000 | sleep 1001'

signals='INT:130 TERM:143 HUP:129 QUIT:131'

# began: the task that the test waits for runs.
began() {
	wait_until test -e started
}

# nothing_left_but FILE...: in this directory and in TMPDIR.
nothing_left_but() {
	[ "$(ls -A)" = "$(printf '%s\n' "$@")" ] || { ls -lA; return 1; }
	[ -z "$(ls -A "$TMPDIR")" ] || { ls -lAR "$TMPDIR"; return 1; }
}

no_process_left() {
	[ -z "$(test_processes)" ]
}

# ------------------------------------------------------- terminating signals

@test "INT, TERM, HUP and QUIT in the map phase: all stopped, nothing left" {
	seq 1000 >in
	echo old >out
	ulimit -c 0
	for s in $signals; do
		start mr run -j 2 -m "$waits" -r cat -o out in
		began
		kill "-${s%:*}" "$JOB"
		ends "${s#*:}"
		no_process_left
		rm started
		nothing_left_but in out
		[ "$(cat out)" = old ]
	done
}

@test "INT, TERM, HUP and QUIT in the reduce phase, after spilling: nothing left" {
	random_records 100000 >in
	ulimit -c 0
	for s in $signals; do
		start mr run -j 2 -S 4M -m cat -r "$waits" -O out in
		began
		kill "-${s%:*}" "$JOB"
		ends "${s#*:}"
		no_process_left
		rm started
		nothing_left_but in
	done
}

@test "INT and TERM while the input still comes" {
	for s in INT:130 TERM:143; do
		for c in 'run -m "touch started; cat" --block-size 16K -r cat' \
			'map --block-size 16K sh -c "touch started; cat"' \
			'reduce --block-size 16K sh -c "touch started; cat"'; do
			mkfifo fifo
			# shellcheck disable=SC2094 # a writer that waits
			{
				seq -w 100000
				while test -e fifo; do sleep 0.05; done
			} >fifo 3>&- &
			writer=$!
			start sh -c "exec mr $c" <fifo
			began
			kill "-${s%:*}" "$JOB"
			ends "${s#*:}"
			rm fifo started
			wait "$writer" || :
			nothing_left_but
		done
	done
}

@test "INT and TERM while nobody reads the output" {
	seq -w 200000 >in
	for s in INT:130 TERM:143; do
		for c in 'run -m cat -r cat in' 'run in' 'sort in' 'map cat' 'reduce cat'; do
			mkfifo fifo
			exec 8<>fifo
			start sh -c "exec mr $c <in >fifo"
			# Its output has begun, and more than a pipe holds follows.
			[ "$(head -c 1 <&8)" = 0 ]
			kill "-${s%:*}" "$JOB"
			ends "${s#*:}"
			no_process_left
			exec 8<&-
			rm fifo
		done
	done
	nothing_left_but in
}

@test "the filters clean up after INT and TERM as well" {
	random_records 100000 | reference >in
	mkfifo fifo
	exec 9<>fifo
	for s in INT:130 TERM:143; do
		for c in "mr map -c '$waits' <in" "mr reduce -c '$waits' <in"; do
			start sh -c "exec $c"
			began
			kill "-${s%:*}" "$JOB"
			ends "${s#*:}"
			no_process_left
			rm started
		done
		start sh -c 'exec mr sort -S 4M -o out in - <fifo'
		spilling() { [ -n "$(ls -A "$TMPDIR")" ] || [ -n "$(find "/proc/$JOB/fd" -lname '*deleted*')" ]; }
		wait_until spilling
		kill "-${s%:*}" "$JOB"
		ends "${s#*:}"
		nothing_left_but fifo in
	done
	exec 9>&-
}

@test "tasks are asked to end before they are killed" {
	echo a >in
	start mr run -m 'trap "echo asked >asked; exit 3" TERM; touch started; sleep 1000 & wait' in
	began
	kill -TERM "$JOB"
	ends 143
	[ "$(cat asked)" = asked ]
}

@test "tasks that ignore TERM are killed" {
	echo a >in
	start mr run -m 'trap "" TERM INT HUP; touch started; sleep 1000 | sleep 1001' in
	began
	kill -TERM "$JOB"
	ends 143
	no_process_left
}

@test "a second signal does not wait for tasks that ignore the first" {
	echo a >in
	start mr run -m 'trap "" TERM INT HUP; touch started; sleep 1000 | sleep 1001' in
	began
	kill -INT "$JOB"
	kill -TERM "$JOB" || :
	got=0
	wait "$JOB" || got=$?
	[ "$got" -eq 130 ] || [ "$got" -eq 143 ]
	no_process_left
}

@test "a signal while mr stops is not taken for a task's failure" {
	echo a >a
	echo b >b
	start mr run -j 2 -m 'touch started.$MR_TASK; trap "exit 3" TERM; sleep 1000 & wait' a b
	wait_until test -e started.0
	wait_until test -e started.1
	kill -HUP "$JOB"
	ends 129
	says_no 'task [01] failed'
}

@test "a signal that comes together with a failure goes before it" {
	echo a >in
	set -m
	start mr run -j 1 -m "$waits" in
	set +m
	began
	kill -TSTP "$JOB"
	wait_until all_stopped
	# As a shell ends a job that is stopped: all of its group.  The worker
	# tells of the end of its task before the driver goes on.
	kill -TERM -- "-$JOB"
	kill -CONT "$(mr_processes | tail -n 1)"
	no_task() { [ "$(test_processes | wc -l)" -eq 2 ]; }
	wait_until no_task
	kill -CONT -- "-$JOB"
	ends 143
	says_no failed
}

# ----------------------------------------------------- what mr was born with

@test "signals that the parent ignored stay ignored" {
	echo a >in
	for s in INT HUP TERM QUIT; do
		rm -f started go
		start "--ignore-signal=$s" mr run \
			-m 'touch started; while ! test -e go; do sleep 0.05; done; cat' -r cat in
		began
		kill "-$s" "$JOB"
		kill -s CONT "$JOB"
		touch go
		ends 0
		prints in
	done
	rm started go
	expect 0 nohup mr run -m 'kill -HUP $PPID; cat' in
	prints in
}

@test "tasks get the default SIGPIPE and an empty signal mask" {
	echo a >in
	for c in "run -m 'cat >/dev/null; cat /proc/self/status' in" \
		"run -r 'cat >/dev/null; cat /proc/self/status' in" \
		'map cat /proc/self/status' 'reduce cat /proc/self/status'; do
		expect 0 env --ignore-signal=PIPE --block-signal=TERM --block-signal=CHLD --block-signal=ALRM \
			sh -c "exec mr $c <in"
		grep -E '^SigBlk:.0{16}$' ../out
		ignored=$(sed -n 's/^SigIgn:.//p' ../out)
		[ $((0x$ignored & 0x1000)) -eq 0 ]	# bit 12 is SIGPIPE
		caught=$(sed -n 's/^SigCgt:.//p' ../out)
		[ $((0x$caught)) -eq 0 ]
	done
}

@test "with SIGCHLD ignored by the parent tasks are still judged" {
	echo a >in
	expect 123 env --ignore-signal=CHLD mr run -m 'cat >/dev/null; exit 3' in
	expect 0 env --ignore-signal=CHLD mr run -m cat -r cat in
	prints in
}

# ------------------------------------------------------------- stop and go

@test "TSTP stops the tasks and then mr, CONT continues all" {
	seq 1000 >in
	# In a group of its own, as a shell at a terminal would have it.
	set -m
	start mr run -j 2 -m 'touch started; while ! test -e go; do sleep 0.02; done; cat' -r cat in
	set +m
	began
	kill -TSTP "$JOB"
	wait_until all_stopped
	touch go
	all_stopped
	kill -CONT "$JOB"
	ends 0
	reference in >want
	prints want
}

@test "time that mr is stopped does not count for --timeout" {
	needs_option --timeout
	seq 1000 >in
	set -m
	start mr run -j 2 --timeout 3 -m 'touch started; while ! test -e go; do sleep 0.02; done; cat' -r cat in
	set +m
	began
	kill -TSTP "$JOB"
	wait_until all_stopped
	sleep 3.5	# the timeout passes
	all_stopped
	touch go
	kill -CONT "$JOB"
	ends 0
	reference in >want
	prints want
}

@test "a stopped mr can be killed, and terminated" {
	echo a >in
	for s in KILL:137 TERM:143; do
		rm -f started
		set -m
		start mr run -m "$waits" in
		set +m
		began
		kill -TSTP "$JOB"
		wait_until all_stopped
		kill "-${s%:*}" "$JOB"
		kill -CONT "$JOB" 2>/dev/null || :
		ends "${s#*:}"
		wait_until no_process_left
	done
}

# ------------------------------------------------------------------ SIGKILL

@test "KILL of any one process of mr leaves no process and no file" {
	random_records 60000 >in
	# The commands are pipelines: the death of one process of theirs would
	# not end the others.
	each_waits='touch started.$MR_TASK; sleep 1000 | sleep 1001'
	both_began() { [ "$(find . -name 'started.*' | wc -l)" -eq 2 ]; }
	for phase in map reduce; do
		for victim in 1 2 3; do
			if [ "$phase" = map ]; then
				start mr run -j 2 -S 8M --block-size 256K -m "test \$MR_TASK -lt 11 || { $each_waits; }; cat" -r cat -o out in
			else
				start mr run -j 2 -S 8M -R 2 -m cat -r "$each_waits" -O out in
			fi
			wait_until both_began
			pids=$(mr_processes)
			[ "$(wc -w <<<"$pids")" -eq 3 ]
			kill -KILL "$(sed -n "${victim}p" <<<"$pids")"
			if [ "$victim" = 1 ]; then ends 137; else ends 125; fi
			wait_until no_process_left
			rm started.*
			wait_until nothing_left_but in
		done
	done
}

@test "KILL of a filter leaves no process and no file" {
	random_records 60000 | reference >in
	for c in "mr map -j 2 -c '$waits' <in" "mr reduce -j 2 -c '$waits' <in"; do
		start sh -c "exec $c"
		began
		kill -KILL "$JOB"
		ends 137
		wait_until no_process_left
		rm started
		wait_until nothing_left_but in
	done
}

@test "KILL of all of mr's processes at once leaves at most two empty directories" {
	random_records 100000 >in
	start mr run -j 2 -S 4M -m cat -r 'touch started; exec sleep 1000' -O out in
	began
	# shellcheck disable=SC2046 # several
	kill -KILL $(mr_processes)
	ends 137
	wait_until no_process_left
	rm started
	for d in . "$TMPDIR"; do
		left=$(find "$d" -mindepth 1 -maxdepth 1 ! -name in)
		[ "$(wc -w <<<"$left")" -le 1 ]
		[ -z "$left" ] || [ "$(stat -c %F:%a "$left")" = directory:700 ]
		[ -z "$left" ] || [ -z "$(find "$left" -type f -size +0)" ]
	done
	# The next mr that comes by removes them.
	expect 0 mr run -S 4M -m cat -r cat -O out2 in
	nothing_left_but in out2
	rm -r out2
}

@test "what a running mr has in a directory is not taken for a dead one's" {
	random_records 100000 >in
	mkdir outs
	start mr run -j 2 -S 4M -m cat -r 'touch started; while ! test -e go; do sleep 0.05; done; cat' -O outs/first in
	began
	expect 0 mr run -j 1 -S 4M -m cat -r cat -O outs/second in
	expect 0 mr run -j 1 -S 4M -m cat -r cat -o outs/third in
	touch go
	ends 0
	cmp <(cat outs/first/part-*) outs/third
	cmp <(cat outs/second/part-*) outs/third
	[ "$(ls -A outs)" = "$(printf 'first\nsecond\nthird')" ]
}

@test "an interrupt ends a command of --partition that hangs" {
	echo >in
	mr run -r cat -R 2 -O parts --partition 'touch asked; exec sleep 1000' \
		in 2>err &
	wait_until test -e asked
	kill -TERM $!
	wait $! || status=$?
	[ "$status" -eq 143 ]
	[ ! -e parts ]
}
