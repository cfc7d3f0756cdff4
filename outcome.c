/* outcome.c - what becomes of a task: done, kept, run again, given up.
 *
 * A map task is done when its worker says so, and kept when no memory of
 * that worker holds any of its output; if a worker dies, its tasks that are
 * done and not kept are run again, and their runs are forgotten. */

#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

void
outcome_fails(struct driver *d, int status)
{
	if (!d->failed)
		d->status = status;
	d->failed = true;
}

/* Whether a task that another element of the queue has run has failed for
 * good: that ends the job here as well. */
bool
outcome_elsewhere(struct driver *d)
{
	d->looked = now_ns();
	if (!jobplan_ask.element || d->failed ||
	    faccessat(d->job->jobdir->fd, "failed", F_OK, 0) == -1)
		return false;
	outcome_fails(d, EXIT_TROUBLE);
	return true;
}

/* The store of a dead worker's successor goes on behind what is in use. */
static void
note_place(struct driver *d, const struct place *at)
{
	if (at->len > 0)
		store_keep(d->job->stores + at->store, at);
}

static void
add_run(struct driver *d, const struct run *run)
{
	if (d->nruns == d->cap_runs) {
		d->cap_runs = grown(d->cap_runs, d->nruns + 1);
		d->runs = xrealloc(d->runs, d->cap_runs, sizeof *d->runs);
	}
	d->runs[d->nruns++] = *run;
	d->runs_written++;
	if (run->at.disk)
		d->spilled += run->at.len;
}

/* Its input is not needed any more. */
static void
release_block(struct driver *d, struct task *t)
{
	struct split *s = &t->split;

	if (!s->stream)
		return;
	if (d->by_buckets)
		deal_done(d, s);
	else if (d->stream != NULL && s->spool.store == d->nw)
		stream_done(d->stream, &s->spool);
	else
		store_free(d->job->stores + s->spool.store, &s->spool);
	d->stream_blocks--;
	s->stream = false;
}

/* Nothing but files holds the task's output now. */
static void
keep_task(struct driver *d, uint32_t n)
{
	struct task *t = d->tasks + n;

	if (t->state == KEPT)
		return;
	t->state = KEPT;
	counters_load(&d->counters, t->counters.p, t->counters.len);
	buf_free(&t->counters);
	release_block(d, t);
}

/* Tasks that the worker holds, up to number upto, are kept; so are the runs
 * of such tasks alone, which waited for it. */
static void
keep_held(struct driver *d, struct worker_state *w, uint32_t upto)
{
	size_t n = 0;

	while (w->holds && w->held_from <= upto) {
		keep_task(d, w->held_from);
		if (w->held_from == w->held_to)
			w->holds = false;
		w->held_from++;
	}
	for (size_t i = 0; i < w->npending; i++)
		if (w->pending[i].last <= upto)
			add_run(d, w->pending + i);
		else
			w->pending[n++] = w->pending[i];
	w->npending = n;
}

/* The attempt of a task has failed, and its runs with it. */
static void
drop_pending(struct worker_state *w, uint32_t task)
{
	size_t n = 0;

	for (size_t i = 0; i < w->npending; i++)
		if (w->pending[i].first != task || w->pending[i].last != task)
			w->pending[n++] = w->pending[i];
	w->npending = n;
}

/* The phase whose output is the job's. */
static enum task_kind
last_phase(const struct job *job)
{
	return job->finish.argv != NULL ? TASK_FINISH :
	    job->kind == JOB_SORT ? TASK_REDUCE : TASK_MAP;
}

/* Adds parts that are complete to the output, in order. */
static void
add_parts(struct driver *d)
{
	if (d->phase != last_phase(d->job) ||
	    (d->job->jobdir != NULL && d->phase != TASK_FINISH))
		return;
	for (; d->added < d->n && d->tasks[d->added].state == KEPT; d->added++)
		if (d->phase == TASK_MAP || d->job->outdir == NULL)
			output_add(d->out, &d->tasks[d->added].part,
			    d->tasks[d->added].partial);
}

/* A source has said how many records it has. */
static void
count_done(struct driver *d, const struct task *t)
{
	struct job *job = d->job;
	struct store *store = job->stores + t->part.store;
	struct buf b = {0};
	size_t len = t->part.len < 80 ? (size_t)t->part.len : 80;

	if (pread_full(store_fd(store, &t->part), buf_reserve(&b, len), len,
	    t->part.off) != (ssize_t)len)
		die_errno("reading what the source has printed");
	if (!generate_count(&job->made, (const char *)b.p, len)) {
		say("%s count: it printed no number of records",
		    job->made.source);
		outcome_fails(d, EXIT_TROUBLE);
	}
	buf_free(&b);
}

/* The smallest lots of a task have been found. */
static void
sample_done(struct driver *d, struct task *t)
{
	struct store *store = d->job->stores + t->part.store;
	struct lot v[256];
	uint64_t end = t->part.off + t->part.len;

	for (uint64_t off = t->part.off; off < end; off += sizeof v) {
		size_t len = end - off < sizeof v ? (size_t)(end - off) :
		    sizeof v;

		if (pread_full(store_fd(store, &t->part), v, len, off) !=
		    (ssize_t)len)
			die_errno("reading what was drawn for the sample");
		for (size_t i = 0; i < len / sizeof *v; i++)
			lots_add(&d->lots, v + i);
	}
	store_punch(store, &t->part, t->part.off, t->part.len);
	if (d->lots.n == d->lots.most)	/* what is greater has lost */
		d->job->sample.last = d->lots.v[0];
	if (t->split.stream)
		d->stream_blocks--;
}

static void
task_done(struct driver *d, struct worker_state *w, const struct reply_msg *r,
    const struct buf *hot, const struct buf *counters, const struct buf *bad)
{
	struct task *t = d->tasks + r->task;

	buf_reset(&t->bad);
	buf_put(&t->bad, bad->p, bad->len);
	buf_reset(&t->counters);
	buf_put(&t->counters, counters->p, counters->len);
	t->part = r->part;
	t->partial = r->partial;
	t->records = r->read;
	report_task(d, t, r, t->forgo ? "left out" : "ok");
	if (d->phase == TASK_COUNT || d->phase == TASK_SAMPLE) {
		d->unfinished--;
		d->bar.done++;
		d->bar.bytes += r->input;
		t->state = KEPT;
		if (d->phase == TASK_COUNT)
			count_done(d, t);
		else
			sample_done(d, t);
		return;
	}
	d->unread += r->stats.unread;
	d->skipped += r->skipped;
	if (d->phase == TASK_MAP) {
		if (d->by_buckets && r->part.disk)
			d->spilled += r->part.len;
		d->in += r->input;
		d->fed |= !r->nothing;
		d->records += r->records;
		d->map_out += r->stats.out;
		if (d->job->kind == JOB_MAP)
			d->outbytes += r->stats.out;
	} else if (d->phase == TASK_FINISH) {
		d->outbytes = r->stats.out;
	} else {
		d->outbytes += r->stats.out;
		if (r->hot_weight > d->weight / 10 ||
		    r->hot_weight > d->weight / d->nparts) {
			buf_printf(&d->hot, "%s", d->hot.len > 0 ? ", " : "");
			buf_escaped(&d->hot, hot->p, hot->len);
			buf_printf(&d->hot, " (%llu %%)", (unsigned long long)
			    (r->hot_weight * 100 / d->weight));
		}
	}
	d->unfinished--;
	d->bar.done++;
	d->bar.bytes += d->phase != TASK_MAP ? r->stats.in : r->input;
	if (r->held) {
		if (!w->holds)
			w->held_from = r->task;
		w->holds = true;
		w->held_to = r->task;
		t->state = DONE;
	} else if (r->in_hand) {
		hand_took(d, w, r->task);
	} else {
		keep_held(d, w, UINT32_MAX);
		keep_task(d, r->task);
	}
	if (d->po->unordered && d->phase == last_phase(d->job) &&
	    d->job->outdir == NULL)
		output_add(d->out, &t->part, t->partial);
	else
		add_parts(d);
}

/* Whether it may be records that are to blame, and they may be left out. */
static bool
may_hunt(const struct driver *d, const struct task *t,
    const struct reply_msg *r)
{
	const struct failure *f = &r->fail;

	if (d->job->skip_most == 0 || d->phase != TASK_MAP || t->hunt ||
	    t->split.empty || f->source || f->final ||
	    r->combine_attempts > 0)
		return false;
	switch (f->kind) {
	case FAIL_STATUS:
	case FAIL_SIGNAL:
	case FAIL_TIMEOUT:
	case FAIL_STALL:
	case FAIL_HELD:
	case FAIL_UNREAD:
	case FAIL_OUTPUT:
		return true;
	default:
		return false;
	}
}

/* A task that has been given up has an empty output, from which on it is
 * like any other. */
static void
forgo(struct driver *d, uint32_t task)
{
	struct task *t = d->tasks + task;

	t->forgo = true;
	t->state = PENDING;
	d->unfinished++;
	plan_again(d, task, task + 1, -1);
}

/* A task has used up its attempts.  The job ends unless it is to go on all
 * the same, or the task may be left out; in a job directory that is done when
 * it is known that all of these may be. */
static void
give_up(struct driver *d, struct task *t, const struct reply_msg *r)
{
	const struct plan_options *po = d->po;
	int status = r->fail.exit;

	t->state = GIVEN_UP;
	if (!d->failed)
		report_failure(d, t, r);
	if ((d->phase != TASK_MAP && d->phase != TASK_REDUCE) ||
	    r->combine_attempts > 0 || status == EXIT_NOCMD ||
	    status == EXIT_NOEXEC || (!po->keep_going &&
	    d->given_up >= po->max_failures)) {
		outcome_fails(d, status);
		return;
	}
	report_given_up(d, t, r);
	d->given_up++;
	d->trouble |= status == EXIT_TROUBLE;
	d->unfinished--;
	release_block(d, t);
	if (!po->keep_going && d->job->jobdir == NULL)
		forgo(d, r->task);
}

/* All tasks of the phase are done or given up.  Whether there is something
 * left to do for those. */
bool
outcome_settle(struct driver *d)
{
	bool any = false;

	for (uint32_t i = 0; i < d->n; i++)
		any |= d->tasks[i].state == GIVEN_UP;
	if (!any || d->failed)
		return false;
	if (d->given_up > d->po->max_failures) {
		outcome_fails(d, d->trouble ? EXIT_TROUBLE : EXIT_TASK);
		return false;
	}
	for (uint32_t i = 0; i < d->n; i++)
		if (d->tasks[i].state == GIVEN_UP)
			forgo(d, i);
	return true;
}

/* A task is to be run again, or has been for the last time. */
static void
task_failed(struct driver *d, const struct reply_msg *r)
{
	struct task *t = d->tasks + r->task;

	t->attempts++;
	report_task(d, t, r, "failed");
	report_attempt(d, t, r);
	if (r->fail.kind == FAIL_ORDER) {
		if (d->disorder == NO_TASK || r->task < d->disorder) {
			d->disorder = r->task;
			d->disorder_record = r->read;
		}
		t->state = GIVEN_UP;
		return;
	}
	if (t->attempts <= d->po->retries && !r->fail.final) {
		d->retries++;
		t->state = PENDING;
		plan_again(d, r->task, r->task + 1, -1);
		return;
	}
	if (may_hunt(d, t, r)) {
		t->hunt = true;
		t->state = PENDING;
		plan_again(d, r->task, r->task + 1, -1);
		return;
	}
	give_up(d, t, r);
}

/* A worker's process has ended. */
static void
worker_died(struct driver *d, unsigned who)
{
	struct worker_state *w = d->w + who;
	struct reply_msg r = { .task = (uint32_t)w->task };
	int status = 0;

	if (errno != 0 && errno != ECONNRESET)
		say_errno("listening to a worker");
	shutdown(w->sock, SHUT_RDWR);	/* it ends, if it has not */
	proc_wait(w->pid, &status, 0);
	crew_signal(d, who, SIGKILL);
	for (int i = 0; i < NGROUPS; i++)
		d->job->shared->worker[who].group[i] = 0;
	proc_kill_strays(d->job->id);
	d->lost_workers++;
	if (WIFEXITED(status)) {
		/* It has said why. */
		outcome_fails(d, WEXITSTATUS(status) == 0 ? EXIT_TROUBLE :
		    WEXITSTATUS(status));
		crew_forget(d, w);
		return;
	}
	for (uint32_t t = w->held_from; w->holds && t <= w->held_to; t++) {
		if (d->job->jobdir != NULL && jobstate_has(d, t)) {
			keep_task(d, t);	/* it died after that */
			continue;
		}
		d->tasks[t].state = PENDING;
		d->unfinished++;
		plan_again(d, t, t + 1, -1);
	}
	r.fail = (struct failure){ .kind = FAIL_LOST,
	    .code = -WTERMSIG(status), .exit = EXIT_KILLED };
	hand_lost(d, w);
	if (w->task != NO_TASK && w->kind != TASK_MERGE &&
	    w->kind != TASK_FLUSH) {
		if (d->job->jobdir == NULL || !jobstate_adopt(d, r.task))
			task_failed(d, &r);
	} else if (w->task != NO_TASK && w->kind == TASK_MERGE) {
		/* Its inputs are still there. */
		for (size_t i = 0; i < w->ninputs; i++)
			d->runs[d->nruns++] = w->inputs[i];
		if (d->lost_workers > 10 + d->nw)
			outcome_fails(d, EXIT_KILLED);
	}
	crew_forget(d, w);
}

void
outcome_take(struct driver *d, unsigned who)
{
	struct worker_state *w = d->w + who;
	struct reply_msg r;
	struct buf text = {0}, hot = {0}, counters = {0}, bad = {0};
	size_t at;

	if (message_recv(w->sock, &r, sizeof r) == -1 ||
	    message_recv(w->sock, buf_reserve(&text, r.payload),
	    r.payload) == -1) {
		buf_free(&text);
		worker_died(d, who);
		return;
	}
	text.len = r.payload;
	r.fail.text = r.fail.tail = (struct buf){0};
	buf_put(&r.fail.text, text.p, r.textlen);
	buf_put(&r.fail.tail, text.p + r.textlen, r.taillen);
	at = (size_t)r.textlen + r.taillen;
	buf_put(&counters, text.p + at, r.counterlen);
	at += r.counterlen;
	buf_put(&bad, text.p + at, r.badlen);
	at += r.badlen;
	buf_put(&hot, text.p + at, r.payload - at);
	d->job->keys.seen |= r.keys_seen;
	if (r.peak_kb > w->peak_kb) {
		d->peak_kb += r.peak_kb - w->peak_kb;
		w->peak_kb = r.peak_kb;
	}
	d->combine_in += r.combine_in;
	d->combine_out += r.combine_out;
	d->spilled += r.spilled;
	switch (r.kind) {
	case REPLY_RUN:
		note_place(d, &r.run.at);
		/* A run counts when no task in it can be run again. */
		w->pending = xrealloc(w->pending, w->npending + 1,
		    sizeof *w->pending);
		w->pending[w->npending++] = r.run;
		if (r.committed && !(w->kind == TASK_MAP &&
		    r.run.first <= w->task && w->task <= r.run.last))
			keep_held(d, w, r.run.last);
		break;
	case REPLY_DONE:
		note_place(d, &r.part);
		if (w->kind == TASK_MERGE)
			keep_held(d, w, UINT32_MAX);
		if (w->kind == TASK_MERGE)
			for (size_t i = 0; i < w->ninputs; i++)
				store_punch(d->job->stores +
				    w->inputs[i].at.store, &w->inputs[i].at,
				    w->inputs[i].at.off, w->inputs[i].at.len);
		else
			task_done(d, w, &r, &hot, &counters, &bad);
		w->task = NO_TASK;
		break;
	case REPLY_FAILED:
		drop_pending(w, r.task);
		w->task = NO_TASK;
		if (!r.held)
			keep_held(d, w, UINT32_MAX);
		task_failed(d, &r);
		break;
	case REPLY_KEPT:
		keep_held(d, w, UINT32_MAX);
		break;
	case REPLY_PRINTED:
		hand_printed(d);
		d->print_error = r.error;
		d->print_missing = r.missing;
		d->tasks[r.task].hand = 0;
		w->task = w->hand = NO_TASK;
		keep_task(d, r.task);
		d->added++;
		add_parts(d);
		break;
	case REPLY_FLUSHED:
		keep_held(d, w, UINT32_MAX);
		w->flushed = true;
		w->task = NO_TASK;
		break;
	}
	buf_free(&text);
	buf_free(&hot);
	buf_free(&counters);
	buf_free(&bad);
	buf_free(&r.fail.text);
	buf_free(&r.fail.tail);
}
