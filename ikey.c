/* ikey.c - the bytes by which a record is sorted, here called its ikey.
 *
 * Everything that sorts, merges and cuts compares ikeys as unsigned bytes
 * and knows nothing else of order.  By default the ikey is the key itself.
 * Where records are dealt into parts, the number of the part stands first;
 * where there are key definitions, what keyenc.c makes of them follows, and
 * what is kept beside the ikey is the whole record. */

#include <string.h>

#include "mr.h"

/* Whether the key can be had from the ikey, so that only the value is kept
 * beside it. */
bool
ikey_has_key(const struct shape *s)
{
	return s->key == KEY_PLAIN || s->key == KEY_PART;
}

/* Gives the record the key and the value by which it is sorted and kept.
 * The key is in *b, with as many readable bytes behind it as it says. */
void
ikey_build(const struct shape *s, struct record *r, struct buf *b, size_t slack)
{
	const unsigned char *rec = r->key;
	size_t len = (size_t)(r->val + r->vlen - rec);
	unsigned char part[4];

	buf_reset(b);
	if (s->nparts > 0) {
		/* A command's number is put in later (collect.c). */
		store_be32(part, s->part_cmd != NULL ? 0 :
		    partition_of(r->key, r->klen, s->nparts));
		buf_put(b, part, 4);
	}
	if (s->key == KEY_DEFS)
		keys_encode(s->keys, s->fmt.sep, rec, len, r->klen, b);
	else if (s->key != KEY_PART_ONLY)
		buf_put(b, r->key, r->klen);
	if (!ikey_has_key(s))
		record_whole(&s->fmt, r);
	buf_reserve(b, slack);
	r->key = b->p;
	r->klen = (uint32_t)b->len;
}

/* What a whole record is compared by: its key, or what is made of it in
 * *b, whose n bytes are good until *b changes. */
const unsigned char *
ikey_of(const struct shape *s, const unsigned char *rec, size_t len,
    struct buf *b, size_t *n)
{
	*n = key_length(&s->fmt, rec, len);
	if (s->key != KEY_DEFS)
		return rec;
	buf_reset(b);
	keys_encode(s->keys, s->fmt.sep, rec, len, *n, b);
	*n = b->len;
	return b->p;
}

/* Bytes of an ikey that all records of a group share and no others have. */
size_t
ikey_group(const struct shape *s, const unsigned char *ikey, size_t len)
{
	return s->key == KEY_DEFS && keys_inner(s->keys) ?
	    load_be32(ikey + len - 4) : len;
}

/* What a record takes when replayed, besides its value. */
size_t
ikey_shown(const struct shape *s, size_t len)
{
	return !ikey_has_key(s) ? 1 : record_frame(&s->fmt) + len -
	    (s->key == KEY_PART ? 4 : 0);
}
