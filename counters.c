/* counters.c - what tasks count by lines on their standard error, as under
 * Hadoop:
 *
 *	reporter:counter:GROUP,NAME,N
 *	reporter:status:TEXT
 *
 * Such lines are taken out of it.  They count when the attempt that wrote
 * them does.  A line that only resembles them is an ordinary one. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { MOST = 1000 };		/* counters of a task */

static const char counter_word[] = "reporter:counter:";
static const char status_word[] = "reporter:status:";

static bool
begins(const unsigned char *p, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && memcmp(p, word, n) == 0;
}

/* Adds to the counter of this name: its group, a comma, its own.  False if
 * it would be one more than most. */
static bool
add(struct counters *c, const unsigned char *name, size_t len, int64_t n,
    size_t most)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct counter *x = c->v + mid;
		int order = key_compare(x->name, x->len, name, len);

		if (order == 0) {
			if (__builtin_add_overflow(x->value, n,
			    &c->v[mid].value))
				c->v[mid].value = n < 0 ? INT64_MIN :
				    INT64_MAX;
			return true;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (c->n >= most)
		return false;
	c->v = xrealloc(c->v, c->n + 1, sizeof *c->v);
	memmove(c->v + lo + 1, c->v + lo, (c->n - lo) * sizeof *c->v);
	c->v[lo] = (struct counter){ xrealloc(NULL, len, 1), len, n };
	memcpy(c->v[lo].name, name, len);
	c->n++;
	return true;
}

/* A whole number, perhaps negative, that ends the line. */
static bool
read_number(const unsigned char *p, size_t len, int64_t *out)
{
	bool minus = len > 0 && *p == '-';
	int64_t n = 0;

	if (minus) {
		p++;
		len--;
	}
	if (len == 0)
		return false;
	for (; len > 0; p++, len--)
		if (*p < '0' || *p > '9' ||
		    __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, *p - '0', &n))
			return false;
	*out = minus ? -n : n;
	return true;
}

/* Takes a line without its end, if it is one of ours. */
bool
counters_take(struct counters *c, const unsigned char *p, size_t len)
{
	const unsigned char *comma, *end;
	size_t skip = sizeof counter_word - 1;
	int64_t n;

	if (begins(p, len, status_word)) {
		buf_reset(&c->status);
		buf_put(&c->status, p + sizeof status_word - 1,
		    len - (sizeof status_word - 1));
		return true;
	}
	if (!begins(p, len, counter_word))
		return false;
	p += skip;
	len -= skip;
	comma = memchr(p, ',', len);
	end = comma == NULL ? NULL : memchr(comma + 1, ',',
	    len - (size_t)(comma + 1 - p));
	if (end == NULL || comma == p || end == comma + 1 ||
	    !read_number(end + 1, len - (size_t)(end + 1 - p), &n))
		return false;
	return add(c, p, (size_t)(end - p), n, MOST);
}

/* As bytes, and back. */
void
counters_save(const struct counters *c, struct buf *b)
{
	seal_bytes(b, c->status.p, c->status.len);
	seal_number(b, c->n);
	for (size_t i = 0; i < c->n; i++) {
		const struct counter *x = c->v + i;
		uint64_t bits = (uint64_t)x->value;

		seal_bytes(b, x->name, x->len);
		seal_number(b, bits << 1 ^ (x->value < 0 ? UINT64_MAX : 0));
	}
}

/* Adds what counters_save has made.  False if it is no such thing. */
bool
counters_load(struct counters *c, const unsigned char *p, size_t len)
{
	struct unseal u = { p, p + len, false };
	size_t n;
	const unsigned char *s = unseal_bytes(&u, &n);
	uint64_t count;

	if (n > 0) {
		buf_reset(&c->status);
		buf_put(&c->status, s, n);
	}
	count = unseal_number(&u, len);
	for (uint64_t i = 0; i < count && !u.bad; i++) {
		uint64_t bits;

		s = unseal_bytes(&u, &n);
		bits = unseal_number(&u, UINT64_MAX);
		if (!u.bad && n > 0)
			add(c, s, n, (int64_t)(bits >> 1 ^ -(bits & 1)),
			    SIZE_MAX);
	}
	return !u.bad && u.p == u.end;
}

void
counters_reset(struct counters *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->v[i].name);
	free(c->v);
	c->v = NULL;
	c->n = 0;
	buf_reset(&c->status);
}

/* A line for each, with what stands before it. */
void
counters_print(const struct counters *c, const char *before, struct buf *b)
{
	for (size_t i = 0; i < c->n; i++) {
		buf_str(b, before);
		buf_str(b, "counter ");
		buf_escaped(b, c->v[i].name, c->v[i].len);
		buf_printf(b, ": %lld\n", (long long)c->v[i].value);
	}
	if (c->status.len > 0) {
		buf_str(b, before);
		buf_str(b, "status: ");
		buf_escaped(b, c->status.p, c->status.len);
		buf_str(b, "\n");
	}
}

static void
json_string(const unsigned char *p, size_t len, struct buf *b)
{
	buf_str(b, "\"");
	for (; len > 0; p++, len--)
		if (*p < 0x20 || *p == '"' || *p == '\\')
			buf_printf(b, "\\u%04x", *p);
		else
			buf_put(b, p, 1);
	buf_str(b, "\"");
}

/* As members of an object: "counters" and, if there is one, "status_text". */
void
counters_json(const struct counters *c, struct buf *b)
{
	buf_str(b, "\"counters\": {");
	for (size_t i = 0; i < c->n; i++) {
		buf_str(b, i > 0 ? ", " : "");
		json_string(c->v[i].name, c->v[i].len, b);
		buf_printf(b, ": %lld", (long long)c->v[i].value);
	}
	buf_str(b, "}");
	if (c->status.len > 0) {
		buf_str(b, ", \"status_text\": ");
		json_string(c->status.p, c->status.len, b);
	}
}
