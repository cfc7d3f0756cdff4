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

With --killed, each is kept in a job directory, or is an --append, and is killed
at random moments, the driver alone or all of it, and begun again with another
-j and -S, or resumed, until it ends.

A job that fails is kept: job.sh there is what was run, reference.sh what it
was compared with.  --only K runs one job again; --shrink makes it smaller.
"""
import argparse
import concurrent.futures
import copy
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from checking import check                                      # noqa: E402
from jobs import make_job                                       # noqa: E402
from killing import make_killed, run_killed                     # noqa: E402
from records import records_of                                  # noqa: E402
from running import read_file, run_mr, set_up, write_file       # noqa: E402
from shell import reference, script                             # noqa: E402


def try_job(job, where, args):
    """Run a job both ways in the new directory where; what is wrong."""
    os.makedirs(where)
    set_up(job, where)
    ref = subprocess.run(["bash", "reference.sh"], cwd=where,
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if ref.stderr:
        return ["the reference itself failed: %r" % ref.stderr]
    run = run_killed if job.killed else run_mr
    statuses, complaints = run(job, where, args.mr, args.timeout)
    if complaints:
        return complaints
    return check(job, where, statuses, ref.returncode)


def smaller(job):
    """Copies of a job that are simpler in one respect, biggest steps first."""
    for i in range(len(job.operands)):
        j = copy.deepcopy(job)
        del j.operands[i]
        if j.operands and job.out_operand < 0:
            yield j
    for i, options in enumerate(job.options):
        for k, o in enumerate(options):
            needed = ("--ok-exit", "--retries" if job.flaky else "--ok-exit",
                      "--whole-file" if job.names else "--ok-exit")
            if not o[0].startswith(needed):
                j = copy.deepcopy(job)
                del j.options[i][k]
                yield j
    for w in job.debug:
        j = copy.deepcopy(job)
        j.debug.remove(w)
        yield j
    for field, plain in (("nofile", 0), ("append", 0), ("sample", ""), ("source", False),
                         ("flaky", ""), ("parts", 0), ("finish", ""),
                         ("combine", ""),
                         ("out", "stdout"), ("keys", ((), ())),
                         ("partition", ""),
                         ("mapper", "cat"), ("reducer", "cat"),
                         ("mapper", None)):
        old = getattr(job, field)
        if job.combine and field == "reducer":
            continue            # it goes with the combiner
        if old not in (plain, None) and job.out_operand < 0 and not (
                job.kind == "shuffle" or
                field == "keys" and job.kind == "reduce" or
                job.agg and field in ("mapper", "reducer") or
                field == "mapper" and (
                    job.failing or plain is None and (
                        job.kind != "run" or job.reducer is None or
                        ["--whole-file"] in job.options[0]))):
            j = copy.deepcopy(job)
            setattr(j, field, plain)
            yield j
    if job.form or job.pairs:
        return          # other data might not have that form
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
    print("  again: %s%s%s --seed %s --only %d --keep DIR" % (
        sys.argv[0], " --big" * args.big, " --killed" * args.killed,
        args.seed, number), flush=True)


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
    p.add_argument("--killed", action="store_true",
                   help="jobs that are killed until they are done")
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
    make = make_killed if args.killed else make_job
    numbers = range(args.first, args.first + args.jobs)
    if args.only is not None:
        numbers = [args.only]
    if args.list:
        for n in numbers:
            print(n, script(make(args.seed, n, args.big)))
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
        job = make(args.seed, number, args.big)
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
