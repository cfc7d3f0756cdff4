#!/usr/bin/env bats
# --per-key: the reduce command once for each key.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# records: 40 keys with 1 to 40 values, in no order; sorted: in key order.
records() {
	awk 'BEGIN { for (i = 0; i < 1600; i++) {
		k = i * 7919 % 40
		if (i / 40 <= k)
			printf "key %d\tvalue %d\n", k, i
	} }' >in
	reference in >sorted
}

# by_hand CMD: what it prints, once a key, for the records in sorted.
by_hand() {
	cut -f1 sorted | uniq | while IFS= read -r key; do
		awk -F '\t' -v k="$key" '$1 "" == k' sorted | cut -f2- |
			MR_KEY=$key sh -c "$1"
	done
}

@test "each key's command gets its values, and the key in MR_KEY" {
	printf 'b\t1\na\t2\nb\t3\nc\nc\t\n\tx\nb\ty\tz\n' >in
	printf '%s\n' '[]' x '[a]' 2 '[b]' 1 3 y$'\t'z '[c]' '' '' >want
	expect 0 mr run --per-key -r 'echo "[$MR_KEY]"; cat' in
	prints want
	expect 0 mr run --per-key -R 3 -r 'echo "[$MR_KEY]"; cat' in
	prints want
	mr sort in >sorted
	expect 0 mr reduce --per-key -c 'echo "[$MR_KEY]"; cat' <sorted
	prints want
	printf '%s\n' x 2 1 3 y$'\t'z '' '' >want
	expect 0 mr reduce --per-key cat < <(cat sorted)
	prints want
}

@test "it is the same for any -j, -S, -R and block size" {
	records
	by_hand 'echo "$MR_KEY: $(wc -l)"' >want
	[ "$(wc -l <want)" -eq 40 ]
	for options in -j1 '-j 3 -R 1' '-j 4 -R 20 --block-size 500' '-S 4M'; do
		# shellcheck disable=SC2086
		expect 0 mr run $options --per-key \
			-r 'echo "$MR_KEY: $(wc -l)"' in
		prints want
	done
	for options in -j1 '-j 4 --block-size 100' '--grouped --block-size 1K'; do
		# shellcheck disable=SC2086
		expect 0 mr reduce $options --per-key \
			-c 'echo "$MR_KEY: $(wc -l)"' <sorted
		prints want
		# shellcheck disable=SC2086
		expect 0 mr reduce $options --per-key -i sorted \
			-c 'echo "$MR_KEY: $(wc -l)"'
		prints want
	done
}

@test "other separators, more fields, and NUL at the end of records" {
	printf 'a:x:1\na:y:2\na:x:3\na:z\n' >in
	printf '%s\n' a:x 1 3 a:y 2 a:z '' >want
	expect 0 mr run -t : --key-fields 2 --per-key -r 'echo "$MR_KEY"; cat' in
	prints want
	printf 'two\nlines\t1\0b\t2\n\0two\nlines\t3\0' >in
	printf 'b\n2\n\0two\nlines\n1\0003\0' >want
	expect 0 mr run -z --per-key -r 'echo "$MR_KEY"; cat' in
	prints want
}

@test "--key-on-stdin: the key is the first record, and MR_KEY is not set" {
	printf 'b\t1\na\0\t2\nb\t3\nc\n' >in
	printf '%s\n' - a@ 2 - b 1 3 - c '' | tr @ '\0' >want
	MR_KEY=mine expect 0 mr run --per-key --key-on-stdin \
		-r 'echo "-$MR_KEY"; cat' in
	prints want
	mr sort in | MR_KEY=mine expect 0 mr reduce --per-key --key-on-stdin \
		-c 'echo "-$MR_KEY"; cat'
	prints want
}

@test "a key that no environment can hold is an error with the way out" {
	printf 'a\0b\t1\n' >in
	expect 1 mr run --per-key -r cat in
	says 'reduce task 0 failed .*key a\\x00b holds a NUL byte.*--key-on-stdin'
	prints_nothing
	{
		head -c 200000 /dev/zero | tr '\0' k
		printf '\t1\n'
	} >in
	expect 1 mr reduce --retries 3 --per-key cat <in
	says 'reduce task 0 failed after 1 attempt: key k+\.\.\. is too long.*--key-on-stdin'
	expect 0 mr reduce --per-key --key-on-stdin 'wc' -c <in
	echo 200003 >want
	prints want
}

@test "without any key nothing is run" {
	expect 0 mr run --per-key -r 'echo x' /dev/null
	prints_nothing
	expect 0 mr run --per-key -R 5 -m true -r 'echo x' /dev/null
	prints_nothing
	expect 0 mr reduce --per-key echo x </dev/null
	prints_nothing
}

@test "a command that fails is named with its key, and nothing is printed" {
	records
	expect 123 mr run --per-key -r 'cat; [ "$MR_KEY" != "key 17" ] || exit 3' in
	says 'reduce task [0-9]+ failed after 1 attempt: .*: exit status 3, key key 17$'
	prints_nothing
	expect 125 mr reduce --per-key -i sorted \
		-c '[ "$MR_KEY" != "key 17" ] || kill -KILL $$'
	says 'killed by SIGKILL.*, key key 17$'
	expect 124 mr run --timeout 1 --per-key \
		-r '[ "$MR_KEY" != "key 5" ] || sleep 100' in
	says 'ran longer than --timeout [0-9.]+s, key key 5$'
}

@test "a task is repeated whole, and nothing of its failed attempt stays" {
	records
	by_hand 'echo "$MR_KEY"; head -n 2' >want
	fails_once='[ "$MR_KEY" != "key 30" ] || test -e tried || { : >tried; exit 1; }'
	expect 0 mr run --retries 1 --per-key \
		-r 'echo "$MR_KEY"; head -n 2; '"$fails_once" in
	prints want
	rm tried
	expect 0 mr reduce --retries 1 --per-key -i sorted \
		-c 'echo "$MR_KEY"; head -n 2; '"$fails_once"
	prints want
}

@test "what a command leaves unread does not get to the next" {
	# Groups and values longer than any buffer.
	awk 'BEGIN { for (k = 0; k < 3; k++) for (i = 0; i < 150000; i++)
		print k "\tvalue " i }' >in
	awk 'BEGIN { for (i = 0; i < 2000000; i++) printf "long" }' >value
	printf '3\t%s\n3\tshort\n4\tlast\n' "$(cat value)" >>in
	printf '%s\n' 'value 0' 'value 0' 'value 0' >want
	{ cat value; echo; echo last; } >>want
	expect 0 mr run --per-key -r 'head -n 1' in
	prints want
	expect 0 mr reduce -j 2 --per-key head -n 1 < <(cat in)
	prints want
	expect 0 mr run --per-key -r true in
	prints_nothing
}

@test "output that lacks its last newline gets one, after each key" {
	printf 'b\t1\na\t2\n' >in
	expect 0 mr run --per-key -r 'printf "%s" "$MR_KEY"' in
	printf 'a\nb\n' >want
	prints want
}

@test "a key finds TMPDIR empty; files in MR_OUTPUT_DIR are the task's" {
	records
	expect 0 mr run -R 2 -O out --per-key -r '
		[ -z "$(ls "$TMPDIR")" ] || exit 4
		touch "$TMPDIR/x"
		cat >"$MR_OUTPUT_DIR/$MR_KEY"' in
	[ "$(find out -name 'key *' | wc -l)" -eq 40 ]
	awk -F '\t' '$1 == "key 9" { print $2 }' in | cmp - 'out/key 9'
}

@test "--per-key without -r, and --key-on-stdin without --per-key, are refused" {
	expect 2 mr run --per-key -m cat /dev/null
	says '^mr: --per-key has no effect without -r CMD'
	expect 2 mr run --key-on-stdin -r cat /dev/null
	says '^mr: --key-on-stdin has no effect without --per-key'
	expect 2 mr reduce --key-on-stdin cat </dev/null
	says 'reduce: --key-on-stdin has no effect without --per-key'
}
