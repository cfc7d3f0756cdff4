"""Running mr on a job in a directory of its own."""
import os
import random
import signal
import subprocess
import threading
import time

from jobs import whole_of
from records import PAST
from shell import reference, script, stages

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
                to = os.path.join(path, m.name)
                os.makedirs(os.path.dirname(to), exist_ok=True)
                write_file(to, m.stored())
            write_file(os.path.join(path, ".hidden"), b"hidden\n")
            write_file(os.path.join(path, "_SUCCESS"), b"skipped\n")
        elif op.how == "file":
            write_file(path, op.stored())
        elif op.how == "stdin-offset":
            write_file(os.path.join(where, "stdin.data"),
                       PAST + op.stored())
        elif op.how.startswith("stdin"):
            write_file(os.path.join(where, "stdin.data"), op.stored())
        else:
            write_file(path + ".data", op.stored())
            if op.how == "fifo":
                os.mkfifo(path)
    if job.out == "file" and job.out_operand < 0 and job.old:
        write_file(os.path.join(where, "out/result"), OLD)
    if job.listed:
        write_file(os.path.join(where, "list"), b"\0".join(
            os.fsencode(op.name) for op in job.operands))
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


def environment(job, where):
    """That of mr, and what marks its processes in it."""
    env = dict(os.environ, LC_ALL="C", TMPDIR=os.path.join(where, "tmp"),
               CONTRACT_FLAGS=os.path.join(where, "flags"),
               CONTRACT_JOB=where)
    env.pop("MR_DEBUG", None)
    if job.debug:
        env["MR_DEBUG"] = ",".join(job.debug)
    return env, os.fsencode("CONTRACT_JOB=" + where)


def run_mr(job, where, mr, timeout):
    """Run the job; returns (statuses, complaints)."""
    env, mark = environment(job, where)
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
            feeders.append(Feeder(w, op.stored(), len(op.data)))
            passed.append(r)
            name = "/dev/fd/%d" % r
        elif op.how == "stdin-pipe":
            stdin, w = os.pipe()
            feeders.append(Feeder(w, op.stored(), len(op.data)))
        elif op.how.startswith("stdin"):
            stdin = os.open(os.path.join(where, "stdin.data"), os.O_RDONLY)
            if op.how == "stdin-offset":
                os.lseek(stdin, len(PAST), os.SEEK_SET)
        if name:
            names.append(name)
    procs = []
    complaints = []
    if job.append:
        subprocess.run([mr] + stages(job, names[:job.append])[0][1:],
                       cwd=where, env=env, stdin=stdin, check=True,
                       stderr=subprocess.DEVNULL)
    with open(os.path.join(where, "got"), "wb") as got, \
            open(os.path.join(where, "stderr"), "wb") as err:
        words = stages(job, names)
        for i, stage in enumerate(words):
            last = i == len(words) - 1
            limit = ["sh", "-c", 'ulimit -n "$0"; exec "$@"', str(job.nofile)]
            p = subprocess.Popen(
                limit * bool(job.nofile) + [mr] + stage[1:],
                cwd=where, env=env, stdin=stdin,
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
