#!/usr/bin/env bats
# --sample and --seed: the same records whatever the job is cut into, and as
# many as was asked for.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# same: standard input is the options of jobs, one a line, that all print what
# the first one does.
same() {
	local options first=1

	while read -r options; do
		# shellcheck disable=SC2086
		expect 0 mr run $options
		[ -z "$first" ] || cp ../out want
		first=
		cmp want ../out || { echo "different: $options"; return 1; }
	done
	[ -s want ]
}

@test "--sample N: exactly N records, in their order" {
	seq 20000 >in
	for n in 1 2 10 777 19999 20000; do
		expect 0 mr run --sample "$n" in
		[ "$(wc -l <../out)" -eq "$n" ]
		sort -n ../out | cmp - ../out
		[ "$(sort -u ../out | wc -l)" -eq "$n" ]
	done
	expect 0 mr run --sample 20001 in
	prints in
	expect 0 mr run --sample 500 -r cat in
	[ "$(wc -l <../out)" -eq 500 ]
}

@test "the sample is the same at any -j and split size, in files and packed" {
	mkdir d
	seq 3000 | split -l 100 - d/f
	seq 5000 >in
	for sample in 10% 200; do
		same <<-EOF
			--sample $sample d in
			--sample $sample -j 1 d in
			--sample $sample -j 5 --block-size 100 d in
			--sample $sample -j 3 --block-size 7K -m cat d in
			--sample $sample --pack d in
			--sample $sample --pack --block-size 1K -m cat d in
			--sample $sample -N 13 -m cat d in
			--sample $sample --seed 0 d in
		EOF
	done
	head -n 300 in >small
	same <<-EOF
		--sample 50 -j 1 small
		--sample 50 -j 4 --block-size 1 small
		--sample 50 -N 1 -m cat small
	EOF
}

@test "the sample of a stream is that of a file with the same bytes" {
	seq 60000 >in
	for sample in 5% 1000; do
		expect 0 mr run --sample "$sample" in
		cp ../out want
		expect 0 mr run --sample "$sample" < <(cat in)
		prints want
		cat in | expect 0 mr run -j 3 --block-size 64K --sample "$sample" -m cat
		prints want
		cat in | expect 0 mr run -S 4M --block-size 64K --sample "$sample" -m cat -r cat
		reference want | cmp - ../out
	done
}

@test "the sample of a compressed file is that of the file" {
	seq 60000 >in
	seq 100 >second
	gzip -k in
	for sample in 5% 1000; do
		expect 0 mr run --sample "$sample" in second
		cp ../out want
		expect 0 mr run --sample "$sample" in.gz second
		prints want
		expect 0 mr run --pack --sample "$sample" -m cat in.gz second
		prints want
		expect 0 mr run -N 100 --sample "$sample" -m cat in.gz second
		prints want
	done
	expect 0 mr run --sample .00000000000001% -m 'echo once' in.gz
	[ "$(cat ../out)" = once ]
	head -c 20000 in.gz >cut.gz
	for sample in 5% 1000; do
		expect 1 mr run --sample "$sample" cut.gz
		prints_nothing
	done
}

@test "of a file that is named twice, and of files alike, others are taken" {
	seq 10000 >a
	cp a b
	expect 0 mr run --sample 10% -m 'sed "s/^/$MR_INPUT_FILE /"' a b
	grep -c '^a ' ../out >na
	grep '^a ' ../out | cut -d' ' -f2 >one
	grep '^b ' ../out | cut -d' ' -f2 >two
	run -1 cmp -s one two
	expect 0 mr run --sample 10% a a
	{ cat one two; } | cmp - ../out
}

@test "--sample P%: as many as chance gives, within three sigma" {
	seq 100000 >in
	while read -r part expected sigma; do
		for seed in 1 2 3 4 5; do
			expect 0 mr run --seed "$seed" --sample "$part" in
			n=$(wc -l <../out)
			[ "$((n > expected ? n - expected : expected - n))" -le \
			    "$((3 * sigma))" ] || { echo "$n of $part"; return 1; }
		done
	done <<-EOF
		0.1% 100 10
		1% 1000 31
		12.5% 12500 105
		50% 50000 158
		99% 99000 31
	EOF
	expect 0 mr run --sample 100% in
	prints in
	expect 0 mr run --sample .00000000000001% in
	prints_nothing
}

@test "samples are uniform: over many seeds each record is taken as often" {
	seq 100 >in
	for seed in $(seq 400); do
		mr run -j 1 --seed "$seed" --sample 10 in
	done | sort -n | uniq -c >counts
	# 40 of 400 is what to expect of each; chi-square with 99 degrees of
	# freedom, where one record's share says something of the others'.
	[ "$(wc -l <counts)" -eq 100 ]
	awk '{ d = $1 - 40; x += d * d / 36 } END { exit !(60 < x && x < 150) }' \
		counts
}

@test "another seed takes other records, the same seed the same" {
	seq 10000 >in
	for sample in 1% 100; do
		expect 0 mr run --seed 1 --sample "$sample" in
		cp ../out one
		expect 0 mr run --seed 2 --sample "$sample" in
		run -1 cmp -s one ../out
		expect 0 mr run --seed 18446744073709551615 --sample "$sample" in
		run -1 cmp -s one ../out
		expect 0 mr run --seed 1 --sample "$sample" in
		prints one
	done
}

@test "a smaller sample is part of a larger one" {
	seq 10000 >in
	expect 0 mr run --sample 10% in
	cp ../out tenth
	expect 0 mr run --sample 20% in
	[ "$(comm -23 <(sort tenth) <(sort ../out) | wc -l)" -eq 0 ]
	expect 0 mr run --sample 500 in
	[ "$(comm -23 <(sort ../out) <(sort tenth) | wc -l)" -eq 0 ]
}

@test "records of any form are taken whole" {
	seq 4000 >in
	expect 0 mr run -L 4 --sample 100 -m cat in
	[ "$(wc -l <../out)" -eq 400 ]
	awk 'NR % 4 == 1 { first = $1; bad += first % 4 != 1; next }
		{ bad += $1 != first + (NR - 1) % 4 } END { exit bad }' ../out
	cp ../out want
	expect 0 mr run -L 4 --block-size 1K --sample 100 -m cat in
	prints want
	awk '{ print ">" $1; for (i = 0; i < $1 % 5; i++) print "acgt" }' in >fasta
	expect 0 mr run --recstart '>' --sample 50 -m cat fasta
	[ "$(grep -c '>' ../out)" -eq 50 ]
	cp ../out want
	awk '/>/ { if (NR > 1 && n != id % 5) bad = 1; id = substr($0, 2); n = 0; next }
		{ n++ } END { exit bad || n != id % 5 }' want
	for size in 1K 10K; do
		expect 0 mr run --recstart '>' --sample 50 --block-size "$size" \
			-m cat fasta
		prints want
	done
	expect 0 mr run --recend ';' --sample 2 -m cat <(printf 'a;b;c')
	[ "$(tr -cd ';' <../out)" = ';;' ]
	tr '\n' '\0' <in >nul
	expect 0 mr run -z --sample 30 nul
	[ "$(tr -cd '\0' <../out | wc -c)" -eq 30 ]
}

@test "the last record of a file is completed if it is taken" {
	printf 'a\nb' >in
	printf 'c' >in2
	expect 0 mr run --sample 3 in in2
	printf 'a\nb\nc\n' >want
	prints want
}

@test "--header: it is no record, and with repeat each task with records has it" {
	{ echo name; seq 5000; } >in
	expect 0 mr run --header skip --sample 100 in
	[ "$(wc -l <../out)" -eq 100 ]
	run -1 grep name ../out
	cp ../out want
	expect 0 mr run --header repeat --block-size 1K --sample 100 \
		-m 'read h; [ "$h" = name ] || exit 3; grep .' in
	prints want
}

@test "where nothing is taken no map runs, and one if nothing is taken at all" {
	seq 10000 >in
	expect 0 mr run -j 2 --block-size 1K --sample 3 -m 'echo x >>ran; cat' in
	[ "$(wc -l <ran)" -le 3 ]
	rm ran
	expect 0 mr run -j 2 --block-size 1K --sample .00000000000001% \
		-m 'echo x >>ran; wc -l' in
	[ "$(wc -l <ran)" -eq 1 ]
	[ "$(cat ../out)" = 0 ]
	rm ran
	: >none
	for sample in 10 10%; do
		expect 0 mr run --sample "$sample" -m 'echo x >>ran; wc -l' none
		[ "$(cat ../out)" = 0 ]
	done
	[ "$(wc -l <ran)" -eq 2 ]
}

@test "attempts that failed, and workers that were killed, get the same records" {
	seq 5000 >in
	expect 0 mr run --sample 500 in
	cp ../out want
	expect 0 mr run --retries 1 --block-size 3K --sample 500 -m '
		mkdir "t$MR_TASK" 2>/dev/null && { head -n 2; exit 3; }
		cat' in
	prints want
	expect 0 mr run --retries 1 --block-size 3K --sample 500 -m '
		mkdir killed 2>/dev/null && kill -KILL "$PPID"
		cat' in
	prints want
}

@test "what is wrong with a sample is said, with the cure" {
	seq 10 >in
	for fraction in 0.01 .5 0.999 1e-3; do
		expect 2 mr run --sample "$fraction" -m 'touch ran' in
		says "^mr: --sample $fraction: a part of the records has a %: --sample [0-9.]+%\$"
		cure=$(sed -n 's/.*: --sample \([0-9.]*%\)$/\1/p' ../err)
		awk -v f="$fraction" -v p="$cure" \
			'BEGIN { d = f * 100 - p; exit !(d < 1e-9 && d > -1e-9) }'
		expect 0 mr run --sample "$cure" in
	done
	for bad in 0 0% -1 1.5 x % '' 101% 100.01% 1%% 1.2.3% 1K '1 %' +5 nan; do
		expect 2 mr run --sample "$bad" -m 'touch ran' in
		says '^mr: --sample .*: must be a number of records'
	done
	expect 2 mr run --seed 1 -m 'touch ran' in
	says '^mr: --seed has no effect without --sample$'
	expect 2 mr run --sample 1 --whole-file -m 'touch ran' in
	expect 2 mr run --sample 1 --range 1:2 -m 'touch ran'
	expect 2 mr run --sample 1000000 -S 4M -m 'touch ran' in
	says 'no room'
	[ ! -e ran ]
}
