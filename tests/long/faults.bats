#!/usr/bin/env bats
# mr is killed at, and made to fail, one system call after another.  Each
# sweep takes a sample, spread evenly over all calls that the job makes, or
# with MR_SOAK=1 all of them; the tools say how many.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load ../helper
load ../failure

# The working directory of each test, which LC_ALL=C sorts so.
files=$(printf 'in\nout\nref')

# A job that spills, merges in several passes and starts again what fails.
job=(run -j 2 -S 8M --batch-size 2 --block-size 700K -R 3 -m cat -r cat)

prepare='rm -rf out "${TMPDIR:?}"/* .mr*; echo old >out'
whole='cmp out ref'

# Right after KILL of one process the output is old or whole, and nothing else
# is there; after KILL of all of them, at most one directory in each place,
# and no data but that of the output.
clean='[ "$(ls -A)" = "$FILES" ] && [ -z "$(ls -A "$TMPDIR")" ] || { ls -lA . "$TMPDIR"; false; }'
old_or_whole='[ "$(cat out)" = old ] || cmp out ref'
nearly_clean='for d in . "$TMPDIR"; do
	left=$(cd "$d" && ls -A | grep -vxE "in|out|ref")
	test -z "$left" && continue
	stat -c "%n %F %a" "$d/$left" | grep "directory 700$" || exit 1
done
test -z "$(find "$TMPDIR" -type f -size +0 -ls | tee /dev/stderr)"'

make_input() {
	random_records "$1" | sed 's/^.......\(.\)....../k\1/' >in
	export FILES=$files
}

# sweep MODE CALLS POINTS CMD [ARG]...: as tools/crash-sweep, which kills.
sweep() {
	local mode=$1 calls=$2 points inv

	points=$(most "$3")
	shift 3
	if [ "$mode" = all ]; then
		inv="{ $old_or_whole; } && { $nearly_clean; }"
	else
		inv="{ $old_or_whole; } && { $clean; }"
	fi
	"$TOOLS/crash-sweep" -qx -m "$mode" -e "$calls" -k "$points" \
		-p "$prepare" -i "$inv" -c "$whole" \
		-l "$clean" -- "$@" 3>&-
}

@test "mr run, one of its processes killed at any call: nothing left, and again" {
	needs_killat
	make_input 100000
	reference in >ref
	sweep one write,rename,fork,unlink,openat 40 mr "${job[@]}" -o out in
}

@test "mr run, its driver killed at any call: nothing left, and again" {
	needs_killat
	make_input 100000
	reference in >ref
	sweep root write,rename,fork,unlink,openat 40 mr "${job[@]}" -o out in
}

@test "mr run, all of it killed at any call: nearly nothing left, and again" {
	needs_killat
	make_input 100000
	reference in >ref
	sweep all write,rename,fork,unlink,openat 40 mr "${job[@]}" -o out in
}

@test "mr run, killed at each rename, link and unlink" {
	needs_killat
	make_input 60000
	reference in >ref
	for mode in one root all; do
		sweep "$mode" rename,unlink,mkdir 12 mr "${job[@]}" -o out in
	done
}

@test "mr run -O, killed at any call: the directory is absent or complete" {
	needs_killat
	make_input 60000
	reference in >ref
	complete='test -e out/_SUCCESS && cat out/part-* | cmp - ref'
	others='ls -A | grep -vxE "in|out|ref"'
	# A job that was killed after its commit is complete, and a directory
	# that exists is refused; but what lies beside it is removed.
	again='mr run -j 2 -S 8M -R 3 -m cat -r cat -O out in || test -e out/_SUCCESS'
	for mode in one root all; do
		inv='[ -z "$(ls -A "$TMPDIR"; '$others')" ] || { ls -lA . "$TMPDIR"; false; }'
		[ "$mode" != all ] || inv=$nearly_clean
		"$TOOLS/crash-sweep" -qx -m "$mode" -k "$(most 20)" -e write,rename,fork,unlink,openat,mkdir \
			-p 'rm -rf out "${TMPDIR:?}"/* .mr*' \
			-i "{ ! test -e out || { $complete; }; } && { $inv; }" \
			-r "$again" -c "$complete" -l "$others; test $mode = all || ls -A \"\$TMPDIR\"" \
			-- mr "${job[@]}" -O out in 3>&-
	done
	rm -rf "${TMPDIR:?}"/*
}

@test "mr sort, killed at any call: nothing left, and again" {
	needs_killat
	make_input 100000
	reference in >ref
	for mode in one root all; do
		sweep "$mode" write,rename,fork,unlink,openat 12 mr sort -S 4M --batch-size 2 -o out in
	done
}

# faults LIST NS CMD [ARG]...: as tools/fault-sweep, which makes calls fail.
faults() {
	[ -z "${MR_SOAK:-}" ] || [ "$1" = mmap:ENOMEM ] ||
		set -- "$1" "$(seq -s ' ' 100)" "${@:3}"
	"$TOOLS/fault-sweep" -q -F "$1" -N "$2" -p "$prepare" -c "$whole" \
		-u '[ "$(cat out)" = old ]' \
		-l "{ $clean; } >&2 || { ls -A | grep -vxE 'in|out|ref'; ls -A \"\$TMPDIR\"; }" \
		-- "${@:3}" 3>&-
}

@test "mr run, a write, read, file or process refused: right or a clean error" {
	needs_strace
	make_input 60000
	reference in >ref
	# Not write and pwrite64 at once: a message is written, too.
	faults 'write:ENOSPC write:EIO pwrite64+writev:ENOSPC pwrite64+writev:EIO
		read+pread64:EIO splice:EIO memfd_create:EMFILE memfd_create:ENOMEM clone+clone3+fork+vfork:EAGAIN
		clone+clone3+fork+vfork:ENOMEM pipe+pipe2:EMFILE dup+dup2+dup3:EMFILE
		ftruncate+fallocate:ENOSPC mkdir+mkdirat:ENOSPC
		rename+renameat+renameat2+link+linkat:ENOSPC fsync+fdatasync:EIO
		pwrite64+writev:EDQUOT read+pread64:ESTALE
		rename+renameat+renameat2+link+linkat:EROFS mkdir+mkdirat:ESTALE' \
		'1 2 3 5 8 13 30 80' mr "${job[@]}" -o out in
	# Later ones meet the removal of directories, which may then stay.
	faults openat+open:EMFILE '1 2 3 4 5 6 7 8 9 10 11 12' mr "${job[@]}" -o out in
}

@test "mr run, any wait or transfer interrupted: right, every time" {
	needs_strace
	make_input 60000
	reference in >ref
	faults 'read+pread64:EINTR write+pwrite64+writev:EINTR splice:EINTR
		openat+open:EINTR wait4+waitid:EINTR poll+ppoll:EINTR
		sendmsg+sendto+recvmsg+recvfrom:EINTR' \
		'1 2 3 5 8 13 30 80' mr "${job[@]}" -o out in
}

@test "mr run, a mapping of memory refused: right or a clean error" {
	needs_strace
	make_input 60000
	reference in >ref
	# Those of the loader come first, and are not mr's to handle.
	strace -o ../trace -e trace=mmap mr --version 3>&-
	base=$(grep -c '^mmap' ../trace)
	faults mmap:ENOMEM "$(seq -s ' ' $((base + 1)) $((base + 9)))" \
		mr "${job[@]}" -o out in
}

@test "mr run over a kernel that lacks the fast paths: right, every time" {
	needs_strace
	make_input 60000
	reference in >ref
	LC_ALL=C sort -s -t "$(printf '\t')" -k1,1 in >sorted_ref
	for f in memfd_create:ENOSYS splice:EINVAL splice:ENOSYS fallocate:EOPNOTSUPP \
		copy_file_range:EXDEV sync_file_range:ENOSYS fadvise64:EINVAL; do
		echo old >out
		timeout -k 5 60 strace -f -b execve -qq -o ../trace -e "trace=${f%:*}" \
			-e signal=none -e "inject=${f%:*}:error=${f#*:}" \
			mr "${job[@]}" -o out in 3>&-
		cmp out ref
		# Temporary files whose blocks cannot be had before.
		timeout -k 5 60 strace -f -b execve -qq -o ../trace -e "trace=${f%:*}" \
			-e signal=none -e "inject=${f%:*}:error=${f#*:}" \
			mr sort -S 4M -o sorted in 3>&-
		cmp sorted sorted_ref
	done
}

@test "mr run, the Nth request for memory refused: right or a clean error" {
	needs_tool faultshim.so
	needs_plain_binary dynamic
	make_input 60000
	reference in >ref
	faults 'malloc mallocs' '1 2 3 4 5 6 7 8 9 10 12 15 20 25 30 40 50 60 64 66 68 69 70 72 75 100 150 200 300' \
		mr "${job[@]}" -o out in
}

@test "the filters, a call refused: right or a clean error" {
	needs_strace
	make_input 60000
	reference in >ref
	faults 'write:ENOSPC pwrite64+writev:ENOSPC read+pread64:EIO openat+open:EMFILE
		clone+clone3+fork+vfork:EAGAIN rename+renameat+renameat2+link+linkat:ENOSPC
		mkdir+mkdirat:ENOSPC' '1 2 4 8 20' mr sort -S 4M -o out in
	# What was printed before a failure is a prefix of the right result.
	for sub in map reduce; do
		[ "$sub" = map ] && cp in whole || cp ref whole
		"$TOOLS/fault-sweep" -q -N '1 2 4 8 20' -o out \
			-F 'write+pwrite64+writev:ENOSPC read+pread64:EIO splice:EIO pipe+pipe2:EMFILE clone+clone3+fork+vfork:EAGAIN' \
			-c 'cmp out whole' -u 'cmp -n $(wc -c <out) out whole' \
			-l 'ls -A "$TMPDIR"' -- \
			mr "$sub" -j 2 --block-size 200K -i whole cat 3>&-
	done
}

@test "mr run, killed while it lists bad records: the list is old or whole" {
	needs_killat
	seq 60 >in
	grep -vx 17 in >ref
	mkdir aside
	job=(run --skip-bad-records --bad-records aside/list -j 2 -N 20 -o out
		-m 'awk "\$0 == 17 { exit 3 } { print }"' in)
	mr "${job[@]}" || [ $? -eq 3 ]
	mv aside/list list
	[ -z "${MR_SOAK:-}" ] && most=12 || most=0
	for mode in one root all; do
		junk='ls -A . aside | grep -E "^\.mr-"; ls -A "$TMPDIR"'
		[ "$mode" != all ] || junk=:
		"$TOOLS/crash-sweep" -qx -m "$mode" -k "$most" -e write,rename,fork,unlink,openat,mkdir \
			-p 'rm -rf "${TMPDIR:?}"/* .mr* aside/.mr*; echo old >out; echo old >aside/list' \
			-i "for f in out:ref aside/list:list; do
				[ \"\$(cat \${f%:*})\" = old ] || cmp \${f%:*} \${f#*:} || exit 1
			done; cmp -s out ref || [ \"\$(cat aside/list)\" = old ] || exit 1
			[ -z \"\$($junk)\" ]" \
			-r "mr ${job[*]@Q}; [ \$? -eq 3 ]" -c 'cmp out ref && cmp aside/list list' \
			-l 'ls -A . aside | grep -E "^\.mr-"; ls -A "$TMPDIR"' -- mr "${job[@]}" 3>&-
	done
}
