#!/usr/bin/env python3
"""Reduce: the sum of the values of each key, which are whole numbers."""
from itertools import groupby

from pairs import read_pairs, write_pair

for key, pairs in groupby(read_pairs(), key=lambda pair: pair[0]):
    write_pair(key, b"%d" % sum(int(value) for _, value in pairs))
