/* replay.c - the groups of a merge as the text that they were: records, a
 * buffer at a time, as a command or a file gets them.
 *
 * A record is key, separator, value, delimiter; or a pair: the key between the
 * two lengths, then the value.  What does not fit into the caller's buffer is
 * put out in stages.  On the way the heaviest key is noted. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	NAMED = 100,		/* bytes of a key by which it is named */
	BATCH = 64,		/* items taken at a time */
	SLACK = 16,		/* bytes that may be written beyond a record */
	SHORT = 2 * SLACK,	/* bytes of a key or a value in a batch */
	TEXTS = 64,		/* records taken as text at a time */
};

enum stage { STAGE_NONE, STAGE_KEY, STAGE_VALUE, STAGE_END };

struct replay {
	struct merge *m;
	struct shape shape;
	bool unique, begun;
	bool texts;		/* records may be taken as text */
	struct text last;	/* the last one, if p is not NULL: nothing has
				 * come since */
	struct buf last_key;	/* what its p points to */
	size_t klen;		/* of this key as text, with all that frames it */
	struct buf key;		/* that text, made when it is needed */
	struct buf group;	/* KEY_DEFS: what says which group it is */
	bool group_begins;
	struct item it;
	struct item batch[BATCH];	/* items of this key */
	size_t next, nbatch;	/* those from next on come after it */
	uint64_t left;		/* records of this item still to come */
	enum stage stage;
	size_t done;		/* bytes of this stage that are out */
	uint64_t records;
	uint64_t weight;	/* of this key so far */
	uint64_t hot;		/* of the heaviest key so far */
	struct buf hot_key;
};

/* The text of m's records, which stays the caller's.  With unique, one
 * record of each key. */
struct replay *
replay_new(struct merge *m, const struct shape *shape, bool unique)
{
	struct replay *r = xzalloc(1, sizeof *r);

	r->m = m;
	r->shape = *shape;
	r->unique = unique;
	r->texts = !unique && shape->key == KEY_PLAIN && !shape->fmt.pairs;
	return r;
}

/* Bytes of a sort key that are not part of the record. */
static size_t
hidden_bytes(const struct replay *r)
{
	return r->shape.key == KEY_PLAIN ? 0 : 4;
}

/* Bytes of the key's text that this item has: without a value there is no
 * separator. */
static size_t
key_text(const struct replay *r)
{
	return r->shape.fmt.pairs ? r->klen : r->klen - (r->it.noval && r->klen > 0);
}

/* Begins the text of a key. */
static void
frame_key(struct replay *r, const unsigned char *key, size_t len)
{
	unsigned char length[PAIR_HEAD] = {0};

	if (!r->shape.fmt.pairs) {
		buf_put(&r->key, key, len);
		buf_put(&r->key, &r->shape.fmt.sep, 1);
		return;
	}
	store_be32(length, (uint32_t)len);
	buf_put(&r->key, length, PAIR_HEAD);
	buf_put(&r->key, key, len);
	buf_put(&r->key, length, PAIR_HEAD);	/* the value's, to be set */
}

/* Makes the text of the present key and item, which is not always asked
 * for. */
static void
make_key(struct replay *r)
{
	const unsigned char *p;
	size_t len;

	if (r->klen == 0)
		return;
	if (r->key.len == 0) {
		p = merge_key(r->m, &len);
		frame_key(r, p + hidden_bytes(r), len - hidden_bytes(r));
		buf_reserve(&r->key, SHORT);	/* to be read by put_batch */
	}
	if (r->shape.fmt.pairs)
		store_be32(r->key.p + r->key.len - PAIR_HEAD,
		    (uint32_t)r->it.vlen);
}

/* Whether there is a key to be named: not where whole records are sorted. */
static bool
has_groups(const struct shape *s)
{
	return s->key == KEY_DEFS ? s->keys->grouped : s->key != KEY_PART_ONLY;
}

/* Remembers the heaviest key. */
static void
name_hot(struct replay *r, const unsigned char *key, size_t len)
{
	r->hot = r->weight;
	buf_reset(&r->hot_key);
	if (len > 0)
		buf_put(&r->hot_key, key, len < NAMED ? len : NAMED);
}

/* A key has ended: remembers it if it is the heaviest. */
static void
weigh_key(struct replay *r)
{
	size_t head = r->shape.fmt.pairs ? PAIR_HEAD : 0;
	size_t tail = r->shape.fmt.pairs ? PAIR_HEAD : 1;

	if (r->weight > r->hot && has_groups(&r->shape)) {
		make_key(r);
		name_hot(r, r->key.p + head,
		    r->key.len > 0 ? r->key.len - head - tail : 0);
	}
	r->weight = 0;
}

/* The same for the key of the last text, before a record with another one. */
static void
weigh_text(struct replay *r)
{
	if (r->weight > r->hot)
		name_hot(r, r->last.p, r->last.klen);
	r->weight = 0;
}

static bool
is_last_key(const struct replay *r, const unsigned char *key, size_t len)
{
	return len == r->last.klen &&
	    (len == 0 || memcmp(key, r->last.p, len) == 0);
}

/* Where the key is not what is sorted by: whether another begins with this
 * ikey. */
static bool
other_group(struct replay *r, const unsigned char *ikey, size_t len)
{
	size_t n = ikey_group(&r->shape, ikey, len);

	if (r->begun && n == r->group.len &&
	    (n == 0 || memcmp(ikey, r->group.p, n) == 0))
		return false;
	buf_reset(&r->group);
	buf_put(&r->group, ikey, n);
	return true;
}

/* Moves to the next ikey, or returns false. */
static bool
next_key(struct replay *r)
{
	const unsigned char *p;
	size_t len;

	if (r->last.p != NULL)
		r->last.p = NULL;	/* weighed, or it is the same key */
	else if (r->shape.key != KEY_DEFS)
		weigh_key(r);	/* while it is still there */
	if (!merge_group(r->m)) {
		weigh_key(r);
		return false;
	}
	p = merge_key(r->m, &len);
	if (r->shape.key == KEY_DEFS)
		r->group_begins = other_group(r, p, len);
	if (r->group_begins)
		weigh_key(r);
	r->begun = true;
	if (ikey_has_key(&r->shape)) {
		r->klen = len - hidden_bytes(r) +
		    (r->shape.fmt.pairs ? 2 * PAIR_HEAD : 1);
		buf_reset(&r->key);
	}
	return true;
}

/* The key of a group of whole records, for weigh_key. */
static void
name_group(struct replay *r)
{
	size_t n = key_length(&r->shape.fmt, r->it.p, r->it.n);

	buf_reset(&r->key);
	buf_put(&r->key, r->it.p, n < NAMED ? n : NAMED);
	buf_put(&r->key, "", 1);
	r->group_begins = false;
}

/* Goes to the next item; false at the end of all. */
static bool
next_item(struct replay *r)
{
	while (r->next == r->nbatch) {
		r->next = 0;
		r->nbatch = !r->begun || r->unique ? 0 :
		    merge_items(r->m, r->batch, BATCH);
		if (r->nbatch > 0)
			break;
		if (!next_key(r))
			return false;
		if (r->unique && merge_item(r->m, r->batch)) {
			r->batch->count = 1;
			r->nbatch = 1;
		}
	}
	r->it = r->batch[r->next++];
	if (r->group_begins)
		name_group(r);
	r->left = r->it.count;
	r->records += r->left;
	r->weight += r->left * (key_text(r) + r->it.vlen + 1);
	return true;
}

/* Puts out a record that stands as text. */
static size_t
put_text(struct replay *r, unsigned char *out, size_t room)
{
	size_t klen = key_text(r), len = klen + r->it.n + 1;

	if (len > room)
		return 0;
	memcpy(out, r->it.p - klen, len);
	r->left = 0;
	return len;
}

/* Puts out as many whole copies of a short record as fit. */
static size_t
put_copies(struct replay *r, unsigned char *out, size_t room)
{
	size_t klen = key_text(r), vlen = (size_t)r->it.vlen;
	size_t end = r->shape.fmt.pairs ? 0 : 1;
	size_t one = klen + vlen + end, most = room / one, done;

	if (most == 0)
		return 0;
	make_key(r);
	if (klen > 0)
		memcpy(out, r->key.p, klen);
	if (vlen > 0)
		memcpy(out + klen, r->it.p, vlen);
	if (end > 0)
		out[one - 1] = r->shape.fmt.delim;
	if (most > r->left)
		most = (size_t)r->left;
	for (done = 1; done < most; ) {
		size_t more = done < most - done ? done : most - done;

		memcpy(out + done * one, out, more * one);
		done += more;
	}
	r->left -= done;
	return done * one;
}

/* Copies len bytes, and up to SLACK beyond them, which is the faster. */
static inline void
copy_short(unsigned char *to, const unsigned char *from, size_t len)
{
	memcpy(to, from, 16);
	if (len > 16)
		memcpy(to + 16, from + 16, 16);
}

/* Puts out records of the key whose items have been taken, as long as they are
 * short and have no copies; the usual case, once more and quicker. */
static size_t
put_batch(struct replay *r, unsigned char *out, size_t room)
{
	size_t klen = r->klen, used = 0, first = r->next;

	if (r->next == r->nbatch || klen > SHORT || r->shape.fmt.pairs)
		return 0;
	make_key(r);
	for (; r->next < r->nbatch; r->next++) {
		const struct item *it = r->batch + r->next;

		if (it->count != 1 || it->noval ||
		    room - used < klen + (size_t)it->vlen + 1 + 2 * SLACK)
			break;
		if (klen > 0)
			copy_short(out + used, r->key.p, klen);
		used += klen;
		copy_short(out + used, it->p, it->n);
		used += it->n;
		out[used++] = r->shape.fmt.delim;
	}
	r->records += r->next - first;
	r->weight += used;
	return used;
}

/* Puts out records, each as a whole, and weighs their keys. */
static void
copy_texts(struct replay *r, const struct text *v, size_t n,
    unsigned char *out)
{
	for (size_t i = 0; i < n; i++) {
		if (r->last.p != NULL && (v[i].prefix != r->last.prefix ||
		    !is_last_key(r, v[i].p, v[i].klen)))
			weigh_text(r);
		r->last = v[i];
		r->weight += v[i].len;
		memcpy(out, v[i].p, v[i].len);
		out += v[i].len;
	}
	r->records += n;
	buf_reset(&r->last_key);
	buf_reserve(&r->last_key, 1);
	buf_put(&r->last_key, r->last.p, r->last.klen);
	r->last.p = r->last_key.p;
}

/* Puts out records that stand as text, if there are such here. */
static size_t
put_texts(struct replay *r, unsigned char *out, size_t room)
{
	const unsigned char *next;
	struct text v[TEXTS];
	size_t n, used = 0, len = 0;

	if (r->next < r->nbatch)
		return 0;
	r->next = 0;
	r->nbatch = merge_items(r->m, r->batch, BATCH);
	while (r->nbatch == 0 &&
	    (n = merge_texts(r->m, v, TEXTS, room - used)) > 0) {
		if (r->last.p == NULL)
			weigh_key(r);
		copy_texts(r, v, n, out + used);
		for (size_t i = 0; i < n; i++)
			used += v[i].len;
	}
	if (r->last.p != NULL) {
		next = merge_next(r->m, &len);
		if (next == NULL || !is_last_key(r, next, len))
			weigh_text(r);
	}
	return used;
}

/* Puts out as much of one long record as fits. */
static size_t
put_stages(struct replay *r, unsigned char *out, size_t room)
{
	size_t used = 0, n, whole;
	const unsigned char *p;

	make_key(r);
	if (r->stage == STAGE_NONE) {
		r->stage = STAGE_KEY;
		r->done = 0;
	}
	while (used < room && r->stage != STAGE_NONE) {
		if (r->stage == STAGE_END) {
			if (!r->shape.fmt.pairs)
				out[used++] = r->shape.fmt.delim;
			r->stage = STAGE_NONE;
			r->left--;
			break;
		}
		p = r->stage == STAGE_KEY ? r->key.p : r->it.p;
		whole = r->stage == STAGE_KEY ? key_text(r) : r->it.n;
		n = whole - r->done;
		if (n > room - used)
			n = room - used;
		if (n > 0)
			memcpy(out + used, p + r->done, n);
		used += n;
		r->done += n;
		if (r->done < whole)
			continue;
		r->done = 0;
		if (r->stage == STAGE_KEY)
			r->stage = STAGE_VALUE;
		else if (r->it.count > 1 ||
		    (r->it.n = merge_piece(r->m, &r->it.p)) == 0)
			r->stage = STAGE_END;
	}
	return used;
}

/* Fills out with text, up to cap bytes; returns how many, 0 at the end.
 * Records may be torn between two calls. */
size_t
replay_fill(struct replay *r, unsigned char *out, size_t cap)
{
	size_t used = 0, n;

	while (used < cap) {
		if (r->left == 0) {
			used += put_batch(r, out + used, cap - used);
			if (r->texts)
				used += put_texts(r, out + used, cap - used);
			if (!next_item(r))
				break;
		}
		if (r->stage == STAGE_NONE && r->it.n == r->it.vlen) {
			n = r->it.text ? put_text(r, out + used, cap - used) :
			    put_copies(r, out + used, cap - used);
			used += n;
			if (n > 0)
				continue;
			if (used > cap / 2)
				break;
		}
		used += put_stages(r, out + used, cap - used);
	}
	return used;
}

/* The same as the source of an attempt. */
ssize_t
replay_read(void *replay, unsigned char *out, size_t cap, struct buf *why)
{
	(void)why;
	return (ssize_t)replay_fill(replay, out, cap);
}

uint64_t
replay_records(const struct replay *r)
{
	return r->records;
}

/* The weight of the heaviest key, and in key its first bytes. */
uint64_t
replay_hot(struct replay *r, struct buf *key)
{
	buf_put(key, r->hot_key.p, r->hot_key.len);
	return r->hot;
}

void
replay_free(struct replay *r)
{
	if (r == NULL)
		return;
	buf_free(&r->key);
	buf_free(&r->group);
	buf_free(&r->hot_key);
	buf_free(&r->last_key);
	free(r);
}
