/* record.c - what a record and a key are; the only file that knows
 * delimiters.
 *
 * A record is a line: it ends with the delimiter byte.  Its key is its first
 * fields (one, unless --key-fields says more), its value what stands after
 * the separator that ends them.  A record with fewer separators is all key
 * and has no value, which is not the same as an empty value.
 *
 * Or it is a pair (--io rawbytes): four bytes, big endian, with the length
 * of its key, the key, and so its value. */

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "mr.h"

/* Bytes that a record may have, with what memory needs beside it.
 * MR_DEBUG=short makes it 1 MiB, for tests. */
uint64_t
record_most(void)
{
	return debug_word("short") ? MiB : RECORD_MOST - MiB;
}

/* Length of the key of the record p[0..len), delimiter not counted.  Of a pair
 * p is the key itself. */
size_t
key_length(const struct format *f, const unsigned char *p, size_t len)
{
	const unsigned char *q = p, *end = p + len;

	if (f->fields == 0 || f->pairs || len == 0)
		return len;
	for (uint32_t i = 0; i < f->fields; i++) {
		q = memchr(q, f->sep, (size_t)(end - q));
		if (q == NULL)
			return len;
		q++;
	}
	return (size_t)(q - 1 - p);
}

/* The same of a record, which is no pair, with KEY_AHEAD readable bytes,
 * whatever its length. */
size_t
key_length_ahead(const struct format *f, const unsigned char *p, size_t len)
{
#ifdef __SSE2__
	unsigned s = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(
	    _mm_loadu_si128((const void *)p), _mm_set1_epi8((char)f->sep)));

	if (f->fields == 1 && s != 0) {
		size_t k = (size_t)__builtin_ctz(s);

		return k < len ? k : len;
	}
#endif
	return key_length(f, p, len);
}

/* Where the delimiter of the record at p is, or NULL; *sep becomes its first
 * separator, or NULL.  One look at 16 bytes finds both in most records. */
static const unsigned char *
find_ends(const struct format *f, const unsigned char *p,
    const unsigned char *end, const unsigned char **sep)
{
	const unsigned char *nl;

#ifdef __SSE2__
	if (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const void *)p);
		unsigned d = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v,
		    _mm_set1_epi8((char)f->delim)));
		unsigned s = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v,
		    _mm_set1_epi8((char)f->sep)));

		if (d != 0) {
			s &= d ^ (d - 1);	/* those before it */
			*sep = s != 0 ? p + __builtin_ctz(s) : NULL;
			return p + __builtin_ctz(d);
		}
		nl = memchr(p + 16, f->delim, (size_t)(end - p - 16));
		if (nl == NULL)
			return NULL;
		*sep = s != 0 ? p + __builtin_ctz(s) :
		    memchr(p + 16, f->sep, (size_t)(nl - p - 16));
		return nl;
	}
#endif
	nl = memchr(p, f->delim, (size_t)(end - p));
	if (nl != NULL)
		*sep = memchr(p, f->sep, (size_t)(nl - p));
	return nl;
}

static size_t
pair_batch(const unsigned char *p, size_t len, struct record *v, size_t max,
    size_t *used)
{
	size_t at = 0, n = 0;

	while (n < max && len - at >= 2 * PAIR_HEAD) {
		uint32_t klen = load_be32(p + at), vlen;
		size_t left = len - at - 2 * PAIR_HEAD;

		if (klen > left)
			break;
		vlen = load_be32(p + at + PAIR_HEAD + klen);
		if (vlen > left - klen)
			break;
		v[n++] = (struct record){ .key = p + at + PAIR_HEAD,
		    .klen = klen, .vlen = vlen,
		    .val = p + at + 2 * PAIR_HEAD + klen };
		at += 2 * PAIR_HEAD + (size_t)klen + vlen;
	}
	*used = at;
	return n;
}

/* Finds up to max whole records in p[0..len) and says in *used how many
 * bytes they have, delimiters included.  A record has less than 2 GiB; the
 * caller sees to that. */
size_t
record_batch(const struct format *f, const unsigned char *p, size_t len,
    struct record *v, size_t max, size_t *used)
{
	const unsigned char *start = p, *end = p + len;
	size_t n = 0;

	if (f->pairs)
		return pair_batch(p, len, v, max, used);
	for (; n < max; n++) {
		const unsigned char *nl, *sep = NULL;
		struct record *r = v + n;

		nl = find_ends(f, p, end, &sep);
		if (nl == NULL)
			break;
		if (f->fields != 1) {
			size_t k = key_length(f, p, (size_t)(nl - p));

			sep = p + k < nl ? p + k : NULL;
		}
		r->key = p;
		r->noval = sep == NULL;
		r->klen = (uint32_t)((sep == NULL ? nl : sep) - p);
		r->val = sep == NULL ? nl : sep + 1;
		r->vlen = (uint32_t)(nl - r->val);
		p = nl + 1;
	}
	*used = (size_t)(p - start);
	return n;
}

/* Bytes of the first record with its delimiter, or 0 if it is not whole. */
size_t
record_end(const struct format *f, const unsigned char *p, size_t len)
{
	const unsigned char *nl;
	struct record r;
	size_t used;

	if (f->pairs)
		return pair_batch(p, len, &r, 1, &used) == 0 ? 0 : used;
	nl = memchr(p, f->delim, len);
	return nl == NULL ? 0 : (size_t)(nl - p) + 1;
}

/* The key and the value of a whole record with its delimiter. */
void
record_parse(const struct format *f, const unsigned char *p, size_t len,
    struct record *r)
{
	size_t klen, used;

	if (f->pairs) {
		pair_batch(p, len, r, 1, &used);
		return;
	}
	len--;
	klen = key_length(f, p, len);
	*r = (struct record){ .key = p, .klen = (uint32_t)klen,
	    .noval = klen == len };
	r->val = p + klen + !r->noval;
	r->vlen = (uint32_t)(p + len - r->val);
}

/* Appends a key or a value: with the byte that ends it, or of a pair with
 * its length before it. */
void
record_part(const struct format *f, const void *p, size_t len,
    unsigned char end, struct buf *b)
{
	unsigned char head[PAIR_HEAD];

	store_be32(head, (uint32_t)len);
	if (f->pairs)
		buf_put(b, head, PAIR_HEAD);
	buf_put(b, p, len);
	if (!f->pairs)
		buf_put(b, &end, 1);
}

/* Appends a record of two strings; value: NULL for none, which a pair has as
 * an empty one.  In text they are separated by a TAB, whatever ends keys. */
void
record_put(const struct format *f, const char *key, const char *value,
    struct buf *b)
{
	record_part(f, key, strlen(key), value == NULL ? f->delim : '\t', b);
	if (value == NULL && f->pairs)
		value = "";
	if (value != NULL)
		record_part(f, value, strlen(value), f->delim, b);
}

/* Whether what ends in p[0..len) can end a record.  If not, the bytes that
 * were there before need not be looked at again. */
bool
record_may_end(const struct format *f, const unsigned char *p, size_t len)
{
	return f->pairs || memchr(p, f->delim, len) != NULL;
}

/* Bytes of a record besides its key and its value. */
size_t
record_frame(const struct format *f)
{
	return f->pairs ? 2 * PAIR_HEAD : 2;
}

/* The record as a whole, as a value. */
void
record_whole(const struct format *f, struct record *r)
{
	const unsigned char *end = r->val + r->vlen;

	r->val = r->key - (f->pairs ? PAIR_HEAD : 0);
	r->vlen = (uint32_t)(end - r->val);
	r->noval = false;
}

/* The key of a record that record_whole has made a value, of *len bytes. */
const unsigned char *
record_key(const struct format *f, const unsigned char *p, size_t *len)
{
	*len = f->pairs ? load_be32(p) : key_length(f, p, *len);
	return f->pairs ? p + PAIR_HEAD : p;
}

/* Unsigned bytes; a key that is a prefix of another comes first. */
int
key_compare(const void *a, size_t alen, const void *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	int c = n == 0 ? 0 : memcmp(a, b, n);	/* NULL may have no bytes */

	return c != 0 ? c : (alen > blen) - (alen < blen);
}
