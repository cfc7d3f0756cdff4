#!/usr/bin/env bats
# What others on the machine may see, plant or inject, and what mr refuses to
# replace.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# ---------------------------------------------------------- files it creates

@test "every file that mr creates is new, or in a directory that is its own" {
	needs strace
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	random_records 100000 >in
	echo old >kept
	for c in 'run -S 4M -m cat -r cat -o kept' 'run -S 4M -m cat -r cat -O dir' 'sort -S 4M -o kept'; do
		# shellcheck disable=SC2086 # several words
		expect 0 strace -f -b execve -qq -o ../trace -e trace=open,openat,creat mr $c in
		# Directories .mr-XXXXXX are made with mode 0700.
		run -1 grep -E 'O_CREAT|creat\(' <(grep -vE 'O_EXCL|/\.mr-[A-Za-z0-9]{6}/' ../trace)
	done
}

@test "no name in a temporary directory can be foretold" {
	needs strace
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	random_records 100000 >in
	for i in 1 2; do
		expect 0 strace -f -b execve -qq -o ../trace \
			-e trace=open,openat,creat,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,link,linkat,rename,renameat,renameat2 \
			mr run -S 4M -m cat -r cat -O "dir$i" in
		# The first names that stand below TMPDIR; tasks' own are inside.
		grep -oE "\"$TMPDIR/[^\"/]+" ../trace | sort -u >"../names$i" || :
	done
	[ -z "$(comm -12 ../names1 ../names2)" ]
}

@test "nobody else can read temporary data, whatever the umask" {
	random_records 100000 >in
	umask 0
	# What is in a directory that only we may enter is out of reach.
	look="find $TMPDIR . -mindepth 1 -type d -perm 700 -prune -o -mindepth 1 -perm /077 ! -name in -print >>$BATS_TEST_TMPDIR/loose; cat"
	expect 0 mr run -S 4M -j 2 -R 2 -m "$look" -r "$look" -o out in
	[ ! -s ../loose ] || { cat ../loose; false; }
	rm out
	expect 0 mr run -S 4M -j 2 -R 2 -m "$look" -r "$look" -O dir in
	[ ! -s ../loose ] || { cat ../loose; false; }
	rm -r dir
	# A task's own directory is one of those.
	expect 0 mr run -S 4M -m 'stat -c %a "$TMPDIR" "$MR_OUTPUT_DIR"; cat >/dev/null' in
	[ "$(sort -u ../out)" = 700 ]
}

@test "output follows the umask" {
	seq 100 >in
	for u in 000 022 027 077; do
		umask "$u"
		expect 0 mr run -r cat -o "f$u" in
		[ "$(stat -c %a "f$u")" = "$(printf %o $((0666 & ~0$u)))" ]
		expect 0 mr run -r cat -O "d$u" in
		[ "$(stat -c %a "d$u")" = "$(printf %o $((0777 & ~0$u)))" ]
		[ "$(stat -c %a "d$u"/part-* "d$u/_SUCCESS" | sort -u)" = "$(printf %o $((0666 & ~0$u)))" ]
		expect 0 mr sort -o "s$u" in
		[ "$(stat -c %a "s$u")" = "$(printf %o $((0666 & ~0$u)))" ]
	done
}

@test "an output directory may not be a dangling link" {
	seq 3 >in
	ln -s target dangling
	expect 2 mr run -m cat -O dangling in
	[ "$(readlink dangling)" = target ]
	test ! -e target
}

# ---------------------------------------------------------------- injection

@test "the source calls neither system nor popen" {
	run -1 grep -nE '(^|[^[:alnum:]_])(system|popen)[[:space:]]*\(' "$BATS_TEST_DIRNAME"/../*.c
}

@test "data reaches the environment as values only, and no value is logged" {
	name='a=b;c$(touch pwned)'
	printf 'k=v;$(touch pwned)\t1\n' >"$name"
	expect 0 mr run -m env "$name"
	run -1 grep -aE '^(k|a|c\$\(touch pwned\))=' ../out
	test ! -e pwned
	expect 123 env MY_SECRET=hunter2 mr run -v -m 'exit 3' "$name"
	says_no hunter2
	expect 0 env MY_SECRET=hunter2 mr run -v -m cat -O dir "$name"
	run -1 grep -r hunter2 dir ../err
}

@test "tasks have the user's environment, and besides it only what is mr's" {
	echo a >in
	without_own() {
		sort "$1" | grep -avE '^(MR_[A-Z_]*|mapreduce_[a-z_]*|map_input_file|TMPDIR|PWD|OLDPWD|SHLVL|_)='
	}
	odd=(env LATIN=$'\xe4' 'ODD NAME=x y' EMPTY=)
	expect 0 "${odd[@]}" env
	without_own ../out >want
	for c in 'map env' 'reduce env' 'run -m env' 'run -r env'; do
		# shellcheck disable=SC2086 # several words
		expect 0 "${odd[@]}" mr $c <in
		without_own ../out | diff want -
	done
	# A shell drops what it cannot have as a variable.
	expect 0 "${odd[@]}" /bin/sh -c env
	without_own ../out >want
	for c in '-m env;' '-r env;'; do
		# shellcheck disable=SC2086 # several words
		expect 0 "${odd[@]}" mr run $c in
		without_own ../out | sort | diff want -
	done
}

@test "tasks have the descriptors that they would have without mr, and no others" {
	echo a >in
	cat >fds <<'END'
#!/bin/sh
cat >/dev/null
for fd in /proc/$$/fd/*; do
	fd=${fd##*/}
	test ! -e "/proc/$$/fd/$fd" || echo "$fd"
done
END
	chmod +x fds
	exec 7<in 8>../eight
	sh -c './fds <in | cat' 3>&- >want
	for c in 'run -m ./fds in' 'run -r ./fds in' 'run -j 3 --block-size 1 -m ./fds in' \
		'map ./fds' 'reduce ./fds'; do
		# shellcheck disable=SC2086 # several words
		expect 0 mr $c <in
		diff want ../out
	done
	exec 7<&- 8>&-
}

@test "mr refuses to run with the rights of another" {
	ordinary_user
	is_root || skip "only root can make a set-user-ID copy"
	cp "$MR" ../user/suid
	chmod 4755 ../user/suid
	cp "$(command -v id)" ../user/id
	chmod 4755 ../user/id
	[ "$(user ../user/id -u)" = 0 ] || skip "set-user-ID has no effect here"
	echo a >in
	expect 2 user ../user/suid run -m cat in
	says 'set-user-ID|setuid|privilege'
	expect 2 user ../user/suid sort in
	rm -f ../user/suid ../user/id
}

# ------------------------------------------------------------------ locale

@test "the locale changes neither order nor messages" {
	needs locale
	printf '%s\n' B a b A é z Z ß 'a b' a-b ab '' 10 9 $'\xff' >in
	reference in >want
	expect 2 mr run --no-such-option
	cp ../err english
	for l in $(locale -a | grep -iE '^(C|POSIX|(en_US|de_DE|tr_TR).*)' | head -n 6); do
		expect 0 env "LC_ALL=$l" mr run -m cat -r cat in
		prints want
		expect 0 env "LC_ALL=$l" mr sort in
		prints want
		expect 0 env "LC_ALL=$l" mr reduce cat <want
		prints want
		expect 2 env "LC_ALL=$l" LANGUAGE=de mr run --no-such-option
		cmp english ../err
	done
}

# --------------------------------------------- what an output may not replace

@test "an output directory that exists is refused before any work" {
	seq 10 >in
	mkdir dir
	expect 2 mr run -m 'touch ran; cat' -O dir in
	says 'dir'
	echo x >file
	expect 2 mr run -m 'touch ran; cat' -O file in
	[ "$(cat file)" = x ]
	test ! -e ran
}

@test "--overwrite replaces an empty directory and one that mr made" {
	seq 10 >in
	mkdir dir
	expect 0 mr run -r cat --overwrite -O dir in
	seq 20 >in
	expect 0 mr run -r cat --overwrite -O dir in
	reference in >want
	cat dir/part-* | cmp - want
	test -e dir/_SUCCESS
	[ "$(ls -A)" = "$(printf 'dir\nin\nwant')" ]
}

@test "--overwrite: a failed job leaves the old directory as it was" {
	seq 10 >in
	expect 0 mr run -r cat --overwrite -O dir in
	expect 123 mr run -r 'exit 3' --overwrite -O dir in
	reference in >want
	cat dir/part-* | cmp - want
	[ "$(ls -A)" = "$(printf 'dir\nin\nwant')" ]
}

@test "--overwrite refuses the working directory, the home and their parents" {
	seq 10 >../in
	mkdir -p home sub
	for d in . "$PWD" ./ ../dir sub/.. .. / ../..; do
		expect 2 mr run -m 'touch ../ran; cat' --overwrite -O "$d" ../in
	done
	export HOME=$PWD/home
	expect 2 mr run -m 'touch ../ran; cat' --overwrite -O home ../in
	expect 2 mr run -m 'touch ../ran; cat' --overwrite -O "$HOME/" ../in
	test ! -e ../ran
	[ "$(ls -A)" = "$(printf 'home\nsub')" ]
}

@test "--overwrite refuses a directory that it did not make" {
	seq 10 >in
	mkdir -p foreign like/_mr hidden
	echo precious >foreign/file
	echo precious >like/part-00000
	: >like/_SUCCESS
	echo precious >hidden/.file
	for d in foreign like hidden; do
		expect 2 mr run -m 'touch ran; cat' --overwrite -O "$d" in
		says "$d"
	done
	expect 2 mr run -m 'touch ran; cat' --overwrite -O foreign/file in
	says '-O foreign/file: is no directory'
	test ! -e ran
	[ "$(cat foreign/file like/part-00000 hidden/.file | sort -u)" = precious ]
}

@test "--overwrite refuses a directory that holds an input" {
	seq 10 >in
	expect 0 mr run -r cat -O made in
	for f in made/part-* ./made/part-* "$PWD"/made/part-*; do
		expect 2 mr run -m 'touch ran; cat' --overwrite -O made "$f"
		says made
	done
	expect 2 mr run -m 'touch ran; cat' --overwrite -O made made
	ln -s made/part-00000 link
	expect 2 mr run -m 'touch ran; cat' --overwrite -O made link
	test ! -e ran
	reference in >want
	cat made/part-* | cmp - want
}

@test "--overwrite refuses a mount point" {
	seq 10 >in
	on_tmpfs size=1M '
		expect 2 mr run -m "touch ran; cat" --overwrite -O fs in
		says fs
		test ! -e ran'
}

@test "--overwrite never touches the directory that a link names" {
	seq 10 >in
	mkdir empty foreign
	ln -s empty link1
	ln -s foreign link2
	echo precious >foreign/file
	# The link itself may be replaced.
	mr run -m cat --overwrite -O link1 in || :
	[ -z "$(ls -A empty)" ]
	expect 2 mr run -m 'touch ran; cat' --overwrite -O link2 in
	test ! -e ran
	[ "$(cat link2/file)" = precious ]
}
