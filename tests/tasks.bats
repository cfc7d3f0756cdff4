#!/usr/bin/env bats
# What a task's command may do wrong, and what mr does then.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# A map that fails the first time that it runs in this directory.
fails_once='test -e tried || { : >tried; exit 1; }'

# --------------------------------------------------- commands that fail

@test "a map that exits non-zero fails the job, and the message says all" {
	printf 'a\nb\n' >in
	expect 123 mr run -m 'cat >/dev/null; exit 7' -r cat in
	prints_nothing
	says '^mr[a-z ]*: map task 0 failed after 1 attempt: cat >/dev/null; exit 7: exit status 7$'
	says '^mr[a-z ]*: +input in, bytes 0-3'
	says '^mr[a-z ]*: stopped; no output written'
}

@test "a reduce that exits non-zero fails the job, and the message names it" {
	printf 'a\nb\n' >in
	expect 123 mr run -r 'cat >/dev/null; exit 9' in
	prints_nothing
	says '^mr[a-z ]*: reduce task [0-9]+ failed after 1 attempt: .*exit status 9'
}

@test "the message holds the last lines that the task wrote to stderr" {
	echo a >in
	expect 123 mr run -m 'echo first >&2; echo "ValueError: bad line" >&2; exit 3' in
	says '^mr[a-z ]*: +\| ValueError: bad line$'
}

@test "exit 1 without output or message hints at --ok-exit" {
	echo a >in
	expect 123 mr run -m 'grep b' in
	says '--ok-exit 1'
}

@test "a command of several lines does not break the message's line" {
	echo a >in
	expect 123 mr run -m $'cat >/dev/null\nexit 4' in
	says '^mr[a-z ]*: map task 0 failed after 1 attempt: cat >/dev/null\\x0[aA]exit 4: exit status 4$'
}

@test "the range of the input in the message is that of the task" {
	seq 100000 200000 >in
	expect 123 mr run --block-size 64K -j 2 -m 'if grep -q 150000; then exit 3; fi' in
	says 'map task [1-9][0-9]* failed after 1 attempt: .*exit status 3'
	range=$(sed -n 's/.*input in, bytes \([0-9]*-[0-9]*\).*/\1/p' ../err)
	first=${range%-*} last=${range#*-}
	tail -c "+$((first + 1))" in | head -c "$((last - first + 1))" | grep -qx 150000
}

@test "a failed job leaves an old output file as it was, and makes no new one" {
	echo a >in
	echo old >kept
	expect 123 mr run -m 'echo new; exit 3' -o kept in
	[ "$(cat kept)" = old ]
	expect 123 mr run -m 'echo new; exit 3' -o absent in
	expect 123 mr run -r 'echo new; exit 3' -O dir in
	[ "$(ls -A)" = "$(printf 'in\nkept')" ]
}

@test "a failure stops the tasks that still run" {
	echo bad >a
	echo good >b
	expect 123 mr run -j 2 -m 'if grep -q bad; then exit 3; else sleep 1000; fi' a b
	says 'map task 0 failed'
}

@test "mr map: what was printed before a failure is a prefix of whole records" {
	seq 20000 >in
	expect 123 mr map -j 2 --block-size 4K -c 'awk "\$0 == 15000 { exit 6 } { print }"' <in
	is_prefix ../out in
	[ "$(tail -n 1 ../out)" != 20000 ]
	says 'map task [0-9]+ failed after 1 attempt: .*exit status 6'
}

@test "mr reduce: what was printed before a failure is a prefix of whole records" {
	seq -w 20000 >in
	expect 123 mr reduce -j 2 --block-size 4K -c 'awk "\$0 == 15000 { exit 6 } { print }"' <in
	is_prefix ../out in
	says 'reduce task [0-9]+ failed after 1 attempt: .*exit status 6'
}

@test "--retries: a task is tried that often again, and no more" {
	needs_option --retries
	echo a >in
	expect 123 mr run --retries 2 -m 'echo x >>tries; exit 5' in
	[ "$(wc -l <tries)" -eq 3 ]
	says 'map task 0 failed after 3 attempts: .*exit status 5'
}

@test "--retries: a task that fails once and then works gives the same output" {
	needs_option --retries
	seq 1000 >in
	expect 0 mr run -v --retries 1 -m "$fails_once; cat" -r cat in
	reference in >want
	prints want
	says 'retries=1|1 attempt was repeated'
}

@test "--retries: a reduce that fails once is run again over the same records" {
	needs_option --retries
	seq 1000 >in
	expect 0 mr run --retries 1 -R 3 -r "cat >copy.\$MR_TASK.\$MR_ATTEMPT; $fails_once; cat copy.\$MR_TASK.\$MR_ATTEMPT" in
	reference in >want
	prints want
}

@test "only one whole attempt is used, whatever the others printed" {
	needs_option --retries
	echo a >in
	expect 0 mr run --retries 1 -m "echo \$\$; $fails_once" -r cat in
	[ "$(wc -l <../out)" -eq 1 ]
	printf 'k\tv' >part
	expect 0 mr run --retries 1 -m 'if test -e again; then echo whole; else : >again; cat part; kill -9 $$; fi' -r cat in
	[ "$(cat ../out)" = whole ]
}

@test "an attempt that changes groups of earlier tasks is undone, or has its own run" {
	local value failing
	# Tasks add to keys that there are, fail, and add to them again; then the
	# memory is full before their end.
	failing='if [ "$((MR_TASK % 2))" = 1 ] && mkdir "f/$MR_TASK"; then
		head -c 200000; exit 1; fi; cat'
	for value in i 'int(i / 20000)' '(i % 7 < 3 ? 1 : i % 3)' 1; do
		awk "BEGIN { for (i = 0; i < 400000; i++)
			print \"key\" i * 7919 % int(5000 + i / 8) \"\\t\" $value }" >in
		reference in >want
		rm -rf f out && mkdir f
		MR_DEBUG=group expect 0 mr run -j 1 -S 4M --block-size 900K \
			--retries 1 -m "$failing" -r cat in
		cmp ../out want
		MR_DEBUG=group expect 0 mr run -j 1 -S 4M --block-size 900K \
			-O out -R 2 --partition "awk '{ print length(\$0) % 2 }'" \
			-m cat -r cat in
		cat out/part-* | reference | cmp - want
	done
}

@test "a partial last record of a killed task is never seen" {
	echo a >in
	expect 125 mr run -m 'printf "k\tv"; kill -9 $$' in
	prints_nothing
	expect 125 mr map -c 'printf "k\tv"; kill -9 $$' <in
	prints_nothing
}

# ---------------------------------------------------------------- signals

@test "a task that a signal kills is 125, and the signal is named" {
	echo a >in
	ulimit -c 0
	expect 125 mr run -m 'kill -SEGV $$' in
	says 'map task 0 failed after 1 attempt: .*SIGSEGV'
	expect 125 mr map -c 'kill -TERM $$' <in
	says SIGTERM
	expect 125 mr run -r 'kill -ABRT $$' in
	says 'reduce task [0-9]+ failed .*SIGABRT'
	prints_nothing
}

@test "a task that dies of SIGPIPE has failed, and so has one that exits 141" {
	echo a >in
	expect 125 mr run -m 'kill -PIPE $$' in
	says SIGPIPE
	expect 123 mr run -m 'cat >/dev/null; exit 141' in
	says 'exit status 141'
}

@test "a killed worker fails its attempt, which says that memory may be short" {
	echo a >in
	expect 125 mr run -j 1 -m 'kill -9 $PPID; sleep 1000' in
	prints_nothing
	says 'map task 0 failed after 1 attempt: .*killed by SIGKILL.*out of memory\?'
}

@test "a killed worker is replaced, and nothing it had committed is lost" {
	needs_option --retries
	seq 50000 >in
	expect 0 mr run --retries 1 -j 2 --block-size 16K \
		-m 'if test "$MR_TASK" = 9 && ! test -e again; then : >again; kill -9 $PPID; sleep 1000; fi; cat' \
		-r cat in
	test -e again
	reference in >want
	prints want
}

@test "a reduce task whose worker was killed is run again" {
	needs_option --retries
	seq 50000 >in
	expect 0 mr run --retries 1 -j 2 -R 3 \
		-r 'if ! test -e again; then : >again; kill -9 $PPID; sleep 1000; fi; cat' in
	reference in >want
	prints want
}

@test "a task that the kernel kills for want of memory is 125 and says so" {
	needs python3
	needs_plain_binary
	needs_memory_cgroup 96M
	echo a >in
	expect 125 in_cgroup mr run -S 16M -j 1 \
		-m 'exec python3 -c "x = bytearray(b\"x\") * 300000000"' in
	says 'killed by SIGKILL.*out of memory\?'
}

@test "a task that is stopped counts as running, so --timeout ends it" {
	needs_option --timeout
	echo a >in
	expect 124 mr run --timeout 1 -m 'kill -STOP $$' in
}

# ------------------------------------------------------ reading and writing

@test "a task that stops reading early and exits 0 is a success at any size" {
	for size in 9 65538 10000008; do
		yes abcdefgh | head -c "$size" >in
		expect 0 mr run -j 1 --block-size 64M -m 'head -n 1' in
		[ "$(cat ../out)" = abcdefgh ]
		says_no 'Broken pipe'
		expect 0 mr run -j 1 -R 1 -r 'head -n 1' in
		[ "$(cat ../out)" = abcdefgh ]
		expect 0 mr map -j 1 --block-size 64M head -n 1 < <(cat in)
		[ "$(cat ../out)" = abcdefgh ]
		expect 0 mr reduce -j 1 head -n 1 < <(cat in)
		[ "$(cat ../out)" = abcdefgh ]
	done
}

@test "a task that never reads is judged by its status alone" {
	yes abcdefgh | head -c 10000000 >in
	expect 0 mr run --block-size 64M -m 'exec <&-; echo done' in
	[ "$(cat ../out)" = 'done' ]
	expect 123 mr run --block-size 64M -m 'exec <&-; exit 5' in
	says 'exit status 5'
	says_no 'Broken pipe|SIGPIPE'
}

@test "-v says how many bytes tasks left unread" {
	yes abcdefgh | head -c 10000000 >in
	expect 0 mr run -v -j 1 --block-size 64M -m 'head -n 1' in
	says 'unread|not read|never read'
}

@test "--strict-input: an attempt that leaves bytes unread has failed" {
	needs_option --strict-input
	yes abcdefgh | head -c 10000000 >in
	expect 123 mr run --strict-input --block-size 64M -m 'head -n 1' in
	expect 0 mr run --strict-input --block-size 64M -m 'wc -l' in
}

@test "a task that reads nothing and writes much does not block" {
	yes abcdefgh | head -c 10000000 >in
	seq 300000 >want
	expect 0 mr run --block-size 64M -m 'seq 300000' in
	prints want
	expect 0 mr run -R 1 -r 'seq 300000' in
	prints want
}

@test "a task that reads much and writes nothing does not block" {
	yes abcdefgh | head -c 10000000 >in
	expect 0 mr run --block-size 64M -m 'cat >/dev/null' -r 'wc -l' in
	[ "$(cat ../out)" -eq 0 ]
	expect 0 mr run -r 'cat >/dev/null' in
	prints_nothing
}

@test "a task that writes only when it has read all does not block" {
	seq 500000 >in
	tac in >want
	expect 0 mr run --block-size 64M -m tac in
	prints want
	expect 0 mr map --block-size 64M tac < <(cat in)
	prints want
}

@test "a task that closes its output still has to end, and its status decides" {
	echo a >in
	expect 123 mr run -m 'exec >&-; sleep 0.3; exit 3' in
	says 'exit status 3'
	expect 0 mr run -m 'exec >&-; sleep 0.3; : >ended' in
	test -e ended
	prints_nothing
}

@test "a task that closes its output and stays is stopped by --timeout" {
	needs_option --timeout
	echo a >in
	expect 124 mr run --timeout 1 -m 'exec >&- 2>&-; exec sleep 1000' in
}

@test "two tasks that flood stderr come through as whole lines" {
	echo a >a
	echo b >b
	expect 0 mr run -j 2 -m 'k=$(cat); yes "this is a line of task $k, and it is a long one" | head -n 50000 >&2; echo "$k"' -r cat a b
	printf 'a\nb\n' >want
	prints want
	run -1 grep -avxE 'this is a line of task [ab], and it is a long one' ../err
	[ "$(grep -c 'task a,' ../err)" -eq 50000 ]
	[ "$(grep -c 'task b,' ../err)" -eq 50000 ]
}

@test "a long line on stderr without an end is passed on and does not block" {
	echo a >in
	expect 0 mr run -m 'head -c 3000000 /dev/zero | tr "\0" x >&2; cat' in
	[ "$(tr -cd x <../err | wc -c)" -eq 3000000 ]
}

# -------------------------------------------------- what outlives a command

@test "a process left behind that holds stdout makes the attempt fail" {
	echo a >in
	expect 123 mr run -m 'sleep 1000 & echo k' in
	prints_nothing
	says 'map task 0 failed after 1 attempt: '
}

@test "a process left behind that holds only stderr is no failure, and is stopped" {
	echo a >in
	expect 0 mr run -m 'sleep 1000 >&- & cat' in
	[ "$(cat ../out)" = a ]
	[ -z "$(test_processes)" ]
}

@test "a process that left the task's session does not outlive the task" {
	needs setsid
	echo a >in
	expect 0 mr run -m 'setsid sleep 1000 </dev/null >/dev/null 2>&1 & cat' in
	[ "$(cat ../out)" = a ]
	[ -z "$(test_processes)" ]
	# Not even until the next task, of whatever phase.
	expect 0 mr run -j 1 -m 'setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >pid; cat' \
		-r 'if kill -0 "$(cat pid)"; then touch alive; fi; cat' in
	test -s pid
	test ! -e alive
	expect 0 mr run -r '(setsid sh -c "sleep 1000 & sleep 1001 & wait" </dev/null >/dev/null 2>&1 &); cat' in
	[ "$(cat ../out)" = a ]
	[ -z "$(test_processes)" ]
}

@test "children that were there before mr took the process over are left alone" {
	echo a >in
	expect 0 bash -c 'sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >pid; exec mr run -m cat -r cat in'
	[ "$(cat ../out)" = a ]
	kill -0 "$(cat pid)"
	kill "$(cat pid)"
}

@test "a child from before that ends meanwhile is not taken for a task" {
	echo a >in
	expect 0 bash -c 'true & exec mr run -m "sleep 0.2; cat" -r cat in'
	[ "$(cat ../out)" = a ]
}

# ------------------------------------------ commands that cannot be started

@test "a missing command is found before any work" {
	echo a >in
	expect 127 mr run -m 'touch ran; cat' -r ./none in
	test ! -e ran
	says '\./none'
	prints_nothing
	expect 127 mr map ./none <in
	expect 127 mr reduce ./none <in
	expect 127 mr map -c './none | cat' <in
}

@test "a missing command is tried once, whatever --retries says" {
	needs_option --retries
	echo a >in
	expect 127 mr run --retries 3 -m 'echo x >>tries; no-such-command' in
	[ "$(wc -l <tries)" -eq 1 ]
	says 'command not found\?'
	expect 127 mr map --retries 3 no-such-command <in
	says 'no-such-command'
	says_no 'after [2-9] attempts'
}

@test "a missing command that is a file here is answered with its name" {
	echo a >in
	printf '#!/bin/sh\ncat\n' >wc.sh
	chmod +x wc.sh
	expect 127 mr map wc.sh <in
	says 'there is \./wc\.sh'
	expect 127 mr run -m wc.sh in
	says 'there is \./wc\.sh'
}

@test "a command that is not executable, or a directory, is 126 before any work" {
	echo a >in
	printf '#!/bin/sh\ncat\n' >script
	chmod 644 script
	mkdir directory
	for c in ./script ./directory; do
		expect 126 mr run -m 'touch ran; cat' -r "$c" in
		test ! -e ran
		says "$c"
		expect 126 mr map "$c" <in
		expect 126 mr reduce "$c" <in
	done
}

@test "a command in an unknown format is 126" {
	echo a >in
	printf '\177ELF\0\0\0\0junk\0' >junk
	chmod +x junk
	expect 126 mr map ./junk <in
	says 'junk'
	expect 126 mr reduce ./junk <in
}

@test "a script whose interpreter is missing is 126 and says so" {
	echo a >in
	printf '#!/nonexistent/interpreter -x\ncat\n' >script
	chmod +x script
	expect 126 mr run -m 'touch ran; cat' -r ./script in
	test ! -e ran
	says 'bad interpreter.*/nonexistent/interpreter|/nonexistent/interpreter.*bad interpreter'
	expect 126 mr map ./script <in
	says 'bad interpreter'
}

@test "a script without a #! line, or with a carriage return in it, is told so" {
	echo a >in
	echo 'cat; touch ran' >plain
	printf '#!/bin/sh\r\ntouch ran\r\n' >dos
	chmod +x plain dos
	expect 126 mr map ./plain <in
	says './plain: neither a binary nor a script with a #! line'
	for c in 'map ./dos' 'run -m ./dos' 'run -r ./dos'; do
		# shellcheck disable=SC2086 # several words
		expect 126 mr $c <in
		says './dos: its #! line ends with a carriage return'
	done
	[ ! -e ran ]
	# The shell takes the one for a script.
	expect 0 mr run -m ./plain in
	prints in
}

@test "inside a shell string the shell's 126 and 127 are mr's" {
	echo a >in
	printf '#!/nonexistent/interpreter\n' >script
	: >plain
	chmod +x script
	expect 127 mr run -m 'cat >/dev/null; exec ./script' in
	expect 126 mr run -m 'cat >/dev/null; ./plain' in
}

@test "a command that vanishes between attempts is 127, with the attempt" {
	needs_option --retries
	echo a >in
	printf '#!/bin/sh\nrm -f -- "$0"\nexit 1\n' >m
	chmod +x m
	expect 127 mr run --retries 3 -m ./m in
	says 'after 2 attempts: \./m'
}

@test "a line that is only words does what it does in the shell, without one" {
	printf 'A b\nx y\n' >in
	# shellcheck disable=SC2016 # the parent is the script's
	printf '#!/bin/sh\nread -r name </proc/$PPID/comm; echo "$name" "$@"\n' \
		>parent
	echo 'cat; echo "$@"' >plain
	printf '#!/bin/sh\ncat; echo "$@"\n' >args
	printf '#!/bin/sh\nkill -SEGV $$\n' >crash
	chmod +x parent plain args crash
	while IFS= read -r line; do
		mr run -m "$line" in >out 2>err && status=0 || status=$?
		MR_DEBUG=shell expect "$status" mr run -m "$line" in
		prints out
		cmp err ../err
	done <<-\end
		cat
		 cat	in
		tr a-z A-Z
		cut '-d ' -f1
		cut -d' ' -f"2"
		sed 's/$/"$HOME"/'
		sed "s/A/'/"
		sed "s/\\(A\\)/\1\1/"
		./plain "a  b" '' c
		./args *
		./args ~ a
		./args a #b
		./args "$HOME" a
		./args {a,b} [a-p]*
		./args <in
		echo -e a=b
		x=1 cat
		no-such-command a
		''
		cat 'a
		cat | cat
		cat;
		cat &
		exit 3
		if
	end
	for how in 'env -u PWD' 'env PWD=/' 'env PWD=..' 'env PWD=/none'; do
		$how mr run -m 'printenv PWD' in >out
		[ "$(cat out)" = "$PWD" ]
	done
	mr run -m './parent a "b  c" '"'d'" in >out
	[ "$(cat out)" = "${MR##*/} a b  c d" ]
	# The shell would have exited with 139.
	expect 125 mr run -m ./crash in
	says 'killed by SIGSEGV'
}

# ---------------------------------------------------------------- too slow

@test "--timeout stops a task that hangs, also one that ignores TERM" {
	needs_option --timeout
	echo a >in
	expect 124 mr run --timeout 0.5 -m 'sleep 1000' in
	says 'map task 0 failed after 1 attempt: '
	prints_nothing
	expect 124 mr run --timeout 0.5 -m 'trap "" TERM; sleep 1000' in
	expect 124 mr run --timeout 0.5 -r 'sleep 1000 | sleep 1001' in
	says 'reduce task [0-9]+ failed'
}

@test "--timeout counts as a failed attempt, so --retries tries again" {
	needs_option --timeout
	echo a >in
	# More than one, in case that a machine is so slow.
	expect 0 mr run --timeout 1 --retries 5 -m 'test -e again || { : >again; exec sleep 1000; }; cat' in
	[ "$(cat ../out)" = a ]
	[ -e again ]
}

# ------------------------------------------------------- several at once

@test "the first task to use up its attempts decides the status" {
	echo 0 >a
	echo 1 >b
	expect 125 mr run -j 2 -m 'case $(cat) in 0) kill -9 $$ ;; 1) trap "exit 3" TERM; sleep 1000 & wait ;; esac' a b
	says 'map task 0 failed .*SIGKILL'
	says_no 'task 1 failed'
	expect 123 mr run -j 2 -m 'case $(cat) in 0) trap "" TERM; sleep 1000 ;; 1) exit 3 ;; esac' a b
	says 'map task 1 failed .*exit status 3'
	says_no 'task 0 failed'
}

@test "the last attempt of a task decides, not its first" {
	needs_option --retries
	echo a >in
	expect 125 mr run --retries 1 -m 'test -e again || { : >again; exit 3; }; kill -9 $$' in
	says 'after 2 attempts: .*SIGKILL'
	rm again
	expect 123 mr run --retries 1 -m 'test -e again || { : >again; kill -9 $$; }; exit 3' in
	says 'after 2 attempts: .*exit status 3'
}

@test "a task with attempts left does not decide the status" {
	needs_option --retries
	echo 0 >a
	echo 1 >b
	# Task 0 fails first, but it is task 1 that has used up its attempts.
	expect 123 mr run -j 2 --retries 1 -m 'if test "$(cat)" = 0; then test -e again || { : >again; kill -9 $$; }; sleep 1000; else while ! test -e again; do sleep 0.02; done; exit 4; fi' a b
	says 'map task 1 failed after 2 attempts: '
	says_no 'task 0 failed'
}

@test "a failed attempt leaves nothing in the groups of committed tasks" {
	needs_option --retries
	# Small tasks share a buffer; what a failing attempt adds is equal to
	# the last record of an older task, so that a count would be raised.
	for i in $(seq 40); do
		yes "$(printf 'k%d\t1' "$((i % 5))")" | head -n 7 >"f$i"
	done
	# A file name without a slash: MR_INPUT_FILE is as it was given.
	m='test -e "tried.$MR_TASK" || {
		: >"tried.$MR_TASK"
		for i in 0 1 2 3 4; do printf "k%d\t1\n" "$i"; done
		exit 1
	}
	cat'
	cat f? f?? | reference >want
	for options in '-j 1' '-j 3' '-j 2 -S 8M'; do
		rm -f tried.*
		# shellcheck disable=SC2086 # several options
		expect 0 mr run $options --retries 1 -m "$m" -r cat f? f??
		[ "$(find . -name 'tried.*' | wc -l)" -eq 40 ]
		prints want
	done
}

@test "the values of a key come together from many tasks, in order" {
	# A value that repeats, short ones that do not, and longer ones.
	awk 'BEGIN { for (i = 0; i < 3000; i++)
		print i * i % 409 "\t" (i % 3 ? i % 3 > 1 ? i % 9 :
		    sprintf("%0*d", i % 70, i) : 1) }' >varied
	sed 's/\t.*/\t1/' varied >alike
	# The same value within each task, another one in the next.
	awk '{ print NR * 7919 % 9 "\t" int((NR - 1) / 100) }' alike >steps
	for in in varied alike steps; do
		reference "$in" >"$in.want"
		for options in '-m cat' '-m cat -j 1 -S 4M' \
		    '-m ./flaky --retries 1'; do
			for debug in group disk,group switch; do
				cat >flaky <<-'EOF'
					#!/bin/sh
					cat && { [ "$MR_TASK" != 7 ] || [ "$MR_ATTEMPT" != 0 ]; }
				EOF
				chmod +x flaky
				# shellcheck disable=SC2086
				MR_DEBUG=$debug mr run $options -N 100 -r cat "$in" |
					cmp - "$in.want"
			done
		done
	done
}

@test "runs are never merged across a task that is tried again" {
	needs_option --retries
	random_records 60000 | sed 's/^......../k/; s/^k.*\t/k\t/' >in
	# The first task fails only when all others have been mapped.
	m='if test "$MR_TASK" = 0 && ! test -e again; then
		: >again
		cat >/dev/null
		i=0
		while ! grep -q "^59999 " seen && test $i -lt 300; do
			sleep 0.1
			i=$((i + 1))
		done
		exit 1
	fi
	tee part.$MR_TASK
	cut -f 2 part.$MR_TASK >>seen
	rm part.$MR_TASK'
	: >seen
	expect 0 mr run -j 2 --retries 1 -S 8M --batch-size 2 --block-size 256K -m "$m" -r cat in
	test -e again
	prints in
}
