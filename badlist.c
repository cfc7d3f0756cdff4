/* badlist.c - the list of the records that were skipped, for --bad-records and
 * _mr/bad-records.
 *
 * A line for each, in the order of the input: the name of its file, its
 * offset there, why it was skipped, and the record itself, with TABs between
 * them.  In the last control bytes and backslashes are escaped, so that it is
 * one field of one line whatever is in it.  hunt.c makes the lines. */

#define _GNU_SOURCE		/* AT_EACCESS in old C libraries */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

/* Refuses, before any work, a file that could not be written. */
void
badlist_check(const char *path)
{
	char *copy = xstrdup(path);
	struct stat st;
	int err = 0;

	if (stat(path, &st) == 0)
		err = S_ISDIR(st.st_mode) ? EISDIR : access(path, W_OK) == -1 ?
		    errno : 0;
	else if (faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK,
	    AT_EACCESS) == -1)
		err = errno;
	if (err != 0)
		refuse("--bad-records %s: %s", path, strerror(err));
	free(copy);
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

void
badlist_write(const struct driver *d)
{
	const char *path = d->po->bad_records;
	int fd;

	if (path == NULL)
		return;
	fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (fd == -1 || write_full(fd, d->bad.p, d->bad.len) == -1 ||
	    close(fd) == -1)
		die_errno("--bad-records %s", path);
}
