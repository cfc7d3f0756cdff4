#!/usr/bin/env python3
"""Map: a pair WORD, 1 for each word of a value.  White space separates words,
and may be newlines and tabs: a pair holds any bytes."""
from pairs import read_pairs, write_pair

for _, text in read_pairs():
    for word in text.split():
        write_pair(word, b"1")
