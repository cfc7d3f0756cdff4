/* pool.c - runs that wait in a worker's memory to be combined.
 *
 * What the collector writes goes into a pool of runs that are neighbours in
 * the input.  When the pool has its share of the memory, the combiner makes
 * one sorted lot of it, which takes their place and is combined again with
 * what comes later.  So of data that shrink well nothing leaves the memory
 * before the end, and each run is a few bytes of many records.  Only when
 * too little room is gained does a lot go where the driver finds it.
 *
 * Runs of the attempt that is under way are combined apart from those of
 * tasks that are done, so that they can be forgotten.  The driver hears of
 * runs when they leave the pool; until then their tasks are held.
 *
 * The memory is the worker's share without its collector and the combiner's
 * sorter and windows: it must do for the runs and for what is made of them,
 * as they are needed until that is known to be right.
 *
 * Life: pool_begin; the collector calls take; pool_settle after each
 * attempt, and pool_flush where what comes next is no neighbour.
 *
 * MR_DEBUG=nojoin lets no run wait; pool makes all of this very small. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { SIXTEENTHS = 16, TINY = 32 * KiB };

static size_t
at_least(uint64_t n, size_t least)
{
	return n < least ? least : (size_t)n;
}

static size_t
collector_memory(const struct job *job)
{
	return debug_word("pool") ? TINY : at_least(job->worker_memory / 4, MiB);
}

static size_t
sorter_memory(const struct job *job)
{
	return debug_word("pool") ? TINY : at_least(job->worker_memory / 16, MiB / 2);
}

/* Bytes for the runs and for what is made of them. */
static uint64_t
room(const struct worker *w)
{
	const struct store *s = w->store;
	uint64_t all = w->job->worker_memory + s->memmax - (s->memlen <
	    s->memmax ? s->memlen : s->memmax);
	uint64_t taken = collector_memory(w->job) + sorter_memory(w->job) +
	    w->job->worker_memory / 8;

	if (debug_word("pool"))
		return 4 * TINY;
	return all > taken ? all - taken : 0;
}

/* Runs that are combined at once, at most. */
static size_t
runs_most(const struct worker *w)
{
	return at_least(w->job->worker_memory / 4 / MERGE_WINDOW, 4);
}

static struct run *
runs_of(const struct pool *p, const struct pool_part *part)
{
	return p->runs + (part == &p->rest ? p->done.n : 0);
}

static uint64_t
bytes_of(const struct run *runs, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += runs[i].at.len;
	return sum;
}

/* Bytes that are likely to come out of a part but for its first runs, if more
 * are added: what has come out before, and as much of the others as last
 * time, or a little more. */
static uint64_t
expected(const struct pool *p, const struct pool_part *part, size_t skip,
    uint64_t more)
{
	const struct run *runs = runs_of(p, part);
	uint64_t made = bytes_of(runs + skip, part->made - skip);
	uint64_t others = bytes_of(runs + part->made, part->n - part->made);
	unsigned left = made > 0 ? p->more_left : p->raw_left;

	return made + (others + more) / SIXTEENTHS * (left < SIXTEENTHS ?
	    left + 1 : SIXTEENTHS);
}

/* Whether what is made of a part but for its first runs fits beside all. */
static bool
fits(const struct worker *w, const struct pool_part *part, size_t skip)
{
	return w->pool.bytes + expected(&w->pool, part, skip, 0) <= room(w);
}

/* Whether runs may wait at all. */
static bool
may_wait(const struct worker *w)
{
	return w->pool.store.mem != -1 && !debug_word("nojoin");
}

/* Whether it is time to combine, if so many bytes are likely to come. */
static bool
is_full(const struct worker *w, uint64_t more)
{
	const struct pool *p = &w->pool;
	uint64_t done = 0, rest = 0;

	if (p->rest.n == 0 || p->done.n > p->done.made)
		done = expected(p, &p->done, 0, p->rest.n > 0 ? 0 : more);
	if (p->rest.n > 0)
		rest = expected(p, &p->rest, 0, more);
	return !may_wait(w) || p->done.n + p->rest.n >= runs_most(w) ||
	    p->bytes + more + (done > rest ? done : rest) > room(w);
}

/* Puts n runs in the place of those of a part but for the first, whose bytes
 * are given back. */
static void
replace(struct pool *p, struct pool_part *part, size_t skip,
    const struct run *runs, size_t n)
{
	struct run *old = runs_of(p, part) + skip;
	size_t was = part->n - skip, behind = part == &p->done ? p->rest.n : 0;
	size_t at = (size_t)(old - p->runs);

	for (size_t i = 0; i < was; i++)
		store_punch(&p->store, &old[i].at, old[i].at.off,
		    old[i].at.len);
	p->bytes -= bytes_of(old, was);
	if (at + n + behind > p->cap) {
		p->cap = grown(p->cap, at + n + behind);
		p->runs = xrealloc(p->runs, p->cap, sizeof *p->runs);
		old = p->runs + at;
	}
	memmove(old + n, old + was, behind * sizeof *old);
	if (n > 0)
		memcpy(old, runs, n * sizeof *old);
	part->n = skip + n;
	part->made = skip > 0 ? part->made : n;
	part->raw = 0;
	p->bytes += bytes_of(old, n);
	if (p->done.n + p->rest.n == 0)
		store_empty(&p->store);
}

/* Notes how much has been won by combining a part but for its first runs. */
static void
judge(struct worker *w, const struct pool_part *part, size_t skip,
    uint64_t out)
{
	struct pool *p = &w->pool;
	const struct run *runs = runs_of(p, part);
	uint64_t made = bytes_of(runs + skip, part->made - skip);
	uint64_t others = bytes_of(runs + part->made, part->n - part->made);
	unsigned left;

	if (others < room(w) / 8)
		return;		/* too few to tell */
	out = out > made ? out - made : 0;
	left = out >= others ? SIXTEENTHS : (unsigned)(out * SIXTEENTHS /
	    others);
	if (made > 0)
		p->more_left = left;
	else if (part->raw == part->n - part->made)
		p->raw_left = left;
}

/* Has a part but for its first runs combined into what->to. */
static void
combine(struct worker *w, struct pool_part *part, size_t skip,
    struct combining *what)
{
	struct pool *p = &w->pool;
	const struct run *runs = runs_of(p, part) + skip;
	size_t n = part->n - skip;
	struct merge_input *in = xzalloc(n, sizeof *in);
	struct store *to = what->to;
	uint64_t most = to->memmax, spare = room(w) / 8 * 9;

	for (size_t i = 0; i < n; i++)
		in[i] = (struct merge_input){ &p->store, runs + i, 0,
		    runs[i].data };
	spare = spare > p->bytes ? spare - p->bytes : 0;
	if (may_wait(w) && most > to->memlen && spare < most - to->memlen)
		to->memmax = to->memlen + spare;
	what->amid = w->mapping;
	what->outer = w->map_attempt;
	harvest_combine(w, in, n, NULL, what);
	to->memmax = most;
	judge(w, part, skip, bytes_of(what->runs, what->n));
	free(in);
}

/* What is made of a part, but for its first runs, stays here. */
static void
shrink(struct worker *w, struct pool_part *part, size_t skip)
{
	struct combining what = { .to = &w->pool.store };

	combine(w, part, skip, &what);
	for (size_t i = 0; i < what.n; i++)
		if (what.runs[i].at.disk)
			w->spilled += what.runs[i].at.len;
	replace(&w->pool, part, skip, what.runs, what.n);
}

/* It goes to the driver, and to disk if memory is of more use here. */
static void
send_away(struct worker *w, struct pool_part *part, bool disk)
{
	bool done = part == &w->pool.done;
	struct combining what = { .to = w->out, .to_id = (uint16_t)w->me,
	    .compress = w->job->compress };
	uint64_t most = w->out->memmax;

	/* What is of both the tasks before and of this one would come
	 * before its first runs. */
	if (!done && w->pool.done.n > 0)
		send_away(w, &w->pool.done, disk);
	if (disk)
		w->out->memmax = w->out->memlen;
	combine(w, part, 0, &what);
	w->out->memmax = most;
	/* Tasks are kept when the driver knows all of their runs. */
	for (size_t i = 0; i < what.n; i++)
		if (done && i + 1 < what.n && w->job->jobdir == NULL)
			reply_run(w, what.runs + i, false);
		else
			harvest_run(w, what.runs + i, done);
	replace(&w->pool, part, 0, NULL, 0);
}

/* Combines what has not been, and all of a part where that fits and is of
 * use. */
static void
combine_news(struct worker *w, struct pool_part *part)
{
	bool useless = w->pool.raw_left > SIXTEENTHS / 4 * 3;

	if (part->n == part->made)
		return;
	if (!may_wait(w) || (useless && part->made == 0)) {
		send_away(w, part, false);
		return;
	}
	if (part->made > 0 && part->raw > 0 && !fits(w, part, 0))
		shrink(w, part, part->made);
	if (fits(w, part, 0))
		shrink(w, part, 0);
	else
		send_away(w, part, true);
}

/* Combining each time that a little has come would take too long. */
static bool
is_stuck(const struct worker *w)
{
	const struct pool *p = &w->pool;
	size_t n = p->done.n + p->rest.n;

	return n > 0 && (n > runs_most(w) / 2 || is_full(w, room(w) / 8));
}

/* Makes room for as much as a run of so many bytes. */
static void
make_room(struct worker *w, uint64_t more)
{
	const struct pool *p = &w->pool;

	if (!is_full(w, more))
		return;
	combine_news(w, &w->pool.done);
	if (is_full(w, more))
		combine_news(w, &w->pool.rest);
	while (is_stuck(w))
		send_away(w, p->done.n > 0 ? &w->pool.done : &w->pool.rest,
		    true);
}

/* The collector has written a run. */
static void
take(void *arg, const struct run *run, bool committed)
{
	struct worker *w = arg;
	struct pool *p = &w->pool;
	/* No run of the attempt comes before one of tasks that are done. */
	struct pool_part *part = committed ? &p->done : &p->rest;
	size_t n = p->done.n + p->rest.n;

	if (n == p->cap) {
		p->cap = grown(p->cap, n + 1);
		p->runs = xrealloc(p->runs, p->cap, sizeof *p->runs);
	}
	p->runs[n] = *run;
	p->bytes += run->at.len;
	part->n++;
	part->raw++;
	make_room(w, run->at.len);
}

void
pool_begin(struct worker *w)
{
	struct job *job = w->job;

	store_open(&w->pool.store, job->tmpdirs[0], UINT64_MAX);
	w->pool.raw_left = w->pool.more_left = SIXTEENTHS / 2;
	w->combiner = combine_new(job, w->me, w->sock, sorter_memory(job));
	w->collect = collect_new(&job->shape, &w->pool.store, 0,
	    collector_memory(job), NULL, take, w);
}

/* The attempt has ended, well or not: its runs are like the others or
 * forgotten. */
void
pool_settle(struct worker *w, bool ok)
{
	struct pool *p = &w->pool;
	uint64_t more;

	if (p->rest.n == 0)
		return;
	if (!ok)
		replace(p, &p->rest, 0, NULL, 0);
	more = bytes_of(runs_of(p, &p->rest), p->rest.n);
	if (p->done.n > 0 && p->rest.raw > 0 && p->bytes + more +
	    expected(p, &p->done, 0, more) > room(w))
		shrink(w, &p->rest, 0);
	if (p->done.n == 0)
		p->done.made = p->rest.made;
	p->done.n += p->rest.n;
	p->done.raw += p->rest.raw;
	p->rest = (struct pool_part){ 0, 0, 0 };
	make_room(w, 0);
}

/* Sends all that is held: committed output of tasks. */
void
pool_flush(struct worker *w)
{
	collect_flush(w->collect);
	if (w->pool.done.n > 0)
		send_away(w, &w->pool.done, false);
}

bool
pool_holds(const struct worker *w)
{
	return w->pool.done.n > 0 || collect_holds(w->collect);
}
