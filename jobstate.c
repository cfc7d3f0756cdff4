/* jobstate.c - a job that lives in a job directory: what of it is done, and
 * how the driver goes on from there.
 *
 * Cut points are a function of what the maps have committed.  They are
 * chosen once and recorded, and parts name the record that they were made
 * with, so parts of different cuts are never put together.  A file that is
 * damaged is taken away and its task is run again, except a map that
 * committed parts have been made of: another attempt could give others. */

#define _GNU_SOURCE		/* O_DIRECTORY */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { LATE = 60 };		/* seconds */

struct state {			/* of the tasks of a job */
	bool *maps;		/* committed */
	bool *bad_maps;		/* committed, and damaged */
	size_t nmaps, nbad;
	size_t nparts, parts;	/* there are; committed */
	uint64_t made;		/* of these, that have been made of something */
};

/* ---- cut points */

static void
pack_bound(struct buf *b, const unsigned char *p, size_t len)
{
	seal_number(b, p != NULL);
	seal_bytes(b, p, p != NULL ? len : 0);
}

static const unsigned char *
unpack_bound(struct unseal *u, size_t *len)
{
	bool there = unseal_number(u, 1) != 0;
	const unsigned char *p = unseal_bytes(u, len);

	return there ? p : NULL;
}

/* Takes the recorded cut points, if there are any.  Whatever is wrong with
 * them, others of the same maps are as good. */
bool
jobstate_cuts(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;
	struct buf b = {0};
	struct unseal u;
	uint64_t key;
	int got = jobdir_get(dir, "cuts", &b, jobplan_cuts_kind);

	if (got == 0)
		return false;
	u = (struct unseal){ b.p, b.p + b.len, got == -1 };
	key = unseal_number(&u, UINT32_MAX) << 32;
	key |= unseal_number(&u, UINT32_MAX);
	d->nparts = unseal_number(&u, b.len);
	free(d->cuts);
	d->cuts = xzalloc(d->nparts, sizeof *d->cuts);
	for (uint64_t i = 0; i < d->nparts; i++) {
		struct bounds *c = d->cuts + i;

		c->lo = unpack_bound(&u, &c->lolen);
		c->hi = unpack_bound(&u, &c->hilen);
	}
	if (u.bad || u.p != u.end || key != dir->map_key || d->nparts == 0) {
		unlinkat(dir->fd, "cuts", 0);
		free(d->cuts);
		buf_free(&b);
		d->cuts = NULL;
		d->nparts = 0;
		return false;
	}
	/* The bounds point into b, which stays. */
	dir->part_key = dir->reduce_key ^ checksum(0, b.p, b.len);
	return true;
}

/* Records the cut points, or takes those that another has recorded. */
void
jobstate_put_cuts(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;

	for (;;) {
		struct buf b = {0};

		seal_number(&b, dir->map_key >> 32);
		seal_number(&b, dir->map_key & UINT32_MAX);
		seal_number(&b, d->nparts);
		for (uint64_t i = 0; i < d->nparts; i++) {
			pack_bound(&b, d->cuts[i].lo, d->cuts[i].lolen);
			pack_bound(&b, d->cuts[i].hi, d->cuts[i].hilen);
		}
		jobdir_put(dir, "cuts", &b, jobplan_cuts_kind, false);
		buf_free(&b);
		if (jobstate_cuts(d))
			return;
	}
}

/* ---- what is there */

/* Whether a task is one of those that are asked for, of n. */
static bool
is_wanted(uint64_t task, uint64_t n)
{
	const struct ask *ask = &jobplan_ask;

	if (ask->of == 0)
		return task >= ask->lo && task <= ask->hi;
	if (ask->sweep)
		return task % ask->of == ask->share;
	return task >= n * ask->share / ask->of &&
	    task < n * (ask->share + 1) / ask->of;
}

/* Adds what a task has counted to the sums of the job. */
static void
add_sums(struct driver *d, const struct commit *c)
{
	counters_load(&d->counters, c->counters.p, c->counters.len);
	d->unread += c->stats.unread;
	d->skipped += c->skipped;
	if (c->reduce || d->job->kind == JOB_MAP)
		d->outbytes += c->stats.out;
	if (c->reduce)
		return;
	d->fed |= !c->nothing;
	d->in += c->split;
	d->records += c->records;
	d->map_out += c->stats.out;
}

/* Whether a part is committed and all of it is as it was written.  Adds to
 * *made if its command has made it, and not that its range is empty. */
static bool
is_sound(struct driver *d, uint32_t task, uint64_t *made)
{
	struct commit c;
	int fd = commit_read(d->job->jobdir, true, task, &c);
	bool sound;

	if (fd < 0)
		return false;
	sound = commit_is_sound(fd, &c);
	*made += sound && (c.stats.in > 0 || c.data > 0 || c.forgone);
	close(fd);
	commit_free(&c);
	return sound;
}

/* Looks at the maps that are of interest, and adds up what they say; at the
 * parts only for one who may repair them. */
static void
look(struct driver *d, const struct jobplan *p, struct state *s)
{
	struct jobdir *dir = d->job->jobdir;
	const struct ask *ask = &jobplan_ask;

	*s = (struct state){ .maps = xzalloc(p->nsplits, 1),
	    .bad_maps = xzalloc(p->nsplits, 1) };
	for (uint32_t i = 0; i < p->nsplits; i++) {
		struct commit c;
		int fd;

		if (ask->kind == ASK_TASKS && (ask->reduce ||
		    !is_wanted(i, p->nsplits)))
			continue;
		fd = commit_read(dir, false, i, &c);
		if (fd >= 0) {
			/* A map's output that is the job's is printed as it
			 * is; runs are looked at when they are read. */
			s->maps[i] = d->job->kind == JOB_SORT ||
			    commit_is_sound(fd, &c);
			if (s->maps[i]) {
				add_sums(d, &c);
				d->given_up += c.forgone;
			}
			close(fd);
			commit_free(&c);
		}
		s->bad_maps[i] = fd == -2 || (fd >= 0 && !s->maps[i]);
		s->nmaps += s->maps[i];
		s->nbad += s->bad_maps[i];
	}
	if (d->job->kind != JOB_SORT || ask->kind == ASK_TASKS ||
	    !jobstate_cuts(d))
		return;
	s->nparts = d->nparts;
	for (uint32_t i = 0; i < d->nparts; i++)
		s->parts += is_sound(d, i, &s->made);
	if (s->parts == s->nparts)
		s->made = s->parts;
}

/* Damaged maps are run again, if nothing has been made of them. */
static void
repair_maps(struct driver *d, const struct jobplan *p, const struct state *s)
{
	struct jobdir *dir = d->job->jobdir;
	size_t missing = p->nsplits - s->nmaps;

	if (s->made > 0 && s->parts < s->nparts && missing > 0)
		die("%s: a map task's file is damaged or gone, and parts have "
		    "been made of it; mr rm removes the job", dir->path);
	if (s->made > 0)
		return;
	for (uint32_t i = 0; i < p->nsplits; i++)
		if (s->bad_maps[i])
			commit_remove(dir, false, i);
	if (missing > 0)
		unlinkat(dir->fd, "cuts", 0);
}

/* Parts that are damaged or were made of something else are run again. */
static void
repair_parts(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;
	int fd = openat(dir->fd, "reduce", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t made = 0;

	if (names == NULL)
		die_errno("%s/reduce", dir->path);
	while ((e = readdir(names)) != NULL) {
		uint64_t n;

		if (e->d_name[0] != '.' && (parse_number(e->d_name, &n) == -1 ||
		    n >= d->nparts || !is_sound(d, (uint32_t)n, &made)) &&
		    unlinkat(fd, e->d_name, 0) == -1)
			die_errno("%s/reduce/%s", dir->path, e->d_name);
	}
	closedir(names);
}

/* The map tasks of the plan that are still to be run. */
static void
take_tasks(struct driver *d, const struct jobplan *p, const struct state *s)
{
	const struct ask *ask = &jobplan_ask;
	bool all = s->nparts > 0 && s->parts == s->nparts;

	d->n = d->nspans = d->unfinished = 0;
	d->planned = true;
	for (uint32_t i = 0; i < p->nsplits; i++) {
		bool wanted = ask->kind == ASK_TASKS ? !ask->reduce &&
		    is_wanted(i, p->nsplits) : ask->kind != ASK_RESULT;
		bool done = all || s->maps[i] || !wanted;

		plan_keep(d, p->splits + i, done);
	}
}

/* The tasks that mr task is asked for must be there. */
static void
check_range(const char *what, uint64_t n)
{
	const struct ask *ask = &jobplan_ask;

	if (ask->of == 0 && ask->hi >= n)
		refuse("there is no %s task %lu: there are %llu", what,
		    (unsigned long)ask->hi, (unsigned long long)n);
}

/* Opens the job directory and finds there, or makes there, what is to be
 * done. */
void
jobstate_begin(struct driver *d)
{
	struct job *job = d->job;
	enum ask_kind ask = jobplan_ask.kind;
	struct jobdir *dir = jobdir_open(d->po->job_dir, ask == ASK_RUN);
	struct jobplan *p = xzalloc(1, sizeof *p);
	struct state s = {0};

	job->jobdir = dir;
	d->plan = p;
	dir->sync = !d->po->no_sync;
	if (ask == ASK_RUN || ask == ASK_RESUME) {
		jobdir_lock(dir);
		jobdir_sweep(dir);
	}
	if (!jobplan_read(dir, p)) {
		if (ask != ASK_RUN)
			refuse("%s: it has no plan", dir->path);
		if (job->made.kind != GENERATE_SOURCE)
			jobplan_make(d, p);
		jobdir_begin(dir);
		d->begun_dir = d->new_dir = true;
		return;
	}
	snprintf(job->id, sizeof job->id, "%s", p->id);
	look(d, p, &s);
	if (ask == ASK_RUN || ask == ASK_RESUME) {
		jobplan_compare(d, p, s.maps, s.nmaps > 0, s.made > 0);
		repair_maps(d, p, &s);
		jobstate_cuts(d);
		repair_parts(d);
		jobdir_begin(dir);
		d->begun_dir = true;
	}
	if (ask == ASK_TASKS && !jobplan_ask.reduce)
		check_range("map", p->nsplits);
	job->input.files = p->files;
	job->input.n = p->nfiles;
	job->input.nstreams = 0;
	job->input.bytes = 0;
	for (size_t i = 0; i < p->nfiles; i++)
		job->input.bytes += p->files[i].size;
	d->block = p->block;
	if (job->made.kind != GENERATE_NONE)
		job->made.n = p->nrecords;
	if (p->drawn)
		job->sample.last = p->last;
	else if (ask == ASK_TASKS && job->sample.kind == SAMPLE_NUMBER)
		/* Nor is it drawn here, where another may be about to. */
		refuse("%s: the sample is not drawn yet, for which all of the "
		    "input is read: first run the job, or mr resume",
		    dir->path);
	take_tasks(d, p, &s);
	d->was_done = s.nmaps + s.parts;
	free(s.maps);
	free(s.bad_maps);
}

/* Stores for what the map tasks commit, behind those that there are. */
void
jobstate_stores(struct driver *d)
{
	struct job *job = d->job;

	job->stores = commit_stores(job->jobdir, job->stores, d->nw + 1,
	    (uint32_t)d->n);
	job->jobdir->reduces = job->kind == JOB_SORT;
}

/* A last task that was not planned: the input was empty.  It may have been
 * committed. */
void
jobstate_extra(struct driver *d)
{
	struct commit c;
	int fd;

	jobstate_stores(d);
	fd = commit_read(d->job->jobdir, false, (uint32_t)d->n - 1, &c);
	if (fd < 0)
		return;
	close(fd);
	commit_free(&c);
	d->tasks[d->n - 1].state = KEPT;
	d->unfinished--;
	d->nspans--;
}

/* Whether a task of the present phase is committed. */
static int
open_task(struct driver *d, uint32_t task, struct commit *c)
{
	return d->phase != TASK_MAP && d->phase != TASK_REDUCE ? -1 :
	    commit_read(d->job->jobdir, d->phase == TASK_REDUCE, task, c);
}

/* Forgets a commit whose file is open; false if there is none. */
static bool
forget(int fd, struct commit *c)
{
	if (fd < 0)
		return false;
	close(fd);
	commit_free(c);
	return true;
}

bool
jobstate_has(struct driver *d, uint32_t task)
{
	struct commit c;

	return forget(open_task(d, task, &c), &c);
}

/* A worker has died amid a task: if it has committed it, that is all that
 * was to be done.  False if it has not. */
bool
jobstate_adopt(struct driver *d, uint32_t task)
{
	struct commit c;
	int fd = open_task(d, task, &c);

	if (fd < 0)
		return false;
	close(fd);
	add_sums(d, &c);
	commit_free(&c);
	d->tasks[task].state = KEPT;
	d->unfinished--;
	d->bar.done++;
	return true;
}

/* Makes the plan, now that it is known how many records a source has. */
void
jobstate_plan(struct driver *d)
{
	jobplan_make(d, d->plan);
	jobstate_stores(d);
}

/* All maps are done: the runs that they have committed, in input order. */
void
jobstate_runs(struct driver *d)
{
	const struct jobdir *dir = d->job->jobdir;

	d->nruns = 0;
	for (uint32_t t = 0; t < dir->nmaps; t++) {
		struct commit c;
		int fd = commit_read(dir, false, t, &c);

		/* On another node it may be seen late. */
		for (int i = 0; fd == -1 && jobplan_ask.element && i < LATE &&
		    proc_signal() == 0; i++) {
			proc_poll(NULL, 0, 1000000000);
			fd = commit_read(dir, false, t, &c);
		}
		if (fd < 0)
			die("%s: map task %lu is not committed", dir->path,
			    (unsigned long)t);
		close(fd);
		d->fed |= !c.nothing;
		if (d->cap_runs < d->nruns + c.nruns) {
			d->cap_runs = grown(d->cap_runs, d->nruns + c.nruns);
			d->runs = xrealloc(d->runs, d->cap_runs,
			    sizeof *d->runs);
		}
		for (size_t i = 0; i < c.nruns; i++)
			d->runs[d->nruns++] = c.runs[i];
		d->runs_written += c.nruns;
		commit_free(&c);
	}
}

/* Whether all parts are there already, so that nobody needs the maps. */
bool
jobstate_is_complete(struct driver *d)
{
	if (!jobstate_cuts(d))
		return false;
	for (uint32_t i = 0; i < d->nparts; i++) {
		struct commit c;

		if (!forget(commit_read(d->job->jobdir, true, i, &c), &c))
			return false;
	}
	return true;
}

/* How many parts have been given up. */
uint64_t
jobstate_forgone(struct driver *d)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < d->nparts; i++) {
		struct commit c;
		int fd = commit_read(d->job->jobdir, true, i, &c);

		sum += fd >= 0 && c.forgone;
		forget(fd, &c);
	}
	return sum;
}

/* The reduce tasks, of which some may be committed. */
void
jobstate_parts(struct driver *d)
{
	const struct ask *ask = &jobplan_ask;

	if (ask->kind == ASK_TASKS)
		check_range("reduce", d->nparts);
	for (uint32_t p = 0; p < d->nparts; p++) {
		struct commit c;
		bool wanted = ask->kind != ASK_TASKS ||
		    is_wanted(p, d->nparts);
		int fd = commit_read(d->job->jobdir, true, p, &c);

		if (fd == -2)
			commit_remove(d->job->jobdir, true, p);
		plan_keep(d, &(struct split){ .nfiles = 1,
		    .empty = d->nruns == 0 && p == 0 }, fd >= 0 || !wanted);
		if (fd < 0)
			continue;
		close(fd);
		add_sums(d, &c);
		d->given_up += c.forgone;
		commit_free(&c);
	}
}

/* All is committed: the files of the last phase are the output. */
void
jobstate_results(struct driver *d)
{
	struct job *job = d->job;
	struct jobdir *dir = job->jobdir;
	size_t base = dir->base + dir->nmaps;
	bool reduce = job->kind == JOB_SORT;

	job->stores = xrealloc(job->stores, base + d->n, sizeof *job->stores);
	for (uint32_t i = 0; i < d->n; i++) {
		struct store *s = job->stores + base + i;
		struct commit c;
		int fd = commit_read(dir, reduce, i, &c);

		if (fd < 0)
			die("%s: %s task %lu is not committed", dir->path,
			    reduce ? "reduce" : "map", (unsigned long)i);
		close(fd);
		*s = (struct store){ .mem = -1, .disk = -1,
		    .dir = dir->path };
		s->path = commit_path(dir, reduce, i);
		d->tasks[i].partial = c.stats.partial;
		d->tasks[i].part = (struct place){ .len = c.data,
		    .store = (uint32_t)(base + i), .disk = true };
		if (job->finish.argv == NULL)
			output_add(d->out, &d->tasks[i].part,
			    c.stats.partial);
		commit_free(&c);
	}
}
