#!/usr/bin/env bats
# --whole-file --names --io rawbytes: a record is a file, its name and its
# bytes.
# shellcheck disable=SC2016,SC2119,SC2120,SC2010 # commands expand variables; names are tame
load helper
load failure
load pairs

# files: some of any bytes, in d and below it; and the pairs that they are, in
# want.
files() {
	needs python3
	mkdir -p d/e
	python3 - "$@" <<-'EOF'
		import os, random, struct
		r = random.Random(5)
		names = ["d/%02d" % i for i in range(12)] + ["d/a\nname", "d/e/x"]
		with open("want", "wb") as want:
		    for name in sorted(names):
		        b = r.randbytes(r.choice([0, 1, 100, 5000, 300000]))
		        open(name, "wb").write(b)
		        name = name.encode()
		        want.write(struct.pack(">I", len(name)) + name +
		                   struct.pack(">I", len(b)) + b)
	EOF
}

@test "a record is a file: the key its name, the value its bytes" {
	files
	for options in '' -j1 '-j 4 -N 1' '-N 3' '-S 4M' '--block-size 1K'; do
		# shellcheck disable=SC2086
		expect 0 mr run --whole-file --names --io rawbytes -m cat \
			--recursive $options d
		prints want
	done
	expect 0 mr run --whole-file --names --io rawbytes --recursive d
	prints want
	expect 0 mr run --whole-file --names --io rawbytes --recursive -r cat \
		d/e d
	mr run --whole-file --names --io rawbytes --recursive d/e d |
		mr sort --io rawbytes | cmp - ../out
	find d -type f -print0 | sort -z |
		expect 0 mr run --whole-file --names --io rawbytes -m cat \
			--files0-from -
	prints want
}

@test "-N: so many files a task, else those of a block, and no name around" {
	files
	expect 0 mr run --whole-file --names --io rawbytes --recursive d -N 4 \
		-O out -m 'cat >"$MR_OUTPUT_DIR/$MR_TASK"
			[ -z "$MR_INPUT_FILE$MR_INPUT_START" ] || exit 9'
	[ "$(ls out | grep -c '^[0-9]$')" -eq 4 ]
	cat out/[0-9] | cmp - want
	[ "$(mr convert --from rawbytes --to text out/3 | wc -l)" -eq 2 ]
	expect 0 mr run --whole-file --names --io rawbytes --recursive d \
		--block-size 500K -O few -m 'cat >"$MR_OUTPUT_DIR/$MR_TASK"'
	n=$(ls few | grep -c '^[0-9]$')
	[ "$n" -gt 1 ] && [ "$n" -lt 8 ]
}

@test "what is compressed is its content, unless it shall not be" {
	files
	gzip -c want >z
	put='import struct, sys
for name, path in zip(sys.argv[1::2], sys.argv[2::2]):
    b = open(path, "rb").read()
    sys.stdout.buffer.write(struct.pack(">I", len(name)) + name.encode() +
        struct.pack(">I", len(b)) + b)'
	python3 -c "$put" z want d/e/x d/e/x z want >content
	python3 -c "$put" z z >asis
	expect 0 mr run --whole-file --names --io rawbytes -m cat z d/e/x z
	prints content
	expect 0 mr run --whole-file --names --io rawbytes z d/e/x z
	prints content
	expect 0 mr run --whole-file --names --io rawbytes \
		--decompress none -m cat z
	prints asis
	head -c 1000 z >short
	expect 1 mr run --whole-file --names --io rawbytes -m cat z short
	says 'short: .*(gzip|pigz)'
	prints_nothing
}

@test "pipes and files without a size are records, too" {
	: >empty
	mkfifo fifo none
	printf 'a\tb\n' >fifo 3>&- &
	: >none 3>&- &
	expect 0 mr run --whole-file --names --io rawbytes -m cat \
		empty fifo none empty
	raw empty '' fifo $'a\tb\n' none '' empty '' | cmp - ../out
	wait
	[ -r /proc/self/status ] || skip "there is no /proc"
	expect 0 mr run --whole-file --names --io rawbytes /proc/version
	[ "$(mr convert --from rawbytes --to text ../out)" = \
		"/proc/version	$(cat /proc/version)\\n" ]
}

@test "a file that changes is a failure, and one that grows is read as planned" {
	files
	printf 12345 >grows
	expect 0 mr run -j1 --whole-file --names --io rawbytes -N 1 d/00 grows \
		-m '[ "$MR_TASK" = 1 ] || echo more >>grows; cat'
	mr convert --from rawbytes --to text ../out | grep -qx "grows	12345"
	printf 12345 >shrinks
	expect 1 mr run -j1 --whole-file --names --io rawbytes -N 1 \
		-m '[ "$MR_TASK" = 1 ] || echo >shrinks; cat' d/00 shrinks
	says 'shrinks: it has shrunk from 5 to 1 bytes'
	printf 12345 >shrinks
	expect 0 mr run -j1 --whole-file --names --io rawbytes -N 2 --retries 1 \
		-m 'cat; [ "$MR_ATTEMPT" = 1 ]' d/00 shrinks
	[ "$(tail -c 5 ../out)" = 12345 ]
}

@test "memory stays bounded, and what is too long for a pair is refused" {
	[ -z "${ASAN_OPTIONS:-}" ] || skip "a sanitizer needs more room"
	truncate -s 80M long
	head -c 80M /dev/zero | gzip -1 >packed
	for name in long packed; do
		expect 0 sh -c 'ulimit -v 60000; exec mr "$@"' sh \
			run -S 4M --whole-file --names --io rawbytes \
			-m 'wc -c >&2' "$name"
		says "^ *$((80 * 1024 * 1024 + 8 + ${#name}))\$"
	done
}

@test "--names and --whole-file: what is not there, and what makes no sense" {
	echo x >in
	refused 'together need --io rawbytes' \
		mr run --whole-file --names -m 'touch ran' in
	refused 'none: No such file' mr run --whole-file --names \
		--io rawbytes -m 'touch ran' none in
	refused 'has no name' mr run --whole-file --names --io rawbytes \
		-m 'touch ran' -
	truncate -s 2G huge
	refused 'huge: has 2 GiB or more, too much for a pair' mr run \
		--whole-file --names --io rawbytes -m 'touch ran' in huge
	: >list
	expect 0 mr run --whole-file --names --io rawbytes --files-from list \
		-m 'wc -c >&2'
	says '^ *0$'
	expect 0 mr run --whole-file --names --io rawbytes --ship in in -m cat
	raw "$PWD/in" $'x\n' | cmp - ../out
}
