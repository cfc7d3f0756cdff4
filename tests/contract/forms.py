"""Forms of input records, and records that are pairs."""
import struct

from commands import PAIRS_BY_ENV, PAIRS_PER_KEY, PYTHON_PAIRS, by_form
from records import Operand, lacks


class Form:
    """What -L, --recstart, --recend, --header and -N say."""

    def __init__(self, rng, data, eor):
        self.lines = self.records = 0
        self.start = self.end = b""
        self.header = ""
        x = rng.random()
        if x < 0.3:
            self.lines = rng.randint(1, 5)
        elif x < 0.75:
            self.start = some_of(rng, data) if x < 0.55 else b""
            self.end = some_of(rng, data) if x > 0.5 else b""
            if rng.random() < 0.2:
                self.end = 2 * eor
            # Where a record ends must be seen without what follows it.
            while overlaps(self.start, self.end or eor):
                self.start = self.start[:-1]
        if rng.random() < 0.3 or x >= 0.9:
            # `read' knows newlines only.
            self.header = rng.choice(("skip", "repeat") if eor == b"\n"
                                     else ("skip",))
        if rng.random() < 0.5 or not (self.lines or self.start or self.end or
                                      self.header):
            self.records = int(2 ** (rng.random() * 10))

    def fit(self, data, eor):
        """The data, changed so that they have this form."""
        head = b""
        if self.header:
            at = data.find(eor) + 1
            head, data = (data[:at], data[at:]) if at else (data, b"")
        if self.start and data and not data.startswith(self.start):
            data = self.start + data
        if self.lines and data:
            n = data.count(eor) + (not data.endswith(eor))
            data += lacks(data, eor) + eor * (-n % self.lines)
        if data and rest_of(data + lacks(data, self.end or eor),
                            self.end or eor):
            # It ends like a record in a place that counts for another one.
            data += bytes(b for b in range(256) if b not in self.end)[:1]
        return head + data

    def complete(self, data, eor):
        """What mr reads of a file."""
        if self.header:
            at = data.find(eor) + 1
            data = data[at:] if at else b""
        if not data:
            return data
        return data + lacks(data, self.end or eor)

    def options(self):
        o = []
        if self.lines:
            o.append(["-L%d" % self.lines])
        if self.start:
            o.append(["--recstart", escaped(self.start)])
        if self.end:
            o.append(["--recend=" + escaped(self.end)])
        if self.header:
            o.append(["--header", self.header])
        if self.records:
            o.append(["-N", str(self.records)])
        return o


def overlaps(start, end):
    """Whether a record can begin in the last bytes of another one, which are
    the first of a start that the next one goes on with."""
    return any(start[k:] == start[:-k] and
               (start[:k].endswith(end) or end.endswith(start[:k]))
               for k in range(1, len(start)))


def rest_of(data, end):
    """What follows the last record, found from the front."""
    return data.split(end)[-1]


def some_of(rng, data):
    """A string that stands in the data, if there are any."""
    n = rng.choice((1, 1, 2, 2, 3, 5))
    at = rng.randint(0, max(0, len(data) - n))
    return data[at:at + n] or b"\n"


def escaped(data):
    return "".join("\\%03o" % b if b < 33 or b > 126 or b == 92 else chr(b)
                   for b in data)


def add_form(rng, job):
    """Give a job whose mapper reads the input a form, if it can have one."""
    options = job.options[0]
    words = [o[0] for o in options]
    if (job.kind not in ("run", "map", "pipeline") or not job.mapper
            or job.sample or job.range or job.source or job.names
            or "--whole-file" in words or rng.random() > 0.25):
        return
    files = {id(o): o for op in job.operands for o in op.members or [op]}
    data = b"".join(o.data for o in files.values())
    form = Form(rng, data[:100000], job.eor)
    if form.records:
        # Not too many tasks.
        form.records = max(form.records, data.count(job.eor) // 30,
                           len(data) // 3000)
        options[:] = [o for o in options
                      if not o[0].startswith(("--block-size", "--pack"))]
    if form.header == "repeat":
        options[:] = [o for o in options if o[0] != "--pack"]
    # A command that works line by line is no good where records are not
    # whole lines.
    torn = not form.end.endswith(job.eor) and form.end
    if torn and job.failing:
        return
    for o in files.values():
        o.data = form.fit(o.data, job.eor)
    if torn or not job.failing and rng.random() < 0.7:
        job.mapper = by_form(job, form)
        options[:] = [o for o in options if not o[0].startswith("--ok-exit")]
    job.form = form
    options += form.options()


def pair(k, v):
    return struct.pack(">I", len(k)) + k + struct.pack(">I", len(v)) + v


def pairs_of(data):
    """The pairs, each with its key."""
    out, at = [], 0
    while at < len(data):
        begin = at
        n, = struct.unpack_from(">I", data, at)
        key = data[at + 4:at + 4 + n]
        at += 4 + n
        at += 4 + struct.unpack_from(">I", data, at)[0]
        out.append((data[begin:at], key))
    return out


def pair_commands(rng, job):
    """Commands that read and print pairs."""
    job.mapper = job.mapper and rng.choice(("cat", "cat", PYTHON_PAIRS))
    job.reducer = job.reducer and rng.choice(("cat", "cat", PYTHON_PAIRS))
    if job.per_key:
        job.reducer = (PAIRS_PER_KEY if job.per_key == "stdin" else
                       PAIRS_BY_ENV)
    if job.mapper == PYTHON_PAIRS:      # slow to start
        job.options[0] = [w for w in job.options[0]
                          if not w[0].startswith("--block-size")]


def make_pairs(rng, job, sources):
    """Operands that hold pairs of any bytes."""
    keys, values = sources
    pool = [keys.take(int(rng.random() * 12)) for _ in range(30)]
    # A process for each key takes its time.
    n = int(2 ** (rng.random() * (7 if job.per_key else 13))) - 1
    most = rng.choice((0, 3, 30, 300))
    pairs = []
    for _ in range(n):
        k = (rng.choice(pool) if rng.random() < 0.7
             else keys.take(int(rng.random() * 40)))
        v = values.take(int(rng.random() * (most + 1)))
        if rng.random() < 0.0005:
            v *= 3000
        pairs.append((k, v))
    if job.kind == "reduce":
        pairs.sort(key=lambda p: p[0])
    count = 1 if job.kind not in ("run", "sort") else rng.randint(1, 4)
    cuts = sorted(rng.randint(0, n) for _ in range(count - 1))
    job.operands = []
    for i, (lo, hi) in enumerate(zip([0] + cuts, cuts + [n])):
        how = rng.choice(("file", "file", "fifo", "fd"))
        if job.kind not in ("run", "sort") or count == 1 and i % 2:
            how = rng.choice(("stdin-file", "stdin-pipe"))
        name = "" if how.startswith("stdin") else "f%d" % i
        job.operands.append(Operand(how, name, b"".join(
            pair(*p) for p in pairs[lo:hi])))
