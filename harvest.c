/* harvest.c - what a worker's tasks have made: runs, and with a job directory
 * the files that commit them.
 *
 * A run that the collector has written is told to the driver at once if all
 * of its tasks are done, and waits for the end of the attempt if not.
 *
 * In a job directory an attempt writes a draft.  The drafts of short tasks
 * wait for each other a little while, so that one sync does for several;
 * those that wait are neighbours. */

#include <stdlib.h>

#include "mr.h"

#define COMMIT_LATE ((int64_t)100000000)	/* ns that a commit may wait */

/* Has runs combined.  If that fails, the job does: the attempts have been
 * used up, and the driver's answer is to end. */
void
harvest_combine(struct worker *w, const struct merge_input *in, size_t n,
    const char *compress, struct combining *what)
{
	struct reply_msg r = { .kind = REPLY_FAILED, .task = in[0].run->first,
	    .held = true };
	unsigned char ignored;

	if (combine_runs(w->combiner, in, n, compress, what)) {
		w->combine_in += what->in;
		w->combine_out += what->out;
		return;
	}
	if (what->aborted)
		reply_orphaned();
	r.run.first = in[0].run->first;
	r.run.last = in[n - 1].run->last;
	r.combine_attempts = what->attempts;
	r.fail = what->fail;
	r.fail.final = true;
	reply_send(w, &r);
	while (message_recv(w->sock, &ignored, 1) == 0)
		;
	reply_orphaned();
}

/* The collector has written a run, or the combiner has. */
void
harvest_run(void *arg, const struct run *run, bool committed)
{
	struct worker *w = arg;

	if (committed && w->job->jobdir == NULL) {
		reply_run(w, run, true);
		return;
	}
	if (w->npending == w->cap_pending) {
		w->cap_pending = grown(w->cap_pending, w->npending + 1);
		w->pending = xrealloc(w->pending, w->cap_pending,
		    sizeof *w->pending);
	}
	w->pending[w->npending++] = *run;
}

/* What the driver knows of the plan by now. */
void
harvest_keys(struct worker *w, const struct task_msg *t)
{
	struct job *job = w->job;
	struct jobdir *dir = job->jobdir;

	if (dir == NULL)
		return;
	dir->map_key = t->map_key;
	dir->part_key = t->part_key;
	job->stores = commit_stores(dir, job->stores, job->nworkers + 1,
	    t->nmaps);
	w->store = job->stores + w->me;
}

/* Opens the file that the next attempt writes. */
void
harvest_open(struct worker *w)
{
	const struct jobdir *dir = w->job->jobdir;

	if (dir == NULL)
		return;
	if (draft_open(&w->draft, dir->fd) == -1)
		die_errno("%s: cannot make a file", dir->path);
	w->file = (struct store){ .mem = -1, .disk = w->draft.fd,
	    .dir = dir->path, .synced = UINT64_MAX,
	    .cure = "with more room the same command goes on" };
}

/* The tasks that waited are committed. */
static void
sync_commits(struct worker *w)
{
	struct reply_msg r = { .kind = REPLY_KEPT };

	commit_sync(w->job->jobdir);
	reply_send(w, &r);
}

/* Commits what has waited long enough.  Returns ns until it is to be called
 * again, or -1. */
int64_t
harvest_tick(void *arg)
{
	struct worker *w = arg;
	const struct jobdir *dir = w->job->jobdir;
	int64_t left;

	if (dir == NULL || dir->nwaiting == 0)
		return -1;
	left = dir->since + COMMIT_LATE - now_ns();
	if (left > 0)
		return left;
	sync_commits(w);
	return -1;
}

/* Tasks that wait for their commit are neighbours: so the driver counts
 * them. */
void
harvest_before(struct worker *w, const struct task_msg *t)
{
	const struct jobdir *dir = w->job->jobdir;

	w->begun = now_ns();
	if (dir != NULL && dir->nwaiting > 0 &&
	    dir->waiting[dir->nwaiting - 1].task + 1 != t->task)
		sync_commits(w);
}

/* Makes the file of a task that has succeeded, or forgets the one that has
 * failed.  After a task that has taken its time nothing waits. */
void
harvest_commit(struct worker *w, const struct task_msg *t, bool ok,
    struct reply_msg *r)
{
	struct jobdir *dir = w->job->jobdir;
	struct commit c = { .task = t->task, .attempt = t->attempt,
	    .reduce = t->kind == TASK_REDUCE, .data = w->file.disklen,
	    .split = r->split.len, .stats = r->stats, .records = r->records,
	    .nothing = r->nothing, .forgone = t->forgo, .bad = w->bad,
	    .skipped = w->skipped, .runs = w->pending,
	    .nruns = w->npending };

	if (dir == NULL)
		return;
	c.stats.partial = r->partial;
	if (ok) {
		counters_save(&w->counters, &c.counters);
		commit_put(dir, &w->draft, &c);
		buf_free(&c.counters);
		if (now_ns() - w->begun > COMMIT_LATE / 4)
			commit_sync(dir);
	}
	draft_close(&w->draft);
	w->npending = 0;
	r->held = dir->nwaiting > 0;
}

/* A task's work is done by mr itself when it has no command. */
void
harvest_alive(struct worker *w)
{
	if (proc_dying())
		reply_orphaned();
	harvest_tick(w);
}
