#!/usr/bin/env bats
# mr run --on slurm, on a real cluster of four nodes that is started here.
# shellcheck disable=SC2016 # the commands expand their variables themselves
# shellcheck disable=SC2154 # make_job sets job
load ../helper
load ../failure
load cluster

setup_file() {
	start_cluster
}

teardown_file() {
	end_cluster
}

# same OPTIONS...: jobs whose output is that of one machine, all at once.
same() {
	local i=0 options
	rm -rf same*
	for options; do
		eval "mr run $options" >"want$i"
		eval "mr run --on slurm --job-dir same$i $options" \
			>"got$i" 3>&- &
		i=$((i + 1))
	done
	wait
	while [ $((i -= 1)) -ge 0 ]; do
		cmp "got$i" "want$i" || { echo "$i"; return 1; }
	done
}

@test "what a cluster prints is what one machine prints" {
	make_job
	mr run -m ./mapper -r ./reducer in | cmp - ref
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(cut -d ' ' -f 3 runs | sort -u | wc -l)" -gt 1 ]
	expect 0 mr "${job[@]}" in
	prints ref
	cat >count <<-'END'
		#!/bin/sh
		[ "$1" = count ] && echo 900 || seq "$1" "$(($1 + $2 - 1))"
	END
	chmod +x count
	echo heading >heading
	gzip </dev/null >nothing.gz
	blocks='--block-size 50K'
	same "$blocks -m cat in" "$blocks -m cat -k 1,1n -r cat in" \
		"$blocks --agg count in" "$blocks --combine cat -r cat in" \
		"$blocks -r cat --finish 'head -n 7' in" \
		"$blocks -r 'wc -l' --per-key in" \
		"$blocks --sample 10% -m cat in" \
		"$blocks --sample 100 --seed 3 -r cat in" \
		"$blocks -m cat -L 4 in"
	# That nothing.gz holds nothing is found by a map only.
	same "-m 'cat; echo end' -r cat nothing.gz" \
		"--header skip -m 'cat; echo end' -r cat heading" \
		'--range 0:1000 -m cat' '--source ./count -r cat' \
		"-m 'cat both >&2; cat' --ship in=both -r cat in" \
		'--names -m "xargs wc -c" in heading' \
		"-m \"awk '/7/ && ++n > 2 { exit 1 } 1'\" --ok-exit 1 \
			--env 'A=b c' -N 900 -r 'cat; echo \$A' in"
	expect 0 mr run --on slurm --job-dir dirs -r cat -O dir -R 3 in
	[ "$(ls dir)" = "$(printf '%s\n' _SUCCESS _mr part-0000{0,1,2})" ]
	cat dir/part-* | cmp - <(sort -s -t "$(printf '\t')" -k1,1 in)
}

@test "exit statuses and messages are those of one machine" {
	seq 5000 >in
	bad() {
		local status=$1 i=$2
		shift 2
		expect_in "$i" "$status" mr run --on slurm --job-dir "jd$i" "$@" in
	}
	# expect, but several at once.
	expect_in() {
		local to=$1 want=$2 got=0
		shift 2
		timeout -s KILL 100 "$@" >"out$to" 2>"err$to" 3>&- </dev/null ||
			got=$?
		[ "$got" -eq "$want" ] || echo "status $got: $*" >>wrong
	}
	: >wrong
	bad 125 1 -m 'kill -9 $$' --retries 0 &
	bad 124 2 -m 'sleep 100' --timeout 1 --retries 0 &
	bad 127 3 -m 'nosuchcommand' &
	bad 127 4 -m ./nosuch &
	bad 123 5 -r 'echo oops >&2; exit 9' --retries 1 &
	bad 123 6 -r cat --finish 'exit 4' --retries 0 &
	bad 3 7 -m "awk '/^77\$/ { exit 1 } 1'" --skip-bad-records=5 &
	bad 124 8 -m 'sleep 100' --deadline 2 &
	wait
	[ ! -s wrong ] || { cat wrong; false; }
	grep 'failed after 1 attempt on node[1-4]: kill .* SIGKILL' err1
	grep 'ran longer than --timeout' err2
	grep 'command not found?' err3
	grep 'reduce task 0 failed after 2 attempts on node[1-4]: .* status 9' err5
	grep -Fx 'mr:   | oops' err5
	grep 'finish task 0 failed' err6
	grep -x 'mr: without 1 bad record' err7
	[ "$(wc -l <out7)" -eq 4999 ]
	grep 'longer than its --deadline' err8
	# One who asks later is told the same.
	for i in 5 7; do
		expect_in wait "$((i == 5 ? 123 : 3))" mr wait "jd$i"
		cmp errwait "err$i"
		cmp outwait "out$i"
	done
	[ ! -s wrong ]
}

@test "standard input and pipes reach the nodes" {
	make_job
	expect 0 mr "${job[@]}" - <in
	prints ref
	rm -r jd
	expect 0 bash -c 'mr "$@" <(cat in)' sh "${job[@]}"
	prints ref
}

@test "a task that fails ends the job, with its message and its node" {
	make_job
	sed -i '3s/^/[ "$MR_TASK" != 5 ] || { echo oops >\&2; exit 7; }\n/' mapper
	expect 123 mr "${job[@]}" in
	prints_nothing
	says '^mr: map task 5 failed after 4 attempts on node[1-4]: ./mapper: exit status 7$'
	says '^mr:   | oops$'
	says '^mr: stopped; no output written$'
	[ "$(grep -c '^map 5 ' runs)" -eq 4 ]
	wait_until is_gone
	expect 123 mr wait jd
	says 'map task 5 failed'
	sed -i 3d mapper
	expect 0 mr "${job[@]}" in
	prints ref
}

@test "the driver is not needed: killed, and whoever asks again gets the result" {
	make_job
	: >hold-map
	start mr "${job[@]}" in
	wait_until begun map
	kill -KILL "$JOB"
	ends 137
	expect 0 mr status jd
	grep -q ': running, slurm jobs' ../out
	expect 75 mr run --job-dir jd --block-size 10K -R 4 \
		-m ./mapper -r ./reducer in
	expect 75 mr rm jd
	# A terminal that is closed takes the driver only.
	start mr "${job[@]}" in
	kill -HUP "$JOB"
	ends 129
	expect 0 mr status jd
	grep -q ': running' ../out
	rm hold-map
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(cut -d ' ' -f 1,2 runs | sort | uniq -d)" = '' ]
	expect 0 mr wait jd
	prints ref
	expect 0 mr status jd
	grep -q ': complete' ../out
	expect 0 mr rm jd
	[ ! -e jd ]
}

@test "Ctrl-C and mr cancel leave nothing in the queue; then it goes on" {
	make_job
	: >hold-map
	start mr "${job[@]}" in
	wait_until begun map
	kill -INT "$JOB"
	ends 130
	wait_until is_gone
	expect 0 mr "${job[@]}" --detach in
	expect 0 mr cancel jd
	wait_until is_gone
	expect 143 mr wait jd
	rm hold-map
	expect 0 mr resume jd
	prints ref
}

@test "what is wrong is one line, and nothing is queued" {
	make_job
	wrong() {
		local status=$1 line=$2
		shift 2
		rm -rf jd
		expect "$status" mr run --on slurm "$@" -r cat in
		prints_nothing
		says "$line"
		[ "$(wc -l <../err)" -eq 1 ]
		is_gone
		# Nothing is in the way of another try, of another input even.
		[ "$status" -eq 1 ] || [ ! -e jd ]
	}
	wrong 2 'needs --job-dir DIR'
	wrong 2 'invalid partition specified: nosuch' --job-dir jd \
		--sbatch '-p nosuch'
	wrong 2 'Memory specification can not be satisfied' --job-dir jd \
		--sbatch "--mem '900G'"
	# The second try is another input's.
	expect 2 mr run --on slurm --job-dir jd --sbatch '-p nosuch' -r cat <in
	echo other | expect 0 mr run --on slurm --job-dir jd --sbatch '-p main' \
		-r cat
	echo other | prints -
	wrong 2 'takes no more than 1001' --job-dir jd --elements 5000
	wrong 2 'Slurm knows no job 98765' --job-dir jd --after 98765
	wrong 2 '--append and --on slurm exclude each other' --append -O out
	wrong 2 '--unordered has no effect' --unordered --job-dir jd
	# On the nodes it is another one.
	mkdir "/var/tmp/mr-slurm.$$"
	wrong 1 'no node of slurm could use it' \
		--job-dir "/var/tmp/mr-slurm.$$/jd"
	# So is a working directory.
	(
		cd "/var/tmp/mr-slurm.$$"
		expect 1 mr run --on slurm --job-dir "$OLDPWD/jd" -r cat \
			"$OLDPWD/in"
		says "on node[1-4] there is no $PWD, which all nodes must share"
	)
	rm -r "/var/tmp/mr-slurm.$$" jd
	mkdir bin
	expect 2 env PATH="$PWD/bin" "$MR" run --on slurm --job-dir jd -r cat in
	says 'there is no such command in PATH'
	sed 's/^SlurmctldPort=.*/SlurmctldPort=1/' "$SLURM_CONF" >conf
	SLURM_CONF=$PWD/conf expect 1 mr run --on slurm --job-dir jd -r cat in
	says 'Unable to contact slurm controller'
	[ ! -e jd ]
}

@test "--after waits for another job, and is cancelled with it" {
	make_job
	: >hold-map
	expect 0 mr "${job[@]}" -o out --detach in
	expect 0 mr run --on slurm --job-dir jd2 --after jd --detach \
		-m 'cmp out ref >&2 && cat' -r cat -o out2 in
	expect 0 mr status jd2
	grep -q ': queued' ../out
	rm hold-map
	expect 0 mr wait jd2
	cmp out2 <(sort -s -t "$(printf '\t')" -k1,1 in)
	grep -q . out2

	# Others that fail, when it is in the queue and before.
	rm -r jd jd2
	id=$(sbatch --parsable --hold -o /dev/null --wrap 'exit 3')
	start mr run --on slurm --job-dir jd2 --after "$id" -r cat in
	wait_until test -e jd2/queue
	expect 0 mr run --on slurm --job-dir jd3 --after jd2 --detach -r cat in
	scontrol release "$id"
	ends 1
	says 'the job that it was to run after has failed'
	expect 1 mr wait jd3
	wait_until is_gone
	[ ! -e jd2/map/000000 ]
	[ ! -e jd3/map/000000 ]
	expect 2 mr run --on slurm --job-dir jd --after "$id" -r cat in
	says "Slurm's job $id is FAILED"
	: >hold-map
	expect 0 mr "${job[@]}" --detach in
	expect 0 mr cancel jd
	expect 2 mr run --on slurm --job-dir jd4 --after jd -r cat in
	says 'that job has failed'
	[ ! -e jd4 ]
}

@test "--sbatch is split as the shell does, -j caps what runs" {
	make_job
	: >hold-map
	export MR_ON=slurm
	start mr run --job-dir jd --elements 6 -j 2 --block-size 10K \
		--sbatch "-J 'a \$b' --comment=\"it's\" -c 2 --nice=3" \
		-m './mapper; echo "$SLURM_CPUS_PER_TASK ${MR_ON-none}" >&2' \
		-r ./reducer in
	wait_until begun map
	[ "$(squeue -h -o %j | sort -u)" = 'a $b' ]
	[ "$(squeue -h -o %k | sort -u)" = "it's" ]
	[ "$(squeue -h -t R -o %C)" = "$(printf '2\n2')" ]
	rm hold-map
	ends 0
	prints ref
	[ "$(mr logs jd map 3)" = '2 none' ]
}

@test "two users have a job each at once" {
	make_job
	: >hold-map
	start mr "${job[@]}" --elements 4 -o out in
	wait_until begun map
	ordinary_user
	expect 0 setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$BATS_TEST_TMPDIR/user/mr" run --on slurm --job-dir other \
		-m 'id -un >&2; cat' -r cat in
	cmp ../out <(sort -s -t "$(printf '\t')" -k1,1 in)
	expect 2 mr status other
	says 'it belongs to another user'
	kill -0 "$JOB"
	rm hold-map
	ends 0
	cmp out ref
}

@test "a job is looked at, and dealt with, from any node" {
	make_job
	: >hold-map
	sed -i '3s/^/echo "from $(hostname)" >\&2\n/' mapper
	expect 0 mr "${job[@]}" --elements 2 --detach in
	wait_until begun map
	on() {
		expect 0 srun -w "$1" "${@:2}"
	}
	on node2 mr status jd
	grep ': running' ../out
	on node3 mr logs jd
	grep 'from node[1-4]' ../out
	on node4 mr cancel jd
	wait_until is_gone
	rm hold-map
	on node1 mr resume jd
	prints ref
	on node2 mr wait jd
	prints ref
	on node2 mr status jd
	grep ': complete' ../out
}

@test "the progress line tells what is committed" {
	make_job
	sed -i 's/^while/[ "$MR_TASK" -lt 5 ] || &/' mapper
	sed -i 's/^while/[ "$MR_TASK" -lt 1 ] || &/' reducer
	: >hold-map
	: >hold-reduce
	"$TOOLS/terminal" mr "${job[@]}" -o out in >shown <<-'END'
		see map 5/19 tasks
		until rm hold-map
		see reduce 1/4 tasks
		until rm hold-reduce
	END
	cmp out ref
}

@test "an element has a worker for each processor and half of its memory" {
	make_job
	sed 's/^while.*/mkdir now.$$; ls -d now.* | wc -l >>width; sleep 0.3\n\
		rmdir now.$$/' mapper >counts
	chmod +x counts
	# Sixteen would do for -S 32M, and two are all that 8M can have.
	expect 0 mr run --on slurm --job-dir jd2 --elements 1 -N 1000 \
		--sbatch '-c 4 --mem 16M' -m ./counts -r cat in
	[ "$(sort -n width | tail -n 1)" -eq 2 ]
	expect 0 mr run --on slurm --job-dir jd3 --elements 1 -N 1000 -S 8M \
		--sbatch '-c 4 --mem 1G' -m ./counts -r cat in
	[ "$(sort -n width | tail -n 1)" -eq 2 ]
	: >hold-map
	start mr "${job[@]}" --elements 1 --sbatch '-c 4 --mem-per-cpu 16M' in
	four() { [ "$(wc -l <runs)" -eq "$((before + 4))" ]; }
	before=$(wc -l <runs)
	wait_until four
	rm hold-map
	ends 0
	prints ref
}

@test "the examples of the page" {
	command -v mandoc >/dev/null || skip "there is no mandoc"
	mandoc -T utf8 -O width=300 "$BATS_TEST_DIRNAME/../../man/mr-slurm.7" |
		sed 's/.\x08//g' | awk '/^[A-Z]/ { on = $1 == "EXAMPLES"; next }
			on && /^           / { print substr($0, 12) }' >script
	[ "$(grep -c 'mr run' script)" -eq 3 ]
	expect 0 bash -e script
	[ -s lengths.txt ]
}

@test "the example: transfers, a job and a script, chained" {
	licenses=/usr/share/common-licenses
	[ -e "$licenses/GPL-3" ] || skip "there is no $licenses"
	expect 0 "$BATS_TEST_DIRNAME/../../examples/pipeline-slurm/job" stage \
		"$licenses/GPL-2" "$licenses/GPL-3"
	wait_until test -e stage/results/report.txt
	cat "$licenses/GPL-2" "$licenses/GPL-3" | tr '[:upper:]' '[:lower:]' |
		tr -cs '[:lower:]' '\n' |
		sed '/^$/d' | sort | uniq -c | sort -k1,1nr -k2 | head -n 10 |
		cmp - stage/results/report.txt
}
