#!/usr/bin/env bats
# Which files are read, in which order, and that they stay what they were.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# A tree; the record of each file is its path.
tree() {
	mkdir -p d/a/deep d/a.b d/_skipped d/.hidden d/empty
	for f in d/z d/a/x d/a/deep/y d/a.b/x d/a-c d/_no d/.no d/_skipped/f \
	    d/.hidden/f d/a/_no; do
		echo "$f" >"$f"
	done
}

# ------------------------------------------------------------ directories

@test "a directory is its plain files in byte order, and subdirectories are said" {
	tree
	expect 0 mr run d
	printf 'd/a-c\nd/z\n' >want
	prints want
	says '^mr: d: 3 subdirectories not read'
	expect 0 mr run -q d/a.b/
	echo d/a.b/x >want
	prints want
	[ ! -s ../err ]
}

@test "--recursive reads what find finds, in the byte order of paths" {
	tree
	expect 0 mr run --recursive d
	find d -name '[._]*' -prune -o -type f -print | sort >want
	[ "$(wc -l <want)" -eq 5 ]
	prints want
	[ ! -s ../err ]
	expect 0 mr run --recursive d/a.b d/z d/a
	printf '%s\n' d/a.b/x d/z d/a/deep/y d/a/x >want
	prints want
}

@test "--recursive follows links, and sees one that leads back" {
	mkdir -p d/sub other
	echo sub >d/sub/f
	echo other >other/f
	ln -s ../other d/link
	ln -s ../../other/f d/sub/g
	ln -s .. d/sub/up
	ln -s . d/self
	printf '%s\n' other sub other >want
	LIMIT=10 expect 0 mr run --recursive d
	prints want
	says '^mr: d/self/: leads back to a directory above it'
	says '^mr: d/sub/up/: leads back to a directory above it'
}

@test "links to nothing and to themselves are named, below a directory too" {
	mkdir -p d/sub
	echo good >d/sub/good
	ln -s nowhere d/sub/dangling
	ln -s round d/sub/round
	expect 2 mr run --recursive -m 'touch ran; cat' d
	says 'd/sub/dangling: No such file'
	says 'd/sub/round: Too many levels'
	says '2 inputs cannot be read'
	[ ! -e ran ]
}

@test "a directory of directories without --recursive is empty input" {
	mkdir -p d/sub
	echo x >d/sub/f
	expect 0 mr run -m 'cat; echo once' d
	[ "$(cat ../out)" = once ]
	says '1 subdirectory not read'
}

@test "--recursive without a directory is refused" {
	echo x >f
	expect 2 mr run --recursive f
	says '^mr: --recursive has no effect without a directory$'
	expect 2 mr run --recursive <f
	says '^mr: --recursive has no effect without a directory$'
}

# ------------------------------------------------------------------ lists

@test "--files-from and --files0-from read names, without the empty ones" {
	mkdir d
	echo a >a
	echo b >'b b'
	echo c >$'c\nc'
	echo d >d/f
	printf 'b b\n\na\n\n\nd' >list
	printf 'b\na\nd\n' >want
	expect 0 mr run --files-from list
	prints want
	expect 0 mr run --files-from - <list
	prints want
	expect 0 mr run --files-from <(cat list) -m cat
	prints want
	printf 'c\nc\0\0b b\0a' >list0
	printf 'c\nb\na\n' >want
	expect 0 mr run --files0-from list0
	prints want
	expect 0 mr run --files0-from=- -m cat <list0
	prints want
}

@test "an empty list is empty input, and standard input is not read" {
	for list in '' '\n\n\n'; do
		# shellcheck disable=SC2059
		printf "$list" >list
		echo record | expect 0 mr run -m 'cat; echo one' --files-from list
		[ "$(cat ../out)" = one ]
	done
	expect 1 mr run --nonempty --files0-from /dev/null
}

@test "a list may name standard input, but not when it is that itself" {
	echo f >f
	printf 'f\n-\n' >list
	printf 'f\nstandard\n' >want
	echo standard | expect 0 mr run --files-from list
	prints want
	expect 2 mr run --files-from - <list
	says '^mr: --files-from -: .-. is in the list'
}

@test "a list with operands, another list, or none that can be read is refused" {
	echo f >f
	echo f >list
	expect 2 mr run -m 'touch ran' --files-from list f
	says '^mr: --files-from and operands exclude each other$'
	expect 2 mr run -m 'touch ran' --files-from list --files0-from list
	says '^mr: --files-from and --files0-from exclude each other$'
	expect 2 mr run -m 'touch ran' --files-from missing
	says '^mr: --files-from missing: No such file'
	expect 2 mr run -m 'touch ran' --files-from .
	says '^mr: --files-from .: Is a directory'
	printf 'f\0f\n' >list
	expect 2 mr run -m 'touch ran' --files-from list
	says '^mr: --files-from list: a name holds a NUL byte'
	[ ! -e ran ]
}

@test "all missing names of a list are named" {
	echo f >f
	printf '%s\n' missing1 f $'missing\033' >list
	expect 2 mr run -m 'touch ran' --files-from list
	says '^mr: missing1: No such file'
	says '^mr: missing\\x1[bB]: No such file'
	says '2 inputs'
	[ ! -e ran ]
}

# ------------------------------------------------------------- many files

@test "over 10,000 small files, a task each, are worth a note; not with --pack" {
	mkdir many
	seq 10001 | split -l 1 -a 4 - many/f
	seq 10001 >want
	expect 0 mr run many
	prints want
	says '^mr: note: each of 10001 small files is a task .*--pack'
	for quiet in --pack -q; do
		expect 0 mr run "$quiet" many
		prints want
		[ ! -s ../err ]
	done
	rm many/faaaa
	: >many/faaab
	expect 0 mr run many
	[ ! -s ../err ]
}

@test "--pack: no task has the name of a file, not one that has a file alone" {
	echo a >a
	echo b >b
	seq 1000 >large
	m='echo "${MR_INPUT_FILE-none} ${map_input_file-none}"; cat >/dev/null'
	for files in a 'a b' large 'large a'; do
		# shellcheck disable=SC2086
		expect 0 mr run --pack --block-size 1000 -m "$m" $files
		[ "$(sort -u ../out)" = 'none none' ]
		# shellcheck disable=SC2086
		expect 0 mr run --block-size 1000 -m "$m" $files
		! grep none ../out
	done
}

# --------------------------------------------------------- files that change

@test "a file that is changed while it is read is a failed attempt" {
	# More than a pipe holds, so that it is not read before it is changed;
	# of the same size, as after an editor or a database.
	seq 400000 >in
	m='touch -d 2001-01-01 in; cat'
	for options in '-r cat' '' --whole-file --pack '--block-size 3M'; do
		touch in
		# shellcheck disable=SC2086
		expect 1 mr run -j 1 $options -m "$m" in
		says 'in: it has been changed'
		prints_nothing
	done
}

# ------------------------------------------------------------------- names

@test "--names: the names are the records, and nothing is opened" {
	tree
	mkfifo fifo		# would be waited for
	seq 5 | gzip >d/x.gz
	printf '%s\n' d/a-c d/x.gz d/z fifo d/z >want
	needs strace
	expect 0 strace -f -e trace=openat -o ../trace "$MR" run --names -m cat d fifo d/z
	prints want
	run -1 grep -E 'openat\(.*(fifo|d/z|x.gz)"' ../trace
	reference want >sorted
	expect 0 mr run --names -r cat d fifo d/z
	prints sorted
	expect 0 mr run --names d fifo d/z
	prints want
	printf '%s\n' fifo d/z >list
	expect 0 mr run --names --files-from list -m 'tac'
	prints list
	expect 0 mr run --names --recursive -R 2 -r cat d
	find d -name '[._]*' -prune -o -type f -print | sort >want
	prints want
}

@test "--names: up to 256 tasks, or -N names each, without the name of a file" {
	mkdir d
	for i in $(seq 100 199); do : >"d/$i"; done
	m='wc -l; echo ${MR_INPUT_FILE-none} ${MR_RANGE_START-none}'
	expect 0 mr run --names -m "$m" d
	[ "$(grep -c '^1$' ../out)" -eq 100 ]
	[ "$(grep -c '^none none$' ../out)" -eq 100 ]
	expect 0 mr run --names -N 30 -m 'wc -l' d
	printf '%s\n' 30 30 30 10 >want
	prints want
	expect 0 mr run --names --dry-run -N 30 d
	grep -q '^map task 3: names: d/190 and 9 more$' ../out
	expect 123 mr run --names -N 60 -m 'exit 4' d
	says 'input names: d/1[06]0 and (59|39) more$'
	expect 0 mr run --names -m 'cat; echo x >>ran' --files-from /dev/null
	[ "$(wc -l <ran)" -eq 1 ]
}

@test "--names: what cannot be a record, or is missing, is refused" {
	name=$'new\nline'
	: >"$name"
	: >f
	expect 2 mr run --names -m 'touch ran' f "$name"
	says '^mr: new\\x0[aA]line: its name is no record'
	expect 0 mr run -z --names -m cat "$name" f
	printf 'new\nline\0f\0' >want
	prints want
	expect 2 mr run --names -m 'touch ran' f missing
	says '^mr: missing: No such file'
	expect 2 mr run --names -m 'touch ran' </dev/null
	says '^mr: --names: standard input has no name'
	[ ! -e ran ]
}

@test "--names excludes what it can have no use for" {
	: >f
	for option in --pack '--decompress auto' '-L 2' '--header skip' \
	    '--block-size 1K' '--recstart x'; do
		# shellcheck disable=SC2086
		expect 2 mr run --names $option -m 'touch ran' f
		says "^mr: ${option%% *} has no effect without files that are read"
	done
	expect 2 mr run --names --whole-file -m 'touch ran' f
	says '^mr: --names and --whole-file together need --io rawbytes'
	expect 2 mr run --names --range 1:2 -m 'touch ran'
	says '^mr: --range and --names exclude each other'
	[ ! -e ran ]
}
