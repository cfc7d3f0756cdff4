/* merge.c - sorted runs to one sorted stream of groups.
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
 * values, or merge_items for some at a time; merge_piece for the rest of a
 * long one; merge_free.  Where records stand as text, merge_texts takes many of
 * them, whatever their keys.  What is given is good until the next call. */

#define _GNU_SOURCE		/* MAP_POPULATE */
#include <sys/mman.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	WINDOW_MOST = 1 * MiB,
	AHEAD = 32,		/* bytes enough for any head of an item */
	SHORT_ITEM = 1 + 2 * 16 + 10,	/* bytes to look at of a short one */
	SOON = 256,		/* bytes of a window that are fetched early */
};
_Static_assert(ITEM_SHORT <= 2 * 16, "a short value is read so");

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

struct node {
	uint64_t prefix;	/* of the run's group; UINT64_MAX at its end */
	uint32_t run;
};

struct merge {
	struct cursor *c;
	size_t n;
	struct node *tree;	/* tree[0] the winner, the rest losers */
	struct bounds bounds;
	uint64_t hi_prefix;	/* of the upper bound */
	const char *compress;
	struct buf key;		/* of the group being given */
	uint64_t prefix;
	bool in_group;
	bool taken;		/* the winner's record has been given as text,
				 * and the winner has not moved on */
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

/* Bytes that a record alone with its key has behind it, without the delimiter,
 * by its head. */
static inline size_t
single_rest(const unsigned char *head)
{
	return head[1] | (size_t)(head[2] & 0x7f) << 8;
}

/* Goes over the only record of a key; returns what it has behind it. */
static inline size_t
single_over(struct cursor *c)
{
	size_t x = single_rest(c->win + c->at - SINGLE_HEAD);

	c->at += c->klen + x + 1;
	c->single = c->open = false;
	return x;
}

/* The only record of its key: at the window's read position. */
static void
single_item(struct cursor *c, struct item *it)
{
	size_t x = single_over(c);

	it->count = 1;
	it->noval = x == 0;
	it->vlen = it->n = it->noval ? 0 : x - 1;
	it->p = c->key + c->klen + !it->noval;
	it->text = true;
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
	__builtin_prefetch(head + SOON);
	c->klen = head[0] >> 1;
	len = c->klen + single_rest(head) + 1;
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
	buf_reserve(&c->copy, (size_t)klen + 8);	/* for its prefix */
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
	c->prefix = !c->single || c->n - c->at >= 8 ?
	    prefix8_ahead(c->key, c->klen) : prefix8(c->key, c->klen);
	c->open = true;
	if (m->bounds.hi != NULL && c->prefix >= m->hi_prefix &&
	    key_compare(c->key, c->klen, m->bounds.hi, m->bounds.hilen) >= 0)
		c->done = true;
}

/* Whether run a's group comes before run b's, of the same prefix: of keys that
 * are not longer than that the shorter comes first. */
static bool
before(const struct merge *m, uint32_t a, uint32_t b)
{
	const struct cursor *x = m->c + a, *y = m->c + b;
	int c;

	if (x->done || y->done)
		return x->done == y->done ? a < b : y->done;
	if (x->klen <= 8 || y->klen <= 8)
		return x->klen != y->klen ? x->klen < y->klen : a < b;
	c = key_compare(x->key + 8, x->klen - 8, y->key + 8, y->klen - 8);
	return c != 0 ? c < 0 : a < b;
}

/* The place of a run in the tree. */
static struct node
node_of(const struct merge *m, uint32_t run)
{
	return (struct node){ m->c[run].done ? UINT64_MAX : m->c[run].prefix,
	    run };
}

static inline bool
node_before(const struct merge *m, struct node a, struct node b)
{
	return a.prefix != b.prefix ? a.prefix < b.prefix :
	    before(m, a.run, b.run);
}

/* Plays the runs of a subtree and leaves the losers in it. */
static struct node
tree_build(struct merge *m, size_t at)
{
	struct node a, b;

	if (at >= m->n)
		return node_of(m, (uint32_t)(at - m->n));
	a = tree_build(m, 2 * at);
	b = tree_build(m, 2 * at + 1);
	if (node_before(m, a, b)) {
		m->tree[at] = b;
		return a;
	}
	m->tree[at] = a;
	return b;
}

/* The winner has moved on: plays it against the losers on its way up. */
static inline void
tree_replay(struct merge *m)
{
	struct node w = node_of(m, m->tree[0].run);

	for (size_t at = (w.run + m->n) / 2; at >= 1; at /= 2) {
		struct node x = m->tree[at];
		bool wins = node_before(m, x, w);

		m->tree[at] = wins ? w : x;
		w = wins ? x : w;
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
	return m->n == 0 || m->c[m->tree[0].run].done;
}

/* Lets the winner move on. */
static void
move_on(struct merge *m)
{
	m->taken = false;
	cursor_group(m, m->c + m->tree[0].run);
	tree_replay(m);
}

/* Moves to the next key, over what is left of this one. */
bool
merge_group(struct merge *m)
{
	struct cursor *c;
	struct item it;

	while (m->in_group)
		merge_item(m, &it);
	if (m->taken)
		move_on(m);
	if (m->n == 0)
		return false;
	c = m->c + m->tree[0].run;
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
		struct cursor *c = m->c + m->tree[0].run;
		const unsigned char *p;

		while (cursor_piece(m, c, &p) > 0)
			;
		if (c->open && cursor_item(m, c, it))
			return true;
		move_on(m);
		c = m->c + m->tree[0].run;
		m->in_group = !c->done && c->prefix == m->prefix &&
		    c->klen == m->key.len && (c->klen <= 8 ||
		    memcmp(c->key + 8, m->key.p + 8, c->klen - 8) == 0);
	}
	return false;
}

/* The items that follow in the window, up to max of them, as long as their
 * values are short. */
static size_t
cursor_items(struct cursor *c, struct item *v, size_t max)
{
	const unsigned char *p = c->win + c->at, *end = c->win + c->n;
	size_t n = 0;

	for (; n < max && end - p >= SHORT_ITEM; n++) {
		unsigned head = *p, x = head >> 2;

		if (head == 0 || head >= 0x80)
			break;
		v[n] = (struct item){ .vlen = x - (x > 0), .count = 1,
		    .noval = x == 0, .p = p + 1, .n = x - (x > 0) };
		p += 1 + v[n].n;
		if (head & 2)
			p += varint_get(p, end, &v[n].count);
	}
	c->at = (size_t)(p - c->win);
	return n;
}

/* The next values of the key, max at most; 0 when there are none.  Only the
 * first can be long.  Short ones can be read 16 bytes at a time. */
size_t
merge_items(struct merge *m, struct item *v, size_t max)
{
	struct cursor *c;

	if (!merge_item(m, v))
		return 0;
	c = m->c + m->tree[0].run;
	return c->big_left > 0 || !c->open ? 1 :
	    1 + cursor_items(c, v + 1, max - 1);
}

/* Whether the window stays where it is when the next group begins. */
static inline bool
stays(const struct cursor *c)
{
	const unsigned char *head = c->win + c->at;
	size_t left = c->n - c->at;

	return c->pos == c->end || (left >= AHEAD && head[0] & 1 && left >=
	    SINGLE_HEAD + (head[0] >> 1) + single_rest(head) + 1);
}

/* The records that come next, as long as each is the only one of its key in
 * its run and short: up to max of them, with room bytes together.  Only before
 * the first group and after the last value of one; 0: there is none, and
 * merge_group finds other ones. */
size_t
merge_texts(struct merge *m, struct text *v, size_t max, size_t room)
{
	size_t n = 0, len;

	if (m->n == 0 || m->in_group)
		return 0;
	if (m->taken)
		move_on(m);
	while (n < max && !m->taken) {
		struct cursor *c = m->c + m->tree[0].run;

		if (c->done || !c->single)
			break;
		len = c->klen + single_rest(c->win + c->at - SINGLE_HEAD) + 1;
		if (len > room)
			break;
		room -= len;
		v[n++] = (struct text){ c->prefix, c->key, len, c->klen };
		single_over(c);
		m->taken = true;
		if (stays(c))	/* else what was given would be lost */
			move_on(m);
	}
	return n;
}

/* The key of what merge_texts would give next, or NULL if that is none. */
const unsigned char *
merge_next(struct merge *m, size_t *len)
{
	const struct cursor *c;

	if (m->n == 0)
		return NULL;
	if (m->taken)
		move_on(m);
	c = m->c + m->tree[0].run;
	if (c->done)
		return NULL;
	*len = c->klen;
	return c->key;
}

/* More bytes of the last item's value; 0 when it has been given whole. */
size_t
merge_piece(struct merge *m, const unsigned char **p)
{
	return cursor_piece(m, m->c + m->tree[0].run, p);
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
