#!/usr/bin/env bats
# examples/: every example in every language gives what coreutils gives.
load helper

setup_file() {
	bats_require_minimum_version 1.5.0
	export words=$BATS_FILE_TMPDIR/wordcount
	cp -R "$BATS_TEST_DIRNAME/../examples/wordcount" "$words"
	# The README says how to build: its lines are the ones that count.
	(
		cd "$words" || exit
		rm -f map reduce chars
		sed -n "s|^    cc |${CC:-cc} |p" README.md >build
		[ "$(wc -l <build)" -eq 3 ] || exit
		sh -e build
	)
}

tab=$(printf '\t')

# of coreutils alone: the words, or the characters, of standard input, one a
# line; and equal lines counted, as KEY TAB COUNT.
words() {
	tr -cs A-Za-z0-9 '\n' | tr '[:upper:]' '[:lower:]' | sed '/^$/d'
}
characters() {
	tr -cd A-Za-z0-9 | tr '[:upper:]' '[:lower:]' | fold -w 1
}
count() {
	LC_ALL=C sort | uniq -c | sed -E "s/^ *([0-9]+) (.*)/\\2$tab\\1/"
}

# Bytes that a text should not hold: what an example makes of them is
# nothing but separators.
odd_text() {
	printf 'Caf\303\251 x\377y\r\nA\001B  \n\n\tlast word'
}

languages() {
	printf '%s\n' '' .awk .sh
	! command -v python3 >/dev/null || echo .py
}

@test "wordcount: coreutils finds what is in the expected files" {
	words <"$words/text.txt" | count | cmp - "$words/expected"
	characters <"$words/text.txt" | count | cmp - "$words/expected-chars"
}

@test "wordcount: every map with every reduce counts the words" {
	cp "$words/text.txt" .
	for map in $(languages | sed 's/^/map/'); do
		for reduce in $(languages | sed 's/^/reduce/'); do
			mr run -m "$words/$map" -r "$words/$reduce" text.txt |
				cmp - "$words/expected"
		done
	done
}

@test "wordcount: every map counts characters with a reduce of its language" {
	for language in $(languages | sed 's/^/x/'); do
		language=${language#x}
		mr run -m "$words/chars$language" -r "$words/reduce$language" \
			"$words/text.txt" | cmp - "$words/expected-chars"
	done
}

@test "wordcount: the maps agree on bytes that are no text" {
	odd_text >odd
	words <odd | count >words.want
	characters <odd | count >characters.want
	for language in $(languages | sed 's/^/x/'); do
		language=${language#x}
		mr run -m "$words/map$language" -r "$words/reduce$language" \
			odd | cmp - words.want
		mr run -m "$words/chars$language" -r "$words/reduce$language" \
			odd | cmp - characters.want
	done
}

@test "wordcount: the answer does not depend on splits, workers and memory" {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		cat "$words/text.txt"
	done >ten.txt
	words <ten.txt | count >want
	for options in '-j 1' '-j 3 --block-size 1K' '-R 3 --block-size 500' \
	    '-S 16M --block-size 100'; do
		# shellcheck disable=SC2086
		mr run $options -m "$words/map" -r "$words/reduce" ten.txt |
			cmp - want
	done
}

@test "wordcount: the filters one by one print what mr run prints" {
	mr map "$words/map" <"$words/text.txt" | mr sort |
		mr reduce "$words/reduce" | cmp - "$words/expected"
}

@test "wordcount: reduce adds up what it has printed before" {
	head -n 20 "$words/text.txt" | "$words/map" >first
	tail -n +21 "$words/text.txt" | "$words/map" >second
	for language in $(languages | sed 's/^/x/'); do
		reduce=$words/reduce${language#x}
		for half in first second; do
			LC_ALL=C sort "$half" | "$reduce" >"$half.sum"
		done
		LC_ALL=C sort -s -t "$tab" -k1,1 first.sum second.sum |
			"$reduce" | cmp - "$words/expected"
	done
}

@test "wordcount: awk and mawk, gawk and busybox are all the same to it" {
	for awk in mawk gawk 'original-awk' 'busybox awk'; do
		command -v "${awk%% *}" >/dev/null || continue
		# shellcheck disable=SC2086
		$awk -f "$words/map.awk" <"$words/text.txt" | LC_ALL=C sort |
			$awk -f "$words/reduce.awk" | cmp - "$words/expected"
		# shellcheck disable=SC2086
		$awk -f "$words/chars.awk" <"$words/text.txt" | LC_ALL=C sort |
			$awk -f "$words/reduce.awk" |
			cmp - "$words/expected-chars"
	done
}

@test "wordcount: in C a word may be longer than any buffer" {
	# Not a power of two, so that no block ends where the word does.
	head -c 3000001 /dev/zero | tr '\0' a >long
	{ cat long; echo; cat long; echo ' b'; } >text
	{ cat long; printf '\t2\nb\t1\n'; } >want
	mr run -m "$words/map" -r "$words/reduce" text | cmp - want
}

@test "wordcount: in C a word may end where a block does" {
	for len in 65535 65536 65537 131072; do
		head -c "$len" /dev/zero | tr '\0' a >long
		{ cat long; echo ' b'; } >text
		{ cat long; printf '\t1\nb\t1\n'; } >want
		"$words/map" <text | cmp - want
		"$words/map" <long | head -n 1 | cmp - <(head -n 1 want)
	done
}

@test "wordcount: in C no number is wrong in silence" {
	printf 'a\t18446744073709551614\na\t1\n' | "$words/reduce" |
		cmp - <(printf 'a\t18446744073709551615\n')
	for bad in 'a\t18446744073709551615\na\t1\n' 'a\t18446744073709551616\n' \
	    'a\n' 'a\t\n' 'a\t1\na\t1x\n' 'a\t-1\n'; do
		# shellcheck disable=SC2059
		run -1 "$words/reduce" < <(printf "$bad")
		[[ $output == reduce:\ record\ * ]]
	done
}

@test "wordcount: nothing gives nothing" {
	for language in $(languages | sed 's/^/x/'); do
		language=${language#x}
		run -0 mr run -m "$words/map$language" \
			-r "$words/reduce$language" </dev/null
		[ -z "$output" ]
	done
}

# ---------------------------------------------------------------- integrate

integrate=$BATS_TEST_DIRNAME/../examples/integrate

# near FILE: it holds the integral, exact to 1e-5.
near() {
	awk -F "$tab" '{ d = $2 - (exp(10) - exp(1)) }
		END { exit !(NR == 1 && $1 == "integral" &&
		    -1e-5 < d && d < 1e-5) }' "$1"
}

@test "integrate: in C and in awk it is the closed form's, the same at any -j" {
	sed -n "s|^    cc |${CC:-cc} |p" "$integrate/README.md" >build
	cp "$integrate/map.c" .
	sh -e build
	for map in ./map "$integrate/map.awk"; do
		mr run -j 1 --range 0:9000000 -m "$map" \
			--agg 'sum 2' >want
		near want
		mr run -j 3 -R 2 --range 0:9000000 -m "$map" \
			--agg 'sum 2' | cmp - want
	done
	mr run -N 1000000 --range 0:9000000 -m ./map --agg 'sum 2' >other
	near other
}

# ---------------------------------------------------------- inverted index

# source_tree: the sources of mr itself, as src.
source_tree() {
	local top=$BATS_TEST_DIRNAME/..

	index=$top/examples/inverted-index
	mkdir -p src/man
	cp "$top"/*.[ch] "$top/Makefile" src
	cp "$top"/man/*.[17] src/man
	# Not -R: what Python keeps there may change in this moment.
	mkdir src/contract
	cp "$top"/tests/contract/*.py src/contract
	cp -R "$top/examples" src
	cp "$top"/tests/*.bats src
	find src -name '[._]*' -prune -o -type f -print | LC_ALL=C sort >files
	[ "$(wc -l <files)" -gt 80 ]
}

# postings: lines NAME TAB FILE:LINE of all that the list files names, by
# coreutils and grep alone.
postings() {
	while read -r file; do
		LC_ALL=C grep -noaE '[A-Za-z0-9_]+' "$file" |
			sed -nE "s|^([0-9]+):([A-Za-z_].*)|\\2$tab$file:\\1|p"
	done <files | LC_ALL=C sort -s -t "$tab" -k1,1 | uniq
}

@test "inverted-index: every name of a source tree with all its lines" {
	source_tree
	postings >want
	[ "$(wc -l <want)" -gt 20000 ]
	for options in '' '-j 3 -S 8M' '-R 4'; do
		# shellcheck disable=SC2086
		mr run $options --recursive --whole-file -m "$index/map.awk" \
			-r "$index/reduce.awk" src >got
		awk -F "$tab" '{ for (i = 2; i <= NF; i++) print $1 "\t" $i }' \
			got | cmp - want
		cut -f 1 got | LC_ALL=C sort -uc
	done
	grep -q "^main${tab}.*${tab}src/mr.c:[0-9]*" got
}

@test "inverted-index: compressed files keep their names and lines" {
	source_tree
	mkdir plain packed
	cp src/*.c plain
	for file in plain/*; do
		gzip <"$file" >"packed/${file##*/}"
	done
	for dir in plain packed; do
		mr run --whole-file -m "$index/map.awk" -r "$index/reduce.awk" \
			"$dir" | sed "s,$dir/,,g" >"$dir.index"
	done
	[ -s plain.index ]
	cmp plain.index packed.index
}

@test "inverted-index: README.md's commands run, and agree without mr" {
	source_tree
	cp "$index"/* .
	sed -n 's/^    //p' README.md >all
	[ "$(wc -l <all)" -eq 6 ]
	sed -n '1,3p' all >with
	sh -e with >out
	grep -q '^src/mr.c:[0-9]*$' out
	grep -qE '^[0-9]{4,} [a-z]' out
	sed -n '4,6p' all >without
	sh -e without | cmp - index
}
