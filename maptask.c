/* maptask.c - a map task: a split goes through the map command, or a built-in
 * reducer, or as it is, into the collector or the output.
 *
 * Map output of tasks that follow each other in the input stays in the
 * collector from one task to the next. */

#include <stdlib.h>
#include <unistd.h>

#include "mr.h"

enum { COPY = 256 * KiB };

/* The identity as a map: the split's bytes go into the sink. */
static int
copy_split(struct worker *w, struct reader *r, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *own = NULL;
	ssize_t n;

	if (sink->collect == NULL)
		own = xrealloc(NULL, COPY, 1);
	do {
		unsigned char *p = own;
		size_t room = COPY;

		harvest_alive(w);
		if (sink->collect != NULL)
			p = collect_room(sink->collect, &room);
		n = w->job->file_pairs ?
		    named_fill(&w->named, p, room, &reply->fail.text) :
		    w->job->sample.kind != SAMPLE_ALL ?
		    reader_sampled(r, p, room, &reply->fail.text) :
		    reader_read(r, p, room, &reply->fail.text);
		if (n > 0 && sink->collect != NULL)
			collect_filled(sink->collect, (size_t)n);
		else if (n > 0)
			sink_put(sink, p, (size_t)n);
		if (n > 0) {
			reply->stats.in += (uint64_t)n;
			reply->stats.out += (uint64_t)n;
			w->job->shared->worker[w->me].moved += (uint64_t)n;
		}
	} while (n > 0);
	free(own);
	if (n == 0 && sink->collect != NULL)
		collect_end(sink->collect);
	return n < 0 ? -1 : 0;
}

/* A built-in reducer over records in the order of their keys. */
static int
fold_split(struct worker *w, struct reader *r, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *p = xrealloc(NULL, COPY, 1);
	struct fold *f = fold_new(w->job->agg, false,
	    w->job->key_memory);
	struct buf out = {0}, *why = &reply->fail.text;
	bool ok = true;
	ssize_t n;

	do {
		harvest_alive(w);
		n = w->job->check_order ? reader_checked(r, p, COPY, why) :
		    reader_read(r, p, COPY, why);
		if (n > 0)
			ok = fold_text(f, p, (size_t)n, &out, why);
		else if (n == 0)
			ok = fold_text_end(f, &out, why);
		sink_put(sink, out.p, out.len);
		reply->stats.in += n > 0 ? (uint64_t)n : 0;
		reply->stats.out += out.len;
		w->job->shared->worker[w->me].moved = reply->stats.in;
		buf_reset(&out);
	} while (n > 0 && ok);
	if (r->disorder)
		reply->fail.kind = FAIL_ORDER;
	reply->read = r->records;
	reply->fail.final = !ok;
	fold_free(f);
	buf_free(&out);
	free(p);
	return n < 0 || !ok ? -1 : 0;
}

static ssize_t
fill_reader(void *arg, unsigned char *p, size_t cap, struct buf *why)
{
	return reader_read(arg, p, cap, why);
}

/* What the programs that read a split find in their environment. */
static char *const *
feeder_env(struct worker *w, const struct task_msg *t)
{
	const struct task_name who = taskcmd_name(w, t);

	return reader_is_piped(w->job, &t->split) ?
	    taskenv_set(&w->env, &who, &t->split) : NULL;
}

/* The smallest lots of the records of a split, as many as the sample will
 * have, into a place. */
void
maptask_sample(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	const struct sample *sample = &w->job->sample;
	struct place part = { .store = (uint16_t)w->me };
	struct lots lots = { .most = sample->n };
	struct reader r;
	struct found rec;
	uint64_t turns = 0;
	int got = reader_open(&r, w->job, &t->split, feeder_env(w, t),
	    w->sock, &reply.fail.text);

	reply.split = r.split;
	reply.input = r.split.len;
	while (got != -1 &&
	    (got = reader_record(&r, &rec, &reply.fail.text)) == 1) {
		struct lot lot = lot_draw(sample->seed, rec.file, rec.off);

		if (turns++ % 4096 == 0)
			harvest_alive(w);
		w->job->shared->worker[w->me].moved += rec.len;
		if (!rec.header && !lot_after(&lot, &t->limit))
			lots_add(&lots, &lot);
	}
	if (got == -1) {
		reply.kind = REPLY_FAILED;
		reply.fail.kind = FAIL_INPUT;
		reply.fail.exit = r.late ? EXIT_TIMEOUT : EXIT_TROUBLE;
	} else if (lots.n > 0) {
		store_pick(w->store, lots.n * sizeof *lots.v, &part);
		store_append(w->store, &part, lots.v, lots.n * sizeof *lots.v);
		store_keep(w->store, &part);
		reply.part = part;
	}
	free(lots.v);
	reader_close(&r);
	reply_send(w, &reply);
}

static void
map_source(struct worker *w, struct attempt *a, struct reader *r)
{
	const struct job *job = w->job;

	if (r->split.empty) {
		a->src.kind = SOURCE_EMPTY;
	} else if (job->file_pairs) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = named_fill;
		a->src.arg = &w->named;
	} else if (taskcmd_each_key(job, TASK_MAP)) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = job->check_order ? reader_checked : fill_reader;
		a->src.arg = r;
	} else if (job->whole_file && !r->split.stream && !r->piped) {
		a->src.kind = SOURCE_FD;
		a->src.fd = r->fd;
		lseek(r->fd, 0, SEEK_SET);
	} else if (job->sample.kind != SAMPLE_ALL) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = reader_sampled;
		a->src.arg = r;
	} else if (job->check_order) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = reader_checked;
		a->src.arg = r;
	} else if (r->piped && !job->whole_file && !form_is_plain(&job->form)) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = fill_reader;
		a->src.arg = r;
	} else {
		a->src.kind = SOURCE_SEGMENTS;
		a->src.segment = reader_segment;
		a->src.arg = r;
	}
}

/* Runs the map command; without bad records, if these have been found. */
static bool
map_attempt(struct worker *w, const struct task_msg *t, struct reader *r,
    struct sink *sink, struct reply_msg *reply, struct hunt *hunt)
{
	struct attempt a;
	bool ok;

	taskcmd_prepare(w, &a, &w->job->map, t, &r->split);
	a.sink = *sink;
	if (hunt != NULL)
		hunt_source(hunt, &a.src);
	else
		map_source(w, &a, r);
	w->map_attempt = &a;
	taskcmd_run(w, &a, t->kind);
	w->map_attempt = NULL;
	if (a.src.kind == SOURCE_FD && a.fail.kind == FAIL_NONE &&
	    reader_check(r, &a.fail.text) == -1) {
		a.fail.kind = FAIL_INPUT;
		a.fail.exit = EXIT_TROUBLE;
	}
	ok = taskcmd_close(w, &a, t, reply);
	if (r->disorder)
		reply->fail.kind = FAIL_ORDER;
	reply->read = r->records;
	reply->partial = a.stats.partial;
	return ok;
}

/* The same, after the bad records of its input have been looked for. */
static bool
map_hunted(struct worker *w, const struct task_msg *t, struct reader *r,
    struct sink *sink, struct reply_msg *reply)
{
	struct hunt *hunt = hunt_new(w, t);
	bool ok = hunt_find(hunt, r, &reply->fail);

	/* A split without a record runs no process. */
	if (ok && hunt_leaves_some(hunt) &&
	    !map_attempt(w, t, r, sink, reply, hunt)) {
		hunt_failed(hunt, &reply->fail);
		ok = false;
	}
	if (ok)
		hunt_tell(hunt);
	hunt_free(hunt);
	return ok;
}

/* Commits or forgets what a map task has collected. */
static void
settle_collected(struct worker *w, const struct task_msg *t, bool ok)
{
	if (!ok) {
		collect_rollback(w->collect);
		pool_settle(w, false);
		for (size_t i = 0; i < w->npending; i++)
			store_punch(w->out, &w->pending[i].at,
			    w->pending[i].at.off, w->pending[i].at.len);
		w->npending = 0;
		return;
	}
	for (size_t i = 0; i < w->npending && w->job->jobdir == NULL; i++)
		reply_run(w, w->pending + i, false);
	if (w->job->jobdir == NULL)
		w->npending = 0;
	pool_settle(w, true);
	collect_commit(w->collect);
	w->newest = t->task;
	if (t->split.stream || w->job->jobdir != NULL)
		pool_flush(w);
}

/* Shows the reader of sorted input the record before its first. */
static void
after_record(struct reader *r, const struct buf *before)
{
	const struct format *f = &r->job->shape.fmt;
	struct buf b = {0};

	if (r->split.stream)
		reader_after(r, before->p, before->len);
	else if (r->fd != -1 && record_ending(f, r->fd, r->split.off, &b))
		reader_after(r, b.p, b.len);
	buf_free(&b);
}

static bool
open_input(struct worker *w, const struct task_msg *t, struct reader *r,
    const struct buf *before, struct reply_msg *reply)
{
	if (t->forgo) {
		*r = (struct reader){ .job = w->job, .fd = -1 };
		return true;
	}
	if (t->buckets && w->job->input.nstreams > 0) {
		/* It is held in memory. */
		*r = (struct reader){ .job = w->job, .fd = -1,
		    .split = t->split };
		reply->split = t->split;
		reply->input = t->split.len;
		return true;
	}
	if ((t->split.generated ? made_open(w, t, r, reply) :
	    reader_open(r, w->job, &t->split, feeder_env(w, t), w->sock,
	    &reply->fail.text)) == -1)
		return false;
	reply->split = r->split;
	reply->input = r->split.generated ? r->split.spool.len : r->split.len;
	if (w->job->check_order && r->split.off > 0)
		after_record(r, before);
	r->limit = t->limit;
	if (w->job->sample.kind != SAMPLE_ALL && !r->split.empty) {
		int got = reader_hold(r, &reply->fail.text);

		r->nothing = got == 0;
		return got != -1;
	}
	return true;
}

/* Has the split processed, by a command or not, into the sink. */
static bool
process(struct worker *w, const struct task_msg *t, struct reader *r,
    struct sink *sink, struct reply_msg *reply)
{
	const struct job *job = w->job;
	bool ok = true;

	w->mapping = true;
	named_begin(&w->named, r);
	if (t->buckets)
		bucket_look(w, t, r, sink, reply);
	else if (job->map.argv != NULL && t->hunt)
		ok = map_hunted(w, t, r, sink, reply);
	else if (job->map.argv != NULL)
		ok = map_attempt(w, t, r, sink, reply, NULL);
	else if (job->agg != NULL && job->kind != JOB_SORT)
		ok = fold_split(w, r, sink, reply) == 0;
	else
		ok = copy_split(w, r, sink, reply) == 0;
	w->mapping = false;
	return ok;
}

/* Where in a file the bytes stand that are collected, if that can be said. */
static uint64_t
output_at(const struct job *job, const struct reader *r)
{
	return job->map.argv == NULL && job->sample.kind == SAMPLE_ALL &&
	    !job->file_pairs && !r->piped && r->split.nfiles == 1 ?
	    r->split.off : COLLECT_OUTPUT;
}

/* The one file that a task reads, or NULL. */
static const char *
input_name(const struct job *job, const struct task_msg *t)
{
	if (t->split.generated || t->split.empty || t->split.nfiles > 1)
		return NULL;
	return file_shown(job->input.files + t->split.file);
}

/* Whether what was collected is as it should be. */
static bool
is_sound(const struct worker *w, struct reply_msg *reply)
{
	const struct buf *why = collect_complaint(w->collect);

	if (why->len == 0)
		return true;
	buf_put(&reply->fail.text, why->p, why->len);
	reply->fail.final = true;
	return false;
}

/* Puts the output where it is read from, or forgets it. */
static void
settle(struct worker *w, const struct task_msg *t, bool ok,
    const struct place *part, struct reply_msg *reply)
{
	if (w->job->kind == JOB_SORT && !t->buckets) {
		reply->records = collect_records(w->collect);
		settle_collected(w, t, ok);
		reply->held = pool_holds(w);
	} else if (ok) {
		store_keep(w->out, part);
		reply->part = *part;
	}
}

void
maptask_run(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	bool sorts = w->job->kind == JOB_SORT && !t->buckets, ok;
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part };
	struct reader r;

	harvest_before(w, t);
	harvest_open(w);
	if (sorts && pool_holds(w) && t->task != w->newest + 1)
		pool_flush(w);
	ok = open_input(w, t, &r, payload, &reply);
	if (sorts) {
		collect_begin(w->collect, t->task, input_name(w->job, t),
		    output_at(w->job, &r));
		sink.collect = w->collect;
	} else {
		store_reuse(w->out, t->split.len, &t->free, &part);
	}
	if (ok && !t->forgo && !r.nothing && (r.split.len > 0 ||
	    r.split.empty || r.split.nfiles > 1 || r.split.whole))
		ok = process(w, t, &r, &sink, &reply);
	if (ok && sorts)
		ok = is_sound(w, &reply);
	if (r.piped)		/* what was read of it counts */
		reply.input = reply.stats.in;
	reply.nothing = r.nothing;
	if (!ok && reply.fail.kind == FAIL_NONE) {
		reply.fail.kind = FAIL_INPUT;
		reply.fail.exit = r.late ? EXIT_TIMEOUT : EXIT_TROUBLE;
	}
	settle(w, t, ok, &part, &reply);
	if (!ok)
		reply.kind = REPLY_FAILED;
	harvest_commit(w, t, ok, &reply);
	reader_close(&r);
	reply_send(w, &reply);
}
