"""What is wrong with the outcome of a job."""
import os

from forms import pairs_of
from jobs import part_of, whole_of
from records import complete, key_of, records_of
from running import OLD, read_file, write_file

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


def with_keys(job, data):
    """Whole records, each with its key."""
    if job.pairs:
        return pairs_of(data)
    return [(r + job.eor, key_of(r, job.sep, job.fields))
            for r in records_of(data, job.eor)]


def expected_status(job, reference_status):
    """Of mr, or of the last command of a pipeline."""
    recs = records_of(whole_of(job), job.eor)
    if not recs and ["--nonempty"] in job.options[0]:
        return 1
    if job.failing:
        bad = job.failing.encode()
        status = 3 if job.skip else 123
        return status if any(bad in r for r in recs) else 0
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
    want = 1 if job.finish else job.parts
    if want and len(parts) != want:
        complaints.append("%d parts, not %d" % (len(parts), want))
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
            if part_of(job, k) != i:
                return ["a key in part %d: %s" % (i, show(k))]
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


def check_parts(job, parts, want):
    """Each key is in its part, and each part is in the order of the whole."""
    recs = with_keys(job, want)
    for i, part in enumerate(parts):
        due = b"".join(r for r, k in recs if i == part_of(job, k))
        if due != (part if job.pairs else complete(part, job.eor)):
            return ["part %d: %s" % (i, difference(due, part, job.eor))]
    return []


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
    if want_status not in (0, 3):
        complaints += check_failed(job, where, got)
        left -= {"result"}
    elif job.out == "dir":
        if got:
            complaints.append("something on standard output: " + show(got))
        parts, odd = parts_of(job, where)
        complaints += odd
        got = b"".join(parts)
        if job.partition and job.reducer == "cat" and not job.per_key:
            complaints += check_parts(job, parts, want)
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
    if want_status in (0, 3):
        write_file(os.path.join(where, "got"), got)
        if job.unordered or job.partition:
            want, got = (b"".join(sorted(r for r, _ in with_keys(job, x)))
                         for x in (want, got))
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
        if read_file(os.path.join(where, op.name)) != op.stored():
            complaints.append("a failed job changed %r" % op.name)
    elif old not in (None, OLD):
        complaints.append("a failed job left an output file: " + show(old))
    return complaints
