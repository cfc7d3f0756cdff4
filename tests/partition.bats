#!/usr/bin/env bats
# The hash that deals keys into parts is fixed for ever: what these tests
# expect may never change.
load helper
load failure

top=$BATS_TEST_DIRNAME/..

# hash KEY: as mr(7) describes it, a number with a sign.
hash() {
	local LC_ALL=C key=$1 i c h=$((0xcbf29ce484222325))

	for ((i = 0; i < ${#key}; i++)); do
		printf -v c %d "'${key:i:1}"
		h=$(((h ^ (c & 255)) * 0x100000001b3))
	done
	h=$((h ^ (h >> 32 & 0xffffffff)))
	h=$((h * 0xd6e8feb86659fd93))
	echo $((h ^ (h >> 32 & 0xffffffff)))
}

# modulo H N: sets $modulo, with H as a number without a sign.
modulo() {
	modulo=$(((($1 >> 1) & 0x7fffffffffffffff) % $2 * 2 + ($1 & 1)))
	modulo=$((modulo % $2))
}

@test "the hash gives these parts, for ever" {
	# Of the empty key, some others, and a thousand times the letter x.
	printf '%s\n' '' a b apple word the 0 1 \
		"$(printf '%01000d' 0 | tr 0 x)" >keys
	while read -r n parts; do
		mr shuffle -R "$n" -O "of$n" keys
		i=0
		# shellcheck disable=SC2086
		for part in $parts; do
			i=$((i + 1))
			printf 'part-%05d:%s\n' "$part" "$(sed -n "${i}p" keys)"
		done | sort >want
		(cd "of$n" && grep -H '' part-* | sort) | cmp - want
	done <<-EOF
		1 0 0 0 0 0 0 0 0 0
		2 1 1 1 0 0 1 0 0 1
		3 1 1 2 1 0 2 2 0 0
		7 1 1 0 2 6 0 0 4 3
		10 9 9 3 8 2 1 2 4 1
		16 15 1 7 12 6 7 4 0 13
		1000 159 689 143 508 582 951 252 224 101
	EOF
}

@test "the hash gives these parts to keys that are no text" {
	printf '%b\n' '\0' '\xff\xfe' 'key\r' 'a b' >keys
	mr shuffle -R 1000 -O parts keys
	printf '\0\n' | cmp - parts/part-00804
	printf '\xff\xfe\n' | cmp - parts/part-00463
	printf 'key\r\n' | cmp - parts/part-00808
	echo 'a b' | cmp - parts/part-00082
}

@test "the manual describes the hash, and its values are right" {
	page=$top/man/mr.7
	for number in 0xcbf29ce484222325 0x100000001b3 0xd6e8feb86659fd93; do
		grep -qF "$number" "$page"
	done
	for key in '' a apple; do
		value=$(printf '0x%016x' "$(hash "$key")")
		grep -qF "$value" "$page" || { echo "'$key' $value"; return 1; }
	done
}

@test "mr deals keys as the manual says, for any number of parts" {
	# Words, numbers, bytes above 127, lengths from 0 on.
	{
		tr -cs A-Za-z '\n' <"$top/examples/wordcount/text.txt" |
			sort -u | head -n 40
		seq 0 7919 300000
		printf '%s\n' 'æøå' $'\x80\x81' $'\r' '' '  two words' 'ü'
	} >keys
	while IFS= read -r key; do
		hash "$key"
	done <keys >hashes
	for n in 1 2 5 64; do
		rm -rf parts want
		mr shuffle -R "$n" -O parts keys
		mkdir want
		while IFS=$'\t' read -r hash key; do
			modulo "$hash" "$n"
			printf -v part 'want/part-%05d' "$modulo"
			printf '%s\n' "$key" >>"$part"
		done < <(paste hashes keys)
		for part in parts/part-*; do
			[ -s "$part" ] || [ -e "want/${part##*/}" ] ||
				: >"want/${part##*/}"
		done
		diff -r -x '_*' want parts
	done
}

@test "only the key decides, whatever the options make of it" {
	printf '%s\n' 'apple,1,x' 'apple,2,y' 'apple,1,z' >in
	mr shuffle -R 1000 -t , -O comma in
	cmp comma/part-00508 in
	# Two fields are one key, with the byte between them.
	mr shuffle -R 1000 -t , --key-fields 2 -O two in
	modulo "$(hash 'apple,1')" 1000
	printf '%s\n' 'apple,1,x' 'apple,1,z' |
		cmp - "$(printf 'two/part-%05d' "$modulo")"
	tr '\n' '\0' <in >in.nul
	mr shuffle -R 1000 -t , -z -O nul in.nul
	cmp nul/part-00508 in.nul
	# A record without value is dealt by its key as any other.
	printf 'apple\napple\t\napple\t1\n' >in
	mr shuffle -R 1000 -O novalue in
	cmp novalue/part-00508 in
}

@test "parts do not depend on memory, blocks and workers" {
	random_records 3000 >in
	mr shuffle -R 7 -O want in
	for options in '-j 1' '-j 3 --block-size 1K' '-S 8M --batch-size 2' \
	    '-j 2 -S 8M --block-size 20K --batch-size 2'; do
		rm -rf parts
		# shellcheck disable=SC2086
		mr shuffle $options -R 7 -O parts in
		diff -r -x _mr want parts
		rm -rf parts
		# shellcheck disable=SC2086
		mr shuffle $options -R 7 -O parts <in
		diff -r -x _mr want parts
	done
}
