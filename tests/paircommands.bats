#!/usr/bin/env bats
# --io rawbytes and the commands beside map and reduce: --per-key, --combine,
# --finish and --partition.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure
load pairs

# A command of --per-key: a pair of no key and all that it reads.
whole='f=$TMPDIR/f; cat >"$f"; n=$(wc -c <"$f")
printf "\0\0\0\0\\$(printf "%03o\\%03o\\%03o\\%03o" $((n >> 24)) \
	$((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
cat "$f"'

# Adds up the values of each key, pair by pair.
add='python3 -c "
import itertools, struct, sys
f, out = sys.stdin.buffer, sys.stdout.buffer
def pairs():
    while h := f.read(4):
        k = f.read(*struct.unpack(\">I\", h))
        yield k, int(f.read(*struct.unpack(\">I\", f.read(4))))
for k, g in itertools.groupby(pairs(), lambda p: p[0]):
    n = b\"%d\" % sum(v for _, v in g)
    out.write(struct.pack(\">I\", len(k)) + k + struct.pack(\">I\", len(n)) + n)
"'

@test "pairs: the command of a key reads its values, each behind its length" {
	raw b 1 a 22 b '' $'c\t\n' $'x\ny' b 333 >in
	{ raw 22; printf '[a]'; raw 1 '' 333; printf '[b]'; } >want
	expect 0 mr run --io rawbytes --per-key -R 1 -O dir in \
		-r 'cat >"$MR_OUTPUT_DIR/$MR_TASK"
		    { cat "$MR_OUTPUT_DIR/$MR_TASK"; printf "[$MR_KEY]"; } >>values'
	{ raw $'x\ny'; printf '[c\t\n]'; } >>want
	cmp want values
	[ ! -s dir/part-00000 ]
}

@test "pairs: --per-key is the same for any -j, -S, -R and block size" {
	pairs 21 150
	python3 -c 'import itertools, struct, sys
f, out = open("sorted", "rb"), sys.stdout.buffer
def part(b):
    return struct.pack(">I", len(b)) + b
def pairs():
    while h := f.read(4):
        k = f.read(*struct.unpack(">I", h))
        yield k, f.read(*struct.unpack(">I", f.read(4)))
for k, g in itertools.groupby(pairs(), lambda p: p[0]):
    out.write(part(b"") + part(part(k) + b"".join(part(v) for _, v in g)))' \
		>want
	for options in '-j 1 -R 1' '-j 3 -R 4 -S 8M --block-size 1K'; do
		# shellcheck disable=SC2086
		expect 0 mr run --io rawbytes --per-key --key-on-stdin \
			$options -r "$whole" pairs
		prints want
	done
	expect 0 mr reduce --io rawbytes --per-key --key-on-stdin -j 2 \
		--block-size 64K -c "$whole" <sorted
	prints want
	# No variable holds a NUL.
	expect 1 mr run --io rawbytes --per-key -r "$whole" pairs
	says 'key .* holds a NUL byte'
	raw b 22 a 333 b '' >in
	mr sort --io rawbytes in >sorted
	expect 0 mr reduce --io rawbytes --per-key -c "$whole" <sorted
	{ raw '' 1234567 '' 1234567890; } >want
	[ "$(wc -c <../out)" -eq "$(wc -c <want)" ]
}

@test "pairs: what a command of a key leaves unread does not get to the next" {
	needs python3
	python3 -c 'import struct, sys
for i in range(2000):
    k, v = b"%d" % (i // 100), b"x" * (i * 31 % 3000)
    sys.stdout.buffer.write(struct.pack(">I", len(k)) + k +
        struct.pack(">I", len(v)) + v)' >in
	for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
		raw "$i" ''
	done >all
	mr sort --io rawbytes all >want
	expect 0 mr run --io rawbytes --per-key -r 'head -c 5 >/dev/null
		printf "\0\0\0\\$(printf %03o ${#MR_KEY})%s\0\0\0\0" "$MR_KEY"' in
	prints want
}

@test "pairs: combining leaves the result as it is, and --finish reads pairs" {
	needs python3
	python3 -c 'import struct, sys
for i in range(6000):
    k, v = b"k\n\0%d" % (i * 7919 % 300), b"%d" % (i % 17)
    sys.stdout.buffer.write(struct.pack(">I", len(k)) + k +
        struct.pack(">I", len(v)) + v)' >in
	mr run --io rawbytes -r "$add" in >want
	[ "$(mr convert --from rawbytes --to text want | wc -l)" -eq 300 ]
	expect 0 mr run --io rawbytes --combine "$add" -r "$add" -v in
	prints want
	says 'combin'
	expect 0 mr run --io rawbytes --combine "$add" -r "$add" -j 3 -S 4M \
		--block-size 20K in
	prints want
	expect 0 mr run --io rawbytes -r "$add" -R 3 \
		--finish 'mr sort --io rawbytes' in
	prints want
	expect 1 mr run --io rawbytes -r cat in -m cat \
		--combine 'cat >/dev/null; printf "\0\0\0\1z\0\0\0\1z"'
	says 'combine.*key'
}

@test "pairs: a partition command reads keys, each behind its length" {
	pairs 22 800
	number='python3 -c "
import struct, sys
f = sys.stdin.buffer
while h := f.read(4):
    print(sum(f.read(*struct.unpack(\">I\", h))) % 4)
"'
	for how in 'run -r cat' shuffle; do
		# shellcheck disable=SC2086
		expect 0 mr $how --io rawbytes -R 4 --partition "$number" \
			-O parts -j 3 --block-size 10K pairs
		python3 -c 'import struct, sys
order = sys.argv[1] != "shuffle"
f = open("sorted" if order else "pairs", "rb")
out = [open("want.%d" % i, "wb") for i in range(4)]
while h := f.read(4):
    k = f.read(*struct.unpack(">I", h))
    n = f.read(4)
    out[sum(k) % 4].write(h + k + n + f.read(*struct.unpack(">I", n)))' "$how"
		for i in 0 1 2 3; do cmp "want.$i" "parts/part-0000$i"; done
		rm -r parts
	done
	expect 1 mr run --io rawbytes -R 4 -r cat --partition 'cat; echo' \
		-O parts pairs
	says 'partition.*which is no number'
}
