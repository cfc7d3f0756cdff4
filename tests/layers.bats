#!/usr/bin/env bats
# mr.h lists the files in the order in which they may call one another.
load helper

# Tables made of the objects beside mr: banners (file, its place), and with
# names without the versions that some linkers add: definitions and uses
# (file, name).
tables() {
	top=${MR%/*}
	command -v nm >/dev/null || skip "there is no nm"
	[ -e "$top/mr.o" ] || skip "there are no objects beside $MR"
	awk '/^\/\* -+ [a-z]+\.c \*\/$/ { print $3, ++n }' \
		"$top/mr.h" >banners
	(cd "$top" && nm -A -g --defined-only ./*.o) >raw
	names <raw >definitions
	(cd "$top" && nm -A -u ./*.o) >raw
	names <raw >uses
	[ "$(wc -l <banners)" -gt 10 ]
	[ "$(wc -l <definitions)" -gt 50 ]
}

names() {
	sed -E 's|^\./([^:]*)\.o:|\1.c |' | awk '{ print $1, $NF }'
}

# of_ours: lines "file name home", for each use of a name that another file of
# ours defines.
of_ours() {
	awk 'NR == FNR { home[$2] = $1; next }
		$2 in home { print $1, $2, home[$2] }' definitions uses
}

@test "no file uses one whose banner stands after its own" {
	tables
	of_ours >calls
	awk '
		FILENAME == "banners" { place[$1] = $2; next }
		$1 in place && (!($3 in place) || place[$3] > place[$1]) {
			print $1 " uses " $2 " of " $3
			bad = 1
		}
		END { exit bad }
	' banners calls
}

@test "no subcommand uses another: only mr.c knows them" {
	tables
	of_ours >calls
	awk '
		FILENAME == "banners" { place[$1] = $2; next }
		!($3 in place) && $1 != "mr.c" {
			print $1 " uses " $2 " of " $3
			bad = 1
		}
		END { exit bad }
	' banners calls
}

@test "every banner of mr.h has its file, and what it declares is there" {
	tables
	while read -r file _; do
		[ -e "$top/$file" ] || { echo "no $file"; return 1; }
	done <banners
	# The functions below a banner: a name at the beginning of a line, or
	# after its type, before a parenthesis; not one that is inline.
	awk '
		/^\/\* -+ [a-z]+\.c \*\/$/ { file = $3; next }
		/^\/\* -/ { file = "" }
		/^static inline/ { inlined = 1; next }
		inlined { if (/^}/) inlined = 0; next }
		file != "" && /^[A-Za-z_].*[a-z_0-9]\(/ {
			sub(/\(.*/, "")
			sub(/.*[ *]/, "")
			if ($0 != "" && $0 !~ /^__/ && $0 !~ /:$/)
				print file, $0
		}
	' "$top/mr.h" | sort -u >declared
	[ "$(wc -l <declared)" -gt 50 ]
	join -v 1 <(tr ' ' : <declared | sort) \
		<(tr ' ' : <definitions | sort) >missing
	cat missing
	[ ! -s missing ]
}
