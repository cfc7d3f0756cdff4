#!/usr/bin/env bats
# mr run --on slurm, on a real cluster of four nodes that is started here.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load ../helper
load ../failure
load cluster

setup_file() {
	start_cluster
}

teardown_file() {
	end_cluster
}

# Both commands note every execution of a task in the file runs, and wait as
# long as there is a file of their name.
make_job() {
	seq 20000 | awk '{ print $1 * 7919 % 500 "\t" $1 }' >in
	sort -s -t "$(printf '\t')" -k1,1 in | cut -f 1 | uniq -c >ref
	cat >mapper <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK $(hostname)" >>runs
		while [ -e hold-map ]; do sleep 0.1; done
		exec cat
	END
	cat >reducer <<-'END'
		#!/bin/sh
		echo "$MR_PHASE $MR_TASK $(hostname)" >>runs
		while [ -e hold-reduce ]; do sleep 0.1; done
		cut -f 1 | uniq -c
	END
	chmod +x mapper reducer
	: >runs
	job=(run --on slurm --job-dir jd --block-size 10K -R 4
		-m ./mapper -r ./reducer)
}

# begun PHASE NODE: a task of the phase runs on the node.
begun() {
	grep -q "^$1 [0-9]* ${2:-}" runs
}

@test "what a cluster prints is what one machine prints" {
	make_job
	mr run -m ./mapper -r ./reducer in | cmp - ref
	expect 0 mr "${job[@]}" in
	prints ref
	[ "$(cut -d ' ' -f 3 runs | sort -u | wc -l)" -gt 1 ]
	expect 0 mr "${job[@]}" in
	prints ref
	for options in '-m cat' "-m cat -k 1,1n -r cat" '--agg count' \
	    '-m cat --combine cat -r cat' "-r cat --finish 'head -n 7'" \
	    "-r 'wc -l' --per-key" '--sample 10% -m cat' \
	    '--sample 100 --seed 3 -r cat' '-m cat -L 4'; do
		rm -rf jd
		eval "mr run $options in" >want
		eval "mr run --on slurm --job-dir jd --block-size 50K $options in" |
			cmp - want
	done
	cat >count <<-'END'
		#!/bin/sh
		[ "$1" = count ] && echo 900 || seq "$1" "$(($1 + $2 - 1))"
	END
	chmod +x count
	echo heading >heading
	for options in "--header skip -m 'cat; echo end' -r cat heading" \
	    '--range 0:1000 -m cat' '--source ./count -r cat'; do
		rm -rf jd
		eval "mr run $options" >want
		eval "mr run --on slurm --job-dir jd $options" | cmp - want
	done
	rm -rf jd
	expect 0 mr run --on slurm --job-dir jd -r cat -O dir -R 3 in
	[ "$(ls dir)" = "$(printf '%s\n' _SUCCESS _mr part-0000{0,1,2})" ]
	cat dir/part-* | cmp - <(sort -s -t "$(printf '\t')" -k1,1 in)
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

@test "a node that dies while it maps, or reduces, loses nothing" {
	make_job
	: >hold-map
	: >hold-reduce
	start mr "${job[@]}" in
	wait_until begun map node1
	cluster kill node1
	rm hold-map
	wait_until begun reduce
	node=$(grep '^reduce' runs | cut -d ' ' -f 3 | head -n 1)
	[ "$node" = node1 ] || cluster kill "$node"
	rm hold-reduce
	ends 0
	prints ref
	cluster start node1
	[ "$node" = node1 ] || cluster start "$node"
}

@test "a node that hangs and comes back: two attempts at once, same bytes" {
	make_job
	: >hold-map
	start mr "${job[@]}" --elements 8 in	# two nodes are left for others
	wait_until begun map node2
	cluster hang node2
	# Its tasks run on, and others run them again.
	task=$(grep -m 1 node2 runs | cut -d ' ' -f 2)
	again() { [ "$(grep -c "^map $task " runs)" -ge 2 ]; }
	wait_until again
	rm hold-map
	ends 0
	prints ref
	cluster wake node2
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
	}
	wrong 2 'needs --job-dir DIR'
	wrong 2 'invalid partition specified: nosuch' --job-dir jd \
		--sbatch '-p nosuch'
	wrong 2 'Memory specification can not be satisfied' --job-dir jd \
		--sbatch "--mem '900G'"
	for word in '-a 3' --array=3 --arr=3 '-d singleton' --wrap=x '-o x' \
	    -ox --error=x; do
		wrong 2 "is mr's to give" --job-dir jd --sbatch "-J a $word"
	done
	wrong 2 'a quote is not closed' --job-dir jd --sbatch "-J 'a b"
	wrong 2 'nothing is no option' --job-dir jd --sbatch nothing
	wrong 2 'takes no more than 1001' --job-dir jd --elements 5000
	wrong 2 'Slurm knows no job 98765' --job-dir jd --after 98765
	wrong 2 '--append and --on slurm exclude each other' --append -O out
	wrong 2 '--unordered has no effect' --unordered --job-dir jd
	# On the nodes it is another one.
	mkdir "/var/tmp/mr-slurm.$$"
	wrong 1 'no node of slurm could use it' \
		--job-dir "/var/tmp/mr-slurm.$$/jd"
	rm -r "/var/tmp/mr-slurm.$$"
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
	id=$(sbatch --parsable -o /dev/null --wrap 'exit 3')
	rm -r jd2
	expect 1 mr run --on slurm --job-dir jd2 --after "$id" -r 'cat' in
	says 'the job that it was to run after has failed|is FAILED' || :
	wait_until is_gone
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

@test "slurmctld stopped for a while, and 1000 tasks" {
	make_job
	start mr run --on slurm --job-dir jd -N 20 -m ./mapper -r ./reducer in
	wait_until begun map
	read -r controller _ <"$CLUSTER/run/slurmctld"
	kill -STOP "$controller"
	sleep 20	# that is the test
	kill -CONT "$controller"
	LIMIT=120 ends 0
	prints ref
	[ "$(ls jd/map | wc -l)" -eq 1000 ]
}

@test "a node that joins gets work, and two users have a job each" {
	make_job
	cluster kill node3
	cluster kill node4
	: >hold-map
	start mr "${job[@]}" -o out in
	wait_until begun map node2
	cluster start node3
	wait_until begun map node3
	rm hold-map
	cluster start node4
	ordinary_user
	expect 0 setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$BATS_TEST_TMPDIR/user/mr" run --on slurm --job-dir other \
		-m cat -r cat in
	cmp ../out <(sort -s -t "$(printf '\t')" -k1,1 in)
	ends 0
	cmp out ref
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
