/* worker.c - a forked copy of mr that takes tasks from the driver, one at a
 * time, and answers.
 *
 * A worker is a single thread.  It reads a task from its socket, runs it,
 * and tells what came of it: the runs it has written, where its output
 * stands, or why it failed.
 *
 * A map task whose output is still in the collector is done but not kept:
 * the driver runs it again if this worker dies before it tells of the run. */

#include <poll.h>
#include <stdlib.h>

#include "mr.h"

/* The driver's next message, while what waits is committed in time. */
static void
next_task(struct worker *w, struct task_msg *t)
{
	struct pollfd p = { .fd = w->sock, .events = POLLIN };
	int64_t wait;

	while ((wait = harvest_tick(w)) > 0 && proc_poll(&p, 1, wait) <= 0)
		;
	if (message_recv(w->sock, t, sizeof *t) == -1)
		reply_orphaned();
}

static void
do_flush(struct worker *w)
{
	struct reply_msg reply = { .kind = REPLY_FLUSHED };

	if (w->collect != NULL) {
		pool_flush(w);
		collect_free(w->collect);
		w->collect = NULL;
	}
	if (w->job->jobdir != NULL)
		commit_sync(w->job->jobdir);
	reply_send(w, &reply);
}

/* Has a collector for the output of map tasks ready: at first, or after it has
 * been flushed, where another worker's tasks are run again. */
static void
begin_collecting(struct worker *w)
{
	struct job *job = w->job;

	if (job->kind != JOB_SORT || w->collect != NULL)
		return;
	if (job->combine.argv != NULL) {
		pool_begin(w);
		return;
	}
	w->collect = collect_new(&job->shape, w->out, (uint16_t)w->me,
	    job->worker_memory, job->compress, harvest_run, w);
	if (job->agg != NULL)
		collect_aggregate(w->collect, job->agg);
}

static void
worker_begin(struct worker *w)
{
	struct job *job = w->job;

	w->store = job->stores + w->me;
	w->out = job->jobdir != NULL ? &w->file : w->store;
	w->draft.fd = -1;
	taskenv_begin(&w->env, job, w->me);
	if (job->combine.argv != NULL)
		begin_collecting(w);	/* merges combine, too */
}

/* The life of worker number me, which ends when the driver closes sock. */
void
worker_main(struct job *job, unsigned me, int sock, pid_t driver)
{
	struct worker w = { .job = job, .me = me, .sock = sock,
	    .driver = driver };
	struct buf payload = {0};
	struct task_msg t;

	proc_worker_begin(job->shared->worker[me].group);
	reply_begin(&w);
	for (;;) {
		next_task(&w, &t);
		buf_reset(&payload);
		if (message_recv(sock, buf_reserve(&payload, t.payload),
		    t.payload) == -1)
			reply_orphaned();
		payload.len = t.payload;
		if (w.store == NULL)
			worker_begin(&w);
		job->shared->worker[me].moved = 0;
		job->shared->worker[me].stopped = false;
		w.env.nrecords = t.nrecords;
		counters_reset(&w.counters);
		buf_free(&w.bad);
		w.skipped = 0;
		harvest_keys(&w, &t);
		switch (t.kind) {
		case TASK_COUNT:
			made_count(&w, &t);
			break;
		case TASK_SAMPLE:
			maptask_sample(&w, &t);
			break;
		case TASK_MAP:
			if (!t.buckets)
				begin_collecting(&w);
			maptask_run(&w, &t, &payload);
			break;
		case TASK_FLUSH:
			do_flush(&w);
			break;
		case TASK_MERGE:
			mergetask_run(&w, &t, &payload);
			break;
		case TASK_REDUCE:
			if (t.forgo)
				redtask_forgo(&w, &t);
			else if (t.buckets)
				redtask_bucket(&w, &t);
			else
				redtask_run(&w, &t, &payload);
			break;
		case TASK_PRINT:
			redtask_print(&w, &t);
			break;
		case TASK_FINISH:
			redtask_finish(&w, &t, &payload);
			break;
		}
	}
}
