#!/usr/bin/env bats
# Compressed input: what is recognised, who reads it, and that it is whole.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# Lines "suffix|program that compresses|the programs that mr may use".
codecs() {
	while IFS='|' read -r suffix pack readers; do
		! command -v "${pack%% *}" >/dev/null ||
			echo "$suffix|$pack|$readers"
	done <<-'EOF2'
		gz|gzip -c|pigz unpigz gzip
		bz2|bzip2 -c|bzip2 pbzip2
		xz|xz -c|xz unxz
		zst|zstd -qc|zstd unzstd
		lz4|lz4 -qc|lz4 unlz4
	EOF2
}

# only PROGRAM...: from here on PATH has these, if they exist, and what tests
# and commands need, but no other program that reads compressed files.
only() {
	local program path

	rm -rf ../only
	mkdir ../only
	for program in "$@" cat sh head sed touch sleep; do
		path=$(PATH=$whole_path command -v "$program") || continue
		case $path in
		/*) ln -sf "$path" "../only/$program" ;;
		esac
	done
	ln -sf "$MR" ../only/mr
}

# privately STATUS CMD [ARG]...: expect, with what only has left in PATH.
privately() {
	local status=$1

	shift
	expect "$status" env PATH="$PWD/../only" "$@"
}

setup_file() {
	export whole_path=$PATH
}

inputs() {
	seq 1 5000 >one
	seq -f 'k%g' 3000 | sed 's/$/\tv/' >two
	printf 'no newline at its end' >three
	{ cat one two three; echo; } >want
}

# --------------------------------------------------------------- the formats

@test "gzip, bzip2, xz, zstd and lz4 are read by what they begin with" {
	inputs
	reference want >sorted
	while IFS='|' read -r suffix pack _; do
		for f in one two three; do
			$pack <$f >$f."$suffix"
			$pack <$f >"$suffix"-by-any-name-$f.txt
		done
		for files in "one.$suffix two.$suffix three.$suffix" \
		    "one two.$suffix three" "$suffix-by-any-name-one.txt two \
		    $suffix-by-any-name-three.txt"; do
			# shellcheck disable=SC2086
			for options in '' '-m cat' '--pack -m cat'; do
				expect 0 mr run $options $files
				prints want
			done
		done
		for options in '-r cat' '-m cat -r cat --pack -S 8M'; do
			# shellcheck disable=SC2086
			expect 0 mr run $options $files
			prints sorted
		done
		[ ! -s ../err ]
	done < <(codecs)
	[ -e one.gz ]
}

@test "files of several members, directories and lists of compressed files" {
	inputs
	mkdir d
	while IFS='|' read -r suffix pack _; do
		{ $pack <one; $pack <two; $pack <three; } >d/all."$suffix"
		expect 0 mr run -m cat d/all."$suffix"
		prints want
		cat want >>whole
	done < <(codecs)
	expect 0 mr run -j 3 d
	prints whole
	printf '%s\n' d/* >list
	expect 0 mr run --files-from list -m cat
	prints whole
	expect 0 prlimit --nofile=16 "$MR" run -j 3 -m cat --pack d/*
	prints whole
}

@test "what only begins like a compressed file is read as it is" {
	printf '\037\213 two bytes of gzip\n' >gz2
	printf '\037\213\010\377 with flags that it has not\n' >gz3
	printf '\037\213\010' >gz4
	printf 'BZh9 is no heading\n' >bz
	printf 'BZh91AY&S\n' >bz1
	printf '\3757zXZ one byte less\n' >xz
	printf '\050\265\057 one byte less\n' >zst
	printf '\004\042\115 one byte less\n' >lz4
	printf '7zXZ\n' >x.xz
	printf 'text\n' >x.gz
	for f in gz2 gz3 gz4 bz bz1 xz zst lz4 x.xz x.gz; do
		cat $f
		[ $f != gz4 ] || echo
	done >want
	expect 0 mr run -m cat gz2 gz3 gz4 bz bz1 xz zst lz4 x.xz x.gz
	prints want
}

@test "no bytes are no input, compressed or not; --whole-file gives them to a task" {
	: | gzip >e1
	: | gzip >e2
	echo record | gzip >r
	for options in '' '--pack' '-j 1' '-r cat'; do
		# shellcheck disable=SC2086
		expect 0 mr run $options -m 'cat; echo x >>ran; echo one' e1 e2
		[ "$(cat ../out)" = one ]
		[ "$(wc -l <ran)" -eq 1 ]
		rm ran
		# shellcheck disable=SC2086
		expect 0 mr run $options -m 'cat; echo x >>ran' e1 r e2
		[ "$(cat ../out)" = record ]
		[ "$(wc -l <ran)" -eq 1 ]
		rm ran
	done
	expect 0 mr run --whole-file -m 'wc -c' e1 r e2
	printf '0\n7\n0\n' >want
	prints want
	expect 1 mr run --nonempty -m cat e1 e2
	says 'no records'
	expect 0 mr run --nonempty -m cat e1 r
}

@test "--whole-file: a task reads the decompressed bytes, and nothing is added" {
	inputs
	gzip -c three >c
	gzip -c one >a
	expect 0 mr run --whole-file -m 'wc -c; echo "$MR_INPUT_FILE"' a three c
	printf '%s\n' "$(wc -c <one)" a 21 three 21 c >want
	prints want
}

@test "a task finds the name of its file, and may stop reading" {
	seq 1000000 | gzip -1 >large
	seq 7 | gzip >small
	expect 0 mr run -m 'head -n 2; echo "$MR_INPUT_FILE $MR_INPUT_START $MR_INPUT_LENGTH"' \
		large small
	printf '1\n2\nlarge 0 %s\n' "$(wc -c <large)" >want
	printf '1\n2\nsmall 0 %s\n' "$(wc -c <small)" >>want
	prints want
	expect 123 mr run --strict-input -m 'head -n 2' large
	says 'left input unread'
}

# ---------------------------------------------------------------- the forms

@test "records of any form are told apart in compressed files as in others" {
	seq 999 >a
	seq 1000 1998 >b
	{ echo header; seq 500; } >h1
	{ echo header; seq 501 800; } >h2
	seq 300 | sed 's/^/>/; s/$/\nACGT\nAC/' >fa
	for f in a b h1 h2 fa; do gzip -c $f >$f.gz; done
	while IFS='|' read -r files options; do
		plain="$files "
		packed=${plain// /.gz }
		# shellcheck disable=SC2086
		expect 0 mr run $options -m 'sed 1s/^/^/' $plain
		cp ../out want
		# shellcheck disable=SC2086
		expect 0 mr run $options -m 'sed 1s/^/^/' $packed
		prints want
	done <<-'EOF'
		a b|-L 3 -N 10
		a b|-N 100
		h1 h2|--header skip -N 50
		h1 h2|--header repeat -N 50
		fa|--recstart > -N 7
	EOF
	expect 1 mr run -L 4 -m cat a.gz
	says 'a.gz: .* 3 of 4 lines'
}

# ------------------------------------------------------- what is not whole

# refused_as_cut FILE PROGRAM: no job over it says anything but what is wrong.
refused_as_cut() {
	[ -n "${with_map+set}" ] && unset with_map || with_map='-m cat'
	# shellcheck disable=SC2086
	privately 1 mr run ${with_map-} "$1"
	says "$1: $2: "
	prints_nothing
}

@test "cut anywhere, damaged or followed by something, an archive is a failure" {
	seq 10 40 >one
	seq 50 99 >two
	while IFS='|' read -r suffix pack readers; do
		$pack <one >m1
		$pack <two >m2
		cat m1 m2 >all."$suffix"
		size=$(wc -c <m1)
		for reader in $readers; do
			command -v "$reader" >/dev/null || continue
			only "$reader"
			privately 0 mr run all."$suffix"
			cmp ../out <(cat one two)
			# The second member's first bytes, and some others.
			for at in $((size - 3)) $((size + 1)) $((size + 2)) \
			    $((size + 3)) $((size + 4)) $((size + 9)) \
			    $((size + 20)) $(($(wc -c <all."$suffix") - 1)); do
				head -c "$at" all."$suffix" >short
				refused_as_cut short "$reader"
			done
			{ cat all."$suffix"; echo garbage; } >longer
			refused_as_cut longer "$reader"
			{ cat m1; printf X; tail -c +2 m2; } >damaged
			refused_as_cut damaged "$reader"
			{ cat m1; head -c 30 m2; printf 'XXXXXX'; tail -c +37 m2; } >damaged
			refused_as_cut damaged "$reader"
		done
	done < <(codecs)
}

@test "a cut archive is a failed attempt of its task; nothing is printed" {
	seq 100000 | gzip >good
	seq 300000 | gzip | head -c 300000 >bad
	for options in '' '-m cat' '-r cat' '-m cat -r cat' '--pack' \
	    '--whole-file -m cat'; do
		# shellcheck disable=SC2086
		expect 1 mr run --retries 2 -j 2 -m cat $options good bad
		says 'map task [01] failed after 3 attempts: bad: [a-z]+: exit status'
		says 'input (bad|good and 1 more)'
		prints_nothing
	done
	# One that is whole when it is tried again is read.
	expect 0 mr run --retries 1 -r 'wc -l' -m 'test -e t || {
		touch t; exit 1; }; cat' good
	[ "$(cat ../out)" = 100000 ]
}

# --------------------------------------------------------------- programs

@test "of the programs that there are the first one is taken" {
	seq 5 >want
	gzip -c want >f
	real=$(command -v gzip)
	only gzip
	rm ../only/gzip
	for p in gzip unpigz pigz; do
		printf '#!/bin/sh\necho %s >>ran\nexec %s -dc\n' $p "$real" \
			>../only/$p
		chmod +x ../only/$p
		privately 0 mr run f
		prints want
		[ "$(tail -n 1 ran)" = $p ]
	done
}

@test "a program that is missing is named, with its package, and nothing is run" {
	only
	printf '\050\265\057\375 zstd' >a
	printf '\050\265\057\375 zstd' >b
	printf '\3757zXZ\0 xz' >c
	seq 10 >d
	privately 2 mr run -m 'touch ran' d a b c missing
	says '^mr: a: is compressed by zstd, which is not .*apt-get install zstd'
	says '^mr: c: is compressed by xz, which is not .*apt-get install xz-utils'
	says '^mr: missing: '
	says_no '^mr: b:'
	[ ! -e ran ]
	prints_nothing
	privately 0 mr run --decompress none a d
	{ cat a; echo; cat d; } >want
	prints want
	privately 1 mr run <(cat a)
	says 'is compressed by zstd, .*apt-get install zstd'
}

@test "a program that was killed, or cannot be run, is a failed attempt" {
	seq 5 | gzip >f
	only
	# shellcheck disable=SC2016
	printf '#!/bin/sh\nkill -KILL $$\n' >../only/gzip
	chmod +x ../only/gzip
	privately 1 mr run -m cat f
	says 'f: gzip: killed by SIGKILL'
	prints_nothing
	printf '#!/none\n' >../only/gzip
	privately 1 mr run -m cat f
	says 'f: gzip: '
}

# ------------------------------------------------------------ --decompress

@test "--decompress none reads what there is" {
	seq 1000 | gzip >f
	{ cat f; echo; } >want
	expect 0 mr run --decompress none -m cat f
	prints want
}

@test "--decompress CMD reads every input, the standard one too" {
	echo 'uryyb jbeyq' >f
	echo 'hello world' >want
	rot='tr a-z n-za-m'
	for options in '' '-m cat' '--whole-file -m cat' '-N 1 -m cat'; do
		# shellcheck disable=SC2086
		expect 0 mr run --decompress "$rot" $options f
		prints want
	done
	expect 0 mr run --decompress "$rot" <f
	prints want
	expect 0 mr run --decompress "$rot" <(cat f)
	prints want
	mkfifo fifo
	cat f >fifo 3>&- &
	expect 0 mr run --decompress "$rot" -m cat fifo
	prints want
	# It finds the name where a pipe would not do.
	expect 0 mr run --decompress 'tr a-z n-za-m <"$MR_INPUT_FILE"' f
	prints want
}

@test "--decompress CMD: what it says is passed on, its failure is the attempt's" {
	seq 10 >f
	expect 0 mr run --decompress 'echo hint >&2; cat' f
	prints f
	says '^hint$'
	for stdin in f /dev/null; do
		expect 1 mr run -r cat --decompress 'cat; echo no >&2; exit 3' f <$stdin
		says 'f: cat; echo no >&2; exit 3: exit status 3'
		says '^no$'
		prints_nothing
	done
	expect 1 mr run --decompress 'cat; exit 3' <f
	says '^mr: standard input: cat; exit 3: exit status 3'
	prints_nothing
	expect 127 mr run --decompress ./none -m 'touch ran' f
	says 'decompress: ./none: No such file'
	expect 126 mr run --decompress ./f -m 'touch ran' f
	[ ! -e ran ]
}

@test "standard input is decompressed if that is asked for, and only then" {
	seq 50000 >want
	gzip -c want >f
	expect 0 mr run --decompress auto <f
	prints want
	# shellcheck disable=SC2002
	cat f | expect 0 mr run -m cat --decompress auto
	prints want
	{ printf '\037'; sleep 0.1; tail -c +2 f; } |
		expect 0 mr run --decompress auto -m cat
	prints want
	expect 0 mr run --decompress auto -m cat want - <f
	cat want want | cmp - ../out
	expect 0 mr run --decompress auto -m cat <want
	prints want
	for few in '' a 'a\n' '\037' '\037\213\010'; do
		# shellcheck disable=SC2059
		printf "$few" | expect 0 mr run --decompress auto
		# shellcheck disable=SC2059
		printf "$few" | mr run | cmp - ../out
	done
	{ cat f; echo; } >as-it-is
	expect 0 mr run <f
	prints as-it-is
	expect 0 mr run <(cat f)
	prints want
	head -c 20000 f | expect 1 mr run --decompress auto -m cat
	says '^mr: standard input: [a-z]+: exit status'
	prints_nothing
	{ cat f; echo garbage; } | expect 1 mr run --decompress auto -m cat
	prints_nothing
}

@test "the filters decompress files, standard input if asked, and mr sort nothing" {
	seq 20000 | sed 's/$/\tx/' | sort >want
	gzip <want >f
	for how in 'map cat' 'reduce cat' 'reduce --grouped cat' 'map -L 4 cat' \
	    'map -N 7000 cat'; do
		# shellcheck disable=SC2086 # words
		expect 0 mr ${how%% *} -i f ${how#* }
		prints want
		# shellcheck disable=SC2086
		expect 0 mr ${how%% *} --decompress auto ${how#* } <f
		prints want
	done
	sed 's/x$/1/' want >counts
	expect 0 mr agg -i f count
	prints counts
	expect 0 mr agg --decompress 'gzip -dc' count <f
	prints counts
	expect 0 mr shuffle -R 1 -O parts f want
	cat want want | cmp - parts/part-00000
	# A last newline is supplied to what is read as it is.
	expect 0 mr map -i f --decompress none cat
	cmp -n "$(wc -c <f)" f ../out
	expect 0 mr map cat <f
	cmp -n "$(wc -c <f)" f ../out
	expect 127 mr map --decompress ./none -i f 'touch ran'
	expect 127 mr agg --decompress ./none -i f count
	[ ! -e ran ]
	head -c 20000 f >short
	expect 1 mr reduce -i short cat
	says 'short: (pigz|unpigz|gzip): exit status'
	sort -s f >sorted
	expect 0 mr sort f
	cmp -n "$(wc -c <f)" sorted ../out
}

@test "four archives or more are read apart, whatever the form of their records" {
	needs python3
	printf '@r\nAC\n+\nII\n@s\nG\n+\n@' >a
	python3 -c 'import struct, sys
for i in range(500):
    sys.stdout.buffer.write(struct.pack(">I", 2) + b"k\n" +
        struct.pack(">I", 3) + b"v\0\n")' >p
	: >e
	for f in a p e; do gzip -c "$f" >"$f.gz"; done
	archives=(a.gz e.gz a.gz a.gz) plain=(a e a a)
	for how in '-L 4 -m cat' '-L 2 --block-size 1 -m cat' \
	    '--recstart @ -m cat' '--recend \n@ -m cat' '--recend AC\nGG -m cat' \
	    '-L 4 --sample 4 -m cat' '--recstart @ --sample 50% -m cat' \
	    '-L 4 -m cat -r cat'; do
		read -r -a words <<<"$how"
		expect 0 mr run "${words[@]}" "${plain[@]}"
		mv ../out want
		expect 0 mr run "${words[@]}" -v "${archives[@]}"
		prints want
		says ', 4 map tasks on'
	done
	expect 0 mr run --io rawbytes -r cat p.gz p.gz p.gz p.gz
	cat p p p p | cmp - ../out
	head -c -1 p | gzip >cut.gz
	for how in '-m cat' '-r cat' '-m cat -r cat'; do
		# shellcheck disable=SC2086
		expect 1 mr run --io rawbytes $how p.gz p.gz cut.gz p.gz
		says 'cut.gz: the pair at byte 6487 is cut short'
	done
	printf '1\n2\n3\n' | gzip >cut.gz
	expect 1 mr run -L 4 -m cat a.gz a.gz cut.gz a.gz
	says 'cut.gz: the last record, which begins at byte 0, has 3 of 4 lines'
	prints_nothing
}

@test "--decompress with --names, or of mr sort, is refused" {
	echo x >f
	expect 2 mr run --names --decompress auto -m 'touch ran' f
	says 'decompress has no effect'
	expect 2 mr sort --decompress auto f
	says '^mr sort: --decompress is an option of mr run'
	[ ! -e ran ]
}

# ----------------------------------------------------- at the same time, ends

@test "several files are decompressed at the same time" {
	echo 1 >a
	echo 2 >b
	cat a b >want
	# Each waits until both have begun.
	m='touch "begun.$MR_TASK"
	for i in $(seq 200); do
		test -e begun.0 && test -e begun.1 && exec cat
		sleep 0.05
	done
	exit 1'
	for options in '' '-m cat' '-m cat -r cat'; do
		rm -f begun.*
		# shellcheck disable=SC2086
		expect 0 mr run -j 2 $options --decompress "$m" a b
		prints want
	done
}

@test "a program that hangs ends with --timeout, --stall, --deadline" {
	echo x >f
	for hang in 'sleep 100' 'cat; sleep 100 | cat'; do
		expect 124 mr run --timeout 0.3 -m cat --decompress "$hang" f
		expect 124 mr run --stall 0.3 -m cat --decompress "$hang" f
		prints_nothing
	done
	for file in f -; do
		expect 124 mr run --deadline 0.3 --decompress "$hang" $file <f
		prints_nothing
	done
}

@test "a program that closes its output and goes on is a failure" {
	echo x >f
	for options in '' '-m cat'; do
		# shellcheck disable=SC2086
		expect 1 mr run $options --decompress 'cat; exec >&-; sleep 100' f
		says 'has closed its output, and goes on'
	done
}

@test "a signal ends programs that read files, and all that they have started" {
	echo x >f
	for hang in 'touch up; sleep 100 | cat' 'cat; touch up; sleep 100'; do
		for options in '' '-m cat'; do
			for signal in INT KILL; do
				rm -f up
				# shellcheck disable=SC2086
				start mr run $options --decompress "$hang" f
				wait_until test -e up
				kill -"$signal" "$JOB"
				case $signal in
				INT) ends 130 ;;
				KILL) ends 137 ;;
				esac
			done
		done
		for signal in TERM KILL; do
			rm -f up
			start mr run --decompress "$hang" <f
			wait_until test -e up
			kill -"$signal" "$JOB"
			case $signal in
			TERM) ends 143 ;;
			KILL) ends 137 ;;
			esac
		done
	done
}
