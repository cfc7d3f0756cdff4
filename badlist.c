/* badlist.c - the list of the records that were skipped, for --bad-records and
 * _mr/bad-records.
 *
 * A line for each, in the order of the input: the name of its file, its
 * offset there, why it was skipped, and the record itself, with TABs between
 * them.  In the last control bytes and backslashes are escaped, so that it is
 * one field of one line whatever is in it.  hunt.c makes the lines.
 *
 * A plain file is made in a directory of mr's beside it, before the output is
 * given its name, and renamed after that. */

#define _GNU_SOURCE		/* AT_EACCESS in old C libraries */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

/* The descriptor of ours that a name stands for, or -1. */
static int
own_descriptor(const char *path)
{
	uint64_t n;

	if (strcmp(path, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	if (strcmp(path, "/dev/stderr") == 0)
		return STDERR_FILENO;
	return strncmp(path, "/dev/fd/", 8) == 0 &&
	    parse_number(path + 8, &n) == 0 && n < INT32_MAX ? (int)n : -1;
}

/* Whether it is written to as it is: a pipe, a device, what is open. */
static bool
is_special(const char *path)
{
	struct stat st;

	return own_descriptor(path) != -1 ||
	    (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

/* What is replaced, links resolved.  The caller's to free. */
static char *
target_of(const char *path)
{
	char *real = realpath(path, NULL);

	return real != NULL ? real : xstrdup(path);
}

/* Refuses, before any work, a file that could not be written. */
void
badlist_check(const char *path)
{
	char *target = target_of(path), *dir = path_parent(target);
	struct stat st;
	int err = 0;

	if (own_descriptor(path) != -1)
		err = fcntl(own_descriptor(path), F_GETFL) == -1 ? errno : 0;
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		err = EISDIR;
	else if ((access(path, F_OK) == 0 && access(path, W_OK) == -1) ||
	    (!is_special(path) && faccessat(AT_FDCWD, dir, W_OK | X_OK,
	    AT_EACCESS) == -1))
		err = errno;
	if (err != 0)
		refuse("--bad-records %s: %s", path, strerror(err));
	free(target);
	free(dir);
}

/* Names the directory that the list will be made in, and removes what a job
 * that was killed whole has left there. */
void
badlist_begin(struct driver *d)
{
	const char *path = d->po->bad_records;
	char *target, *dir;

	if (path == NULL || is_special(path))
		return;
	target = target_of(path);
	dir = path_parent(target);
	scratch_sweep(dir);
	d->job->listscratch = scratch_name(dir);
	free(target);
	free(dir);
}

/* All maps are done: collects the lines of their bad records, and looks
 * whether there are too many. */
void
badlist_gather(struct driver *d)
{
	const struct job *job = d->job;
	uint64_t most = job->skip_most;

	for (uint32_t i = 0; i < d->n && d->skipped > 0; i++) {
		struct buf *bad = &d->tasks[i].bad;
		struct commit c;
		int fd;

		if (job->jobdir == NULL)
			buf_put(&d->bad, bad->p, bad->len);
		buf_free(bad);
		if (job->jobdir == NULL || (fd = commit_read(job->jobdir,
		    false, i, &c)) < 0)
			continue;
		buf_put(&d->bad, c.bad.p, c.bad.len);
		commit_free(&c);
		close(fd);
	}
	if (most == 0 || d->skipped <= most)
		return;
	say("the input has more than %llu bad record%s "
	    "(--skip-bad-records=N)", (unsigned long long)most,
	    most == 1 ? "" : "s");
	outcome_fails(d, EXIT_TASK);
}

/* The file that becomes the list, with the mode that it will have. */
static int
open_list(struct driver *d, const char *path)
{
	char *made = xasprintf("%s/list", d->job->listscratch);
	mode_t mask = umask(0), mode = 0666 & ~mask;
	struct stat st;
	int fd = -1;

	umask(mask);
	if (stat(path, &st) == 0)
		mode = st.st_mode & 07777;
	if (scratch_make(d->job->listscratch, &d->list_lock) == 0)
		fd = open_file(made, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd != -1 && fchmod(fd, mode) == -1)
		die_errno("--bad-records %s", path);
	free(made);
	return fd;
}

/* Writes the list; what is no plain file has it now. */
void
badlist_write(struct driver *d)
{
	const char *path = d->po->bad_records;
	int own, fd;

	if (path == NULL)
		return;
	own = own_descriptor(path);
	progress_erase(&d->bar);
	fd = own != -1 ? fcntl(own, F_DUPFD_CLOEXEC, 3) :
	    d->job->listscratch != NULL ? open_list(d, path) :
	    open_file(path, O_WRONLY, 0);
	if (fd == -1 || write_full(fd, d->bad.p, d->bad.len) == -1 ||
	    close(fd) == -1)
		die_errno("--bad-records %s", path);
}

/* The job is complete: the list takes its name. */
void
badlist_commit(struct driver *d)
{
	char *made, *target;

	if (d->job->listscratch == NULL)
		return;
	made = xasprintf("%s/list", d->job->listscratch);
	target = target_of(d->po->bad_records);
	if (rename(made, target) == -1)
		die_errno("--bad-records %s", d->po->bad_records);
	scratch_remove(d->job->listscratch, d->list_lock);
	d->job->listscratch = NULL;
	free(made);
	free(target);
}
