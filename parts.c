/* parts.c - where the sorted whole is cut into parts, and a part's message.
 *
 * Cut points are a function of the runs' indexes alone.  By weight, which is
 * the bytes of the records when replayed, parts are as even as the indexes
 * let them be, whatever the keys look like. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

/* Bytes of records that a reduce task should have at the least, and at the
 * most where it starts a process and where it does not. */
#define PART_WEIGHT ((uint64_t)4 * MiB)
#define TASK_MOST ((uint64_t)128 * MiB)
#define MERGE_MOST ((uint64_t)16 * MiB)

#define PART_SMALL ((uint64_t)4 * KiB)	/* where starting commands counts */

/* A key at which a part may begin.  How the keys of a block lie between its
 * first and that of the next block is not known: half of it is taken to be at
 * either. */
struct cut {
	const unsigned char *key;
	size_t len;
	uint64_t begins;	/* weight of the block that begins there */
	uint64_t ends;		/* of the one that ends there */
	uint64_t below;		/* of all before it */
};

static int
by_key(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return key_compare(x->key, x->len, y->key, y->len);
}

/* The keys of a run's index, behind v; returns how many. */
static size_t
index_keys(const struct run_index *ix, struct cut *v)
{
	for (size_t j = 0; j < ix->n; j++) {
		v[j] = (struct cut){ ix->keys.p + ix->keyoff[j],
		    ix->keyoff[j + 1] - ix->keyoff[j], ix->weight[j], 0, 0 };
		/* Blocks of one key do not reach the next. */
		if (j > 0 && by_key(v + j - 1, v + j) != 0) {
			v[j].ends = v[j - 1].begins / 2;
			v[j - 1].begins -= v[j].ends;
		}
	}
	return ix->n;
}

/* All keys of the indexes, in order, each once.  The caller frees them. */
static struct cut *
candidates(const struct driver *d, size_t *count)
{
	size_t n = 0, k = 0;
	struct cut *v;
	uint64_t below = 0;

	for (size_t i = 0; i < d->nruns; i++)
		n += d->index[i].n;
	v = xrealloc(NULL, n, sizeof *v);
	n = 0;
	for (size_t i = 0; i < d->nruns; i++)
		n += index_keys(d->index + i, v + n);
	if (n > 0)
		qsort(v, n, sizeof *v, by_key);
	for (size_t i = 0; i < n; i++) {
		uint64_t ends = v[i].ends, begins = v[i].begins;

		if (k == 0 || by_key(v + k - 1, v + i) != 0) {
			v[k] = v[i];
			v[k++].below = below;
		}
		v[k - 1].below += ends;
		below += ends + begins;
	}
	*count = k;
	return v;
}

static uint64_t
weight_at(const struct cut *v, size_t n, size_t i, uint64_t all)
{
	return (i + 1 < n ? v[i + 1].below : all) - v[i].below;
}

/* Lets a key that is more than an even part count as one, so that the other
 * parts share evenly what is left.  Returns what all weigh then. */
static uint64_t
cap_weights(struct cut *v, size_t n, uint64_t all, uint64_t parts)
{
	uint64_t even = all / parts, last, sum = 0;

	do {
		uint64_t rest = all, left = parts;

		for (size_t i = 0; i < n; i++) {
			uint64_t w = weight_at(v, n, i, all);

			if (w > even && even > 0) {
				rest -= w;
				left--;
			}
		}
		last = even;
		even = rest / left;
	} while (even < last);
	for (size_t i = 0; i < n; i++) {
		uint64_t w = weight_at(v, n, i, all);

		v[i].below = sum;
		sum += w < last || last == 0 ? w : last;
	}
	return sum;
}

/* Bounds of parts whose records, by weight, are as even as the indexes let
 * them be. */
static void
cut_evenly(struct driver *d, uint64_t parts)
{
	static const unsigned char nothing[] = "";
	size_t n, at = 0, last = 0;
	struct cut *v = candidates(d, &n);
	uint64_t all = cap_weights(v, n, d->weight, parts);
	uint64_t below = 0;	/* the last cut */

	d->cuts = xzalloc(parts, sizeof *d->cuts);
	for (uint64_t p = 1; p < parts; p++) {
		uint64_t want = below + (all - below) / (parts - p + 1);

		while (at < n && (at <= last || v[at].below < want))
			at++;
		if (at > last + 1 && want - v[at - 1].below <
		    (at < n ? v[at].below : all) - want)
			at--;
		last = at;
		if (at == n) {
			/* What is left is in the part before: the others
			 * are empty. */
			for (; p < parts; p++)
				d->cuts[p].lo = d->cuts[p].hi = nothing;
			break;
		}
		below = v[at].below;
		d->cuts[p - 1].hi = d->cuts[p].lo = v[at].key;
		d->cuts[p - 1].hilen = d->cuts[p].lolen = v[at].len;
	}
	free(v);
	d->nparts = parts;
}

/* Bounds of hashed parts: their numbers. */
static void
cut_by_number(struct driver *d)
{
	uint32_t n = d->job->shape.nparts;
	unsigned char *numbers = xrealloc(NULL, n, 4);

	d->cuts = xzalloc(n, sizeof *d->cuts);
	for (uint32_t p = 0; p < n; p++) {
		store_be32(numbers + 4 * p, p);
		if (p > 0)
			d->cuts[p - 1].hi = d->cuts[p].lo = numbers + 4 * p;
		if (p > 0)
			d->cuts[p - 1].hilen = d->cuts[p].lolen = 4;
	}
	d->nparts = n;
}

/* Bytes of records that a part should have at the most. */
static uint64_t
part_most(const struct driver *d)
{
	if (!d->by_hand)
		return d->job->reduce.argv == NULL ? MERGE_MOST : TASK_MOST;
	return debug_word("hand") ? PART_SMALL : d->job->hand_room / 2;
}

static uint64_t
parts_by_weight(const struct driver *d)
{
	uint64_t most = part_most(d), parts = d->weight / (d->job->per_key ||
	    most < PART_WEIGHT ? PART_SMALL : PART_WEIGHT);
	uint64_t width = jobplan_ask.of > d->nw ? jobplan_ask.of : d->nw;

	most = d->weight / most;
	if (most < 4 * width)
		most = 4 * width;
	if (parts > most)
		parts = most;
	return parts > 0 ? parts : 1;
}

/* Chooses the parts, which is a function of the runs' indexes alone. */
void
parts_choose(struct driver *d)
{
	struct job *job = d->job;
	uint64_t parts = d->po->reducers;

	d->index = xzalloc(d->nruns, sizeof *d->index);
	for (size_t i = 0; i < d->nruns; i++) {
		struct store *s = job->stores + d->runs[i].at.store;

		if (job->jobdir != NULL)
			commit_open(job->jobdir, s, false,
			    d->runs[i].first);
		run_index_read(s, d->runs + i, d->index + i);
		if (job->jobdir != NULL)
			store_leave(s);
		d->weight += d->runs[i].weight;
	}
	if (job->jobdir != NULL && jobstate_cuts(d))
		return;
	if (job->shape.nparts > 0)
		cut_by_number(d);
	else
		cut_evenly(d, parts > 0 ? parts : parts_by_weight(d));
	if (job->jobdir != NULL)
		jobstate_put_cuts(d);
}

/* Where the blocks of a run begin that may have keys from this one on, and
 * where those end that may have keys before it. */
static void
cut_run(const struct run_index *ix, const unsigned char *key, size_t len,
    uint64_t *begin, uint64_t *end)
{
	size_t at = run_index_find(ix, key, len);

	*begin = ix->off[at > 0 ? at - 1 : 0];
	/* Several entries may be of one packed block. */
	while (at > 0 && at < ix->n && ix->off[at] == ix->off[at - 1])
		at++;
	*end = ix->off[at];
}

/* A reduce task's message: its ranges of all runs, and its bounds. */
void
parts_give(struct driver *d, unsigned who, uint32_t part)
{
	const struct bounds *b = d->cuts + part;
	struct task *t = d->tasks + part;
	struct buf payload = {0};
	struct task_msg msg = { .kind = TASK_REDUCE, .task = part,
	    .attempt = t->attempts, .ntasks = d->nparts,
	    .lolen = NO_BOUND, .hilen = NO_BOUND, .split = t->split,
	    .forgo = t->forgo, .hand = d->by_hand };

	for (size_t i = 0; i < d->nruns; i++) {
		const struct run_index *ix = d->index + i;
		struct run_range r = { d->runs[i], 0, d->runs[i].data, 0,
			d->runs[i].data };

		if (b->lo != NULL)
			cut_run(ix, b->lo, b->lolen, &r.begin, &r.own);
		if (b->hi != NULL)
			cut_run(ix, b->hi, b->hilen, &r.own_end, &r.end);
		if (r.begin >= r.end)
			continue;
		buf_put(&payload, &r, sizeof r);
		msg.n++;
		msg.expect += r.end - r.begin;
	}
	if (b->lo != NULL) {
		msg.lolen = (uint32_t)b->lolen;
		buf_put(&payload, b->lo, b->lolen);
	}
	if (b->hi != NULL) {
		msg.hilen = (uint32_t)b->hilen;
		buf_put(&payload, b->hi, b->hilen);
	}
	t->state = RUNNING;
	t->begun = now_ns();
	crew_give(d, who, &msg, &payload);
	buf_free(&payload);
}
