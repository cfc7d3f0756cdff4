#!/usr/bin/env bats
# Parts: by ranges, by a command, and by the hash that is fixed for ever: what
# these tests expect of it may never change.
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

# ------------------------------------------------- parts of mr run

# even SIZE DIR...: no part has over 10 % more than its share, or less.
even() {
	ls -l "$2"/part-* | awk -v n="$1" '{ size[NR] = $5; sum += $5 }
		END {
			for (i = 1; i <= NR; i++)
				if (size[i] < .9 * sum / n ||
				    size[i] > 1.1 * sum / n) {
					print "part " i ": " size[i] " of " sum
					bad = 1
				}
			exit bad || NR != n
		}'
}

@test "ranges are even to 10 %, whatever keys, memory and compression" {
	awk 'BEGIN { srand(7)
		for (i = 0; i < 120000; i++)
			print int(rand() * 1e9) "\tvalue " i }' >unique
	# Few keys in all records, and a long common beginning.
	awk 'BEGIN { srand(8)
		for (i = 0; i < 200000; i++)
			print "a/long/way/to/" int(rand() ^ 2 * 3000) "\t1" }' >few
	for in in unique few; do
		for options in '-j 2' '-j 1 -S 4M' '-S 4M --batch-size 2' \
		    '-S 4M --compress-program gzip' '-k 1,1r -k 2,2' \
		    "-m 'cat'"; do
			eval "mr run $options -r cat -R 8 -O parts $in"
			even 8 parts || { echo "$in $options"; return 1; }
			rm -r parts
		done
	done
	mr run -R 40 -r cat -O parts unique
	even 40 parts
}

@test "one large key leaves the other parts even, and -v names it" {
	{
		yes 'large key	1' | head -n 60000
		awk 'BEGIN { for (i = 0; i < 60000; i++) print "k" i "\t1" }'
	} >in
	mr run -v -r cat -R 5 -O parts in 2>err
	grep -E 'large key \([56][0-9] %\)' err
	# It is alone but for what shares its block, and the rest is even.
	ls -l parts/part-* | awk '$5 > 600000 { large++; next }
		{ size[NR] = $5; sum += $5; n++ }
		END { for (i in size) if (size[i] < .8 * sum / n ||
			size[i] > 1.2 * sum / n) bad = 1
			exit bad || large != 1 }'
	# A share that is large only because there are many parts.
	rm -r parts
	{ yes 'some key	1' | head -n 4000; seq 100000; } >in
	mr run -v -r cat -R 30 -O parts in 2>err
	grep -E 'over 3.33 % .*some key \([0-9] %\)' err
}

@test "a large key may be the last, and has the last part for itself" {
	awk 'BEGIN { srand(9)
		for (i = 0; i < 60000; i++)
			print (rand() < .6 ? "z" : int(rand() * 1e9)) "\tvalue" }' >in
	for n in 3 5 8; do
		mr run -v -r cat -R $n -O parts in 2>err
		grep -E 'of the bytes: z \(4[0-9] %\)' err
		[ "$(cut -f1 "parts/part-0000$((n - 1))" | sort -u |
			tail -n 1)" = z ]
		rm "parts/part-0000$((n - 1))"
		even $((n - 1)) parts
		rm -r parts
	done
}

@test "-R N makes N parts, also of less than N keys, and of nothing" {
	printf 'b\t1\na\t2\n' >in
	for how in range hash 'cut -c1 | tr ab 01'; do
		for input in in /dev/null; do
			mr run -r cat -R 7 --partition "$how" -O parts "$input"
			cat parts/part-* | sort | cmp - <(sort "$input")
			[ "$(ls -d parts/part-*)" = \
				"$(printf 'parts/part-%05d\n' {0..6})" ]
			rm -r parts
		done
	done
	mr run -m cat -R 7 -O parts in
	[ "$(ls -d parts/part-* | wc -l)" -eq 7 ]
}

@test "map-only output is parts of a size or more, never one a task" {
	seq 100000 >in
	for block in 1000 30K 50K 64K 100K 400K; do
		MR_DEBUG=smallparts mr run -j 2 --block-size $block -m cat \
			-O out --overwrite in
		cat out/part-* | cmp - in
		for part in out/part-*; do
			[ "$(wc -c <"$part")" -ge 65536 ]
		done
		[ -e out/part-00001 ]
	done
	MR_DEBUG=smallparts mr run -m 'sed 100q' -O few in
	[ "$(ls -d few/part-*)" = few/part-00000 ]
	MR_DEBUG=smallparts mr run -j 2 --block-size 5K -m cat -R 4 -O four in
	[ "$(ls -d four/part-* | wc -l)" -eq 4 ]
	cat four/part-* | cmp - in
}

@test "map-only output is one part, however many tasks, if it is small" {
	seq 100000 >in
	mr run -m cat --block-size 10K -O parts in
	[ "$(ls parts/part-*)" = parts/part-00000 ]
	cmp in parts/part-00000
	mr run -m cat --block-size 10K -R 3 -O three in
	cat three/part-* | cmp - in
	even 3 three
}

@test "--partition hash deals as mr shuffle does, each part in key order" {
	random_records 2000 >in
	mr shuffle -R 5 -O shuffled in
	for options in '-j 1' '-j 3 --block-size 2K' \
	    '-S 4M --batch-size 2 --block-size 1K'; do
		# shellcheck disable=SC2086
		mr run $options --partition hash -R 5 -r cat -O parts in
		for part in shuffled/part-*; do
			sort -s -t "$(printf '\t')" -k 1,1 "$part" |
				cmp - "parts/${part##*/}"
		done
		rm -r parts
	done
}

@test "--partition CMD: the number that it prints is the part" {
	seq 3000 | awk '{ print $1 * 7919 % 3000 "\t" NR }' >in
	for options in '' '-j 1 -S 4M' '-k 1,1nr' '-k 1,1 -k 2,2nr -j 3'; do
		# shellcheck disable=SC2086
		mr run $options -R 3 -r cat -O parts --block-size 3K \
			--partition "awk '{ print \$1 % ENVIRON[\"MR_REDUCERS\"] }'" in
		for i in 0 1 2; do
			# shellcheck disable=SC2086
			awk -v i=$i '$1 % 3 == i' in | mr sort --key-fields 1 \
				${options:--k 1,1} | cmp - "parts/part-0000$i"
		done
		rm -r parts
	done
	# A key that is not what is sorted by, with cells for values.
	for jobs in 1 3; do
		mr run -j $jobs -k 1,1n -R 2 --agg 'count 1' -O parts \
			--partition "awk '{ print \$1 % 2 }'" in in
		seq 0 2 2999 | sed 's/$/	2/' | cmp - parts/part-00000
		seq 1 2 2999 | sed 's/$/	2/' | cmp - parts/part-00001
		rm -r parts
	done
	# Once a key, and no more than it is told to have.
	yes same | head -n 5000 >in
	mr run -R 2 -r cat -O parts -j 1 --partition 'tee keys | sed s/.*/1/' in
	[ "$(cat keys)" = same ]
	cmp parts/part-00001 in
	# The order of the input is kept by mr shuffle.
	printf '%s\n' b a c b a >in
	mr shuffle -R 2 --partition "tr abc 010" -O dealt in
	printf '%s\n' a c a | cmp - dealt/part-00000
	printf '%s\n' b b | cmp - dealt/part-00001
}

@test "a wrong number, too few or too many, or a failure ends the job" {
	seq 0 3 >in
	while IFS='|' read -r command why; do
		for sub in 'run -r cat' shuffle; do
			# shellcheck disable=SC2086
			expect 1 mr $sub -R 4 -O parts --partition "$command" in
			says "^mr.*: --partition .*$why"
			[ ! -e parts ]
		done
	done <<-'EOF'
		sed s/2/4/|'4' for the key '2'.* 0 to 3
		sed s/2/-1/|'-1' for the key '2'
		sed s/2/x/|'x' for the key '2'
		sed s/2/1.0/|'1.0' for the key '2'
		sed s/2//|'' for the key '2'
		tr '\n' '\0'|for the key '0'
		sed 1d|prints 3 numbers for 4 keys
		sed -n 1p|prints 1 number for 4 keys
		cat; echo 1|more than a number a key.* 4
		cat; exit 3|it has failed
		exec ./none|it has failed
		kill -KILL $$|it has failed
	EOF
}

@test "parts that are no sorted whole want -O and -R" {
	echo >in
	for how in hash 'sed s/.*/0/'; do
		expect 2 mr run -r cat -R 2 --partition "$how" in
		says '^mr: --partition .* needs -O DIR'
		expect 2 mr run -r cat -R 2 -o out --partition "$how" in
		says 'needs -O DIR'
		expect 2 mr run -r cat -O parts --partition "$how" in
		says 'needs -R N'
	done
	expect 2 mr run -m cat -R 2 -O parts --partition hash in
	says 'no effect without -r CMD'
	expect 2 mr run -r cat -R 2 -O parts --partition ' ' in
	says 'range, hash or a command'
	expect 2 mr shuffle -R 2 -O parts --partition range in
	says 'mr run -r cat'
	expect 0 mr run -r cat --partition range in
	prints in
}
