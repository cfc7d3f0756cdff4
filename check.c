/* check.c - mr run --check: whether the commands of a job are what mr asks
 * of them, on a sample of its input.
 *
 * Each rule is tried in the plainest way: the command runs over the sample
 * as a whole, and over the same cut in pieces, and must print the same.
 *
 * When pieces make a difference, each of their cuts is tried alone until one
 * does: the record behind it is what is reported. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	SAMPLE = 256 * KiB,	/* bytes of all files together */
	FILES_MOST = 16,
	ALONE = 64,		/* records that are tried each by itself */
	ORDERS = 3,		/* in which the values of a key are tried */
	KEYS_MOST = 64,		/* with --per-key: a command each */
};

struct check {
	struct job *job;
	struct trial trial;
	struct buf head;	/* of a file, with --header repeat */
	size_t begin;		/* of a file's first record, in it */
	uint64_t records;
	uint64_t seed;
	bool found;
};

/* The same numbers each time, so that a report can be had again. */
static uint64_t
chance(struct check *c, uint64_t below)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return (c->seed >> 33) % below;
}

/* A phase over the records from number i up to j. */
typedef void stage(struct check *, const struct lines *, size_t i, size_t j,
    uint32_t attempt, struct buf *out);

static void
map_stage(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	struct buf b = {0};
	size_t at = lines_at(l, i);

	c->trial.split.off = c->begin + at;
	c->trial.split.len = lines_at(l, j) - at;
	buf_put(&b, c->head.p, c->head.len);
	buf_put(&b, l->b.p + at, lines_at(l, j) - at);
	trial_run(&c->trial, &c->job->map, "map", attempt, NULL, 0, b.p, b.len, out);
	buf_free(&b);
}

static bool
begins(const struct check *c, const struct lines *l, size_t i)
{
	return lines_begin_group(l, &c->job->shape.fmt, i);
}

/* The values of one group, and its command. */
static void
one_key(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	const struct format *f = &c->job->shape.fmt;
	const unsigned char *key = l->b.p + lines_at(l, i);
	size_t klen = key_length(f, key, l->end[i] - 1 - lines_at(l, i));
	struct buf b = {0};

	if (c->job->key_on_stdin) {
		buf_put(&b, key, klen);
		buf_put(&b, &f->delim, 1);
	}
	for (; i < j; i++) {
		size_t at = lines_at(l, i) + klen;

		if (at + 1 < l->end[i])
			at++;
		buf_put(&b, l->b.p + at, l->end[i] - at);
	}
	trial_run(&c->trial, &c->job->reduce, "reduce", attempt, c->job->key_on_stdin ?
	    NULL : key, klen, b.p, b.len, out);
	buf_free(&b);
}

static void
reduce_stage(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	size_t at = lines_at(l, i), k;

	if (!c->job->per_key) {
		trial_run(&c->trial, &c->job->reduce, "reduce", attempt, NULL, 0,
		    l->b.p + at, lines_at(l, j) - at, out);
		return;
	}
	for (; i < j; i = k) {
		for (k = i + 1; k < j && !begins(c, l, k); )
			k++;
		one_key(c, l, i, k, attempt, out);
	}
}

/* ---- what is found */

/* Says what differs, and the first record of the output that does. */
static void
tell(struct check *c, struct buf *what, const struct buf *want,
    const struct buf *got, const char *whole, const char *other)
{
	buf_printf(what, "\n%s:   ", diag_name);
	lines_show_difference(want, got, c->job->shape.fmt.delim, whole, other,
	    what);
	diag_write(what->p, what->len);
	buf_free(what);
	c->found = true;
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 ||
	    memcmp(a->p, b->p, a->len) == 0);
}

/* Whether pieces make a difference: cuts, n of them, are numbers of
 * records, in order.  Each is a task, as with so many splits or with -R. */
static bool
pieces_differ(struct check *c, stage *f, const struct lines *l,
    const size_t *cuts, size_t n, const struct buf *whole, struct buf *got)
{
	size_t at = 0;

	buf_reset(got);
	if (f == reduce_stage)
		c->job->reducers = (unsigned)n + 1;
	for (size_t i = 0; i <= n; i++) {
		size_t to = i < n ? cuts[i] : l->n;

		c->trial.task = (uint32_t)i;
		if (to > at)
			f(c, l, at, to, 0, got);
		at = to;
	}
	c->trial.task = 0;
	if (f == reduce_stage)
		c->job->reducers = 1;
	return !same(whole, got);
}

static int
by_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

/* Tries n cuts at places where a record, or a group, begins; all is from
 * the beginning, each of them.  Reports what they show. */
static void
try_cuts(struct check *c, stage *f, const char *name, const struct lines *l,
    const struct buf *whole, size_t n, bool all)
{
	size_t *cuts = xzalloc(n + 1, sizeof *cuts), k = 0;
	struct buf got = {0}, what = {0};
	bool groups = f == reduce_stage;

	for (size_t i = 1; all ? i < l->n && k < n : i <= n; i++) {
		size_t at = all ? i : 1 + chance(c, l->n - 1);

		while (groups && at < l->n && !begins(c, l, at))
			at++;
		if (at < l->n && (k == 0 || !all || cuts[k - 1] != at))
			cuts[k++] = at;
	}
	qsort(cuts, k, sizeof *cuts, by_number);
	if (k > 0 && pieces_differ(c, f, l, cuts, k, whole, &got)) {
		size_t i = 0, at;

		while (i < k && !pieces_differ(c, f, l, cuts + i, 1, whole,
		    &got))
			i++;
		if (i == k)	/* only all of them together do */
			pieces_differ(c, f, l, cuts, k, whole, &got);
		at = cuts[i < k ? i : 0];
		buf_printf(&what, "%s: %s depends on what it read before: "
		    "record %zu, ", diag_name, name, at + 1);
		lines_show(l, at, &what);
		buf_printf(&what, ",\n%s:   is the first of %s, where its "
		    "input may begin", diag_name, groups ? "a key" : "a piece");
		if (groups)
			buf_printf(&what, " (with -R %zu)", i < k ? 2 : k + 1);
		tell(c, &what, whole, &got, "of the whole it prints",
		    "of the pieces");
	}
	buf_free(&got);
	free(cuts);
}

/* Tries a phase in pieces, and a second time. */
static void
try_stage(struct check *c, stage *f, const char *name, const struct lines *l,
    bool cut, struct buf *whole)
{
	struct buf again = {0}, what = {0};

	f(c, l, 0, l->n, 0, whole);
	f(c, l, 0, l->n, 1, &again);
	if (!same(whole, &again)) {
		buf_printf(&what, "%s: %s prints something else the second "
		    "time (a random number, the time, a file that it has "
		    "made?)", diag_name, name);
		tell(c, &what, whole, &again, "first it was", "then");
		cut = false;
	}
	buf_free(&again);
	if (!cut || l->n < 2)
		return;
	for (size_t n = 1; n <= 64 && !c->found; n *= 4)
		try_cuts(c, f, name, l, whole, n, false);
	if (!c->found)
		try_cuts(c, f, name, l, whole, ALONE, true);
}

/* ---- between the phases */

/* With --per-key, forgets all keys but the first few. */
static void
cut_keys(const struct check *c, struct lines *l)
{
	size_t keys = 0, i = 0;

	while (i < l->n && keys <= KEYS_MOST)
		keys += begins(c, l, i++);
	if (keys > KEYS_MOST)
		l->n = i - 1;
	l->b.len = lines_at(l, l->n);
}

/* Combines some records, which are neighbours in the input, as often as
 * told. */
static void
combine(struct check *c, const struct lines *l, size_t i, size_t j,
    int times, struct buf *out)
{
	const unsigned char delim = c->job->shape.fmt.delim;
	struct lines part = {0};
	size_t at = lines_at(l, i);

	buf_put(&part.b, l->b.p + at, lines_at(l, j) - at);
	for (; times > 0; times--) {
		struct buf got = {0};

		lines_find(&part, delim);
		lines_sort(&part, &c->job->shape);
		trial_run(&c->trial, &c->job->combine, "combine", 0, NULL, 0, part.b.p,
		    part.b.len, &got);
		buf_free(&part.b);
		part.b = got;
	}
	buf_put(out, part.b.p, part.b.len);
	lines_free(&part);
}

/* Tries the combiner over all records and over two pieces, once and twice:
 * the reducer must make the same of it. */
static void
try_combine(struct check *c, const struct lines *mapped,
    const struct buf *want)
{
	for (int turn = 0; turn < 4 && !c->found && mapped->n > 1; turn++) {
		size_t cut = turn < 2 ? mapped->n : 1 + chance(c,
		    mapped->n - 1);
		struct lines l = {0};
		struct buf got = {0}, what = {0};

		combine(c, mapped, 0, cut, 1 + turn % 2, &l.b);
		if (cut < mapped->n)
			combine(c, mapped, cut, mapped->n, 1, &l.b);
		lines_find(&l, c->job->shape.fmt.delim);
		lines_sort(&l, &c->job->shape);
		if (c->job->per_key)
			cut_keys(c, &l);
		reduce_stage(c, &l, 0, l.n, 0, &got);
		if (!same(want, &got)) {
			buf_printf(&what, "%s: COMBINE changes what REDUCE "
			    "prints: used %s over %s", diag_name, turn % 2 ?
			    "twice" : "once", turn < 2 ? "all records" :
			    "two pieces");
			tell(c, &what, want, &got, "without it", "with it");
		}
		buf_free(&got);
		lines_free(&l);
	}
}

/* The built-in reducer breaks no rule, but may be given what is no number. */
static void
try_aggregate(struct check *c, const struct lines *sorted)
{
	struct fold *f = fold_new(c->job->agg, false, UINT64_MAX);
	struct buf out = {0}, why = {0};

	if (!fold_text(f, sorted->b.p, sorted->b.len, &out, &why) ||
	    !fold_text_end(f, &out, &why)) {
		say("--agg: %.*s", (int)why.len, (const char *)why.p);
		c->found = true;
	}
	fold_free(f);
	buf_free(&out);
	buf_free(&why);
}

/* Puts the values of each key in another order: backwards, or by chance. */
static void
reorder(struct check *c, const struct lines *sorted, bool backwards,
    struct lines *l)
{
	size_t *order = xzalloc(sorted->n, sizeof *order), j;

	for (size_t i = 0; i < sorted->n; i = j) {
		for (j = i + 1; j < sorted->n && !begins(c, sorted, j); )
			j++;
		for (size_t k = i; k < j; k++) {
			size_t other = backwards ? k : i + chance(c, k - i + 1);

			order[k] = order[other];
			order[other] = i + j - 1 - k;
		}
	}
	for (size_t i = 0; i < sorted->n; i++)
		lines_copy(l, sorted, order[i]);
	free(order);
}

/* Tries the values of each key in other orders, which a job never does. */
static void
try_order(struct check *c, const struct lines *sorted, const struct buf *want)
{
	bool differs = false;

	for (int turn = 0; turn < ORDERS && !differs; turn++) {
		struct lines l = {0};
		struct buf got = {0}, what = {0};

		reorder(c, sorted, turn == 0, &l);
		reduce_stage(c, &l, 0, l.n, 0, &got);
		differs = !same(want, &got);
		if (differs) {
			lines_show_difference(want, &got,
			    c->job->shape.fmt.delim, "in order it prints",
			    turn == 0 ? "backwards" : "shuffled", &what);
			printf("note: REDUCE depends on the order of a key's "
			    "values, which is that of the input:\n  %.*s",
			    (int)what.len, (const char *)what.p);
		}
		buf_free(&what);
		buf_free(&got);
		lines_free(&l);
	}
}

/* Looks at the commands of a job and reports the first that breaks a rule.
 * cut: there may be more than one reduce task.  Returns the exit status. */
int
check_run(struct job *job, bool cut)
{
	struct check c = { .job = job, .seed = 1 };
	struct lines mapped = {0}, l = {0};
	struct buf reduced = {0}, out = {0};
	size_t n = job->input.n < FILES_MOST ? job->input.n : FILES_MOST;

	trial_begin(&c.trial, job);
	for (size_t i = 0; i < n && !c.found; i++) {
		size_t file = i * job->input.n / n;

		c.begin = lines_sample(&l, job, job->input.files + file,
		    job->whole_file ? SIZE_MAX / 2 : SAMPLE / n, &c.head);
		c.trial.split = (struct split){ .file = (uint32_t)file,
		    .nfiles = 1 };
		c.records += l.n;
		if (job->map.argv != NULL && l.n > 0) {
			try_stage(&c, map_stage, "MAP", &l, !job->whole_file,
			    &out);
			lines_free(&l);
			l.b = out;
			out = (struct buf){0};
		}
		buf_put(&mapped.b, l.b.p, l.b.len);
		lines_free(&l);
	}
	if (job->reduce.argv != NULL && !c.found) {
		lines_find(&mapped, job->shape.fmt.delim);
		buf_put(&l.b, mapped.b.p, mapped.b.len);
		lines_find(&l, job->shape.fmt.delim);
		lines_sort(&l, &job->shape);
		if (job->per_key)
			cut_keys(&c, &l);
		job->reducers = 1;
		try_stage(&c, reduce_stage, "REDUCE", &l, cut && !job->per_key,
		    &reduced);
		if (!c.found && job->combine.argv != NULL)
			try_combine(&c, &mapped, &reduced);
		if (!c.found && (job->shape.key != KEY_DEFS ||
		    keys_inner(job->shape.keys) == 0))
			try_order(&c, &l, &reduced);
	}
	if (job->agg != NULL && !c.found) {
		lines_find(&mapped, job->shape.fmt.delim);
		lines_sort(&mapped, &job->shape);
		try_aggregate(&c, &mapped);
	}
	trial_end();
	if (!c.found)
		printf("no fault found: %llu records of %zu file%s, %llu "
		    "runs of commands\n", (unsigned long long)c.records, n,
		    n == 1 ? "" : "s",
		    (unsigned long long)c.trial.runs);
	lines_free(&l);
	lines_free(&mapped);
	buf_free(&reduced);
	return c.found ? EXIT_TROUBLE : EXIT_OK;
}
