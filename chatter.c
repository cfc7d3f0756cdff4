/* chatter.c - the standard error of a task: passed on as whole lines, copied
 * to its log, with the last of it kept for a message of failure, and lines
 * that count taken out. */

#define _GNU_SOURCE		/* memmem */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	LINE_MOST = 64 * KiB,	/* a longer line of stderr is cut */
	TAIL_MOST = 2 * KiB, TAIL_LINES = 10,
};

static void
keep_tail(struct chatter *c, const unsigned char *p, size_t len)
{
	size_t lines = 0, i;

	if (len > TAIL_MOST) {
		p += len - TAIL_MOST;
		len = TAIL_MOST;
	}
	buf_put(&c->tail, p, len);
	for (i = c->tail.len; i > 0; i--)
		if (c->tail.p[i - 1] == '\n' && ++lines > TAIL_LINES)
			break;
	if (c->tail.len - i > TAIL_MOST) {
		size_t cut = c->tail.len - TAIL_MOST;
		unsigned char *nl = memchr(c->tail.p + cut, '\n',
		    c->tail.len - cut - 1);

		i = nl != NULL ? (size_t)(nl + 1 - c->tail.p) : cut;
	}
	memmove(c->tail.p, c->tail.p + i, c->tail.len - i);
	c->tail.len -= i;
}

/* Takes out of whole lines those that count.  The others are in rest then;
 * false if there is none, which is quickly seen. */
static bool
take_counters(struct chatter *c, const unsigned char *p, size_t len,
    struct buf *rest)
{
	if (c->a->counters == NULL || memmem(p, len, "reporter:", 9) == NULL)
		return false;
	while (len > 0) {
		size_t n = (size_t)((const unsigned char *)memchr(p, '\n',
		    len) - p) + 1;

		if (!counters_take(c->a->counters, p, n - 1))
			buf_put(rest, p, n);
		p += n;
		len -= n;
	}
	return true;
}

/* Passes on whole lines. */
static void
pass_lines(struct chatter *c, const unsigned char *p, size_t len)
{
	const struct attempt *a = c->a;
	struct buf rest = {0};

	if (take_counters(c, p, len, &rest)) {
		p = rest.p;
		len = rest.len;
	}
	if (len == 0)
		goto out;
	keep_tail(c, p, len);
	if (a->log != -1)
		write_full(a->log, p, len);
	if (a->quiet)
		goto out;
	if (a->tag != NULL) {
		struct buf b = {0};

		while (len > 0) {
			size_t n = (size_t)((const unsigned char *)memchr(p,
			    '\n', len) - p) + 1;

			buf_str(&b, a->tag);
			buf_put(&b, p, n);
			p += n;
			len -= n;
		}
		diag_write(b.p, b.len);
		buf_free(&b);
	} else {
		diag_write(p, len);
	}
out:
	buf_free(&rest);
}

void
chatter_end(struct chatter *c)
{
	if (c->line.len > 0) {
		buf_put(&c->line, "\n", 1);
		pass_lines(c, c->line.p, c->line.len);
		buf_reset(&c->line);
	}
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

/* Reads what there is, up to limit bytes, and passes on its whole lines. */
void
chatter_drain(struct chatter *c, size_t limit)
{
	while (c->fd != -1 && limit > 0) {
		unsigned char *p = buf_reserve(&c->line, 16 * KiB);
		ssize_t n = read(c->fd, p, 16 * KiB);
		size_t whole;

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			chatter_end(c);
			return;
		}
		limit -= (size_t)n < limit ? (size_t)n : limit;
		c->line.len += (size_t)n;
		for (whole = c->line.len; whole > 0; whole--)
			if (c->line.p[whole - 1] == '\n')
				break;
		if (whole > 0) {
			pass_lines(c, c->line.p, whole);
			memmove(c->line.p, c->line.p + whole,
			    c->line.len - whole);
			c->line.len -= whole;
		}
		if (c->line.len >= LINE_MOST) {
			buf_put(&c->line, "\n", 1);
			pass_lines(c, c->line.p, c->line.len);
			buf_reset(&c->line);
		}
	}
}
