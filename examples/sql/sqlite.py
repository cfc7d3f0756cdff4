#!/usr/bin/env python3
"""A source for SQLite: sqlite.py DATABASE QUERY count
                        sqlite.py DATABASE QUERY OFFSET LIMIT

Prints how many rows the query has, or LIMIT of them from number OFFSET on, as
pairs of its two columns.  The query must put its rows in order: what is
number 7 of a query without ORDER BY may be any row, and another one each
time.
"""
import os
import re
import sqlite3
import sys

from pairs import write_pair


def as_bytes(value):
    if value is None:
        sys.exit("sqlite.py: a row holds NULL (coalesce)")
    return value if isinstance(value, bytes) else str(value).encode()


def as_number(word):
    if not re.fullmatch("[0-9]{1,18}", word):
        sys.exit("sqlite.py: not a number of rows: " + word)
    return int(word)


def count(db, query):
    return db.execute("SELECT count(*) FROM (%s)" % query).fetchone()[0]


def main(name, query, *which):
    if not re.search(r"\border\s+by\b", query, re.IGNORECASE):
        sys.exit("sqlite.py: the query has no ORDER BY")
    db = sqlite3.connect("file:%s?mode=ro" % name.replace("?", "%3f"),
                         uri=True, isolation_level=None)
    db.text_factory = bytes
    db.execute("BEGIN")         # what follows sees one state of the tables
    if which == ("count",):
        print(count(db, query))
        return
    offset, limit = map(as_number, which)
    if count(db, query) != int(os.environ["MR_SOURCE_COUNT"]):
        sys.exit("sqlite.py: rows have come or gone since they were counted")
    for key, value in db.execute(query + " LIMIT ? OFFSET ?",
                                 (limit, offset)):
        write_pair(as_bytes(key), as_bytes(value))


main(*sys.argv[1:])
