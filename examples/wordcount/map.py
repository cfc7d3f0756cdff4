#!/usr/bin/env python3
"""Word count: prints every word as WORD TAB 1.

A word is a run of ASCII letters and digits, in lower case.  The data stays
bytes: so no encoding is assumed, and none can be wrong.
"""
import re
import sys

WORD = re.compile(rb"[a-z0-9]+")

for line in sys.stdin.buffer:
    for word in WORD.findall(line.lower()):
        sys.stdout.buffer.write(word + b"\t1\n")
