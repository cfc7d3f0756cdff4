/* form.c - the form of the records of an input: where it may be cut.
 *
 * The form shapes the input alone.  It says where a task's input may begin
 * and end; what the task then reads are the bytes as they stand there, and
 * what it prints are records of record.c again.
 *
 * Some forms can be found from anywhere: a record begins where one pattern
 * ends and another begins, or behind a delimiter, whatever stands farther
 * off.  Of places that overlap, only the first counts: a command that looks
 * for them from there on, as it does in the whole, finds the same records.  Others are serial: to know where the records are, or how many, a
 * file must be looked at from its front.
 *
 * A cutter is given the bytes of a file in order, in pieces of any size, and
 * tells where records end.  Life: cutter_begin; cutter_look for each piece,
 * and again where that has stopped early; cutter_whole at the end. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

/* The form of what tasks print. */
struct form
form_of(const struct format *f)
{
	return (struct form){ .kind = f->pairs ? FORM_PAIRS : FORM_LINES,
	    .delim = f->delim, .lines = 1 };
}

/* A form whose records begin where end stands before, and start behind.
 * Takes over both. */
void
form_set_pattern(struct form *f, struct buf end, struct buf start)
{
	size_t n = end.len + start.len, k = 0;

	f->kind = FORM_PATTERN;
	f->end = end;
	f->pattern = (struct buf){0};
	buf_put(&f->pattern, end.p, end.len);
	buf_put(&f->pattern, start.p, start.len);
	buf_free(&start);
	/* Of each beginning of the pattern, the longest shorter one that it
	 * ends with (Knuth, Morris, Pratt). */
	f->border = xzalloc(n + 1, sizeof *f->border);
	for (size_t i = 1; i < n; i++) {
		while (k > 0 && f->pattern.p[i] != f->pattern.p[k])
			k = f->border[k];
		k += f->pattern.p[i] == f->pattern.p[k];
		f->border[i + 1] = (uint32_t)k;
	}
}

/* Whether the cuts of a file must be found from its front. */
bool
form_is_serial(const struct form *f)
{
	return f->records > 0 || f->kind == FORM_PAIRS ||
	    (f->kind == FORM_LINES && f->lines > 1);
}

/* Whether a record's end can be told by the delimiter alone. */
bool
form_is_plain(const struct form *f)
{
	return f->kind == FORM_LINES && f->lines == 1 && f->records == 0;
}

/* Bytes that a record ends with. */
size_t
form_ending(const struct form *f)
{
	return f->kind == FORM_PATTERN ? f->end.len : 1;
}

/* What is lacking behind the last n bytes of a file, form_ending's or all, to
 * end like a record.  Returns how many bytes. */
size_t
form_missing(const struct form *f, const unsigned char *tail, size_t n,
    const unsigned char **what)
{
	const unsigned char *p = f->kind == FORM_PATTERN ? f->end.p :
	    &f->delim;

	if (f->kind == FORM_PAIRS || n == 0)
		return 0;
	while (n > 0 && memcmp(tail, p, n) != 0) {
		tail++;
		n--;
	}
	*what = p + n;
	return form_ending(f) - n;
}

/* The same of a file whose records begin at begin; 0 too if it cannot be
 * read. */
size_t
form_lacks(const struct form *f, int fd, uint64_t begin, uint64_t end,
    const unsigned char **what)
{
	unsigned char tail[FORM_MOST];
	size_t n = form_ending(f);

	if (end - begin < n)
		n = (size_t)(end - begin);
	if (f->kind == FORM_PAIRS ||
	    pread_full(fd, tail, n, end - n) != (ssize_t)n)
		return 0;
	return form_missing(f, tail, n, what);
}

/* Begins with the byte at an offset: where a record begins, or twice the
 * length of a pattern's end before what is to be found. */
void
cutter_begin(struct cutter *c, const struct form *f, uint64_t at)
{
	*c = (struct cutter){ .form = f, .at = at, .end = at, .place = at };
}

/* A record has ended.  Whether it is the one that is looked for. */
static bool
ended(struct cutter *c, uint64_t end, uint64_t upto, uint64_t records)
{
	c->end = end;
	c->records++;
	return end >= upto || c->records == records;
}

static bool
look_lines(struct cutter *c, const unsigned char *p, size_t len,
    uint64_t upto, uint64_t records)
{
	const unsigned char *end = p + len, *nl;

	while (p < end) {
		nl = memchr(p, c->form->delim, (size_t)(end - p));
		c->begun = nl == NULL;
		if (nl == NULL) {
			c->at += (uint64_t)(end - p);
			break;
		}
		c->at += (uint64_t)(nl + 1 - p);
		p = nl + 1;
		if (++c->lines < c->form->lines)
			continue;
		c->lines = 0;
		if (ended(c, c->at, upto, records))
			return true;
	}
	return false;
}

static bool
look_pattern(struct cutter *c, const unsigned char *p, size_t len,
    uint64_t upto, uint64_t records)
{
	const struct form *f = c->form;
	const unsigned char *end = p + len, *pat = f->pattern.p, *q;
	size_t n = f->pattern.len;
	uint64_t before;

	while (p < end) {
		if (c->matched == 0) {
			q = memchr(p, pat[0], (size_t)(end - p));
			q = q == NULL ? end : q;
			c->at += (uint64_t)(q - p);
			p = q;
			if (p == end)
				break;
		}
		while (c->matched > 0 && pat[c->matched] != *p)
			c->matched = f->border[c->matched];
		c->matched += pat[c->matched] == *p;
		p++;
		c->at++;
		if (c->matched < n)
			continue;
		c->matched = f->border[n];
		before = c->place;
		c->place = c->at - (n - f->end.len);
		if (c->place - before >= f->end.len &&
		    ended(c, c->place, upto, records))
			return true;
	}
	return false;
}

/* The next byte of a length.  Whether it is whole, and is one. */
static bool
take_length(struct cutter *c, unsigned char byte)
{
	c->at++;
	c->head[c->have++] = byte;
	if (c->have < PAIR_HEAD)
		return false;
	c->have = 0;
	c->left = load_be32(c->head);
	c->bad = c->left + (c->at - c->end) > RECORD_MOST;
	return !c->bad;
}

static bool
look_pairs(struct cutter *c, const unsigned char *p, size_t len,
    uint64_t upto, uint64_t records)
{
	const unsigned char *end = p + len;

	for (;;) {
		uint64_t n = (uint64_t)(end - p) < c->left ?
		    (uint64_t)(end - p) : c->left;

		c->left -= n;
		c->at += n;
		p += n;
		if (c->left == 0 && c->next == PAIR_END) {
			c->next = PAIR_KEY;
			if (ended(c, c->at, upto, records))
				return true;
		}
		if (c->left > 0 || p == end || c->bad)
			return false;
		if (take_length(c, *p++))
			c->next = c->next == PAIR_KEY ? PAIR_VALUE : PAIR_END;
	}
}

/* Looks on, through the len bytes at p, which follow those seen so far.
 * Stops behind a record that ends at upto or farther on, or is the one of
 * that number; then returns true.  c->at tells how far it came. */
bool
cutter_look(struct cutter *c, const unsigned char *p, size_t len,
    uint64_t upto, uint64_t records)
{
	switch (c->form->kind) {
	case FORM_PATTERN:
		return look_pattern(c, p, len, upto, records);
	case FORM_PAIRS:
		return look_pairs(c, p, len, upto, records);
	default:
		return look_lines(c, p, len, upto, records);
	}
}

/* Whether the bytes so far are no pairs, and why. */
bool
cutter_failed(const struct cutter *c, struct buf *why)
{
	if (c->bad)
		buf_printf(why, "at byte %llu there is no pair: %llu bytes is "
		    "no length of a %s", (unsigned long long)c->end,
		    (unsigned long long)c->left, c->next == PAIR_KEY ? "key" :
		    "value");
	return c->bad;
}

/* Whether the bytes may end here, the last record having been given what it
 * lacks.  If not, why is told. */
bool
cutter_whole(const struct cutter *c, struct buf *why)
{
	const struct form *f = c->form;

	if (f->kind == FORM_PAIRS && c->end != c->at) {
		buf_printf(why, "the pair at byte %llu is cut short",
		    (unsigned long long)c->end);
		return false;
	}
	if (f->kind != FORM_LINES || c->lines + c->begun == 0 ||
	    c->lines + c->begun == f->lines)
		return true;
	buf_printf(why, "the last record, which begins at byte %llu, has %lu "
	    "of %lu lines (-L)", (unsigned long long)c->end,
	    (unsigned long)c->lines + c->begun, (unsigned long)f->lines);
	return false;
}
