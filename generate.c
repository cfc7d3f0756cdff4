/* generate.c - input that is in no file: ranges of indices, the names of
 * files, and records that a command of the user's, the source, prints when it
 * is asked for them.
 *
 * All are n things in a row, numbered from 0, and a split is some of them:
 * off is its first, len how many.  How they are cut depends on n and on what
 * the user says, never on the machine, so that a sum of floating-point
 * numbers is the same everywhere.
 *
 * A source is run as `source count', once and before any map, and as
 * `source OFFSET LIMIT' by each task.  It is a line for the shell like any
 * command; its arguments are given as such, so nothing is put into the
 * line. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { TASKS = 256 };		/* at most, by default */

static int
parse_index(const char *s, size_t len, int64_t *out)
{
	char number[24], *end;

	if (len == 0 || len >= sizeof number ||
	    (s[0] != '-' && (s[0] < '0' || s[0] > '9')))
		return -1;
	memcpy(number, s, len);
	number[len] = '\0';
	errno = 0;
	*out = strtoll(number, &end, 10);
	return errno != 0 || *end != '\0' ? -1 : 0;
}

/* "A:B" is the indices A <= i < B.  False if text is no such thing. */
bool
generate_range(struct generate *g, const char *text)
{
	const char *colon = strchr(text, ':');
	int64_t a, b;

	if (colon == NULL ||
	    parse_index(text, (size_t)(colon - text), &a) == -1 ||
	    parse_index(colon + 1, strlen(colon + 1), &b) == -1 || a > b)
		return false;
	*g = (struct generate){ .kind = GENERATE_RANGE, .from = a,
	    .n = (uint64_t)b - (uint64_t)a };
	return true;
}

/* How many of the n a task gets; by default so many that there are no more
 * than 256 tasks. */
uint64_t
generate_each(const struct generate *g, uint64_t records)
{
	if (records > 0)
		return records;
	return g->n <= TASKS ? 1 : (g->n - 1) / TASKS + 1;
}

/* The source's command for a split, or without one the command that counts.
 * To be freed by generate_free. */
void
generate_command(const struct generate *g, struct command *c,
    const struct split *s)
{
	*c = (struct command){ .argv = xzalloc(7, sizeof *c->argv),
	    .shown = g->source };
	c->argv[0] = xstrdup("/bin/sh");
	c->argv[1] = xstrdup("-c");
	c->argv[2] = xasprintf("%s \"$@\"", g->source);
	c->argv[3] = xstrdup("sh");
	if (s == NULL) {
		c->argv[4] = xstrdup("count");
	} else {
		c->argv[4] = xasprintf("%llu", (unsigned long long)s->off);
		c->argv[5] = xasprintf("%llu", (unsigned long long)s->len);
	}
}

void
generate_free(struct command *c)
{
	for (char **a = c->argv; *a != NULL; a++)
		free(*a);
	free(c->argv);
	*c = (struct command){0};
}

/* Takes what the source has printed as its number of records.  False if it
 * is none. */
bool
generate_count(struct generate *g, const char *text, size_t len)
{
	char number[24];

	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(" \t", *text) != NULL) {
		text++;
		len--;
	}
	if (len == 0 || len >= sizeof number || memchr(text, '\0', len))
		return false;
	memcpy(number, text, len);
	number[len] = '\0';
	return parse_number(number, &g->n) == 0;
}

/* What number off is, in a range. */
long long
generate_index(const struct generate *g, uint64_t off)
{
	return (int64_t)((uint64_t)g->from + off);
}

/* The one record of a task of a range, or the names of a task. */
void
generate_records(const struct generate *g, const struct split *s,
    const struct format *f, struct buf *b)
{
	char from[24], to[24];

	if (g->kind == GENERATE_NAMES) {
		for (uint64_t i = s->off; i < s->off + s->len; i++)
			record_put(f, g->input->files[i].name, NULL, b);
		return;
	}
	snprintf(from, sizeof from, "%lld", generate_index(g, s->off));
	snprintf(to, sizeof to, "%lld", generate_index(g, s->off + s->len));
	record_put(f, from, to, b);
}

/* A split in words. */
void
generate_describe(const struct generate *g, const struct split *s,
    struct buf *b)
{
	if (g->kind == GENERATE_RANGE) {
		buf_printf(b, "range %lld:%lld", generate_index(g, s->off),
		    generate_index(g, s->off + s->len));
		return;
	}
	if (g->kind == GENERATE_NAMES) {
		const char *name = g->input->files[s->off].name;

		buf_str(b, "names: ");
		buf_escaped(b, name, strlen(name));
		if (s->len > 1)
			buf_printf(b, " and %llu more",
			    (unsigned long long)s->len - 1);
		return;
	}
	buf_printf(b, "records %llu-%llu of ", (unsigned long long)s->off,
	    (unsigned long long)(s->off + s->len - 1));
	buf_escaped(b, g->source, strlen(g->source));
}
