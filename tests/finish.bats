#!/usr/bin/env bats
# --finish: one command over the whole output.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

records() {
	awk 'BEGIN { for (i = 0; i < 3000; i++)
		printf "%d\tvalue %d\n", i * 7919 % 541, i }' >in
	reference in >sorted
}

@test "it reads the whole reduced output once, in order" {
	records
	cut -f1 sorted | uniq -c | sort -k1,1nr -k2 | head -n 5 >want
	for options in -j1 '-j 4 -R 7' '-R 1' '-S 4M --block-size 4K'; do
		# shellcheck disable=SC2086
		expect 0 mr run $options -m 'cut -f1' -r 'uniq -c' \
			--finish 'echo x >>ran; sort -k1,1nr -k2 | head -n 5' in
		prints want
		[ "$(cat ran)" = x ]
		rm ran
	done
	expect 0 mr run -r cat --finish cat -R 9 in
	prints sorted
}

@test "it reads the output of maps where there is no reduce command" {
	records
	wc -l <in >want
	expect 0 mr run -j 3 --block-size 1K -m 'wc -l' \
		--finish "awk '{ n += \$1 } END { print n }'" in
	prints want
	expect 0 mr run --finish 'cat -n' in
	cat -n in >want
	prints want
	printf x >want
	expect 0 mr run -m cat --finish 'printf x' in
	prints want
	printf a >one
	printf b >two
	printf 'a\nb\n' >want
	expect 0 mr run -m 'printf "%s" "$(cat)"' --finish cat one two
	prints want
}

@test "it runs once also when there is nothing" {
	echo 0 >want
	expect 0 mr run -m true -r cat -R 3 --finish 'wc -l' /dev/null
	prints want
	expect 0 mr run --finish 'wc -l' /dev/null
	prints want
}

@test "its output is a single file, also in a directory" {
	records
	tac sorted >want
	expect 0 mr run -r cat -R 5 -O out --finish tac in
	prints_nothing
	cmp want out/part-00000
	[ "$(cd out && echo part-*)" = part-00000 ]
	[ -e out/_SUCCESS ] && [ -e out/_mr/logs/finish-000000 ]
	grep -q '^finish	0	0	ok	' out/_mr/joblog.tsv
	expect 0 mr run -m cat -O maps --finish 'tac; touch "$MR_OUTPUT_DIR/beside"' in
	tac in | cmp - maps/part-00000
	[ -e maps/beside ]
	expect 0 mr run -r cat -o in --finish tac in
	cmp want in
	printf x >want
	expect 0 mr run -r cat --finish 'printf x' -O bytes in
	cmp want bytes/part-00000
}

@test "it fails as any task does: named, repeated, stopped" {
	records
	expect 123 mr run -r cat --finish 'cat; echo why >&2; exit 3' in
	says '^mr: finish task 0 failed after 1 attempt: .*: exit status 3$'
	says '^mr:   \| why$'
	says '^mr: stopped; no output written$'
	prints_nothing
	expect 123 mr run -r cat -O out --finish 'cat; exit 3' in
	[ ! -e out ]
	echo old >out
	expect 123 mr run -r cat -o out --finish 'cat; exit 3' in
	[ "$(cat out)" = old ]
	rm out
	# It is not there for what failed before it, but --ok-exit is for it.
	expect 123 mr run -m false --finish 'echo >ran' in
	expect 123 mr run -r false --finish 'echo >ran' in
	[ ! -e ran ]
	expect 0 mr run --ok-exit 1 --finish 'head -n 1; exit 1' in
	head -n 1 in | cmp - ../out
	expect 124 mr run --timeout 0.2 --finish 'sleep 100' in
	expect 125 mr run --retries 2 --finish 'kill -KILL $$' in
	says 'finish task 0 failed after 3 attempts'
	expect 127 mr run --finish './none' in
	for out in '' '-O out'; do
		rm -f tried
		# shellcheck disable=SC2086
		expect 0 mr run $out --retries 1 -r cat --finish '
			head -n 7; test -e tried || { : >tried; exit 1; }' in
		cat ../out out/part* 2>/dev/null | cmp - <(head -n 7 sorted)
	done
}

@test "a worker that dies in it is replaced" {
	records
	expect 0 mr run --retries 1 -r cat --finish '
		test -e tried || { : >tried; kill -KILL $PPID; sleep 100; }
		tac' in
	tac sorted | cmp - ../out
}

@test "options that it leaves without effect are refused" {
	expect 2 mr run --unordered -r cat --finish cat /dev/null
	says '^mr: --unordered has no effect'
	expect 2 mr run -R 3 -O out -m cat --finish cat /dev/null
	says '^mr: -R has no effect'
}
