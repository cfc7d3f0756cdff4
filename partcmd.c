/* partcmd.c - parts by a command: it reads keys, and prints the number of a
 * part for each.  Keys end as records do, or as pairs have their length before
 * them.
 *
 * It is run once for the different keys of each run, before the run is
 * written.  Both of its ends are files, so it may keep its output back until
 * it has read all, as filters do.  What it prints for a key must depend on
 * that key alone; anything else puts records of a key into several parts,
 * which nobody notices.
 *
 * Life: partcmd_new; partcmd_key for each key; partcmd_run; partcmd_next for
 * each key again; partcmd_end.  What is wrong ends the process. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { BUFFER = 64 * KiB };

struct partcmd {
	const char *line;
	uint32_t nparts;
	const struct format *fmt;
	int in, out;		/* its ends */
	uint64_t keys, numbers;
	struct buf keep;	/* keys not yet written */
	unsigned char *p;
	size_t at, n;		/* p[at..n) is to be read */
	uint64_t off;		/* in out, of what follows */
};

struct partcmd *
partcmd_new(const struct store *s, const char *line, uint32_t nparts,
    const struct format *fmt)
{
	struct partcmd *c = xzalloc(1, sizeof *c);
	char number[16];

	*c = (struct partcmd){ .line = line, .nparts = nparts,
	    .fmt = fmt };
	c->in = store_open_temp(s->dir);
	c->out = store_open_temp(s->dir);
	if (c->in == -1 || c->out == -1)
		die_errno("%s: cannot make a temporary file", s->dir);
	snprintf(number, sizeof number, "%lu", (unsigned long)nparts);
	if (setenv("MR_REDUCERS", number, 1) == -1)
		die_errno("the environment of --partition");
	c->p = xrealloc(NULL, BUFFER, 1);
	return c;
}

static void
flush(struct partcmd *c)
{
	if (write_full(c->in, c->keep.p, c->keep.len) == -1)
		die_errno("writing keys for --partition");
	buf_reset(&c->keep);
}

void
partcmd_key(struct partcmd *c, const void *key, size_t len)
{
	record_part(c->fmt, key, len, c->fmt->delim, &c->keep);
	c->keys++;
	if (c->keep.len >= BUFFER)
		flush(c);
}

/* All keys are there: runs the command. */
void
partcmd_run(struct partcmd *c)
{
	flush(c);
	if (lseek(c->in, 0, SEEK_SET) == -1)
		die_errno("reading keys for --partition");
	if (proc_filter(c->line, false, c->in, c->out) == -1)
		die("--partition %s: it has failed", c->line);
}

/* The next byte that was printed, or -1. */
static int
next_byte(struct partcmd *c)
{
	ssize_t got;

	if (c->at == c->n) {
		got = pread_full(c->out, c->p, BUFFER, c->off);
		if (got == -1)
			die_errno("reading the numbers of --partition");
		c->off += (uint64_t)got;
		c->at = 0;
		c->n = (size_t)got;
	}
	return c->at == c->n ? -1 : c->p[c->at++];
}

static _Noreturn void
no_number(const struct partcmd *c, const struct buf *text, const void *key,
    size_t len)
{
	struct buf b = {0};

	buf_escaped(&b, text->p, text->len < 100 ? text->len : 100);
	buf_str(&b, "' for the key '");
	buf_escaped(&b, key, len < 100 ? len : 100);
	buf_put(&b, "", 1);
	die("--partition %s: it prints '%s', which is no number from 0 to %lu",
	    c->line, (char *)b.p, (unsigned long)c->nparts - 1);
}

/* The number for the next key, which is passed to be named. */
uint32_t
partcmd_next(struct partcmd *c, const void *key, size_t len)
{
	struct buf text = {0};
	uint64_t x;
	int byte;

	while ((byte = next_byte(c)) != -1 && byte != '\n' &&
	    byte != c->fmt->delim) {
		unsigned char b = (unsigned char)byte;

		buf_put(&text, &b, 1);
	}
	if (byte == -1 && text.len == 0)
		die("--partition %s: it prints %llu number%s for %llu keys",
		    c->line, (unsigned long long)c->numbers,
		    c->numbers == 1 ? "" : "s", (unsigned long long)c->keys);
	c->numbers++;
	buf_put(&text, "", 1);
	text.len--;
	if (strlen((char *)text.p) != text.len ||
	    parse_number((char *)text.p, &x) == -1 || x >= c->nparts)
		no_number(c, &text, key, len);
	buf_free(&text);
	return (uint32_t)x;
}

/* There must be no more numbers. */
void
partcmd_end(struct partcmd *c)
{
	if (next_byte(c) != -1)
		die("--partition %s: it prints more than a number a key, of "
		    "which there are %llu", c->line,
		    (unsigned long long)c->keys);
	close(c->in);
	close(c->out);
	buf_free(&c->keep);
	free(c->p);
	free(c);
}
