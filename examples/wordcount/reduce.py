#!/usr/bin/env python3
"""Word count: adds up the numbers of neighbouring equal keys."""
import itertools
import sys


def pairs(lines):
    """Yields each record KEY TAB NUMBER as (key, number)."""
    for line in lines:
        key, number = line.rstrip(b"\n").split(b"\t")
        yield key, int(number)


records = pairs(sys.stdin.buffer)
for key, group in itertools.groupby(records, key=lambda record: record[0]):
    total = sum(number for _, number in group)
    sys.stdout.buffer.write(b"%s\t%d\n" % (key, total))
