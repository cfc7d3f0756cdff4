#!/usr/bin/env python3
"""Random keys for mr sort, compared byte for byte with sort(1).

Case K of seed N is always the same case: its data, its key definitions and
its options come from Random("N:K").  Output and exit status must be those of
LC_ALL=C sort -s -t SEP with the same keys and options; what sort refuses, mr
refuses.  With --key-fields it is the order of mr run: the keys that lead, the
key's bytes, the other keys.  A case that fails is printed as two commands,
with its data beside them.
"""
import argparse
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile

SUFFIXES = ["", "", "K", "M", "G", "k", "Ki", "T", "E", "Z", "Y", "m", "x"]
MONTHS = ["jan", "FEB", "Mar", "apr", "may", "JUN", "jul", "aug", "sep",
          "october", "Nov", "dec", "ja", "janx", "foo", ""]
PARTS = ["a", "b", "A", "~", ".", "-", "_", "0", "1", "9", "10", "007", "ab",
         ".tar", ".gz", ".c", "~", ".1", ".~1~", "+", "é", "^", "00", "..",
         "99999999999999999999"]
WORDS = ["", "a", "A", "b", "B", "ab", "aB", "Ab", "a b", "a-b", "a.b", "_a",
         "\x01a", "a\x02", "a\x7f", "z", "Z", "é", "ÿ", " a", "  a", "a ",
         "[", "`", "@"]


def number(rng):
    x = rng.choice(("", "-", "-", "+", "--") if rng.random() < .4 else ("",))
    if rng.random() < .3:
        x = " " * rng.randint(1, 3) + x
    x += "0" * rng.choice((0, 0, 0, 1, 5))
    n = rng.choice((0, 1, 1, 1, 2, 2, 5, 20, 40, 120))
    x += "".join(rng.choice("0012359") for _ in range(n))
    if rng.random() < .4:
        n = rng.choice((0, 1, 2, 3, 35, 70))
        x += "." + "".join(rng.choice("0001259") for _ in range(n))
    return x + rng.choice(("", "", "", "", "x", " ", ",5", ".", "-1"))


def floating(rng):
    # No NaN: sort may find one different from itself.
    return rng.choice((
        lambda: number(rng),
        lambda: "%s%de%d" % (rng.choice(("", "-", "+")), rng.randint(0, 30),
                             rng.randint(-9, 9)),
        lambda: rng.choice(("inf", "-inf", "INFINITY", "0x1p4",
                            "-0x.8p-3", "1e4000", "-1e4000", "1e5000",
                            "1e-4940", "1e-4950", "2e-4950", "1e-5000", "-0",
                            "0", "e5", "0x", "1e", "1e+", ".", "-.5e1", "")),
        lambda: repr(rng.uniform(-10, 10)),
        lambda: "0.1" + "0" * rng.randint(0, 20) + rng.choice("012"),
    ))()


FIELDS = {
    "n": number,
    "g": floating,
    "h": lambda r: number(r).rstrip("x ,.-") + r.choice(SUFFIXES),
    "M": lambda r: " " * r.choice((0, 0, 1, 3)) + r.choice(MONTHS),
    "V": lambda r: "".join(r.choice(PARTS) for _ in range(r.randint(0, 5))),
    "": lambda r: r.choice(WORDS),
}


def make_data(rng, sep, eor, kinds):
    """Lines of fields, many of them alike."""
    pools = [[FIELDS[k](rng).encode() for _ in range(rng.choice((3, 8, 40)))]
             for k in kinds]
    if rng.random() < .2:
        pools[-1] += [b"\0", b"a\0b", b"\xff", b"\xfe\0"]
    out = b""
    for _ in range(int(2 ** rng.uniform(0, 8))):
        fields = [rng.choice(p) for p in pools]
        out += sep.join(fields[:rng.choice((len(fields),) * 6 + (1, 2))]) + eor
    # In a number some builds of sort skip the byte 80.
    out = out.replace(b"\x80", b"")
    return out[:-1] if out and rng.random() < .1 else out


def orders(rng, kind):
    """Letters: for the kind of a field, or any."""
    x = rng.random()
    if x < .45:
        base = kind
    elif x < .6:
        base = rng.choice("nghMV")
    elif x < .62:
        base = "".join(rng.sample("bdfghiMnrV", 3))     # often refused
    else:
        base = rng.choice(("", "", "f", "d", "i", "fd", "fi", "b", "di"))
    if base == "V" and rng.random() < .2:
        base += rng.choice("dif")
    if rng.random() < .25:
        base += "r"
    if rng.random() < .15:
        base += "b"
    return "".join(rng.sample(base, len(base)))


def keydef(rng, kinds):
    if rng.random() < .03:
        return rng.choice(("0", "1.0", "1,0", "", "x", "1,", "1.", "1,2x",
                           ",2", "1n2", "1,2.", "-1", "1,1 ", "1nX"))
    f = rng.randint(1, len(kinds) + (rng.random() < .1))
    kind = kinds[min(f, len(kinds)) - 1]
    c = ".%d" % rng.randint(1, 5) if rng.random() < .2 else ""
    first = "%d%s" % (f, c)
    x = rng.random()
    if x < .15:
        return first + orders(rng, kind)
    end = "%d" % (f if x < .8 else rng.randint(1, len(kinds) + 1))
    if rng.random() < .15:
        end += ".%d" % rng.randint(0, 6)
    if rng.random() < .2:
        return "%s%s,%s%s" % (first, rng.choice(("b", "", orders(rng, kind))),
                              end, orders(rng, kind))
    return "%s,%s%s" % (first, end, orders(rng, kind))


class Case:
    """words: for mr sort; reference: for sort."""

    def __init__(self, seed, number):
        rng = self.rng = random.Random("%s:%s" % (seed, number))
        self.eor = b"\0" if rng.random() < .1 else b"\n"
        sep = "\t" if rng.random() < .5 else rng.choice(", :;a1.")
        kinds = [rng.choice(list(FIELDS)) for _ in range(rng.randint(1, 3))]
        words, ref = [], ["-s"]
        if self.eor == b"\0":
            words.append("-z")
            ref.append("-z")
        given = sep != "\t" or rng.random() < .1
        if given:
            words += ["-t", sep]
        self.fields = 0
        self.data = [make_data(rng, sep.encode(), self.eor, kinds)
                     for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        keys = [keydef(rng, kinds) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        if rng.random() < .2 and len(kinds) > 1:
            self.run_order(kinds, keys, words, ref)
        else:
            some = []
            while rng.random() < (.5 if not keys else .15):
                some.append("-" + rng.choice("bdfghiMnrV"))
            if rng.random() < .15:
                some.append("-u")
            for k in keys:
                words += ["-k", k]
                ref += ["-k", k]
            words += some
            ref += some
            if not keys and ("-u" not in some or given):
                ref += ["-k", "1,1"]
        ref += ["-t", sep]
        x = rng.random()
        self.merge = x < .1
        if self.merge:
            words.append("-m")
            ref.append("-m")
        elif x < .2:
            how = rng.choice(("-c", "-C"))
            words.append(how)
            ref.append(how)
            if rng.random() < .9:
                del self.data[1:]
        self.options = [] if x < .2 else rng.choice((
            [], [], ["-j1"], ["--parallel=2"], ["-S", "8M"],
            ["--block-size", "64"]))
        self.out = x > .9
        self.words, self.ref = words, ref

    def run_order(self, kinds, keys, words, ref):
        rng = self.rng
        n = rng.randint(1, len(kinds))
        lead = ["%d,%d%s" % (i, i, orders(rng, kinds[i - 1]))
                for i in range(1, n + 1)]
        if rng.random() < .3:
            lead = ["1,%d%s" % (n, orders(rng, kinds[0]))]
        elif rng.random() < .2:
            rng.shuffle(lead)
        words.append("--key-fields=%d" % n)
        for k in lead + keys:
            words += ["-k", k]
        for k in lead + ["1,%d" % n] + keys:
            ref += ["-k", k]


def run(argv, where, out):
    with open(os.path.join(where, out), "wb") as f, \
            open(os.path.join(where, "in0"), "rb") as stdin:
        p = subprocess.run(argv, cwd=where, stdin=stdin, stdout=f,
                           stderr=subprocess.PIPE,
                           env=dict(os.environ, LC_ALL="C"))
    return p.returncode, p.stderr


def read(where, name):
    try:
        with open(os.path.join(where, name), "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def try_case(case, where, mr):
    """What is wrong, or None; the commands; their exit status."""
    os.makedirs(where)
    names = ["in%d" % i for i in range(len(case.data))]
    for name, data in zip(names, case.data):
        with open(os.path.join(where, name), "wb") as f:
            f.write(data)
    if case.merge:
        plain = [w for w in case.ref if w != "-m"]
        for name in names:
            run(["sort", *plain, name, "-o", name], where, "none")
    if len(names) == 1 and case.rng.random() < .3:
        names = case.rng.choice(([], ["-"]))
    ref = ["sort", *case.ref, *names]
    argv = [mr, "sort", *case.words, *case.options, *names]
    if case.out and "-c" not in argv and "-C" not in argv:
        argv += ["-o", "result"]
    want_status, _ = run(ref, where, "want")
    status, err = run(argv, where, "got")
    if status != want_status:
        return "exit status %d, not %d (%r)" % (status, want_status,
                                                err), ref, argv, status
    if status == 2 and not err:
        return "refused without a word", ref, argv, status
    got = read(where, "result" if "-o" in argv and status == 0 else "got")
    if status < 2 and got != read(where, "want"):
        return "the output differs", ref, argv, status
    return None, ref, argv, status


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--mr", default=os.environ.get("MR") or
                   os.path.join(here, "../../mr"))
    p.add_argument("--seed", default=os.environ.get("MR_CONTRACT_SEED") or
                   str(secrets.randbelow(10 ** 9)))
    p.add_argument("--cases", type=int, default=100)
    p.add_argument("--only", type=int, metavar="K")
    p.add_argument("--keep", metavar="DIR", default="/var/tmp",
                   help="for what belongs to cases that fail")
    args = p.parse_args()
    mr = os.path.abspath(args.mr)
    work = tempfile.mkdtemp(prefix="keydefs-")
    failed = refused = 0
    for n in [args.only] if args.only is not None else range(args.cases):
        where = os.path.join(work, str(n))
        case = Case(args.seed, n)
        wrong, ref, argv, status = try_case(case, where, mr)
        refused += status == 2
        if wrong:
            failed += 1
            kept = tempfile.mkdtemp(prefix="mr-keydefs-", dir=args.keep)
            shutil.copytree(where, kept, dirs_exist_ok=True)
            print("keydefs: case %d of seed %s: %s" % (n, args.seed, wrong))
            print("  %r\n  %r\n  data, want, got: %s" % (ref, argv, kept))
        shutil.rmtree(where)
        if failed >= 3:
            break
    shutil.rmtree(work)
    print("keydefs: seed %s, %d failed, %d refused" % (
        args.seed, failed, refused))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
