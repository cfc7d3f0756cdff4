/* cuts.c - where a file is cut whose records must be found, or counted, from
 * its front.
 *
 * The driver looks through such a file and makes splits as it goes, so that
 * tasks run while it is looking: cuts_next looks at a few megabytes at most.
 *
 * Life: cuts_open; cuts_next until it returns -1; cuts_close. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { LOOK = 256 * KiB, LOOKS = 16 };

struct cuts {
	const struct file *file;
	uint32_t number;	/* of the file */
	int fd;
	struct cutter c;
	uint64_t block;		/* bytes that a split should have */
	uint64_t begin;		/* of the next split */
	uint64_t head;
	unsigned char *p;	/* a window of the file: */
	uint64_t at;		/* where it begins, */
	size_t n;		/* and its bytes */
};

/* Ends the process if the file cannot be read, or is not what was planned. */
struct cuts *
cuts_open(const struct form *form, const struct file *file, uint32_t number,
    uint64_t head, uint64_t block)
{
	struct cuts *c = xzalloc(1, sizeof *c);
	char why[200];

	*c = (struct cuts){ .file = file, .number = number, .block = block,
	    .begin = file->from > head ? file->from : head, .head = head };
	c->fd = file_open(file, why, sizeof why);
	if (c->fd == -1)
		die("%s: %s", file_shown(file), why);
	c->p = xrealloc(NULL, LOOK, 1);
	cutter_begin(&c->c, form, c->begin);
	return c;
}

static void
make_split(struct cuts *c, uint64_t end, struct split *split)
{
	*split = (struct split){ .file = c->number, .nfiles = 1,
	    .off = c->begin, .len = end - c->begin, .head = c->head,
	    .exact = true };
	c->begin = end;
	c->c.records = 0;
}

static _Noreturn void
bad_file(const struct cuts *c, struct buf *why)
{
	buf_put(why, "", 1);
	die("%s: %s", file_shown(c->file), (char *)why->p);
}

/* The end of the file, which must be that of a record. */
static int
last_split(struct cuts *c, struct split *split)
{
	struct buf why = {0};

	if (!cutter_whole(&c->c, &why))
		bad_file(c, &why);
	make_split(c, c->file->size, split);
	return -1;
}

/* Reads the bytes that the cutter wants to see next. */
static void
refill(struct cuts *c)
{
	uint64_t left = c->file->size - c->c.at;
	ssize_t n = pread_full(c->fd, c->p, left < LOOK ? (size_t)left : LOOK,
	    c->c.at);

	if (n == -1)
		die_errno("%s", file_shown(c->file));
	if (n == 0)
		die("%s: it ended before its planned size",
		    file_shown(c->file));
	c->at = c->c.at;
	c->n = (size_t)n;
}

/* Over bytes that need not be looked at. */
static void
skip(struct cuts *c)
{
	uint64_t left = c->file->size - c->c.at;

	if (left > c->c.left)
		left = c->c.left;
	c->c.left -= left;
	c->c.at += left;
}

/* Looks on.  Returns 1 and the next split, 0 when it has looked for long
 * enough, -1 at the end (*split is the last one if its len is not 0).  What
 * is wrong with the file ends the process. */
int
cuts_next(struct cuts *c, struct split *split)
{
	uint64_t size = c->file->size, records = c->c.form->records, upto;
	struct buf why = {0};

	if (records > 0 || __builtin_add_overflow(c->begin, c->block, &upto))
		upto = UINT64_MAX;
	split->len = 0;
	for (int i = 0; i < LOOKS; i++) {
		size_t seen;

		if (c->c.left >= LOOK)
			skip(c);
		if (c->c.at == size) {
			cutter_look(&c->c, c->p, 0, UINT64_MAX, UINT64_MAX);
			return last_split(c, split);
		}
		if (c->c.at >= c->at + c->n)
			refill(c);
		seen = (size_t)(c->c.at - c->at);
		if (cutter_look(&c->c, c->p + seen, c->n - seen, upto,
		    records) && c->c.end < size) {
			make_split(c, c->c.end, split);
			return 1;
		}
		if (cutter_failed(&c->c, &why))
			bad_file(c, &why);
	}
	return 0;
}

void
cuts_close(struct cuts *c)
{
	if (c == NULL)
		return;
	close(c->fd);
	free(c->p);
	free(c);
}
