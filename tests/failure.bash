# Loaded after helper by the tests of failures: running a command with a
# limit and looking at what it said, doing so as an ordinary user, and
# asking for what a machine may not have.

failure_dir=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
TOOLS=$failure_dir/tools

# expect STATUS CMD [ARG]...: runs the command, with its output in ../out and
# its messages in ../err, and fails unless it ends with this status.
expect() {
	local want=$1 got=0 limit=(timeout -s KILL "${LIMIT:-60}")

	shift
	# Functions, such as user and in_cgroup, apply the limit themselves.
	if declare -F "$1" >/dev/null; then
		"$@"
	else
		"${limit[@]}" "$@"
	fi >../out 2>../err 3>&- || got=$?
	[ "$got" -eq "$want" ] || {
		echo "status $got instead of $want: $*"
		head -c 2000 ../err
		return 1
	}
}

# start CMD [ARG]...: the same in the background; $JOB is its process.  A
# shell without job control would have it ignore INT and QUIT.
start() {
	env --default-signal "$@" <&0 >../out 2>../err 3>&- &
	JOB=$!
}

# ends STATUS: what start started ends, with this status.
ends() {
	local got=0 tries=0 most=$((20 * ${PATIENCE:-30}))

	while kill -0 "$JOB" 2>/dev/null && [ $((tries += 1)) -le "$most" ]; do
		sleep 0.05
	done
	[ "$tries" -le "$most" ] || { kill -KILL "$JOB"; echo "it hangs"; }
	wait "$JOB" || got=$?
	[ "$got" -eq "$1" ] || {
		echo "status $got instead of $1"
		head -c 2000 ../err
		return 1
	}
}

# says ERE, and says_no ERE: some line of the messages matches, or none does.
says() {
	grep -aEq -- "$1" ../err ||
		{ echo "no message like: $1"; head -c 2000 ../err; return 1; }
}

says_no() {
	! grep -aE -- "$1" ../err || { echo "unwanted: $1"; return 1; }
}

# prints FILE, prints_nothing: what the command wrote to standard output.
prints() {
	cmp -- "$1" ../out
}

prints_nothing() {
	[ ! -s ../out ] || { echo "printed:"; head -c 500 ../out; return 1; }
}

# reference [SORT-OPTION]...: the order that mr gives to records.
reference() {
	LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 "$@"
}

# ends_in_newline FILE: empty, or its last byte is a newline.
ends_in_newline() {
	[ ! -s "$1" ] || [ "$(tail -c 1 "$1" | od -An -c | tr -d ' ')" = '\n' ]
}

# is_prefix FILE OF: the bytes of FILE begin OF, and end with a whole record.
is_prefix() {
	cmp -n "$(wc -c <"$1")" "$1" "$2" && ends_in_newline "$1"
}

# mr_processes: the ids of this test's processes that are mr itself, the
# driver, which no mr has started, first: numbers begin anew now and then.
mr_processes() {
	local p all=' '

	for p in $(test_processes); do
		[ "$(readlink "/proc/$p/exe")" != "$MR" ] || all+="$p "
	done
	for p in $all; do
		[[ $all == *" $(parent_of "$p") "* ]] || echo "$p"
	done
	for p in $all; do
		[[ $all != *" $(parent_of "$p") "* ]] || echo "$p"
	done
}

parent_of() {
	sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null
}

# state_of PID: R, S, T, Z ... or nothing.
state_of() {
	sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null
}

# all_stopped: every process of this test is, and there are mr and a task.
all_stopped() {
	local p n=0

	for p in $(test_processes); do
		case $(state_of "$p") in
		T) n=$((n + 1)) ;;
		# D: a shell that has called vfork waits for a child that has
		# been stopped before it became another program.
		D | Z | '') ;;
		*) return 1 ;;
		esac
	done
	[ "$n" -ge 3 ]
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

needs() {
	local tool

	for tool; do
		command -v "$tool" >/dev/null || skip "there is no $tool"
	done
}

# needs_option --NAME [SUB]: parts of mr that are still to come.
needs_option() {
	mr "${2:-run}" --help | grep -q -- "$1" ||
		skip "mr ${2:-run} has no $1"
}

# needs_plain_binary [any|dynamic]: what hooks into libc, or counts memory,
# cannot be used with a static or a sanitized mr.
needs_plain_binary() {
	! grep -q __asan_init "$MR" || skip "mr is built with sanitizers"
	[ "${1:-}" != dynamic ] || grep -q ld-linux "$MR" ||
		skip "mr is linked statically"
}

# needs_tool NAME: one of tests/tools that is compiled.
needs_tool() {
	[ -e "$TOOLS/$1" ] || skip "tests/tools/$1 has not been built"
}

# ordinary_user: from here on, `user CMD [ARG]...` runs a command in this
# directory as somebody who is not root, who reaches mr as $MR_AS_USER.
ordinary_user() {
	local dir=$BATS_TEST_TMPDIR

	MR_AS_USER=$MR
	if is_root; then
		needs setpriv
		while [ "$dir" != "${BATS_RUN_TMPDIR%/*}" ] && [ "$dir" != / ]; do
			chmod a+x "$dir"
			dir=${dir%/*}
		done
		chmod 777 . "$TMPDIR"
		mkdir ../user
		MR_AS_USER=$BATS_TEST_TMPDIR/user/mr
		cp "$MR" "$MR_AS_USER"
		chmod a+rx ../user ../user/mr
		user test -x ../user/mr -a -w . ||
			skip "another user cannot reach $BATS_RUN_TMPDIR"
	fi
}

# A user id without a name and so, most likely, without other processes.
user() {
	if is_root; then
		${limit+"${limit[@]}"} \
			setpriv --reuid=54321 --regid=54321 --clear-groups \
			env "PATH=$BATS_TEST_TMPDIR/user:$PATH" "$@"
	else
		${limit+"${limit[@]}"} "$@"
	fi
}

# on_tmpfs OPTIONS SCRIPT: runs the script with a fresh tmpfs on ./fs.
on_tmpfs() {
	local how

	needs unshare
	for how in -m -Urm; do
		if unshare "$how" mount -t tmpfs none /mnt 2>/dev/null; then
			mkdir -p fs
			# shellcheck disable=SC2016 # expanded in there
			unshare "$how" bash -euc '
				mount -t tmpfs -o "$1" none fs
				. "$3"
				eval "$2"
			' bash "$1" "$2" "$failure_dir/failure.bash"
			return
		fi
	done
	skip "no file system can be mounted here"
}

# needs_memory_cgroup SIZE: makes a group of processes that may have at most
# so much memory together, for one in_cgroup.
needs_memory_cgroup() {
	memory_cgroup='' memory_limit=''
	is_root || skip "only root can make a memory cgroup"
	if mkdir "/sys/fs/cgroup/memory/mrtest.$$" 2>/dev/null; then
		memory_cgroup=/sys/fs/cgroup/memory/mrtest.$$
		memory_limit=$memory_cgroup/memory.limit_in_bytes
	elif mkdir "/sys/fs/cgroup/mrtest.$$" 2>/dev/null; then
		memory_cgroup=/sys/fs/cgroup/mrtest.$$
		memory_limit=$memory_cgroup/memory.max
	fi
	[ -n "$memory_cgroup" ] || skip "no memory cgroup can be made"
	if ! echo "$1" >"$memory_limit" 2>/dev/null; then
		rmdir "$memory_cgroup"
		skip "no limit can be set on a memory cgroup"
	fi
	# Memory it is, not what can be swapped out.
	if [ -e "$memory_cgroup/memory.swap.max" ]; then
		echo 0 >"$memory_cgroup/memory.swap.max"
	elif [ -e "$memory_cgroup/memory.memsw.limit_in_bytes" ]; then
		echo "$1" >"$memory_cgroup/memory.memsw.limit_in_bytes"
	fi
}

# in_cgroup CMD [ARG]...: runs it there, and takes the group away.
in_cgroup() {
	local status=0

	# shellcheck disable=SC2016 # expanded in there
	${limit+"${limit[@]}"} bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' \
		bash "$memory_cgroup" "$@" || status=$?
	wait_until rmdir "$memory_cgroup" 2>/dev/null
	return "$status"
}

# random_records N [SEED]: N records with distinct keys in no order, of
# some 80 bytes that do not repeat.
random_records() {
	awk -v n="$1" -v seed="${2:-1}" 'BEGIN {
		srand(seed)
		for (i = 0; i < n; i++)
			printf "%08x%06d\t%d value %d of the record %.12f %.12f\n",
			    int(rand() * 4294967296), i, i, i * 7, rand(), rand()
	}'
}

# refused ERE CMD [ARG]...: the command is wrong use, a line says so that
# matches, nothing is printed, and no command of the job has run (each that is
# given here would touch the file ran).
refused() {
	local ere=$1

	shift
	expect 2 "$@"
	says "$ere"
	prints_nothing
	[ ! -e ran ] || { echo "something was run: $*"; return 1; }
}

# most N: how many of the points to try; 0, with MR_SOAK=1, is all of them.
most() {
	[ -z "${MR_SOAK:-}" ] || set -- 0
	echo "$1"
}

# summed CMD [ARG]...: a tool that sweeps, whose sum is shown.
summed() {
	local status=0

	"$@" >../sum 3>&- || status=$?
	cat ../sum
	tail -n 1 ../sum >&3
	return "$status"
}

# needs_killat, needs_strace: what sweeps need to kill, and to refuse a call.
needs_killat() {
	needs_tool killat
	needs_plain_binary any
	"$TOOLS/killat" true 2>/dev/null || skip "processes cannot be traced here"
}

needs_strace() {
	needs strace
	needs_plain_binary any
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
}

# damage FILE BYTE cut|flip: cuts it off there, or changes a bit of this byte.
damage() {
	local byte

	if [ "$3" = cut ]; then
		truncate -s "$2" "$1"
		return
	fi
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf %b "\\x$(printf %x $((byte ^ 1 << $2 % 8)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# each_damage N FROM TO FILE CMD [ARG]...: the command succeeds each time that
# TO is what FROM is, with its FILE damaged: at N of its bytes, spread evenly,
# or for 0 at each.  Adds to $tried.
each_damage() {
	local n=$1 from=$2 to=$3 file=$4 size step=1 at how

	shift 4
	size=$(stat -c %s "$from/$file")
	[ "$n" -eq 0 ] || step=$(((size + n - 1) / n))
	for ((at = tried / 2 % step; at < size; at += step)); do
		for how in cut flip; do
			rm -rf "$to"
			cp -a "$from" "$to"
			damage "$to/$file" "$at" "$how"
			"$@" || {
				echo "$from/$file, $how at byte $at: $*"
				return 1
			}
			tried=$((tried + 1))
		done
	done
}

# right_or_damaged CMD [ARG]...: it prints what is in ref, or it refuses what
# is damaged.
right_or_damaged() {
	local got=0

	"$@" >../out 2>../err || got=$?
	case $got in
	0) prints ref ;;
	1 | 2) prints_nothing && says damaged ;;
	*) echo "status $got"; false ;;
	esac
}

# damaged_job N: a kept job, complete or with nothing made of its maps yet, of
# which each file that counts is damaged, as each_damage does.
damaged_job() {
	local job from file

	seq 90 | awk '{ print $1 * 7919 % 50 "\t" $1 }' >in
	reference in >ref
	job=(run --no-sync --job-dir jd -j 1 --block-size 200 -R 2 -m cat -r cat in)
	mr "${job[@]}" | cmp - ref
	cp -a jd complete
	cp -a jd mapped
	rm mapped/reduce/* mapped/cuts
	for from in complete mapped; do
		for file in map/000001 reduce/000001 cuts plan; do
			[ ! -e "$from/$file" ] || each_damage "$1" "$from" jd \
				"$file" right_or_damaged mr "${job[@]}"
		done
	done
}

# damaged_state N: the same of what --append keeps, with more in its input.
# What is refused is left as it was, and may be made anew.
damaged_state() {
	local file

	seq 90 | awk '{ print $1 * 7919 % 50 "\t" $1 }' >in
	reference in >ref
	head -n 60 in >log
	mr run --append -O base -r cat log
	cat base/part-* >old
	cp in log
	for file in _mr/manifest _mr/map/000000; do
		each_damage "$1" base out "$file" right_or_left
		run ! up_to_date
		mr run --overwrite -O out -r cat log
		cat out/part-* | cmp - ref
	done
}

up_to_date() {
	mr run --append -O out -r cat log && cat out/part-*
}

right_or_left() {
	right_or_damaged up_to_date &&
		{ cmp -s out/part-00000 ref || cmp out/part-00000 old; }
}

put_calls=pwrite64+pwritev+writev
name_calls=rename+renameat+renameat2+link+linkat

# some_faults: calls that fail, each with an error, as fault-sweep takes them.
# Not write with the others, as its first may be that of the message.
some_faults() {
	echo "$put_calls:EDQUOT write:EIO fsync+fdatasync:EIO $name_calls:EROFS
		openat+open:ESTALE mkdir+mkdirat:ENOSPC clone+clone3+fork+vfork:EAGAIN"
}

# all_faults: each error that a call may meet.
all_faults() {
	local e

	for e in ENOSPC EIO EINTR EDQUOT EROFS ESTALE; do
		echo "$put_calls:$e write:$e fsync+fdatasync:$e $name_calls:$e
			mkdir+mkdirat:$e ftruncate+fallocate:$e openat+open:$e"
	done
	# Not close: where it is refused here, it is not done, and a pipe has no
	# end.  Not unlink: what is not removed stays.
	for e in EIO EINTR ESTALE; do
		echo "read+pread64:$e newfstatat+fstat+stat:$e splice:$e"
	done
	for e in EMFILE ENOMEM; do
		echo "openat+open:$e memfd_create:$e pipe+pipe2:$e
			socketpair:$e dup+dup2+dup3:$e"
	done
	echo "clone+clone3+fork+vfork:EAGAIN clone+clone3+fork+vfork:ENOMEM
		execve:ENOMEM execve:EAGAIN flock:EINTR
		$put_calls:EAGAIN write:EAGAIN splice:EAGAIN
		sendmsg+sendto+recvmsg+recvfrom:EAGAIN
		sendmsg+sendto+recvmsg+recvfrom:EINTR wait4+waitid:EINTR
		poll+ppoll:EINTR poll+ppoll:ENOMEM getdents64:EIO"
}

# survives COMMAND [LEAST]: at every second system call of it one of its processes
# is killed.  The file out is as it was or as want is, and nothing else is left.
# LEAST times, once if that is not given, it succeeds all the same.
survives() {
	local n rc again=0 failed=0 ended=0

	"$TOOLS/killat" -m one -o log -- sh -c "$1"
	cmp want out
	read -r total _ <log
	total=${total#count=}
	[ "$total" -gt 30 ]
	for ((n = 1; n <= total; n += 2)); do
		rc=0
		echo old >out
		"$TOOLS/killat" -m one -n "$n" -o log -- sh -c "$1" \
			2>err 3>&- || rc=$?
		grep left=0 log
		case $rc in
		0)	again=$((again + 1)) ;;
		137)	ended=$((ended + 1)) ;;	# it was the driver
		*)	failed=$((failed + 1)) ;;
		esac
		cmp want out || { [ "$rc" -ne 0 ] && [ "$(cat out)" = old ]; }
		[ "$(find . "$TMPDIR" -name '*mr*')" = '' ]
	done
	echo "$again $failed $ended"
	[ "$again" -ge "${2-1}" ]
	[ "$failed" -gt 0 ]
	[ "$ended" -gt 0 ]
}
