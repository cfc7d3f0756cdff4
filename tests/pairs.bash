# Loaded after failure by the tests of pairs (--io rawbytes): making some.
# shellcheck shell=bash

# pairs SEED N: N pairs of any bytes in the file pairs, and in sorted as they
# stand in key order; keys repeat, and few values are long.
pairs() {
	needs python3
	python3 - "$@" <<-'EOF2'
		import random, struct, sys
		r = random.Random(int(sys.argv[1]))
		odd = b"\\\t\n\0ax7"

		def some(most):
		    n = r.randint(0, most)
		    return bytes(r.choice(odd) for _ in range(n)) if r.random() < .5 \
		        else r.randbytes(n)

		def pair(k, v):
		    return struct.pack(">I", len(k)) + k + struct.pack(">I", len(v)) + v

		keys = [some(6) for _ in range(50)]
		v = [(r.choice(keys) if r.random() < .7 else some(12),
		      r.randbytes(200000) if r.random() < .001 else some(30))
		     for _ in range(int(sys.argv[2]))]
		open("pairs", "wb").write(b"".join(pair(*x) for x in v))
		v.sort(key=lambda x: x[0])
		open("sorted", "wb").write(b"".join(pair(*x) for x in v))
	EOF2
}

# A map command in Python that turns values round, pair by pair.
# shellcheck disable=SC2034 # for those who load this
reverse='python3 -c "
import struct, sys
f, out = sys.stdin.buffer, sys.stdout.buffer
while h := f.read(4):
    k = f.read(*struct.unpack(\">I\", h))
    n = f.read(4)
    v = f.read(*struct.unpack(\">I\", n))
    out.write(h + k + n + v[::-1])
"'

# raw: pairs from words, key and value in turn.
raw() {
	for word in "$@"; do
		# shellcheck disable=SC2059
		printf "\\0\\0\\0\\$(printf %03o "${#word}")%s" "$word"
	done
}
