#!/bin/sh
# A source for PostgreSQL: postgres.sh QUERY count
#                          postgres.sh QUERY OFFSET LIMIT
#
# Prints how many rows the query has, or LIMIT of them from number OFFSET on, as
# pairs of its two columns.  The query must put its rows in order: what is
# number 7 of a query without ORDER BY may be any row, and another one each
# time.  psql finds the server by its own variables, PGHOST and others.
set -eu

wrong() {
	echo "postgres.sh: $1" >&2
	exit 1
}

sql() {
	psql -XAqt -v ON_ERROR_STOP=1
}

query=$1
shift
echo "$query" | tr '\n\t' '  ' | grep -Eiqw 'order +by' ||
	wrong 'the query has no ORDER BY'
if [ "$*" = count ]; then
	echo "SELECT count(*) FROM ($query) AS q;" | sql
	exit
fi
[ $# -eq 2 ] || wrong 'OFFSET and LIMIT are needed'
for number; do
	case $number in
	'' | *[!0-9]*) wrong "not a number of rows: $number" ;;
	esac
done

# One transaction, so that both see the same state of the tables.  COPY prints
# a TAB, a newline or a backslash in a column as mr convert reads them.
sql >"$TMPDIR/rows" <<-SQL
	BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
	SELECT count(*) FROM ($query) AS q;
	COPY ($query OFFSET $1 LIMIT $2) TO STDOUT;
	COMMIT;
SQL
[ "$(head -n 1 "$TMPDIR/rows")" = "$MR_SOURCE_COUNT" ] ||
	wrong 'rows have come or gone since they were counted'
sed 1d "$TMPDIR/rows" | mr convert --from text --to rawbytes
