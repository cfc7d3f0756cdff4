#!/usr/bin/env bats
# Parts of the output that workers keep in hand and write themselves: where mr
# sort prints to a file, and with -o.  MR_DEBUG=hand makes them small and many.
load helper
load failure

# is_prefix FILE: whether FILE holds the first of the records of want.
is_prefix() {
	head -c "$(wc -c <"$1")" want | cmp - "$1"
	[ ! -s "$1" ] || [ "$(tail -c 1 "$1" | wc -l)" -eq 1 ]
}

@test "what is printed into a file by several workers is that of one" {
	random_records 20000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	for words in hand hand,nogroup hand,disk,nogroup nohand; do
		for j in 1 2 7; do
			MR_DEBUG=$words mr sort -j "$j" -S 8M --block-size 50K in >out
			cmp want out
			MR_DEBUG=$words mr sort -j "$j" -S 8M \
				--block-size 50K -o out in
			cmp want out
		done
	done
	MR_DEBUG=hand mr sort -u in >out
	cut -f 1 want | uniq >keys
	cut -f 1 out | cmp - keys
	for option in -k1,1r -z; do
		mr sort "$option" <in | cat >want
		MR_DEBUG=hand mr sort "$option" <in >out
		cmp want out
	done
}

@test "a file that is printed into goes on where it was" {
	random_records 2000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >sorted
	export MR_DEBUG=hand
	{ echo first; cat sorted; echo next; cat sorted; echo last; } >want
	{ echo first; mr sort in; echo next; mr sort <in; echo last; } >out
	cmp want out
	echo first >out
	{ mr sort in; echo next; mr sort <in; echo last; } >>out
	cmp want out
	# What stands behind it stays.
	{ cat sorted; echo tail; } >want
	{ tr -c '\n' x <sorted; echo tail; } >out
	mr sort in 1<>out
	cmp want out
}

@test "-o: a file that nobody may write is printed into, too" {
	random_records 2000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	chmod 777 .
	ordinary_user
	(umask 777; MR_DEBUG=hand user mr sort -o out in)
	[ "$(stat -c %a out)" = 0 ]
	chmod 600 out
	cmp want out
}

@test "a part that is too big for a hand comes in its place" {
	random_records 50000 >few
	# Its key is amid those of the others.
	yes "7$(printf %0200d 5)" | head -c 40000000 | sed 's/$/	x/' >many
	LC_ALL=C sort -s -t '	' -k 1,1 few many few >want
	for j in 1 3; do
		mr sort -S 1G -j "$j" few many few >out
		cmp want out
		mr sort -S 1G -j "$j" -o out few many few
		cmp want out
	done
}

@test "a process that dies with a part in hand, or as it prints it, leaves whole records" {
	local n rc where again=0 failed=0 ended=0

	needs_killat
	random_records 3000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	export MR_DEBUG=hand
	"$TOOLS/killat" -m one -o log -- "$MR" sort -j 2 in >out
	read -r total _ <log
	total=${total#count=}
	[ "$total" -gt 30 ]
	for where in '' -a; do
		for ((n = 1 + ${#where} / 2; n <= total; n += 2)); do
			rc=0
			# shellcheck disable=SC2086 # it may be none
			"$TOOLS/killat" $where -m one -n "$n" -o log -- \
				"$MR" sort -j 2 in >out 2>err 3>&- || rc=$?
			grep left=0 log
			case $rc in
			0)	cmp want out
				again=$((again + 1)) ;;
			137)	ended=$((ended + 1)) ;;	# it was the driver
			*)	grep 'failed after 1 attempt.*killed' err
				grep 'stopped;' err
				failed=$((failed + 1)) ;;
			esac
			[ "$rc" -eq 0 ] || is_prefix out
			rm -rf "${TMPDIR:?}"/.mr* "${TMPDIR:?}"/mr*
		done
	done
	echo "$again $failed $ended"
	[ "$again" -gt 0 ]
	[ "$failed" -gt 0 ]
	[ "$ended" -gt 0 ]
}

@test "-o: whatever dies, the file is as it was or as it should be" {
	needs_killat
	random_records 3000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	export MR_DEBUG=hand
	survives "exec $MR sort -j 2 -o out in"
}

@test "a full disk ends the job: the bytes that are missing are told" {
	random_records 20000 >in
	LC_ALL=C sort -s -t '	' -k 1,1 in >want
	export MR_DEBUG=hand
	on_tmpfs size=256k '
		expect 1 sh -c "mr sort in >fs/out"
		says "^mr sort: standard output: writing the output, of which [0-9.]+[KM] at least are missing: No space left"
		head -c "$(wc -c <fs/out)" want | cmp - fs/out
		echo old >fs/out
		expect 1 mr sort -o fs/out in
		says "No space left"
		[ "$(cat fs/out)" = old ]'
}
