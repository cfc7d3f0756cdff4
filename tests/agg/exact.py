"""What aggregates are, computed exactly: with fractions, rounded once."""
import math
import os
import re
import sys
from fractions import Fraction

DIGITS = 14
NUMBER = re.compile(rb"[ \t]*([+-]?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?\Z")


class Wrong(Exception):
    """A record that is not right."""


class Value:
    """A number as it was written."""

    def __init__(self, text):
        m = NUMBER.match(text)
        if not m:
            raise Wrong("no number")
        self.x = Fraction(text.strip().decode())
        self.whole = m.group(3) is None and b"." not in m.group(2)

    def order(self):
        return (self.x, self.whole)


def rounded(sign, digits, exponent):
    """digits, of which the first stands for so many times 10^exponent and of
    which there are at most 14, as %.14g prints them."""
    digits = digits.rstrip("0") or "0"
    if exponent < -4 or exponent >= DIGITS:
        point = "." if len(digits) > 1 else ""
        return "%s%s%s%se%s%02d" % (sign, digits[0], point, digits[1:],
                                    "-" if exponent < 0 else "+",
                                    abs(exponent))
    if exponent < 0:
        return sign + "0." + "0" * (-exponent - 1) + digits
    digits = digits.ljust(exponent + 1, "0")
    tail = digits[exponent + 1:]
    return sign + digits[:exponent + 1] + ("." + tail if tail else "")


def show_root(x, root):
    """The square root of x, or x itself, to 14 digits; halves to even."""
    if x == 0:
        return "0"
    sign, x = ("-" if x < 0 else ""), abs(x)
    e = len(str(x.numerator)) - len(str(x.denominator))
    if root:
        e //= 2
    e += 2
    power = 2 if root else 1
    while Fraction(10) ** (e * power) > x:
        e -= 1              # until 10^e <= the number < 10^(e + 1)
    # n + rest, of which n has the digits wanted.
    scaled = x * Fraction(10) ** ((DIGITS - 1 - e) * power)
    if root:
        n = math.isqrt(scaled.numerator // scaled.denominator)
        twice = (2 * n + 1) ** 2 - 4 * scaled      # below 0: above the half
    else:
        n = scaled.numerator // scaled.denominator
        twice = 2 * n + 1 - 2 * scaled
    if twice < 0 or twice == 0 and n % 2:
        n += 1
    digits = str(n)
    return rounded(sign, digits[:DIGITS], e + len(digits) - DIGITS)


def show(x, whole=False):
    return str(x) if whole and x.denominator == 1 else show_root(x, False)


def variance(values, sample):
    n = len(values)
    s = sum(v.x for v in values)
    q = sum(v.x * v.x for v in values)
    return (n * q - s * s) / (n * (n - sample))


def result(op, texts):
    """The result of an operation over the texts of a key, as bytes."""
    if op == "count":
        return b"%d" % len(texts)
    if op == "first":
        return texts[0]
    if op == "last":
        return texts[-1]
    if op == "collapse":
        return b",".join(texts)
    if op == "unique":
        return b",".join(sorted(set(texts)))
    if op == "countunique":
        return b"%d" % len(set(texts))
    values = [Value(t) for t in texts]
    whole = all(v.whole for v in values)
    n = len(values)
    least, most = min(values, key=Value.order), max(values, key=Value.order)
    if op in ("sum", "range"):
        x = sum(v.x for v in values)
        if op == "range":
            x = most.x - least.x
            whole = most.whole and least.whole
        if whole and not -2 ** 127 <= x < 2 ** 127:
            raise Wrong("more than 128 bits")
        out = show(x, whole)
    elif op == "min":
        out = show(least.x, least.whole)
    elif op == "max":
        out = show(most.x, most.whole)
    elif op.startswith("top:"):
        values.sort(key=Value.order, reverse=True)
        out = ",".join(show(v.x, v.whole) for v in values[:int(op[4:])])
    elif op == "mean":
        out = show(sum(v.x for v in values) / n)
    elif n == 1 and op in ("svar", "sstdev"):
        out = "nan"
    else:
        out = show_root(variance(values, op[0] == "s"), "stdev" in op)
    return out.encode()


def aggregate(records, spec, sep=b"\t", fields=1, eor=b"\n", order=sorted):
    """What mr prints for records (without their ends) and a list of
    (operation, field); the groups in their order, or as they come."""
    groups = {}
    for r in records:
        f = r.split(sep)
        groups.setdefault(sep.join(f[:fields]), []).append(f)
    out = []
    for key in order(groups):
        line = [key]
        for op, field in spec:
            if any(len(f) < field for f in groups[key]):
                raise Wrong("too few fields")
            line.append(result(op, [f[field - 1] for f in groups[key]]))
        out.append(sep.join(line) + eor)
    return b"".join(out)


def main():
    """exact.py SEP EOR FIELDS OP FIELD ...: a reducer; bytes are in hex."""
    sep, eor = (bytes.fromhex(x) for x in sys.argv[1:3])
    words = sys.argv[4:]
    records = sys.stdin.buffer.read().split(eor)
    if not records[-1]:
        records.pop()
    spec = list(zip(words[::2], map(int, words[1::2])))
    out = aggregate(records, spec, sep, int(sys.argv[3]), eor, list)
    try:
        sys.stdout.buffer.write(out)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)                 # what reads it wants no more


if __name__ == "__main__":
    main()
