/* mergetask.c - a merge task: runs that follow each other become one, through
 * the combiner if there is one. */

#include <stdlib.h>

#include "mr.h"

/* The runs that a message names, as inputs of a merge. */
struct merge_input *
mergetask_inputs(struct worker *w, const struct task_msg *t,
    struct buf *payload)
{
	const struct run_range *v = (const void *)payload->p;
	struct merge_input *in = xzalloc(t->n, sizeof *in);

	for (uint64_t i = 0; i < t->n; i++)
		in[i] = (struct merge_input){ w->job->stores, &v[i].run,
		    v[i].begin, v[i].end };
	return in;
}

/* Merges runs that follow each other into one of our own. */
static void
merge_to_run(struct worker *w, const struct merge_input *in, size_t n,
    const struct bounds *bounds, struct run *run)
{
	struct merge *m = merge_new(in, n, bounds, w->job->worker_memory,
	    w->job->compress);
	struct run_writer *out = runw_new(w->store, (uint16_t)w->me,
	    w->job->compress, &w->job->shape.fmt);
	const struct shape *shape = &w->job->shape;
	const unsigned char *p;
	size_t klen;
	struct fold *f = w->job->agg == NULL ? NULL :
	    fold_new(w->job->agg, !ikey_has_key(shape),
	    w->job->key_memory);
	uint64_t expect = 0, turns = 0;
	struct item it;

	for (size_t i = 0; i < n; i++)
		expect += in[i].end - in[i].begin;
	runw_begin(out, expect);
	while (merge_group(m)) {
		p = merge_key(m, &klen);
		runw_key(out, p, klen, ikey_group(shape, p, klen),
		    ikey_shown(shape, klen));
		for (bool whole = f == NULL; !whole; ) {
			if (turns++ % 4096 == 0)
				harvest_alive(w);
			fold_begin(f, NULL, 0);
			whole = fold_group(f, m);
			p = fold_saved(f, &klen);
			runw_item(out, p, klen, false, 1);
		}
		while (merge_item(m, &it)) {
			size_t len;

			if (turns++ % 4096 == 0)
				harvest_alive(w);
			if (it.n == it.vlen) {
				runw_item(out, it.p, it.n, it.noval, it.count);
				continue;
			}
			runw_big(out, it.vlen, it.p, it.n);
			while ((len = merge_piece(m, &p)) > 0)
				runw_more(out, p, len);
		}
	}
	runw_end(out, run);
	run->first = in[0].run->first;
	run->last = in[n - 1].run->last;
	run->seq = in[0].run->seq;
	merge_free(m);
	fold_free(f);
	runw_free(out);
}

/* With a job directory each run is in the file of its task. */
void
mergetask_open(struct worker *w, const struct merge_input *in, size_t n,
    bool open)
{
	const struct jobdir *dir = w->job->jobdir;

	for (size_t i = 0; i < n && dir != NULL; i++) {
		uint32_t store = in[i].run->at.store;

		if (store < dir->base)
			continue;
		if (open)
			commit_open(dir, w->job->stores + store, false,
			    store - dir->base);
		else
			store_leave(w->job->stores + store);
	}
}

/* Merges neighbours among what a reduce task reads until one merge can take
 * all of it.  Returns how many are left; runs are the new ones. */
size_t
mergetask_narrow(struct worker *w, struct merge_input *in, size_t n,
    const struct bounds *bounds, struct run **runs)
{
	size_t most = w->job->batch, made = 0;

	if (w->job->jobdir == NULL || n <= most)
		return n;
	*runs = xzalloc(2 * n, sizeof **runs);
	while (n > most) {
		size_t to = 0;

		for (size_t i = 0; i < n; i += most) {
			size_t k = n - i < most ? n - i : most;
			struct run *r = *runs + made++;

			mergetask_open(w, in + i, k, true);
			merge_to_run(w, in + i, k, bounds, r);
			mergetask_open(w, in + i, k, false);
			in[to++] = (struct merge_input){ w->job->stores, r, 0,
			    r->data };
		}
		n = to;
	}
	return n;
}

/* Has runs combined to one.  False if nothing has come out. */
static bool
combine_to_run(struct worker *w, const struct merge_input *in, size_t n,
    struct run *run)
{
	struct combining what = { .to = w->out, .to_id = (uint16_t)w->me,
	    .compress = w->job->compress };
	struct merge_input *out;

	harvest_combine(w, in, n, w->job->compress, &what);
	if (what.n <= 1) {
		if (what.n == 1)
			*run = what.runs[0];
		return what.n == 1;
	}
	out = xzalloc(what.n, sizeof *out);
	for (size_t i = 0; i < what.n; i++)
		out[i] = (struct merge_input){ w->job->stores, what.runs + i,
		    0, what.runs[i].data };
	merge_to_run(w, out, what.n, NULL, run);
	for (size_t i = 0; i < what.n; i++)
		store_punch(w->store, &what.runs[i].at, what.runs[i].at.off,
		    what.runs[i].at.len);
	free(out);
	return true;
}

void
mergetask_run(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct merge_input *in = mergetask_inputs(w, t, payload);
	struct run run;
	bool any = true;

	if (w->combiner != NULL)
		any = combine_to_run(w, in, t->n, &run);
	else
		merge_to_run(w, in, t->n, NULL, &run);
	if (any) {
		run.seq = in[0].run->seq;
		reply_run(w, &run, false);
	}
	free(in);
	reply_send(w, &reply);
}
