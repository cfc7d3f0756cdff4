#!/usr/bin/env python3
"""Collects real text from this machine: mktext.py BYTES >FILE

The text is what the documentation below /usr/share holds, paragraph by
paragraph: each paragraph once, then all in a shuffled order, again and again
in other orders until there are BYTES.  On one machine it is the same every
time; on another it is other text of the same kind.
"""
import gzip
import hashlib
import html
import os
import random
import re
import sys
import zlib

PLACES = [
    ("/usr/share/doc", (".txt", ".html", ".rst", ".md", ".gz", "README",
                        "copyright")),
    ("/usr/share/man", (".gz",)),
    ("/usr/share/info", (".gz",)),
    ("/usr/share/vim", (".txt",)),
    ("/usr/share/perl", (".pod", ".pm")),
    ("/usr/include", (".h",)),
]
MOST = 250_000_000      # bytes of text to collect, or so many times BYTES
TIMES = 4
BIGGEST = 20_000_000    # bytes to read of one file
SHORTEST, LONGEST = 40, 20_000  # bytes of a paragraph

TAG = re.compile(rb"<(script|style).*?</\1>|<[^>]*>", re.S | re.I)
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
ROFF = re.compile(rb"^\.[A-Za-z]{1,2}\b|\\f.|\\-|\\&|\\\(..", re.M)
GAP = re.compile(rb"\n[ \t]*\n+")


def files():
    """Yields the name of every file that may be text, in a fixed order."""
    for place, endings in PLACES:
        for folder, subfolders, names in os.walk(place):
            subfolders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.endswith(endings) and not os.path.islink(path):
                    yield path


def text_of(path):
    """Returns a file's text without its markup; nothing if it has none."""
    try:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as file:
            text = file.read(BIGGEST)
    except (OSError, EOFError, zlib.error):
        return b""
    if b"\0" in text[:4096]:
        return b""
    if ".html" in path:
        text = TAG.sub(b"", text).decode("utf-8", "replace")
        text = html.unescape(text).encode()
    elif "/man/" in path:
        text = ROFF.sub(b"", text)
    return text.replace(b"\r", b"")


def paragraphs(most):
    """Returns different paragraphs of this machine, up to so many bytes."""
    found, seen, total = [], set(), 0
    for path in files():
        for part in GAP.split(text_of(path)):
            part = CONTROL.sub(b"", part).strip(b"\n ")
            if not SHORTEST <= len(part) <= LONGEST:
                continue
            digest = hashlib.blake2b(part, digest_size=8).digest()
            if digest in seen:
                continue
            seen.add(digest)
            found.append(part)
            total += len(part)
        if total > most:
            break
    return found


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: mktext.py BYTES >FILE")
    left = int(sys.argv[1])
    found = paragraphs(min(MOST, TIMES * left))
    if not found:
        sys.exit("mktext.py: there is no text below /usr/share")
    shuffle = random.Random(1).shuffle
    while left > 0:
        shuffle(found)
        for part in found:
            sys.stdout.buffer.write(part + b"\n\n")
            left -= len(part) + 2
            if left <= 0:
                break


main()
