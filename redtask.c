/* redtask.c - a reduce task: a range of keys of all runs is merged, goes
 * through the reduce command, or a built-in reducer, or as it is, and is a
 * part of the output.  And the one task after them all, which finishes. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { COPY = 256 * KiB };

struct ordered {			/* the records of a range of keys in order: */
	struct replay *merged;		/* from runs, */
	struct gathered *gathered;	/* or where this is not NULL */
};

/* Makes some of the text, COPY bytes at the most; 0: at its end. */
static size_t
copy_some(struct worker *w, const struct ordered *text, unsigned char *p,
    struct reply_msg *reply)
{
	size_t n = text->gathered != NULL ?
	    bucket_fill(text->gathered, w->job, p, COPY) :
	    replay_fill(text->merged, p, COPY);

	harvest_alive(w);
	reply->stats.in += n;
	reply->stats.out += n;
	w->job->shared->worker[w->me].moved += n;
	return n;
}

/* The identity as a reducer: the records themselves. */
static void
copy_text(struct worker *w, const struct ordered *text, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *p = xrealloc(NULL, COPY, 1);
	size_t n;

	while ((n = copy_some(w, text, p, reply)) > 0)
		sink_put(sink, p, n);
	free(p);
}

/* The same, but what comes stays in hand if there is room for all of it. */
static void
keep_text(struct worker *w, const struct ordered *text, struct sink *sink,
    struct reply_msg *reply)
{
	size_t n = 1;

	if (w->hand == NULL)
		w->hand = xlarge(w->job->hand_room);
	w->in_hand = 0;
	while (w->job->hand_room - w->in_hand >= COPY && n > 0) {
		n = copy_some(w, text, w->hand + w->in_hand, reply);
		w->in_hand += n;
	}
	reply->in_hand = n == 0 && w->in_hand > 0;
	if (n > 0) {
		sink_put(sink, w->hand, w->in_hand);
		w->in_hand = 0;
		copy_text(w, text, sink, reply);
	}
}

/* The output, at the place where a part is to be, or -1. */
static int
open_output(const struct job *job, uint64_t at)
{
	int fd;

	if (job->outmade == NULL)
		return STDOUT_FILENO;
	fd = open_file(job->outmade, O_WRONLY, 0);
	if (fd != -1)
		lseek(fd, (off_t)at, SEEK_SET);
	return fd;
}

/* Writes the part that is in hand to the output: it is its turn. */
void
redtask_print(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_PRINTED, .task = t->task };
	int fd = open_output(w->job, t->split.off);
	ssize_t n;

	for (size_t at = 0; at < w->in_hand; at += (size_t)n) {
		n = fd == -1 ? -1 : write(fd, w->hand + at,
		    w->in_hand - at < COPY ? w->in_hand - at : COPY);
		if (n == -1 && errno == EINTR) {
			n = 0;
		} else if (n == -1) {
			reply.error = errno;
			reply.missing = w->in_hand - at;
			break;
		}
	}
	if (w->job->outmade != NULL && fd != -1)
		close(fd);
	w->in_hand = 0;
	reply_send(w, &reply);
}

/* Gives back the memory of what only the last task needed of the runs, for
 * the next parts to take: nobody will run it again, as there is another task
 * now.  But if its part is still in hand, that was given up. */
static void
release_spent(struct worker *w)
{
	const struct run_range *v = (const void *)w->spent.p;

	for (size_t i = 0; i < w->spent.len / sizeof *v; i++)
		if (w->in_hand == 0 && !v[i].run.at.disk &&
		    v[i].own < v[i].own_end)
			store_punch(w->job->stores + v[i].run.at.store,
			    &v[i].run.at, v[i].run.at.off + v[i].own,
			    v[i].own_end - v[i].own);
	buf_reset(&w->spent);
	w->in_hand = 0;
}

/* Puts out what there is of it. */
static void
fold_put(struct worker *w, struct buf *out, struct sink *sink,
    struct reply_msg *reply)
{
	harvest_alive(w);
	sink_put(sink, out->p, out->len);
	reply->stats.in += out->len;
	reply->stats.out += out->len;
	w->job->shared->worker[w->me].moved += out->len;
	buf_reset(out);
}

/* A built-in reducer: a record of each key, which may be several ikeys. */
static bool
fold_merge(struct worker *w, struct merge *m, struct sink *sink,
    struct reply_msg *reply)
{
	const struct shape *shape = &w->job->shape;
	bool named = !ikey_has_key(shape), begun = false, ok = true, more;
	size_t skip = shape->key == KEY_PART ? 4 : 0, len, n = 0;
	struct fold *f = fold_new(w->job->agg, named,
	    w->job->key_memory);
	struct buf out = {0}, group = {0};
	const unsigned char *p = NULL;

	do {
		more = merge_group(m);
		if (more) {
			p = merge_key(m, &len);
			n = ikey_group(shape, p, len);
		}
		if (begun && (!more || n != group.len || (n > 0 &&
		    memcmp(p, group.p, n) != 0))) {
			ok = fold_print(f, &out, &reply->fail.text);
			begun = false;
		}
		if (more && ok) {
			if (!begun) {
				fold_begin(f, p + skip, len - skip);
				buf_reset(&group);
				buf_put(&group, p, n);
			}
			begun = true;
			ok = fold_group(f, m);
			if (!ok)
				fold_complain(f, &reply->fail.text);
		}
		if (out.len >= COPY || !more)
			fold_put(w, &out, sink, reply);
	} while (more && ok);
	if (!ok) {
		reply->fail.kind = FAIL_INPUT;
		reply->fail.exit = EXIT_TROUBLE;
		reply->fail.final = true;
	}
	fold_free(f);
	buf_free(&out);
	buf_free(&group);
	return ok;
}

/* Opens the file of a part, empty. */
static int
open_part(const struct job *job, uint32_t number)
{
	char *path = xasprintf("%s/part-%0*lu", job->outdir, job->outdigits,
	    (unsigned long)number);
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd == -1)
		die_errno("%s", path);
	free(path);
	return fd;
}

/* Makes a sink ready for a part: its file, if it is a part of the result and
 * that is a directory, or its place in the store. */
static void
sink_open(struct worker *w, struct sink *sink, const struct task_msg *t,
    bool result)
{
	if (result && w->job->outdir != NULL)
		sink->fd = open_part(w->job, t->task);
	else
		store_reuse(sink->store, t->expect, &t->free, sink->place);
}

/* Keeps what the sink has got, or forgets it. */
static void
sink_close(struct sink *sink, bool ok, struct reply_msg *reply)
{
	if (sink->fd != -1) {
		if (!ok && ftruncate(sink->fd, 0) == -1)
			die_errno("%s: emptying a part of the output",
			    sink->name);
		if (close(sink->fd) == -1)
			die_errno("%s: writing a part of the output",
			    sink->name);
	} else if (ok) {
		store_keep(sink->store, sink->place);
		reply->part = *sink->place;
	}
	if (!ok)
		reply->kind = REPLY_FAILED;
}

/* A task that is given up makes an empty part. */
void
redtask_forgo(struct worker *w, const struct task_msg *t)
{
	const struct job *job = w->job;
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part,
	    .name = job->outpath };

	harvest_before(w, t);
	harvest_open(w);
	sink_open(w, &sink, t, job->finish.argv == NULL && job->jobdir == NULL);
	sink_close(&sink, true, &reply);
	harvest_commit(w, t, true, &reply);
	reply_send(w, &reply);
}

/* A bucket of records that are where the input is. */
void
redtask_bucket(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part,
	    .name = w->job->outpath };
	struct ordered text = {0};

	release_spent(w);
	harvest_before(w, t);
	harvest_open(w);
	text.gathered = bucket_gather(w, t);
	sink_open(w, &sink, t, true);
	(t->hand ? keep_text : copy_text)(w, &text, &sink, &reply);
	sink_close(&sink, true, &reply);
	harvest_commit(w, t, true, &reply);
	reply_send(w, &reply);
}

void
redtask_run(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct job *job = w->job;
	const unsigned char *keys = payload->p + t->n *
	    sizeof(struct run_range);
	struct bounds bounds = {
	    .lo = t->lolen == NO_BOUND ? NULL : keys,
	    .lolen = t->lolen == NO_BOUND ? 0 : t->lolen,
	    .hi = t->hilen == NO_BOUND ? NULL :
	    keys + (t->lolen == NO_BOUND ? 0 : t->lolen),
	    .hilen = t->hilen == NO_BOUND ? 0 : t->hilen };
	struct merge_input *in = mergetask_inputs(w, t, payload);
	struct run *made = NULL;
	size_t n = mergetask_narrow(w, in, (size_t)t->n, &bounds, &made);
	struct merge *m;
	struct replay *text;
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part,
	    .name = job->outpath };
	bool ok = true, empty;

	release_spent(w);
	harvest_before(w, t);
	harvest_open(w);
	mergetask_open(w, in, n, true);
	m = merge_new(in, n, &bounds, job->worker_memory / 2, job->compress);
	text = replay_new(m, &job->shape, job->unique);
	empty = merge_is_empty(m);
	job->reducers = (unsigned)t->ntasks;
	sink_open(w, &sink, t, job->finish.argv == NULL && job->jobdir == NULL);
	if (job->agg != NULL) {
		ok = fold_merge(w, m, &sink, &reply);
	} else if (job->reduce.argv != NULL && (!empty || t->split.empty)) {
		struct attempt a;

		taskcmd_prepare(w, &a, &job->reduce, t, &t->split);
		a.sink = sink;
		a.src.kind = empty ? SOURCE_EMPTY : SOURCE_FILL;
		a.src.fill = replay_read;
		a.src.arg = text;
		taskcmd_run(w, &a, TASK_REDUCE);
		ok = taskcmd_close(w, &a, t, &reply);
		reply.partial = a.stats.partial;
	} else if (job->reduce.argv == NULL) {
		(t->hand ? keep_text : copy_text)(w,
		    &(struct ordered){ .merged = text }, &sink, &reply);
	}
	reply.records = replay_records(text);
	reply.hot_weight = replay_hot(text, &w->hot);
	sink_close(&sink, ok, &reply);
	harvest_commit(w, t, ok, &reply);
	replay_free(text);
	merge_free(m);
	mergetask_open(w, in, n, false);
	if (made != NULL)
		store_empty(w->store);
	if (ok && job->jobdir == NULL && job->kept == NULL)
		buf_put(&w->spent, payload->p,
		    t->n * sizeof(struct run_range));
	free(made);
	free(in);
	reply_send(w, &reply);
}

struct parts {			/* that the finish command reads */
	const struct job *job;
	const struct part *v;
	uint64_t n, next;
	int fd;			/* of the part's file in a job directory */
};

static int
parts_segment(void *arg, struct segment *seg, struct buf *why)
{
	struct parts *p = arg;
	const struct part *x = p->v + p->next;

	(void)why;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
	if (p->next == p->n)
		return 0;
	p->next++;
	if (p->job->jobdir != NULL)
		p->fd = commit_result(p->job->jobdir, x->at.store);
	*seg = (struct segment){ .fd = p->fd != -1 ? p->fd :
	    store_fd(p->job->stores + x->at.store, &x->at),
	    .off = x->at.off, .end = x->at.off + x->at.len,
	    .complete = x->partial, .begin = x->at.off };
	return 1;
}

/* The command that reads the output of all others. */
void
redtask_finish(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct parts parts = { w->job, (const void *)payload->p, t->n, 0, -1 };
	const struct form lines = form_of(&w->job->shape.fmt);
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->store, .place = &part,
	    .name = w->job->outpath };
	struct form form = form_of(&w->job->shape.fmt);
	struct attempt a;
	bool ok;

	sink_open(w, &sink, t, true);
	taskcmd_prepare(w, &a, &w->job->finish, t, &t->split);
	a.form = &form;
	a.sink = sink;
	a.form = &lines;	/* not of the job's input */
	a.src.kind = SOURCE_SEGMENTS;
	a.src.segment = parts_segment;
	a.src.arg = &parts;
	attempt_run(&a);
	if (parts.fd != -1)
		close(parts.fd);
	ok = taskcmd_close(w, &a, t, &reply);
	reply.partial = a.stats.partial;
	sink_close(&sink, ok, &reply);
	reply_send(w, &reply);
}
