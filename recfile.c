/* recfile.c - the records of a file, one after the other, in this process.
 *
 * A record is held in memory as a whole, and no more than what has been read
 * of it: a pair may claim any length.
 *
 * Life: recfile_open; recfile_next to each record; recfile_close. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { CHUNK = 256 * KiB };

/* Opens a file, or standard input for "-".  Ends the process if it cannot be
 * opened. */
void
recfile_open(struct recfile *r, const struct format *f, const char *name)
{
	bool standard = strcmp(name, "-") == 0;

	*r = (struct recfile){ .name = standard ? "standard input" : name,
	    .fmt = f };
	r->form = form_of(f);
	cutter_begin(&r->cut, &r->form, 0);
	r->fd = standard ? STDIN_FILENO : open_file(name, O_RDONLY, 0);
	if (r->fd == -1)
		die_errno("%s", r->name);
	r->cap = CHUNK;
	r->win = xrealloc(NULL, r->cap, 1);
}

/* The bytes are no records: says so before the next one is asked for. */
static void
check_pairs(struct recfile *r, size_t len)
{
	struct buf *why = &r->why;

	if (!r->fmt->pairs)
		return;
	cutter_look(&r->cut, r->win + r->n - len, len, UINT64_MAX,
	    UINT64_MAX);
	if (why->len == 0 && (cutter_failed(&r->cut, why) ||
	    (r->ended && !cutter_whole(&r->cut, why))))
		buf_put(why, "", 1);
}

/* Reads more, behind what is there. */
static void
refill(struct recfile *r)
{
	ssize_t got;

	if (r->at > 0) {
		memmove(r->win, r->win + r->at, r->n - r->at);
		r->n -= r->at;
		r->off += r->at;
		r->at = 0;
	}
	if (r->n > record_most())
		die("%s: the record at byte %llu has more than %llu bytes",
		    r->name, (unsigned long long)r->off,
		    (unsigned long long)record_most());
	if (r->cap - r->n < CHUNK / 2) {
		memory_note("the record at byte %llu of %s has over %zu bytes",
		    (unsigned long long)r->off, r->name, r->n);
		r->cap = grown(r->cap, r->cap + CHUNK);
		r->win = xrealloc(r->win, r->cap, 1);
	}
	got = read_some(r->fd, r->win + r->n, r->cap - r->n - 1);
	if (got == -1)
		die_errno("%s", r->name);
	r->n += (size_t)got;
	r->ended = got == 0;
	check_pairs(r, (size_t)got);
	if (r->ended && r->n > 0 && !r->fmt->pairs)
		r->win[r->n++] = r->fmt->delim;
}

/* Moves to the next record.  Returns 1, 0 at the end, or -1 where there is
 * none though there should be: then r->why is a string. */
int
recfile_next(struct recfile *r)
{
	size_t looked = 0;	/* from r->at on, that is no record's end */

	r->at += r->len;
	r->len = 0;
	for (;;) {
		const unsigned char *p = r->win + r->at;

		if (r->n > r->at + looked)
			r->len = record_end(r->fmt, p + looked,
			    r->n - r->at - looked);
		if (r->len > 0)
			break;
		if (r->ended || r->why.len > 0)
			return r->why.len > 0 ? -1 : 0;
		looked = r->fmt->pairs ? 0 : r->n - r->at;
		refill(r);
	}
	r->len += looked;
	record_parse(r->fmt, r->win + r->at, r->len, &r->rec);
	r->number++;
	return 1;
}

/* The bytes of the present record, r->len with its delimiter. */
const unsigned char *
recfile_bytes(const struct recfile *r)
{
	return r->win + r->at;
}

void
recfile_close(struct recfile *r)
{
	if (r->fd != STDIN_FILENO)
		close(r->fd);
	free(r->win);
	buf_free(&r->why);
}
