/* handover.c - a job that an engine is to run: from the driver, which plans
 * it, to the queue, and from there to mr wait, which prints its result. */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "mr.h"

/* The rest is what mr wait does. */
static _Noreturn void
end_followed(const struct jobdir *dir)
{
	char *path = xasprintf("%s/engine/mr", dir->path);
	char *argv[] = { (char *)"mr", (char *)"wait", dir->path, NULL };

	proc_exec(path, argv);
	die_errno("%s", path);
}

/* Whether the job as a whole is to be run, and not by the queue itself. */
static bool
is_from_outside(void)
{
	return !jobplan_ask.element && (jobplan_ask.kind == ASK_RUN ||
	    jobplan_ask.kind == ASK_RESUME);
}

static int
show_directory(const struct jobdir *dir)
{
	printf("%s\n", dir->path);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_TROUBLE;
}

/* A job that is in a queue is not run twice: whoever asks for it there waits
 * for it.  False if it is in none; true if nobody is to wait. */
bool
handover_join(struct driver *d)
{
	const struct plan_options *po = d->po;
	char *name = xasprintf("%s/queue", po->job_dir);
	bool there = access(name, F_OK) == 0;
	struct jobdir *dir;
	struct jobplan p;
	struct queue q;

	free(name);
	if (!there || !is_from_outside())
		return false;
	dir = jobdir_open(po->job_dir, false);
	if (!queue_read(dir, &q) || queue_state(dir, &q) == ENGINE_GONE)
		return false;
	if (po->engine == NULL) {
		say("%s: %s runs it, job %s (mr wait, mr cancel)", dir->path,
		    q.engine->name, q.ids[0]);
		exit(EXIT_BUSY);
	}
	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	d->job->jobdir = dir;
	jobplan_same(d, &p);
	if (po->detach)
		return show_directory(dir) == EXIT_OK;
	follow_job(dir, &q, po->progress, po->quiet, true);
	end_followed(dir);
}

/* Begins with the job directory.  What is planned for an engine is cut for
 * all that it has. */
void
handover_begin(struct driver *d)
{
	struct plan_options *po = d->po;
	uint64_t jobs = po->jobs;

	if (po->engine != NULL && is_from_outside()) {
		submit_prepare(po);
		if (po->limits.slots > 0)
			po->jobs = po->limits.slots;
	}
	jobstate_begin(d);
	po->jobs = jobs;
}

/* Whether an engine is to run what is missing. */
bool
handover_is_due(struct driver *d)
{
	return d->po->engine != NULL && is_from_outside() &&
	    (!d->planned || d->unfinished > 0 ||
	    (d->job->kind == JOB_SORT && !jobstate_is_complete(d)));
}

int
handover_run(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;
	struct queue q;

	submit_job(d, &q);
	diag_copy(-1);
	d->begun_dir = false;
	jobdir_unlock(dir);
	loop_clean_up();
	diag_at_death = NULL;
	if (d->po->detach)
		return show_directory(dir);
	follow_job(dir, &q, d->po->progress, d->po->quiet, true);
	end_followed(dir);
}
