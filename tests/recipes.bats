#!/usr/bin/env bats
# examples/: jobs that people expect of MapReduce, held to other programs.
load helper
load failure

licenses=/usr/share/common-licenses
examples=$BATS_TEST_DIRNAME/../examples

tab=$(printf '\t')

@test "join: pairs of files, small files and directories, as join(1) makes them" {
	awk -F: '{ print $4 "\t" $1 " " $6 }' /etc/passwd >users
	awk -F: '{ print $3 "\t" $1 }' /etc/group >groups
	printf '0\tsecond of 0\nnone\tno user\n' >>groups
	printf '0\tanother\n\tno key\nalone\n' >>users
	LC_ALL=C join -t "$tab" <(sort -t "$tab" -k1,1 users) \
		<(sort -t "$tab" -k1,1 groups) | sort >want
	[ "$(wc -l <want)" -gt 10 ]
	"$examples/join/job" users groups | sort | diff want -
	mkdir left right
	split -l 3 users left/
	split -l 2 groups right/
	"$examples/join/job" left right | sort | diff want -
}

@test "distinct: each line once" {
	[ -d "$licenses" ] || skip "there is no $licenses"
	sort -u "$licenses"/* /etc/passwd /etc/passwd >want
	"$examples/distinct/job" "$licenses" /etc/passwd /etc/passwd >out
	cmp want out
}

@test "examples/README.md: all examples are there, and lines of both files or of one" {
	for dir in "$examples"/*/; do
		grep -qF "]($(basename "$dir")/)" "$examples/README.md"
	done
	seq 1 200 >a
	seq 150 300 >b
	sed -n "s/.*\`\(mr run -t '.0' -r 'uniq -d'\) FILE FILE\`.*/\1/p" \
		"$examples/README.md" >job
	[ "$(wc -l <job)" -eq 1 ]
	eval "$(cat job) a b" | sort -n | cmp - <(seq 150 200)
	eval "$(sed 's/-d/-u/' job) a b" | sort -n |
		cmp - <(seq 149; seq 201 300)
}

@test "top: the greatest of each key, by a secondary sort" {
	[ -d "$licenses" ] || skip "there is no $licenses"
	# The longest lines of each licence.
	for f in "$licenses"/*; do
		awk -v f="${f##*/}" -v OFS='\t' \
			'{ print f, length, FNR }' "$f"
	done >lines
	sort -s -t "$tab" -k1,1 -k2,2nr lines |
		awk -F '\t' '{ if (n[$1]++ < 3) print }' >want
	"$examples/top/job" 3 lines >out
	cmp want out
	split -n l/4 lines
	"$examples/top/job" 3 x?? >out
	cmp want out
}

@test "sessions: a log is cut where a host is silent for half an hour" {
	cat >log <<-'END'
		192.0.2.7 - - [21/Nov/2026:00:10:00 +0100] "GET /b HTTP/1.1" 200 5
		198.51.100.2 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 5
		192.0.2.7 - - [20/Nov/2026:23:00:01 +0000] "GET /a HTTP/1.1" 200 5
		no line of a log
		192.0.2.7 - - [20/Nov/2026:23:40:00 +0000] "GET /c HTTP/1.1" 404 5
		192.0.2.7 - - [21/Nov/2026:00:10:01 +0000] "GET /late HTTP/1.1" 200 5
		198.51.100.2 - - [29/Feb/2024:12:00:00 -0130] "GET /leap HTTP/1.1" 200 5
	END
	at() { date -u -d "$1" +%s; }
	printf '%s\t%s\t%s\t%s\t%s\n' \
		192.0.2.7 "$(at '2026-11-20 23:00:01')" 2399 3 /a \
		192.0.2.7 "$(at '2026-11-21 00:10:01')" 0 1 /late \
		198.51.100.2 "$(at '2024-02-29 13:30:00')" 0 1 /leap \
		198.51.100.2 "$(at '2026-11-21 09:00:00')" 0 1 / >want
	"$examples/sessions/job" log | diff want -
	split -l 2 log part.
	"$examples/sessions/job" part.* | diff want -
}

@test "grep: what grep finds, with the names" {
	[ -d "$licenses" ] || skip "there is no $licenses"
	grep -a -H "you're \"free\"\|warranty" "$licenses"/* >want
	"$examples/grep/job" "you're \"free\"\|warranty" "$licenses"/* >out
	cmp want out
	[ -z "$("$examples/grep/job" 'in no "file"' "$licenses")" ]
}

@test "terasort: what is generated is sorted, and the validator says so" {
	"$examples/terasort/generate" 20000 >records
	[ "$(wc -c <records)" -eq 2000000 ]
	"$examples/terasort/generate" 20000 | cmp - records
	"$examples/terasort/job" sorted records
	sort -s -t "$tab" -k1,1 records | cmp - <(cat sorted/part-*)
	[ "$("$examples/terasort/validate" 20000 sorted)" = 'right: 20000 records' ]
	mr run -r cat -R 7 -O parts records
	[ "$("$examples/terasort/validate" 20000 parts)" = 'right: 20000 records' ]
	# What a validator must find.
	[[ "$("$examples/terasort/validate" 20001 parts)" = wrong:* ]]
	mkdir bad
	cp parts/part-* bad
	mv bad/part-00001 bad/x
	mv bad/part-00002 bad/part-00001
	mv bad/x bad/part-00002
	[[ "$("$examples/terasort/validate" 20000 bad)" = wrong:* ]]
	cat sorted/part-* | sed '500{h;d};501{G}' >bad/part-00000
	rm bad/part-0000[1-9]
	[[ "$("$examples/terasort/validate" 20000 bad)" = wrong:* ]]
	cat sorted/part-* | sed '500{p;d};501d' >bad/part-00000
	[[ "$("$examples/terasort/validate" 20000 bad)" = wrong:* ]]
}

@test "pagerank: the ranks of manual pages, as a plain loop finds them" {
	needs python3
	for page in "$examples"/../man/*.[17]; do
		printf '%s' "${page##*/}"
		sed -n 's/^\.Xr \([a-z-]*\) \([0-9]\).*/\1.\2/p' "$page" |
			sort -u | while read -r link; do printf '\t%s' "$link"; done
		echo
	done >pages
	grep -q '^mr-run\.1	.*	mr-map\.1' pages
	python3 - >want <<-'END'
		links = {}
		for line in open("pages"):
		    page, *to = line.rstrip("\n").split("\t")
		    links.setdefault(page, []).extend(to)
		    for t in to:
		        links.setdefault(t, [])
		rank = {p: 1 / len(links) for p in links}
		for _ in range(30):
		    lost = sum(rank[p] for p in links if not links[p])
		    new = {p: (0.15 + 0.85 * lost) / len(links) for p in links}
		    for p, to in links.items():
		        for t in to:
		            new[t] += 0.85 * rank[p] / len(to)
		    rank = new
		for p in sorted(rank):
		    print("%s %.9f" % (p, rank[p]))
	END
	"$examples/pagerank/job" 30 pages >out
	awk '{ printf "%s %.9f\n", $1, $2 }' out | sort | diff want -
	awk '{ sum += $2 } END { exit !(sum > 0.999999 && sum < 1.000001) }' out
	sort -s -t "$tab" -k2,2gr out | cmp - out
}

@test "kmeans: three heaps are found again" {
	awk 'BEGIN {
		srand(7)
		for (i = 0; i < 900; i++) {
			heap = i % 3
			print heap * 10 + rand() "\t" (heap == 1) * 7 + rand()
		}
	}' >points
	"$examples/kmeans/job" 3 points | sort -n >out
	[ "$(cut -f3 out | tr '\n' ' ')" = '300 300 300 ' ]
	awk -F '\t' '{ n = ($1 > 5) + ($1 > 15); c[n]++; x[n] += $1; y[n] += $2 }
		END { for (n = 0; n < 3; n++)
			printf "%.5f %.5f\n", x[n] / c[n], y[n] / c[n] }' points >want
	awk '{ printf "%.5f %.5f\n", $1, $2 }' out | diff want -
}

# requests FROM TO: lines of a web server's log, one every seven minutes.
requests() {
	seq "$1" "$2" | awk '{
		t = $1 * 7
		printf "192.0.2.%d - - [%02d/Nov/2026:%02d:%02d:00 +0000] " \
		    "\"GET /%d HTTP/1.1\" %d %d\n", $1 * 31 % 17,
		    1 + t / 1440, t / 60 % 24, t % 60, $1 % 5,
		    $1 % 11 ? 200 : 503, $1 * 13 % 1000
	}'
}

@test "incremental: the hourly report is that of all lines so far" {
	job=$examples/incremental/job
	: >all
	for round in 1 2 3 4; do
		requests "${round}00" "${round}50" | tee -a access.log >>all
		"$job" report access.log*
		requests "${round}51" "${round}99" | tee -a access.log >>all
		[ ! -e access.log.1 ] || gzip -c access.log.1 >access.log.2.gz
		mv access.log access.log.1
		echo 'no request' | tee access.log >>all
		"$job" report access.log*
		awk '{
			split($4, t, /[[\/:]/)
			hour = t[4] "-11-" t[2] "T" t[5] "+0000"
		}
		NF > 9 {
			n[hour]++; failed[hour] += $9 >= 500; bytes[hour] += $10
			if (!seen[hour, $1]++)
				hosts[hour]++
		}
		END { for (h in n)
			print h "\t" n[h] "\t" failed[h] "\t" bytes[h] "\t" hosts[h]
		}' all | LC_ALL=C sort >want
		cat report/part-* | cmp - want
	done
	"$job" report access.log* >out 2>&1
	[ ! -s out ]
	[ "$(wc -l <want)" -gt 30 ]
	# What README.md shows is what there is.
	grep -q '^    ./job report' "$examples/incremental/README.md"
}

@test "pipeline: make does what is to be done, and no more" {
	needs make
	cp "$examples"/pipeline/* .
	mkdir source target
	requests 1 200 >source/2026-11-20.log
	requests 201 300 >source/2026-11-21.log
	printf '# hosts\n192.0.2.1 one uno\n\n 192.0.2.16\tsixteen # last\n' \
		>source/hosts
	check() {
		cat source/*.log | awk '{ n[$1]++; b[$1] += $NF } END {
			name["192.0.2.1"] = "one"; name["192.0.2.16"] = "sixteen"
			for (a in n)
				print a "\t" (a in name ? name[a] : a) "\t" n[a] \
				    "\t" b[a]
		}' | LC_ALL=C sort | cut -f 2- | cmp - target/report.tsv
		cat source/*.log | awk '{ print $7 }' | sort | uniq -c |
			awk '{ print $2 "\t" $1 }' | sort -k2,2nr -k1,1 |
			cmp - target/top.tsv
	}
	make -j 3 >out
	check
	make | grep -q 'Nothing to be done'
	# One more day: what was fetched is not fetched again.
	requests 301 333 >source/2026-11-22.log
	make DAYS='2026-11-20 2026-11-21 2026-11-22' >out
	[ "$(grep -c '^cp -p source/2026' out)" -eq 1 ]
	check
	# A job that fails ends it, and what there was stays as it was.
	cp report.tsv before
	echo '0	x	not a number' >bytes.tsv
	sed -i 's/NF == 3/BEGIN { exit 7 } &/' join.awk
	run -2 make DAYS='2026-11-20 2026-11-21 2026-11-22'
	echo "$output" >out
	grep -q 'exit status 7' out
	cmp report.tsv before
	check
}
