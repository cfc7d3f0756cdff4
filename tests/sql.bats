#!/usr/bin/env bats
# examples/sql: what the jobs print is what the databases say themselves.
load helper
load failure

sql=$BATS_TEST_DIRNAME/../examples/sql

# The tables of a shop, in SQL that both databases know.  Notes hold tabs and
# newlines, words of any kind, and nothing.
tables() {
	python3 - <<-'EOF'
		import random

		rng = random.Random(7)
		words = ["one", "two", "Two", "x'y", "back\\slash", "\\n", "\u00e9t\u00e9", "-", "c"]
		print("CREATE TABLE notes (id integer, body text);")
		for i in range(700):
		    body = "".join(rng.choice(words) + rng.choice([" ", "\t", "\n", "\n\n "])
		                   for _ in range(rng.randrange(12)))
		    print("INSERT INTO notes VALUES (%d, '%s');" % (
		        rng.randrange(10000), body.replace("'", "''")))
		print("CREATE TABLE customers (id integer, name text);")
		for i in range(60):
		    print("INSERT INTO customers VALUES (%d, 'name\t%d\nof a customer');" % (i, i))
		print("CREATE TABLE orders (customer integer, amount integer);")
		for i in range(900):
		    print("INSERT INTO orders VALUES (%d, %d);" % (
		        rng.randrange(80), rng.randrange(200)))
	EOF
}

needs_python() {
	needs python3
	python3 -c 'import sqlite3' 2>/dev/null ||
		skip 'python3 has no sqlite3'
}

# lite SQL...: runs statements in shop.db, and prints rows as text.
lite() {
	python3 -c 'if True:
		import sqlite3, sys
		db = sqlite3.connect("shop.db")
		for statements in sys.argv[1:]:
		    for row in db.execute(statements):
		        print("\t".join(str(c).replace("\\", "\\\\").replace(
		            "\n", "\\n").replace("\t", "\\t") for c in row))
		db.commit()' "$@"
}

a_database() {
	needs_python
	tables >tables.sql
	python3 -c 'if True:
		import sqlite3
		sqlite3.connect("shop.db").executescript(open("tables.sql").read())'
}

# a_server: starts PostgreSQL on a socket in this test's directory; psql finds
# it.  stop_server ends it.
a_server() {
	local bin

	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin /usr/local/pgsql/bin |
		while read -r dir; do
			[ ! -x "$dir/initdb" ] || echo "$dir"
		done | tail -n 1)
	[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)") ||
		skip 'PostgreSQL is not installed'
	needs python3 psql
	server=$bin
	# Not in the test's own directories: a socket has a short name, and
	# the server is not to be root.
	shop=$(mktemp -d /tmp/mrshop.XXXXXX)
	as_server=()
	if is_root; then
		needs setpriv
		chown nobody "$shop"
		as_server=(setpriv --reuid=nobody --regid=nogroup
			--clear-groups env "HOME=$shop")
	fi
	export PGHOST=$shop PGUSER=shop PGDATABASE=postgres PGCLIENTENCODING=UTF8
	unset PGPORT PGPASSWORD PGSERVICE PGOPTIONS
	(
		cd "$shop"
		unset MR_TEST_MARK
		"${as_server[@]}" "$bin/initdb" -D "$shop/data" -U shop -A trust \
			-E UTF8 --locale=C --no-sync
		"${as_server[@]}" "$bin/pg_ctl" -D "$shop/data" -w -t 60 \
			-l "$shop/log" -o "-k '$shop' -c listen_addresses= \
			    -c fsync=off" start
	) >server.log 2>&1 3>&- </dev/null || { cat server.log; return 1; }
	tables >tables.sql
	psql -XAqt -v ON_ERROR_STOP=1 -f tables.sql
}

stop_server() {
	[ -n "${shop:-}" ] || return 0
	(
		cd "$shop"
		"${as_server[@]}" "$server/pg_ctl" -D "$shop/data" -m immediate \
			-w stop
	) >>server.log 2>&1 3>&- || cat server.log
	rm -rf "$shop"
}


# The helper's teardown, after the server's.
eval "$(declare -f teardown | sed '1s/teardown/teardown_test/')"
teardown() {
	local status=0

	stop_server
	teardown_test || status=$?
	return "$status"
}

# job SOURCE [OPTION]...: a job over what a source prints, as text in order.
job() {
	local source=$1

	shift
	mr run --io rawbytes --source "$source" "$@" >pairs &&
		mr convert --from rawbytes --to text pairs | sort >got
}

notes='SELECT id, body FROM notes ORDER BY id, body'

# both_count SOURCE: the words of the notes, and the join, for any -j and -N.
both_count() {
	for options in '-j 1 -N 1000' '-j 3 -N 130'; do
		# shellcheck disable=SC2086
		job "$1 '$notes'" $options -m "$sql/words.py" -r "$sql/sum.py"
		[ "$(wc -l <words.want)" -gt 5 ]
		cmp words.want got
		# shellcheck disable=SC2086
		job "$1 \"\$(cat $sql/join.sql)\"" $options -r "$sql/join.py"
		[ "$(wc -l <join.want)" -eq 60 ]
		cmp join.want got
	done
}

# wrong_use SOURCE: what both sources refuse.
wrong_use() {
	local query

	for query in 'SELECT id, body FROM notes' \
	    'SELECT id, order_by FROM notes' 'SELECT id, body FROM none ORDER BY 1' \
	    'SELECT id, FROM notes ORDER BY 1'; do
		expect 123 mr run --io rawbytes --source "$1 '$query'" -m 'touch ran'
		says 'count task 0 failed'
	done
	export MR_SOURCE_COUNT=700
	# shellcheck disable=SC2086 # a command and its arguments
	while IFS='|' read -r -a numbers; do
		expect 1 $1 "$notes" "${numbers[@]}"
		says 'not a number of rows|are needed|values to unpack|argument'
		prints_nothing
	done <<-'EOF'
		1;|1
		-1|1
		1|x
		1|1;SELECT 1
		1|1 OR 1
		|1
		1
		1|2|3
		COUNT
	EOF
	rm -f "$TMPDIR/rows"
	[ ! -e ran ]
}

# inserted SOURCE INSERT: a row that comes while the job runs is noticed.
inserted() {
	expect 123 mr run -j 1 --io rawbytes --source "$1 '$notes'" -N 100 \
		-m "[ \$MR_TASK != 1 ] || $2; cat"
	says 'map task [2-6] failed after 1 attempt: .*exit status 1'
	says 'rows have come or gone since they were counted'
	prints_nothing
}

@test "sqlite: words and a join are what the database's GROUP BY says" {
	a_database
	lite "WITH RECURSIVE split(word, rest) AS (
		SELECT '', replace(replace(body, char(9), ' '), char(10), ' ') || ' '
		    FROM notes
		UNION ALL
		SELECT substr(rest, 1, instr(rest, ' ') - 1),
		    substr(rest, instr(rest, ' ') + 1) FROM split WHERE rest <> '')
		SELECT word, count(*) FROM split WHERE word <> '' GROUP BY word" |
		sort >words.want
	lite 'SELECT name, sum(amount) FROM customers JOIN orders
		ON customers.id = orders.customer GROUP BY customers.id, name' |
		sort >join.want
	both_count "$sql/sqlite.py shop.db"
}

@test "sqlite: no ORDER BY, and what is no number, is refused" {
	a_database
	wrong_use "$sql/sqlite.py shop.db"
	lite 'INSERT INTO notes VALUES (10001, NULL)'
	expect 123 mr run -N 1000 --io rawbytes \
		--source "$sql/sqlite.py shop.db '$notes'"
	says 'NULL'
}

@test "sqlite: rows that are inserted meanwhile are noticed" {
	a_database
	declare -f lite >lite
	inserted "$sql/sqlite.py shop.db" \
		'bash -c ". ./lite; lite \"INSERT INTO notes VALUES (-1, 1)\""'
}

@test "postgres: words and a join are what the database's GROUP BY says" {
	a_server
	psql -XAqt -c "COPY (SELECT word, count(*) FROM notes,
		regexp_split_to_table(body, '\s+') AS word WHERE word <> ''
		GROUP BY word) TO STDOUT" | sort >words.want
	psql -XAqt -c 'COPY (SELECT name, sum(amount) FROM customers JOIN orders
		ON customers.id = orders.customer GROUP BY customers.id, name)
		TO STDOUT' | sort >join.want
	both_count "$sql/postgres.sh"
	inserted "$sql/postgres.sh" \
		'psql -XAqt -c "INSERT INTO notes VALUES (-1, 1)"'
}

@test "postgres: no ORDER BY, and what is no number, is refused" {
	a_server
	wrong_use "$sql/postgres.sh"
	psql -XAqt -c 'INSERT INTO notes VALUES (10001, NULL)'
	expect 123 mr run -N 1000 --io rawbytes \
		--source "$sql/postgres.sh '$notes'"
}
