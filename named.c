/* named.c - files as records: pairs of a file's name and its bytes.
 *
 * A pair says how many bytes there are before the first of them.  Of a file
 * as it stands that is its planned size, and neither more nor less of it will
 * be read.  What a program makes of a compressed file has to be kept until
 * its end.
 *
 * Life: named_begin for a reader that is open, then named_fill, which is the
 * source of an attempt. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { COPY = 256 * KiB, IN_MEMORY = MiB };

void
named_begin(struct named *n, struct reader *r)
{
	buf_reset(&n->head);
	n->r = r;
	n->given = 0;
	n->left = 0;
	n->spooled = false;
}

/* Keeps the bytes of a segment that is a pipe.  -1 with the reason. */
static int
keep(struct named *n, unsigned char *copy, struct buf *why)
{
	ssize_t got;

	if (n->spool.dir == NULL)
		store_open(&n->spool, n->r->job->tmpdirs[0], IN_MEMORY);
	store_empty(&n->spool);
	n->at = (struct place){0};
	store_pick(&n->spool, 0, &n->at);
	while ((got = reader_piece(n->r, copy, COPY, why)) > 0 &&
	    n->at.len <= RECORD_MOST)
		store_append(&n->spool, &n->at, copy, (size_t)got);
	n->left = n->at.len;
	n->spooled = true;
	return got < 0 ? -1 : 0;
}

/* Begins the next pair.  1, 0 if there is none, -1 with the reason. */
static int
next_file(struct named *n, struct buf *why)
{
	struct reader *r = n->r;
	int got = reader_segment(r, &r->seg, why);
	unsigned char len[PAIR_HEAD], *copy;
	const char *name;

	if (got <= 0)
		return got;
	n->left = r->seg.end - r->seg.off;
	n->spooled = false;
	if (r->seg.pipe) {
		copy = xrealloc(NULL, COPY, 1);
		got = keep(n, copy, why);
		free(copy);
		if (got == -1)
			return -1;
	}
	name = r->job->input.files[r->at_file].name;
	buf_reset(&n->head);
	n->given = 0;
	record_part(&r->job->shape.fmt, name, strlen(name), 0, &n->head);
	if (n->head.len + PAIR_HEAD + n->left > RECORD_MOST) {
		buf_escaped(why, name, strlen(name));
		buf_str(why, ": has 2 GiB or more, too much for a pair");
		return -1;
	}
	store_be32(len, (uint32_t)n->left);
	buf_put(&n->head, len, sizeof len);
	return 1;
}

/* Bytes of the present file.  -1 with the reason. */
static ssize_t
take(struct named *n, unsigned char *out, size_t cap, struct buf *why)
{
	ssize_t got;

	if (cap > n->left)
		cap = (size_t)n->left;
	got = !n->spooled ? reader_piece(n->r, out, cap, why) :
	    pread_full(store_fd(&n->spool, &n->at), out, cap,
	    n->at.off + n->at.len - n->left);
	if (got > 0)
		n->left -= (uint64_t)got;
	else if (n->spooled)
		die_errno("reading a temporary file");
	return got;
}

/* Bytes of the pairs: an attempt's fill, whose argument is a struct named. */
ssize_t
named_fill(void *arg, unsigned char *out, size_t cap, struct buf *why)
{
	struct named *n = arg;
	size_t used = 0;

	while (used < cap) {
		size_t some = n->head.len - n->given;
		ssize_t got;

		if (some > 0) {
			some = some < cap - used ? some : cap - used;
			memcpy(out + used, n->head.p + n->given, some);
			n->given += some;
			used += some;
		} else if (n->left > 0) {
			got = take(n, out + used, cap - used, why);
			if (got < 0)
				return -1;
			used += (size_t)got;
		} else {
			got = next_file(n, why);
			if (got < 0)
				return -1;
			if (got == 0)
				break;
		}
	}
	return (ssize_t)used;
}
