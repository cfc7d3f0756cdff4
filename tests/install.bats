#!/usr/bin/env bats
# make install, uninstall, clean and dist, in copies of the tree.
load helper
load failure

top=$BATS_TEST_DIRNAME/..

# tree: a copy of what install needs, with the program under test in it.
tree() {
	needs make
	mkdir tree
	cp "$top/Makefile" tree
	cp -R "$top/man" tree
	cp "$MR" tree/mr
}

# make_in_tree ARG...: without building anything, and without what a make that
# runs these tests has put into the environment.
make_in_tree() {
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C tree -o mr "$@"
}

files() {
	(cd "$1" && find . -type f | sed 's|^\./||' | LC_ALL=C sort)
}

@test "make install puts everything below DESTDIR and PREFIX" {
	tree
	make_in_tree install DESTDIR="$PWD/root" PREFIX=/opt/x
	files root >got
	{
		echo opt/x/bin/mr
		echo opt/x/share/bash-completion/completions/mr
		for page in "$top"/man/*.[17]; do
			echo "opt/x/share/man/man${page##*.}/${page##*/}"
		done
		echo opt/x/share/zsh/site-functions/_mr
	} | sort >want
	diff want got
	cmp root/opt/x/bin/mr "$MR"
	cmp root/opt/x/share/man/man7/mr.7 "$top/man/mr.7"
	diff root/opt/x/share/bash-completion/completions/mr \
		<(mr completion bash)
	diff root/opt/x/share/zsh/site-functions/_mr <(mr completion zsh)
	[ "$(root/opt/x/bin/mr --version)" = "$(mr --version)" ]
}

@test "make install: everybody can use what root has installed, at any umask" {
	tree
	(umask 077; make_in_tree install DESTDIR="$PWD/root" PREFIX=/usr)
	[ "$(stat -c %a root/usr/bin/mr)" = 755 ]
	files root >got
	grep -v '^usr/bin/' got | while read -r file; do
		[ "$(stat -c %a "root/$file")" = 644 ] ||
			{ ls -l "root/$file"; return 1; }
	done
}

@test "make install: the default is /usr/local, and directories can be chosen" {
	tree
	make_in_tree install DESTDIR="$PWD/a"
	[ -x a/usr/local/bin/mr ]
	[ -e a/usr/local/share/man/man1/mr-run.1 ]
	make_in_tree install DESTDIR="$PWD/b" PREFIX=/p BINDIR=/q/bin \
		MANDIR=/q/man
	[ -x b/q/bin/mr ]
	[ -e b/q/man/man7/mr.7 ]
	make_in_tree install PREFIX="$PWD/c"
	[ -x c/bin/mr ]
}

@test "make install: with PROGRAM, no file has the name mr" {
	tree
	make_in_tree install DESTDIR="$PWD/root" PREFIX=/usr PROGRAM=mapred
	files root >got
	run ! grep -E '/_?mr(-[a-z]+)?(\.[17])?$' got
	[ -x root/usr/bin/mapred ]
	[ -e root/usr/share/man/man1/mapred.1 ]
	[ -e root/usr/share/man/man1/mapred-run.1 ]
	[ -e root/usr/share/man/man7/mapred.7 ]
	[ "$(wc -l <got)" -eq "$(($(find "$top/man" -name '*.[17]' | wc -l) + 3))" ]
	printf 'b\na\n' | root/usr/bin/mapred sort | cmp - <(printf 'a\nb\n')
}

@test "make install: with PROGRAM, the completions are for that name" {
	tree
	make_in_tree install DESTDIR="$PWD/root" PREFIX=/usr PROGRAM=mapred
	# shellcheck disable=SC2016 # expanded in there
	bash -uc '
		. root/usr/share/bash-completion/completions/mapred
		complete -p mapred && ! complete -p mr
	' 2>/dev/null
	[ "$(head -n 1 root/usr/share/zsh/site-functions/_mapred)" = \
		'#compdef mapred' ]
}

@test "make uninstall leaves nothing" {
	tree
	for args in 'PREFIX=/usr' 'PREFIX=/usr PROGRAM=mapred' \
	    'BINDIR=/b MANDIR=/m'; do
		# shellcheck disable=SC2086
		make_in_tree install DESTDIR="$PWD/root" $args
		[ "$(files root | wc -l)" -gt 5 ]
		# What others have installed stays.
		echo other >root/other
		# shellcheck disable=SC2086
		make_in_tree uninstall DESTDIR="$PWD/root" $args
		[ "$(files root)" = other ]
		# And once more is no error.
		# shellcheck disable=SC2086
		make_in_tree uninstall DESTDIR="$PWD/root" $args
	done
}

@test "make clean leaves nothing that make has made" {
	tree
	touch tree/mr.o tree/driver.o tree/mr-9.tar.gz
	make_in_tree clean
	diff <(files tree) <(cd "$top" && {
		echo Makefile
		ls man/*.[17]
	} | sort)
}

@test "make dist packs what is committed, under the name of the version" {
	needs git
	git -C "$top" rev-parse HEAD >/dev/null 2>&1 ||
		skip "this is no checkout"
	git -C "$top" ls-files | sort >want
	grep -qx mr.c want || skip "this is no checkout"
	git clone -q "$top" tree
	cp "$MR" tree/mr
	touch tree/untracked
	make_in_tree dist
	version=$(mr --version | cut -d ' ' -f 2)
	tar -xzf "tree/mr-$version.tar.gz"
	git -C tree ls-files | sort | diff - <(files "mr-$version")
	[ -x "mr-$version/.ci/run" ]
	# The same bytes every time.
	cp "tree/mr-$version.tar.gz" first
	make_in_tree dist
	cmp first "tree/mr-$version.tar.gz"
}
