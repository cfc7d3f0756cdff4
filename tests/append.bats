#!/usr/bin/env bats
# mr run --append: a result that is brought up to date, by what is new alone.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# records FROM TO: they have a key and come in an order.
records() {
	seq "$1" "$2" | awk '{ print $1 * 7919 % 23 "\t" $1 }'
}

# append [OPTION|FILE]...: with the job's own options.
append() {
	expect 0 mr run --append -O out "${job[@]}" "$@"
	prints_nothing
	[ ! -s ../err ] || { cat ../err; return 1; }
}

# The result is that of one run over what has come, which is in the file came.
as_one_run() {
	mr run "${job[@]}" "$@" came >want
	cat out/part-* | cmp - want
}

# It is as it was before, to the last file.
untouched() {
	find out -type f -exec cksum {} + | sort | cmp - before
}

remember() {
	find out -type f -exec cksum {} + | sort >before
}

@test "files are added one by one: any reducer gives what one run would" {
	cat >mean <<-'EOF'
		#!/usr/bin/awk -f
		$1 != k && NR > 1 { print k, s / n; s = n = 0 }
		{ k = $1; s += $2; n++ }
		END { if (NR) print k, s / n }
	EOF
	cat >sum <<-'EOF'
		#!/usr/bin/awk -f
		BEGIN { OFS = "\t" }
		$1 != k && NR > 1 { print k, s; s = 0 }
		{ k = $1; s += $2 }
		END { if (NR) print k, s }
	EOF
	chmod +x mean sum
	for i in 1 2 3 4 5; do
		records $((i * 300)) $((i * 400)) >"file$i"
	done
	while read -r options; do
		eval "job=($options)"
		rm -rf out came
		for i in 1 2 3 4 5; do
			cat "file$i" >>came
			append -j "$i" -S "$((3 + i))M" file[1-$i]
			as_one_run
		done
		append file[1-5] file5
		as_one_run
	done <<-'END'
		-r cat
		-m "sed s/1/x/" -r ./mean -R 3
		-r ./mean --finish "sort -k2,2n | head -n 3"
		-r ./sum --combine ./sum
		--agg "count mean 2 top:2 2 collapse 2"
		-r ./sum --per-key
		-r cat -k 1,1n -k 2,2nr
		-r ./mean --compress-program gzip
	END
}

@test "the first time it is an ordinary run, of an empty directory or of none" {
	records 1 500 | tee a >came
	job=(-r cat -R 3)
	append a
	as_one_run
	[ -e out/part-00002 ] && [ -e out/_SUCCESS ] && [ -e out/_mr/report.json ]
	rm -rf out
	mkdir out
	append a
	as_one_run
	# Empty input is input: the commands run once.
	: >empty
	: >came
	job=(-m 'echo nothing; cat' -r cat)
	rm -rf out
	append empty
	as_one_run
	# What comes of it is not kept, as nothing is empty any more.
	echo something | tee came >empty
	append empty
	as_one_run
}

@test "input of which nothing is left is input all the same" {
	job=(-m 'tee -a ran | sed /a/d' -r 'cat; echo end' -R 1 --nonempty)
	echo a | tee log >came
	append log
	as_one_run
	rm ran
	append log
	[ ! -e ran ]
	as_one_run
	echo b | tee -a log >>came
	append log
	as_one_run
}

@test "only what is new is mapped, up to the last complete record" {
	job=(-m 'tee -a mapped' -r cat)
	export PWD
	printf 'a\nb\nc' >log
	append log
	printf 'a\nb\n' | cmp - mapped
	printf 'c2\nd\ne' >>log
	append log
	printf 'a\nb\ncc2\nd\n' | cmp - mapped
	printf '\n' >>log
	append log
	printf 'a\nb\ncc2\nd\ne\n' | cmp - mapped
	cat out/part-* | cmp - mapped
}

@test "nothing new: nothing is run, said or changed" {
	job=(-m 'echo >>ran; cat' -r cat)
	records 1 100 | tee a >came
	printf 'not complete' >b
	: >c
	sleep 0.1	# for the clock of files
	append a b c
	as_one_run
	rm -f ran
	remember
	stat -c '%i %y' out >inode
	append a b c
	append a
	append b c
	[ ! -e ran ]
	untouched
	stat -c '%i %y' out | cmp - inode
}

@test "what has not changed is not read" {
	needs strace
	needs_plain_binary
	job=(-r cat)
	records 1 20000 | tee a >came
	touch -d '-1 hour' a
	sleep 0.1	# for the clock of files
	append a
	echo new | tee b >>came
	strace -f -P "$PWD/a" -P a -e trace=read,pread64,mmap,splice,sendfile \
		-o trace mr run --append -O out "${job[@]}" a b 3>&- ||
		skip "processes cannot be traced here"
	as_one_run
	# Its first bytes tell whether it is compressed.
	awk '/= [0-9]+$/ { n += $NF } END { exit n > 20 }' trace
}

@test "renamed, compressed and removed, an input is neither doubled nor lost" {
	job=(-r cat)
	records 1 3000 | tee log >came
	records 3001 3100 | tee other >>came
	append log other
	for codec in gzip bzip2 xz zstd lz4; do
		command -v "$codec" >/dev/null || continue
		echo "the end	of $codec" | tee -a log >>came
		"$codec" -c log >"log.$codec"
		echo "next	after $codec" | tee log >>came
		append log log.*
		as_one_run
		append log
		as_one_run
		records 5000 5020 | tee -a log >>came
		append log log.*
		as_one_run
	done
	rm log.* other
	append log
	as_one_run
}

@test "a copy of an input, or of its beginning, does not count" {
	job=(-r cat)
	records 1 3000 | tee log >came
	append log
	cp log log.1
	append log log.1
	as_one_run
	records 3001 3100 | tee -a log >>came
	head -c 20000 log >log.1
	gzip -c log >log.2
	append log.1 log log.2
	as_one_run
	# Not alike any more, they are two.
	head -n 2990 log >log.1
	records 7 9 >>log.1
	cat log.1 >>came
	append log.1 log log.2
	as_one_run
	# So are two that only begin alike, long as it may be.
	{ head -n 2000 log; echo x; } | tee log.3 >>came
	append log log.3
	as_one_run
	# A name that is given twice is one file, and so is a link.
	ln log again
	ln -s log.3 too
	append log log again too log.3
	as_one_run
}

@test "emptied after a copy was made: the copy goes on, and the log begins" {
	job=(-r cat)
	records 1 300 | tee log >came
	append log
	records 301 320 | tee -a log >>came
	cp log log.1
	: >log
	append log log.1
	as_one_run
	records 321 330 | tee -a log >>came
	append log log.1
	as_one_run
}

@test "a name with other content is refused unless the old content is named" {
	job=(-m 'tee ran' -r cat)
	records 1 300 | tee log >came
	append log
	rm ran
	remember
	records 301 320 | tee -a log >>came
	mv log log.1
	records 321 330 | tee log >>came
	refused 'log: it does not begin .* name the file' \
		mr run --append -O out "${job[@]}" log
	: >log
	refused 'log: it does not begin' mr run --append -O out "${job[@]}" log
	untouched
	records 321 330 >log
	append log log.1
	as_one_run
	# What was rotated before may go.
	mv log log.1
	records 331 340 | tee log >>came
	append log log.1
	as_one_run
}

@test "what was there to begin with may go, too, for good" {
	job=(-r cat)
	records 1 50 | tee log.1 >came
	records 51 60 | tee log >>came
	append log.1 log
	mv log log.1
	records 61 70 | tee log >>came
	append log.1 log
	as_one_run
	records 71 80 | tee -a log >>came
	append log.1 log
	as_one_run
	append log.1 log
	as_one_run
}

@test "other commands and keys than before are refused" {
	records 1 50 | tee a >came
	job=(-m 'touch ran; cat' -r cat --key-fields 1)
	append -j 1 a
	rm -f ran
	remember
	records 51 60 | tee -a a >>came
	refused 'out: it was made with --reduce=cat, not with --reduce=uniq' \
		mr run --append -O out -m 'touch ran; cat' -r uniq --key-fields 1 a
	refused 'it was made with --map=touch ran; cat, not with --map=touch ran' \
		mr run --append -O out -m 'touch ran' -r cat --key-fields 1 a
	refused 'it was made with --key-fields=1$' \
		mr run --append -O out -m 'touch ran; cat' -r cat a
	refused 'it was made without --field-separator=x$' \
		mr run --append -O out "${job[@]}" -t x a
	refused 'it was made without --finish=cat$' \
		mr run --append -O out "${job[@]}" --finish cat a
	untouched
	append -j 3 -R 2 --block-size 100 -S 5M --retries 3 a
	as_one_run
	job=(-r cat --partition hash)
	rm -rf out ran
	append -R 2 a
	echo x >>a
	refused 'made with -R 2$' mr run --append -O out "${job[@]}" -R 3 a
}

@test "a directory that --append has not made is refused" {
	records 1 50 >a
	mr run -r cat -O out a
	remember
	refused '-O out: it exists, and was not made with --append' \
		mr run --append -O out -m 'touch ran' -r cat a
	untouched
	mkdir mine
	touch mine/precious
	refused 'was not made with --append' mr run --append -O mine -r cat a
	[ -e mine/precious ]
	refused '-O a: Not a directory' mr run --append -O a -r cat a
	mr run --append -O here -r cat a
	echo new >>a
	rm -r out
	cd here
	refused '--append: . is or holds the working directory' \
		mr run --append -O . -r cat ../a
}

@test "what another user keeps is refused" {
	is_root || skip "only root can give files away"
	echo a >a
	mr run --append -O out -r cat a
	echo b >>a
	chown -R 54321 out
	refused 'out/_mr: it belongs to another user' \
		mr run --append -O out -r cat a
}

@test "options that --append has no use for are refused" {
	echo a >a
	refused 'without -O DIR' mr run --append -r cat a
	refused 'without -O DIR' mr run --append -r cat -o out a
	refused 'without -r CMD' mr run --append -m cat -O out a
	for option in --overwrite '--job-dir jd' '--range 1:2' '--sample 1%' \
	    --names '--source false' --whole-file; do
		# shellcheck disable=SC2086
		refused "--append and ${option%% *} exclude" \
			mr run --append -m cat -r cat -O out $option
	done
	refused 'standard input: --append has no effect without files' \
		mr run --append -O out -r cat
	refused '/dev/null: --append has no effect without files' \
		mr run --append -O out -r cat /dev/null
	[ ! -e out ]
}

@test "another mr at work on it is 75, also when it is the first one" {
	records 1 50 | tee a >came
	job=(-m 'touch began; until [ -e go ]; do sleep 0.02; done; cat' -r cat)
	for i in 1 2; do
		start mr run --append -O out "${job[@]}" a
		wait_until test -e began
		local err=../err2
		timeout 20 mr run --append -O out "${job[@]}" a 2>$err >/dev/null &&
			return 1
		[ $? -eq 75 ]
		grep -q 'out: another mr is at work on it' $err
		touch go
		ends 0
		as_one_run
		rm go began
		records "${i}00" "${i}10" | tee -a a >>came
	done
}

@test "a run that fails changes nothing, and the next one makes up for it" {
	records 1 50 | tee a >came
	cat >mapper <<-'END'
		#!/bin/sh
		[ ! -e bad ] && exec cat
	END
	chmod +x mapper
	job=(-m ./mapper -r cat)
	append a
	remember
	records 51 99 | tee -a a >>came
	touch bad
	expect 1 mr run --append -O out "${job[@]}" --ok-exit 0 a || expect 123 \
		mr run --append -O out "${job[@]}" a
	untouched
	rm bad
	append a
	as_one_run
	[ -z "$(find . -name '.mr*')" ]
}

@test "the runs that are kept do not grow without bound in number" {
	job=(-r cat)
	: >came
	for i in $(seq 45); do
		records "$i" $((i + 5)) | tee -a log >>came
		append log
	done
	as_one_run
	[ "$(ls out/_mr/map | wc -l)" -le 32 ]
	[ "$(ls out/_mr/map | wc -l)" -gt 2 ]
	records 1 20000 | tee -a log >>came
	append log --batch-size 2 -S 4M
	as_one_run
	[ "$(ls out/_mr/map | wc -l)" -le 2 ]
}

@test "records of other forms are complete or not" {
	job=(-L 4 -m 'paste - - - -' -r cat)
	printf '@%s\nACGT\n+\nIIII\n' 1 2 3 >came
	head -n 10 came >log
	append log
	[ "$(cat out/part-* | wc -l)" -eq 2 ]
	cp came log
	append log
	as_one_run

	rm -rf out
	job=(--recstart '>' -m "tr '\n' ' ' | sed 's/ >/\n>/g'; echo" -r sort -R 1)
	printf '>a\nb\n>c\nd\ne\n>f\n' | head -c 12 >log
	append log
	cat out/part-* | grep -qx '>a b *'
	printf '>a\nb\n>c\nd\ne\n>f\nlast' | gzip >log.gz
	mv log.gz log
	append log
	cat out/part-* | grep -v '^$' | sed 's/ *$//' >got
	printf '>a b\n>c d e\n' | cmp - got

	rm -rf out
	job=(--header skip -m cat -r cat)
	printf 'name\n' >a.csv
	cp a.csv b.csv
	printf 'none\n' >came
	append a.csv b.csv
	printf 'one\ntwo\n' | tee -a a.csv >>came
	printf 'one\nthree\n' | tee -a b.csv >>came
	append a.csv b.csv
	as_one_run --header skip
	gzip a.csv
	printf 'four\n' | tee -a b.csv >>came
	append a.csv.gz b.csv
	as_one_run

	rm -rf out
	job=(--io rawbytes -r cat)
	printf 'b\t1\na\t2\nc\t3\n' | mr convert --from text --to rawbytes >came
	head -c 25 came >log
	append log
	cp came log
	append log
	as_one_run
}

@test "with a header, what follows is mapped with it, also of compressed files" {
	job=(--header repeat -m 'sed "1d; s/^/x/"' -r cat)
	printf 'name\none\n' | tee log >came
	append log
	printf 'two\n' | tee -a log >>came
	append log
	as_one_run
	printf 'three\n' | tee -a log >>came
	gzip log
	append log.gz
	as_one_run
}

@test "what tasks left in MR_OUTPUT_DIR when their input was new stays" {
	job=(-m 'echo "$MR_INPUT_START" | tee "$MR_OUTPUT_DIR/m$MR_INPUT_START"
		mkdir "$MR_OUTPUT_DIR/d$MR_INPUT_START"
		cat >"$MR_OUTPUT_DIR/d$MR_INPUT_START/all"' \
		-r 'tee "$MR_OUTPUT_DIR/reduced"')
	echo one >log
	append log
	echo two >>log
	append log
	[ "$(cat out/m0 out/m4 out/d0/all out/d4/all | tr '\n' ' ')" = '0 4 one two ' ]
	cat out/part-* | cmp - out/reduced
	[ "$(wc -l <out/reduced)" -eq 2 ]
}

@test "a damaged state is refused, and --overwrite makes it anew" {
	local tried=0

	damaged_state 20
	[ "$tried" -gt 60 ]
}

@test "killed at any write, link, fsync, rename or fork, the next one is right" {
	needs_killat
	records 1 2000 >log
	records 1 3000 >came
	mr run --append -O base -r cat log
	mr run -r cat came >want
	for mode in one root all; do
		rm -rf out
		"$TOOLS/crash-sweep" -qx -m "$mode" -w out -k 12 \
			-e write,rename,fork,fsync,unlink,openat,mkdir \
			-p 'rm -rf out .mr* "${TMPDIR:?}"/.mr*; cp -a base out; cp came log' \
			-r 'mr run --append -O out -r cat log' \
			-c 'cat out/part-* | cmp - want' \
			-l 'ls -A | grep -vxE "log|came|want|base|out"' \
			-- mr run --append -O out -r cat log 3>&-
	done
	rm -rf "$TMPDIR"/.mr*
}
