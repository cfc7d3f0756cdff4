/* content.c - what is in a file, decompressed, from its front. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "mr.h"

enum { WINDOW = 256 * KiB };

/* Ends mr: what it has read of a file does not fit together. */
_Noreturn void
content_changed(const char *name)
{
	die("%s: it was changed while it was looked at; it will be right "
	    "another time", name);
}

static int
open_now(const struct file *f)
{
	char why[200];
	int fd = file_open(f, why, sizeof why);

	if (fd == -1)
		die("%s: %s", f->name, why);
	return fd;
}

static void
read_packed(const struct job *job, const struct file *f,
    const struct decoder *decoder, uint64_t limit,
    void (*take)(void *, const unsigned char *, size_t), void *arg)
{
	unsigned char *p = xrealloc(NULL, WINDOW, 1);
	struct unpack u;
	struct buf why = {0};
	ssize_t n = 1;

	unpack_begin(&u, open_now(f), decoder, false, job->tmpdirs[0]);
	while (limit > 0 && n != 0) {
		n = unpack_read(&u, p, limit < WINDOW ? (size_t)limit :
		    WINDOW, &why);
		if (n == -1 && errno == EAGAIN) {
			struct pollfd in = { .fd = unpack_fd(&u),
			    .events = POLLIN };

			proc_poll(&in, 1, -1);
			continue;
		}
		if (n == -1)
			die_errno("%s", f->name);
		if (n == -2)
			die("%s: %.*s", f->name, (int)why.len, why.p);
		take(arg, p, (size_t)n);
		limit -= (uint64_t)n;
	}
	unpack_end(&u);
	free(p);
}

/* Gives the first bytes of what is in a file, decompressed, up to limit. */
void
content_read(const struct job *job, const struct file *f, uint64_t limit,
    void (*take)(void *, const unsigned char *, size_t), void *arg)
{
	const struct decoder *decoder = file_decoder(&job->input, f);
	unsigned char *p;
	int fd;

	if (decoder != NULL) {
		read_packed(job, f, decoder, limit, take, arg);
		return;
	}
	p = xrealloc(NULL, WINDOW, 1);
	fd = open_now(f);
	if (limit > f->size)
		limit = f->size;
	for (uint64_t off = 0; off < limit; ) {
		ssize_t n = pread_full(fd, p, limit - off < WINDOW ?
		    (size_t)(limit - off) : WINDOW, off);

		if (n == -1)
			die_errno("%s", f->name);
		if (n == 0)
			content_changed(f->name);
		take(arg, p, (size_t)n);
		off += (uint64_t)n;
	}
	close(fd);
	free(p);
}
