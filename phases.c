/* phases.c - the phases of a job: in each its tasks are handed out to idle
 * workers until all are done, or the job has failed. */

#include <stdlib.h>

#include "mr.h"

#define WAITING_MOST ((uint64_t)64 * MiB)	/* of output, unwritten */

/* Whether no task should be handed out now: the job has failed, or it is a
 * filter whose output is not taken, or they are behind one that ends it. */
static bool
must_wait(struct driver *d)
{
	if (d->failed || outcome_elsewhere(d) || (d->disorder != NO_TASK &&
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
		    .nrecords = d->job->made.n, .limit = d->job->sample.last,
		    .forgo = d->tasks[t].forgo, .hunt = d->tasks[t].hunt,
		    .skip_most = d->skipped < d->job->skip_most ?
		    d->job->skip_most - d->skipped : 0,
		    .buckets = d->by_buckets };

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
		(d->by_buckets ? divide_give : parts_give)(d, (unsigned)who,
		    (uint32_t)plan_next(d, (unsigned)who));
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
	outcome_fails(d, EXIT_TROUBLE);
	return true;
}

static void
run_maps(struct driver *d)
{
	for (;;) {
		if (!d->by_buckets || !deal_falters(d))
			hand_out_maps(d);
		if (d->failed || disorder_is_known(d))
			return;
		if (!d->planned || d->unfinished > 0)
			loop_step(d);
		else if (outcome_settle(d))
			continue;
		else if (d->failed || jobplan_ask.kind == ASK_TASKS || !plan_empty(d))
			return;
		else if (d->job->jobdir != NULL)
			jobstate_extra(d);
	}
}

void
phases_map(struct driver *d)
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
	while (!d->failed && (d->unfinished > 0 || outcome_settle(d) ||
	    hand_waits(d))) {
		hand_next(d);
		hand_out_reduces(d);
		loop_step(d);
	}
}

/* Every worker writes what it still holds; tasks of one that dies before it
 * has are run again. */
void
phases_flush(struct driver *d)
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
				phases_map(d);
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
		loop_step(d);
	}
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

/* All is to be done again, with runs. */
void
phases_again(struct driver *d)
{
	next_phase(d, TASK_MAP);
	d->in_order = d->stream != NULL;
	d->planned = d->fed = false;
	d->file = 0;
	d->in = d->records = d->map_out = 0;
	plan_more(d);
	d->job->ntasks = d->planned ? d->n : 0;
	phases_map(d);
}

/* Asks a source how many records it has. */
void
phases_count(struct driver *d)
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
void
phases_sample(struct driver *d)
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

/* In a queue: the input was empty, and that was seen only when it was read.
 * The last job there runs a map over nothing (plan_empty), so there can be no
 * parts before. */
static bool
is_left_to_last(const struct driver *d)
{
	const struct jobplan *p = d->plan;

	return jobplan_ask.element && jobplan_ask.kind == ASK_TASKS &&
	    !d->fed && !d->job->whole_file &&
	    !p->splits[p->nsplits - 1].empty;
}

void
phases_reduce(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;

	next_phase(d, TASK_REDUCE);
	if (dir == NULL || !jobstate_is_complete(d)) {
		if (dir != NULL)
			jobstate_runs(d);
		if (is_left_to_last(d))
			return;
		d->by_hand = hand_possible(d);
		if (!d->by_buckets)
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
		phases_flush(d);
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
void
phases_finish(struct driver *d)
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
		loop_step(d);
	}
	buf_free(&list);
}
