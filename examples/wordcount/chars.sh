#!/bin/sh
# Prints every letter and digit as C TAB 1: counts characters, not words.
LC_ALL=C
export LC_ALL
tab=$(printf '\t')

tr -cd A-Za-z0-9 | tr '[:upper:]' '[:lower:]' | fold -w 1 | sed -e "s/\$/${tab}1/"
