#!/usr/bin/env python3
"""Random data through mr's aggregates, compared with exact ones (exact.py)
and, with --datamash, with datamash: where that prints something else it must
be a number of which it has lost digits.

Data set K of seed N is always the same."""
import argparse
import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True
from exact import Wrong, aggregate                              # noqa: E402

NUMERIC = ["sum", "min", "max", "range", "mean", "pvar", "svar", "pstdev",
           "sstdev"]
TEXT = ["count", "first", "last", "unique", "countunique", "collapse"]
WORDS = (("group", "nogroup", "switch"), ("nojoin",), ("disk",), ("onerun",),
         ("radix", "noradix"), ("cramped",))


def digits(rng, n):
    return str(rng.randint(1, 9)) + "".join(
        rng.choice("0123456789") for _ in range(n - 1))


# How numbers look; each takes a generator of random numbers.
PLAIN = {
    "small": lambda r: str(r.randint(-9, 99)),
    "ints": lambda r: str(r.randint(-10 ** 6, 10 ** 6)),
    "money": lambda r: "%.2f" % r.uniform(-1000, 1000),
    "places": lambda r: "%.*f" % (r.randint(0, 4), r.uniform(0, 100)),
    "floats": lambda r: repr(r.gauss(0, 10)),
    "little": lambda r: "%.3e" % r.uniform(0, 1e-5),
}
HARD = {
    "longs": lambda r: str(r.randint(-2 ** 63, 2 ** 63)),
    "wide": lambda r: r.choice("-+") + digits(r, r.randint(1, 37)),
    "forms": lambda r: r.choice("+- ").strip() + r.choice((
        "1.", ".5", "007", "0", "-0"[1:], "1e3", "1E-3", "2.50e+01", "0.0",
        "5e0", "10", "10.0", "1e1", "3e30", "3" + "0" * 30)),
    "far": lambda r: "%s.%se%d" % (digits(r, r.randint(1, 25)),
                                   digits(r, r.randint(1, 25)),
                                   r.randint(-400, 400)),
    "cancel": lambda r: r.choice(("1e300", "-1e300", "1e-300", "1", "-1",
                                  "123456789012345678901234.5")),
}


def make_set(rng, hard):
    """Records, and the operations to do on them."""
    looks = dict(PLAIN, **HARD) if hard else PLAIN
    look = looks[rng.choice(tuple(looks))]
    other = looks[rng.choice(tuple(looks))]
    keys = rng.choice((1, 2, 10, 100, 1000))
    words = ["w%d" % i for i in range(rng.choice((1, 3, 40, 1000)))]
    records = []
    for _ in range(int(10 ** rng.uniform(0, 3))):
        k = "k%d" % int(keys * rng.random() ** 2)
        records.append("\t".join((k, look(rng), rng.choice(words),
                                  (look if rng.random() < 0.5 else other)(
                                      rng))).encode())
    spec = []
    for _ in range(rng.randint(1, 8)):
        x = rng.random()
        if x < 0.6:
            spec.append((rng.choice(NUMERIC), rng.choice((2, 4))))
        elif x < 0.9:
            spec.append((rng.choice(TEXT), rng.choice((1, 2, 3, 4))))
        else:
            spec.append(("top:%d" % rng.choice((1, 2, 3, 10, 100)),
                         rng.choice((2, 4))))
    return records, spec


def words_of(rng, spec):
    """As one types them."""
    out = []
    for op, field in spec:
        if op == "count" and rng.random() < 0.5:
            out += [op]
        else:
            out += [rng.choice((op, op, op.upper())), str(field)]
    return out


def command(rng, mr, spec):
    """A way to have mr do it, and its environment."""
    words = words_of(rng, spec)
    o = ["-j%d" % rng.randint(1, 4)]
    if rng.random() < 0.7:
        o.append("--block-size=%d" % int(2 ** rng.uniform(6, 15)))
    x = rng.random()
    if x < 0.2:
        return "LC_ALL=C sort -s -t '\t' -k1,1 | %s agg %s %s" % (
            mr, " ".join(o), " ".join(words))
    if x < 0.3:
        return "LC_ALL=C sort -s -t '\t' -k1,1 | %s reduce %s --agg '%s'" % (
            mr, " ".join(o), " ".join(words))
    if rng.random() < 0.3:
        o.append("--batch-size=%d" % rng.randint(2, 4))
    if rng.random() < 0.5:
        o.append("-R%d" % rng.randint(1, 5))
    if rng.random() < 0.3:
        o.append("-m cat")
    debug = [rng.choice(row) for row in WORDS if rng.random() < 0.4]
    return "MR_DEBUG=%s %s run %s --agg '%s'" % (
        ",".join(debug), mr, " ".join(o), " ".join(words))


def run(line, data):
    p = subprocess.run(["sh", "-c", line], input=data,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout, p.stderr


def datamash(records, spec):
    words = [w for op, field in spec for w in (op, str(field))]
    data = b"".join(r + b"\n" for r in sorted(
        records, key=lambda r: r.split(b"\t")[0]))
    p = subprocess.run(["datamash", "-g1"] + words, input=data,
                       stdout=subprocess.PIPE, check=True)
    return p.stdout


def is_number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


def lost(want, got, spec):
    """How many of datamash's results are not the right number.  Any other
    difference ends the test."""
    n = 0
    for w, g in zip(want.splitlines(), got.splitlines()):
        w, g = w.split(b"\t"), g.split(b"\t")
        if len(w) != len(g):
            raise SystemExit("%r: datamash has %r" % (w, g))
        for i, (x, y) in enumerate(zip(w, g)):
            if x == y:
                continue
            if not (i > 0 and spec[i - 1][0] in NUMERIC and is_number(y)):
                raise SystemExit("%r: datamash has %r" % (w, g))
            n += 1
    if want.count(b"\n") != got.count(b"\n"):
        raise SystemExit("datamash has other groups")
    return n


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--mr", default=os.environ.get("MR", "mr"))
    p.add_argument("--seed", default=str(random.randrange(10 ** 9)))
    p.add_argument("--sets", type=int, default=200)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--datamash", action="store_true")
    args = p.parse_args()
    results = differences = 0
    for k in range(args.first, args.first + args.sets):
        rng = random.Random("%s:%d" % (args.seed, k))
        records, spec = make_set(rng, not args.datamash)
        if args.datamash:
            spec = [s for s in spec if ":" not in s[0]] or [("sum", 2)]
        line = command(rng, args.mr, spec)
        data = b"".join(r + b"\n" for r in records)
        try:
            want, status = aggregate(records, spec), 0
        except Wrong:
            want, status = None, 1
        got = run(line, data)
        if got[0] != status or want is not None and got[1] != want:
            with open("set", "wb") as f:
                f.write(data)
            with open("want", "wb") as f:
                f.write(want or b"")
            with open("got", "wb") as f:
                f.write(got[1])
            print("set %d of seed %s: exit status %d, not %d\n%s <set" % (
                k, args.seed, got[0], status, line))
            print(got[2].decode(errors="replace"))
            for w, g in zip((want or b"").splitlines(), got[1].splitlines()):
                if w != g:
                    print("want %r\ngot  %r" % (w, g))
                    break
            return 1
        if args.datamash:
            results += want.count(b"\n") * len(spec)
            differences += lost(want, datamash(records, spec), spec)
    if args.datamash:
        print("%d of %d results of datamash are not exact" % (
            differences, results))
        # Most are: else it would not be digits that it has lost.
        return differences * 20 > results
    return 0


if __name__ == "__main__":
    sys.exit(main())
