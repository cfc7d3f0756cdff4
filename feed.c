/* feed.c - the standard input of a task: bytes of its splits go into its
 * pipe, never waiting for the task: by splice where that works, unless other
 * bytes will be where these are and the task may hand the pages on.
 *
 * What ends the input ends the feed: the pipe is closed then, and when the
 * task has stopped reading.  Trouble with the input is the attempt's failure. */

#define _GNU_SOURCE		/* splice */
#include <sys/ioctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { CHUNK = 256 * KiB, SPLICE_MOST = 1 * MiB };

/* The first cause counts. */
void
feed_fail(struct attempt *a, enum failure_kind kind, int code, int status)
{
	if (a->fail.kind != FAIL_NONE)
		return;
	a->fail.kind = kind;
	a->fail.code = code;
	a->fail.exit = status;
}

void
feed_begin(struct feed *f, struct attempt *a)
{
	*f = (struct feed){ .a = a, .fd = -1,
	    .buf = xrealloc(NULL, CHUNK, 1) };
}

static void
close_pipe(struct feed *f)
{
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
}

static void
fed(struct feed *f, size_t n)
{
	f->a->stats.in += n;
	f->moved = true;
	if (f->a->moved != NULL)
		*f->a->moved += n;
}

static void
input_failed(struct feed *f, struct buf *why)
{
	buf_put(&f->a->fail.text, why->p, why->len);
	buf_free(why);
	feed_fail(f->a, FAIL_INPUT, 0, EXIT_TROUBLE);
	f->ended = true;
	close_pipe(f);
}

/* The file has ended before the split has. */
static void
input_short(struct feed *f, const char *why)
{
	struct buf b = {0};

	buf_str(&b, why);
	input_failed(f, &b);
}

/* Bytes that a segment lacks at its end, and should be given. */
size_t
segment_lacks(const struct segment *s, const struct form *form,
    const unsigned char **what)
{
	return s->complete ? form_lacks(form, s->fd, s->begin, s->end, what) :
	    0;
}

static bool feed_more(struct feed *);

/* The same of a segment that is a pipe.  Whether its end is a good one the
 * next segment tells, or that there is none. */
static bool
feed_piped(struct feed *f)
{
	ssize_t n = read_some(f->seg.fd, f->buf, CHUNK);

	f->waiting = n == -1 && errno == EAGAIN;
	if (n > 0) {
		f->n = (size_t)n;
		f->last = f->buf[n - 1];
		f->seg.off = f->seg.end += (uint64_t)n;
		return true;
	}
	if (f->waiting)
		return false;
	if (n == -1) {
		input_short(f, strerror(errno));
		return false;
	}
	f->have_seg = false;
	if (!f->seg.complete || f->seg.off == 0 ||
	    f->last == f->a->form->delim)
		return feed_more(f);
	f->buf[0] = f->a->form->delim;
	f->n = 1;
	return true;
}

/* Puts the next bytes into feed.buf.  False if there are none now. */
static bool
feed_more(struct feed *f)
{
	struct source *src = &f->a->src;
	struct buf why = {0};
	const unsigned char *lacks;
	ssize_t n;
	int got;

	f->at = f->n = 0;
	if (src->kind == SOURCE_FILL) {
		n = src->fill(src->arg, f->buf, CHUNK, &why);
		if (n < 0) {
			input_failed(f, &why);
			return false;
		}
		f->n = (size_t)n;
		f->ended = n == 0;
		return n > 0;
	}
	while (!f->have_seg) {
		got = src->segment(src->arg, &f->seg, &why);
		if (got < 0) {
			input_failed(f, &why);
			return false;
		}
		if (got == 0) {
			f->ended = true;
			return false;
		}
		f->have_seg = true;
		f->copy = !LINUX || f->seg.reused;
	}
	if (f->seg.pipe)
		return feed_piped(f);
	if (f->seg.off < f->seg.end) {
		size_t want = f->seg.end - f->seg.off < CHUNK ?
		    (size_t)(f->seg.end - f->seg.off) : CHUNK;

		if (!f->copy)
			return true;	/* to be spliced */
		n = pread_full(f->seg.fd, f->buf, want, f->seg.off);
		if (n <= 0) {
			input_short(f, n == 0 ?
			    "it ended before its planned size" :
			    strerror(errno));
			return false;
		}
		f->n = (size_t)n;
		f->seg.off += (uint64_t)n;
		return true;
	}
	f->have_seg = false;
	f->n = segment_lacks(&f->seg, f->a->form, &lacks);
	if (f->n == 0)
		return feed_more(f);
	memcpy(f->buf, lacks, f->n);
	return true;
}

/* Feeds until the pipe is full or a good portion is done. */
void
feed_task(struct feed *f)
{
	ssize_t n;

	for (int turns = 0; f->fd != -1 && turns < 16; turns++) {
		if (f->at == f->n && !feed_more(f)) {
			if (f->ended)
				close_pipe(f);
			return;
		}
		if (f->at < f->n) {
			n = write(f->fd, f->buf + f->at, f->n - f->at);
			if (n > 0)
				f->at += (size_t)n;
		} else {
#if LINUX
			loff_t off = (loff_t)f->seg.off;
			size_t want = f->seg.end - f->seg.off < SPLICE_MOST ?
			    (size_t)(f->seg.end - f->seg.off) : SPLICE_MOST;

			n = splice(f->seg.fd, &off, f->fd, NULL, want,
			    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
			if (n == -1 && (errno == EINVAL || errno == ENOSYS)) {
				f->copy = true;
				continue;
			}
			if (n == 0) {
				input_short(f, "it ended before its planned "
				    "size");
				return;
			}
			if (n > 0)
				f->seg.off += (uint64_t)n;
#else
			continue;
#endif
		}
		if (n == -1) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				return;
			if (errno != EPIPE) {
				input_short(f, strerror(errno));
				return;
			}
			/* It has had enough: its status will tell. */
			close_pipe(f);
			return;
		}
		fed(f, (size_t)n);
	}
}

/* Bytes that the command has left unread. */
void
feed_unread(struct feed *f)
{
	int left = 0;

	if (f->a->src.kind != SOURCE_SEGMENTS && f->a->src.kind != SOURCE_FILL)
		return;
	if (f->fd != -1) {
		if (ioctl(f->fd, FIONREAD, &left) == 0 && left > 0)
			f->a->stats.unread += (uint64_t)left;
	}
	if (!f->ended) {
		f->a->stats.unread += f->n - f->at;
		if (f->have_seg && !f->seg.pipe)
			f->a->stats.unread += f->seg.end - f->seg.off;
		if (f->a->stats.unread == 0)
			f->a->stats.unread = 1;	/* some, at least */
	}
}

void
feed_end(struct feed *f)
{
	close_pipe(f);
	free(f->buf);
	f->buf = NULL;
}
