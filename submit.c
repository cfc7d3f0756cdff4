/* submit.c - gives a planned job to an engine.
 *
 * The first job is held until all are noted in the job directory, so that
 * nothing runs that is not on record.  mr itself is copied there: what runs
 * on the nodes is what was called here. */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

enum { SWEEPERS = 16, SLOTS = 16, ARRAY = 1000 };
#define RELEASE_LIMIT ((int64_t)300 * 1000000000)	/* ns */

static const char script[] =
    "#!/bin/sh\n"
    "exec \"$1/engine/mr\" element \"$1\" \"$2\"\n";

/* ---- what is in DIR/engine */

static void
put_program(const struct jobdir *dir, const char *name, int from,
    const char *text)
{
	struct draft d;
	char p[64 * KiB];
	ssize_t n = 0;

	if (draft_open(&d, dir->fd) == -1)
		die_errno("%s/%s", dir->path, name);
	while (from != -1 && (n = read_some(from, p, sizeof p)) > 0)
		if (write_full(d.fd, p, (size_t)n) == -1)
			die_errno("%s/%s", dir->path, name);
	if (n == -1 || write_full(d.fd, text, strlen(text)) == -1 ||
	    fchmod(d.fd, 0700) == -1 || draft_replace(&d, name) == -1)
		die_errno("%s/%s", dir->path, name);
	draft_close(&d);
}

static void
put_programs(const struct jobdir *dir)
{
	int fd = open_file("/proc/self/exe", O_RDONLY, 0);
	char path[PATH_ROOM];

	if (fd == -1 && proc_lookup("mr", path, sizeof path) != NULL)
		fd = open_file(path, O_RDONLY, 0);
	if (fd == -1)
		die_errno("the program mr");
	put_program(dir, "engine/mr", fd, "");
	close(fd);
	put_program(dir, "engine/element", -1, script);
}

/* ---- how many elements */

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct widths {
	uint32_t map, reduce;
};

static struct widths
choose_widths(const struct driver *d)
{
	const struct plan_options *po = d->po;
	const struct engine_limits *l = &po->limits;
	uint64_t most = l->array > 0 ? l->array : ARRAY;
	uint64_t slots = l->slots > 0 ? l->slots : SLOTS;
	uint64_t maps = d->n, parts = po->reducers;
	struct widths w;

	/* All elements of all jobs count at once. */
	if (l->jobs > 0)
		most = least(most, l->jobs / (QUEUE_JOBS - 1));
	if (po->elements > most)
		refuse("--elements %llu: %s takes no more than %llu",
		    (unsigned long long)po->elements, po->engine->name,
		    (unsigned long long)most);
	if (parts == 0)
		parts = d->job->made.kind != GENERATE_NONE ? slots :
		    1 + d->job->input.bytes / MiB;
	if (po->elements > 0) {
		maps = least(maps, po->elements);
		parts = least(parts, po->elements);
	}
	w.map = (uint32_t)least(least(maps, most), po->elements > 0 ? maps :
	    2 * slots);
	w.reduce = (uint32_t)least(least(parts, most), po->elements > 0 ?
	    parts : slots);
	return w;
}

/* ---- --after */

/* The job that has to succeed before, or NULL if it has. */
static char *
predecessor(const struct plan_options *po)
{
	const struct engine *e = po->engine;
	const char *id = po->after;
	char *why = NULL;
	enum engine_end end;

	if (id[strspn(id, "0123456789")] != '\0') {
		struct jobdir *dir = jobdir_open(id, false);
		int verdict = jobdir_verdict(dir);
		struct queue q;

		if (verdict == 0)
			return NULL;
		if (verdict != -1)
			refuse("--after %s: that job has failed", id);
		if (!queue_read(dir, &q) || q.n == 0)
			refuse("--after %s: no job of it is in the queue of "
			    "%s", id, e->name);
		id = q.ids[q.n - 1];
	}
	end = e->end(id, &why);
	if (end == ENGINE_NO_JOB || end == ENGINE_FAILED)
		refuse("--after %s: %s", po->after, why);
	return end == ENGINE_SUCCEEDED ? NULL : xstrdup(id);
}

/* ---- the jobs */

/* Nothing of it stays in the queue; errno says whether it was refused. */
static _Noreturn void
give_up(struct driver *d, const struct queue *q, const char *why)
{
	int sig = proc_signal(), err = errno;

	queue_cancel(d->job->jobdir, q);
	if (sig != 0) {
		d->undo_dir = false;
		diag_at_death();
		proc_end_by(sig < 0 ? -sig : sig);
	}
	if (err == EAGAIN && q->n > 0) {
		d->undo_dir = false;
		die("%s; nothing was run (the same command again takes back "
		    "what may be in the queue)", why);
	}
	if (err == EAGAIN)
		die("%s; nothing was run", why);
	refuse("%s; nothing was run", why);
}

static void
submit_one(struct driver *d, struct queue *q, const char *phase,
    uint32_t n, const char *success)
{
	const struct jobdir *dir = d->job->jobdir;
	const struct plan_options *po = d->po;
	char *argv[] = { xasprintf("%s/engine/element", dir->path),
	    dir->path, (char *)phase, NULL };
	struct engine_job j = {
	    .name = xasprintf("mr-%s-%s", d->job->id, phase),
	    .logs = xasprintf("%s/engine", dir->path), .argv = argv,
	    .options = po->engine_words, .noptions = po->nengine_words,
	    .n = n, .most = (uint32_t)po->most,
	    .after = q->n > 0 ? q->ids[q->n - 1] : NULL,
	    .success = success, .hold = q->n == 0 };
	char *why = NULL, *id = po->engine->submit(&j, &why);

	if (id == NULL)
		give_up(d, q, why);
	q->ids[q->n++] = id;
}

/* Whether the engine is there, and what it allows.  Before anything is made
 * for the job. */
void
submit_prepare(struct plan_options *po)
{
	char *why = NULL;

	if (po->engine->limits(&po->limits, &why) == 0)
		return;
	if (errno == ENOENT)
		refuse("--on %s: %s", po->engine->name, why);
	die("--on %s: %s; nothing was run", po->engine->name, why);
}

/* What is in the queue already need not be taken back because nobody answers
 * for a moment. */
static int
release(const struct engine *e, const char *id, char **why)
{
	int64_t until = now_ns() + RELEASE_LIMIT;

	while (e->release(id, why) == -1) {
		if (errno != EAGAIN || proc_signal() != 0 || now_ns() > until)
			return -1;
		free(*why);
		proc_poll(NULL, 0, 1000000000);
	}
	return 0;
}

/* Submits the job, whose directory is locked, and notes that. */
void
submit_job(struct driver *d, struct queue *q)
{
	static const char *const old[] = { "failed", "result", "queue" };
	const struct jobdir *dir = d->job->jobdir;
	const struct engine *e = d->po->engine;
	struct widths w;
	char *why = NULL, *success = NULL;

	*q = (struct queue){ .engine = e, .begun = (uint64_t)time(NULL) };
	d->undo_dir = d->new_dir;
	if (d->po->after != NULL)
		success = predecessor(d->po);
	q->after = success != NULL;
	w = choose_widths(d);
	queue_cancel(dir, q);		/* what an earlier driver has left */
	for (size_t i = 0; i < sizeof old / sizeof *old; i++)
		jobdir_drop(dir, old[i]);
	put_programs(dir);
	submit_one(d, q, "map", w.map, success);
	submit_one(d, q, "map-sweep", (uint32_t)least(w.map, SWEEPERS),
	    success);
	if (d->job->kind == JOB_SORT) {
		submit_one(d, q, "reduce", w.reduce, success);
		submit_one(d, q, "reduce-sweep", (uint32_t)least(w.reduce,
		    SWEEPERS), success);
	}
	submit_one(d, q, "verdict", 0, success);
	queue_write(dir, q);
	if (!d->po->hold && release(e, q->ids[0], &why) == -1)
		give_up(d, q, why);
}
