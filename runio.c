/* runio.c - sorted runs: how they are written and how their index is read.
 *
 * A run is a sequence of blocks, then an index with an entry for each block.
 *
 *	block = (group | single)...
 *	group = varint(key length << 1) key item... 0
 *	item  = varint(x << 2 | repeated << 1 | 1) value [varint(count)]
 *	        x is 0 for a record without a value, else its length + 1
 *	single = byte(key length << 1 | 1) 15 bits(x) 1 bit(1) text
 *	text  = key [separator value] delimiter
 *
 * A key stands once before its values, and equal neighbours are one item
 * with a count, so a word count of gigabytes is a run of megabytes.  A group
 * that fills a block goes on in the next one, under the same key again.  A
 * short record that is alone with its key, and no pair, stands as text, to be
 * copied as a whole.  The byte before the key tells by its highest bit which it is.
 * Blocks are small where a run is small and up to 64 KiB where it is big, by
 * bytes stored and by bytes when replayed, so that the index can cut a run
 * of any size into even parts.
 *
 * A run on disk can be compressed: then about 1 MiB of blocks is compressed
 * together, and two lengths (raw, compressed; 32 bits, big endian) stand
 * before it.  All of these blocks begin where they do, says the index.
 *
 * Life of a writer: runw_new; for each run runw_begin, then for each group
 * in key order runw_key and its items, then runw_end; runw_free.  A value
 * that is not in memory as a whole is given by runw_big and runw_more. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	BUFFER = 256 * KiB,
	BLOCK_LEAST = 1 * KiB, BLOCK_MOST = 64 * KiB,
	BLOCK_PACKED = 1 * MiB,
	WEIGHT_LEAST = 4 * KiB,
	FRACTION = 512,		/* a block is so much of the run so far */
	COLLAPSE = 128,		/* longest value that is kept as value, count */
};
_Static_assert(SINGLE_KEY <= 127 && SINGLE_VALUE < 0x7fff, "fit their head");

struct run_value {		/* of an item */
	const unsigned char *p;
	size_t len;
	uint64_t count;
	bool noval;
};

struct run_writer {
	struct store *store;
	const char *compress;
	struct format fmt;
	struct run run;
	struct buf out;		/* not yet appended */
	uint64_t written;	/* raw bytes of blocks, those in out too */
	uint64_t block_at;	/* written when the block began */
	uint64_t block_weight, block_limit, weight_limit;
	struct buf key, previous;	/* of this group, of the one before */
	size_t group;		/* bytes of key that say which group it is */
	size_t shown;
	bool in_group, packed;
	unsigned char last[COLLAPSE];	/* the item that may still repeat */
	size_t last_len;
	uint64_t last_count;	/* 0: there is none */
	bool last_noval;
	uint64_t big_left;	/* bytes that runw_more has still to bring */
	struct buf index;	/* off, weight, key length, key: per block */
};

struct run_writer *
runw_new(struct store *store, uint16_t store_id, const char *compress,
    const struct format *fmt)
{
	struct run_writer *w = xzalloc(1, sizeof *w);

	w->store = store;
	w->compress = compress;
	w->fmt = *fmt;
	w->run.at.store = store_id;
	return w;
}

/* Begins a run of about expect bytes. */
void
runw_begin(struct run_writer *w, uint64_t expect)
{
	struct place at = w->run.at;

	store_pick(w->store, expect, &at);
	w->run = (struct run){ .at = at };
	w->packed = w->compress != NULL && at.disk;
	w->written = w->block_at = 0;
	w->block_weight = 0;
	w->in_group = false;
	w->last_count = 0;
	buf_reset(&w->out);
	buf_reset(&w->index);
	buf_reset(&w->previous);
	buf_reset(&w->key);
}

static void
flush(struct run_writer *w)
{
	store_append(w->store, &w->run.at, w->out.p, w->out.len);
	buf_reset(&w->out);
}

static void
put(struct run_writer *w, const void *data, size_t len)
{
	w->written += len;
	if (w->packed || len <= BUFFER) {
		buf_put(&w->out, data, len);
		if (!w->packed && w->out.len >= BUFFER)
			flush(w);
	} else {
		flush(w);
		store_append(w->store, &w->run.at, data, len);
	}
}

static void
put_varint(struct run_writer *w, uint64_t x)
{
	unsigned char tmp[10];

	put(w, tmp, varint_put(tmp, x));
}

/* Length of the shortest prefix of key that is above previous, so that the
 * index need not hold whole keys; and no more than the group, so that a cut
 * there is between groups. */
static size_t
separator_length(const struct buf *key, const struct buf *previous,
    size_t group)
{
	size_t n = 0;

	while (n < key->len && n < previous->len && key->p[n] == previous->p[n])
		n++;
	return n < group ? n + 1 : group;
}

static void
index_put(struct run_writer *w, uint64_t x)
{
	unsigned char tmp[10];

	buf_put(&w->index, tmp, varint_put(tmp, x));
}

/* Where the data being written now will stand, from the run's begin. */
static uint64_t
data_offset(const struct run_writer *w)
{
	return w->run.at.len + (w->packed ? 0 : w->out.len);
}

static void
block_begin(struct run_writer *w)
{
	size_t klen = separator_length(&w->key, &w->previous, w->group);

	index_put(w, data_offset(w));
	index_put(w, klen);
	buf_put(&w->index, w->key.p, klen);
	w->run.nblocks++;
	w->block_at = w->written;
	w->block_weight = 0;
	w->block_limit = w->written / FRACTION;
	if (w->block_limit < BLOCK_LEAST)
		w->block_limit = BLOCK_LEAST;
	if (w->block_limit > BLOCK_MOST)
		w->block_limit = BLOCK_MOST;
	if (w->block_limit < 8 * w->key.len)
		w->block_limit = 8 * w->key.len;
	w->weight_limit = w->run.weight / FRACTION;
	if (w->weight_limit < WEIGHT_LEAST)
		w->weight_limit = WEIGHT_LEAST;
}

static void
block_pack(struct run_writer *w)
{
	struct buf packed = {0};
	unsigned char head[8];

	if (store_pack(w->store, w->compress, false, w->out.p, w->out.len,
	    &packed) == -1)
		die("--compress-program %s failed", w->compress);
	if (w->out.len > UINT32_MAX || packed.len > UINT32_MAX)
		die("a record is too long to be compressed");
	store_be32(head, (uint32_t)w->out.len);
	store_be32(head + 4, (uint32_t)packed.len);
	store_append(w->store, &w->run.at, head, sizeof head);
	store_append(w->store, &w->run.at, packed.p, packed.len);
	buf_free(&packed);
	buf_reset(&w->out);
}

static void
block_end(struct run_writer *w)
{
	index_put(w, w->block_weight);
	if (w->packed && w->out.len >= BLOCK_PACKED)
		block_pack(w);
}

static void
group_begin(struct run_writer *w)
{
	put_varint(w, (uint64_t)w->key.len << 1);
	put(w, w->key.p, w->key.len);
	w->in_group = true;
}

static void
group_end(struct run_writer *w)
{
	put(w, "", 1);
	w->in_group = false;
}

/* Called before an item: a full block is closed, and the group goes on in
 * the next one. */
static void
room_for_item(struct run_writer *w)
{
	uint64_t used = w->written - w->block_at;

	if (w->in_group && (used >= w->block_limit ||
	    w->block_weight >= w->weight_limit)) {
		group_end(w);
		block_end(w);
		buf_reset(&w->previous);	/* so that the index says all */
		buf_put(&w->previous, w->key.p, w->key.len);
		block_begin(w);
		group_begin(w);
	}
	if (!w->in_group)
		group_begin(w);
}

static void
count_item(struct run_writer *w, uint64_t vlen, uint64_t count)
{
	uint64_t weight = count * (w->shown + vlen);

	w->block_weight += weight;
	w->run.weight += weight;
	w->run.records += count;
}

static void
item_head(struct run_writer *w, uint64_t vlen, bool noval, bool repeated)
{
	put_varint(w, (noval ? 0 : vlen + 1) << 2 |
	    (uint64_t)repeated << 1 | 1);
}

/* Writes a record that is alone with its key.  If the key and the value
 * stand in memory as they do in a text, key and v are of one piece. */
static void
put_single(struct run_writer *w, const unsigned char *key, size_t klen,
    const unsigned char *v, size_t vlen, bool noval)
{
	size_t len = klen + (noval ? 0 : 1 + vlen) + 1, x = noval ? 0 : vlen + 1;
	unsigned char *p;

	if (!w->packed && w->out.len + SINGLE_HEAD + len > BUFFER)
		flush(w);
	p = buf_reserve(&w->out, SINGLE_HEAD + len);
	w->out.len += SINGLE_HEAD + len;
	w->written += SINGLE_HEAD + len;
	*p++ = (unsigned char)(klen << 1 | 1);
	*p++ = (unsigned char)x;
	*p++ = (unsigned char)(x >> 8 | 0x80);
	if (v == key + klen + 1) {
		memcpy(p, key, klen + 1 + vlen);
	} else {
		if (klen > 0)
			memcpy(p, key, klen);
		if (vlen > 0)
			memcpy(p + klen + 1, v, vlen);
	}
	if (!noval)
		p[klen] = w->fmt.sep;
	p[len - 1] = w->fmt.delim;
	count_item(w, vlen, 1);
}

/* Writes the item that was kept back because it might have repeated; ends
 * says that it is the last one of its group. */
static void
settle(struct run_writer *w, bool ends)
{
	uint64_t count = w->last_count;

	if (count == 0)
		return;
	if (ends && count == 1 && !w->in_group && !w->fmt.pairs &&
	    w->key.len <= SINGLE_KEY) {
		put_single(w, w->key.p, w->key.len, w->last, w->last_len,
		    w->last_noval);
		w->last_count = 0;
		return;
	}
	if (!w->in_group && w->block_weight > 0 &&
	    count * (w->shown + w->last_len) >= w->weight_limit) {
		/* So much of one key must not count as of those before. */
		block_end(w);
		block_begin(w);
	}
	room_for_item(w);
	item_head(w, w->last_len, w->last_noval, count > 1);
	put(w, w->last, w->last_len);
	if (count > 1)
		put_varint(w, count);
	count_item(w, w->last_len, count);
	w->last_count = 0;
}

/* Begins the group of a key above all before it and returns true; for the
 * same key again it does nothing.  group is how much of the key says which
 * group of the job it is in; shown is what a record of it takes besides its
 * value when it is replayed. */
bool
runw_key(struct run_writer *w, const unsigned char *key, size_t klen,
    size_t group, size_t shown)
{
	struct buf swap;

	if (w->run.nblocks > 0 && klen == w->key.len &&
	    (klen == 0 || memcmp(key, w->key.p, klen) == 0))
		return false;
	settle(w, true);
	if (w->in_group)
		group_end(w);
	swap = w->previous;
	w->previous = w->key;
	w->key = swap;
	buf_reset(&w->key);
	buf_put(&w->key, key, klen);
	w->group = group;
	w->shown = shown;
	if (w->run.nblocks == 0) {
		block_begin(w);
	} else if (w->written - w->block_at >= w->block_limit ||
	    w->block_weight >= w->weight_limit) {
		block_end(w);
		block_begin(w);
	}
	return true;
}

/* Adds count equal values to the group. */
void
runw_item(struct run_writer *w, const unsigned char *v, size_t len,
    bool noval, uint64_t count)
{
	if (w->last_count > 0 && len == w->last_len &&
	    noval == w->last_noval && (len == 0 ||
	    memcmp(v, w->last, len) == 0)) {
		w->last_count += count;
		return;
	}
	settle(w, false);
	if (len <= COLLAPSE) {
		if (len > 0)
			memcpy(w->last, v, len);
		w->last_len = len;
		w->last_noval = noval;
		w->last_count = count;
	} else {
		for (; count > 0; count--) {
			runw_big(w, len, v, len);
		}
	}
}

/* What the item at p holds; returns where the next one begins. */
static const unsigned char *
item_parse(const unsigned char *p, const unsigned char *end,
    struct run_value *v)
{
	uint64_t head;

	p += varint_get(p, end, &head);
	*v = (struct run_value){ .p = p, .noval = head >> 2 == 0, .count = 1 };
	v->len = v->noval ? 0 : (size_t)(head >> 2) - 1;
	p += v->len;
	if (head & 2)
		p += varint_get(p, end, &v->count);
	return p;
}

/* Adds an item that is encoded as here; returns where the next one begins. */
static const unsigned char *
add_encoded(struct run_writer *w, const unsigned char *p,
    const unsigned char *end)
{
	struct run_value v;

	p = item_parse(p, end, &v);
	runw_item(w, v.p, v.len, v.noval, v.count);
	return p;
}

/* Adds items to the group that are encoded as here, from p on up to end or a
 * byte of 0, whichever comes first, and returns where that is.  The first may
 * repeat what came before, and the last be repeated; those between are put as
 * they are. */
const unsigned char *
runw_encoded(struct run_writer *w, const unsigned char *p,
    const unsigned char *end)
{
	const unsigned char *from, *next;
	struct run_value v;

	p = add_encoded(w, p, end);
	if (p == end || *p == 0)
		return p;
	settle(w, false);
	for (from = p;; p = next) {
		next = item_parse(p, end, &v);
		if (next == end || *next == 0)
			break;
		if (w->written - w->block_at + (uint64_t)(p - from) >=
		    w->block_limit || w->block_weight >= w->weight_limit) {
			put(w, from, (size_t)(p - from));
			room_for_item(w);
			from = p;
		}
		count_item(w, v.len, v.count);
	}
	put(w, from, (size_t)(p - from));
	return add_encoded(w, p, end);
}

/* Adds a record that no other shares its key with: runw_key and runw_item in
 * one. */
void
runw_single(struct run_writer *w, const unsigned char *key, size_t klen,
    size_t group, size_t shown, const unsigned char *v, size_t vlen,
    bool noval)
{
	if (klen > SINGLE_KEY || vlen > SINGLE_VALUE || w->fmt.pairs) {
		runw_key(w, key, klen, group, shown);
		runw_item(w, v, vlen, noval, 1);
		return;
	}
	if (w->last_count > 0 || w->in_group || w->run.nblocks == 0 ||
	    w->written - w->block_at >= w->block_limit ||
	    w->block_weight >= w->weight_limit) {
		runw_key(w, key, klen, group, shown);
	} else {
		w->key.len = 0;
		buf_put(&w->key, key, klen);
		w->group = group;
		w->shown = shown;
	}
	put_single(w, key, klen, v, vlen, noval);
}

/* Adds one value of vlen bytes, of which len are here; runw_more brings the
 * rest. */
void
runw_big(struct run_writer *w, uint64_t vlen, const void *p, size_t len)
{
	settle(w, false);
	room_for_item(w);
	item_head(w, vlen, false, false);
	count_item(w, vlen, 1);
	w->big_left = vlen;
	runw_more(w, p, len);
}

void
runw_more(struct run_writer *w, const void *p, size_t len)
{
	put(w, p, len);
	w->big_left -= len;
}

/* Whether the run may go on with a group of that key and about more bytes:
 * it is above all before it, and in memory there is room. */
bool
runw_follows(const struct run_writer *w, const unsigned char *key, size_t klen,
    uint64_t more)
{
	uint64_t end = w->run.at.off + w->run.at.len + w->out.len + more;

	return (w->run.at.disk || end <= w->store->memmax) &&
	    key_compare(w->key.p, w->key.len, key, klen) < 0;
}

/* Completes the run, which stays in the store, and describes it. */
void
runw_end(struct run_writer *w, struct run *run)
{
	settle(w, true);
	if (w->in_group)
		group_end(w);
	if (w->run.nblocks > 0)
		block_end(w);
	if (!w->packed)
		flush(w);
	else if (w->out.len > 0)
		block_pack(w);
	w->run.data = w->run.at.len;
	store_append(w->store, &w->run.at, w->index.p, w->index.len);
	store_keep(w->store, &w->run.at);
	*run = w->run;
}

void
runw_free(struct run_writer *w)
{
	if (w == NULL)
		return;
	buf_free(&w->out);
	buf_free(&w->key);
	buf_free(&w->previous);
	buf_free(&w->index);
	free(w);
}

static uint64_t
index_get(const unsigned char **p, const unsigned char *end)
{
	uint64_t x;
	unsigned n = varint_get(*p, end, &x);

	if (n == 0)
		die("temporary data is damaged (a run's index)");
	*p += n;
	return x;
}

/* Reads the index of a run; run_index_free forgets it. */
void
run_index_read(const struct store *store, const struct run *run,
    struct run_index *ix)
{
	size_t len = run->at.len - run->data, n = run->nblocks;
	unsigned char *raw = xrealloc(NULL, len, 1);
	const unsigned char *p = raw, *end = raw + len;

	store_check(store, run->at.off + run->data, len);
	if (pread_full(store_fd(store, &run->at), raw, len,
	    run->at.off + run->data) != (ssize_t)len)
		die_errno("%s: reading temporary data", store->dir);
	*ix = (struct run_index){ .n = n };
	buf_reserve(&ix->keys, 1);	/* so that an empty key is not NULL */
	ix->off = xrealloc(NULL, n + 1, sizeof *ix->off);
	ix->weight = xrealloc(NULL, n + 1, sizeof *ix->weight);
	ix->keyoff = xrealloc(NULL, n + 1, sizeof *ix->keyoff);
	for (size_t i = 0; i < n; i++) {
		uint64_t klen;

		ix->off[i] = index_get(&p, end);
		klen = index_get(&p, end);
		if (klen > (uint64_t)(end - p) ||
		    ix->keys.len + klen > UINT32_MAX)
			die("temporary data is damaged (a run's index)");
		ix->keyoff[i] = (uint32_t)ix->keys.len;
		buf_put(&ix->keys, p, klen);
		p += klen;
		ix->weight[i] = index_get(&p, end);
	}
	ix->off[n] = run->data;
	ix->keyoff[n] = (uint32_t)ix->keys.len;
	free(raw);
}

void
run_index_free(struct run_index *ix)
{
	free(ix->off);
	free(ix->weight);
	free(ix->keyoff);
	buf_free(&ix->keys);
	*ix = (struct run_index){0};
}

/* The number of blocks whose index key is below key: a reader of keys from
 * key on starts at the last of them, a reader of keys below it stops after
 * the last of them. */
size_t
run_index_find(const struct run_index *ix, const void *key, size_t len)
{
	size_t lo = 0, hi = ix->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (key_compare(ix->keys.p + ix->keyoff[mid],
		    ix->keyoff[mid + 1] - ix->keyoff[mid], key, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
