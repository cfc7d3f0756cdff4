/* perkey.c - records in which equal keys stand together, a key at a time:
 * what the commands of --per-key read.
 *
 * They come from any source of an attempt, in pieces that may tear a record
 * anywhere.  Of a record only its key must fit into the window, so values may
 * have any length and a group any number of records.  Of a pair, what a
 * command reads is the value with its length before it.
 *
 * Life: perkey_new; then perkey_next to each key, and perkey_fill, which is
 * the source of its attempt, until it returns 0 or the command wants no more
 * of it; perkey_free. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { WINDOW = 256 * KiB };

struct perkey {
	const struct format *fmt;
	struct source src;
	bool key_first;		/* the key itself is the first record */
	struct buf key;		/* of the present group, */
	struct buf first;	/* and as a record of its own, */
	size_t shown;		/* of which so many bytes are given already */
	unsigned char *win;
	size_t at, n, cap;	/* win[at..n) is to be read */
	bool ended;		/* the source has no more */
	bool in_value;		/* else a record begins at win + at */
	uint64_t left;		/* bytes of the value, if it is a pair's */
};

/* src is of the kind SOURCE_FILL. */
struct perkey *
perkey_new(const struct format *fmt, const struct source *src, bool key_first)
{
	struct perkey *k = xzalloc(1, sizeof *k);

	*k = (struct perkey){ .fmt = fmt, .src = *src, .cap = WINDOW,
	    .key_first = key_first };
	k->win = xrealloc(NULL, k->cap, 1);
	return k;
}

/* Reads more, behind what is not read yet.  -1: the reason stands in why. */
static int
refill(struct perkey *k, struct buf *why)
{
	ssize_t got;

	memmove(k->win, k->win + k->at, k->n - k->at);
	k->n -= k->at;
	k->at = 0;
	if (k->n > k->cap / 2) {
		k->cap = grown(k->cap, 2 * k->cap);
		k->win = xrealloc(k->win, k->cap, 1);
	}
	got = k->src.fill(k->src.arg, k->win + k->n, k->cap - k->n, why);
	if (got < 0)
		return -1;
	k->n += (size_t)got;
	k->ended = got == 0;
	return 0;
}

/* Whether the key of the record at p is there as a whole, and of a pair the
 * length of its value. */
static bool
see_key(const struct perkey *k, const unsigned char *p, size_t len,
    const unsigned char **key, size_t *klen)
{
	const unsigned char *nl;

	*key = p;
	if (k->fmt->pairs) {
		if (len < 2 * PAIR_HEAD)
			return false;
		*klen = load_be32(p);
		*key += PAIR_HEAD;
		return *klen <= len - 2 * PAIR_HEAD;
	}
	nl = len > 0 ? memchr(p, k->fmt->delim, len) : NULL;
	if (nl != NULL)
		len = (size_t)(nl - p);
	*klen = key_length(k->fmt, p, len);
	return nl != NULL || *klen < len || (k->ended && len > 0);
}

/* Finds the key of the record at win + at.  1, 0 if there is no record, -1
 * and why. */
static int
look(struct perkey *k, const unsigned char **key, size_t *klen,
    struct buf *why)
{
	while (!see_key(k, k->win + k->at, k->n - k->at, key, klen)) {
		if (k->ended)
			return 0;
		if (refill(k, why) == -1)
			return -1;
	}
	return 1;
}

/* Begins the value of a record whose key has been looked at. */
static void
enter_value(struct perkey *k, size_t klen)
{
	k->at += klen;
	k->in_value = true;
	if (k->fmt->pairs) {
		k->at += PAIR_HEAD;
		k->left = PAIR_HEAD + (uint64_t)load_be32(k->win + k->at);
	} else if (k->at < k->n && k->win[k->at] == k->fmt->sep &&
	    k->fmt->sep != k->fmt->delim) {
		k->at++;
	}
}

/* Copies of the value, and what belongs to it, what is in the window. */
static size_t
copy_value(struct perkey *k, unsigned char *out, size_t room)
{
	size_t n = k->n - k->at;
	const unsigned char *p = k->win + k->at, *nl;

	if (n > room)
		n = room;
	if (k->fmt->pairs) {
		if (n > k->left)
			n = (size_t)k->left;
		k->left -= n;
		k->in_value = k->left > 0;
	} else if ((nl = memchr(p, k->fmt->delim, n)) != NULL) {
		n = (size_t)(nl - p) + 1;
		k->in_value = false;
	}
	memcpy(out, p, n);
	k->at += n;
	return n;
}

/* The values of the present key, as records: a source's fill. */
ssize_t
perkey_fill(void *arg, unsigned char *out, size_t cap, struct buf *why)
{
	struct perkey *k = arg;
	const unsigned char *key;
	size_t used = 0, klen;
	int got;

	if (k->shown < k->first.len) {
		used = k->first.len - k->shown < cap ?
		    k->first.len - k->shown : cap;
		memcpy(out, k->first.p + k->shown, used);
		k->shown += used;
	}
	while (used < cap) {
		if (!k->in_value) {
			got = look(k, &key, &klen, why);
			if (got < 0)
				return -1;
			if (got == 0 || key_compare(key, klen, k->key.p,
			    k->key.len) != 0)
				break;
			enter_value(k, klen);
		}
		if (k->at == k->n) {
			if (used > 0)
				break;
			if (refill(k, why) == -1)
				return -1;
			if (k->ended)
				break;
		}
		used += copy_value(k, out + used, cap - used);
	}
	return (ssize_t)used;
}

/* Goes to the next key, over what is left of this one.  1, 0 if there is
 * none, -1 and why. */
int
perkey_next(struct perkey *k, struct buf *why)
{
	unsigned char *p = k->first.len > 0 ? xrealloc(NULL, WINDOW, 1) : NULL;
	const unsigned char *key;
	ssize_t n = 0;
	size_t klen;
	int got;

	while (p != NULL && (n = perkey_fill(k, p, WINDOW, why)) > 0)
		;
	free(p);
	if (n < 0)
		return -1;
	got = look(k, &key, &klen, why);
	if (got <= 0)
		return got;
	buf_reset(&k->key);
	buf_put(&k->key, key, klen);
	buf_reset(&k->first);
	record_part(k->fmt, key, klen, k->fmt->delim, &k->first);
	k->shown = k->key_first ? 0 : k->first.len;
	return 1;
}

const unsigned char *
perkey_key(const struct perkey *k, size_t *len)
{
	*len = k->key.len;
	return k->key.p;
}

void
perkey_free(struct perkey *k)
{
	if (k == NULL)
		return;
	buf_free(&k->key);
	buf_free(&k->first);
	free(k->win);
	free(k);
}
