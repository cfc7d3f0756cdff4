/* merge.c - sorted runs to one sorted stream of groups, and back to text.
 *
 * Merging is by (key, position of the run): the caller gives the runs in
 * input order, and of equal keys the earlier run's values come first, which
 * makes the whole sort stable.  A loser tree holds the runs; a node compares
 * eight bytes of key as a number before it looks at the key itself.
 *
 * Keys are held whole, one a run; values are given as they stand in a
 * window of the run, long ones in pieces.  So memory is bounded by the
 * windows and the longest key times the number of runs, whatever a group or
 * a value holds.
 *
 * Life: merge_new; merge_group to the next key; merge_item for each of its
 * values, merge_piece for the rest of a long one; merge_free.  What an item
 * points to is good until the next call.  A replay turns a merge into the
 * text of its records, a buffer at a time. */

#define _GNU_SOURCE		/* MAP_POPULATE */
#include <sys/mman.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	WINDOW_MOST = 1 * MiB,
	AHEAD = 32,		/* bytes enough for any head of an item */
	NAMED = 100,		/* bytes of a key by which it is named */
};

struct cursor {
	const struct store *store;
	int fd;
	bool packed, open, done;	/* open: within a group */
	uint64_t pos, end;	/* of the file: what is not yet in win */
	unsigned char *win;
	size_t cap, at, n;	/* win[at..n) is to be read */
	const unsigned char *key;	/* in the window, or in copy */
	size_t klen;
	struct buf copy;	/* of the key of a group, which may move on */
	uint64_t prefix;
	void *map;		/* what win is a part of, or NULL */
	size_t maplen;
	bool single;		/* the group is one record, still to be given */
	uint64_t big_left;	/* of a long value, not yet given */
	struct buf raw;		/* of a packed block */
};

struct merge {
	struct cursor *c;
	size_t n;
	uint32_t *tree;		/* tree[0] the winner, the rest losers */
	struct bounds bounds;
	uint64_t hi_prefix;	/* of the upper bound */
	const char *compress;
	struct buf key;		/* of the group being given */
	uint64_t prefix;
	bool in_group;
};

static _Noreturn void
damaged(void)
{
	die("temporary data is damaged");
}

/* The next compressed block into an empty window. */
static void
refill_packed(struct cursor *c, const char *compress)
{
	unsigned char head[8];
	struct buf out = {0};
	size_t raw, len;

	store_check(c->store, c->pos, 8);
	if (pread_full(c->fd, head, 8, c->pos) != 8)
		damaged();
	raw = load_be32(head);
	len = load_be32(head + 4);
	if (len > c->end - c->pos - 8)
		damaged();
	store_check(c->store, c->pos + 8, len);
	buf_reset(&c->raw);
	if (pread_full(c->fd, buf_reserve(&c->raw, len), len, c->pos + 8) !=
	    (ssize_t)len)
		damaged();
	if (store_pack(c->store, compress, true, c->raw.p, len, &out) == -1 ||
	    out.len != raw)
		die("--compress-program %s -d failed", compress);
	free(c->win);
	c->win = out.p;
	c->cap = out.cap;
	c->at = 0;
	c->n = out.len;
	c->pos += 8 + len;
}

/* Brings need bytes together in the window, fewer only at the run's end. */
static void
ensure(struct merge *m, struct cursor *c, size_t need)
{
	size_t want;

	if (c->n - c->at >= need || c->pos == c->end)
		return;
	if (c->packed) {
		if (c->at == c->n)
			refill_packed(c, m->compress);
		return;
	}
	memmove(c->win, c->win + c->at, c->n - c->at);
	c->n -= c->at;
	c->at = 0;
	if (need > c->cap) {
		c->cap = need;
		c->win = xrealloc(c->win, c->cap, 1);
	}
	want = c->cap - c->n;
	if (want > c->end - c->pos)
		want = (size_t)(c->end - c->pos);
	store_check(c->store, c->pos, want);
	if (pread_full(c->fd, c->win + c->n, want, c->pos) != (ssize_t)want)
		die_errno("%s: reading temporary data", c->store->dir);
	c->n += want;
	c->pos += want;
}

static uint64_t
cursor_varint(struct cursor *c)
{
	uint64_t x;
	unsigned n = varint_get(c->win + c->at, c->win + c->n, &x);

	if (n == 0)
		damaged();
	c->at += n;
	return x;
}

/* The only record of its key: at the window's read position. */
static void
single_item(struct cursor *c, struct item *it)
{
	const unsigned char *head = c->win + c->at - SINGLE_HEAD;
	size_t x = head[1] | (size_t)(head[2] & 0x7f) << 8;

	it->count = 1;
	it->noval = x == 0;
	it->vlen = it->n = it->noval ? 0 : x - 1;
	it->p = c->key + c->klen + !it->noval;
	it->text = true;
	c->at += c->klen + x + 1;
	c->single = c->open = false;
}

/* The next item of the group, or false at the group's end. */
static bool
cursor_item(struct merge *m, struct cursor *c, struct item *it)
{
	uint64_t head;
	bool repeated;

	if (c->single) {
		single_item(c, it);
		return true;
	}
	it->text = false;
	ensure(m, c, AHEAD);
	if (c->at == c->n)
		damaged();
	if (c->win[c->at] == 0) {
		c->at++;
		c->open = false;
		return false;
	}
	head = cursor_varint(c);
	repeated = (head & 2) != 0;
	it->noval = head >> 2 == 0;
	it->vlen = it->noval ? 0 : (head >> 2) - 1;
	if (it->vlen <= c->cap / 2 || repeated || c->packed) {
		ensure(m, c, (size_t)it->vlen + AHEAD);
		if (it->vlen > c->n - c->at)
			damaged();
		it->p = c->win + c->at;
		it->n = (size_t)it->vlen;
		c->at += it->n;
		it->count = repeated ? cursor_varint(c) : 1;
	} else {
		it->p = c->win + c->at;
		it->n = c->n - c->at;
		if (it->n > it->vlen)
			it->n = (size_t)it->vlen;
		it->count = 1;
		c->at += it->n;
		c->big_left = it->vlen - it->n;
	}
	return true;
}

/* More of a long value. */
static size_t
cursor_piece(struct merge *m, struct cursor *c, const unsigned char **p)
{
	size_t n;

	if (c->big_left == 0)
		return 0;
	ensure(m, c, 1);
	n = c->n - c->at;
	if (n == 0)
		damaged();
	if (n > c->big_left)
		n = (size_t)c->big_left;
	*p = c->win + c->at;
	c->at += n;
	c->big_left -= n;
	return n;
}

/* Begins a group that is one record, at the window's read position. */
static void
cursor_single(struct merge *m, struct cursor *c)
{
	const unsigned char *head;
	size_t len;

	ensure(m, c, SINGLE_HEAD);
	if (c->n - c->at < SINGLE_HEAD)
		damaged();
	head = c->win + c->at;
	c->klen = head[0] >> 1;
	len = c->klen + (head[1] | (size_t)(head[2] & 0x7f) << 8) + 1;
	ensure(m, c, SINGLE_HEAD + len);
	c->at += SINGLE_HEAD;
	if (len > c->n - c->at)
		damaged();
	c->key = c->win + c->at;
	c->single = true;
}

/* Begins a group of items. */
static void
cursor_key(struct merge *m, struct cursor *c)
{
	uint64_t klen = cursor_varint(c) >> 1;

	ensure(m, c, (size_t)klen + 1);
	if (klen > c->n - c->at)
		damaged();
	buf_reset(&c->copy);
	buf_reserve(&c->copy, (size_t)klen + 1);
	buf_put(&c->copy, c->win + c->at, (size_t)klen);
	c->at += (size_t)klen;
	c->key = c->copy.p;
	c->klen = (size_t)klen;
}

/* Goes to the next group, over what is left of this one. */
static void
cursor_group(struct merge *m, struct cursor *c)
{
	struct item it;
	const unsigned char *p;

	while (c->open)
		if (cursor_item(m, c, &it))
			while (cursor_piece(m, c, &p) > 0)
				;
	ensure(m, c, AHEAD);
	if (c->at == c->n) {
		c->done = true;
		return;
	}
	if (c->win[c->at] & 1)
		cursor_single(m, c);
	else
		cursor_key(m, c);
	c->prefix = prefix8(c->key, c->klen);
	c->open = true;
	if (m->bounds.hi != NULL && c->prefix >= m->hi_prefix &&
	    key_compare(c->key, c->klen, m->bounds.hi, m->bounds.hilen) >= 0)
		c->done = true;
}

/* Whether run a's group comes before run b's. */
static bool
before(const struct merge *m, uint32_t a, uint32_t b)
{
	const struct cursor *x = m->c + a, *y = m->c + b;
	int c;

	if (x->done || y->done)
		return x->done == y->done ? a < b : y->done;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix;
	c = key_compare(x->key, x->klen, y->key, y->klen);
	return c != 0 ? c < 0 : a < b;
}

/* Plays the runs of a subtree and leaves the losers in it. */
static uint32_t
tree_build(struct merge *m, size_t node)
{
	uint32_t a, b;

	if (node >= m->n)
		return (uint32_t)(node - m->n);
	a = tree_build(m, 2 * node);
	b = tree_build(m, 2 * node + 1);
	if (before(m, a, b)) {
		m->tree[node] = b;
		return a;
	}
	m->tree[node] = a;
	return b;
}

/* The winner has moved on: plays it against the losers on its way up. */
static void
tree_replay(struct merge *m)
{
	uint32_t w = m->tree[0];

	for (size_t node = (w + m->n) / 2; node >= 1; node /= 2)
		if (before(m, m->tree[node], w)) {
			uint32_t t = m->tree[node];

			m->tree[node] = w;
			w = t;
		}
	m->tree[0] = w;
}

/* Makes the bytes that are still to be read the window, where they are in
 * memory already.  False if that cannot be. */
static bool
cursor_map(struct cursor *c)
{
#if LINUX
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t from = c->pos / page * page;
	unsigned char *p;

	p = mmap(NULL, c->end - from, PROT_READ, MAP_SHARED | MAP_POPULATE,
	    c->fd, (off_t)from);
	if (p == MAP_FAILED)
		return false;
	c->map = p;
	c->maplen = c->end - from;
	c->win = p + (c->pos - from);
	c->n = c->end - c->pos;
	c->pos = c->end;
	return true;
#else
	(void)c;
	return false;
#endif
}

/* A cursor over a part of a run, with a window of cap bytes or less. */
static void
cursor_open(struct cursor *c, const struct merge_input *in, size_t cap,
    bool compressed)
{
	const struct place *at = &in->run->at;

	c->store = in->stores + at->store;
	c->fd = store_fd(c->store, at);
	c->packed = compressed && at->disk;
	c->pos = at->off + in->begin;
	c->end = at->off + in->end;
	c->cap = c->end - c->pos < cap ? (size_t)(c->end - c->pos) : cap;
	if (c->packed || c->cap == 0)
		return;
	if (at->disk || c->cap < c->end - c->pos || !cursor_map(c))
		c->win = xrealloc(NULL, c->cap, 1);
}

static void
cursor_close(struct cursor *c)
{
#if LINUX
	if (c->map != NULL)
		munmap(c->map, c->maplen);
	else
#endif
		free(c->win);
	buf_free(&c->copy);
	buf_free(&c->raw);
}

/* Merges n runs, given in input order, between bounds, with windows that
 * have memory bytes together.  The bounds' bytes stay the caller's. */
struct merge *
merge_new(const struct merge_input *in, size_t n, const struct bounds *bounds,
    size_t memory, const char *compress)
{
	struct merge *m = xzalloc(1, sizeof *m);
	size_t cap = n == 0 ? 0 : memory / n;

	if (cap < MERGE_WINDOW)
		cap = MERGE_WINDOW;
	if (cap > WINDOW_MOST)
		cap = WINDOW_MOST;
	m->n = n;
	m->c = xzalloc(n, sizeof *m->c);
	m->tree = xzalloc(n + 1, sizeof *m->tree);
	m->compress = compress;
	if (bounds != NULL)
		m->bounds = *bounds;
	if (m->bounds.hi != NULL)
		m->hi_prefix = prefix8(m->bounds.hi, m->bounds.hilen);
	for (size_t i = 0; i < n; i++) {
		struct cursor *c = m->c + i;

		cursor_open(c, in + i, cap, compress != NULL);
		do
			cursor_group(m, c);
		while (!c->done && m->bounds.lo != NULL && key_compare(
		    c->key, c->klen, m->bounds.lo, m->bounds.lolen) < 0);
	}
	if (n > 0)
		m->tree[0] = tree_build(m, 1);
	return m;
}

/* Whether there is no key at all; asked before the first merge_group. */
bool
merge_is_empty(const struct merge *m)
{
	return m->n == 0 || m->c[m->tree[0]].done;
}

/* Moves to the next key, over what is left of this one. */
bool
merge_group(struct merge *m)
{
	struct cursor *c;
	struct item it;

	while (m->in_group)
		merge_item(m, &it);
	if (m->n == 0)
		return false;
	c = m->c + m->tree[0];
	if (c->done)
		return false;
	buf_reset(&m->key);
	buf_put(&m->key, c->key, c->klen);
	m->prefix = c->prefix;
	m->in_group = true;
	return true;
}

const unsigned char *
merge_key(const struct merge *m, size_t *len)
{
	*len = m->key.len;
	return m->key.p;
}

/* The next value of the key, or false. */
bool
merge_item(struct merge *m, struct item *it)
{
	while (m->in_group) {
		struct cursor *c = m->c + m->tree[0];
		const unsigned char *p;

		while (cursor_piece(m, c, &p) > 0)
			;
		if (c->open && cursor_item(m, c, it))
			return true;
		cursor_group(m, c);
		tree_replay(m);
		c = m->c + m->tree[0];
		m->in_group = !c->done && c->prefix == m->prefix &&
		    c->klen == m->key.len && (m->key.len == 0 ||
		    memcmp(c->key, m->key.p, m->key.len) == 0);
	}
	return false;
}

/* More bytes of the last item's value; 0 when it has been given whole. */
size_t
merge_piece(struct merge *m, const unsigned char **p)
{
	return cursor_piece(m, m->c + m->tree[0], p);
}

void
merge_free(struct merge *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		cursor_close(m->c + i);
	free(m->c);
	free(m->tree);
	buf_free(&m->key);
	free(m);
}

/* A record is replayed as key, separator, value, delimiter, or as a pair: the
 * key between the two lengths, then the value.  What does not fit into the caller's buffer is put out in stages. */
enum stage { STAGE_NONE, STAGE_KEY, STAGE_VALUE, STAGE_END };

struct replay {
	struct merge *m;
	struct shape shape;
	bool unique, begun;
	size_t klen;		/* of this key as text, with all that frames it */
	struct buf key;		/* that text, made when it is needed */
	struct buf group;	/* KEY_DEFS: what says which group it is */
	bool group_begins;
	struct item it;
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

/* A key has ended: remembers it if it is the heaviest. */
static void
weigh_key(struct replay *r)
{
	size_t head = r->shape.fmt.pairs ? PAIR_HEAD : 0;
	size_t tail = r->shape.fmt.pairs ? PAIR_HEAD : 1;
	size_t len;

	if (r->weight > r->hot && has_groups(&r->shape)) {
		make_key(r);
		len = r->key.len > 0 ? r->key.len - head - tail : 0;
		r->hot = r->weight;
		buf_reset(&r->hot_key);
		if (len > 0)
			buf_put(&r->hot_key, r->key.p + head,
			    len < NAMED ? len : NAMED);
	}
	r->weight = 0;
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

	if (r->shape.key != KEY_DEFS)
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
	while (!r->begun || r->unique || !merge_item(r->m, &r->it)) {
		if (!next_key(r))
			return false;
		if (r->unique && merge_item(r->m, &r->it)) {
			r->it.count = 1;
			break;
		}
	}
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
		if (r->left == 0 && !next_item(r))
			break;
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
	free(r);
}
