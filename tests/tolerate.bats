#!/usr/bin/env bats
# Failures that are put up with: --keep-going, --max-failures, and records
# that are left out by --skip-bad-records.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# A map that doubles numbers and fails at 777, 1500 and 1501, and what comes
# out when these are left out.
bad='awk "\$0 ~ /^(777|1500|1501)\$/ { print \"cannot double \" \$0 >\"/dev/stderr\"; exit 6 } { print \$0 * 2 }"'

numbers() {
	seq 2000 >in
	grep -vxE '777|1500|1501' in | awk '{ print $0 * 2 }' >want
}

# unescape: the last fields of a list of bad records, as they were.
unescape() {
	python3 -c '
import sys
for line in sys.stdin.buffer:
    field = line.rstrip(b"\n").split(b"\t")[3]
    out, i = b"", 0
    while i < len(field):
        if field[i:i+2] == b"\\\\":
            out += b"\\"; i += 2
        elif field[i:i+2] == b"\\x":
            out += bytes([int(field[i+2:i+4], 16)]); i += 4
        else:
            out += field[i:i+1]; i += 1
    sys.stdout.buffer.write(out + b"\n")
'
}

# ------------------------------------------------------------ bad records

@test "bad records are left out, listed and 3; at any size of the blocks" {
	numbers
	for args in '-j 1' '-j 2 --block-size 1K' '-j 3 --block-size 100' \
	    '--block-size 1K --job-dir state'; do
		# shellcheck disable=SC2086 # several words
		expect 3 mr run $args --skip-bad-records --bad-records list \
			-m "$bad" in
		prints want
		says '^mr: without 3 bad records$'
		printf 'in\t%s\texit status 6: cannot double %s\t%s\n' \
			2996 777 777 6388 1500 1500 6393 1501 1501 |
			diff - list
	done
}

@test "what they had printed before is in no result, sorted or not" {
	numbers
	LC_ALL=C sort want >sorted
	expect 3 mr run --skip-bad-records -S 8M --block-size 300 -j 2 \
		-m "$bad" -r cat in
	prints sorted
	expect 3 mr run --skip-bad-records --block-size 3K -j 2 -m "$bad" \
		--combine 'uniq' -r uniq in
	prints sorted
	expect 3 mr map --skip-bad-records --block-size 3K -c "$bad" <in
	prints want
}

@test "a mapper that crashes, or hangs with --timeout or --stall, too" {
	seq 40 >in
	grep -vx 17 in >want
	map='while read -r x; do [ "$x" != 17 ] || '
	expect 3 mr run --skip-bad-records --bad-records list \
		-m "$map kill -SEGV \$\$; echo \$x; done" in
	prints want
	grep -q $'^in\t39\tkilled by SIGSEGV\t17$' list
	# Those that hang are few: two records and the one itself.  The others
	# have the time that a slow machine takes.
	expect 3 mr run --skip-bad-records --bad-records list --timeout 1 \
		-N 2 -m "$map sleep 1000; echo \$x; done" in
	prints want
	grep -q $'^in\t39\tran longer than --timeout 1.00s\t17$' list
	expect 3 mr run --skip-bad-records --bad-records list --stall 1 \
		-N 2 -m "$map sleep 1000; echo \$x; done" in
	prints want
	grep -q -- '--stall' list
}

@test "more bad records than N fail the job, in one task or in several" {
	numbers
	for args in '' '--block-size 1K -j 3' '-N 100 -j 2'; do
		# shellcheck disable=SC2086 # several words
		expect 123 mr run $args --skip-bad-records=2 \
			--bad-records list -m "$bad" in
		prints_nothing
		says 'more than [0-9] bad records? \(--skip-bad-records=N\)'
		[ ! -e list ]
		# shellcheck disable=SC2086 # several words
		expect 3 mr run $args --skip-bad-records=3 -m "$bad" in
		prints want
	done
	# All of them are bad.
	expect 123 mr run --skip-bad-records=5 -m 'exit 4' in
	says 'exit status 4; more than 5 bad records'
}

@test "the task without them must succeed in one process, else it has failed" {
	seq 10 >in
	# It fails at 4 and wherever there are more than two records.
	expect 123 mr run --skip-bad-records \
		-m 'awk "\$0 == 4 || NR > 2 { exit 7 }"' in
	says 'exit status 7; also without the 1 record that fails by itself$'
	prints_nothing
	# None of them is to blame alone.
	expect 123 mr run --skip-bad-records -m 'awk "END { exit NR > 1 }"' in
	says 'exit status 1; no record of its input fails by itself$'
	# It fails on its whole input only once: nothing has to be left out.
	expect 123 mr run --skip-bad-records \
		-m 'test -e once || { : >once; exit 9; }; cat' in
	says 'no part of its input fails by itself'
	expect 0 mr run --skip-bad-records --retries 1 \
		-m 'test -e twice || { : >twice; exit 9; }; cat' in
}

@test "what is not the records' fault is no hunt" {
	seq 10 >in
	expect 127 mr run --skip-bad-records -m 'nonesuch' in
	says 'failed after 1 attempt'
	expect 123 mr run --skip-bad-records -m cat -r 'exit 3' in
	says 'reduce task 0 failed after 1 attempt'
	expect 123 mr run --skip-bad-records -m cat \
		--source 'f() { [ "$1" = count ] && echo 5 || exit 4; }; f'
	says 'failed after 1 attempt: .*exit status 4'
}

# finds WANT-FILE ARGS...: the job leaves out what is not in the file.
finds() {
	local want=$1

	shift
	expect 3 mr run --skip-bad-records --bad-records list "$@"
	prints "$want"
}

@test "records are whole ones, whatever their form" {
	printf '%s\0' a 'b
x' 'bad one' 'c	d' >z
	printf '%s\0' a 'b
x' 'c	d' >want
	finds want -z -m 'cat >copy.$$; ! grep -qz bad copy.$$ || exit 3
		cat copy.$$' z
	grep -qx $'z\t6\texit status 3\tbad one' list
	# Four lines a record.
	for i in 1 2 3 4 5 6; do printf '@%s\nseq\n+\nq%s\n' $i $i; done >fq
	awk 'int((NR - 1) / 4) != 3' fq >want
	finds want -L 4 -N 2 -m 'awk "/^q4/ { exit 5 } { print }"' fq
	[ "$(unescape <list)" = "$(sed -n 13,16p fq)" ]
	# One that begins with a line, and a paragraph.
	printf '>a\nAC\nGT\n>b\nNN\n>c\nAA\n' >fa
	printf '>a\nAC\nGT\n>c\nAA\n' >want
	finds want --recstart '>' -m 'awk "/N/ { exit 5 } { print }"' fa
	grep -q '^fa	9	exit status 5	>b\\x0ANN$' list
	printf 'a\nb\n\nc bad\nd\n\ne\n\n' >par
	printf 'a\nb\n\ne\n\n' >want
	finds want --recend '\n\n' -m 'awk "/bad/ { exit 5 } { print }"' par
	# The header comes with each trial, and is no record.
	printf 'n,v\n1,2\n3,x\n5,6\n' >csv
	printf 'n,v\n1,2\nn,v\n5,6\n' >want
	finds want --header repeat -N 2 \
		-m 'awk "NR == 1 && !/^n/ { exit 8 } /x/ { exit 5 } { print }"' csv
}

@test "pairs of any bytes are left out whole, too" {
	printf 'k1\tv\nbad\tw\nk2\tx\n' >t
	mr convert --to rawbytes <t >pairs
	grep -v bad t | mr convert --to rawbytes >want
	finds want --io rawbytes -m 'tee copy.$$ | grep -qa bad && exit 3; cat copy.$$' pairs
	unescape <list | head -c -1 >record
	python3 -c '
import sys
d = open("pairs", "rb").read()
i = d.index(b"bad") - 4
assert open("record", "rb").read() == d[i:i+4+3+4+1], d
'
}

@test "a record with TAB, NUL, backslash and ESC is one field of one line" {
	printf 'good\nb\ta\\d\x01\x1b[1m\xff\x00!\nfine\n' >in
	printf 'good\nfine\n' >want
	finds want -m 'awk "/^b/ { exit 3 } { print }"' in
	[ "$(wc -l <list)" -eq 1 ]
	[ "$(awk -F '\t' '{ print NF }' list)" -eq 4 ]
	unescape <list | cmp - <(sed -n 2p in)
}

@test "bad records of compressed files, streams, packed files and sources" {
	numbers
	gzip -c in >in.gz
	finds want -j 2 -m "$bad" in.gz
	cut -f 1,2 list | diff - <(printf 'in.gz\t%s\n' 2996 6388 6393)
	finds want -j 2 --block-size 1K -m "$bad" <in
	cut -f 1,2 list | diff - <(printf -- '-\t%s\n' 2996 6388 6393)
	seq 1 900 >a; seq 901 2000 >b
	finds want --pack -m "$bad" a b
	cut -f 1,4 list | diff - <(printf '%s\n' a$'\t'777 b$'\t'1500 b$'\t'1501)
	finds want -N 100 -m "$bad" --source \
		'f() { if [ "$1" = count ]; then echo 2000; else seq $(($1 + 1)) $(($1 + $2)); fi; }; f'
	cut -f 1,2 list | diff - <(printf -- '--source\t%s\n' 776 1499 1500)
	expect 3 mr run --skip-bad-records --bad-records list --range 1:9 -N 1 \
		-m 'read -r i _; [ $i != 5 ] || exit 3; echo $i'
	[ "$(tr '\n' ' ' <../out)" = '1 2 3 4 6 7 8 ' ]
	cut -f 1,2 list | diff - <(printf -- '--range\t5\n')
}

@test "of a sample only what is in it is looked at" {
	numbers
	mr run --sample 50% -m cat in | grep -vxE '777|1500|1501' |
		awk '{ print $0 * 2 }' >want
	[ "$(wc -l <want)" -gt 500 ]
	mr run --sample 50% -m cat in >sample
	cat sample in | grep -cxE '777|1500|1501' >/dev/null
	if grep -qxE '777|1500|1501' sample; then
		finds want --sample 50% -m "$bad" in
	fi
}

@test "side files, counters and messages are those of the last attempt only" {
	numbers
	expect 3 mr run --skip-bad-records -v -O out -m \
		"tee \"\$MR_OUTPUT_DIR/x.\$MR_TASK\" | $bad && echo reporter:counter:g,done,1 >&2" in
	grep -vxE '777|1500|1501' in | cmp - out/x.0
	says '^mr: .*g.*done.* 1$'
	# The trials are silent: only the first attempt is heard.
	[ "$(grep -c '^cannot double' ../err)" -eq 1 ]
	cut -f 4 out/_mr/bad-records | diff - <(printf '%s\n' 777 1500 1501)
	grep -q '"skipped_records": 3, "failed_tasks": 0' out/_mr/report.json
}

@test "a job directory keeps what was skipped; resume leaves it out again" {
	numbers
	expect 123 mr run --block-size 1K --job-dir state -m "$bad" -r cat in
	LC_ALL=C sort want >sorted
	for i in 1 2; do
		rm -f list
		expect 3 mr resume --skip-bad-records --bad-records list state
		prints sorted
		cut -f 4 list | diff - <(printf '%s\n' 777 1500 1501)
		says 'without 3 bad records'
	done
	expect 3 mr wait state
	prints sorted
	expect 0 mr status state
	grep -q 'complete, exit status 3' ../out
}

@test "--append: those of what is new are listed, by their place in the file" {
	map='awk "/3/ { exit 4 } { print }"'
	append() {
		expect "$1" mr run --append -O out --skip-bad-records \
			--bad-records list -m "$map" -r cat "${@:2}"
		cut -f 1,2,4 list >got
	}
	seq 10 >a
	append 3 a
	printf 'a\t4\t3\n' | diff - got
	printf '11\n13\n' >>a
	append 3 a
	printf 'a\t24\t13\n' | diff - got
	printf '14\n23\n' >>a
	gzip -c a >a.1.gz
	echo 30 >a
	append 3 a.1.gz a
	printf 'a.1.gz\t30\t23\na\t0\t30\n' | diff - got
	append 0 a.1.gz a
	[ ! -s got ]
	[ "$(cat out/part-* | tr '\n' ' ')" = '1 10 11 14 2 4 5 6 7 8 9 ' ]
	refused 'never be read again' mr run --append -O out \
		--max-failures 1 -m "$map" -r cat a
}

@test "--bad-records: replaced in one step, when the job is complete" {
	numbers
	echo old >list
	chmod 640 list
	ln -s list link
	ln list hard
	bad_job() {
		expect "$1" mr run --skip-bad-records --bad-records "${@:2}" \
			-m "$bad" in
		cut -f 4 list >got
	}
	bad_job 3 link
	printf '%s\n' 777 1500 1501 | diff - got
	[ -L link ]
	[ "$(stat -c %a list)" = 640 ]
	[ "$(cat hard)" = old ]
	# It is as it was when the job fails, at whatever point.
	cp list whole
	bad_job 123 list -r 'exit 3'
	[ ! -c /dev/full ] || bad_job 1 list -o /dev/full
	bad_job 123 list --finish 'exit 3'
	cmp whole list
	[ -z "$(find . -name '.mr*')" ]
	# What is open, and what is no plain file, has it as it is.
	echo before >../err
	timeout 60 mr run --skip-bad-records --bad-records /dev/stderr \
		-m "$bad" in 2>>../err >/dev/null || [ $? -eq 3 ]
	[ "$(head -n 1 ../err)" = before ]
	[ "$(grep -c '^in	' ../err)" -eq 3 ]
	says '^mr: without 3 bad records$'
	mkfifo fifo
	cat fifo >got 3>&- &
	expect 3 mr run --skip-bad-records --bad-records fifo -m "$bad" in
	wait "$!"
	[ "$(wc -l <got)" -eq 3 ]
	expect 3 mr run --skip-bad-records --bad-records /dev/null -m "$bad" in
	[ -c /dev/null ]
	refused '--bad-records /dev/fd/77: Bad file' mr run \
		--skip-bad-records --bad-records /dev/fd/77 -m 'touch ran' in
}

@test "--bad-records of a directory that is there already, asked for again" {
	numbers
	again=(run --job-dir state -O out --skip-bad-records --bad-records list
		-m "$bad" in)
	expect 3 mr "${again[@]}"
	mv list want
	expect 3 mr "${again[@]}"
	cmp want list
}

@test "--bad-records that cannot be written is refused before any work" {
	echo a >in
	mkdir dir
	for name in dir none/list ''; do
		refused '--bad-records' mr run --skip-bad-records \
			--bad-records "$name" -m 'touch ran' in
	done
	refused 'no effect without --skip-bad-records' \
		mr run --bad-records list -m 'touch ran' in
	refused 'no effect without -m' mr run --skip-bad-records -r 'touch ran' in
	refused '--max-failures' \
		mr run --skip-bad-records --whole-file -m 'touch ran' in
	[ ! -e list ]
	seq 3 >in
	expect 1 mr run --skip-bad-records --bad-records /dev/full \
		-m 'awk "\$0 == 2 { exit 3 } { print }"' in
	says '--bad-records /dev/full: No space left'
	prints_nothing
}

# ------------------------------------------------------ tasks that failed

@test "--keep-going finishes every other task, prints nothing, and is 123" {
	numbers
	expect 123 mr run -j 2 --block-size 1K --keep-going \
		-m "touch seen.\$MR_TASK; $bad" -r cat in
	prints_nothing
	n=$(mr run --block-size 1K --dry-run -m cat -r cat in | sed -n 's/map tasks: \([0-9]*\),.*/\1/p')
	[ "$(ls seen.* | wc -l)" -eq "$n" ]
	says '^mr: 2 tasks failed:$'
	says '^mr:   map task [0-9]+: in, bytes [0-9]+-[0-9]+$'
	says 'stopped; no output written'
	expect 123 mr run --keep-going -R 3 -r 'grep -q 7 && exit 3; touch r.$MR_TASK' in
	says '^mr:   reduce task [0-9]+$'
	# What can be run by nobody is not tried by all.
	expect 127 mr run --block-size 100 --keep-going -m nonesuch in
	[ "$(grep -c 'failed after' ../err)" -eq 1 ]
}

@test "--keep-going: resume runs just the tasks that failed" {
	numbers
	: >log
	map="echo \$MR_TASK >>log; [ ! -e broken ] || case \$MR_TASK in 2 | 5) exit 3 ;; esac; cat"
	: >broken
	expect 123 mr run -j 2 --block-size 1K --keep-going --job-dir state \
		-m "$map" -r cat in
	rm broken
	sort log | uniq -d | diff /dev/null -
	: >log
	expect 0 mr resume state
	reference in >sorted
	prints sorted
	sort log | diff - <(printf '2\n5\n')
}

@test "--max-failures: the job is complete without so many tasks, and 3" {
	numbers
	# shellcheck disable=SC2016 # in the command
	map='case $MR_TASK in 1 | 3) exit 4 ;; esac; cat'
	for args in '' '--job-dir state' '--keep-going' '-j 1'; do
		# shellcheck disable=SC2086 # several words
		expect 3 mr run $args -N 100 --max-failures 2 -m "$map" in
		sed '101,200d;301,400d' in >want
		prints want
		says '^mr: without the output of 2 tasks that failed$'
		says '^mr:   map task 3: in, bytes [0-9]+-[0-9]+$'
	done
	# It is complete, and stays so.
	expect 3 mr run --job-dir state -N 100 --max-failures 2 -m "$map" in
	prints want
	sort want >sorted
	expect 3 mr run -N 100 --max-failures 2 -m "$map" -r cat -O out in
	cat out/part-* | cmp - sorted
	grep -q '"failed_tasks": 2' out/_mr/report.json
	expect 123 mr run -N 100 --max-failures 1 -m "$map" in
	prints_nothing
	expect 123 mr run -N 100 --max-failures 1 --keep-going -m "$map" in
	says '2 tasks failed'
	expect 3 mr map -N 100 --max-failures 2 -c "$map" <in
	prints want
}

@test "--max-failures: a part that failed is empty" {
	seq 100000 >in
	expect 3 mr run -R 3 --max-failures 1 -O out \
		-r '[ $MR_PARTITION != 1 ] || exit 3; cat' in
	[ "$(find out -name 'part-*' | wc -l)" -eq 3 ]
	[ ! -s out/part-00001 ]
	[ -s out/part-00000 ]
	for i in 1 2; do
		expect 3 mr run -R 3 --max-failures 1 --job-dir state \
			-r '[ $MR_PARTITION != 1 ] || exit 3; cat' in
		cat out/part-* >want
		prints want
	done
	mr run -R 3 --job-dir other -O o2 --max-failures 1 \
		-r '[ $MR_PARTITION != 1 ] || exit 3; cat' in || [ $? -eq 3 ]
	# What has been delivered is asked for once more.
	expect 3 mr run -R 3 --job-dir other -O o2 --max-failures 1 \
		-r '[ $MR_PARTITION != 1 ] || exit 3; cat' in
	diff -r out/part-00002 o2/part-00002
}

@test "--max-failures: all tasks of a long stream may fail, and nothing waits" {
	seq 3000 >in
	expect 3 mr run -j 2 --block-size 500 --max-failures 1000 -m 'exit 3' <in
	prints_nothing
	expect 123 mr run -j 2 --block-size 500 --keep-going -m 'exit 3' <in
	prints_nothing
}

@test "options that can tolerate nothing are refused" {
	echo a >in
	for option in --keep-going '--max-failures 2'; do
		# shellcheck disable=SC2086 # two words
		refused "${option%% *} has no effect" mr run $option in
	done
	refused 'must be 1 to' mr run --max-failures 0 -m cat in
	refused '--keep-going and --on slurm exclude each other' \
		mr run --on slurm --job-dir d --keep-going -m 'touch ran' in
	refused 'must be 1 to' mr run --skip-bad-records=0 -m cat in
	refused 'is an option of mr' mr sort --keep-going in
	refused 'is an option of mr run' mr map --keep-going cat
}

# ------------------------------------------------------------ what is said

@test "the message names all attempts" {
	echo a >in
	expect 123 mr run --retries 2 \
		-m 'case $MR_ATTEMPT in 0) kill -SEGV $$ ;; 1) exit 5 ;; *) exit 6 ;; esac' in
	says 'failed after 3 attempts: .*: exit status 6$'
	says '^mr:   attempt 1: killed by SIGSEGV$'
	says '^mr:   attempt 2: exit status 5$'
}

@test "the message says that a command hit --task-memory, or may have" {
	echo a >in
	while read -r tool rest; do
		command -v "$tool" >/dev/null || continue
		expect 123 mr run --task-memory 64M -m "exec $tool $rest" in ||
			expect 125 mr run --task-memory 64M -m "exec $tool $rest" in
		says 'failed .* \(it hit --task-memory 64M\)$'
	done <<-'END'
		python3 -c 'x = bytearray(10 ** 9)'
		gawk 'BEGIN { for (;;) x[++i] = i }'
		mawk 'BEGIN { for (;;) x[++i] = i }'
		perl -e 'push @x, "x" x 10000 while 1'
		sort -S 1G /dev/zero
		bash -c 'x=$(head -c 1G /dev/zero | tr "\0" x)'
	END
	expect 123 mr run --task-memory 1G -m 'exit 3' in
	says 'exit status 3 \(it may have hit --task-memory 1\.0G\)$'
	needs python3
	needs_plain_binary
	# One that says nothing: what it had says something.
	cat >grows <<-'END'
		import os
		x = []
		try:
		    while True:
		        x.append(bytearray(50000))
		except MemoryError:
		    os._exit(1)
	END
	expect 123 mr run --task-memory 80M -m 'python3 grows' in
	says 'exit status 1 \(it had [67][0-9]M of --task-memory 80M\)'
	# What mr itself has is not the command's.
	random_records 300000 >large
	expect 123 mr run -j 1 -S 128M --block-size 8M --task-memory 20M \
		-m 'cat; exit "$MR_TASK"' -r cat --ok-exit 1 large
	says 'exit status 2 \(it may have hit --task-memory 20M\)$'
}
