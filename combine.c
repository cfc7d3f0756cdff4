/* combine.c - the combine command over sorted runs that are neighbours in
 * input order: what it prints takes their place.
 *
 * It reads the runs as a reduce command would, and what it prints is sorted
 * again (a command that keeps sums in a table prints keys in any order).  It
 * must print no key that it has not read: that would move records to another
 * place, perhaps to another part, so it is an error.
 *
 * It may run zero times or many over the same records, so what it leaves in
 * a directory is lost, and an attempt that fails is repeated here: the runs
 * are still there.  It may be needed amid a map task whose output has filled
 * the memory; what that has running waits (attempt.c's outer and away).
 *
 * Life: combine_new once a worker; combine_runs as often as needed. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

struct combiner {
	const struct job *job;
	unsigned me;
	int sock;		/* readable: the driver wants us to stop */
	struct taskenv env;
	struct collect *sorter;	/* of what the command prints */
	struct run *runs;	/* that have come out of it, of this call */
	size_t n, cap;
	uint32_t seq;
};

/* The sorter has written a run. */
static void
take(void *arg, const struct run *run, bool committed)
{
	struct combiner *c = arg;

	(void)committed;
	if (c->n == c->cap) {
		c->cap = grown(c->cap, c->n + 1);
		c->runs = xrealloc(c->runs, c->cap, sizeof *c->runs);
	}
	c->runs[c->n++] = *run;
}

/* A combiner that sorts in memory bytes.  sock as in struct combiner. */
struct combiner *
combine_new(const struct job *job, unsigned me, int sock, size_t memory)
{
	struct combiner *c = xzalloc(1, sizeof *c);

	*c = (struct combiner){ .job = job, .me = me, .sock = sock };
	/* Directories of its own: a map command may be using the task's. */
	taskenv_begin(&c->env, job, me + job->nworkers);
	c->sorter = collect_new(&job->shape, NULL, 0, memory, NULL, take, c);
	return c;
}

static void
forget_runs(struct combiner *c, const struct store *store)
{
	for (size_t i = 0; i < c->n; i++)
		store_punch(store, &c->runs[i].at, c->runs[i].at.off,
		    c->runs[i].at.len);
	c->n = 0;
}

/* Runs the command once.  What it has printed is in the sorter. */
static void
run_attempt(struct combiner *c, const struct merge_input *in, size_t n,
    const char *compress, struct attempt *a, struct combining *what)
{
	const struct job *job = c->job;
	struct merge *m = merge_new(in, n, NULL, job->worker_memory / 8,
	    compress);
	struct replay *text = replay_new(m, &job->shape, false);
	const struct task_name who = { .phase = "combine",
	    .task = in[0].run->first, .attempt = what->attempts,
	    .tasks = job->ntasks, .later = true };
	volatile int32_t *group = job->shared->worker[c->me].group;
	const struct buf *why;
	char tag[64];

	*a = (struct attempt){ .cmd = &job->combine, .limits = &job->limits,
	    .fmt = &job->shape.fmt, .abort_fd = c->sock,
	    .clock = &job->shared->clock, .log = taskenv_log(&c->env, &who),
	    .group = group + (what->amid ? GROUP_COMBINER : GROUP_TASK),
	    .outer = what->amid ? group + GROUP_TASK : NULL,
	    .sink = { .collect = c->sorter, .fd = -1 },
	    .src = { .kind = SOURCE_FILL, .fill = replay_read, .arg = text } };
	a->envp = taskenv_set(&c->env, &who, NULL);
	a->dir = c->env.workdir;
	if (job->tag) {
		snprintf(tag, sizeof tag, "combine %lu: ",
		    (unsigned long)who.task);
		a->tag = tag;
	}
	collect_begin(c->sorter, who.task, NULL, COLLECT_OUTPUT);
	attempt_run(a);
	why = collect_complaint(c->sorter);
	if (a->fail.kind == FAIL_NONE && why->len > 0) {
		buf_put(&a->fail.text, why->p, why->len);
		a->fail.kind = FAIL_OUTPUT;
		a->fail.exit = EXIT_TROUBLE;
		a->fail.final = true;
	}
	what->in += replay_records(text);
	if (a->log != -1)
		close(a->log);
	replay_free(text);
	merge_free(m);
}

/* The key, as it stands in records, of the group that m is at. */
static void
show_key(const struct combiner *c, struct merge *m, struct buf *key)
{
	const struct shape *s = &c->job->shape;
	size_t len, skip = s->key == KEY_PART ? 4 : 0;
	const unsigned char *p = merge_key(m, &len);
	struct item it;

	if (ikey_has_key(s))
		buf_put(key, p + skip, len - skip);
	else if (merge_item(m, &it))
		buf_put(key, it.p, key_length(&s->fmt, it.p, it.n));
}

/* Whether all keys of the runs that came out are among those that went in;
 * else *key is one that is not. */
static bool
keys_kept(const struct combiner *c, const struct merge_input *in, size_t n,
    const char *compress, const struct combining *what, struct buf *key)
{
	struct merge_input *out = xzalloc(c->n, sizeof *out);
	struct run *runs = xzalloc(c->n, sizeof *runs);
	struct merge *before, *after;
	const struct shape *shape = &c->job->shape;
	const unsigned char *p = NULL, *q;
	size_t plen = 0, qlen;
	bool kept = true, any = false;

	for (size_t i = 0; i < c->n; i++) {
		runs[i] = c->runs[i];
		runs[i].at.store = 0;	/* of the one that is given */
		out[i] = (struct merge_input){ what->to, runs + i, 0,
		    runs[i].data };
	}
	before = merge_new(in, n, NULL, c->job->worker_memory / 16, compress);
	after = merge_new(out, c->n, NULL, c->job->worker_memory / 16,
	    what->compress);
	while (kept && merge_group(after)) {
		q = merge_key(after, &qlen);
		qlen = ikey_group(shape, q, qlen);
		while (!any || key_compare(p, plen, q, qlen) < 0) {
			if (!merge_group(before))
				break;
			any = true;
			p = merge_key(before, &plen);
			plen = ikey_group(shape, p, plen);
		}
		kept = any && key_compare(p, plen, q, qlen) == 0;
		if (!kept)
			show_key(c, after, key);
	}
	merge_free(before);
	merge_free(after);
	free(out);
	free(runs);
	return kept;
}

/* Looks at what a good attempt has printed, and keeps it if it is right. */
static void
settle(struct combiner *c, const struct merge_input *in, size_t n,
    const char *compress, struct attempt *a, struct combining *what)
{
	struct buf key = {0};

	what->out = collect_records(c->sorter);
	collect_commit(c->sorter);
	collect_flush(c->sorter);
	if (!keys_kept(c, in, n, compress, what, &key)) {
		buf_str(&a->fail.text, "a combine command must keep keys; it "
		    "printed a record with the key ");
		buf_escaped(&a->fail.text, key.p, key.len < 100 ? key.len :
		    100);
		buf_str(&a->fail.text, ", which none of those has that it "
		    "was to read");
		a->fail.kind = FAIL_OUTPUT;
		a->fail.exit = EXIT_TROUBLE;
		a->fail.final = true;
	}
	buf_free(&key);
}

/* Combines runs that are neighbours in input order, in files compressed by
 * that program or not.  True: what->runs take their place, which stay the
 * combiner's until its next call.  False: what->fail says why not; it is the
 * caller's to free. */
bool
combine_runs(struct combiner *c, const struct merge_input *in, size_t n,
    const char *compress, struct combining *what)
{
	struct attempt a;
	int64_t paused = c->job->shared->clock.paused, begun = now_ns();

	c->n = 0;
	collect_into(c->sorter, what->to, what->to_id, what->compress);
	what->in = what->out = 0;
	for (what->attempts = 0;; ) {
		run_attempt(c, in, n, compress, &a, what);
		what->attempts++;
		if (a.fail.kind == FAIL_NONE && !a.aborted)
			settle(c, in, n, compress, &a, what);
		if (a.fail.kind == FAIL_NONE && !a.aborted)
			break;
		collect_rollback(c->sorter);
		forget_runs(c, what->to);
		what->fail = a.fail;
		what->aborted = a.aborted;
		if (a.aborted || a.fail.final ||
		    what->attempts > c->job->limits.retries)
			return false;
		buf_free(&a.fail.text);
		buf_free(&a.fail.tail);
	}
	buf_free(&a.fail.tail);
	for (size_t i = 0; i < c->n; i++) {
		c->runs[i].first = in[0].run->first;
		c->runs[i].last = in[n - 1].run->last;
		c->runs[i].seq = c->seq++;
	}
	what->runs = c->runs;
	what->n = c->n;
	if (what->outer != NULL)
		what->outer->away += now_ns() - begun -
		    (c->job->shared->clock.paused - paused);
	return true;
}
