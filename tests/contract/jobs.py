"""One random job: its data, its commands, its options."""
import dataclasses
import fractions
import os
import random
import shlex
import subprocess
import sys

from commands import (FINISHERS, FLAKY, PAIRS_DEALT, PER_KEY, aggregates,
                      combiners, exactly, mappers, numbered, perl, reducers)
from forms import add_form, make_pairs, pair, pair_commands
from records import (ALPHABETS, NAMES, Operand, Source, complete, key_of,
                     make_operands, make_records, records_of, scatter)

# Choices inside mr that MR_DEBUG forces, at most one of each row; a word that
# mr does not know is ignored.
DEBUG_WORDS = (
    ("group", "nogroup", "switch"),
    ("radix", "noradix"),
    ("nojoin",),
    ("cramped",),
    ("disk",),
    ("onerun",),
    ("pool",),
    ("hand", "nohand"),
    ("buckets", "nobuckets"),
    ("refs", "copies"),
    ("deal",),
    ("shell",),
)


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
    skip: bool = False          # --skip-bad-records: those that have it
    unsorted: bool = False      # what mr reduce is given, to refuse it
    fold: bool = False          # the options stand behind the operands
    unordered: bool = False
    # -k: those that order the keys, and those that order their records.
    keys: tuple = ((), ())
    orders: str = ""            # letters that the data suit
    combine: str = ""
    partition: str = ""
    finish: str = ""
    # The built-in reducer, as (operation, field); reducer does the same.
    agg: list = None
    per_key: str = ""           # how the reducer gets its key: env or stdin
    sample: str = ""            # --sample, of the seed:
    seed: int = 0
    range: tuple = ()           # --range, instead of operands: from, to, -N
    names: bool = False         # --names
    listed: bool = False        # --files0-from
    source: bool = False        # --source, which prints the operands
    nofile: int = 0             # ulimit -n, if not 0
    form: object = None         # of the input's records: a Form
    pairs: bool = False         # --io rawbytes
    append: int = 0             # --append, and so many operands come before
    killed: int = 0             # seed of when it is killed, if not 0


def quote(word):
    """For bash; control bytes as it shows them itself."""
    raw = os.fsencode(word)
    if all(32 <= b < 127 or b in (9, 10) and len(raw) > 9 for b in raw):
        return shlex.quote(word)
    return "$'%s'" % "".join(
        "\\x%02x" % b if b < 32 or b > 126 or b in b"'\\" else chr(b)
        for b in raw)


def sort_command(job):
    """sort(1), in the order that mr run has."""
    sep = r"'\0'" if job.sep == b"\0" else quote(os.fsdecode(job.sep))
    lead, inner = job.keys
    return "sort%s -s -t %s %s" % (
        " -z" if job.eor == b"\0" else "", sep, " ".join(
            "-k" + k for k in (*lead, "1,%d" % job.fields, *inner)))


def whole_of(job):
    """cat FILE..., missing final delimiters supplied; or what is instead."""
    if job.range:
        a, b, each = job.range
        each = each or max(1, -(-(b - a) // 256))
        return b"".join(b"%d\t%d" % (i, min(i + each, b)) + job.eor
                        for i in range(a, b, each))
    if job.names and not job.pairs:
        return b"".join(n + job.eor for n in names_of(job))
    out = []
    for op in job.operands:
        inner = sorted(op.members, key=lambda m: os.fsencode(m.name))
        for o in inner if op.how == "dir" else [op]:
            if job.form:
                out.append(job.form.complete(o.data, job.eor))
            else:
                out.append(o.data if job.pairs else complete(o.data, job.eor))
    if job.sample:
        out = sample_of(job, out)
    if job.names:
        out = [pair(*p) for p in zip(names_of(job), out)]
    return b"".join(out)


def names_of(job):
    """The names of all files, in their order."""
    out = []
    for op in job.operands:
        name = os.fsencode(op.name)
        out += sorted(name + b"/" + os.fsencode(m.name)
                      for m in op.members) or [name]
    return out


def mix(x):
    x %= 2 ** 64
    for _ in range(3):
        x = (x ^ x >> 32) * 0xd6e8feb86659fd93 % 2 ** 64
    return x ^ x >> 32


def sample_of(job, files):
    """The sample of the contents of files, in the same order."""
    drawn = []
    for i, data in enumerate(files):
        at = 0
        for r in records_of(data, job.eor):
            lot = mix(mix(mix(job.seed + 1) + i) + at)
            drawn.append((lot, i, at, r + job.eor))
            at += len(r) + len(job.eor)
    if job.sample.endswith("%"):
        part = fractions.Fraction(job.sample[:-1]) / 100
        drawn = [d for d in drawn if d[0] < part * 2 ** 64]
    else:
        drawn = sorted(drawn)[:int(job.sample)]
    return [d[3] for d in sorted(drawn, key=lambda d: d[1:3])]


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
    if not {"all", "edge"} & set(alphabets):
        job.orders = "nh"
        if set(alphabets) <= {"digits", "nul", "ab"}:
            job.orders = "nhg"
    recs = make_records(rng, eor, job.sep, job.fields, alphabets, amount)
    if rng.random() < 0.2:
        # The nature of the data changes on the way.
        recs += make_records(rng, eor, job.sep, job.fields, alphabets, amount)
    if rng.random() < 0.03:
        recs = []
    if kind in ("run", "sort"):
        job.operands = make_operands(rng, recs, eor, kind == "run")
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
    x = rng.random()
    if (kind in ("run", "reduce", "pipeline") and job.reducer is not None and
            not job.unsorted and rng.random() < 0.12):
        aggregated(rng, job)
    elif x < 0.06 and kind != "shuffle" and not big and not (
            job.flags or job.sample or job.range or job.source or job.names):
        only_pairs(rng, job)
    else:
        add_form(rng, job)
    if job.failing:
        skipping(random.Random("skip:%s:%s" % (seed, number)), job)
    if rng.random() < 0.05 and all(o.how != "fd" for o in job.operands):
        kept = ["--job-dir=state"] in job.options[0]
        job.nofile = rng.choice((26, 32) if kept else (16, 16, 20, 32))
        job.nofile += 5 * bool(job.combine)
        job.nofile += 3 * (job.partition not in ("", "hash")) + 3 * job.skip
    appended(rng, job)
    return job


def appended(rng, job):
    """Perhaps a job whose operands do not all come at the same time."""
    options = {w[0] for w in job.options[0]}
    if (job.kind != "run" or job.reducer is None or job.unordered or
            job.out == "file" or job.out == "stdout" and rng.random() < 0.8 or
            job.form or job.pairs or job.sample or job.range or job.source or
            job.names or job.listed or job.failing or
            {"--job-dir=state", "--whole-file"} & options or
            any(op.how not in ("file", "dir") for op in job.operands) or
            rng.random() < 0.4):
        return
    # What is not complete does not come, and a copy does not count.
    files = [f for op in job.operands for f in op.members or [op]]
    contents = [complete(f.data, job.eor) for f in files]
    if any(a and b.startswith(a) for i, a in enumerate(contents)
           for k, b in enumerate(contents) if i != k):
        return
    for f, data in zip(files, contents):
        f.data = data
    job.append = rng.randint(1, len(job.operands))
    if "--recursive" in options:        # without any effect at first
        job.append = max(job.append, 1 + [
            op.how for op in job.operands].index("dir"))
    job.out = "dir"
    job.nofile = job.nofile and max(job.nofile, 32)


def skipping(rng, job):
    """Leaves the records out that make the mapper fail, if they are few."""
    bad = job.failing.encode()
    n = sum(bad in r for r in records_of(whole_of(job), job.eor))
    if (job.form or job.pairs or job.kind not in ("run", "map") or n > 15 or
            ["--whole-file"] in job.options[0] or rng.random() < 0.2):
        return
    job.skip = True
    job.options[0].append(["--skip-bad-records=15"])


def key_defs(rng, job):
    """Perhaps definitions for -k.  (sort(1) may skip the byte 80 in numbers,
    and finds two NaNs different.  V takes it minutes where records are long;
    keydefs.py has V.)"""
    if rng.random() > 0.2:
        return
    def letters():
        return "".join(rng.sample(("", "", "r", "b"), 2)) + rng.choice(
            ("", "", "f", "d", "i", "M", "fd") + tuple(job.orders) * 2)

    fields = range(1, job.fields + 1)
    lead = ["%d,%d%s" % (i, i, letters()) for i in fields]
    x = rng.random()
    if x < 0.2:
        lead = ["1,%d%s" % (job.fields, rng.choice(("", "r")))]
    elif x < 0.4:
        rng.shuffle(lead)
    elif x < 0.5:
        lead[0] = lead[0].replace(",", ".2,", 1)
    inner = []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        f = job.fields + rng.choice((0, 1, 1, 1, 2))
        inner.append(rng.choice(("%d", "%d,%d", "%d.2,%d", "%d,%d.3")).replace(
            "%d", str(f)) + letters())
    job.keys = (tuple(lead), tuple(inner))


def partition(rng, job):
    """Perhaps other parts than ranges."""
    if job.out == "dir" and not job.finish and rng.random() < 0.5:
        # Both numbers end as records do.
        job.partition = rng.choice(("hash", perl(
            job, "print length($_) % $ENV{MR_REDUCERS}")))
        job.parts = job.parts or rng.randint(1, 20)


def part_of(job, key):
    """The number of a key's part, where ranges do not decide it."""
    if job.partition not in ("", "hash"):
        return len(key) % job.parts
    h = 0xcbf29ce484222325
    for byte in key:
        h = (h ^ byte) * 0x100000001b3 % 2 ** 64
    h ^= h >> 32
    h = h * 0xd6e8feb86659fd93 % 2 ** 64
    return (h ^ h >> 32) % job.parts


def per_key(rng, job, text):
    """Perhaps a reducer that is run for each key, where that is not long."""
    recs = records_of(whole_of(job), job.eor)
    if rng.random() < 0.1 and len(recs) < 300:
        short = all(len(r) < 60_000 for r in recs)
        job.reducer = rng.choice(PER_KEY)
        job.per_key = rng.choice(("env", "stdin") if short and (
            text or job.eor == b"\0") else ("stdin",))


def only_pairs(rng, job):
    """The same job over pairs."""
    job.pairs = True
    job.eor, job.sep, job.fields = b"\n", b"\t", 1
    job.failing = job.orders = ""
    job.finish = job.finish and "cat"
    job.keys = ((), ())
    job.combine = job.combine and "cat"
    job.unordered = job.unsorted = False
    job.out, job.out_operand = "stdout", -1
    files = (job.kind == "run" and rng.random() < 0.4 and
             all(op.how in ("file", "dir") for op in job.operands))
    for o in job.options:
        o[:] = [w for w in o if not w[0].startswith(
            ("--whole-file", "--nonempty", "--ok-exit", "--decompress") +
            (("--pack",) if files else ("--recursive",)))]
    job.partition = ""
    job.parts = job.parts if job.reducer else 0
    job.listed = False
    alphabets = [ALPHABETS[rng.choice(tuple(ALPHABETS))] for _ in "kv"]
    job.per_key = ""
    if job.reducer and rng.random() < 0.25:
        job.per_key = rng.choice(
            ("stdin",) if 0 in alphabets[0] else ("stdin", "env"))
        job.combine = ""
    if (job.kind == "run" and job.reducer and not job.finish and
            rng.random() < 0.3):
        job.out, job.parts = "dir", rng.randint(1, 20)
        job.partition = rng.choice(("", "hash", PAIRS_DEALT, PAIRS_DEALT))
    if files:
        job.names = True
        job.options[0].append(["--whole-file"])
    else:
        make_pairs(rng, job, [Source(rng, a, b"") for a in alphabets])
    pair_commands(rng, job)


def make_run(rng, job, total, text, big, maponly):
    if not maponly:
        job.reducer = rng.choice(reducers(job, text))
        per_key(rng, job, text)
        key_defs(rng, job)
        if not (job.per_key or job.keys[1]) and rng.random() < 0.15:
            job.combine, job.reducer = rng.choice(combiners(job))
    if maponly or rng.random() < 0.8:
        job.mapper = rng.choice(mappers(job, text))
    if job.mapper and rng.random() < 0.07:
        job.failing = rng.choice("abe")
        job.mapper = perl(job, "exit 7 if /%s/;print" % job.failing)
    elif rng.random() < 0.12:
        job.flaky = rng.choice(tuple(FLAKY))
    job.out = rng.choice(("stdout",) * 6 + ("file",) * 2 + ("dir",) * 2)
    files = [i for i, o in enumerate(job.operands) if o.how == "file"]
    if job.out == "file" and files and rng.random() < 0.4:
        job.out_operand = rng.choice(files)
    o = common_options(rng) + task_options(rng, job, total, job.mapper)
    if big or rng.random() < 0.3:
        o += sort_options(rng, big) if not maponly else []
    if job.operands[0].name != "":
        x = rng.random()
        if x < 0.1 and job.mapper and "none" not in job.mapper:
            o = [w for w in o if not w[0].startswith("--block-size")]
            o.append(["--whole-file"])
        elif x < 0.3:
            o.append(["--pack"])
    if rng.random() < 0.1:
        job.finish = rng.choice(FINISHERS)
    if not maponly or job.out == "dir" and not job.finish:
        if rng.random() < 0.5:
            job.parts = rng.randint(1, 20)
    if not maponly:
        partition(rng, job)
    if job.out == "stdout" and not job.finish and rng.random() < 0.05:
        job.unordered = True
    elif rng.random() < 0.2:
        o.append(["--job-dir=state"])
        if rng.random() < 0.5:
            o.append(["--no-sync"])
    if total and rng.random() < 0.05:
        o.append(["--nonempty"])
    if any("/" in m.name for op in job.operands for m in op.members):
        o.append(["--recursive"])
    if any(op.codec and op.how.startswith("stdin") for op in job.operands):
        o.append(["--decompress=auto"])
    job.options[0] = o
    if (job.operands[0].name and rng.random() < 0.1 and
            all(op.how != "fd" for op in job.operands)):
        job.listed = True
    x = rng.random()
    if x < 0.08 and not {"--whole-file", "--nonempty"} & {w[0] for w in o}:
        job.sample = rng.choice(("0.5%", "10%", "50%", "99.9%", "100%", "1",
                                 "7", "100", "5000"))
        job.seed = rng.choice((0, 1, 2, 2 ** 64 - 1))
    elif x < 0.13:
        generated(rng, job)
    elif x < 0.17 and all(op.how in ("file", "dir") for op in job.operands):
        job.names = all(job.eor not in n for n in names_of(job))
        if job.names:
            job.out_operand = -1
            job.options[0] = [w for w in o if not w[0].startswith(
                ("--block-size", "--whole-file", "--pack", "--nonempty"))]


def aggregated(rng, job):
    """Makes of a job one with a built-in reducer."""
    plain = ("--retries", "--ok-exit")
    if job.kind == "reduce":
        job.flaky = ""
        job.options[0] = [w for w in job.options[0]
                          if not w[0].startswith(plain)]
    else:
        job.options[2] = [w for w in job.options[2]
                          if not w[0].startswith(plain)]
        job.mapper = job.mapper or "cat"
        if job.fields == 1 and not job.failing and rng.random() < 0.6:
            job.mapper = numbered(job)
    job.per_key = job.combine = ""
    job.agg = aggregates(job, rng)
    job.reducer = exactly(job, job.agg)


def generated(rng, job):
    """Makes of a job one whose input is in no file."""
    job.out_operand = -1
    job.options[0] = [w for w in job.options[0] if not w[0].startswith(
        ("--block-size", "--whole-file", "--pack", "--nonempty",
         "--recursive", "--decompress"))]
    job.listed = False
    if rng.random() < 0.5:
        a = rng.choice((0, 1, -3, 12345, -2 ** 63))
        job.operands = []
        job.range = (a, a + rng.choice((0, 1, 2, 100, 255, 256, 257, 5000)),
                     rng.choice((0, 0, 100, 777)))
        return
    job.source = True
    for i, op in enumerate(job.operands):
        op.data = b"".join([op.data] + [complete(m.data, job.eor)
                                        for m in op.members])
        op.how, op.name, op.members, op.codec = "file", "s%d" % i, [], ""


def make_map(rng, job, total, text, big, maponly):
    job.mapper = rng.choice(mappers(job, text))
    job.reducer = None
    if rng.random() < 0.1:
        job.failing = rng.choice("abe")
        job.mapper = perl(job, "exit 7 if /%s/;print" % job.failing)
    elif rng.random() < 0.15:
        job.flaky = rng.choice(tuple(FLAKY))
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
    per_key(rng, job, text)
    job.options[0] = (common_options(rng) +
                      task_options(rng, job, total, job.reducer))
    key_defs(rng, job)
    x = rng.random()
    if any(job.keys):
        recs = records_of(subprocess.run(
            ["bash", "-c", "LC_ALL=C " + sort_command(job)], input=op.data,
            check=True, stdout=subprocess.PIPE).stdout, job.eor)
    elif x < 0.15:
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
        job.per_key = ""
    elif rng.random() < 0.15:
        job.flaky = rng.choice(tuple(FLAKY))
        job.options[0].append(["--retries=1"])
    op.data = b"".join(r + job.eor for r in recs)
    if op.data and rng.random() < 0.2:
        op.data = op.data[:-1]
    if rng.random() < 0.2:
        op.how, op.name = "file", "f"


def make_shuffle(rng, job, total, text, big, maponly):
    job.parts = rng.randint(1, 20)
    job.out = "dir"
    partition(rng, job)
    job.options[0] = common_options(rng)


def make_pipeline(rng, job, total, text, big, maponly):
    job.reducer = rng.choice(reducers(job, text))
    per_key(rng, job, text)
    key_defs(rng, job)
    job.mapper = rng.choice(mappers(job, text))
    if rng.random() < 0.15:
        job.flaky = rng.choice(tuple(FLAKY))
    job.options = [
        common_options(rng) + task_options(rng, job, total, job.mapper),
        common_options(rng) + sort_options(rng, big),
        common_options(rng) + task_options(rng, job, total, job.reducer),
    ]
