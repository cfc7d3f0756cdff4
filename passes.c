/* passes.c - when all maps are done, runs that are neighbours in the input
 * are merged while there are more than one merge can take.
 *
 * With --append runs are kept, and read again each time: so there are fewer.
 *
 * MR_DEBUG=onerun merges as many runs as possible. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { KEPT_MOST = 32 };	/* runs */

static bool
merging(const struct driver *d)
{
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0 && d->w[i].task != NO_TASK)
			return true;
	return false;
}

static int
by_position(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Where the k neighbours begin that are cheapest to merge. */
static size_t
cheapest(const struct driver *d, size_t k)
{
	uint64_t sum = 0, least = UINT64_MAX;
	size_t best = 0;

	for (size_t i = 0; i < d->nruns; i++) {
		sum += d->runs[i].data;
		if (i + 1 < k)
			continue;
		if (sum < least) {
			least = sum;
			best = i + 1 - k;
		}
		sum -= d->runs[i + 1 - k].data;
	}
	return best;
}

/* Gives a worker k neighbouring runs to merge. */
static void
give_merge(struct driver *d, unsigned who, const struct run *runs, size_t k)
{
	struct task_msg msg = { .kind = TASK_MERGE, .n = k };
	struct worker_state *w = d->w + who;
	struct buf payload = {0};

	for (size_t i = 0; i < k; i++) {
		struct run_range r = { runs[i], 0, runs[i].data, 0, 0 };

		buf_put(&payload, &r, sizeof r);
	}
	w->inputs = xrealloc(w->inputs, k, sizeof *w->inputs);
	memcpy(w->inputs, runs, k * sizeof *runs);
	w->ninputs = k;
	crew_give(d, who, &msg, &payload);
	buf_free(&payload);
	d->merges++;
}

/* One pass: windows of up to k neighbours are merged, as many as are needed
 * for k runs to be left, each run in one window at most. */
static void
merge_pass(struct driver *d, size_t k)
{
	size_t n = d->nruns, at = 0, end;
	size_t windows = (n - k + k - 2) / (k - 1);
	struct run *old;

	if (windows > n / k)
		windows = n / k;
	if (windows <= 1) {
		windows = 1;
		if (k > n - k + 1)
			k = n - k + 1;
		at = cheapest(d, k);
	}
	end = at + windows * k;
	old = xrealloc(NULL, n, sizeof *old);
	memcpy(old, d->runs, n * sizeof *old);
	memmove(d->runs + at, d->runs + end, (n - end) * sizeof *d->runs);
	d->nruns -= windows * k;
	while ((at < end || merging(d)) && !d->failed) {
		int who = at < end ? crew_idle(d) : -1;

		if (who == -1) {
			loop_step(d);
			continue;
		}
		give_merge(d, (unsigned)who, old + at, k);
		at += k;
	}
	free(old);
}

/* Merges neighbours until one merge can take all that is left. */
void
passes_run(struct driver *d)
{
	size_t most = d->batch;

	if (d->job->kept != NULL && most > KEPT_MOST)
		most = KEPT_MOST;
	progress_phase(&d->bar, "merge", 0, 0);
	for (; d->nruns > most && !d->failed; d->passes++) {
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
		merge_pass(d, most);
	}
	if (d->nruns > 0)
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
}
