"""Jobs that are killed, again and again, and go on until they are done."""
import copy
import fcntl
import glob
import os
import random
import shutil
import subprocess
import time

from jobs import appended, make_job
from records import PAST
from running import environment, kill_all, marked
from shell import stages

# What may be another one each time; drawn anew for each.
FREE = ("-j", "--jobs", "-S", "--buffer-size")
LOOK = 0.01                     # seconds between two looks at processes


def make_killed(seed, number, big):
    """A random job that can go on: kept in a directory, or appended to."""
    k = 0
    while True:
        job = make_job("%s/%s" % (seed, number), k, big)
        k += 1
        if job.kind == "run" and not job.unordered and job.out_operand < 0:
            break
    for op in job.operands:
        # What can be read only once may not have been read.
        if op.how in ("fifo", "fd"):
            op.how = "file"
        elif op.how == "stdin-pipe":
            op.how = "stdin-file"
    rng = random.Random("killed:%s:%s" % (seed, number))
    kept = ["--job-dir=state"]
    job.options[0] = [w for w in job.options[0]
                      if w != kept and not w[0].startswith(FREE)]
    if not job.append and rng.random() < 0.7:
        job = as_append(rng, job)
    if not job.append:
        job.options[0].append(kept)
    job.nofile = job.nofile and max(job.nofile, 40)
    job.killed = rng.randint(1, 2 ** 30)
    if job.mapper and rng.random() < 0.5:
        job.mapper = "sleep 0.0%d; %s" % (rng.randint(1, 5), job.mapper)
    return job


def as_append(rng, job):
    """The same with --append, if it can be."""
    j = copy.deepcopy(job)
    j.out = "dir"
    j.options[0] = [w for w in j.options[0] if w != ["--no-sync"]]
    appended(rng, j)
    return j if j.append else job


def free_options(rng):
    """Some that are of no consequence, whoever has begun the job."""
    o = []
    if rng.random() < 0.6:
        o.append("-j%d" % rng.randint(1, 5))
    if rng.random() < 0.4:
        o.append("-S%dM" % rng.choice((4, 5, 8, 16, 64)))
    return o


def all_gone(mark, where):
    """Whether soon none is left of what had this mark.  A process that is
    ending shows no mark any more, but may still hold a lock."""
    for _ in range(1000):
        if not marked(mark) and not locked(where):
            return True
        time.sleep(LOOK)
    return False


def locked(where):
    """Whether a directory that mr works in is locked."""
    for path in glob.glob(os.path.join(where, "*", ".mr-*")):
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


def run_killed(job, where, mr, timeout):
    """Run the job until it is done; returns (statuses, complaints)."""
    rng = random.Random(job.killed)
    env, mark = environment(job, where)
    words = stages(job, [op.name for op in job.operands if op.name])[0]
    stdin = any(op.how.startswith("stdin") for op in job.operands)
    if job.append:
        first = stages(job, [op.name for op in
                             job.operands[:job.append]])[0]
        subprocess.run([mr] + first[1:], cwd=where, env=env, check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for left in range(rng.randint(1, 9), -1, -1):
        command = words[:2] + free_options(rng) + words[2:]
        if (rng.random() < 0.4 and not job.append and
                os.path.exists(os.path.join(where, "state/plan"))):
            command = ["mr", "resume"] + free_options(rng) + ["state"]
        if not job.append:      # who is killed at the very end has made it
            shutil.rmtree(os.path.join(where, "out/parts"),
                          ignore_errors=True)
        limit = ["sh", "-c", 'ulimit -n "$0"; exec "$@"', str(job.nofile)]
        with open(os.path.join(where, "stdin.data") if stdin else
                  os.devnull, "rb") as given, \
                open(os.path.join(where, "got"), "wb") as got, \
                open(os.path.join(where, "stderr"), "wb") as err:
            if any(op.how == "stdin-offset" for op in job.operands):
                os.lseek(given.fileno(), len(PAST), os.SEEK_SET)
            p = subprocess.Popen(
                limit * bool(job.nofile) + [mr] + command[1:], cwd=where,
                env=env, stdin=given, stdout=got, stderr=err)
            try:
                p.wait(0.5 ** rng.uniform(1, 7) if left else timeout)
                left = 0
            except subprocess.TimeoutExpired:
                p.kill()
                if rng.random() < 0.5 or not left:
                    kill_all(mark)
                p.wait()
        if not all_gone(mark, where):
            kill_all(mark)
            return [p.returncode], ["it has left processes"]
        if not left:
            break
    return [p.returncode], []
