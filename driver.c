/* driver.c - runs a job: hands its tasks to workers, retries, collects.
 *
 * One loop waits for answers of workers, signals, a stream to read and an
 * output to write.  No data passes through the driver but a stream on its
 * way into the spool and parts on their way out.
 *
 * A map task is done when its worker says so, and kept when no memory of
 * that worker holds any of its output; if a worker dies, its tasks that are
 * done and not kept are run again, and their runs are forgotten.
 *
 * Runs are kept in input order.  When all maps are done, runs that are
 * neighbours are merged while there are more than one merge can take; then
 * they are cut into parts (parts.c), and each part is merged, reduced and
 * added to the output in order.
 *
 * MR_DEBUG=onerun merges as many runs as possible before that. */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

#define LARGE_INPUT ((uint64_t)512 * MiB)	/* worth large pages */
#define WAITING_MOST ((uint64_t)64 * MiB)	/* of output, unwritten */

static struct driver *the_driver;	/* for clean-up at death */

/* Leaves nothing behind: no process, no file that is not the output. */
static void
clean_up(void)
{
	struct driver *d = the_driver;

	if (d == NULL)
		return;
	the_driver = NULL;
	progress_end(&d->bar);
	if (d->job->shared != NULL)
		d->job->shared->stream = 0;
	stream_close(d->stream);
	d->stream = NULL;
	if (d->w != NULL)
		crew_stop(d);
	output_free(d->out);
	if (d->job->scratch != NULL)
		scratch_remove(d->job->scratch, d->lock);
	if (d->job->jobdir != NULL)
		scratch_remove(d->job->jobdir->mine, -1);
	if (d->begun_dir)
		jobdir_end(d->job->jobdir, d->ending);
}

/* Whether it is not only for some of its tasks. */
static bool
asked_whole(void)
{
	return jobplan_ask.kind != ASK_TASKS;
}

static void
job_fails(struct driver *d, int status)
{
	if (!d->failed)
		d->status = status;
	d->failed = true;
}

/* ---- signals */

/* Ctrl-Z: the tasks stop, then mr; the time does not count. */
static void
pause_job(struct driver *d)
{
	int64_t from = now_ns(), spent;

	progress_erase(&d->bar);
	d->job->shared->clock.since = from;
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			kill(d->w[i].pid, SIGSTOP);
			crew_signal(d, i, SIGSTOP);
		}
	proc_stop_self();
	spent = now_ns() - from;
	d->job->shared->clock.paused += spent;
	d->job->shared->clock.since = 0;
	d->bar.paused += spent;
	if (d->deadline > 0)
		d->deadline += spent;
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			crew_signal(d, i, SIGCONT);
			kill(d->w[i].pid, SIGCONT);
		}
}

static void
look_at_signals(struct driver *d)
{
	int sig = proc_signal();

	if (sig != 0) {
		d->ending = 128 + (sig < 0 ? -sig : sig);
		clean_up();
		proc_end_by(sig < 0 ? -sig : sig);
	}
	proc_take_child();
	if (proc_take_stop())
		pause_job(d);
	if (proc_take_info())
		progress_print(&d->bar, now_ns());
}

/* ---- handing out */

/* Whether no task should be handed out now: the job has failed, or it is a
 * filter whose output is not taken, or they are behind one that ends it. */
static bool
must_wait(const struct driver *d)
{
	if (d->failed || (d->disorder != NO_TASK &&
	    d->spans[0].lo > d->disorder))
		return true;
	return d->po->filter && output_waiting(d->out) > WAITING_MOST &&
	    (d->phase != TASK_MAP || d->job->kind == JOB_MAP);
}

static void
hand_out_maps(struct driver *d)
{
	int who;

	while (d->nspans > 0 && !must_wait(d) &&
	    (who = crew_idle(d)) != -1) {
		int64_t t = plan_next(d, (unsigned)who);
		struct task_msg msg = { .kind = d->phase,
		    .task = (uint32_t)t, .ntasks = d->job->ntasks,
		    .nrecords = d->job->made.n, .limit = d->job->sample.last };

		d->tasks[t].state = RUNNING;
		d->tasks[t].begun = now_ns();
		msg.attempt = d->tasks[t].attempts;
		msg.split = d->tasks[t].split;
		d->w[who].last = t;
		crew_give(d, (unsigned)who, &msg, &d->tasks[t].before);
	}
}

static void
hand_out_reduces(struct driver *d)
{
	int who;

	while (d->nspans > 0 && !must_wait(d) &&
	    (who = crew_idle(d)) != -1)
		parts_give(d, (unsigned)who,
		    (uint32_t)plan_next(d, (unsigned)who));
}

/* ---- what comes back */

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
	if (t->split.stream) {
		store_punch(d->job->stores + t->split.spool.store,
		    &t->split.spool, t->split.spool.off, t->split.spool.len);
		d->stream_blocks--;
	}
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
		job_fails(d, EXIT_TROUBLE);
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
    const struct buf *hot, const struct buf *counters)
{
	struct task *t = d->tasks + r->task;

	buf_reset(&t->counters);
	buf_put(&t->counters, counters->p, counters->len);
	t->part = r->part;
	t->partial = r->partial;
	t->records = r->read;
	report_task(d, t, r, "ok");
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
	if (d->phase == TASK_MAP) {
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

/* A task is to be run again, or ends the job. */
static void
task_failed(struct driver *d, const struct reply_msg *r)
{
	struct task *t = d->tasks + r->task;

	t->attempts++;
	report_task(d, t, r, "failed");
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
	t->state = GIVEN_UP;
	if (!d->failed)
		report_failure(d, t, r);
	job_fails(d, r->fail.exit);
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
		job_fails(d, WEXITSTATUS(status) == 0 ? EXIT_TROUBLE :
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
	if (w->task != NO_TASK && w->kind != TASK_MERGE &&
	    w->kind != TASK_FLUSH) {
		if (d->job->jobdir == NULL || !jobstate_adopt(d, r.task))
			task_failed(d, &r);
	} else if (w->task != NO_TASK && w->kind == TASK_MERGE) {
		/* Its inputs are still there. */
		for (size_t i = 0; i < w->ninputs; i++)
			d->runs[d->nruns++] = w->inputs[i];
		if (d->lost_workers > 10 + d->nw)
			job_fails(d, EXIT_KILLED);
	}
	crew_forget(d, w);
}

static void
take_reply(struct driver *d, unsigned who)
{
	struct worker_state *w = d->w + who;
	struct reply_msg r;
	struct buf text = {0}, hot = {0}, counters = {0};

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
	buf_put(&counters, text.p + r.textlen + r.taillen, r.counterlen);
	buf_put(&hot, text.p + r.textlen + r.taillen + r.counterlen,
	    r.payload - r.textlen - r.taillen - r.counterlen);
	d->job->keys.seen |= r.keys_seen;
	if (r.peak_kb > w->peak_kb) {
		d->peak_kb += r.peak_kb - w->peak_kb;
		w->peak_kb = r.peak_kb;
	}
	d->combine_in += r.combine_in;
	d->combine_out += r.combine_out;
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
			task_done(d, w, &r, &hot, &counters);
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
	case REPLY_FLUSHED:
		keep_held(d, w, UINT32_MAX);
		w->flushed = true;
		w->task = NO_TASK;
		break;
	}
	buf_free(&text);
	buf_free(&hot);
	buf_free(&counters);
	buf_free(&r.fail.text);
	buf_free(&r.fail.tail);
}

/* ---- the loop */

static _Noreturn void
output_died(const struct driver *d)
{
	if (d->job->out == OUT_STDOUT)
		die_errno("writing the output");
	die_errno("%s: writing the output", d->job->outpath);
}

/* Output bytes go out; trouble with them ends the job. */
static void
pump(struct driver *d)
{
	int err;

	if (output_pump(d->out) != -1)
		return;
	err = errno;
	clean_up();
	if (err == EPIPE && !proc_started_ignored(SIGPIPE))
		proc_end_by(SIGPIPE);
	errno = err;
	output_died(d);
}

/* Waits for something and deals with it. */
static void
step(struct driver *d)
{
	struct pollfd p[2 + d->nw];
	size_t n = 0, out, in;
	int64_t now = now_ns(), next = progress_tick(&d->bar, now), wait = -1;
	uint64_t moving = 0;

	for (unsigned i = 0; i < d->nw; i++)
		p[n++] = (struct pollfd){ .fd = d->w[i].pid > 0 ?
		    d->w[i].sock : -1, .events = POLLIN };
	out = n++;
	p[out] = (struct pollfd){ .fd = d->job->out == OUT_STDOUT ?
	    STDOUT_FILENO : -1 };
	if (output_ready(d->out) && !d->hold) {
		if (d->job->out == OUT_STDOUT)
			p[out].events = POLLOUT;
		else
			wait = 0;
	}
	in = n++;
	p[in] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (d->stream != NULL && d->disorder == NO_TASK &&
	    d->stream_blocks < 2 * d->nw + 1 && !d->failed)
		p[in].fd = stream_fd(d->stream);
	if (d->cutting != NULL && !d->failed)
		wait = 0;
	if (next > 0 && wait != 0)
		wait = next > now ? next - now : 0;
	if (d->deadline > 0 && wait != 0 &&
	    (wait < 0 || d->deadline - now < wait))
		wait = d->deadline > now ? d->deadline - now : 0;
	d->driver_ns += (uint64_t)(now - d->woke);
	proc_poll(p, n, wait);
	d->woke = now_ns();
	look_at_signals(d);
	for (unsigned i = 0; i < d->nw; i++)
		moving += d->job->shared->worker[i].moved;
	d->bar.moving = moving;
	for (unsigned i = 0; i < d->nw; i++)
		if (p[i].revents != 0 && d->w[i].pid > 0)
			take_reply(d, i);
	if (p[in].revents != 0 && d->stream != NULL)
		plan_read(d);
	if (d->cutting != NULL && !d->failed)
		plan_cut(d);
	if (p[out].revents & POLLERR && !d->failed) {
		/* Nobody reads any more: a write will say so. */
		clean_up();
		if (!proc_started_ignored(SIGPIPE))
			proc_end_by(SIGPIPE);
		die("writing the output: nobody reads it any more");
	}
	if (output_ready(d->out) && !d->hold &&
	    (d->job->out != OUT_STDOUT || p[out].revents & POLLOUT))
		pump(d);
	if (d->deadline > 0 && now_ns() >= d->deadline && !d->failed) {
		say("the job ran longer than its --deadline");
		job_fails(d, EXIT_TIMEOUT);
	}
}

/* Whether all tasks before the first one out of order are done: then it is
 * known which record that is. */
static bool
disorder_is_known(struct driver *d)
{
	uint64_t sum = 0;

	if (d->disorder == NO_TASK)
		return false;
	for (int64_t i = 0; i < d->disorder; i++) {
		if (d->tasks[i].state != KEPT)
			return false;
		sum += d->tasks[i].records;
	}
	if (!d->failed)
		say("the input is not in key order: record %llu comes before "
		    "the one that it follows (mr sort; --grouped if equal "
		    "keys stand together)",
		    (unsigned long long)(sum + d->disorder_record));
	job_fails(d, EXIT_TROUBLE);
	return true;
}

static bool
merging(const struct driver *d)
{
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0 && d->w[i].task != NO_TASK)
			return true;
	return false;
}

static void
run_maps(struct driver *d)
{
	for (;;) {
		hand_out_maps(d);
		if (d->failed || disorder_is_known(d))
			return;
		if (!d->planned || d->unfinished > 0)
			step(d);
		else if (jobplan_ask.kind == ASK_TASKS || !plan_empty(d))
			return;
		else if (d->job->jobdir != NULL)
			jobstate_extra(d);
	}
}

static void
map_phase(struct driver *d)
{
	progress_phase(&d->bar, d->job->phase_name, d->job->ntasks,
	    d->job->input.nstreams > 0 ? 0 : d->job->input.bytes);
	if (d->planned)
		d->bar.done = d->n - d->unfinished;
	run_maps(d);
}

static void
reduce_tasks(struct driver *d)
{
	while (!d->failed && d->unfinished > 0) {
		hand_out_reduces(d);
		step(d);
	}
}

/* Every worker writes what it still holds; tasks of one that dies before it
 * has are run again. */
static void
flush_phase(struct driver *d)
{
	for (unsigned i = 0; i < d->nw; i++)
		d->w[i].flushed = false;
	for (;;) {
		bool all = true;

		if (d->failed)
			return;
		if (d->unfinished > 0) {
			if (d->phase == TASK_REDUCE)
				reduce_tasks(d);
			else
				map_phase(d);
			continue;
		}
		for (unsigned i = 0; i < d->nw; i++) {
			struct worker_state *w = d->w + i;
			struct task_msg msg = { .kind = TASK_FLUSH };

			if (w->pid == 0 || w->flushed)
				continue;
			all = false;
			if (w->task == NO_TASK)
				crew_give(d, i, &msg, NULL);
		}
		if (all)
			return;
		step(d);
	}
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
		struct run_range r = { runs[i], 0, runs[i].data };

		buf_put(&payload, &r, sizeof r);
	}
	w->inputs = xrealloc(w->inputs, k, sizeof *w->inputs);
	memcpy(w->inputs, runs, k * sizeof *runs);
	w->ninputs = k;
	crew_give(d, who, &msg, &payload);
	buf_free(&payload);
	d->merges++;
}

/* One pass: windows of neighbours are merged, as many as are needed, each
 * run in one window at most. */
static void
merge_pass(struct driver *d)
{
	size_t n = d->nruns, k = d->batch, at = 0, end;
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
			step(d);
			continue;
		}
		give_merge(d, (unsigned)who, old + at, k);
		at += k;
	}
	free(old);
}

/* Merges neighbours until one merge can take all that is left. */
static void
merge_phase(struct driver *d)
{
	progress_phase(&d->bar, "merge", 0, 0);
	for (; d->nruns > d->batch && !d->failed; d->passes++) {
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
		merge_pass(d);
	}
	if (d->nruns > 0)
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
}

/* Forgets the tasks of the phase before. */
static void
next_phase(struct driver *d, enum task_kind phase)
{
	free(d->tasks);
	d->tasks = NULL;
	d->n = d->cap = d->nspans = d->unfinished = 0;
	d->phase = phase;
	d->in_order = true;
}

/* Asks a source how many records it has. */
static void
count_phase(struct driver *d)
{
	bool in_order = d->in_order;

	d->phase = TASK_COUNT;
	progress_phase(&d->bar, "count", 1, 0);
	plan_add(d, &(struct split){ .nfiles = 1, .empty = true });
	d->planned = true;
	run_maps(d);
	next_phase(d, TASK_MAP);
	d->planned = false;
	d->in_order = in_order;
}

/* Finds out which records a sample of a number of them has.  The same tasks
 * are the map tasks after it. */
static void
sample_phase(struct driver *d)
{
	d->phase = TASK_SAMPLE;
	d->lots.most = d->job->sample.n;
	progress_phase(&d->bar, "sample", d->job->ntasks,
	    d->job->input.nstreams > 0 ? 0 : d->job->input.bytes);
	run_maps(d);
	free(d->lots.v);
	d->lots.v = NULL;
	d->phase = TASK_MAP;
	d->job->ntasks = d->unfinished = d->n;
	for (size_t i = 0; i < d->n; i++) {
		d->tasks[i].state = PENDING;
		d->tasks[i].attempts = 0;
		d->stream_blocks += d->tasks[i].split.stream;
	}
	plan_again(d, 0, (uint32_t)d->n, -1);
	if (d->plan != NULL && !d->failed)
		jobplan_drawn(d);
}

static void
reduce_phase(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;

	next_phase(d, TASK_REDUCE);
	if (dir == NULL || !jobstate_is_complete(d)) {
		if (dir != NULL)
			jobstate_runs(d);
		parts_choose(d);
	}
	if (dir != NULL)
		jobstate_parts(d);
	else
		for (uint64_t p = 0; p < d->nparts; p++)
			plan_add(d, &(struct split){ .nfiles = 1,
			    .empty = d->nruns == 0 && p == 0 });
	progress_phase(&d->bar, "reduce", d->nparts, d->weight);
	d->bar.done = d->n - d->unfinished;
	reduce_tasks(d);
	if (d->job->jobdir != NULL)
		flush_phase(d);
}

/* The parts that are not empty, as a message to the finish command: only its
 * own output may lack a last delimiter. */
static uint64_t
list_parts(const struct driver *d, struct buf *list)
{
	struct part *last;
	uint64_t n = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct task *t = d->tasks + i;

		if (t->part.len == 0)
			continue;
		buf_put(list, &(struct part){ t->part, t->partial },
		    sizeof(struct part));
		n++;
	}
	if (n > 0 && d->phase == TASK_REDUCE) {
		/* A reducer's last byte is its own. */
		last = (struct part *)(void *)list->p + n - 1;
		last->partial = false;
	}
	return n;
}

/* One command reads the whole output, in order; what it prints is the
 * job's. */
static void
finish_phase(struct driver *d)
{
	struct buf list = {0};
	uint64_t n = list_parts(d, &list), bytes = d->outbytes;
	int who;

	next_phase(d, TASK_FINISH);
	plan_add(d, &(struct split){ .nfiles = 1 });
	progress_phase(&d->bar, "finish", 1, bytes);
	while (!d->failed && d->unfinished > 0) {
		while (d->nspans > 0 && (who = crew_idle(d)) != -1) {
			struct task *t = d->tasks;
			struct task_msg msg = { .kind = TASK_FINISH, .n = n,
			    .attempt = t->attempts, .expect = bytes,
			    .split = t->split };

			plan_next(d, (unsigned)who);
			t->state = RUNNING;
			t->begun = now_ns();
			crew_give(d, (unsigned)who, &msg, &list);
		}
		step(d);
	}
	buf_free(&list);
}

static void
check_space(const struct driver *d)
{
	const struct job *job = d->job;
	uint64_t space = 0;

	if (job->kind != JOB_SORT || job->input.bytes < d->po->memory)
		return;
	for (size_t i = 0; i < job->ntmpdirs; i++) {
		struct statvfs v;

		if (statvfs(job->tmpdirs[i], &v) == 0)
			space += (uint64_t)v.f_bavail * v.f_frsize;
	}
	if (space < job->input.bytes && !d->po->quiet) {
		char a[16], b[16];

		say("warning: %s free for temporary files in %s, and %s of "
		    "input (-T DIR)", human_bytes(space, a, sizeof a),
		    job->tmpdirs[0], human_bytes(job->input.bytes, b,
		    sizeof b));
	}
}

static void
check_tmpdirs(struct job *job)
{
	for (size_t i = 0; i < job->ntmpdirs; i++) {
		const char *dir = job->tmpdirs[i];
		struct stat st;
		int err = 0;

		if (stat(dir, &st) == -1)
			err = errno;
		else if (!S_ISDIR(st.st_mode))
			err = ENOTDIR;
		else if (faccessat(AT_FDCWD, dir, W_OK | X_OK,
		    AT_EACCESS) == -1)
			err = errno;
		if (err != 0)
			refuse("temporary directory %s: %s (-T DIR chooses "
			    "another)", dir, strerror(err));
	}
}

/* The end of a failed job. */
static int
end_failed(struct driver *d)
{
	bool begun = output_begun(d->out) && d->job->out == OUT_STDOUT;

	d->ending = d->status;
	clean_up();
	if (!asked_whole())
		return d->status;
	say(begun ? "stopped; the output is not complete" :
	    "stopped; no output written");
	return d->status;
}

static void
drain(struct driver *d)
{
	d->hold = false;
	while (output_ready(d->out) && !d->failed)
		step(d);
}

static int
end_well(struct driver *d)
{
	struct job *job = d->job;

	if (job->out == OUT_DIR && d->phase == TASK_MAP) {
		output_cut(d->out, d->po->reducers);
	} else if (job->out == OUT_DIR) {
		bool *partial = xzalloc(d->n, sizeof *partial);

		for (uint64_t p = 0; p < d->n; p++)
			partial[p] = d->tasks[p].partial;
		if (job->jobdir != NULL && d->phase == TASK_REDUCE)
			output_files(d->out);
		output_parts(d->out, partial, d->n);
		free(partial);
	}
	d->t_end = now_ns();
	if (job->out == OUT_DIR) {
		FILE *fp;

		if (job->jobdir != NULL)
			output_logs(d->out);
		fp = output_file(d->out, "_mr/report.json");

		report_write(d, fp);
		if (fclose(fp) != 0 || (d->joblog != NULL &&
		    fclose(d->joblog) != 0))
			die_errno("writing the report");
		d->joblog = NULL;
	}
	progress_end(&d->bar);
	if (output_finish(d->out) == -1) {
		int err = errno;

		clean_up();
		errno = err;
		output_died(d);
	}
	/* The workers outlive what they would remove if we were killed. */
	output_free(d->out);
	d->out = NULL;
	scratch_remove(job->scratch, -1);
	d->ending = EXIT_OK;
	clean_up();
	if (d->po->verbose)
		report_summary(d);
	return EXIT_OK;
}

/* Whether the directory that the output goes to is there, made by this very
 * job: its driver was killed after that, or it is asked once more. */
static bool
is_delivered(const struct driver *d)
{
	const struct job *job = d->job;

	return job->jobdir != NULL && job->out == OUT_DIR && asked_whole() &&
	    !d->po->overwrite && output_made_by(job->outpath, job->id);
}

static int
end_delivered(struct driver *d)
{
	d->ending = EXIT_OK;
	clean_up();
	return EXIT_OK;
}

/* Who runs some tasks makes no output, and who works in the background has
 * no standard output. */
static void
choose_output(struct driver *d)
{
	struct job *job = d->job;

	if (!asked_whole() && job->out == OUT_DIR)
		job->extradir = xasprintf("%s/extra", job->jobdir->path);
	if (!asked_whole() || (d->po->detach && job->out == OUT_STDOUT))
		job->out = OUT_NONE;
}

/* Goes on in the background, without a terminal.  The process that was
 * called prints the directory and ends. */
static void
detach(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;
	int fd = open_file("/dev/null", O_RDWR, 0);
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (fd == -1 || pid == -1)
		die_errno("cannot go to the background");
	if (pid > 0) {
		printf("%s\n", dir->path);
		_exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_TROUBLE);
	}
	setsid();
	for (int i = 0; i <= 2; i++)
		dup2(fd, i);
	close(fd);
	jobdir_sign_lock(dir);
}

/* Runs a job to its end and returns the exit status. */
int
driver_run(struct job *job, struct plan_options *po)
{
	struct driver d = { .job = job, .po = po, .lock = -1,
	    .disorder = NO_TASK, .t0 = now_ns(), .file = 0,
	    .ending = EXIT_USAGE };

	check_tmpdirs(job);
	snprintf(job->id, sizeof job->id, "%lld-%ld-%04x",
	    (long long)time(NULL), (long)getpid(),
	    (unsigned)(random_seed() & 0xffff));
	d.block = plan_block_size(&d);
	d.in_order = job->kind == JOB_MAP || job->input.nstreams > 0;
	if (po->dry_run) {
		if (job->input.nstreams == 0 &&
		    job->made.kind != GENERATE_SOURCE)
			plan_more(&d);
		while (d.cutting != NULL)
			plan_cut(&d);
		crew_new(&d);
		report_plan(&d);
		return EXIT_OK;
	}
	check_space(&d);
	plan_advise(&d);
	proc_driver_signals();
	the_driver = &d;
	diag_at_death = clean_up;
	scratch_sweep(job->tmpdirs[0]);
	if (po->job_dir != NULL)
		jobstate_begin(&d);
	if (is_delivered(&d))
		return end_delivered(&d);
	choose_output(&d);
	d.out = output_new(job, po->overwrite);
	job->outdigits = 5;
	job->reducers = (unsigned)po->reducers;
	crew_new(&d);
	job->large = job->input.bytes >= LARGE_INPUT;
	if (job->jobdir != NULL)
		jobstate_stores(&d);
	if (po->detach && asked_whole())
		detach(&d);
	d.ending = EXIT_TROUBLE;
	job->scratch = scratch_name(job->tmpdirs[0]);
	/* From here on somebody is there who tidies up if we are killed. */
	if (!crew_start(&d, 0) && errno != EAGAIN)
		die_errno("cannot start a process");
	if (scratch_make(job->scratch, &d.lock) == -1) {
		say_errno("cannot write in %s (-T DIR chooses another)",
		    job->tmpdirs[0]);
		clean_up();
		return EXIT_USAGE;
	}
	if (job->jobdir != NULL && mkdir(job->jobdir->mine, 0700) == -1)
		die_errno("%s", job->jobdir->mine);
	output_begin(d.out);
	if (job->out == OUT_DIR) {
		d.joblog = output_file(d.out, "_mr/joblog.tsv");
		fputs("phase\ttask\tattempt\tresult\tbegin\tseconds\t"
		    "input bytes\toutput bytes\n", d.joblog);
	}
	d.hold = !po->filter && job->out == OUT_STDOUT;
	d.deadline = po->deadline > 0 ? d.t0 + po->deadline : 0;
	d.woke = d.t0;
	progress_begin(&d.bar, po->progress, po->quiet);
	if (job->made.kind == GENERATE_SOURCE && !d.planned)
		count_phase(&d);
	if (job->jobdir != NULL && !d.planned && !d.failed)
		jobstate_plan(&d);
	else if (job->jobdir == NULL && !d.failed)
		plan_more(&d);
	if (d.planned)
		job->ntasks = d.n;
	if (job->sample.kind == SAMPLE_NUMBER && !d.failed &&
	    (d.plan == NULL || !d.plan->drawn))
		sample_phase(&d);
	if (!d.failed)
		map_phase(&d);
	d.map_tasks = d.n;
	if (po->nonempty && !d.failed && d.in == 0 && asked_whole()) {
		say("the input has no records (--nonempty)");
		job_fails(&d, EXIT_TROUBLE);
	}
	if ((job->kind == JOB_SORT || job->jobdir != NULL) && !d.failed)
		flush_phase(&d);
	d.t_map = now_ns();
	if (job->kind == JOB_SORT && job->jobdir == NULL && !d.failed)
		merge_phase(&d);
	d.t_merge = now_ns();
	if (job->kind == JOB_SORT && !d.failed && (asked_whole() ||
	    jobplan_ask.reduce))
		reduce_phase(&d);
	d.t_reduce = now_ns();
	if (job->jobdir != NULL && !d.failed && asked_whole())
		jobstate_results(&d);
	if (job->finish.argv != NULL && !d.failed && asked_whole())
		finish_phase(&d);
	d.t_finish = now_ns();
	if (!d.failed)
		drain(&d);
	return d.failed ? end_failed(&d) : end_well(&d);
}
