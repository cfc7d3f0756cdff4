#!/usr/bin/env bats
# What tasks count by lines on their standard error.
load helper
load failure

make_mapper() {
	seq 2000 >in
	cat >mapper <<-'END'
		#!/bin/sh
		echo before >&2
		echo reporter:counter:g,tasks,1 >&2
		echo reporter:counter:g,minus,-2 >&2
		echo "reporter:counter:a group,a \"name\",$(wc -l)" >&2
		echo "reporter:status:at $MR_TASK" >&2
		echo reporter:counter:g,half,0.5 >&2
		echo reporter:counter:g,1 >&2
		echo reporter:counter:,x,1 >&2
		echo ' reporter:counter:g,tasks,1' >&2
		printf 'reporter:counter:g,last,1' >&2
	END
	chmod +x mapper
}

@test "counters are taken out of standard error and totalled by -v" {
	make_mapper
	expect 0 mr run -v --block-size 2K -m ./mapper in
	n=$(grep -cx before ../err)
	[ "$n" -gt 2 ]
	says "^mr: counter g,tasks: $n\$"
	says "^mr: counter g,minus: -$((2 * n))\$"
	says "^mr: counter g,last: $n\$"
	says '^mr: counter a group,a "name": 2000$'
	says '^mr: status: at [0-9]*$'
	says_no '^reporter:counter:g,tasks'
	says_no '^reporter:status'
	# What only resembles a counter is an ordinary line.
	for line in reporter:counter:g,half,0.5 reporter:counter:g,1 \
		reporter:counter:,x,1 ' reporter:counter:g,tasks,1'; do
		[ "$(grep -cx -- "$line" ../err)" -eq "$n" ]
	done
}

@test "only the attempts that count are counted" {
	seq 2000 >in
	expect 0 mr run -v --retries 1 -j 3 --block-size 2K -m 'echo reporter:counter:g,tries,1 >&2
		cat
		[ -e "done-$MR_TASK" ] || { : >"done-$MR_TASK"; exit 1; }' -r cat in
	says "counter g,tries: $(ls done-* | wc -l)\$"
}

@test "maps, reduces and --per-key count together; the report has it" {
	seq 2000 | sed 's/.*\(.\)$/\1	&/' >in
	expect 0 mr run -m 'cat; echo "reporter:counter:g,n,1" >&2' --block-size 2K \
		-r 'cat; echo "reporter:counter:g,n,1000" >&2' --per-key -O out in
	maps=$(mr run --dry-run --block-size 2K -m cat -r cat in | sed -n 's/^map tasks: \([0-9]*\),.*/\1/p')
	grep -q "\"counters\": {\"g,n\": $((10000 + maps))}" out/_mr/report.json
	! command -v python3 || python3 -m json.tool out/_mr/report.json
}

@test "a kept job counts each task once, whenever it was run" {
	seq 2000 >in
	job=(run -v --job-dir jd --block-size 2K -r 'cat; echo reporter:counter:g,r,7 >&2'
		-m 'echo reporter:counter:g,m,1 >&2; [ $MR_TASK -ne 3 ] || [ -e good ] || exit 1; cat')
	expect 123 mr "${job[@]}" -j 1 in
	done=$(ls jd/map | wc -l)
	expect 0 mr status jd
	grep -qx "counter g,m: $done" ../out
	: >good
	expect 0 mr "${job[@]}" in
	n=$(ls jd/map | wc -l)
	r=$(ls jd/reduce | wc -l)
	says "counter g,m: $n\$"
	says "counter g,r: $((7 * r))\$"
	expect 0 mr "${job[@]}" in
	says "counter g,m: $n\$"
	expect 0 mr status --json jd
	grep -q "\"counters\": {\"g,m\": $n, \"g,r\": $((7 * r))}" ../out
}

@test "counters in numbers, large and very many" {
	: >in
	expect 0 mr run -v -m 'i=0; while [ $i -lt 1500 ]; do echo reporter:counter:g,$i,1; i=$((i + 1)); done >&2
		echo reporter:counter:g,0,9223372036854775806 >&2
		echo reporter:counter:g,0,9 >&2
		echo reporter:counter:g,1,9223372036854775808 >&2' in
	[ "$(grep -c '^mr: counter' ../err)" -eq 1000 ]
	grep -qx 'mr: counter g,0: 9223372036854775807' ../err
	grep -qx 'reporter:counter:g,1,9223372036854775808' ../err
}
