#!/usr/bin/env bats
# mr run --append over logs that grow and are rotated by logrotate(8).
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

begin() {
	needs logrotate
	mkdir logs
	: >came
	lines=0
	# Each kills mr once when it is told to, amid the task.
	cat >mapper <<-'EOF'
		#!/bin/sh
		[ ! -e "die in $MR_PHASE" ] || {
			rm "die in $MR_PHASE"
			kill -KILL "$(echo "$MR_JOB_ID" | cut -d- -f2)"
		}
		exec cat
	EOF
	cp mapper reducer
	chmod +x mapper reducer
	open_log
}

open_log() {
	exec 7>>logs/log
}

# write N: so many lines, by one who has the log open.
write() {
	seq $((lines + 1)) $((lines + $1)) |
		awk '{ print $1 * 7919 % 13 "\t" $1 }' | tee -a came >&7
	lines=$((lines + $1))
}

# rotate [LINE]...: by force, with these lines in the configuration.
rotate() {
	printf '%s/logs/log {\nrotate 2\n%s\n}\n' "$PWD" \
		"$(printf '%s\n' "$@")" >conf
	chmod 644 conf
	chmod 755 logs
	logrotate -f -s "$PWD/state" conf 7>&-
}

append() {
	expect "$1" mr run --append -O out -m ./mapper -r ./reducer logs 7>&-
	prints_nothing
}

# The result is that of one run over all that was written, in this order.
is_right() {
	[ ! -s ../err ] || { cat ../err; return 1; }
	reference came >want
	cat out/part-* | cmp - want
}

# in_each_round LATE [LINE]...: the log grows and is read, grows and is
# rotated, and so on.  LATE lines are still written to it after that.
in_each_round() {
	local late=$1 round

	shift
	begin
	for round in 1 2 3 4; do
		write 20
		append 0
		is_right
		write $((round * 10))
		printf 'not complete' >&7
		echo ' yet' | tee -a came >&7
		sed -i '$ s/^/not complete/' came
		if [ "$1" != by_date ]; then
			rotate "$@"
		else	# each has a name of its own, also if an hour ends
			rotate dateext 'dateformat -%Y%m%d%H' \
				"$([ "$round" -eq 1 ] || echo compress)" "$(
				sed -n "${round}p" <<<$'datehourago\ndateyesterday\n')"
		fi
		write "$late"
		[ "$round" -eq 1 ] || touch 'die in map'
		[ "$round" -eq 1 ] || append 137
		[ "$round" -eq 4 ] || append 0
		write "$late"
		open_log
		write 5
		touch 'die in reduce'
		append 137
		append 0
		is_right
		append 0
		is_right
		[ "$1" != by_date ] || [ "$round" -lt 3 ] || break
	done
	[ "$(find logs -type f | wc -l)" -gt 2 ]
	write 3
	append 0
	is_right
	exec 7>&-
}

@test "logs that are renamed, and made anew: what is written late counts" {
	in_each_round 2 'create 0644'
}

@test "logs that are copied and emptied" {
	in_each_round 0 copytruncate
}

@test "logs that are renamed and compressed" {
	in_each_round 0 compress
}

@test "logs that are copied, emptied and compressed" {
	in_each_round 0 copytruncate compress
}

@test "logs that are renamed now and compressed the next time" {
	in_each_round 3 compress delaycompress
}

@test "logs that are renamed by the date" {
	in_each_round 0 by_date
}

@test "several rotations between two runs lose nothing" {
	begin
	for i in 1 2 3 4; do
		write 10
		append 0
		write 10
		rotate 'rotate 4'
		open_log
		write 10
		rotate 'rotate 4'
		open_log
		write "$i"
		append 0
		sort came >want
		cat out/part-* | sort | cmp - want
	done
	exec 7>&-
}

@test "a rotation too many is noticed" {
	begin
	write 10
	append 0
	write 10
	for _ in 1 2 3; do
		rotate 'rotate 1'
		open_log
		write 10
	done
	expect 2 mr run --append -O out -m ./mapper -r ./reducer logs
	says 'logs/log: it does not begin any more with'
	exec 7>&-
}
