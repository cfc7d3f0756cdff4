/* output.c - where the result goes: standard output, a file that is replaced
 * in one step, or a directory that appears in one step.
 *
 * Parts are added in order; they stand in stores until they are written.
 * Between two parts a missing last delimiter is supplied, so that records
 * never run together; after the last part it is for a map only.
 *
 * A file or a directory is built in a scratch directory beside its final
 * name (scratch.c) and renamed there when all is known to be right.  Until
 * then what had that name is untouched.  A name that is no plain file
 * (/dev/null, a pipe) is written to as it is.
 *
 * MR_DEBUG=smallparts: a part of a map only is 64 KiB or more, not 128 MiB. */

#define _GNU_SOURCE		/* splice, syscall */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

#if LINUX
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif

enum { CHUNK = 1 * MiB };
#define PART_SIZE ((uint64_t)128 * MiB)

struct output {
	struct job *job;
	int fd;			/* what is written to now, or -1 */
	bool pipe, plain;	/* plain: copy by read and write */
	bool begun;
	bool copied;		/* what was written refers to no store */
	struct place *free;	/* for each store: of a part that is out */
	struct place *parts;	/* all that were added */
	bool *partial;
	uint64_t n, cap;
	uint64_t next;		/* the part that is being written */
	uint64_t done;		/* bytes of it that are out */
	bool torn;		/* the last byte out was no delimiter */
	char *target;		/* final name, links resolved; or NULL */
	char *made;		/* what is renamed to it */
	bool overwrite;
	mode_t mode;		/* of what is replaced */
	int lock;
	int claim;		/* of target, or -1 */
	unsigned char *buf;
};

/* Removes what a job that was killed whole has left beside target. */
static void
sweep_beside(const struct output *o)
{
	char *dir = path_parent(o->target);

	scratch_sweep(dir);
	free(dir);
}

/* Ends if another makes the same, before it is looked whether it is there. */
static void
claim_target(struct output *o)
{
	pid_t who = 0;

	if (o->job->kept == NULL)	/* else it has a lock */
		o->claim = claim_take(o->target, &who);
	if (who > 0)
		give_way("%s: another mr makes it: process %ld on this "
		    "machine; nothing was run", o->job->outpath, (long)who);
}

/* Names the scratch directory beside target, which must be possible. */
static void
name_scratch(struct output *o)
{
	char *dir = path_parent(o->target);

	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == -1) {
		say_errno("cannot write in %s", dir);
		refuse("no output can be made there; nothing was run");
	}
	o->job->outscratch = scratch_name(dir);
	free(dir);
}

static void
begin_file(struct output *o)
{
	const char *name = o->job->outpath;
	struct stat st;
	mode_t mask = umask(0);

	umask(mask);
	if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		refuse("-o %s: is a directory; -O DIR writes parts", name);
	if (stat(name, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->fd = open_file(name, O_WRONLY, 0);
		if (o->fd == -1) {
			say_errno("-o %s", name);
			refuse("nothing was run");
		}
		return;
	}
	o->target = realpath(name, NULL);
	if (o->target == NULL) {
		o->target = xstrdup(name);
		st.st_mode = 0666 & ~mask;
	} else if (access(o->target, W_OK) == -1) {
		say_errno("-o %s", name);
		refuse("nothing was run");
	}
	claim_target(o);
	sweep_beside(o);
	name_scratch(o);
	o->made = o->job->outmade = xasprintf("%s/out", o->job->outscratch);
	o->mode = st.st_mode & 07777;
}

/* Whether mr made the directory, by the report in it. */
static bool
made_by_mr(const char *dir)
{
	char *path = xasprintf("%s/_mr/report.json", dir), head[16] = "";
	int fd = open_file(path, O_RDONLY | O_NOFOLLOW, 0);

	free(path);
	if (fd == -1)
		return false;
	if (read_some(fd, head, sizeof head - 1) < 0)
		head[0] = '\0';
	close(fd);
	return strncmp(head, "{\"mr\":", 6) == 0;
}

/* Whether the directory is the result of this job. */
bool
output_made_by(const char *dir, const char *job_id)
{
	char *path = xasprintf("%s/_mr/report.json", dir), head[200] = "";
	char *mark = xasprintf("\"job\": \"%s\"", job_id);
	int fd = open_file(path, O_RDONLY | O_NOFOLLOW, 0);
	bool ours = false;

	if (fd != -1) {
		ours = read_some(fd, head, sizeof head - 1) > 0 &&
		    strstr(head, mark) != NULL;
		close(fd);
	}
	free(path);
	free(mark);
	return ours;
}

/* Whether path is the directory dir, a resolved name, or is in it. */
static bool
holds(const char *dir, const char *path)
{
	char *real = realpath(path, NULL);
	size_t len = strlen(dir);
	bool in = real != NULL && strncmp(real, dir, len) == 0 &&
	    (real[len] == '/' || real[len] == '\0' || len == 1);

	free(real);
	return in;
}

/* A directory that may be replaced: empty or made by mr, and nothing that
 * the job or its user stands on. */
static void
check_overwrite(const struct output *o, const struct stat *st)
{
	const struct input *in = &o->job->input;
	const char *option = o->job->kept != NULL ? "--append" : "--overwrite";
	struct stat up;
	char *parent = xasprintf("%s/..", o->job->outpath);
	char *real = realpath(o->job->outpath, NULL);

	if (!S_ISDIR(st->st_mode))
		refuse("-O %s: is no directory", o->job->outpath);
	if (real != NULL && (holds(real, ".") || (getenv("HOME") != NULL &&
	    holds(real, getenv("HOME")))))
		refuse("%s: %s is or holds the working directory or your home",
		    option, o->job->outpath);
	if (stat(parent, &up) == 0 && (up.st_dev != st->st_dev ||
	    up.st_ino == st->st_ino))
		refuse("%s: %s is a mount point", option, o->job->outpath);
	free(parent);
	if (!scratch_is_empty(o->job->outpath) && !made_by_mr(o->job->outpath))
		refuse("%s: %s was not made by mr", option, o->job->outpath);
	for (size_t i = 0; i < in->n && real != NULL; i++)
		if (holds(real, in->files[i].name))
			refuse("%s: %s holds the input %s", option,
			    o->job->outpath, in->files[i].name);
	free(real);
}

static void
begin_dir(struct output *o, bool overwrite)
{
	struct job *job = o->job;
	struct stat st;
	char *path = xstrdup(job->outpath);
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	o->target = path;
	claim_target(o);
	sweep_beside(o);
	if (lstat(path, &st) == 0) {
		if (!overwrite && job->kept == NULL)
			refuse("-O %s: it exists; --overwrite replaces what "
			    "mr made", path);
		if (stat(path, &st) == -1) {
			say_errno("-O %s", path);
			refuse("nothing was run");
		}
		check_overwrite(o, &st);
		o->overwrite = true;
		o->mode = st.st_mode & 07777;
	}
	name_scratch(o);
	o->made = xasprintf("%s/d", job->outscratch);
	job->logdir = xasprintf("%s/_mr/logs", o->made);
	job->extradir = job->jobdir != NULL ?
	    xasprintf("%s/extra", job->jobdir->path) :
	    xasprintf("%s/x", job->outscratch);
	job->outdir = o->made;
}

/* Makes the private file or directory that becomes the output.  Somebody
 * must be there who removes it if this process is killed. */
void
output_begin(struct output *o)
{
	struct job *job = o->job;
	char *mr;

	if (o->made == NULL)
		return;
	if (scratch_make(job->outscratch, &o->lock) == -1)
		die_errno("%s", job->outscratch);
	if (job->out == OUT_FILE) {
		o->fd = open_file(o->made, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (o->fd == -1 || fchmod(o->fd, o->mode) == -1)
			die_errno("%s", o->made);
		o->copied = true;
		return;
	}
	mr = xasprintf("%s/_mr", o->made);
	if (mkdir(o->made, 0777) == -1 || mkdir(mr, 0777) == -1 ||
	    mkdir(job->logdir, 0777) == -1 || (job->jobdir == NULL &&
	    mkdir(job->extradir, 0700) == -1))
		die_errno("%s", o->made);
	free(mr);
}

/* This process is the one that makes it. */
void
output_sign(const struct output *o)
{
	claim_sign(o->claim);
}

/* Prepares the output of a job; refuses what cannot be, before any work. */
struct output *
output_new(struct job *job, bool overwrite)
{
	struct output *o = xzalloc(1, sizeof *o);
	struct stat st;

	*o = (struct output){ .job = job, .fd = -1, .lock = -1, .claim = -1,
	    .plain = !LINUX };
	o->buf = xrealloc(NULL, CHUNK, 1);
	switch (job->out) {
	case OUT_STDOUT:
		if (fcntl(STDOUT_FILENO, F_GETFL) == -1 ||
		    (fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
			die("standard output is closed");
		o->fd = STDOUT_FILENO;
		break;
	case OUT_FILE:
		begin_file(o);
		break;
	case OUT_DIR:
		begin_dir(o, overwrite);
		break;
	case OUT_NONE:
		break;
	}
	if (o->fd != -1 && fstat(o->fd, &st) == 0) {
		o->pipe = S_ISFIFO(st.st_mode);
		o->copied = S_ISREG(st.st_mode);
	}
	return o;
}

/* Adds the next part; it must stay in its store. */
void
output_add(struct output *o, const struct place *part, bool partial)
{
	if (o->n == o->cap) {
		o->cap = grown(o->cap, o->n + 1);
		o->parts = xrealloc(o->parts, o->cap, sizeof *o->parts);
		o->partial = xrealloc(o->partial, o->cap, sizeof *o->partial);
	}
	o->parts[o->n] = *part;
	o->partial[o->n++] = partial;
}

/* Where what is no directory is written, or -1. */
int
output_fd(const struct output *o)
{
	return o->fd;
}

/* Some of it is being written by another process. */
void
output_by_hand(struct output *o)
{
	o->begun = true;
}

/* Whether there is something to write.  Parts for a directory are written
 * when all are there. */
bool
output_ready(const struct output *o)
{
	return o->fd != -1 && o->next < o->n;
}

/* Bytes that are added and not written. */
uint64_t
output_waiting(const struct output *o)
{
	uint64_t sum = 0;

	for (uint64_t i = o->next; i < o->n; i++)
		sum += o->parts[i].len;
	return sum - o->done;
}

/* Whether anything has been written. */
bool
output_begun(const struct output *o)
{
	return o->begun;
}

/* Copies up to n bytes from a store to o->fd.  Returns how many, or -1. */
static ssize_t
copy(struct output *o, int from, uint64_t off, size_t n)
{
	ssize_t got;

	if (n > CHUNK)
		n = CHUNK;
#if LINUX
	if (!o->plain) {
		loff_t at = (loff_t)off;

		got = o->pipe ? splice(from, &at, o->fd, NULL, n,
		    SPLICE_F_NONBLOCK) : sendfile(o->fd, from, &at, n);
		if (got != -1 || (errno != EINVAL && errno != ENOSYS))
			return got;
		o->plain = true;	/* a terminal, or opened to append */
	}
#endif
	if (o->pipe && n > 4 * KiB)
		n = 4 * KiB;		/* so much never blocks after poll */
	got = pread_full(from, o->buf, n, off);
	if (got <= 0)
		return got == 0 ? (errno = EIO, -1) : -1;
	return write(o->fd, o->buf, (size_t)got);
}

/* Nobody will read a part again, unless a pipe or a socket still refers to
 * its pages. */
static void
part_is_out(struct output *o, const struct place *p)
{
	struct store *s = o->job->stores + p->store;
	struct place *old;

	if (s->path != NULL) {
		store_leave(s);
		return;
	}
	if (!o->copied) {
		if (!o->pipe)
			store_punch(s, p, p->off, p->len);
		return;
	}
	if (o->free == NULL)
		o->free = xzalloc(o->job->nworkers + 1, sizeof *o->free);
	old = o->free + p->store;
	store_punch(s, old, old->off, old->room);
	*old = *p;
	if (old->room == 0)
		old->room = p->len;
}

/* Whether some of a part is out and some is not. */
bool
output_amid(const struct output *o)
{
	return o->done > 0;
}

/* Takes the place of a part that is out, if there is one in that store. */
void
output_take_free(struct output *o, uint16_t store, struct place *at)
{
	*at = (struct place){ .store = store };
	if (o->free != NULL) {
		*at = o->free[store];
		o->free[store] = (struct place){ .store = store };
	}
}

/* Writes some of what was added.  Returns 1, 0 if the other side is not
 * ready, or -1 and errno. */
int
output_pump(struct output *o)
{
	while (o->next < o->n) {
		struct place *p = o->parts + o->next;
		ssize_t n;

		if (p->len == 0) {
			o->next++;
			continue;
		}
		if (o->torn && o->done == 0) {
			n = write(o->fd, &o->job->shape.fmt.delim, 1);
			o->torn = n != 1;
		} else {
			store_use(o->job->stores + p->store);
			n = copy(o, store_fd(o->job->stores + p->store, p),
			    p->off + o->done, (size_t)(p->len - o->done));
			if (n > 0)
				o->done += (uint64_t)n;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return 0;
		if (n == -1)
			return -1;
		o->begun = true;
		if (o->done == p->len) {
			part_is_out(o, p);
			o->torn = o->partial[o->next];
			o->next++;
			o->done = 0;
		}
		return 1;
	}
	return 0;
}

/* Writes the parts from number i up to end, which are in memory or files,
 * to a file. */
static int
write_parts(struct output *o, uint64_t i, uint64_t end)
{
	uint64_t n = o->n;
	int got = 0;

	o->next = i;
	o->n = end;
	while (got != -1 && o->next < o->n)
		got = output_pump(o);
	o->n = n;
	return got;
}

/* Where part p ends that begins at task i; sum: bytes before it, of total.
 * One of so many parts that are as even as tasks allow; or where their number
 * is 0, of such a size at the least. */
static uint64_t
part_end(const struct output *o, uint64_t i, uint64_t p, uint64_t parts,
    uint64_t *sum, uint64_t total)
{
	uint64_t least = debug_word("smallparts") ? 64 * KiB : PART_SIZE;
	uint64_t begin = *sum;

	for (; i < o->n; i++) {
		uint64_t len = o->parts[i].len;

		if (parts == 0 ? *sum - begin >= least && total - *sum >=
		    least : p + 1 < parts && len > 0 && *sum + len / 2 >=
		    total * (p + 1) / parts)
			break;
		*sum += len;
	}
	return i;
}

/* A map-only job with -O: cuts what was added into so many files; 0: into
 * files of a good size. */
void
output_cut(struct output *o, uint64_t parts)
{
	uint64_t total = 0, sum = 0, i = 0;

	for (i = 0; i < o->n; i++)
		total += o->parts[i].len;
	i = 0;
	for (uint64_t p = 0; p < parts || (parts == 0 && (p == 0 ||
	    i < o->n)); p++) {
		char *path = xasprintf("%s/part-%0*llu", o->made,
		    o->job->outdigits, (unsigned long long)p);
		uint64_t end = part_end(o, i, p, parts, &sum, total);

		o->fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC,
		    0666);
		if (o->fd == -1)
			die_errno("%s", path);
		if (write_parts(o, i, end) == -1)
			die_errno("%s", path);
		i = end;
		if (o->torn &&
		    write_full(o->fd, &o->job->shape.fmt.delim, 1) == -1)
			die_errno("%s", path);
		o->torn = false;
		if (close(o->fd) == -1)
			die_errno("%s", path);
		free(path);
	}
	o->fd = -1;
}

/* Tasks have written their standard error in the job directory: copies it. */
void
output_logs(struct output *o)
{
	const char *to = o->job->logdir;
	char *from = xasprintf("%s/logs", o->job->jobdir->path);
	DIR *d = opendir(from);
	struct dirent *e;

	if (d == NULL)
		die_errno("%s", from);
	while ((e = readdir(d)) != NULL) {
		char *name = xasprintf("%s/%s", from, e->d_name), *copied;
		int in, out;
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		copied = xasprintf("%s/%s", to, e->d_name);
		in = open_file(name, O_RDONLY, 0);
		out = open_file(copied, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		if (in == -1 || out == -1)
			die_errno("%s", copied);
		while ((n = read_some(in, o->buf, CHUNK)) > 0)
			if (write_full(out, o->buf, (size_t)n) == -1)
				die_errno("%s", copied);
		if (n == -1 || close(out) == -1)
			die_errno("%s", copied);
		close(in);
		free(name);
		free(copied);
	}
	closedir(d);
	free(from);
}

/* A job that sorts, with -O and a job directory: a file for each part. */
void
output_files(struct output *o)
{
	for (uint64_t p = 0; p < o->n; p++) {
		char *path = xasprintf("%s/part-%0*llu", o->made,
		    o->job->outdigits, (unsigned long long)p);

		o->fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
		if (o->fd == -1)
			die_errno("%s", path);
		o->torn = false;
		if (write_parts(o, p, p + 1) == -1 || close(o->fd) == -1)
			die_errno("%s", path);
		free(path);
	}
	o->fd = -1;
}

/* Files of parts that workers have made: their last delimiters. */
void
output_parts(struct output *o, const bool *partial, uint64_t n)
{
	bool more = false;	/* something follows */

	for (uint64_t p = n; p-- > 0; ) {
		char *path = xasprintf("%s/part-%0*llu", o->made,
		    o->job->outdigits, (unsigned long long)p);
		struct stat st;

		if (stat(path, &st) == -1)
			die_errno("%s", path);
		if (st.st_size > 0 && partial[p] && more) {
			int fd = open_file(path, O_WRONLY | O_APPEND, 0);

			if (fd == -1 || write_full(fd,
			    &o->job->shape.fmt.delim, 1) == -1 ||
			    close(fd) == -1)
				die_errno("%s", path);
		}
		more |= st.st_size > 0;
		free(path);
	}
}

/* A file in the directory's _mr, to write to; the caller closes it. */
FILE *
output_file(struct output *o, const char *name)
{
	char *path = xasprintf("%s/%s", o->made, name);
	FILE *fp = fopen(path, "we");

	if (fp == NULL)
		die_errno("%s", path);
	free(path);
	return fp;
}

/* Moves what tasks have left in MR_OUTPUT_DIR into the directory. */
static void
move_extras(struct output *o)
{
	DIR *top = opendir(o->job->extradir);
	struct dirent *t, *e;

	if (top == NULL)
		die_errno("%s", o->job->extradir);
	while ((t = readdir(top)) != NULL) {
		char *dir;
		DIR *d;

		if (t->d_name[0] == '.')
			continue;
		dir = xasprintf("%s/%s", o->job->extradir, t->d_name);
		d = opendir(dir);
		while (d != NULL && (e = readdir(d)) != NULL) {
			char *from, *to;

			if (strcmp(e->d_name, ".") == 0 ||
			    strcmp(e->d_name, "..") == 0)
				continue;
			from = xasprintf("%s/%s", dir, e->d_name);
			to = xasprintf("%s/%s", o->made, e->d_name);
			if (access(to, F_OK) == 0)
				die("two tasks left a file %s in "
				    "MR_OUTPUT_DIR", e->d_name);
			if (rename(from, to) == -1)
				die_errno("%s", to);
			free(from);
			free(to);
		}
		if (d != NULL)
			closedir(d);
		free(dir);
	}
	closedir(top);
}

/* Does something with each name in a directory, the two that each has
 * apart. */
static void
each_name(const char *dir, const char *to,
    void (*act)(const char *path, const char *to))
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		die_errno("%s", dir);
	while ((e = readdir(d)) != NULL) {
		char *from = xasprintf("%s/%s", dir, e->d_name);
		char *into = xasprintf("%s/%s", to, e->d_name);

		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			act(from, into);
		free(from);
		free(into);
	}
	closedir(d);
}

/* Puts what is there under another name too, where that is free. */
static void
link_tree(const char *from, const char *to)
{
	struct stat st;

	if (lstat(from, &st) == -1)
		die_errno("%s", from);
	if (!S_ISDIR(st.st_mode)) {
		if (link(from, to) == -1 && errno != EEXIST)
			die_errno("%s", to);
		return;
	}
	if (mkdir(to, 0777) == -1 && errno != EEXIST)
		die_errno("%s", to);
	each_name(from, to, link_tree);
}

/* What tasks have left in MR_OUTPUT_DIR when their input was new stays. */
static void
keep_extra(const char *from, const char *to)
{
	const char *name = strrchr(from, '/') + 1;

	if (name[0] != '_' && strncmp(name, "part-", 5) != 0)
		link_tree(from, to);
}

static void
sync_file(const char *path)
{
	int fd = open_file(path, O_RDONLY | O_NOFOLLOW, 0);

	if (fd == -1 && errno == ELOOP)
		return;		/* a link of a task's */
	if (fd == -1 || fsync(fd) == -1)
		die_errno("%s", path);
	close(fd);
}

static void
sync_tree(const char *path, const char *unused)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		each_name(path, unused, sync_tree);
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		sync_file(path);
}

/* Where a directory is for a moment whose successor cannot take its place in
 * one step.  The caller's to free. */
char *
output_aside(const char *dir)
{
	char *copy = xstrdup(dir), *parent = path_parent(dir);
	char *aside = xasprintf("%s/.%s.mr-old", parent, basename(copy));

	free(copy);
	free(parent);
	return aside;
}

/* Two steps: of what is kept, the old one can be found between them. */
static void
replace_slowly(struct output *o)
{
	char *old = o->job->kept != NULL ? output_aside(o->target) :
	    xasprintf("%s/old", o->job->outscratch);

	if (rename(o->target, old) == -1 ||
	    rename(o->made, o->target) == -1)
		die_errno("%s", o->target);
	if (o->job->kept != NULL)
		scratch_remove(old, -1);
	free(old);
}

static void
rename_dir(struct output *o)
{
	if (!o->overwrite || access(o->target, F_OK) == -1) {
		struct stat st;

		if (lstat(o->target, &st) == 0)
			die("-O %s: it has been made meanwhile", o->target);
		if (rename(o->made, o->target) == -1)
			die_errno("%s", o->target);
		return;
	}
#if LINUX
	/* By number: not every libc has a name for it. */
	if (syscall(SYS_renameat2, AT_FDCWD, o->made, AT_FDCWD, o->target,
	    1u << 1 /* exchange */) == 0)
		return;		/* the old one goes with the scratch */
#endif
	replace_slowly(o);
}

/* The same for a directory that what is kept is a part of: it must outlive
 * a loss of power. */
static void
replace_kept(struct output *o)
{
	char *parent = path_parent(o->target);

	if (o->overwrite) {
		each_name(o->target, o->made, keep_extra);
		chmod(o->made, o->mode);
	}
	sync_tree(o->made, "");
	rename_dir(o);
	sync_file(parent);
	free(parent);
}

/* Everything is right and written: gives the output its name.  Returns 0,
 * or -1 and errno. */
int
output_finish(struct output *o)
{
	/* A map's records are whole; the last byte of a reducer, or of the
	 * finish command, is its own. */
	if (o->torn && o->job->kind == JOB_MAP &&
	    o->job->finish.argv == NULL && o->fd != -1 &&
	    write_full(o->fd, &o->job->shape.fmt.delim, 1) == -1)
		return -1;
	switch (o->job->out) {
	case OUT_STDOUT:
		return close(STDOUT_FILENO);
	case OUT_FILE:
		if (close(o->fd) == -1)
			return -1;
		o->fd = -1;
		if (o->made != NULL && rename(o->made, o->target) == -1)
			return -1;
		break;
	case OUT_DIR:
		move_extras(o);
		fclose(output_file(o, "_SUCCESS"));
		if (o->job->kept != NULL)
			replace_kept(o);
		else
			rename_dir(o);
		break;
	case OUT_NONE:
		break;
	}
	return 0;
}

/* Forgets the output and removes what is beside its name. */
void
output_free(struct output *o)
{
	if (o == NULL)
		return;
	if (o->job->outscratch != NULL)
		scratch_remove(o->job->outscratch, o->lock);
	if (o->claim != -1)
		close(o->claim);
	free(o->buf);
	free(o->parts);
	free(o->partial);
	free(o->free);
	free(o);
}
