"""Pairs of bytes, as mr reads and writes them with --io rawbytes: the length of
the key in four bytes, the key, and the same of the value."""
import struct
import sys


def read_pairs(file=sys.stdin.buffer):
    def read():
        head = file.read(4)
        if not head:
            return None
        size = struct.unpack(">I", head)[0]
        data = file.read(size)
        if len(data) != size:
            sys.exit("the input ends in the middle of a pair")
        return data

    while (key := read()) is not None:
        value = read()
        if value is None:
            sys.exit("the input ends in the middle of a pair")
        yield key, value


def write_pair(key, value, file=sys.stdout.buffer):
    for data in key, value:
        file.write(struct.pack(">I", len(data)) + data)
