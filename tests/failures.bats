#!/usr/bin/env bats
# What may go wrong in the life of a job where several things meet: a kept job
# that is disturbed and goes on, places that change under it, statuses that
# compete, and what is left alone.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# A job that has failed in its reduce phase, every map committed.
make_failed() {
	seq 3000 | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	reference in >ref
	job=(run --job-dir jd -j 2 --block-size 4K -R 3 -m 'echo >>maps; cat')
	expect 123 mr "${job[@]}" -r 'exit 7' in
	rm maps
}

can_inject() {
	needs strace
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
}

# ------------------------------------------------------------- a kept job

@test "logs, messages, lock and verdict lost or spoiled: a kept job goes on" {
	for spoil in 'rm -rf' 'truncate -s 0' 'truncate -s 5' spoil; do
		spoil() { for f; do echo '}{ reporter' >"$f"; done; }
		rm -rf jd
		make_failed
		$spoil jd/logs/* jd/messages jd/lock jd/verdict
		expect 0 mr "${job[@]}" -r cat in
		prints ref
		test ! -e maps
		$spoil jd/logs/* jd/messages jd/lock
		expect 0 mr "${job[@]}" -r cat in
		prints ref
	done
}

@test "a signal ends a kept job, and it goes on with what is committed" {
	seq 3000 >in
	reference in >ref
	mkfifo gate
	job=(run --job-dir jd -j 1 --block-size 4K -r cat -m
		'echo "$MR_TASK" >>maps; [ "$MR_TASK" -ne 2 ] || [ -e good ] || read x <gate; cat')
	for s in INT:130 TERM:143 HUP:129 QUIT:131; do
		rm -rf jd maps good
		start mr "${job[@]}" in
		wait_until grep -qsx 2 maps
		kill "-${s%:*}" "$JOB"
		ends "${s#*:}"
		prints_nothing
		: >good
		expect 0 mr "${job[@]}" in
		prints ref
		[ -z "$(ls -A jd/tmp)" ]
		# Only the one that was at work is run again.
		[ "$(sort maps | uniq -d)" = 2 ]
	done
}

@test "killed between the phases, a job keeps its cuts, whatever -j and -S" {
	make_failed
	rm -rf jd
	start setsid sh -c 'echo "-$$" >group; exec "$@"' sh mr "${job[@]}" \
		-r 'kill -KILL "$(cat group)"' in
	ends 137
	test -e jd/cuts
	cp jd/cuts cuts
	rm maps
	expect 0 mr "${job[@]}" -j 5 -S 5M -r cat in
	prints ref
	cmp cuts jd/cuts
	test ! -e maps
}

@test "size, time or inode of a committed input changed: refused by its name" {
	make_failed
	cp -p in copy
	ln in kept
	changed() {
		expect 2 mr "${job[@]}" -r cat in
		says 'its input in has been changed'
		prints_nothing
	}
	echo >>in
	touch -r copy in
	changed
	truncate -s -1 in
	changed
	touch -r copy in
	cp -p copy same
	mv -f same in
	changed
	ln -f kept in
	expect 0 mr "${job[@]}" -r cat in
	prints ref
	test ! -e maps
}

@test "a clock that was set back, and times to come, change no kept job" {
	seq 3000 >in
	reference in >ref
	touch -d '2100-01-01' in
	expect 123 mr run --job-dir jd --block-size 4K -m 'echo >>maps; cat' -r 'exit 7' in
	rm maps
	back=(env)
	if command -v faketime >/dev/null && ! grep -q __asan_init "$MR"; then
		back+=(NO_FAKE_STAT=1 faketime 2001-01-01)
	fi
	expect 0 "${back[@]}" mr run --job-dir jd --block-size 4K -m 'echo >>maps; cat' -r cat in
	prints ref
	test ! -e maps
	# Nor what has been added to an input.
	expect 0 mr run --append -O sums -r cat in
	echo 77 >>in
	touch -d '2099-01-01' in
	expect 0 "${back[@]}" mr run --append -O sums -r cat in
	reference in | cmp - sums/part-00000
}

@test "a full disk ends a kept job, which goes on when there is room" {
	random_records 20000 >in
	reference in >ref
	on_tmpfs size=8M '
		head -c 8000K /dev/zero >fs/ballast
		expect 1 mr run --job-dir fs/jd -m cat -r cat in
		prints_nothing
		says "fs/jd: .*No space left"
		says "[0-9.]+[KM] of this worker.s so far .with more room the same command goes on.: No"
		says_no "-T DIR"
		rm fs/ballast
		expect 0 mr run --job-dir fs/jd -m cat -r cat in
		prints ref'
}

@test "an fsync that fails is not asked for again: the file is written anew" {
	can_inject
	make_failed
	for n in 1 2 4; do
		rm -rf jd
		got=0
		strace -f -y -b execve -qq -o ../trace -e trace=fsync,fdatasync \
			-e "inject=fsync,fdatasync:error=EIO:when=$n" \
			mr "${job[@]}" -r cat in >../out 2>../err 3>&- || got=$?
		case $got in
		0) prints ref ;;
		1)	prints_nothing
			says 'Input/output error' ;;
		*) false ;;
		esac
		# A directory may be synced many times, but not after this.
		sed -n 's|^\([0-9]* *f[a-z]*sync([0-9]*<[^>]*/jd/[#t][^>]*>\).* = -1 .*|\1|p' ../trace >../failed
		while read -r call; do
			[ "$(grep -cF -- "$call" ../trace)" -eq 1 ]
		done <../failed
		cat ../failed >>../all
		expect 0 mr "${job[@]}" -r cat in
		prints ref
	done
	[ -s ../all ]
}

@test "what is planted in a directory is no job's, and no link is followed" {
	echo a >in
	echo precious >victim
	mkdir elsewhere
	for link in lock:victim lock:none plan:victim plan:none map:elsewhere \
		tmp:elsewhere messages:none verdict:victim; do
		mkdir -m 700 jd
		ln -s "../${link#*:}" "jd/${link%:*}"
		expect 2 mr run --job-dir jd -m 'touch ran; cat' -r cat in
		says "jd: it is no job directory: ${link%:*} is a link"
		prints_nothing
		[ "$(cat victim)" = precious ]
		[ -z "$(ls -A elsewhere)" ]
		test ! -e ran -a ! -e none
		rm -r jd
	done
}

# ---------------------------------------------- places that change under it

@test "a result that cannot be put in its place leaves the old one" {
	can_inject
	seq 100 >in
	for e in EXDEV EACCES ENOSPC EROFS; do
		echo old >out
		expect 1 strace -f -b execve -qq -o ../trace -e trace=rename,renameat,renameat2 \
			-e "inject=rename,renameat,renameat2:error=$e" \
			mr run -m cat -r cat -o out in
		[ "$(cat out)" = old ]
		expect 1 strace -f -b execve -qq -o ../trace -e trace=rename,renameat,renameat2 \
			-e "inject=rename,renameat,renameat2:error=$e" \
			mr run -m cat -r cat -O dir in
		[ "$(ls -A)" = "$(printf 'in\nout')" ]
	done
}

@test "a directory that is closed while the job runs keeps its old output" {
	ordinary_user
	seq 100 >in
	user sh -c 'mkdir mine && echo old >mine/out'
	expect 1 user mr run -m 'chmod 555 mine; cat' -r cat -o mine/out in
	says 'mine/out.*Permission denied|Permission denied.*mine'
	[ "$(cat mine/out)" = old ]
	# What could not be removed lies in the way of nobody.
	user chmod 755 mine
	expect 0 user mr run -m cat -r cat -o mine/out in
	reference in | cmp - mine/out
	[ "$(ls -A mine)" = out ]
}

@test "temporary data and output may be on different file systems" {
	random_records 60000 >in
	reference in >ref
	on_tmpfs size=64M '
		expect 0 mr run -T fs -S 4M -m cat -r cat -o out in
		cmp out ref
		expect 0 mr run -S 4M -m cat -r cat -o fs/out in
		cmp fs/out ref
		expect 0 mr run -T fs -S 4M -m cat -r cat -O dir in
		cat dir/part-* | cmp - ref
		expect 0 mr run -S 4M -m cat -r cat -O fs/dir in
		cat fs/dir/part-* | cmp - ref
		expect 0 mr run -S 4M --job-dir fs/jd -m cat -r cat -O dir2 in
		cat dir2/part-* | cmp - ref'
}

@test "two jobs with one output: the second is sent away, and told by whom" {
	seq 100 >in
	mkfifo gate
	ln -s out link
	for how in '-o out' '-O dir' '-o link'; do
		[ "$how" != '-o link' ] || echo old >out
		# shellcheck disable=SC2086 # two words
		start mr run -m 'touch started; read x <gate; cat' $how in
		wait_until test -e started
		for second in "run -m true" sort; do
			[ "$second $how" != 'sort -O dir' ] || continue
			# shellcheck disable=SC2086 # several words
			expect 75 mr $second ${how/link/out} in
			says "^mr.*: (out|dir): another mr makes it: process $JOB on this machine; nothing was run\$"
		done
		echo >gate
		ends 0
		cat "${how#* }"/part-* "${how#* }" 2>/dev/null | cmp - in
		rm -r started dir out 2>/dev/null || :
	done
	# Another's name is free.
	start mr run -m 'touch started; read x <gate; cat' -o out in
	wait_until test -e started
	expect 0 mr run -m cat -o out2 in
	echo >gate
	ends 0
	rm started
	# So is that of one that was killed.
	start mr run -m 'touch started; sleep 1000' -o out in
	wait_until test -e started
	kill -KILL "$JOB"
	expect 0 mr run -m cat -o out in
	ends 137
	cmp in out
}

@test "a directory that is made while the job runs is not replaced" {
	seq 100 >in
	expect 1 mr run -m 'mkdir -p dir; cat' -O dir in
	says '-O dir: it has been made meanwhile'
	[ -z "$(ls -A dir)" ]
	[ "$(ls -A)" = "$(printf 'dir\nin')" ]
}

@test "two jobs with one output, 40 times: each is whole, or was sent away" {
	seq 100 >in
	for ((n = 0; n < 40; n++)); do
		rm -rf out
		a=0 b=0
		mr run -m cat -O out in 2>/dev/null 3>&- &
		mr run -m cat -O out in 2>/dev/null 3>&- || b=$?
		wait "$!" || a=$?
		# 2: it came so late that the other was done.
		case $a:$b in
		0:2 | 2:0 | 0:75 | 75:0) ;;
		*) echo "$a and $b"; return 1 ;;
		esac
		cat out/part-* | cmp - in
	done
	[ "$(ls -A)" = "$(printf 'in\nout')" ]
}

# ------------------------------------------------------ several at once

@test "a task that runs out of time decides only if it is the first to fail" {
	for i in 0 1 2; do echo "$i" >"f$i"; done
	# The others wait for ever, and fail in their own way when stopped.
	map='case $(cat) in
	0) %s exit 3 ;;
	1) %s kill -KILL $$ ;;
	2) %s ;;
	esac'
	stay='trap "exit 9" TERM; sleep 1000 & wait;'
	# shellcheck disable=SC2059 # the format is above
	{
		expect 123 mr run -j 3 --timeout 100 -m "$(printf "$map" '' "$stay" "$stay")" f?
		says 'map task 0 failed .*exit status 3'
		says_no 'task [12] failed'
		expect 125 mr run -j 3 --timeout 100 -m "$(printf "$map" "$stay" '' "$stay")" f?
		says 'map task 1 failed .*SIGKILL'
		says_no 'task [02] failed'
		expect 124 mr run -j 1 --timeout 0.2 -m "$(printf "$map" '' '' 'sleep 1000;')" f2 f0 f1
		says 'map task 0 failed .*--timeout'
		says_no 'task [12] failed'
	}
}

@test "mr's own trouble comes before failed tasks, and these before tolerated ones" {
	for i in 0 1 2; do echo "$i" >"f$i"; done
	vanish='[ "$MR_TASK" -ne 0 ] || { rm -f f2; exit 3; }; cat'
	expect 1 mr run -j 1 --keep-going -m "$vanish" f0 f1 f2
	prints_nothing
	echo 2 >f2
	fails='[ "$MR_TASK" -gt 1 ] || exit 3; cat'
	expect 123 mr run -j 1 --max-failures 1 -m "$fails" f0 f1 f2
	prints_nothing
	expect 3 mr run -j 1 --max-failures 2 -m "$fails" f0 f1 f2
	prints f2
	# The signal that ends the job comes before all.
	start mr run -j 1 --keep-going \
		-m 'case $MR_TASK in 0) exit 3 ;; 1) touch started; sleep 1000 ;; esac' f0 f1 f2
	wait_until test -e started
	kill -TERM "$JOB"
	ends 143
}

# ------------------------------------------------------- what is left alone

@test "limits on core dumps are the user's, in tasks too" {
	echo a >in
	for c in 0 4; do
		(ulimit -c "$c") || continue	# more than is allowed
		expect 0 bash -c "ulimit -c $c && exec mr run -m 'ulimit -c; cat >/dev/null' in"
		[ "$(cat ../out)" = "$c" ] || [ "$(cat ../out)" = $((c * 2)) ]
	done
}

@test "what was spilled is told by -v and in the report" {
	random_records 100000 >in
	expect 0 mr run -v -S 4M -m cat -r cat -O dir in
	says 'spilled'
	n=$(sed -n 's/.*"spilled_bytes": \([0-9]*\).*/\1/p' dir/_mr/report.json)
	[ "$n" -gt 1000000 ]
}
