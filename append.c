/* append.c - mr run --append: only what is new is mapped, and all is reduced.
 *
 * What follows in the inputs (known.c) is the input of the job.  When its
 * maps are done, their runs are put behind those that are kept (kept.c), and
 * the job goes on as if it had mapped all of it.  So the result is that of
 * one run over the same bytes in the order in which they came.
 *
 * The new state is a part of the output directory, which takes the place of
 * the old one when all is right.  Who works on it has it locked; where there
 * is none yet, its name is, as that of a socket. */

#define _GNU_SOURCE		/* O_DIRECTORY, flock */
#include <sys/file.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

/* ---- the lock */

/* Takes the lock of a directory.  1, 0 if another has it, -1 if it is not
 * there, or another by now. */
static int
lock_dir(const char *path)
{
	struct stat a, b;
	int fd = open_file(path, O_RDONLY | O_DIRECTORY, 0);
	int got = -1;

	if (fd == -1 && errno != ENOENT) {
		say_errno("-O %s", path);
		refuse("nothing was run");
	}
	if (fd == -1)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		got = 0;
	else if (fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return 1;	/* it stays open */
	close(fd);
	return got;
}

/* The same for a name that nothing has yet; ends if another has claimed it. */
static int
lock_name(const char *path)
{
	pid_t who;

	claim_take(path, &who);
	if (who > 0)
		give_way("%s: another mr is at work on it: process %ld", path,
		    (long)who);
	return access(path, F_OK) == 0 ? -1 : 1;
}

/* Tries to lock what is to be appended to.  As lock_dir. */
static int
try_lock(const char *path)
{
	char *old = output_aside(path);
	int got;

	if (access(path, F_OK) == 0) {
		got = lock_dir(path);
		if (got == 1)
			scratch_remove(old, -1);
	} else {
		got = lock_name(path);
		/* Whoever was killed between two steps has left it there. */
		if (got == 1 && rename(old, path) == 0)
			got = lock_dir(path);
	}
	free(old);
	return got;
}

/* Ends with 75 if another mr is at work there. */
static void
lock(const char *path)
{
	/* One that was killed this moment may not be dead yet. */
	for (int tries = 0; tries < 50; tries++) {
		if (try_lock(path) == 1)
			return;
		proc_poll(NULL, 0, 10000000);
	}
	say("%s: another mr is at work on it", path);
	exit(EXIT_BUSY);
}

/* ---- the input */

/* Whether a piece is to be unpacked before it is mapped: a program that
 * reads it as a task's input would give all of it. */
static bool
is_unpacked(const struct job *job, const struct piece *p)
{
	return p->file.codec != 0 && (p->from > 0 || !p->all ||
	    !form_is_plain(&job->form) ||
	    job->form.header != HEADER_NONE);
}

/* Where the records of what is unpacked begin in it: with a header, all is
 * there from its front. */
static uint64_t
front_of(const struct job *job, const struct piece *p)
{
	return job->form.header != HEADER_NONE ? 0 : p->from;
}

/* The pieces are the job's input. */
static void
take_input(struct driver *d)
{
	struct job *job = d->job;
	struct input *in = &job->input;
	struct news *news = &job->kept->news;

	in->files = xzalloc(news->n, sizeof *in->files);
	in->n = in->cap = news->n;
	in->bytes = 0;
	for (size_t i = 0; i < news->n; i++) {
		const struct piece *p = news->v + i;
		struct file *f = in->files + i;

		*f = p->file;
		if (is_unpacked(job, p) && !d->po->dry_run) {
			f->codec = 0;
			f->front = front_of(job, p);
			f->size = p->end - f->front;
			f->from = p->from - f->front;
		} else if (f->codec == 0) {
			f->size = p->end;
			f->from = p->from;
		}
		in->bytes += f->size - f->from;
	}
}

static void
refuse_streams(const struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->files[i].stream)
			refuse("%s: --append has no effect without files that "
			    "can be read again", file_shown(in->files + i));
}

/* What others have left that were killed. */
static void
sweep(const struct job *job)
{
	char *copy = xstrdup(job->outpath);

	scratch_sweep(job->tmpdirs[0]);
	scratch_sweep(dirname(copy));
	free(copy);
}

/* Finds out what is new.  False if nothing is, and the result is there. */
bool
append_begin(struct driver *d)
{
	struct job *job = d->job;
	struct plan_options *po = d->po;
	struct kept *k;

	refuse_streams(&job->input);
	lock(job->outpath);
	k = job->kept = kept_open(job->outpath);
	kept_compare(k, po->cmd, po->words, po->nwords, job->shape.nparts);
	known_find(job, &k->known, job->outpath, &k->news);
	if (k->news.n == 0 && k->made) {
		if (k->news.moved && !po->dry_run)
			kept_note(k);
		sweep(job);
		return false;
	}
	take_input(d);
	return true;
}

/* Opens what is kept, before there are workers. */
void
append_stores(struct driver *d)
{
	struct kept *k = d->job->kept;

	kept_stores(k, d->job, d->nw + 1);
	for (size_t i = 0; i < k->news.n; i++)
		if (is_unpacked(d->job, k->news.v + i))
			d->job->input.files[i].path = xasprintf("%s/in%zu",
			    d->job->scratch, i);
}

struct unpacking {
	int fd;
	uint64_t skip;
	const char *path;
};

static void
write_unpacked(void *arg, const unsigned char *p, size_t len)
{
	struct unpacking *u = arg;
	size_t n = u->skip < len ? (size_t)u->skip : len;

	u->skip -= n;
	if (write_full(u->fd, p + n, len - n) == -1)
		die_errno("%s: writing temporary data (-T DIR chooses another "
		    "directory)", u->path);
}

/* Unpacks what must be, when the scratch directory is there. */
void
append_unpack(struct driver *d)
{
	const struct job *job = d->job;

	for (size_t i = 0; i < job->kept->news.n; i++) {
		const struct piece *p = job->kept->news.v + i;
		struct unpacking u = { .path = job->input.files[i].path };

		if (u.path == NULL)
			continue;
		u.skip = front_of(job, p);
		u.fd = open_file(u.path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (u.fd == -1)
			die_errno("%s", u.path);
		content_read(job, &p->file, p->end, write_unpacked, &u);
		if (close(u.fd) == -1)
			die_errno("%s", u.path);
	}
}

/* ---- the runs */

/* All maps are done: their runs follow those that are kept. */
void
append_runs(struct driver *d)
{
	struct kept *k = d->job->kept;
	uint32_t n = (uint32_t)k->nruns;

	for (size_t i = 0; i < k->news.n; i++)
		if (!known_is_same(d->job, &k->known, k->news.v + i))
			die("%s: it was replaced while it was read; it will "
			    "be right another time", k->news.v[i].file.name);
	d->runs = xrealloc(d->runs, d->nruns + n, sizeof *d->runs);
	memmove(d->runs + n, d->runs, d->nruns * sizeof *d->runs);
	if (n > 0)
		memcpy(d->runs, k->runs, n * sizeof *d->runs);
	d->nruns += n;
	d->cap_runs = d->nruns;
	for (size_t i = n; i < d->nruns; i++) {
		d->runs[i].first += n;
		d->runs[i].last += n;
	}
}

/* The runs are as few as they are to be: they are kept.  What a command has
 * made of no input at all is not of what comes later. */
void
append_keep(struct driver *d)
{
	struct job *job = d->job;

	kept_save(job->kept, job, job->outdir, d->runs,
	    job->kept->news.n > 0 ? d->nruns : 0);
}
