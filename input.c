/* input.c - splits that begin and end on a record.
 *
 * A split is a range of bytes; the records that begin in it are its records,
 * so each belongs to one split whatever the size of splits.  Workers find
 * the exact ends. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { LOOK = 64 * KiB };	/* bytes read at a time to find a record */

/* Bytes of a file's first line, its delimiter with them.  UINT64_MAX and
 * errno if it cannot be read. */
uint64_t
input_header(const struct form *form, int fd, uint64_t size)
{
	unsigned char *p = xrealloc(NULL, LOOK, 1), *nl = NULL;
	uint64_t at = 0;

	while (at < size && nl == NULL) {
		ssize_t n = pread_full(fd, p, size - at < LOOK ?
		    (size_t)(size - at) : LOOK, at);

		if (n <= 0) {
			at = n == 0 ? size : UINT64_MAX;
			break;
		}
		nl = memchr(p, form->delim, (size_t)n);
		at += nl == NULL ? (uint64_t)n : (uint64_t)(nl + 1 - p);
	}
	free(p);
	return at;
}

/* Where the first record that begins at or after off begins, in a file
 * whose records begin at base; size if there is none.  Returns UINT64_MAX
 * and errno if reading fails. */
static uint64_t
record_start(const struct form *form, int fd, uint64_t off, uint64_t base,
    uint64_t size)
{
	size_t back = form->kind == FORM_PATTERN ? 2 * form->end.len : 1;
	unsigned char *p;
	struct cutter c;
	uint64_t found = size;

	if (off <= base || off >= size)
		return off <= base ? base : size;
	p = xrealloc(NULL, LOOK, 1);
	/* One begins at off if another ends there. */
	cutter_begin(&c, form, off - base > back ? off - back : base);
	while (c.at < size) {
		ssize_t n = pread_full(fd, p, size - c.at < LOOK ?
		    (size_t)(size - c.at) : LOOK, c.at);

		if (n < 0)
			found = UINT64_MAX;
		if (n <= 0)
			break;
		if (cutter_look(&c, p, (size_t)n, off, UINT64_MAX)) {
			found = c.end;
			break;
		}
	}
	free(p);
	return found;
}

/* Makes a split of the open file begin and end on a record.  -1 and errno
 * if the file cannot be read. */
int
split_align(const struct form *form, int fd, struct split *s, uint64_t size)
{
	uint64_t begin, end;

	if (s->exact)
		return 0;
	begin = record_start(form, fd, s->off, s->head, size);
	end = begin == UINT64_MAX ? begin :
	    begin >= s->off + s->len ? begin :
	    record_start(form, fd, s->off + s->len, s->head, size);
	if (end == UINT64_MAX)
		return -1;
	s->off = begin;
	s->len = end - begin;
	s->exact = true;
	return 0;
}

/* A record that begins before off, which is above 0. */
static uint64_t
record_before(const struct format *f, int fd, uint64_t off, uint64_t size)
{
	struct form form = form_of(f);

	for (uint64_t back = 1024; off > back; back *= 4) {
		uint64_t at = record_start(&form, fd, off - back, 0, size);

		if (at == UINT64_MAX || at < off)
			return at;
	}
	return 0;
}

/* Appends the record that ends at off, without its delimiter.  False if it
 * cannot be read. */
bool
record_ending(const struct format *f, int fd, uint64_t off, struct buf *rec)
{
	uint64_t at = record_before(f, fd, off, off);
	struct buf b = {0};
	size_t len, used = 0;
	bool ok = false;

	if (at != UINT64_MAX) {
		len = (size_t)(off - at);
		ok = pread_full(fd, buf_reserve(&b, len), len, at) ==
		    (ssize_t)len;
		while (ok && used < len) {
			size_t n = record_end(f, b.p + used, len - used);

			if (used + n == len || n == 0) {
				buf_put(rec, b.p + used, len - used - (n > 0));
				break;
			}
			used += n;
		}
	}
	buf_free(&b);
	return ok;
}

/* In a file in key order: where the first group begins that begins at or
 * after off; size if there is none, UINT64_MAX and errno if reading fails. */
uint64_t
group_boundary(const struct format *f, int fd, uint64_t off, uint64_t size)
{
	uint64_t at;
	size_t want = LOOK;
	struct buf b = {0}, key = {0};

	if (off == 0 || off >= size)
		return off < size ? 0 : size;
	at = record_before(f, fd, off, size);
	while (at < size) {
		size_t used = 0;
		ssize_t n;

		buf_reset(&b);
		n = pread_full(fd, buf_reserve(&b, want), want, at);
		if (n <= 0) {
			at = n == 0 ? size : UINT64_MAX;
			break;
		}
		while (used < (size_t)n) {
			const unsigned char *r = b.p + used;
			size_t len = record_end(f, r, (size_t)n - used), klen;

			if (len == 0 && at + (uint64_t)n < size)
				break;		/* the rest is not here yet */
			klen = key_length(f, r, len == 0 ?
			    (size_t)n - used : len - 1);
			if (len == 0)
				len = (size_t)n - used;
			if (at + used < off) {
				buf_reset(&key);
				buf_put(&key, r, klen);
			} else if (key_compare(key.p, key.len, r, klen) != 0) {
				at += used;
				goto out;
			}
			used += len;
		}
		want = used == 0 ? want * 2 : LOOK;
		at += used;
	}
out:
	buf_free(&b);
	buf_free(&key);
	return at;
}
