#!/usr/bin/env bats
# The forms of input records: -L, --recstart, --recend, -N and --header.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# A FASTQ file of N records, whose quality lines may begin like others do.
fastq() {
	awk -v n="$1" 'BEGIN { srand(n); for (i = 0; i < n; i++) {
		s = ""; k = int(rand() * 60)
		for (j = 0; j < k; j++) s = s "A"
		printf "@read %d\n%s\n+\n%s%s\n", i, s, i % 3 ? "@" : "+", s } }'
}

# A FASTA file of N records, with ">" in the middle of lines too.
fasta() {
	awk -v n="$1" 'BEGIN { srand(n); for (i = 0; i < n; i++) {
		printf ">s%d a>b\n", i
		for (k = int(rand() * 4); k > 0; k--) print "ACGT" k ">" } }'
}

# Paragraphs, with one or more empty lines between them.
paragraphs() {
	awk -v n="$1" 'BEGIN { srand(n); for (i = 0; i < n; i++) {
		for (k = rand() * 3; k > 0; k--) print "line", i, k
		for (k = rand() * 2; k > 0; k--) print "" }; print "" }'
}

# What each task was given, a line a task: "START LENGTH" of its split.
splits() {
	mr run "$@" -m 'cat >/dev/null
		echo "$MR_INPUT_START $MR_INPUT_LENGTH"' </dev/null
}

# The splits follow each other, cover the file from byte $2 on, and its bytes
# there match the PCRE $3 where each of them begins.
covers() {
	python3 - "$@" <<-'END'
		import re, sys
		data = open(sys.argv[1], "rb").read()
		at = int(sys.argv[2])
		begins = re.compile(sys.argv[3].encode(), re.S)
		for line in open("splits"):
		    start, length = map(int, line.split())
		    assert start == at, (start, at)
		    assert begins.match(data, at), (at, data[at:at + 20])
		    at += length
		assert at == len(data), at
	END
}

# ----------------------------------------------------------------- -L

@test "-L: a FASTQ record is never torn, whatever the size of splits" {
	needs python3
	fastq 400 >in
	for size in 1 50 999 10K 64M; do
		splits -L 4 --block-size "$size" in >splits
		covers in 0 '@read \d+\n[A]*\n\+\n'
		expect 0 mr run -L 4 --block-size "$size" -m cat in
		prints in
		expect 0 mr run -L 4 -N 7 -m 'paste - - - -' -r cat in
		paste - - - - <in | reference - >want
		prints want
	done
	expect 0 mr run -L 4 -j 3 -m 'echo $(($(wc -l) % 4))' --block-size 1K in
	[ "$(sort -u ../out)" = 0 ]
	expect 0 mr map -L 4 --block-size 64K -c 'echo $(($(wc -l) % 4))' <in
	[ "$(sort -u ../out)" = 0 ]
}

@test "-L: a last line without newline is a line" {
	printf '1\n2\n3\n4' >in
	printf '1\n2\n3\n4\n' >want
	expect 0 mr run -L 2 -m cat in
	prints want
	expect 0 mr map -L 4 cat < <(cat in)
	prints want
}

@test "-L: input that is no multiple of N names file and offset" {
	fastq 100 >good
	{ cat good; printf '@cut\nACGT\n'; } >in
	size=$(wc -c <good)
	for how in '' '--pack' '-N 10'; do
		# shellcheck disable=SC2086
		expect 1 mr run -L 4 $how -m cat good in
		says "in: the last record, which begins at byte $size, has 2 of 4 lines"
		prints_nothing
	done
	expect 1 mr map -L 4 cat < <(cat in)
	says "standard input: .* begins at byte $size,"
	# Each file by itself, though both together would fit.
	printf 'a\nb\n' >two
	expect 1 mr run -L 4 -m cat two two
	says 'two: the last record, which begins at byte 0, has 2 of 4 lines'
}

# ------------------------------------------------- --recstart, --recend

@test "--recstart: a FASTA record is never torn, whatever the size of splits" {
	needs python3
	fasta 300 >in
	for size in 1 30 999 64M; do
		splits --recstart '>' --block-size "$size" in >splits
		covers in 0 '>s\d+ a>b\n'
		expect 0 mr run --recstart '>' --block-size "$size" -m cat in
		prints in
	done
	splits --recstart '>' --block-size 1 in >splits
	[ "$(wc -l <splits)" -eq 300 ]
	expect 0 mr map --recstart '>' -N 1 -c 'head -c 2; cat >/dev/null' <in
	[ "$(sort ../out | uniq -c | tr -d ' \n')" = '300>s' ]
}

@test "--recstart: mail is cut where a line begins with From" {
	for i in $(seq 50); do
		printf 'From me\nSubject: %d\n\n>From you\nnot From me\n' "$i"
	done >mbox
	expect 0 mr run --recstart 'From ' --block-size 1 -m 'wc -l' mbox
	[ "$(sort ../out | uniq -c | tr -s ' ')" = ' 50 5' ]
	# What stands before the first record is one, too.
	{ printf 'junk\n'; cat mbox; } >in
	expect 0 mr run --recstart 'From ' -N 1 -m 'wc -l' in
	[ "$(head -n 2 ../out | tr '\n' ' ')" = '1 5 ' ]
}

@test "--recend: paragraphs are not torn, whatever the size of splits" {
	needs python3
	paragraphs 300 >in
	for size in 1 40 999 64M; do
		splits --recend '\n\n' --block-size "$size" in >splits
		covers in 0 '(?:(?<=[^\n]\n\n)|(?<!.))'
		expect 0 mr run --recend '\n\n' --block-size "$size" -m cat in
		prints in
	done
}

@test "--recend: any bytes, NUL among them, end a record" {
	printf 'a;b\n;;c\0;d' >in
	expect 0 mr run --recend ';' -N 1 -m 'od -An -tx1' in
	printf ' 61 3b\n 62 0a 3b\n 3b\n 63 00 3b\n 64 3b\n' >want
	prints want
	printf 'a\0\0b\0c\0\0\0d\0\0' >in
	expect 0 mr run --recend '\0\x00' -N 1 -m 'od -An -tx1' in
	# Of places that overlap, the first counts.
	printf ' 61 00 00\n 62 00 63 00 00\n 00 64 00 00\n' >want
	prints want
	expect 0 mr map --recend '\000\0' --block-size 1 od -An -tx1 <in
	tr -d ' \n' <want >a
	tr -d ' \n' <../out | cmp - a
}

@test "--recend: what the last record of a file lacks is supplied" {
	printf 'a\n\nb\n' >one
	printf 'c' >two
	printf 'a\n\nb\n\nc\n\n' >want
	for how in '' --pack '-N 1'; do
		# shellcheck disable=SC2086
		expect 0 mr run --recend '\n\n' $how -m cat one two
		prints want
	done
	printf 'c\n\n' >want
	expect 0 mr map --recend '\n\n' cat <two
	prints want
}

@test "--recend and --recstart: a record begins where both meet" {
	printf 'a}{b}x{c}{d}' >in
	expect 0 mr run --recend '}' --recstart '{' -N 1 -m 'cat; echo' in
	printf 'a}\n{b}x{c}\n{d}\n' >want
	prints want
	expect 0 mr map --recend '}' --recstart '{' -N 1 -c 'cat; echo' <in
	prints want
}

@test "--pack --recstart: a file that does not begin with a record is refused" {
	printf '>a\nA\n' >a
	printf 'A\n>b\n' >b
	expect 0 mr run --pack --recstart '>' -m cat a a
	expect 1 mr run --pack --recstart '>' -m cat a b
	says 'b: it does not begin with --recstart, and shares a task'
	prints_nothing
	expect 0 mr run --recstart '>' -m cat a b
}

@test "a form gives the same from a pipe that brings a line at a time" {
	fasta 40 >in
	while IFS= read -r line; do
		printf '%s\n' "$line" >&2
		printf '%s\n' "$line"
	done <in 2>/dev/null | expect 0 mr map --recstart '>' -N 3 \
		-c 'grep -c ^">"'
	[ "$(sort ../out | uniq -c | tr -s ' \n' ' ')" = ' 1 1 13 3 ' ]
}

# ----------------------------------------------------------------- -N

@test "-N: each task has so many records, the last one the rest" {
	seq 1003 >in
	for how in 'mr run -m' 'mr map -c'; do
		$how 'wc -l' -N 100 <in >got
		[ "$(sort -n got | uniq -c | tr -s ' \n' ' ')" = ' 1 3 10 100 ' ]
	done
	expect 0 mr run -m 'wc -l' -N 100 in in
	[ "$(sort -n ../out | uniq -c | tr -s ' \n' ' ')" = ' 2 3 20 100 ' ]
	expect 0 mr run -m cat -N 1 in
	prints in
	fasta 100 >in
	expect 0 mr run -m "grep -c '^>'" -N 30 --recstart '>' in
	[ "$(tr '\n' ' ' <../out)" = '30 30 30 10 ' ]
}

@test "-N: over 100,000 tasks are noted, with what may have been meant" {
	seq 100000 >in
	expect 0 mr run --dry-run -N 1 -m cat in
	says_no 'note'
	echo >>in
	expect 0 mr run --dry-run -N 1 -m cat in
	says 'note: over 100000 tasks of 1 record each \(-N\); if N lines .* -L N'
	[ "$(grep -c 'note' ../err)" -eq 1 ]
	expect 0 mr run -q --dry-run -N 1 -m cat in
	says_no 'note'
}

@test "-N counts records of any length" {
	{ echo a; head -c 9000000 /dev/zero | tr '\0' x; echo; echo b; } >in
	expect 0 mr run -N 2 -m 'wc -lc | tr -s " "' in
	printf ' 2 9000003\n 1 2\n' >want
	prints want
	expect 0 mr map -N 2 -c 'wc -lc | tr -s " "' <in
	prints want
}

# ------------------------------------------------------------- --header

@test "--header skip: each file's first line is dropped" {
	printf 'h1\na\nb\n' >one
	printf 'h2\nc' >two
	printf 'h3' >three
	: >four
	printf 'a\nb\nc\n' >want
	for how in '' '-m cat' '-r cat' '-m cat --pack' '-m cat --block-size 1' \
	    '-m cat -N 1' '-m cat -L 1' '-m cat -N 9 -r cat'; do
		# shellcheck disable=SC2086
		expect 0 mr run --header skip $how one two three four
		prints want
	done
	expect 0 mr run --header skip -m cat - one < <(cat two)
	printf 'c\na\nb\n' >want
	prints want
	expect 0 mr map --header skip cat < <(cat one)
	printf 'a\nb\n' >want
	prints want
}

@test "--header skip: files with nothing else are empty input" {
	printf 'h1\n' >one
	printf 'h2' >two
	expect 0 mr run --header skip -m 'echo x >>ran; cat; echo once' one two
	[ "$(cat ../out)" = once ]
	[ "$(wc -l <ran)" -eq 1 ]
	expect 1 mr run --header skip --nonempty one two
	: | expect 0 mr map --header skip wc -l
	expect 0 mr map --header skip wc -l < <(cat two)
	[ "$(cat ../out)" -eq 0 ]
}

@test "--header repeat: each task gets its file's first line first" {
	{ echo one; seq 500; } >one
	{ echo two; seq 600 900; } >two
	for how in '--block-size 100' '-N 7' '-L 1 --block-size 50'; do
		# shellcheck disable=SC2086
		expect 0 mr run --header repeat $how -m 'read h
			sed "s/^/$h /"' one two
		{ seq -f 'one %g' 500; seq -f 'two %g' 600 900; } >want
		prints want
	done
	seq -f 'one %g' 500 >want
	expect 0 mr map --header repeat -N 50 -c 'read h; sed "s/^/$h /"' <one
	prints want
	# Once more when a task is run again.
	expect 0 mr run --header repeat --retries 1 -m 'read h
		sed "s/^/$h /"; exit $((MR_ATTEMPT == 0))' -N 90 - <one
	prints want
}

@test "--header counts where a split begins and how long it is" {
	needs python3
	{ echo header; seq 300; } >in
	splits --header skip --block-size 100 in >splits
	covers in 7 '\d+\n'
	splits --header repeat -N 13 in >splits
	covers in 7 '\d+\n'
}

# ---------------------------------------------------------- all of them

@test "CRLF and NUL bytes pass a form unchanged" {
	printf '>a\r\nA\0C\r\n>b\r\n\0\r\n' >in
	expect 0 mr run --recstart '>' -N 1 -m cat in
	prints in
	expect 0 mr run -L 2 -N 1 -m cat in
	prints in
	printf 'a\r\n\r\nb\r\n\r\n' >in
	expect 0 mr run --recend '\r\n\r\n' -N 1 -m 'wc -c' in
	[ "$(tr -d ' \n' <../out)" = 55 ]
}

@test "-z: lines of a form end with NUL" {
	printf 'a\nb\0c\0d\0e\0' >in
	expect 0 mr run -z -L 2 -N 1 -m 'wc -c' -O out in
	[ "$(cat out/part-* | tr -d ' \n\0')" = 64 ]
	expect 1 mr run -z -L 3 -m cat in
	says 'begins at byte 8, has 1 of 3 lines'
	printf 'h\nh\0>a\0b\0>c\0' >in
	expect 0 mr run -z --header skip --recstart '>' -N 1 -m 'tr "\0" .' in
	[ "$(tr '\0' / <../out)" = '>a.b./>c./' ]
}

@test "forms that make no sense are refused" {
	seq 10 >in
	refused '--recstart x$|not a string' \
		mr run --recstart 'a\q' -m 'touch ran' in
	refused 'must have 1 to' mr run --recend '' -m 'touch ran' in
	refused '-L and --recend exclude' \
		mr run -L 2 --recend x -m 'touch ran' in
	refused '-N and --block-size exclude' \
		mr run -N 2 --block-size 1M -m 'touch ran' in
	refused '-N and --pack exclude' mr run -N 2 --pack -m 'touch ran' in
	refused 'skip or repeat' mr run --header no -m 'touch ran' in
	refused 'repeat and --pack exclude' \
		mr run --header repeat --pack -m 'touch ran' in
	for o in '-L 2' '-N 2' '--recstart x' '--recend x' '--header skip'; do
		# shellcheck disable=SC2086
		refused "${o% *} has no effect without splits" \
			mr run $o --whole-file -m 'touch ran' in
	done
	for o in '-L 2' '-N 2' '--recstart x' '--recend x' '--header repeat'; do
		# shellcheck disable=SC2086
		refused "${o% *} has no effect without -m CMD" mr run $o -r cat in
	done
	refused 'recstart is an option of mr run' mr sort --recstart x in
}
