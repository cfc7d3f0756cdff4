#!/usr/bin/env bats
# mr run --check: commands that break the rules are found on a sample.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

records() {
	awk 'BEGIN { for (i = 0; i < 2000; i++)
		printf "key%d\tvalue %d\n", i * 7919 % 50, i }' >in
}

sum='awk -F "\t" "NR > 1 && \$1 \"\" != k { print k FS s; s = 0 }
{ k = \$1 \"\"; s += \$2 } END { if (NR) print k FS s }"'

@test "commands that keep the rules pass, and only that is printed" {
	records
	expect 0 mr run --check -m 'tr a-z A-Z' -r 'uniq -c' in in
	grep -qx 'no fault found: 4000 records of 2 files, [0-9]* runs of commands' ../out
	[ ! -s ../err ]
	expect 0 mr run --check -m 'tr a-z A-Z' -o out in
	[ ! -e out ]
	cut -f2 in | tr -d '[:lower:]' >numbers
	paste <(cut -f1 in) numbers | mr run --check --combine "$sum" -r "$sum"
	expect 0 mr run --check --per-key -r 'sort' in
	expect 0 mr run --check -m 'sed 1q' /dev/null
	echo given >file
	expect 0 mr run --check --ship file -m 'cat - file | sed \$d' in
	gzip -c in >in.gz
	expect 0 mr run --check --whole-file -m 'cat -n' in in.gz
}

@test "a map that depends on what it read before is shown with the record" {
	records
	expect 1 mr run --check -m 'cat -n' in
	says "^mr: MAP depends on what it read before: record [0-9]+, 'key[0-9]+.x09value [0-9]+',"
	says "of the whole it prints ' *[0-9]+.x09key.*, of the pieces ' *1.x09key"
	n=$(sed -n 's/.*before: record \([0-9]*\).*/\1/p' ../err)
	[[ "$(sed -n "${n}p" in)" = "key$(((n - 1) * 7919 % 50))"* ]]
	prints_nothing
	# Records 17 and 18 are equal, which uniq sees only if it reads both.
	sed '17{p}' in >twice
	expect 1 mr run --check -m uniq twice
	says '^mr: MAP depends on what it read before: record 18, '
	expect 1 mr run --check -m 'wc -l' -r cat in
	expect 1 mr run --check -m tac in
}

@test "a reduce that depends on other keys is shown with the first record of one" {
	records
	expect 1 mr run --check -r 'awk "{ print NR, \$0 }"' in
	says "^mr: REDUCE depends on what it read before: record [0-9]+, 'key"
	says 'is the first of a key, where its input may begin \(with -R [0-9]+\)$'
	expect 1 mr run --check -r 'wc -l' in
	# One task reads all.
	expect 0 mr run --check -R 1 -r 'wc -l' in
	for name in MR_PARTITION MR_REDUCERS; do
		expect 1 mr run --check -r "sed s/^/\$$name/" in
		says '^mr: REDUCE depends on'
		expect 0 mr run --check -R 1 -r "sed s/^/\$$name/" in
	done
}

@test "a combiner that changes the result is found" {
	records
	expect 1 mr run --check --combine 'cut -f1 | uniq -c | awk "{ print \$2 FS \$1 }" FS="\t"' \
		-r 'cut -f1 | uniq -c' in
	says '^mr: COMBINE changes what REDUCE prints: used (once|twice) over'
	says "without it ' *[0-9]+ key0', with it ' *[0-9]+ '"
	# Right once, wrong twice.
	awk '{ print $1 "\t" 1 }' in >ones
	expect 1 mr run --check --combine "$sum | sed 's/\$/0/'" \
		-r "$sum | sed 's/0\$//'" ones
}

@test "a combiner is tried with a command per key, too" {
	records
	awk '{ print $1 "\t" 1 }' in >ones
	add='awk "{ s += \$1 } END { print s }"'
	expect 0 mr run --check --per-key --combine "$sum" -r "$add" ones
	expect 1 mr run --check --per-key --combine "$sum | sed 's/\$/0/'" \
		-r "$add" ones
	says '^mr: COMBINE changes what REDUCE prints: used once over all'
}

@test "what --agg cannot add up is found, and a map before it" {
	records
	expect 0 mr run --check --agg 'count' in
	expect 0 mr run --check -m 'sed "s/value //"' --agg 'sum 2 top:2 2' in
	expect 1 mr run --check --agg 'sum 2' in
	says "^mr: --agg: key 'key0': field 2 of a record is no number: "
	prints_nothing
	expect 1 mr run --check -m 'cat -n' --agg count in
	says '^mr: MAP depends on what it read before'
}

@test "of many files, those that are looked at are spread over all" {
	mkdir dir
	for i in $(seq 100 199); do echo "x $i" >"dir/$i"; done
	expect 0 mr run --check -m cat dir
	grep -qx 'no fault found: 16 records of 16 files, [0-9]* runs of commands' \
		../out
	expect 125 mr run --check -m '! grep -q 193 || kill -KILL $$' dir
}

@test "a command that prints something else the second time is found" {
	records
	expect 1 mr run --check -m 'cat; echo $$' in
	says '^mr: MAP prints something else the second time'
	says "record 2001 of the output: first it was '[0-9]+', then '[0-9]+'"
	expect 1 mr run --check -r 'cat; test -e made || echo more; : >made' in
	says '^mr: REDUCE prints something else the second time'
}

@test "a map may use where its input begins, but not which task it is" {
	records
	{ echo name; cat in; } >table
	offsets='awk -v "at=$MR_INPUT_START" "{ print at, \$0; at += length + 1 }"'
	expect 0 mr run --check -m "$offsets" in
	expect 0 mr run --check --header skip -m "$offsets" table
	mr run --header skip -j 1 --block-size 1K -m "$offsets" table >want
	mr run --header skip -j 1 --block-size 1M -m "$offsets" table |
		cmp - want
	expect 1 mr run --check -m 'sed "s/^/$MR_TASK /"' in
	says '^mr: MAP depends on what it read before: record [0-9]+, '
	expect 1 mr run --check -m 'sed "s/^/$MR_INPUT_LENGTH /"' in
}

@test "a reduce that depends on the order of values is noted, and passes" {
	records
	expect 0 mr run --check -r 'uniq' in
	grep -q '^note: REDUCE depends on the order' ../out
	grep -qx "  record 1 of the output: in order it prints 'key0.x09value 0', backwards 'key0.x09value 1950'" \
		../out
	# It is that of the command where -k sorts them.
	expect 0 mr run --check -k 1,1r -r 'uniq' in
	grep -q '^note: REDUCE depends on the order' ../out
	expect 0 mr run --check -k 1,1 -k 2,2 -r 'uniq' in
	[ "$(wc -l <../out)" -eq 1 ]
	expect 0 mr run --check -r "$sum" in
	[ "$(wc -l <../out)" -eq 1 ]
}

@test "values are shuffled: backwards does not show everything" {
	awk 'BEGIN { for (i = 0; i < 820; i++)
		printf "key%d\t%d\n", i % 20, i * 7919 % 820 }' >in
	# The value in the middle; the less of the first and the last; how
	# often neighbours differ by 380.
	while read -r what; do
		cat >tool <<-EOF
			function out(i, c) { $what; n = 0 }
			NR > 1 && NF > 1 && \$1 != k { out() }
			{ k = \$1; v[++n] = \$NF + 0 }
			END { out() }
		EOF
		for how in '-R 1' --per-key; do
			# shellcheck disable=SC2086
			expect 0 mr run --check $how -r 'awk -f tool' in
			grep -q '^note: REDUCE depends on the order' ../out
			grep -q ", shuffled '" ../out
		done
	done <<-'EOF'
		print v[(n + 1) / 2]
		print v[1] < v[n] ? v[1] : v[n]
		for (i = 1; i < n; i++) c += (v[i + 1] - v[i]) ^ 2 == 144400; print c + 0
	EOF
	# A report can be had again.
	cp ../out first
	expect 0 mr run --check --per-key -r 'awk -f tool' in
	prints first
}

@test "a command that fails, hangs or is missing is told" {
	records
	expect 123 mr run --check -m 'echo why >&2; exit 3' in
	says '^mr: map command echo why >&2; exit 3: exit status 3 on the sample$'
	says '^why$'
	expect 0 mr run --check --ok-exit 1 -m 'grep none' in
	expect 125 mr run --check -r 'kill -KILL $$' in
	expect 127 mr run --check -m ./none in
	expect 2 mr run --check --range 0:5 -m cat
	expect 2 mr run --check --sample 5 -m cat in
	expect 2 mr run --check in
	says '^mr: --check has no effect without -m CMD, -r CMD or --agg'
	start mr run --check -m ': >runs; exec sleep 1000' in
	wait_until test -e runs
	kill -TERM "$JOB"
	ends 143
}

@test "records of other forms, headers, and long inputs" {
	awk 'BEGIN { for (i = 0; i < 400; i++)
		printf "@%d\nACGT\n+\n%d\n", i, i }' >reads
	expect 0 mr run --check -L 4 -m 'paste - - - -' reads
	expect 1 mr run --check -m 'paste - - - -' reads
	{ echo name; seq 1000; } >table
	expect 0 mr run --check --header repeat -m 'sed 1d' table
	expect 1 mr run --check -m 'sed 1d' table
	seq 300000 >long
	expect 0 mr run --check -m cat long
	grep -qE ' 4[0-9]{4} records of 1 file,' ../out
	seq 300000 | expect 0 mr run --check -m cat
}
