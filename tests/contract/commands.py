"""Mappers that work record by record and reducers that work key by key.

They know of a job its delimiters and its key."""
import os
import shlex
import sys

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
        # With -z, GNU grep 3.8 loses a NUL that it reads by itself.
        "sed -z -n /a/p" if z else "grep -a a",
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


def combiners(job):
    """Pairs of a combine command and a reducer, such that the result is the
    same however often the former is used, if the order is kept."""
    z = " -z" if job.eor == b"\0" else ""

    def fold(first, more):
        return perl(job, with_key(
            job, "if($n&&$k eq $p){%s}else{print $r if $n;%s}$n=1;$p=$k;"
            "END{print $r if $n}" % (more, first)))

    value = 'substr("${_}SEP",length($k)+1)'
    last = fold("$r=$_", "$r=$_")
    # With its own separator behind it: a record of all key has a value too.
    join = fold('$r="${k}SEP".%s' % value, '$r.=%s' % value)
    return [
        ("cat", "uniq%s -c" % z),
        (SLURP, "cat"),
        ("uniq" + z, "uniq" + z),
        (last, last),
        (fold("$r=$_", ""), fold("$r=$_", "")),
        (fold("$r=$_", "$r=$_ if $_ gt $r"), fold("$r=$_", "$r=$_ if $_ gt $r")),
        # In an order of its own.
        (perl(job, with_key(job, "$h{$k}=$_;END{print for values %h}")), last),
        ("cat", join),
    ]


# Commands of --finish, which may do anything with the whole output.
FINISHERS = ("cat", "tac", SLURP, "wc -c", "sed -n 1,3p", "cat >/dev/null",
             "cat -n", "sort -r", "cat; printf end", "tail -c 1 | od -c")

# Commands of --per-key: some are done before their input is.
PER_KEY = (
    "cat",
    "cat",
    "tr a-z A-Z",
    "wc -l",
    "head -n 1",
    'printf "<%s>" "$MR_KEY"',
    'printf "%s:\\n" "$MR_KEY"; cat',
    "true",
)

# The same one after the other: what is sorted on standard input, and the
# command as the argument.
ONE_BY_ONE = """
$/ = $eor = chr(EOR); my $sep = chr(SEP); my $fields = FIELDS; my ($k, @v);
sub run {
    open my $f, ">", "group" or die $!;
    print $f $k, $eor if STDIN;
    print $f map { $_ . $eor } @v;
    close $f;
    $ENV{MR_KEY} = STDIN ? "" : $k;
    my $out = do { local $/; open my $p, "-|", "sh", "-c",
        "exec <group; $ARGV[0]" or die $!; <$p> };
    print $out;
    print $eor if length $out && substr($out, -1) ne $eor;
}
while (<STDIN>) {
    chomp;
    my @f = split /\Q$sep/, $_, $fields + 1;
    my $v = @f > $fields ? pop @f : "";
    my $key = join $sep, @f;
    run() if @v && $key ne $k;
    @v = () if @v && $key ne $k;
    $k = $key;
    push @v, $v;
}
run() if @v;
"""


def one_by_one(job):
    code = ONE_BY_ONE.replace("print $f $k, $eor if STDIN;",
                              "print $f $k, $eor;" if job.per_key == "stdin"
                              else "")
    code = code.replace("STDIN ?", "1 ?" if job.per_key == "stdin" else "0 ?")
    return code.replace("EOR", str(job.eor[0])).replace(
        "chr(SEP)", "chr(%d)" % job.sep[0]).replace("FIELDS", str(job.fields))


EXACT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     "../agg/exact.py")


def aggregates(job, rng):
    """Operations that any records allow: on their first field, and where the
    mapper has put a number behind the key, on that."""
    spec = [(rng.choice(("count", "first", "last", "unique", "countunique",
                         "collapse")), 1)]
    if job.mapper == numbered(job):
        spec += [(op, rng.choice((2, 2, 3))) for op in rng.sample((
            "sum", "min", "max", "range", "mean", "pvar", "sstdev", "top:2",
            "unique", "last", "collapse"), rng.randint(1, 5))]
    rng.shuffle(spec)
    return spec


def numbered(job):
    """A mapper that puts two numbers behind the key, of one field."""
    return perl(job, with_key(job, '$l=length;$m=$l*$l/4;$m=-$m if $l%3;'
                              'print "${k}SEP${l}SEP$m"'))


def exactly(job, spec):
    """The reducer that does them."""
    return "%s -IS %s %s %s %d %s" % (
        shlex.quote(sys.executable), shlex.quote(EXACT), job.sep.hex(),
        job.eor.hex(), job.fields,
        " ".join("%s %d" % s for s in spec))


def by_form(job, form):
    """A mapper that says of each record of a form how long it is and how it
    begins: one that is torn shows."""
    if form.lines:
        cut = ("my @l=split /(?<=\\x%02x)/;push @r,join '',splice @l,0,%d "
               "while @l" % (job.eor[0], form.lines))
    else:
        end, start = (b"".join(b"\\x%02x" % b for b in x).decode()
                      for x in (form.end or job.eor, form.start))
        cut = "push @r,$& while /\\G(?:.*?%s(?=%s|\\z)|.+)/gs" % (end, start)
    return ("perl -0777 -ne " + shlex.quote(
        "my @r;%s;print length, '%s', unpack('H40', $_), qq(\\x%02x) for @r"
        % (cut, "\t", job.eor[0])))


# Each pair with its value turned round.
PYTHON_PAIRS = PYTHON + shlex.quote("""
import struct, sys
f, out = sys.stdin.buffer, sys.stdout.buffer
while True:
    h = f.read(4)
    if not h:
        break
    k = f.read(*struct.unpack(">I", h))
    n = f.read(4)
    out.write(h + k + n + f.read(*struct.unpack(">I", n))[::-1])
""".strip())

# Pairs as lines of two hexadecimal numbers, which sort as they do, and back.
UNPACK_PAIRS = r"""perl -0777 -ne 'while (length) {
    my ($k, $v) = unpack "N/a N/a"; print unpack("H*", $k), "\t",
    unpack("H*", $v), "\n"; substr $_, 0, 8 + length($k) + length($v), "" }'"""
PACK_PAIRS = r"""perl -lne 'BEGIN { $\ = "" } @f = split /\t/, $_, -1;
    print pack "N/a* N/a*", map { pack "H*", $_ } @f'"""


# Of --per-key: the values in reverse behind the key, which is read, and all
# that is read behind the key of the environment.
PAIRS_PER_KEY = r"""perl -e '
    undef $/; my ($k, @v) = unpack "(N/a)*", <STDIN>;
    print pack "N/a* N/a*", $k, join "", reverse @v'"""
PAIRS_BY_ENV = r"""perl -e '
    undef $/; print pack "N/a* N/a*", "$ENV{MR_KEY}!", scalar <STDIN>'"""

# The same one after the other; of the arguments, the second is stdin or env.
PAIRS_ONE_BY_ONE = PYTHON + shlex.quote("""
import itertools, os, struct, subprocess, sys
data, at, pairs = sys.stdin.buffer.read(), 0, []
def take():
    global at
    n = 4 + struct.unpack_from(">I", data, at)[0]
    at += n
    return data[at - n:at]
while at < len(data):
    pairs.append((take(), take()))
for k, group in itertools.groupby(pairs, lambda p: p[0]):
    named = sys.argv[2] == "stdin"
    env = dict(os.environb)
    env[b"MR_KEY"] = b"" if named else k[4:]
    sys.stdout.buffer.write(subprocess.run(
        ["sh", "-c", sys.argv[1]], stdout=subprocess.PIPE, env=env, check=True,
        input=k * named + b"".join(p[1] for p in group)).stdout)
""".strip())

# Of --partition: the length of each key.
PAIRS_DEALT = r"""perl -0777 -ne '
    print length($_) % $ENV{MR_REDUCERS}, "\n" for unpack "(N/a)*"'"""


# What a first attempt may do before it fails; CMD is the command.
FLAKY = {
    "after": "{ CMD ; }; exit 3",
    "midway": "head -c 300 | { CMD ; }; exit 3",
    "killed": "head -c 300 | { CMD ; }; kill -KILL $$",
    "at once": "exit 3",
}


def flaky(how, command):
    """The command, failing on the first attempt of most of its tasks."""
    if not how or command is None:
        return command
    first = FLAKY[how].replace("CMD", command)
    return ("if [ $((MR_TASK %% 3)) -ne 1 ] && "
            'mkdir "$CONTRACT_FLAGS/$MR_PHASE-$MR_TASK" 2>/dev/null; then '
            "%s; fi; %s" % (first, command))
