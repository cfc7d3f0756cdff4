/* fold.c - the records of a key to one record of results.
 *
 * They come as saved cells (cell.c), from a merge, or as text that stands in
 * the order of its keys.  One key is held at a time.  Where a key has no more
 * than one saved cells, they are not unpacked before they must be. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	KEEP = 1 * MiB,		/* of a heap, from key to key */
	SHOWN = 100,		/* bytes of a key in a message */
};

struct fold {
	const struct aggspec *agg;
	uint64_t most;		/* bytes that it may keep of a key */
	bool named;		/* before saved cells stands their key */
	struct buf name;	/* the key */
	unsigned char *cells;
	struct heap heap;
	struct buf saved;
	int64_t tally[1 + TALLY_MOST];
	enum { EMPTY, TALLY, SAVED, CELLS } state;	/* where its cells are */
	struct buf piece;	/* of a long item */
	struct buf whole;	/* saved cells with their name */
	bool in_group;		/* of text */
	struct buf rest;	/* text: of a record that is not whole */
};

/* named: the key cannot be had from what is sorted by, and so stands before
 * saved cells.  most: bytes that may be kept of a key; those of its last
 * record, or its last saved cells, may go beyond. */
struct fold *
fold_new(const struct aggspec *agg, bool named, uint64_t most)
{
	struct fold *f = xzalloc(1, sizeof *f);

	f->agg = agg;
	f->most = most;
	f->named = named;
	f->cells = xzalloc(1, agg->size);
	f->heap.grows = true;
	return f;
}

/* A key begins. */
void
fold_begin(struct fold *f, const unsigned char *key, size_t klen)
{
	f->state = EMPTY;
	buf_reset(&f->name);
	buf_put(&f->name, key, klen);
}

static void
clear(struct fold *f)
{
	if (f->heap.end > KEEP) {
		free(f->heap.base);
		f->heap.base = NULL;
		f->heap.end = 0;
	}
	f->heap.used = 0;
	cells_begin(f->agg, f->cells);
}

/* Brings what there is into the cells. */
static void
unpack(struct fold *f)
{
	if (f->state == CELLS)
		return;
	clear(f);
	if (f->state == TALLY) {
		buf_reset(&f->saved);
		tally_save(f->agg, f->tally, &f->saved);
	}
	if (f->state != EMPTY)
		cells_merge(f->agg, f->cells, &f->heap, f->saved.p,
		    f->saved.len);
	f->state = CELLS;
}

/* Adds a record of the key.  False if it is not right: then why says how. */
bool
fold_record(struct fold *f, const struct record *r, struct buf *why)
{
	unpack(f);
	return cells_add(f->agg, f->cells, &f->heap, r, why) == CELLS_ADDED;
}

/* Appends the key as it stands before saved cells. */
void
fold_name(struct buf *b, const void *key, size_t klen)
{
	unsigned char tmp[10];

	buf_put(b, tmp, varint_put(tmp, klen));
	buf_put(b, key, klen);
}

/* Adds saved cells to a tally, if both are such. */
static bool
take_tally(struct fold *f, const unsigned char *p, size_t len)
{
	int64_t more[1 + TALLY_MOST];

	if (!f->agg->tallies || (f->state != EMPTY && f->state != TALLY))
		return false;
	if (f->state == TALLY)
		return tally_load(f->agg, more, p, len) &&
		    tally_merge(f->agg, f->tally, more);
	if (tally_load(f->agg, f->tally, p, len))
		f->state = TALLY;
	return f->state == TALLY;
}

/* Adds saved cells. */
void
fold_take(struct fold *f, const unsigned char *p, size_t len)
{
	uint64_t klen = 0;

	if (f->named) {
		size_t n = varint_get(p, p + len, &klen);

		if (n == 0 || klen > len - n)
			die("temporary data is damaged (a key)");
		if (f->state == EMPTY) {
			buf_reset(&f->name);
			buf_put(&f->name, p + n, klen);
		}
		p += n + klen;
		len -= n + klen;
	}
	if (take_tally(f, p, len))
		return;
	if (f->state == EMPTY) {
		buf_reset(&f->saved);
		buf_put(&f->saved, p, len);
		f->state = SAVED;
	} else {
		unpack(f);
		cells_merge(f->agg, f->cells, &f->heap, p, len);
	}
}

/* Whether as much is kept as may be; room that lists have left behind when
 * they grew does not count. */
static bool
is_full(struct fold *f)
{
	if (f->state != CELLS || f->heap.used <= f->most)
		return false;
	buf_reset(&f->saved);
	cells_save(f->agg, f->cells, &f->heap, &f->saved);
	f->state = SAVED;
	unpack(f);
	return f->heap.used > f->most / 4 * 3;
}

/* Says that too much would have to be kept of the key. */
void
fold_complain(const struct fold *f, struct buf *why)
{
	char text[32];

	buf_str(why, "key '");
	buf_escaped(why, f->name.p, f->name.len < SHOWN ? f->name.len : SHOWN);
	buf_printf(why, "': more than %s would have to be kept of its values "
	    "(a larger -S allows more)", human_bytes(f->most, text,
	    sizeof text));
}

/* Takes the saved cells of the present group of m, all of them; or as many as
 * it may keep, and then it returns false. */
bool
fold_group(struct fold *f, struct merge *m)
{
	const unsigned char *p;
	struct item it;
	size_t n;

	while (merge_item(m, &it)) {
		if (it.n < it.vlen) {
			buf_reset(&f->piece);
			buf_put(&f->piece, it.p, it.n);
			while ((n = merge_piece(m, &p)) > 0)
				buf_put(&f->piece, p, n);
			it.p = f->piece.p;
		}
		for (; it.count > 0; it.count--)
			fold_take(f, it.p, (size_t)it.vlen);
		if (is_full(f))
			return false;
	}
	return true;
}

/* The cells of the key as one. */
const unsigned char *
fold_saved(struct fold *f, size_t *len)
{
	if (f->state == TALLY) {
		buf_reset(&f->saved);
		tally_save(f->agg, f->tally, &f->saved);
	} else if (f->state == CELLS) {
		buf_reset(&f->saved);
		cells_save(f->agg, f->cells, &f->heap, &f->saved);
	}
	if (!f->named) {
		*len = f->saved.len;
		return f->saved.p;
	}
	buf_reset(&f->whole);
	fold_name(&f->whole, f->name.p, f->name.len);
	buf_put(&f->whole, f->saved.p, f->saved.len);
	*len = f->whole.len;
	return f->whole.p;
}

/* Puts the record of the key out, or says in why what is wrong. */
bool
fold_print(struct fold *f, struct buf *out, struct buf *why)
{
	size_t before = out->len, klen = f->name.len;
	bool ok = true;

	buf_put(out, f->name.p, klen);
	if (f->state != TALLY || !tally_print(f->agg, f->tally, out)) {
		unpack(f);
		ok = cells_print(f->agg, f->cells, &f->heap, out);
	}
	if (ok) {
		buf_put(out, &f->agg->fmt.delim, 1);
		return true;
	}
	out->len = before;
	buf_str(why, "key '");
	buf_escaped(why, f->name.p, klen < SHOWN ? klen : SHOWN);
	buf_str(why, "': a sum of integers has more than 128 bits");
	return false;
}

static bool
add_record(struct fold *f, const struct record *r, struct buf *out,
    struct buf *why)
{
	if (!f->in_group || f->name.len != r->klen || (r->klen > 0 &&
	    memcmp(f->name.p, r->key, r->klen) != 0)) {
		if (f->in_group && !fold_print(f, out, why))
			return false;
		fold_begin(f, r->key, r->klen);
		f->in_group = true;
	}
	if (!fold_record(f, r, why))
		return false;
	if (!is_full(f))
		return true;
	fold_complain(f, why);
	return false;
}

/* Takes whole records; says in *used how many bytes they had. */
static bool
add_records(struct fold *f, const unsigned char *p, size_t len, size_t *used,
    struct buf *out, struct buf *why)
{
	struct record r[RECORD_BATCH];
	size_t n, some;

	*used = 0;
	while ((n = record_batch(&f->agg->fmt, p + *used, len - *used, r,
	    RECORD_BATCH, &some)) > 0) {
		for (size_t i = 0; i < n; i++)
			if (!add_record(f, r + i, out, why))
				return false;
		*used += some;
	}
	return true;
}

/* Takes text; puts out what is complete.  False if something in it is wrong:
 * then why says what. */
bool
fold_text(struct fold *f, const unsigned char *p, size_t len, struct buf *out,
    struct buf *why)
{
	size_t used, end;

	if (f->rest.len > 0) {
		end = record_end(&f->agg->fmt, p, len);
		buf_put(&f->rest, p, end > 0 ? end : len);
		if (end == 0)
			return true;
		if (!add_records(f, f->rest.p, f->rest.len, &used, out, why))
			return false;
		buf_reset(&f->rest);
		p += end;
		len -= end;
	}
	if (!add_records(f, p, len, &used, out, why))
		return false;
	buf_put(&f->rest, p + used, len - used);
	return true;
}

/* There is no more. */
bool
fold_text_end(struct fold *f, struct buf *out, struct buf *why)
{
	if (f->rest.len > 0 &&
	    !fold_text(f, &f->agg->fmt.delim, 1, out, why))
		return false;
	return !f->in_group || fold_print(f, out, why);
}

void
fold_free(struct fold *f)
{
	if (f == NULL)
		return;
	free(f->cells);
	free(f->heap.base);
	buf_free(&f->saved);
	buf_free(&f->piece);
	buf_free(&f->name);
	buf_free(&f->whole);
	buf_free(&f->rest);
	free(f);
}
