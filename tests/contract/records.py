"""Records, keys, and the operands that hold them."""
import bz2
import dataclasses
import gzip
import lzma
import os
import shutil

# What the file of a stdin-offset begins with; it was read already.
PAST = b"past\n"


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
    codec: str = ""             # it is compressed by this

    def stored(self):
        """The bytes of the file; what is compressed has two members."""
        if not self.codec:
            return self.data
        half = len(self.data) // 2
        return b"".join(PACK[self.codec](d) for d in (self.data[:half],
                                                      self.data[half:]))


# Those for which there is a program, which is what mr uses.
PACK = {name: pack for name, pack in (("gzip", gzip.compress),
                                      ("bzip2", bz2.compress),
                                      ("xz", lzma.compress))
        if shutil.which(name)}


def lacks(data, end):
    """What data lack to end with end."""
    n = next(n for n in range(len(end), -1, -1) if data.endswith(end[:n]))
    return end[n:]


def complete(data, eor):
    """What mr reads of a file: a missing last delimiter is supplied."""
    return data + lacks(data, eor) if data else data


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


SUBDIRS = ("s/", "a b/", "s/t/", "g-/")
NAMES = ("f%d", "f%d", "f%d", "a b%d", "$(id)%d", "-n%d", "'%d", "\n%d", "*%d")


def make_operands(rng, recs, eor, dirs):
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
        elif how == "stdin" or how == "dir" and not dirs:
            how = "file"
        op = Operand(how, name, data)
        if how == "dir":
            op.data = b""
            m = [n % j for j, n in enumerate(rng.sample(NAMES, 3))]
            op.members = [Operand("file", x, d) for x, d in
                          zip(m, scatter(rng, records_of(data, eor), eor, 3))]
            if rng.random() < 0.5:
                op.members[1].name = rng.choice(SUBDIRS) + m[1]
        ops.append(op)
    if dirs and PACK and rng.random() < 0.3:
        for op in ops:
            for o in op.members or [op]:
                if rng.random() < 0.5:
                    o.codec = rng.choice(tuple(PACK))
    return ops
