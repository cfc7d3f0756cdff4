#!/usr/bin/env bats
# --combine: a reduce command over sorted buffers and merged runs.
# shellcheck disable=SC2016,SC2089,SC2090 # commands are expanded by their shell
load helper
load failure


# sum: adds up the values of a key; table: the same, keys in any order.
sum='awk -F "\t" "NR > 1 && \$1 \"\" != k { print k FS s; s = 0 }
{ k = \$1 \"\"; s += \$2 } END { if (NR) print k FS s }"'
table='awk -F "\t" "{ s[\$1] += \$2 } END { for (k in s) print k FS s[k] }"'

# records: 60,000 of 500 keys, each with another value.
records() {
	awk 'BEGIN { for (i = 0; i < 60000; i++)
		printf "key%d\t%d\n", i * 7919 % 500, i }' >in
	reference in | sh -c "$sum" >want
	[ "$(wc -l <want)" -eq 500 ]
}

combined() {	# combined IN|OUT: records, as -v says
	sed -n "s/^mr: combined \([0-9]*\) records to \([0-9]*\)\$/\\$(
		[ "$1" = in ] && echo 1 || echo 2)/p" ../err
}

@test "the result is the same, however and how often it combines" {
	records
	for words in '' nojoin onerun disk,nojoin,onerun switch; do
		for options in -j1 '-j 3 -S 4M --block-size 30K --batch-size 2' \
		    '-R 5 --block-size 10K'; do
			for command in "$sum" "$table" cat; do
				# shellcheck disable=SC2086
				MR_DEBUG=$words expect 0 mr run $options -v \
					--combine "$command" -r "$sum" in
				prints want
				[ "$(combined in)" -ge 60000 ]
			done
		done
	done
	expect 0 mr run --combine "$sum" -r "$sum" <in
	prints want
}

@test "it reads sorted records, many at once, and what it prints is reduced" {
	records
	MR_DEBUG=nojoin expect 0 mr run -v -j 1 --block-size 100K --combine '
		tee -a ran | LC_ALL=C sort -c -s -t "	" -k 1,1 && echo "key1	1"' \
		-r cat in
	tasks=$(sed -n 's/.* \([0-9]*\) map tasks .*/\1/p' ../err)
	[ "$tasks" -gt 3 ]
	[ "$(combined out)" -eq "$tasks" ]
	[ "$(sort in | cksum)" = "$(sort ran | cksum)" ]
	yes 'key1	1' | head -n "$tasks" | cmp - ../out
}

@test "runs that are merged are combined again" {
	records
	MR_DEBUG=nojoin,onerun expect 0 mr run -v -j 2 --block-size 20K \
		--combine "$sum" -r "$sum" in
	prints want
	# Each of the 500 keys was in two runs of the first merges at least.
	[ "$(combined in)" -gt 70000 ]
	MR_DEBUG=nojoin,onerun expect 0 mr run -v -j 2 --block-size 20K \
		--combine 'echo x >>ran; cat' -r "$sum" in
	prints want
	[ "$(wc -l <ran)" -gt "$(sed -n 's/.* \([0-9]*\) map tasks .*/\1/p' ../err)" ]
}

@test "what it prints is sorted again, also if it is more than the memory" {
	records
	# All that it reads, backwards, and each record longer.
	MR_DEBUG=nojoin expect 0 mr run -v -S 5M -j 1 --block-size 300K -R 1 		--combine 'tac | awk -v "x=$(printf %0150d 0)" "{ print \$0 x }"' 		-r 'tee red | LC_ALL=C sort -c -s -t "	" -k 1,1' in
	reference in | cut -f1 | cmp - <(cut -f1 red)
	[ "$(sed -n 's/.*spilled \([0-9]*\) bytes/\1/p' ../err)" -gt 8000000 ]
}

@test "keys and values may be empty" {
	printf '\t\n\tx\n\na\n\t\n' >in
	printf '\t\n\tx\n\n\t\na\n' >want
	for words in '' nojoin,onerun; do
		MR_DEBUG=$words expect 0 mr run --block-size 1 --combine cat \
			-r cat in
		prints want
	done
}

@test "the order of values is kept: a command may depend on it" {
	awk 'BEGIN { for (i = 0; i < 20000; i++) print i % 7 "\t" i }' >in
	join='awk -F "\t" "NR > 1 && \$1 != k { print k FS s; s = \"\" }
		{ k = \$1; s = s \",\" \$2 } END { if (NR) print k FS s }" | sed "s/	,*/	/"'
	reference in | sh -c "$join" >want
	for words in nojoin onerun,nojoin ''; do
		MR_DEBUG=$words expect 0 mr run -j 4 -S 4M --block-size 4K \
			--batch-size 3 --combine "$join" -r "$join" in
		prints want
	done
}

@test "it shrinks what is spilled" {
	awk 'BEGIN { for (i = 0; i < 400000; i++)
		printf "key%d\t%d\n", i * 7919 % 100, i }' >in
	for combine in cat "$sum"; do
		MR_DEBUG=disk expect 0 mr run -v -S 8M -j 2 --combine "$combine" \
			-r "$sum" in
		sed -n 's/.*spilled \([0-9]*\) bytes/\1/p' ../err
	done >spilled
	{ read -r before; read -r after; } <spilled
	[ "$((before / 20))" -ge "$after" ]
}

@test "what the combiner makes stays in memory and is combined again" {
	awk 'BEGIN { for (i = 0; i < 300000; i++)
		print "word" i * 7919 % 10007 "\t" i % 1000 }' >in
	reference in | sh -c "$sum" >want
	for combine in '' "$sum"; do
		expect 0 mr run -v -S 6M -j 1 --block-size 300K \
			${combine:+--combine "$combine"} -r "$sum" -O out in
		cat out/part-* | cmp - want
		sed -n 's/.*"spilled_bytes": \([0-9]*\).*/\1/p' out/_mr/report.json
		rm -r out
	done >spilled
	cat spilled
	{ read -r before; read -r after; } <spilled
	[ "$before" -ge 1000000 ]
	[ "$((before / 20))" -ge "$after" ]
	# Each buffer holds all of the keys, and nearly all buffers meet.
	[ "$(combined in)" -gt 310000 ]
	[ "$(combined out)" -lt 100000 ]
}

@test "runs leave the memory in the order of the input" {
	awk 'BEGIN { for (i = 0; i < 60000; i++)
		print i * 7919 % (i < 30000 ? 9000 : 50) "\t" i }' >in
	reference in >want
	for words in pool pool,group pool,switch; do
		for combine in cat "sed '/	.*[05]\$/d'"; do
			MR_DEBUG=$words expect 0 mr run -j 2 --block-size 70K \
				-m cat --combine "$combine" -r cat in
			sh -c "$combine" <want | cmp - ../out
		done
	done
}

@test "what waits to be combined is of no attempt that failed" {
	awk 'BEGIN { for (i = 0; i < 60000; i++) print i * 7919 % 9000 "\t" i }' >in
	reference in | sh -c "$sum" >want
	join='awk -F "\t" "NR > 1 && \$1 \"\" != k { print k FS s; s = \"\" }
		{ k = \$1 \"\"; s = s \",\" \$2 } END { if (NR) print k FS s }" | sed "s/	,*/	/"'
	reference in | sh -c "$join" >joined
	for words in pool pool,disk pool,switch; do
		for wanted in want joined; do
			command=$sum
			[ "$wanted" = want ] || command=$join
			rm -f -- done-*
			MR_DEBUG=$words expect 0 mr run --retries 1 -j 2 \
				--block-size 60K -m 'cat
				test -e done-$MR_TASK || {
					: >done-$MR_TASK
					exit $((MR_TASK % 3 == 1))
				}' --combine "$command" -r "$command" in
			prints "$wanted"
		done
	done
}

@test "records may be longer than the memory, and end with NUL" {
	for i in 1 2 3; do
		head -c 3000000 /dev/zero | tr '\0' "$i"
		printf '\tvalue %d\0a\nb\t%d\0' "$i" "$i"
	done >in
	LC_ALL=C sort -z -s -t '	' -k1,1 in >want
	MR_DEBUG=nojoin,onerun expect 0 mr run -z -S 4M --block-size 1M \
		--combine cat -r cat in
	prints want
}

@test "a combiner that changes keys is an error that says so" {
	records
	expect 1 mr run --retries 2 --combine 's=$(cat); echo "$s" | sed s/key77/key7x/' \
		-r cat in
	says '^mr: combine of map tasks? [0-9-]+ failed after 1 attempt: s=.*: a combine command must keep keys; it printed a record with the key key7x'
	says '^mr: stopped; no output written$'
	prints_nothing
	expect 1 mr run --combine 'cat; echo' -r cat in
	says 'must keep keys'
}

@test "a combiner may drop keys" {
	records
	grep -v '^key77	' want >kept
	MR_DEBUG=onerun expect 0 mr run --combine "grep -v '^key77	' | $sum" \
		-r "$sum" in
	prints kept
	expect 0 mr run -S 4M --block-size 10K --combine 'cat >/dev/null' \
		-r 'wc -l' -R 1 in
	[ "$(cat ../out)" -eq 0 ]
}

@test "a combiner that fails is a failed task" {
	records
	expect 123 mr run --combine 'cat; echo why >&2; exit 3' -r cat in
	says '^mr: combine of map tasks? [0-9-]+ failed after 1 attempt: .*: exit status 3$'
	says '^mr:   \| why$'
	says '^mr: stopped; no output written$'
	prints_nothing
	MR_DEBUG=nojoin expect 125 mr run --retries 2 --combine 'kill -KILL $$' \
		-r cat -O out in
	says '^mr: combine of map task 0 failed after 3 attempts: .*killed by SIGKILL'
	[ ! -e out ]
	expect 124 mr run --timeout 0.2 --combine 'sleep 100' -r cat in
	says '^mr: combine of .*ran longer than --timeout'
	expect 127 mr run --combine ./none -r cat in
}

@test "what an attempt that failed has printed is not in the result" {
	records
	for words in '' nojoin disk,onerun,nojoin; do
		rm -f tried
		MR_DEBUG=$words expect 0 mr run --retries 1 -j 2 \
			--block-size 10K --combine '
			test -e tried || { : >tried; sed p; exit 1; }
			'"$sum" -r "$sum" in
		[ -e tried ]
		prints want
	done
}

@test "it runs while a map fills the memory, and the map goes on after it" {
	# One map task whose output is larger than -S, with a limit of time that
	# is the map's and not that of what it waits for.
	awk 'BEGIN { for (i = 0; i < 600000; i++) print i % 1000 "\t" i }' >in
	reference in | sh -c "$sum" >want
	for words in nogroup,disk group ''; do
		MR_DEBUG=$words expect 0 mr run -v -j 1 -S 4M --block-size 1G \
			--timeout 10 -m cat --combine "$sum" -r "$sum" in
		prints want
		says ' 1 map task on 1 worker'
		[ "$(combined in)" -ge 600000 ]
	done
	expect 123 mr run -j 1 -S 4M --block-size 1G -m 'cat; sleep 1000' \
		--combine 'exit 3' -r "$sum" in
	says 'combine of map task 0 failed'
}

@test "a worker that dies while it combines is replaced" {
	records
	for words in '' onerun,nojoin; do
		rm -f tried
		MR_DEBUG=$words expect 0 mr run --retries 1 -j 2 --block-size 50K \
			--combine 'test -e tried || { : >tried; kill -KILL $PPID; }
			'"$sum" -r "$sum" in
		prints want
	done
}

@test "a signal ends a job that combines, and nothing is left" {
	awk 'BEGIN { for (i = 0; i < 600000; i++) print i % 1000 "\t" i }' >in
	start mr run -j 1 -S 4M --block-size 1G -m cat \
		--combine ': >combines; exec sleep 1000' -r cat in
	wait_until test -e combines
	kill -TERM "$JOB"
	ends 143
}

@test "what it finds around it" {
	echo record >in
	echo given >file
	expect 0 mr run --ship file --combine 'cat file >&2; ls >&2; cat' \
		-r cat in
	says '^given$'
	says_no '^in$'
	expect 0 mr run --combine 'echo "$MR_PHASE $MR_TASK $MR_ATTEMPT" >env
		: >"$MR_OUTPUT_DIR/lost"; : >"$TMPDIR/lost"; cat' -r cat -O out in
	[ "$(cat env)" = 'combine 0 0' ]
	[ ! -e out/lost ]
	grep -q '"combine_input_records": 1, "combine_output_records": 1,' \
		out/_mr/report.json
	expect 2 mr run --combine cat -m cat in
	says '^mr: --combine has no effect without -r CMD'
}

@test "it runs amid a task that reads compressed input without a command" {
	needs gzip
	awk 'BEGIN { for (i = 0; i < 600000; i++) print i % 1000 "\t" i }' >in
	reference in | sh -c "$sum" >want
	gzip -1 in
	for map in '' '-m cat'; do
		# shellcheck disable=SC2086
		MR_DEBUG=nogroup expect 0 mr run -v -S 4M -j 1 $map \
			--combine "$sum" -r "$sum" in.gz
		prints want
		[ "$(combined in)" -ge 600000 ]
	done
}

@test "the order of -k is that of what it reads, and of what it prints" {
	records
	for options in '-k1,1 -k2,2nr' '-k1,1r -k2,2n' '-k1,1'; do
		# shellcheck disable=SC2086
		LC_ALL=C sort -s -t '	' $options in >sorted
		# shellcheck disable=SC2086
		MR_DEBUG=nojoin,onerun expect 0 mr run $options \
			--block-size 50K --combine cat -r cat in
		prints sorted
		# The first of each key, whatever its place in the output.
		awk -F '\t' '!seen[$1]++' sorted >want
		first='awk -F "\t" "!seen[\$1]++ { l = \$0 ORS l } END { printf \"%s\", l }"'
		# shellcheck disable=SC2086
		MR_DEBUG=nojoin expect 0 mr run $options -R 3 --block-size 50K \
			--combine "$first" -r 'awk -F "\t" "!seen[\$1]++"' in
		prints want
	done
	expect 1 mr run -k1,1 -k2,2n --combine 'echo "key0x	1"; cat' -r cat in
	says 'printed a record with the key key0x, which'
}
