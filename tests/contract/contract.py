#!/usr/bin/env python3
"""Random jobs for mr, compared byte for byte with coreutils.

The contract: `mr run -m MAP -r REDUCE FILE...` prints what

    cat FILE... | MAP | LC_ALL=C sort -s -t TAB -k1,1 | REDUCE

prints, whatever the number of workers, the split size and the memory.  Job K
of seed N is always the same job: its data, its commands and its options come
from Random("N:K").  Each is run in a directory of its own, once by mr and
once by reference.sh, a pipeline of coreutils; besides the bytes the exit
status is compared, and no file may be left in TMPDIR, no process, and nothing
beside the output.  The filters and shuffle are held to their own references.

A job that fails is kept: job.sh there is what was run, reference.sh what it
was compared with.  --only K runs one job again; --shrink makes it smaller.
"""
import argparse
import concurrent.futures
import copy
import dataclasses
import os
import random
import re
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

# Choices inside mr that MR_DEBUG forces, at most one of each row; a word that
# mr does not know is ignored.
DEBUG_WORDS = (
    ("group", "nogroup", "switch"),
    ("radix", "noradix"),
    ("nojoin",),
    ("spill",),
    ("sortload", "noload"),
)


@dataclasses.dataclass
class Operand:
    """Some bytes, and how mr gets them.

    how: file, fifo, fd (as <( ) makes them), dir (then members is set), or
    for standard input: stdin-file, stdin-offset (a file of which a part was
    read already), stdin-pipe.  A name of "" is standard input unnamed.  The
    same object twice in a job is the same file named twice."""
    how: str
    name: str
    data: bytes = b""
    members: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Job:
    kind: str
    eor: bytes                  # ends a record
    sep: bytes                  # ends a field
    fields: int                 # in the key
    operands: list
    mapper: str = None
    reducer: str = None
    # Options of no consequence to the output, each of them a list of words;
    # for a pipeline those of its three commands.
    options: list = dataclasses.field(default_factory=lambda: [[], [], []])
    flags: list = dataclasses.field(default_factory=list)
    debug: list = dataclasses.field(default_factory=list)
    out: str = "stdout"         # stdout, file, dir
    out_operand: int = -1       # -o names this operand, if not negative
    old: bool = False           # the output file exists already
    flaky: str = ""             # how first attempts fail
    parts: int = 0              # -R
    failing: str = ""           # the byte that makes the mapper fail
    unsorted: bool = False      # what mr reduce is given, to refuse it
    fold: bool = False          # the options stand behind the operands
    unordered: bool = False


# ---------------------------------------------------------------- records

def complete(data, eor):
    """What mr reads of a file: a missing last delimiter is supplied."""
    return data if not data or data.endswith(eor) else data + eor


def records_of(data, eor):
    return complete(data, eor).split(eor)[:-1]


def key_of(record, sep, fields):
    at = -1
    for _ in range(fields):
        at = record.find(sep, at + 1)
        if at < 0:
            return record
    return record[:at]


ALPHABETS = {
    "ab": b"ab",
    "lower": bytes(range(97, 123)),
    "digits": b"0123456789",
    "words": b"abcdeABCDE  ",
    "nul": b"\0\0\1a",
    # The neighbours of TAB, and the ends: a comparison of lines, or of
    # signed bytes, or one that takes padding for bytes, goes wrong here.
    "edge": b"\0\x01\x08\x0b\x0d\x1f a\x7f\x80\xfe\xff",
    "all": bytes(range(256)),
}

LENGTHS = {
    "none": lambda r: 0,
    "tiny": lambda r: int(r.random() * 4),
    "short": lambda r: int(r.random() * 24),
    "edge": lambda r: r.choice((0, 1, 7, 8, 9, 15, 16, 17, 29, 30, 31, 33)),
    "medium": lambda r: int(r.random() * 300),
    "kilo": lambda r: 1000 + int(r.random() * 300),
}


class Source:
    """Endless random bytes of one alphabet, handed out in slices."""

    def __init__(self, rng, alphabet, without):
        letters = bytes(b for b in alphabet if b not in without) or b"a"
        table = bytes(letters[i % len(letters)] for i in range(256))
        self.rng = rng
        self.blob = rng.randbytes(1 << 16).translate(table) * 3

    def take(self, n):
        at = int(self.rng.random() * 65536)
        return self.blob[at:at + n]


def make_records(rng, eor, sep, fields, alphabets, amount):
    """A list of records without their delimiters.  amount: few; many, short
    ones; or big, 6 to 16 MB, so that a small memory spills."""
    big = amount == "big"
    limit, count = {
        "few": (250_000, int(2 ** (rng.random() * 12)) - 1),
        "many": (2_000_000, rng.randint(30_000, 150_000)),
        "big": (rng.randint(6_000_000, 16_000_000), 1 << 30),
    }[amount]
    keys = Source(rng, ALPHABETS[alphabets[0]], eor + sep)
    values = Source(rng, ALPHABETS[alphabets[1]], eor)
    if big:
        klen = LENGTHS[rng.choice(("short", "edge", "medium"))]
        vlen = LENGTHS[rng.choice(("medium", "medium", "kilo", "short"))]
    else:
        klen = LENGTHS[rng.choice(("tiny", "short", "short", "edge",
                                   "medium", "none"))]
        vlen = LENGTHS[rng.choice(("none", "tiny", "tiny", "short", "edge",
                                   "medium"))]
    prefix = keys.take(rng.choice((0, 0, 0, 1, 8, 100)))
    huge = rng.choice((0, 0, 0, 0.003, 0.03)) if not big else 0.0001
    distinct = rng.choice((1, 3, 30, 1000, 0, 0))     # 0: all
    pool = [prefix + keys.take(klen(rng)) for _ in range(distinct)]
    hot = rng.choice((0, 0, 0, 0.5, 0.99))            # share of one key
    few = [values.take(vlen(rng)) for _ in range(4)]
    plain = rng.choice((0, 0, 0.1, 0.9))              # share without value
    repeat = rng.choice((0, 0, 0.3, 0.9))             # the same once more
    hot_key = prefix + keys.take(klen(rng))

    def field():
        if rng.random() < huge:
            return prefix + keys.take(int(rng.random() * 100_000))
        if hot and rng.random() < hot:
            return hot_key
        if pool:
            return pool[int(rng.random() * len(pool))]
        return prefix + keys.take(klen(rng))

    out = []
    size = 0
    while len(out) < count and size < limit:
        if out and rng.random() < repeat:
            rec = out[-1]
        else:
            rec = field()
            for _ in range(fields - 1):
                rec += sep + field()
            x = rng.random()
            if x < plain:
                if fields > 1:
                    rec = key_of(rec, sep, rng.randint(1, fields))
            elif x < plain + 0.1:
                rec += sep
            elif x < plain + 0.3:
                rec += sep + few[int(x * 100) % 4]
            elif rng.random() < huge:
                rec += sep + values.take(int(rng.random() * 100_000))
            else:
                rec += sep + values.take(vlen(rng))
        out.append(rec)
        size += len(rec) + 1
    order = rng.choice(("random", "random", "random", "sorted", "reversed",
                        "keys"))
    if order == "sorted":
        out.sort()
    elif order == "reversed":
        out.sort(reverse=True)
    elif order == "keys":
        out.sort(key=lambda r: key_of(r, sep, fields))
    return out


def scatter(rng, recs, eor, n):
    """The records in n pieces, some of them without the last delimiter."""
    cuts = sorted(rng.randint(0, len(recs)) for _ in range(n - 1))
    pieces = []
    for lo, hi in zip([0] + cuts, cuts + [len(recs)]):
        data = b"".join(r + eor for r in recs[lo:hi])
        if data and rng.random() < 0.3:
            data = data[:-1]
        pieces.append(data)
    return pieces


NAMES = ("f%d", "f%d", "f%d", "a b%d", "$(id)%d", "-n%d", "'%d", "\n%d", "*%d")


def make_operands(rng, recs, eor):
    """Operands for mr run and mr sort; standard input at most once."""
    n = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 8, 30))
    if n == 0:
        how = rng.choice(("stdin-file", "stdin-offset", "stdin-pipe"))
        return [Operand(how, "", scatter(rng, recs, eor, 1)[0])]
    ops = []
    stdin = False
    pieces = scatter(rng, recs, eor, n)
    for i, data in enumerate(pieces):
        how = rng.choice(("file",) * 12 + ("fifo", "fd", "stdin", "dir",
                                           "again"))
        name = rng.choice(NAMES) % i
        if how == "stdin" and not stdin:
            stdin = True
            how = rng.choice(("stdin-file", "stdin-offset", "stdin-pipe"))
            name = "-"
        elif how == "again":
            old = [o for o in ops if o.how == "file"]
            if old:
                ops.append(rng.choice(old))
                continue
            how = "file"
        elif how == "stdin":
            how = "file"
        op = Operand(how, name, data)
        if how == "dir":
            op.data = b""
            m = [n % j for j, n in enumerate(rng.sample(NAMES, 3))]
            op.members = [Operand("file", x, d) for x, d in
                          zip(m, scatter(rng, records_of(data, eor), eor, 3))]
        ops.append(op)
    return ops


def whole_of(job):
    """cat FILE..., missing final delimiters supplied."""
    out = []
    for op in job.operands:
        inner = sorted(op.members, key=lambda m: os.fsencode(m.name))
        for o in inner if op.how == "dir" else [op]:
            out.append(complete(o.data, job.eor))
    return b"".join(out)


# --------------------------------------------------------------- commands

PYTHON = shlex.quote(sys.executable) + " -ISc "


def perl(job, code):
    """A perl filter that sees each record, without its delimiter, in $_.
    SEP in code is the separator, in a string or in a pattern."""
    code = code.replace("SEP", r"\x%02x" % job.sep[0])
    return "perl %s-lne %s" % ("-0 " if job.eor == b"\0" else "",
                               shlex.quote(code))


def with_key(job, code):
    """Perl code for which $k is the key of $_."""
    n = job.fields
    return ('@f=split/SEP/,$_,%d;$k=@f?join("SEP",@f[0..(@f<%d?@f:%d)-1]):"";'
            % (n + 1, n, n)) + code


# The whole input first, then the whole output.
SLURP = "perl -e 'undef $/;print <>'"
# Says so if there was nothing: only where the whole input is empty may a
# command run on nothing.
NONE = '$n++;print;END{print "none" if !$n}'


def mappers(job, text):
    """Commands that treat each record on its own and make 0 to 3 of it, or
    a few more.  text: the data hold no NUL."""
    z = " -z" if job.eor == b"\0" else ""
    c = [
        "cat",
        "cat",
        "tr a-z A-Z",
        "tr -d a | tr b c",
        "sed%s /a/d" % z,
        "sed%s -n 'p;/a/p;/b/p'" % z,
        "sed%s 's/^./&&/;s/a/b/g'" % z,
        "grep%s -a a" % z,
        SLURP,
        perl(job, NONE),
        perl(job, "print for (($_) x (length($_) % 4))"),
        perl(job, 'for my $i (1..length($_)%4){print "${i}SEP$_"}'),
        perl(job, '@f=split/SEP/,$_,2;print @f>1?"$f[1]SEP$f[0]":$_'),
        perl(job, 'print "${_}SEP1" for split/[^a-z]+/'),
        perl(job, '$|=1;print'),            # a write for each record
        perl(job, 'print scalar reverse $_'),
        swap_in_python(job),
    ]
    if job.reducer is not None:
        # The last record that a task prints lacks its delimiter.
        c.append("perl %s-pe 's/%s\\z// if eof && length > 1'"
                 % (("-0 ", "\\0") if z else ("", "\\n")))
    if text and not z:
        c += [
            "awk '{ n = length($0) % 4; for (i = 0; i < n; i++) print }'",
            "awk '{ for (i = 1; i <= NF; i++) print $i \"\\t1\" }'",
        ]
    if text and job.sep == b"\t":
        c += ["cut%s -f2-" % z, "cut%s -f1" % z]
    return c


def swap_in_python(job):
    code = """
import sys
for line in sys.stdin.buffer.read().split(%r)[:-1]:
    k, s, v = line.partition(%r)
    sys.stdout.buffer.write(v + s + k + %r)
"""
    # A last record without its delimiter would be lost: supply it first.
    return "perl %s-lpe 1 | %s%s" % (
        "-0 " if job.eor == b"\0" else "", PYTHON,
        shlex.quote(code.strip() % (job.eor, job.sep, job.eor)))


def reducers(job, text):
    """Commands that treat each key on its own."""
    z = " -z" if job.eor == b"\0" else ""
    change = 'if($n&&$k ne $p){print "%s";$n=0}'
    c = [
        "cat",
        "cat",
        "uniq%s -c" % z,
        "uniq%s" % z,
        "tr a-z A-Z",
        "sed%s /a/d" % z,
        SLURP,
        perl(job, NONE),
        perl(job, with_key(job, change % "${p}SEP$n" +
                           '$p=$k;$n++;END{print "${p}SEP$n" if $n}')),
        perl(job, with_key(job, change % "$l" +
                           '$l=$_;$p=$k;$n++;END{print $l if $n}')),
        perl(job, with_key(job, 'print if !$n++||$k ne $p;$p=$k')),
        perl(job, with_key(job, '$n=0 if $k ne $p;$p=$k;$n++;'
                           'print "$_ $n"')),
    ]
    if text and not z and job.sep == b"\t" and job.fields == 1:
        # The empty string makes keys strings: 1 and 1.0 are two.
        c += [
            """awk -F'\\t' '{ k = $1 "" }
NR > 1 && k != p { print p "\\t" n "\\t" s; n = s = 0 }
{ p = k; n++; s += $2 }
END { if (NR) print p "\\t" n "\\t" s }'""",
            "cut -f1 | uniq -c",
        ]
    return c


def flaky(how, command):
    """The command, failing on the first attempt of most of its tasks."""
    if not how or command is None:
        return command
    first = {
        "after": "{ %s ; }; exit 3",
        "midway": "head -c 300 | { %s ; }; exit 3",
        "killed": "head -c 300 | { %s ; }; kill -KILL $$",
        "at once": "exit 3",
    }[how].replace("%s", command)
    return ("if [ $((MR_TASK %% 3)) -ne 1 ] && "
            'mkdir "$CONTRACT_FLAGS/$MR_PHASE-$MR_TASK" 2>/dev/null; then '
            "%s; fi; %s" % (first, command))


# ------------------------------------------------------------------- jobs

def spell(rng, short, name, value):
    """An option in one of the ways to write it."""
    value = str(value)
    forms = [["--%s=%s" % (name, value)], ["--" + name, value]]
    if short:
        forms += [[short + value], [short, value]] * 2
    return rng.choice(forms)


def size(rng, n):
    return str(n) if n % 1024 or rng.random() < 0.5 else "%dK" % (n // 1024)


def block_size(rng, total, tasks):
    """Random, but not so small as to make more tasks than that."""
    n = max(int(2 ** (rng.random() * 20)), total // tasks)
    return n - n % 1024 if n > 4096 and rng.random() < 0.5 else n


def sort_options(rng, big):
    """For whatever sorts."""
    o = []
    if big:
        o.append(spell(rng, "-S", "buffer-size", rng.choice(
            ("4M", "4M", "6M", "8M", "16M"))))
        if rng.random() < 0.8:
            o.append(spell(rng, "", "batch-size", rng.randint(2, 4)))
    else:
        if rng.random() < 0.3:
            o.append(spell(rng, "-S", "buffer-size", rng.choice(
                ("4M", "5M", "8192K", "16M", "64M"))))
        if rng.random() < 0.3:
            o.append(spell(rng, "", "batch-size", rng.randint(2, 16)))
    if rng.random() < (0.2 if big else 0.1):
        o.append(spell(rng, "", "compress-program", "gzip"))
    return o


def common_options(rng):
    o = []
    if rng.random() < 0.6:
        o.append(spell(rng, "-j", "jobs", rng.randint(1, 8)))
    if rng.random() < 0.2:
        o += [spell(rng, "-T", "temporary-directory", d)
              for d in rng.sample(("t1", "t2"), rng.randint(1, 2))]
    if rng.random() < 0.1:
        o.append([rng.choice(("-q", "-v", "--quiet", "--verbose"))])
    return o


def task_options(rng, job, total, command):
    """For whatever runs commands in tasks."""
    o = []
    tasks = 6 if command and sys.executable in command else 40
    if rng.random() < 0.6:
        o.append(["--block-size=" + size(rng, block_size(rng, total, tasks))])
    if job.flaky or rng.random() < 0.1:
        o.append(["--retries=%d" % rng.randint(1, 3)])
    if command and command.startswith("grep"):
        o.append(["--ok-exit=1"])
    return o


def make_job(seed, number, big):
    rng = random.Random("%s:%s" % (seed, number))
    x = rng.random() / (4 if big else 1)
    amount = "big" if x < 0.04 else "many" if x < 0.1 else "few"
    kind = rng.choice(("run",) * 12 + ("map", "sort", "sort", "reduce",
                      "reduce", "shuffle", "pipeline", "pipeline"))
    eor = b"\n" if rng.random() < 0.85 else b"\0"
    seps = [b" ", b",", b":", b"a", b"\xff", b"\x01", b"\\", b"'"]
    seps.append(b"\0" if eor == b"\n" else b"\n")
    sep = b"\t" if rng.random() < 0.75 else rng.choice(seps)
    job = Job(kind, eor, sep, 1 if rng.random() < 0.8 else rng.randint(2, 4),
              [])
    maponly = kind == "map" or kind == "run" and rng.random() < 0.12
    if maponly:
        job.sep, job.fields = b"\t", 1      # -t would have no effect
    words = [rng.choice(row) for row in DEBUG_WORDS if rng.random() < 0.25]
    job.debug = sorted(words, key=lambda _: rng.random())
    alphabets = [rng.choice(tuple(ALPHABETS)) for _ in "kv"]
    text = (not {"nul", "all", "edge"} & set(alphabets) and job.sep != b"\0"
            and eor == b"\n")
    recs = make_records(rng, eor, job.sep, job.fields, alphabets, amount)
    if rng.random() < 0.2:
        # The nature of the data changes on the way.
        recs += make_records(rng, eor, job.sep, job.fields, alphabets, amount)
    if rng.random() < 0.03:
        recs = []
    if kind in ("run", "sort"):
        job.operands = make_operands(rng, recs, eor)
    elif kind == "map" and rng.random() < 0.2:
        job.operands = [Operand("file", rng.choice(NAMES) % 0,
                                scatter(rng, recs, eor, 1)[0])]
    else:
        job.operands = [Operand(
            rng.choice(("stdin-file", "stdin-offset", "stdin-pipe")), "",
            scatter(rng, recs, eor, 1)[0])]
    total = len(whole_of(job))
    job.fold = rng.random() < 0.2
    job.old = rng.random() < 0.5
    {"run": make_run, "map": make_map, "sort": make_sort,
     "reduce": make_reduce, "shuffle": make_shuffle,
     "pipeline": make_pipeline}[kind](rng, job, total, text,
                                      amount == "big", maponly)
    return job


def make_run(rng, job, total, text, big, maponly):
    if not maponly:
        job.reducer = rng.choice(reducers(job, text))
    if maponly or rng.random() < 0.8:
        job.mapper = rng.choice(mappers(job, text))
    if job.mapper and rng.random() < 0.07:
        job.failing = rng.choice("abe")
        job.mapper = perl(job, "exit 7 if /%s/;print" % job.failing)
    elif rng.random() < 0.12:
        job.flaky = rng.choice(("after", "midway", "killed", "at once"))
    job.out = rng.choice(("stdout",) * 6 + ("file",) * 2 + ("dir",) * 2)
    files = [i for i, o in enumerate(job.operands) if o.how == "file"]
    if job.out == "file" and files and rng.random() < 0.4:
        job.out_operand = rng.choice(files)
    o = common_options(rng) + task_options(rng, job, total, job.mapper)
    if big or rng.random() < 0.3:
        o += sort_options(rng, big) if not maponly else []
    if job.operands[0].name != "":
        x = rng.random()
        if x < 0.1 and "none" not in (job.mapper or ""):
            o = [w for w in o if not w[0].startswith("--block-size")]
            o.append(["--whole-file"])
        elif x < 0.3:
            o.append(["--pack"])
    if not maponly or job.out == "dir":
        if rng.random() < 0.5:
            job.parts = rng.randint(1, 20)
    if job.out == "stdout" and rng.random() < 0.05:
        job.unordered = True
    if total and rng.random() < 0.05:
        o.append(["--nonempty"])
    job.options[0] = o


def make_map(rng, job, total, text, big, maponly):
    job.mapper = rng.choice(mappers(job, text))
    job.reducer = None
    if rng.random() < 0.1:
        job.failing = rng.choice("abe")
        job.mapper = perl(job, "exit 7 if /%s/;print" % job.failing)
    elif rng.random() < 0.15:
        job.flaky = rng.choice(("after", "midway", "killed", "at once"))
    job.options[0] = (common_options(rng) +
                      task_options(rng, job, total, job.mapper))


def make_sort(rng, job, total, text, big, maponly):
    job.options[0] = common_options(rng) + sort_options(rng, big)
    x = rng.random()
    if x < 0.1:
        for op in job.operands:
            for o in op.members or [op]:
                recs = records_of(o.data, job.eor)
                recs.sort(key=lambda r: key_of(r, job.sep, job.fields))
                o.data = b"".join(r + job.eor for r in recs)
        job.flags = ["-m"]
        job.options[0] = common_options(rng)
    elif x < 0.2:
        recs = records_of(whole_of(job), job.eor)
        if rng.random() < 0.7:
            recs.sort(key=lambda r: key_of(r, job.sep, job.fields))
        if len(recs) > 1 and rng.random() < 0.3:
            i = rng.randrange(len(recs) - 1)
            recs[i], recs[i + 1] = recs[i + 1], recs[i]
        job.operands = [Operand(rng.choice(("file", "fifo")), "f",
                                b"".join(r + job.eor for r in recs))]
        job.flags = [rng.choice(("-c", "-C"))]
        job.options[0] = []
        return
    elif x < 0.3:
        # Whole records are compared: by the bytes, or by key and then the
        # rest?  It is the same where nothing in a key sorts before TAB.
        low = bytes(b for b in range(10) if b not in job.eor)
        for op in job.operands:
            for o in op.members or [op]:
                o.data = o.data.translate(None, low)
        job.sep, job.fields = b"\t", 1
        job.flags = ["-u"]
    job.out = rng.choice(("stdout", "stdout", "file"))
    files = [i for i, o in enumerate(job.operands) if o.how == "file"]
    if job.out == "file" and files and rng.random() < 0.4:
        job.out_operand = rng.choice(files)


def make_reduce(rng, job, total, text, big, maponly):
    op = job.operands[0]
    recs = records_of(op.data, job.eor)
    recs.sort(key=lambda r: key_of(r, job.sep, job.fields))
    job.reducer = rng.choice(reducers(job, text))
    job.options[0] = (common_options(rng) +
                      task_options(rng, job, total, job.reducer))
    x = rng.random()
    if x < 0.15:
        # Together, but in no order.
        groups = {}
        for r in recs:
            groups.setdefault(key_of(r, job.sep, job.fields), []).append(r)
        together = list(groups.values())
        rng.shuffle(together)
        recs = [r for g in together for r in g]
        job.flags = ["--grouped"]
    elif x < 0.25 and len(recs) > 1:
        i = rng.randrange(len(recs) - 1)
        recs[i], recs[-1] = recs[-1], recs[i]
        job.unsorted = True
        job.reducer = "cat"
    elif rng.random() < 0.15:
        job.flaky = rng.choice(("after", "midway", "killed", "at once"))
        job.options[0].append(["--retries=1"])
    op.data = b"".join(r + job.eor for r in recs)
    if op.data and rng.random() < 0.2:
        op.data = op.data[:-1]
    if rng.random() < 0.2:
        op.how, op.name = "file", "f"


def make_shuffle(rng, job, total, text, big, maponly):
    job.parts = rng.randint(1, 20)
    job.out = "dir"
    job.options[0] = common_options(rng)


def make_pipeline(rng, job, total, text, big, maponly):
    job.reducer = rng.choice(reducers(job, text))
    job.mapper = rng.choice(mappers(job, text))
    if rng.random() < 0.15:
        job.flaky = rng.choice(("after", "midway", "killed", "at once"))
    job.options = [
        common_options(rng) + task_options(rng, job, total, job.mapper),
        common_options(rng) + sort_options(rng, big),
        common_options(rng) + task_options(rng, job, total, job.reducer),
    ]


# ------------------------------------------------------ what mr is given

def format_options(job, sub):
    o = []
    if job.eor == b"\0":
        o.append("-z")
    if sub != "map":
        if job.sep == b"\0":
            o.append(r"-t\0")
        elif job.sep != b"\t":
            o += ["-t", os.fsdecode(job.sep)]
        if job.fields > 1:
            o.append("--key-fields=%d" % job.fields)
    return o


def stages(job, names):
    """The commands, each a list of words; they are joined by pipes."""
    def flat(options):
        return [w for o in options for w in o]

    mapper, reducer = flaky(job.flaky, job.mapper), flaky(job.flaky,
                                                          job.reducer)
    if job.kind == "pipeline":
        return [
            ["mr", "map", *format_options(job, "map"), *flat(job.options[0]),
             "-c", mapper],
            ["mr", "sort", *format_options(job, "sort"),
             *flat(job.options[1])],
            ["mr", "reduce", *format_options(job, "reduce"),
             *flat(job.options[2]), "-c", reducer],
        ]
    maponly = job.kind == "run" and job.reducer is None
    o = format_options(job, "map" if maponly else job.kind)
    o += flat(job.options[0]) + job.flags
    if job.parts:
        o.append("-R%d" % job.parts)
    if job.out == "dir":
        o += ["-O", "out/parts"]
    elif job.out == "file" and job.out_operand >= 0:
        o += ["-o", job.operands[job.out_operand].name]
    elif job.out == "file":
        o += ["-o", "out/result"]
    if job.unordered:
        o.append("--unordered")
    if job.kind in ("map", "reduce"):
        for n in names:
            o += ["-i", n]
        return [["mr", job.kind, *o, "-c",
                 mapper if job.kind == "map" else reducer]]
    if job.kind == "run":
        o += ["-m", mapper] if job.mapper is not None else []
        o += ["-r", reducer] if job.reducer is not None else []
    if any(n.startswith("-") and n != "-" for n in names):
        return [["mr", job.kind, *o, "--", *names]]
    if job.fold:
        return [["mr", job.kind, *names, *o]]
    return [["mr", job.kind, *o, *names]]


def reference(job):
    """The lines of a script that reads the file whole and writes expected."""
    def sh(command):
        return "sh -c " + quote(command or "cat")

    z = " -z" if job.eor == b"\0" else ""
    sep = r"'\0'" if job.sep == b"\0" else quote(os.fsdecode(job.sep))
    sort = "LC_ALL=C sort%s -s -t %s -k1,%d" % (z, sep, job.fields)
    if job.kind == "sort" and "-u" in job.flags:
        sort = "LC_ALL=C sort%s -u" % z
    elif job.kind == "sort" and job.flags in (["-c"], ["-C"]):
        sort += " -C"
    if job.kind == "map" or job.kind == "run" and job.reducer is None:
        return "%s <whole >expected" % sh(job.mapper)
    if job.kind == "sort":
        return "%s <whole >expected" % sort
    if job.kind == "reduce":
        return "%s <whole >expected" % sh(job.reducer)
    return "%s <whole | %s | %s >expected" % (sh(job.mapper), sort,
                                              sh(job.reducer))


def quote(word):
    """For bash; control bytes as it shows them itself."""
    raw = os.fsencode(word)
    if all(b in (9, 10) or 32 <= b < 127 for b in raw):
        return shlex.quote(word)
    return "$'%s'" % "".join(
        "\\x%02x" % b if b < 32 or b > 126 or b in b"'\\" else chr(b)
        for b in raw)


def script(job):
    """The job as a person would type it, in the job's directory."""
    names = []
    before = after = ""
    for i, op in enumerate(job.operands):
        data = quote("./" + op.name + ".data")
        if op.how == "fifo":
            before += "mkfifo %s; cat %s >%s & " % (
                quote("./" + op.name), data, quote("./" + op.name))
        elif op.how == "stdin-pipe":
            before += "cat stdin.data | "
        elif op.how == "stdin-file":
            after = " <stdin.data"
        elif op.how == "stdin-offset":
            before += "{ dd bs=1 count=%d of=/dev/null status=none; " % SKIPPED
            after = "; } <stdin.data"
        if op.name:
            names.append("\0<(cat %s)" % data if op.how == "fd" else op.name)
    text = " | ".join(" ".join(
        w[1:] if w.startswith("\0") else quote(w) for w in stage)
        for stage in stages(job, names))
    if after and job.kind == "pipeline":
        text = "{ %s; }" % text
    if job.debug:
        before = "export MR_DEBUG=%s; %s" % (",".join(job.debug), before)
    return "export CONTRACT_FLAGS=$(mktemp -d); " + before + text + after


# ---------------------------------------------------------------- running

SKIPPED = 5                     # bytes of stdin-offset that were read already
OLD = b"what the output file held before\n"


class Feeder(threading.Thread):
    """Writes bytes to a pipe in pieces of any size, then closes it."""

    def __init__(self, fd, data, seed):
        super().__init__(daemon=True)
        self.fd, self.data, self.rng = fd, data, random.Random(seed)
        self.start()

    def run(self):
        at = 0
        try:
            while at < len(self.data):
                n = int(2 ** (self.rng.random() * 17))
                at += os.write(self.fd, self.data[at:at + n])
        except BrokenPipeError:
            pass
        os.close(self.fd)


def write_file(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read_file(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def set_up(job, where):
    """Put the inputs of a job, and what may stand in its way, there."""
    for d in ("out", "tmp", "t1", "t2", "reftmp", "flags"):
        os.mkdir(os.path.join(where, d))
    for op in job.operands:
        path = os.path.join(where, op.name)
        if op.how == "dir":
            os.mkdir(path)
            for m in op.members:
                write_file(os.path.join(path, m.name), m.data)
            write_file(os.path.join(path, ".hidden"), b"hidden\n")
            write_file(os.path.join(path, "_SUCCESS"), b"skipped\n")
        elif op.how == "file":
            write_file(path, op.data)
        elif op.how == "stdin-offset":
            write_file(os.path.join(where, "stdin.data"),
                       b"past\n"[:SKIPPED] + op.data)
        elif op.how.startswith("stdin"):
            write_file(os.path.join(where, "stdin.data"), op.data)
        else:
            write_file(path + ".data", op.data)
            if op.how == "fifo":
                os.mkfifo(path)
    if job.out == "file" and job.out_operand < 0 and job.old:
        write_file(os.path.join(where, "out/result"), OLD)
    write_file(os.path.join(where, "whole"), whole_of(job))
    text = "export LC_ALL=C TMPDIR=reftmp\n%s\n" % reference(job)
    write_file(os.path.join(where, "reference.sh"), os.fsencode(text))
    write_file(os.path.join(where, "job.sh"), os.fsencode(script(job) + "\n"))


def marked(mark):
    """The processes that have this in their environment."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if mark in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                pass
    return found


def kill_all(mark):
    for _ in range(100):
        pids = marked(mark)
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def run_mr(job, where, mr, timeout):
    """Run the job; returns (statuses, complaints)."""
    env = dict(os.environ, LC_ALL="C", TMPDIR=os.path.join(where, "tmp"),
               CONTRACT_FLAGS=os.path.join(where, "flags"),
               CONTRACT_JOB=where)
    env.pop("MR_DEBUG", None)
    if job.debug:
        env["MR_DEBUG"] = ",".join(job.debug)
    mark = os.fsencode("CONTRACT_JOB=" + where)
    feeders, passed, names = [], [], []
    stdin = subprocess.DEVNULL
    for op in job.operands:
        path = os.path.join(where, op.name)
        name = op.name
        if op.how == "fifo":
            feeders.append(subprocess.Popen(
                ["sh", "-c", 'exec cat <"$1" >"$2"', "sh", path + ".data",
                 path], stderr=subprocess.DEVNULL))
        elif op.how == "fd":
            r, w = os.pipe()
            feeders.append(Feeder(w, op.data, len(op.data)))
            passed.append(r)
            name = "/dev/fd/%d" % r
        elif op.how == "stdin-pipe":
            stdin, w = os.pipe()
            feeders.append(Feeder(w, op.data, len(op.data)))
        elif op.how.startswith("stdin"):
            stdin = os.open(os.path.join(where, "stdin.data"), os.O_RDONLY)
            if op.how == "stdin-offset":
                os.lseek(stdin, SKIPPED, os.SEEK_SET)
        if name:
            names.append(name)
    procs = []
    complaints = []
    with open(os.path.join(where, "got"), "wb") as got, \
            open(os.path.join(where, "stderr"), "wb") as err:
        words = stages(job, names)
        for i, stage in enumerate(words):
            last = i == len(words) - 1
            p = subprocess.Popen(
                [mr] + stage[1:], cwd=where, env=env, stdin=stdin,
                stdout=got if last else subprocess.PIPE, stderr=err,
                pass_fds=passed)
            if procs:
                stdin.close()
            elif stdin != subprocess.DEVNULL:
                os.close(stdin)
            stdin = p.stdout
            procs.append(p)
    for fd in passed:
        os.close(fd)
    end = time.monotonic() + timeout
    try:
        for p in procs:
            p.wait(max(0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        complaints.append("still running after %g s" % timeout)
    else:
        # What was killed may be on its way out still.
        left = marked(mark)
        for _ in range(100):
            if not left:
                break
            time.sleep(0.02)
            left = marked(mark)
        for pid in left:
            words = read_file("/proc/%d/cmdline" % pid) or b""
            complaints.append("process %d left: %s" % (
                pid, words.replace(b"\0", b" ").decode(errors="replace")))
    kill_all(mark)
    for p in procs:
        p.kill()
        p.wait()
    for f in feeders:
        if isinstance(f, subprocess.Popen):
            f.kill()
            f.wait()
    return [p.returncode for p in procs], complaints


# --------------------------------------------------------------- checking

def show(record):
    if record is None:
        return "nothing"
    text = repr(record[:100])[1:]
    return text + (" and so on, %d bytes" % len(record)
                   if len(record) > 100 else "")


def difference(want, got, eor):
    """Where two outputs differ first, in words."""
    w, g = want.split(eor), got.split(eor)
    # What follows the last delimiter is a record only if it is not empty.
    w, g = ([r for r in x[:-1]] + x[-1:] * bool(x[-1]) for x in (w, g))
    i = next((i for i, (x, y) in enumerate(zip(w, g)) if x != y),
             min(len(w), len(g)))
    at = [x[i] if i < len(x) else None for x in (w, g)]
    if at == [None, None]:
        return "the last delimiter differs"
    return "record %d of %d: expected %s, got %s (of %d)" % (
        i + 1, len(w), show(at[0]), show(at[1]), len(g))


def expected_status(job, reference_status):
    """Of mr, or of the last command of a pipeline."""
    recs = records_of(whole_of(job), job.eor)
    if job.failing:
        bad = job.failing.encode()
        return 123 if any(bad in r for r in recs) else 0
    if job.unsorted:
        keys = [key_of(r, job.sep, job.fields) for r in recs]
        return 1 if keys != sorted(keys) else 0
    return reference_status if "-c" in job.flags or "-C" in job.flags else 0


def parts_of(job, where):
    """The parts of a -O directory, and what is wrong with it."""
    path = os.path.join(where, "out/parts")
    if not os.path.isdir(path):
        return [], ["there is no output directory"]
    names = sorted(os.listdir(path))
    parts = [n for n in names if n.startswith("part-")]
    complaints = []
    if parts != ["part-%05d" % i for i in range(len(parts))]:
        complaints.append("odd names of parts: %s" % parts)
    if job.parts and len(parts) != job.parts:
        complaints.append("%d parts, not %d" % (len(parts), job.parts))
    if "_SUCCESS" not in names:
        complaints.append("no _SUCCESS")
    if set(names) - set(parts) - {"_SUCCESS", "_mr"}:
        complaints.append("odd files: %s" % names)
    return [read_file(os.path.join(path, n)) for n in parts], complaints


def check_shuffle(job, parts):
    """All records of a key are in one part, and in their order."""
    recs = records_of(whole_of(job), job.eor)
    home = {}
    for i, part in enumerate(parts):
        for r in records_of(part, job.eor):
            k = key_of(r, job.sep, job.fields)
            if home.setdefault(k, i) != i:
                return ["a key in parts %d and %d: %s" % (home[k], i, show(k))]
    want = [[] for _ in parts]
    for r in recs:
        k = key_of(r, job.sep, job.fields)
        if k not in home:
            return ["a key that is in no part: %s" % show(k)]
        want[home[k]].append(r + job.eor)
    return ["part %d: %s" % (i, difference(b"".join(w), p, job.eor))
            for i, (w, p) in enumerate(zip(want, parts)) if b"".join(w) != p]


def check(job, where, statuses, reference_status):
    """What is wrong with the outcome, as lines; leaves the output in got."""
    complaints = []
    want_status = expected_status(job, reference_status)
    if statuses != [0] * (len(statuses) - 1) + [want_status]:
        complaints.append("exit status %s, not %d" % (
            " | ".join(map(str, statuses)), want_status))
    want = read_file(os.path.join(where, "expected"))
    got = read_file(os.path.join(where, "got"))
    left = set(os.listdir(os.path.join(where, "out")))
    if want_status != 0:
        complaints += check_failed(job, where, got)
        left -= {"result"}
    elif job.out == "dir":
        if got:
            complaints.append("something on standard output: " + show(got))
        parts, odd = parts_of(job, where)
        complaints += odd
        got = b"".join(parts)
        if job.kind == "shuffle":
            want = got
            complaints += check_shuffle(job, parts)
        left -= {"parts"}
    elif job.out == "file":
        if got:
            complaints.append("something on standard output: " + show(got))
        name = ("out/result" if job.out_operand < 0
                else job.operands[job.out_operand].name)
        got = read_file(os.path.join(where, name))
        if got is None:
            complaints.append("there is no output file")
            got = b""
        left -= {"result"}
    if want_status == 0:
        write_file(os.path.join(where, "got"), got)
        if job.unordered:
            want, got = (b"".join(sorted(r + job.eor for r in records_of(
                x, job.eor))) for x in (want, got))
        if got != want:
            complaints.append(difference(want, got, job.eor))
    for d in ("tmp", "t1", "t2"):
        names = os.listdir(os.path.join(where, d))
        if names:
            complaints.append("left in %s: %s" % (d, names))
    if left:
        complaints.append("left beside the output: %s" % left)
    return complaints


def check_failed(job, where, got):
    """run and sort have printed nothing and left the output as it was; the
    filters have printed some records that are right."""
    if job.kind in ("map", "reduce"):
        whole = whole_of(job)
        if not whole.startswith(got) or got and not got.endswith(job.eor):
            return ["what was printed is no prefix: " +
                    difference(whole, got, job.eor)]
        return []
    complaints = []
    if got:
        complaints.append("a failed job printed " + show(got))
    old = read_file(os.path.join(where, "out/result"))
    if job.out_operand >= 0:
        op = job.operands[job.out_operand]
        if read_file(os.path.join(where, op.name)) != op.data:
            complaints.append("a failed job changed %r" % op.name)
    elif old not in (None, OLD):
        complaints.append("a failed job left an output file: " + show(old))
    return complaints


def try_job(job, where, args):
    """Run a job both ways in the new directory where; what is wrong."""
    os.makedirs(where)
    set_up(job, where)
    ref = subprocess.run(["bash", "reference.sh"], cwd=where,
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if ref.stderr:
        return ["the reference itself failed: %r" % ref.stderr]
    statuses, complaints = run_mr(job, where, args.mr, args.timeout)
    if complaints:
        return complaints
    return check(job, where, statuses, ref.returncode)


# ---------------------------------------------------------- shrink, report

def smaller(job):
    """Copies of a job that are simpler in one respect, biggest steps first."""
    for i in range(len(job.operands)):
        j = copy.deepcopy(job)
        del j.operands[i]
        if j.operands and job.out_operand < 0:
            yield j
    for i, options in enumerate(job.options):
        for k, o in enumerate(options):
            if not o[0].startswith(("--retries", "--ok-exit")):
                j = copy.deepcopy(job)
                del j.options[i][k]
                yield j
    for w in job.debug:
        j = copy.deepcopy(job)
        j.debug.remove(w)
        yield j
    for field, plain in (("flaky", ""), ("parts", 0), ("out", "stdout"),
                         ("mapper", "cat"), ("reducer", "cat"),
                         ("mapper", None)):
        old = getattr(job, field)
        if old not in (plain, None) and job.out_operand < 0 and not (
                job.kind == "shuffle" or field == "mapper" and (
                    job.failing or plain is None and (
                        job.kind != "run" or job.reducer is None))):
            j = copy.deepcopy(job)
            setattr(j, field, plain)
            yield j
    for i, op in enumerate(job.operands):
        for m in range(max(1, len(op.members))):
            data = (op.members[m] if op.members else op).data
            recs = records_of(data, job.eor)
            step = len(recs)
            while step:
                for at in range(0, len(recs), step):
                    j = copy.deepcopy(job)
                    o = j.operands[i]
                    o = o.members[m] if o.members else o
                    o.data = b"".join(r + job.eor for r in
                                      recs[:at] + recs[at + step:])
                    yield j
                step //= 2
            for at in range(len(recs) if len(recs) < 20 else 0):
                if len(recs[at]) > 1:
                    j = copy.deepcopy(job)
                    o = j.operands[i]
                    o = o.members[m] if o.members else o
                    half = recs[:at] + [recs[at][:len(recs[at]) // 2]]
                    o.data = b"".join(r + job.eor for r in
                                      half + recs[at + 1:])
                    yield j


def shrink(job, work, args):
    """The smallest job found within the time that fails as well."""
    end = time.monotonic() + args.shrink
    found = True
    while found and time.monotonic() < end:
        found = False
        for j in smaller(job):
            if time.monotonic() > end:
                break
            where = os.path.join(work, "shrink")
            # What fails only now and then has two chances.
            for _ in range(2):
                bad = try_job(j, where, args)
                shutil.rmtree(where)
                if bad:
                    break
            if bad:
                job, found = j, True
                break
    return job


def report(job, number, complaints, work, args):
    """Say what went wrong, and keep what is needed to see it again."""
    where = os.path.join(work, "job-%d" % number)
    if args.shrink:
        shrunk = shrink(job, work, args)
        if shrunk != job:
            shutil.rmtree(where)
            job, complaints = shrunk, (try_job(shrunk, where, args) or
                                       ["it fails only now and then"])
    if args.keep is None:
        args.keep = tempfile.mkdtemp(prefix="mr-contract-", dir="/var/tmp")
    kept = os.path.abspath(os.path.join(args.keep, "job-%d" % number))
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    set_up(job, kept)
    for name in os.listdir(kept):
        if stat.S_ISFIFO(os.lstat(os.path.join(kept, name)).st_mode):
            os.unlink(os.path.join(kept, name))     # job.sh makes it
    for name in ("expected", "got", "stderr"):
        data = read_file(os.path.join(where, name))
        if data is not None:
            write_file(os.path.join(kept, name), data)
    print("contract: job %d of seed %s FAILED" % (number, args.seed))
    for c in complaints:
        print("  " + c)
    errors = read_file(os.path.join(where, "stderr")) or b""
    for line in errors.splitlines()[:10]:
        print("  stderr: " + line.decode(errors="backslashreplace"))
    print("  command:   " + script(job))
    print("  reference: " + reference(job))
    print("  inputs, expected, got: " + kept)
    print("  again: %s%s --seed %s --only %d --keep DIR" % (
        sys.argv[0], " --big" if args.big else "", args.seed, number),
        flush=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--mr", default=os.environ.get("MR") or
                   os.path.join(here, "../../mr"))
    p.add_argument("--seed", default=os.environ.get("MR_CONTRACT_SEED") or
                   str(secrets.randbelow(10 ** 9)))
    p.add_argument("--jobs", type=int, default=320, metavar="COUNT")
    p.add_argument("--first", type=int, default=0, metavar="K")
    p.add_argument("--only", type=int, metavar="K")
    p.add_argument("--big", action="store_true",
                   help="more jobs of several megabytes")
    p.add_argument("--keep", metavar="DIR", help="for the jobs that fail")
    p.add_argument("--parallel", type=int, metavar="N",
                   default=len(os.sched_getaffinity(0)))
    p.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    p.add_argument("--max-failures", type=int, default=5, metavar="N")
    p.add_argument("--shrink", type=float, default=0, metavar="SECONDS",
                   help="time to look for a smaller job that fails")
    p.add_argument("--list", action="store_true",
                   help="print the commands and run nothing")
    args = p.parse_args()
    args.mr = os.path.abspath(args.mr)
    numbers = range(args.first, args.first + args.jobs)
    if args.only is not None:
        numbers = [args.only]
    if args.list:
        for n in numbers:
            print(n, script(make_job(args.seed, n, args.big)))
        return 0
    if not os.access(args.mr, os.X_OK):
        p.error("there is no " + args.mr)
    work = tempfile.mkdtemp(prefix="contract-")
    lock = threading.Lock()
    failed = []
    kinds = {}

    def one(number):
        if len(failed) >= args.max_failures:
            return
        job = make_job(args.seed, number, args.big)
        where = os.path.join(work, "job-%d" % number)
        complaints = try_job(job, where, args)
        with lock:
            kinds[job.kind] = kinds.get(job.kind, 0) + 1
            if complaints:
                failed.append(number)
                report(job, number, complaints, work, args)
        shutil.rmtree(where)

    try:
        with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
            for f in [pool.submit(one, n) for n in numbers]:
                f.result()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("contract: seed %s: %d jobs (%s), %d failed" % (
        args.seed, sum(kinds.values()), ", ".join(
            "%s %d" % k for k in sorted(kinds.items())), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
