#!/bin/sh
# Word count: prints every word as WORD TAB 1.  A word is a run of ASCII
# letters and digits, in lower case.
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

tr -cs A-Za-z0-9 '\n' | tr '[:upper:]' '[:lower:]' | sed -e '/^$/d' -e "s/\$/${tab}1/"
