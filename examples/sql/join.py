#!/usr/bin/env python3
"""Reduce: joins customers with their orders.

The key is a customer's number.  A value that begins with "c" is the customer's
name, one with "o" the amount of an order; they are in this order, as the query
has put them.  Prints the name and the sum of the orders of each customer who
has any.
"""
from itertools import groupby

from pairs import read_pairs, write_pair

for _, pairs in groupby(read_pairs(), key=lambda pair: pair[0]):
    names, amounts = [], []
    for _, value in pairs:
        (names if value[:1] == b"c" else amounts).append(value[1:])
    if amounts:
        for name in names:
            write_pair(name, b"%d" % sum(map(int, amounts)))
