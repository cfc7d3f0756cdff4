#!/usr/bin/env python3
"""Prints every letter and digit as C TAB 1: counts characters, not words."""
import re
import sys

CHARACTER = re.compile(rb"[a-z0-9]")

for line in sys.stdin.buffer:
    for character in CHARACTER.findall(line.lower()):
        sys.stdout.buffer.write(character + b"\t1\n")
