"""A job as words for mr, as its reference, and as a person would type it."""
import os
import shlex

from commands import (PACK_PAIRS, PAIRS_ONE_BY_ONE, UNPACK_PAIRS, flaky,
                      one_by_one)
from jobs import quote, sort_command, whole_of
from records import PAST

def format_options(job, sub):
    o = ["--io=rawbytes"] if job.pairs else []
    if job.eor == b"\0":
        o.append("-z")
    if sub != "map":
        if job.sep == b"\0":
            o.append(r"-t\0")
        elif job.sep != b"\t":
            o += ["-t", os.fsdecode(job.sep)]
        if job.fields > 1 or any(job.keys) and sub == "sort":
            o.append("--key-fields=%d" % job.fields)
        if sub != "shuffle":
            for k in job.keys[0] + job.keys[1]:
                o += ["-k", k]
    if job.per_key and sub in ("run", "reduce"):
        o.append("--per-key")
        if job.per_key == "stdin":
            o.append("--key-on-stdin")
    return o


def stages(job, names):
    """The commands, each a list of words; they are joined by pipes."""
    def flat(options):
        return [w for o in options for w in o]

    mapper, reducer = job.mapper, flaky(job.flaky, job.reducer)
    if job.form and job.form.header == "repeat":
        mapper = "IFS= read -r h; " + mapper
    mapper = flaky(job.flaky, mapper)
    agg = [w for op, field in job.agg or [] for w in (op, str(field))]
    if job.kind == "pipeline":
        last = (["mr", "reduce", *format_options(job, "reduce"),
                 *flat(job.options[2]), "-c", reducer] if not agg else
                ["mr", "agg", *format_options(job, "agg"),
                 *flat(job.options[2]), *agg])
        return [
            ["mr", "map", *format_options(job, "map"), *flat(job.options[0]),
             "-c", mapper],
            ["mr", "sort", *format_options(job, "sort"),
             *flat(job.options[1])],
            last,
        ]
    maponly = job.kind == "run" and job.reducer is None
    o = format_options(job, "map" if maponly else job.kind)
    o += flat(job.options[0]) + job.flags
    if job.parts:
        o.append("-R%d" % job.parts)
    if job.partition:
        o += ["--partition", job.partition]
    if job.out == "dir":
        o += ["-O", "out/parts"] + ["--append"] * (job.append > 0)
    elif job.out == "file" and job.out_operand >= 0:
        o += ["-o", job.operands[job.out_operand].name]
    elif job.out == "file":
        o += ["-o", "out/result"]
    if job.unordered:
        o.append("--unordered")
    if job.kind in ("map", "reduce"):
        for n in names:
            o += ["-i", n]
        if agg:
            return [["mr", job.kind, *o, "--agg", " ".join(agg)]]
        return [["mr", job.kind, *o, "-c",
                 mapper if job.kind == "map" else reducer]]
    if job.kind == "run":
        o += ["-m", mapper] if job.mapper is not None else []
        if agg:
            o += ["--agg", " ".join(agg)]
        elif job.reducer is not None:
            o += ["-r", reducer]
        o += ["--combine", flaky(job.flaky, job.combine)] * bool(job.combine)
        o += ["--finish", flaky(job.flaky, job.finish)] * bool(job.finish)
    if job.sample:
        o.append("--sample=" + job.sample)
        o += ["--seed=%d" % job.seed] * (job.seed > 0)
    if job.range or job.source:
        return [["mr", job.kind, *o, *generated_options(job)]]
    if job.names:
        o.append("--names")
    if job.listed:
        return [["mr", job.kind, *o, "--files0-from=list"]]
    if any(n.startswith("-") and n != "-" for n in names):
        return [["mr", job.kind, *o, "--", *names]]
    if job.fold:
        return [["mr", job.kind, *names, *o]]
    return [["mr", job.kind, *o, *names]]


def generated_options(job):
    if job.range:
        a, b, each = job.range
        return ["--range=%d:%d" % (a, b)] + ["-N%d" % each] * (each > 0)
    z = " -z" if job.eor == b"\0" else ""
    return ["--source",
            "f() { if [ $1 = count ]; then echo %d; else "
            "tail%s -n +$(($1 + 1)) whole | head%s -n $2; fi; }; f" % (
                whole_of(job).count(job.eor), z, z)]


def reference(job):
    """The lines of a script that reads the file whole and writes expected."""
    def sh(command):
        return "sh -c " + quote(command or "cat")

    z = " -z" if job.eor == b"\0" else ""
    sort = "LC_ALL=C " + sort_command(job)
    if job.pairs:
        sort = "%s | %s | %s" % (UNPACK_PAIRS, sort, PACK_PAIRS)
    if job.kind == "sort" and "-u" in job.flags:
        sort = "LC_ALL=C sort%s -u" % z
    elif job.kind == "sort" and job.flags in (["-c"], ["-C"]):
        sort += " -C"
    finish = " | " + sh(job.finish) if job.finish else ""
    mapper = job.mapper
    if job.skip:
        mapper = mapper.replace("exit 7 if", "next if")
    if job.kind == "map" or job.kind == "run" and job.reducer is None:
        # The records of a map's output are whole.
        return "%s <whole%s >expected" % (sh(mapper), finish)
    if job.kind == "sort":
        return "cat whole | %s >expected" % sort
    reducer = sh(job.reducer)
    if job.per_key and job.pairs:
        reducer = "%s %s %s" % (PAIRS_ONE_BY_ONE, quote(job.reducer),
                                job.per_key)
    elif job.per_key:
        reducer = "perl -we %s -- %s" % (quote(one_by_one(job)),
                                         quote(job.reducer))
    if job.kind == "reduce":
        return "%s <whole >expected" % reducer
    return "%s <whole | %s | %s%s >expected" % (sh(mapper), sort, reducer,
                                                finish)


def script(job):
    """The job as a person would type it, in the job's directory."""
    names = []
    before = feed = after = ""
    for op in job.operands:
        data = quote("./" + op.name + ".data")
        if op.how == "fifo":
            before += "mkfifo %s; cat %s >%s & " % (
                quote("./" + op.name), data, quote("./" + op.name))
        elif op.how == "stdin-pipe":
            feed = "cat stdin.data | "
        elif op.how == "stdin-file":
            after = " <stdin.data"
        elif op.how == "stdin-offset":
            feed = ("{ dd bs=1 count=%d of=/dev/null status=none; "
                    % len(PAST))
            after = "; } <stdin.data"
        if op.name:
            names.append("\0<(cat %s)" % data if op.how == "fd" else op.name)
    text = " | ".join(" ".join(
        w[1:] if w.startswith("\0") else quote(w) for w in stage)
        for stage in stages(job, names))
    if after and job.kind == "pipeline":
        text = "{ %s; }" % text
    if job.nofile:
        before = "ulimit -n %d; %s" % (job.nofile, before)
    if job.append:
        before += " ".join(map(quote, stages(job, names[:job.append])[0]))
        before += "; "
    if job.debug:
        before = "export MR_DEBUG=%s; %s" % (",".join(job.debug), before)
    return ("export CONTRACT_FLAGS=$(mktemp -d); " + before + feed + text +
            after)
