/* collect.c - gathers a worker's map output in bounded memory and writes it
 * as sorted runs.
 *
 * Everything is in one arena: records and groups grow up from its bottom,
 * entries (radix.c) grow down from its top, and the space between is the
 * scratch of the sort.  There are two ways to gather, and the collector
 * chooses by what it sees:
 *
 *   grouping	each record is looked up by its key's hash; a key stands
 *		once, with its values in order of arrival, equal neighbours
 *		as one value and a count.  Best where keys repeat.
 *   raw	bytes are read straight into the arena and get an entry a
 *		record.  Best where they do not.
 *
 * Both may happen in one buffer: an entry is a group or a record, the sort
 * brings those of a key together in order of arrival, and the run writer
 * makes one group of them.
 *
 * An attempt begins at a watermark.  Of what stands below it, it changes only
 * the ends of groups, whose values are written nowhere but behind them, and
 * tallies (see below); how these were is noted before the first change.  So a
 * failed attempt is undone by putting that back and going back to the
 * watermark.  When the arena is full in the middle of an attempt it becomes
 * two runs, one committed and one not: first the entries below the watermark
 * as they were, then those above it and what the others have got since.  Tasks
 * that follow each other in the input share a buffer and so a run; the worker
 * flushes where they do not.
 *
 * With a built-in reducer a key has a tally (tally.c) where that is enough,
 * or else a group with cells (cell.c) in place of values; a record without
 * either has its saved cells as its value; and in a run all of a key is one
 * item.  An attempt has cells of its own, which are not added to those of
 * earlier tasks.  For tallies it makes no difference what comes first, so those
 * of keys that come often stay when a full arena is emptied.  A record that is
 * not right is noted and left out.
 *
 * Life: collect_new; for each attempt collect_begin, then collect_room and
 * collect_filled as long as there is output, collect_end, and
 * collect_commit or collect_rollback; collect_flush; collect_free.
 *
 * MR_DEBUG=group always groups, nogroup never does, switch stops grouping
 * after a few records of each buffer, nojoin writes a run for every task,
 * cramped has little memory. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	IN_ROOM = 256 * KiB,	/* bytes read at a time */
	BOTTOM = 8,		/* offset 0 means none */
	TABLE_LEAST = 1024,	/* slots */
	AHEAD = 16,		/* entries whose records are fetched early */
	END_AHEAD = 8,		/* records whose groups' ends are */
	JUDGE_AT = 32768,	/* records after which grouping is judged */
	CAP_UNIT = 16,		/* bytes */
	CHUNK_MOST = UINT8_MAX * CAP_UNIT, /* longer: hold one value */
	TAIL = 10,		/* kept free in a chunk: a count and a jump */
	NOTED = MiB,		/* a record this long may need much memory */
	SLACK = 16,		/* readable bytes behind every key and value */
	LINE = 64,		/* of the cache: small groups touch but one */
	CRAMPED = 48 * KiB,	/* MR_DEBUG */
	OFTEN = 255,		/* records of a key; more are as good */
};
_Static_assert(TAIL >= 8, "see item_put");

/* What a key has gathered.  Its key follows, then its first chunk.  Values are
 * encoded as in a run (runio.c); in a chunk a 0 and a 32-bit offset lead to the
 * next. */
struct group {
	uint32_t repeats;	/* of the last item, not encoded yet */
	uint32_t last;		/* offset of the last item */
	uint32_t end;		/* of what there is, in the last chunk; NEWS:
				 * number of the undo note */
	uint16_t left;		/* bytes that the last chunk still has */
	uint8_t cap;		/* of the last chunk, see cap_units */
	uint8_t digest;		/* of the last value, see value_digest */
	uint32_t klen;
	uint32_t attempt;	/* the last one that it is of, or was noted in */
	unsigned char key[];
};
/* NEWS: stands for what has been added to it in this attempt. */
enum { NEWS = 0 };
_Static_assert(sizeof(struct group) == GROUP_KEY_AT, "see entry_key");

/* How a group was before the attempt; from undo_keep on, what it has got
 * since: more of the item that was its last, and items. */
struct undo {
	uint32_t group;		/* its offset */
	uint32_t repeats, last, end;
	union {
		struct {
			uint16_t left;
			uint8_t cap, digest;
		};
		uint32_t first;	/* item; none: end */
	};
	uint32_t again;		/* count of the item that was the last */
};

struct slot {
	uint32_t hash;		/* its high bits choose the slot */
	uint32_t off;		/* of the group; TALLY: of a tally's key */
};

/* A tally stands before this, and its key follows. */
struct tally_head {
	uint32_t attempt;	/* the last one that it is of, or was noted in */
	uint32_t klen;		/* | TALLY_KEY: see entry_value */
};
enum { TALLY = 1 };		/* offsets of keys and groups are even */
#define TALLY_KEY 0x80000000u

struct mark {
	size_t used, n;
};

struct collect {
	struct shape shape;
	const struct aggspec *agg;	/* the built-in reducer, or NULL */
	struct fold *fold;	/* for it */
	bool tallies;		/* keys begin with a tally, */
	size_t tally_size;	/* which has so many bytes */
	/* Of the present attempt: */
	uint32_t attempt;	/* counts them, from 1 */
	struct undo *undo;	/* groups of earlier tasks that it has changed */
	size_t nundo, cap_undo;
	struct buf notes;	/* the same of tallies, see tally_note */
	size_t stay;		/* its first tallies, which a spill has left */
	uint64_t stay_before;	/* records that they had then */
	struct buf saved, complaint;
	struct store *store;
	struct run_writer *writer;
	void (*emit)(void *, const struct run *, bool);
	void *arg;
	unsigned char *arena;
	size_t cap, cap_usual;
	size_t used;		/* bytes of records and groups */
	size_t fill;		/* raw: bytes read; used..fill not yet scanned */
	size_t n;		/* entries */
	struct mark mark;
	uint64_t begin, read;	/* collect_begin's at; bytes since then */
	uint64_t most;		/* bytes that a record may have */
	bool lost;		/* one has more: all of the attempt is */
	const char *input;	/* the file that it reads, or NULL */
	size_t longest;		/* bytes of a record ever, if over NOTED */
	unsigned char *in;	/* what was read, when not straight */
	size_t in_len, in_cap;
	bool grouping, straight;	/* straight: reads go into the arena */
	bool joins;		/* a run goes on in the next buffer, if it can: */
	bool open;		/* it has been begun */
	bool always, never, at_once, nojoin;	/* MR_DEBUG */
	bool repetitive;	/* the last raw run had many equal keys */
	struct slot *table;
	size_t slots, slots_most, taken;
	uint64_t seed[2];
	uint64_t judged, fresh;	/* records seen, and those with a new key */
	struct buf scratch;	/* a key that is not in the record as such */
	uint32_t task;
	uint32_t seq;		/* counts runs: later ones come later */
	uint32_t oldest;	/* first task in the buffer */
	uint32_t newest;	/* last committed one */
	uint64_t records;	/* of this attempt */
};

static struct entry *
entry_at(const struct collect *c, size_t i)
{
	return (struct entry *)(void *)(c->arena + c->cap) - 1 - i;
}

static size_t
table_size(const struct collect *c)
{
	return c->slots * sizeof *c->table;
}

/* Bytes of the arena that are set aside for the sort of n entries.  The table,
 * which is cleared then, is used if it is large enough.  Tallies do with it if
 * it is not: more of them is worth more than a quick sort. */
static size_t
scratch_size(const struct collect *c, size_t n)
{
	size_t size = n * sizeof(struct entry);

	return c->grouping && (size <= table_size(c) || (c->tallies &&
	    c->shape.part_cmd == NULL)) ? 0 : size;
}

/* Scratch for the sort of n entries, or at least for *room. */
static struct entry *
sort_scratch(const struct collect *c, size_t n, size_t *room)
{
	struct entry *free = (void *)(c->arena + (c->fill + 15) / 16 * 16);
	struct entry *end = entry_at(c, c->n - 1);

	*room = table_size(c) / sizeof *free;
	if (n <= *room || end < free || (size_t)(end - free) < *room)
		return (void *)c->table;
	*room = (size_t)(end - free);
	return free;
}

/* Free bytes once n entries and the scratch to sort them are set aside. */
static size_t
room_left(const struct collect *c, size_t top, size_t n)
{
	size_t taken = top + sizeof(struct entry) * n + scratch_size(c, n) +
	    32 + c->nundo * sizeof *c->undo + c->notes.len;

	return taken < c->cap ? c->cap - taken : 0;
}

static void
choose_way(struct collect *c, bool grouping)
{
	c->grouping = grouping;
	c->straight = !grouping && c->shape.key == KEY_PLAIN &&
	    c->agg == NULL;
	c->judged = c->fresh = 0;
}

/* What stands below belongs to committed tasks. */
static void
set_mark(struct collect *c, size_t used, size_t n)
{
	c->mark = (struct mark){ used, n };
}

/* A collector that uses about memory bytes besides those of one long
 * record.  emit is told of each run, in input order. */
struct collect *
collect_new(const struct shape *shape, struct store *store,
    uint16_t store_id, size_t memory, const char *compress,
    void (*emit)(void *, const struct run *, bool), void *arg)
{
	struct collect *c = xzalloc(1, sizeof *c);

	c->shape = *shape;
	c->store = store;
	c->writer = runw_new(store, store_id, compress, &shape->fmt);
	c->emit = emit;
	c->arg = arg;
	if (debug_word("cramped"))
		memory = CRAMPED;
	c->slots_most = memory / 5 / sizeof *c->table;
	if (c->slots_most < TABLE_LEAST)
		c->slots_most = TABLE_LEAST;
	c->cap = c->cap_usual =
	    (memory - c->slots_most * sizeof *c->table) / 16 * 16;
	c->arena = xlarge(c->cap + SLACK);
	c->used = c->fill = BOTTOM;
	set_mark(c, BOTTOM, 0);
	c->in = xrealloc(NULL, IN_ROOM + SLACK, 1);
	c->in_cap = IN_ROOM;
	c->slots = TABLE_LEAST;
	c->table = xzalloc(c->slots, sizeof *c->table);
	c->seed[0] = random_seed();
	c->seed[1] = random_seed() | 1;
	c->most = record_most();
	c->always = debug_word("group");
	/* Without keys in them, ikeys of a command's parts are all equal. */
	c->never = debug_word("nogroup") ||
	    (shape->key == KEY_PART_ONLY && shape->part_cmd != NULL);
	c->at_once = debug_word("switch");
	c->nojoin = debug_word("nojoin");
	choose_way(c, !c->never);
	return c;
}

/* Lets a built-in reducer begin its work here; before all else. */
void
collect_aggregate(struct collect *c, const struct aggspec *agg)
{
	c->agg = agg;
	c->fold = fold_new(agg, !ikey_has_key(&c->shape), UINT64_MAX);
	c->tallies = agg->tallies && ikey_has_key(&c->shape);
	c->tally_size = (1 + agg->nslots) * sizeof(int64_t);
	choose_way(c, c->grouping);
}

/* Sends what is collected from here on into that store, and as long as it
 * comes in order, into one run.  Nothing may be held. */
void
collect_into(struct collect *c, struct store *store, uint16_t store_id,
    const char *compress)
{
	runw_free(c->writer);
	c->writer = runw_new(store, store_id, compress, &c->shape.fmt);
	c->store = store;
	c->joins = true;
	c->open = false;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	uint128 x = (uint128)a * b;

	return (uint64_t)x ^ (uint64_t)(x >> 64);
}

static uint64_t
load64(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, 8);
	return x;
}

static uint32_t
load32(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, 4);
	return x;
}

/* The first len bytes at p, 8 at most, as a number, without a branch; what
 * stands behind them must be readable. */
static inline uint64_t
load_upto8(const unsigned char *p, size_t len)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t mask = ((uint64_t)1 << 8 * (len & 7)) - 1;
#else
	uint64_t mask = ~(UINT64_MAX >> 8 * (len & 7));
#endif

	return load64(p) & (mask | -(uint64_t)(len >= 8));
}

/* The 8 bytes that end len bytes at p, or 0 if these are no more than 8. */
static inline uint64_t
load_behind8(const unsigned char *p, size_t len)
{
	size_t over = len > 8 ? len - 8 : 0;

	return load64(p + over) & -(uint64_t)(over > 0);
}

/* Seeded anew in every process, so no input can be made to collide.  Up to
 * SLACK bytes behind the key are read. */
static inline uint32_t
key_hash(const struct collect *c, const unsigned char *p, size_t len)
{
	uint64_t h = c->seed[0] ^ len * 0x9e3779b97f4a7c15;

	for (; len > 16; p += 16, len -= 16)
		h = mix(load64(p) ^ c->seed[1], load64(p + 8) ^ h);
	h = mix(load_upto8(p, len) ^ c->seed[1], load_behind8(p, len) ^ h);
	return (uint32_t)(h ^ h >> 32);
}

/* Whether len bytes are the same; those behind them must be readable. */
static inline bool
same_bytes(const unsigned char *a, const unsigned char *b, size_t len)
{
	return ((load_upto8(a, len) ^ load_upto8(b, len)) |
	    (load_behind8(a, len) ^ load_behind8(b, len))) == 0 &&
	    (len <= 16 || memcmp(a + 8, b + 8, len - 16) == 0);
}

static void
table_clear(struct collect *c)
{
	memset(c->table, 0, table_size(c));
	c->taken = 0;
}

/* Fuller where it cannot grow. */
static bool
table_full(const struct collect *c)
{
	return c->taken >= (c->slots < c->slots_most ? c->slots / 2 :
	    c->slots / 4 * 3);
}

/* Where a key of that hash is looked for first. */
static inline size_t
first_slot(const struct collect *c, uint32_t hash)
{
	return (size_t)((uint64_t)hash * c->slots >> 32);
}

static inline size_t
next_slot(const struct collect *c, size_t j)
{
	return j + 1 < c->slots ? j + 1 : 0;
}

/* Adds a slot, of a key that has none. */
static inline void
table_add(struct collect *c, struct slot s)
{
	size_t j = first_slot(c, s.hash);

	while (c->table[j].off != 0)
		j = next_slot(c, j);
	c->table[j] = s;
}

/* Doubles the table. */
static bool
table_grow(struct collect *c)
{
	struct slot *old = c->table;
	size_t n = c->slots;

	if (n == c->slots_most)
		return false;
	c->slots = n < c->slots_most / 2 ? n * 2 : c->slots_most;
	c->table = xlarge(table_size(c));
	memset(c->table, 0, table_size(c));
	for (size_t i = 0; i < n; i++)
		if (old[i].off != 0)
			table_add(c, old[i]);
	free(old);
	return true;
}

/* The value of an entry that is a record, not a group. */
static const unsigned char *
entry_value(const struct collect *c, const struct entry *e, size_t *len,
    bool *noval)
{
	const unsigned char *key = c->arena + e->off, *v = key + e->klen;

	if (c->shape.key != KEY_PLAIN || c->agg != NULL) {
		uint32_t x = load32(key - 4);

		*noval = x == 0;
		*len = x == 0 ? 0 : x - 1;
		return v;
	}
	if (c->shape.fmt.pairs) {
		*noval = false;
		*len = load_be32(v);
		return v + PAIR_HEAD;
	}
	*noval = *v == c->shape.fmt.delim;
	if (*noval) {
		*len = 0;
		return v;
	}
	v++;
	*len = (size_t)((const unsigned char *)memchr(v, c->shape.fmt.delim,
	    (size_t)(c->arena + c->cap - v)) - v);
	return v;
}

/* Writes the pending count of a group's last item. */
static void
group_settle(struct collect *c, struct group *g)
{
	if (g->repeats > 0) {
		unsigned n = varint_put(c->arena + g->end,
		    (uint64_t)g->repeats + 1);

		c->arena[g->last] |= 2;
		g->end += n;
		g->left = n < g->left ? (uint16_t)(g->left - n) : 0;
		g->repeats = 0;
	}
}

/* Adds the item at that offset so many times to the run. */
static void
emit_item(struct collect *c, uint32_t at, uint64_t count)
{
	const unsigned char *p = c->arena + at;
	uint64_t head;

	p += varint_get(p, c->arena + c->cap, &head);
	runw_item(c->writer, p, head >> 2 == 0 ? 0 : (size_t)(head >> 2) - 1,
	    head >> 2 == 0, count);
}

/* Adds the items from first up to end to the run, the last of them as often
 * as has not been encoded.  Nothing is written behind them: what stands there
 * may be of an attempt that has its own run. */
static void
emit_items(struct collect *c, uint32_t first, uint32_t end, uint32_t last,
    uint32_t repeats)
{
	const unsigned char *p = c->arena + first;
	const unsigned char *stop = c->arena + (repeats > 0 ? last : end);

	while (p != stop) {
		p = runw_encoded(c->writer, p, stop);
		if (p != stop)
			p = c->arena + load32(p + 1);
	}
	if (repeats > 0)
		emit_item(c, last, (uint64_t)repeats + 1);
}

static uint32_t
group_first(const struct collect *c, const struct group *g)
{
	return (uint32_t)(g->key + g->klen - c->arena);
}

static void
emit_group(struct collect *c, const struct group *g)
{
	if (g->attempt == NEWS) {
		const struct undo *u = c->undo + g->end;

		if (u->again > 0)
			emit_item(c, g->last, u->again);
		emit_items(c, u->first, u->end, u->last, u->repeats);
	} else {
		emit_items(c, group_first(c, g), g->end, g->last, g->repeats);
	}
}

/* Whether two entries have the same key. */
static inline bool
same_key(const struct collect *c, const struct entry *a, const struct entry *b)
{
	size_t klen = entry_klen(a);

	return a->prefix == b->prefix && klen == entry_klen(b) &&
	    memcmp(entry_key(c->arena, a), entry_key(c->arena, b), klen) == 0;
}

static void
prefetch_entry(const struct collect *c, const struct entry *e)
{
	const unsigned char *p = c->arena + e->off;

	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(p + 128);
}

/* The tally of the key at that offset, and what stands behind it. */
static int64_t *
tally_at(const struct collect *c, uint32_t key)
{
	return (int64_t *)(void *)(c->arena + key -
	    sizeof(struct tally_head) - c->tally_size);
}

static struct tally_head *
tally_head(const struct collect *c, uint32_t key)
{
	return (struct tally_head *)(void *)(c->arena + key) - 1;
}

static uint32_t
tally_klen(const struct collect *c, uint32_t key)
{
	return tally_head(c, key)->klen & ~TALLY_KEY;
}

/* Where the tally of a key ends, and another thing may begin: never where the
 * key begins, as no two entries of equal keys stand at one place. */
static size_t
tally_end(uint32_t key, size_t klen)
{
	return (key + klen + (klen == 0) + 7) & ~(size_t)7;
}

static bool
is_tally(const struct collect *c, const struct entry *e)
{
	return c->tallies && !(e->klen & ENTRY_GROUP) &&
	    load32(c->arena + e->off - 4) & TALLY_KEY;
}

/* Where the cells of a group are, in the arena. */
static size_t
cells_at(const struct collect *c, const struct group *g)
{
	size_t at = (size_t)((const unsigned char *)g - c->arena);

	return (at + sizeof *g + g->klen + 7) & ~(size_t)7;
}

static struct heap
heap_of(const struct collect *c)
{
	return (struct heap){ c->arena, c->used, c->used +
	    room_left(c, c->used, c->n + 1), false };
}

/* Takes the cells of an entry, with those of other entries of its key before
 * it or behind it.  True if all of the key are in *v then. */
static bool
take_cells(struct collect *c, const struct entry *e, bool before, bool behind,
    const unsigned char **v, size_t *len)
{
	bool noval;

	if (e->klen & ENTRY_GROUP) {
		const struct group *g = (void *)(c->arena + e->off);
		struct heap h = heap_of(c);

		unsigned char *cells = c->arena + cells_at(c, g);
		const unsigned char *name = cells + c->agg->size;

		buf_reset(&c->saved);
		if (!ikey_has_key(&c->shape))
			fold_name(&c->saved, name + 4, load32(name));
		cells_save(c->agg, cells, &h, &c->saved);
		*v = c->saved.p;
		*len = c->saved.len;
	} else if (is_tally(c, e)) {
		buf_reset(&c->saved);
		tally_save(c->agg, tally_at(c, e->off), &c->saved);
		*v = c->saved.p;
		*len = c->saved.len;
	} else {
		*v = entry_value(c, e, len, &noval);
	}
	if (before || behind) {
		fold_take(c->fold, *v, *len);
		if (behind)
			return false;
		*v = fold_saved(c->fold, len);
		fold_begin(c->fold, NULL, 0);
	}
	return true;
}

/* Writes n sorted entries and returns how many keys they have. */
static size_t
write_entries(struct collect *c, const struct entry *e, size_t n)
{
	bool again = false, more;	/* the key was, is the next one's too */
	size_t distinct = 0;

	for (size_t i = 0; i < n; i++, e++, again = more) {
		const unsigned char *key = entry_key(c->arena, e), *v;
		size_t klen = entry_klen(e), vlen;
		size_t group = ikey_group(&c->shape, key, klen);
		size_t shown = ikey_shown(&c->shape, klen);
		bool noval;

		if (n - i > AHEAD)
			prefetch_entry(c, e + AHEAD);
		more = n - i > 1 && same_key(c, e, e + 1);
		distinct += !again;
		if (c->agg != NULL) {
			if (take_cells(c, e, again, more, &v, &vlen))
				runw_single(c->writer, key, klen, group,
				    shown, v, vlen, false);
			continue;
		}
		if (e->klen & ENTRY_GROUP) {
			runw_key(c->writer, key, klen, group, shown);
			emit_group(c, (struct group *)(void *)(c->arena +
			    e->off));
			continue;
		}
		v = entry_value(c, e, &vlen, &noval);
		if (!again && !more) {
			runw_single(c->writer, key, klen, group, shown, v,
			    vlen, noval);
			continue;
		}
		runw_key(c->writer, key, klen, group, shown);
		runw_item(c->writer, v, vlen, noval, 1);
	}
	return distinct;
}

/* The key of an entry whose value is cells, and is not what is sorted by. */
static const unsigned char *
cells_name(const struct collect *c, const struct entry *e, size_t *len)
{
	const unsigned char *v;
	uint64_t klen;
	bool noval;

	if (e->klen & ENTRY_GROUP) {
		v = c->arena + cells_at(c,
		    (const void *)(c->arena + e->off)) + c->agg->size;
		*len = load32(v);
		return v + 4;
	}
	v = entry_value(c, e, len, &noval);
	v += varint_get(v, v + *len, &klen);
	*len = (size_t)klen;
	return v;
}

/* The key of an entry, for a command that deals it. */
static const unsigned char *
entry_text(const struct collect *c, const struct entry *e, size_t *len)
{
	const unsigned char *v = entry_key(c->arena, e);
	bool noval;

	if (ikey_has_key(&c->shape)) {
		*len = entry_klen(e) - 4;
		return v + 4;
	}
	if (c->agg != NULL)
		return cells_name(c, e, len);
	if (e->klen & ENTRY_GROUP) {
		const struct group *g = (const void *)(c->arena + e->off);
		uint32_t first = group_first(c, g);
		uint64_t head;

		if (g->attempt == NEWS)
			first = c->undo[g->end].again > 0 ? g->last :
			    c->undo[g->end].first;
		v = c->arena + first;
		v += varint_get(v, c->arena + c->cap, &head);
		*len = (size_t)(head >> 2) - 1;
	} else {
		v = entry_value(c, e, len, &noval);
	}
	return record_key(&c->shape.fmt, v, len);
}

/* Whether a sorted entry's key is another one than that before it. */
static bool
other_text(const struct collect *c, const struct entry *e, size_t i)
{
	const unsigned char *p, *q;
	size_t n, m;

	if (i == 0)
		return true;
	p = entry_text(c, e + i, &n);
	q = entry_text(c, e + i - 1, &m);
	return n != m || (n > 0 && memcmp(p, q, n) != 0);
}

/* Sorted entries come into the order of the parts that a command says, and
 * their ikeys get the numbers.  The result is in tmp. */
static struct entry *
ask_parts(struct collect *c, struct entry *e, struct entry *tmp, size_t n)
{
	const struct shape *s = &c->shape;
	struct partcmd *p = partcmd_new(c->store, s->part_cmd, s->nparts,
	    &s->fmt);
	uint32_t *at = xzalloc((size_t)s->nparts + 1, sizeof *at), part = 0;
	const unsigned char *key;
	size_t len;

	for (size_t i = 0; i < n; i++)
		if (other_text(c, e, i)) {
			key = entry_text(c, e + i, &len);
			partcmd_key(p, key, len);
		}
	partcmd_run(p);
	for (size_t i = 0; i < n; i++) {
		if (other_text(c, e, i)) {
			key = entry_text(c, e + i, &len);
			part = partcmd_next(p, key, len);
		}
		e[i].prefix = part;
		at[part + 1]++;
	}
	partcmd_end(p);
	for (uint32_t i = 0; i < s->nparts; i++)
		at[i + 1] += at[i];
	for (size_t i = 0; i < n; i++) {
		store_be32(c->arena + (entry_key(c->arena, e + i) - c->arena),
		    (uint32_t)e[i].prefix);
		tmp[at[e[i].prefix]++] = e[i];
	}
	free(at);
	return tmp;
}

static void
end_run(struct collect *c, uint32_t first, uint32_t last, bool committed)
{
	struct run run;

	runw_end(c->writer, &run);
	run.first = first;
	run.last = last;
	run.seq = c->seq++;
	c->open = false;
	c->emit(c->arg, &run, committed);
}

/* Sorts the entries from number lo up to hi and writes them as a run. */
static void
write_run(struct collect *c, size_t lo, size_t hi, uint32_t first,
    uint32_t last, bool committed)
{
	struct entry *e = entry_at(c, hi - 1), *tmp;
	size_t n = hi - lo, distinct, expect = c->used + c->used / 8, room;

	tmp = sort_scratch(c, n, &room);
	e = radix_sort(e, n, tmp, room, c->arena);
	if (c->shape.part_cmd != NULL)
		e = ask_parts(c, e, tmp, n);
	if (c->open && !runw_follows(c->writer, entry_key(c->arena, e),
	    entry_klen(e), expect))
		end_run(c, first, last, committed);
	if (!c->open)
		runw_begin(c->writer, expect);
	c->open = true;
	distinct = write_entries(c, e, n);
	c->repetitive = n >= 4096 && distinct < n / 2;
	if (!c->joins)
		end_run(c, first, last, committed);
}

/* ---- groups of earlier tasks that an attempt changes */

/* Notes how a group is.  False if there is no room. */
static bool
undo_note(struct collect *c, struct group *g)
{
	if (room_left(c, c->used, c->n + 1) < sizeof *c->undo)
		return false;
	if (c->nundo == c->cap_undo) {
		c->cap_undo = grown(c->cap_undo, c->nundo + 1);
		c->undo = xrealloc(c->undo, c->cap_undo, sizeof *c->undo);
	}
	c->undo[c->nundo++] = (struct undo){
		.group = (uint32_t)((unsigned char *)g - c->arena),
		.repeats = g->repeats, .last = g->last, .end = g->end,
		.left = g->left, .cap = g->cap, .digest = g->digest };
	g->attempt = c->attempt;
	return true;
}

static struct group *
undo_group(const struct collect *c, const struct undo *u)
{
	return (struct group *)(void *)(c->arena + u->group);
}

/* The count of an item is encoded when another follows: that of the last one
 * was not. */
static void
undo_do(struct collect *c, const struct undo *u)
{
	struct group *g = undo_group(c, u);

	g->repeats = u->repeats;
	g->last = u->last;
	g->end = u->end;
	g->left = u->left;
	g->cap = u->cap;
	g->digest = u->digest;
	c->arena[g->last] &= (unsigned char)~2;
}

/* A group becomes what it was, and *u what it has got since. */
static void
undo_keep(struct collect *c, struct undo *u)
{
	const struct group *g = undo_group(c, u);
	const struct undo old = *u;
	const unsigned char *p = c->arena + old.end;
	uint64_t count = 1;		/* of the item that was the last */

	if (c->arena[old.last] & 2)
		p += varint_get(p, c->arena + c->cap, &count);
	else if (g->last == old.last)
		count = (uint64_t)g->repeats + 1;
	if (g->last != old.last && *p == 0)
		p = c->arena + load32(p + 1);
	u->again = (uint32_t)(count - 1 - old.repeats);
	u->first = u->end = (uint32_t)(p - c->arena);
	u->repeats = 0;
	if (g->last != old.last) {
		u->repeats = g->repeats;
		u->last = g->last;
		u->end = g->end;
	}
	undo_do(c, &old);
}

/* ---- tallies of earlier tasks that an attempt changes */

/* A note is the offset of the tally's key, and the tally as it was. */
static size_t
note_size(const struct collect *c)
{
	return sizeof(int64_t) + c->tally_size;
}

static int64_t *
note_at(const struct collect *c, size_t at)
{
	return (int64_t *)(void *)(c->notes.p + at);
}

/* Notes how a tally is.  False if there is no room. */
static bool
tally_note(struct collect *c, uint32_t key)
{
	size_t size = note_size(c);
	int64_t *note;

	if (room_left(c, c->used, c->n + 1) < size)
		return false;
	note = (int64_t *)(void *)buf_reserve(&c->notes, size);
	note[0] = key;
	memcpy(note + 1, tally_at(c, key), c->tally_size);
	c->notes.len += size;
	tally_head(c, key)->attempt = c->attempt;
	return true;
}

/* All tallies become what they were; the notes, what they have got since. */
static void
notes_keep(struct collect *c)
{
	int64_t now[TALLY_MOST + 1];

	for (size_t at = 0; at < c->notes.len; at += note_size(c)) {
		int64_t *note = note_at(c, at);
		int64_t *v = tally_at(c, (uint32_t)note[0]);

		memcpy(now, v, c->tally_size);
		memcpy(v, note + 1, c->tally_size);
		tally_since(c->agg, now, v);
		memcpy(note + 1, now, c->tally_size);
	}
}

/* What the tallies have got since, which is in the notes, gets entries down
 * from number at; returns the lowest.  Those of earlier tasks are written. */
static size_t
notes_enter(struct collect *c, size_t at)
{
	for (size_t i = 0; i < c->notes.len; i += note_size(c)) {
		const int64_t *note = note_at(c, i);
		uint32_t key = (uint32_t)note[0], klen;

		if (note[1] == 0)
			continue;
		memcpy(tally_at(c, key), note + 1, c->tally_size);
		klen = tally_klen(c, key);
		if (c->shape.part_cmd != NULL)
			store_be32(c->arena + key, 0);
		*entry_at(c, --at) = (struct entry){
			prefix8_ahead(c->arena + key, klen), key, klen };
	}
	buf_reset(&c->notes);
	return at;
}

/* ---- tallies that a spill leaves, since their keys come often */

/* Records of an entry's key, or OFTEN. */
static size_t
times(const struct collect *c, const struct entry *e)
{
	int64_t n = is_tally(c, e) ? *tally_at(c, e->off) : 0;

	return n < OFTEN ? (size_t)n : OFTEN;
}

/* Records of the tallies, from entry number at on, that stayed the last time,
 * or that do now. */
static uint64_t
stay_records(const struct collect *c, size_t at)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->stay; i++)
		sum += (uint64_t)*tally_at(c, entry_at(c, at + i)->off);
	return sum;
}

/* Chooses the tallies that stay, of the attempt, whose entries begin with
 * number at: those of the most records, up to half of all, or if it has less
 * than half of the arena's, all.  Their entries become its first, in the old
 * order. */
static void
choose_stay(struct collect *c, size_t at)
{
	size_t count[OFTEN + 1] = {0}, own = c->n - at, to = at;
	bool all = own <= c->n / 2;
	size_t room = all ? own : own / 2, least = OFTEN;
	bool seldom = stay_records(c, c->mark.n) - c->stay_before <
	    2 * c->stay;

	c->stay = 0;
	if (!c->tallies || !c->grouping || seldom || c->cap > c->cap_usual)
		return;
	for (size_t i = at; i < c->n; i++)
		count[times(c, entry_at(c, i))]++;
	for (; least > !all && count[least] <= room; least--)
		room -= count[least];
	if (least == !all)
		room = 0;
	for (size_t i = at; i < c->n; i++) {
		struct entry e = *entry_at(c, i);
		size_t n = times(c, &e);

		if (n < least || (n == least && room == 0))
			continue;
		room -= n == least;
		*entry_at(c, i) = *entry_at(c, to);
		*entry_at(c, to++) = e;
	}
	c->stay = to - at;
	c->stay_before = stay_records(c, at);
}

/* The entries of tallies that stay are brought into the order of the arena:
 * those of earlier tasks are first, and in any. */
static void
order_stay(struct collect *c, size_t at)
{
	size_t n = 0, room = table_size(c) / sizeof(struct entry);
	struct entry *e;

	for (; n < c->stay && entry_at(c, at + n)->off < c->mark.used; n++) {
		e = entry_at(c, at + n);
		e->prefix = ~(uint64_t)e->off;
	}
	if (n > 0)
		radix_sort(entry_at(c, at + n - 1), n, (void *)c->table, room,
		    c->arena);
}

/* Moves a tally down to the next even place; returns where its key is then. */
static uint32_t
move_tally(struct collect *c, uint32_t key)
{
	size_t head = c->tally_size + sizeof(struct tally_head);
	size_t at = (c->used + 7) & ~(size_t)7, klen;
	const unsigned char *from;

	klen = tally_klen(c, key);
	from = c->arena + key - head;
	key = (uint32_t)(at + head);
	c->used = tally_end(key, klen);
	for (; from != c->arena + at && at < c->used; at += 8, from += 8)
		memcpy(c->arena + at, from, 8);
	return key;
}

/* What stays, whose entries begin at from, moves to the bottom of the arena,
 * which is empty but for that. */
static void
move_stay(struct collect *c, const struct entry *from)
{
	uint32_t hash[RECORD_BATCH];
	size_t n;

	for (size_t i = 0; i < c->stay; i += n) {
		n = c->stay - i < RECORD_BATCH ? c->stay - i : RECORD_BATCH;
		for (size_t k = 0; k < n; k++) {
			struct entry e = *(from - i - k);

			e.off = move_tally(c, e.off);
			e.prefix = prefix8_ahead(c->arena + e.off,
			    entry_klen(&e));
			*entry_at(c, i + k) = e;
			hash[k] = key_hash(c, c->arena + e.off,
			    entry_klen(&e));
			__builtin_prefetch(c->table +
			    first_slot(c, hash[k]));
		}
		for (size_t k = 0; k < n; k++)
			table_add(c, (struct slot){ hash[k],
			    entry_at(c, i + k)->off | TALLY });
	}
	c->n = c->taken = c->stay;
}

/* Writes what is of earlier tasks, then what is of this attempt and does not
 * stay.  Returns the number of the first entry that stays. */
static size_t
write_runs(struct collect *c)
{
	size_t at = c->mark.n;

	for (size_t i = 0; i < c->nundo; i++)
		undo_keep(c, c->undo + i);
	notes_keep(c);
	if (c->mark.n > 0)
		write_run(c, 0, c->mark.n, c->oldest, c->newest, true);
	for (uint32_t i = 0; i < c->nundo; i++) {
		const struct undo *u = c->undo + i;
		struct group *g = undo_group(c, u);

		if (u->again == 0 && u->first == u->end)
			continue;
		g->attempt = NEWS;
		g->end = i;
		if (c->shape.part_cmd != NULL)
			store_be32(g->key, 0);	/* it will be asked again */
		*entry_at(c, --at) = (struct entry){
			prefix8(g->key, g->klen), u->group,
			g->klen | ENTRY_GROUP };
	}
	c->nundo = 0;
	at = notes_enter(c, at);
	choose_stay(c, at);
	if (c->n > at + c->stay)
		write_run(c, at + c->stay, c->n, c->task, c->task, false);
	order_stay(c, at);
	return at;
}

/* Empties the arena but for what has been read and not scanned, which moves
 * to its bottom. */
static void
spill(struct collect *c)
{
	size_t tail = c->straight ? c->fill - c->used : 0, stay;

	if (!c->straight)
		c->fill = c->used;
	stay = write_runs(c);
	if (c->cap > c->cap_usual && tail < c->cap_usual / 2) {
		unsigned char *p = xrealloc(NULL, c->cap_usual + SLACK, 1);

		memcpy(p + BOTTOM, c->arena + c->used, tail);
		free(c->arena);
		c->arena = p;
		c->cap = c->cap_usual;
	} else {
		memmove(c->arena + BOTTOM, c->arena + c->used, tail);
	}
	c->used = BOTTOM;
	c->fill = BOTTOM + tail;
	c->n = 0;
	set_mark(c, BOTTOM, 0);
	c->oldest = c->task;
	if (c->grouping)
		table_clear(c);
	if (c->stay > 0)
		move_stay(c, entry_at(c, stay));
	/* A raw buffer turned out to be full of equal keys, or a record too
	 * long to group has gone: group the next one. */
	if (!c->grouping && !c->never && tail <= IN_ROOM / 2 &&
	    (c->repetitive || c->always || c->at_once)) {
		if (c->straight) {
			memcpy(c->in, c->arena + BOTTOM, tail);
			c->in_len = tail;
			c->fill = BOTTOM;
		}
		table_clear(c);
		choose_way(c, true);
	}
}

/* Makes the arena, which has no entries, hold need more bytes and one. */
static void
arena_grow(struct collect *c, size_t need)
{
	size_t want = c->fill + need + 4 * sizeof(struct entry) + 64;
	size_t cap = c->cap;

	if (want > INT32_MAX)
		die("map task %u: a record is longer than 2 GiB",
		    (unsigned)c->task);
	while (cap < want)
		cap = cap < INT32_MAX / 2 ? cap * 2 : INT32_MAX / 16 * 16;
	c->arena = xrealloc(c->arena, cap + SLACK, 1);
	c->cap = cap;
}

/* Makes room for need bytes and an entry, by a spill if it must be. */
static void
make_room(struct collect *c, size_t need)
{
	while (room_left(c, c->straight ? c->fill : c->used, c->n + 1) <
	    need && c->n > 0)
		spill(c);
	if (!c->straight)
		c->fill = c->used;
	if (room_left(c, c->fill, c->n + 1) < need)
		arena_grow(c, need);
}

/* An attempt of a task begins.  What the buffer holds is of tasks that are
 * committed and end right before this one, or the caller has flushed it.
 * input: the file that the task reads, or NULL; at: where in it the bytes
 * stand that are to come, or COLLECT_OUTPUT. */
void
collect_begin(struct collect *c, uint32_t task, const char *input, uint64_t at)
{
	c->task = task;
	c->input = input;
	c->begin = at;
	c->read = 0;
	c->lost = false;
	c->records = 0;
	buf_reset(&c->complaint);
	if (c->n == 0)
		c->oldest = task;
	set_mark(c, c->used, c->n);
	c->attempt++;
}

/* Adds an entry.  8 bytes at the key must be readable. */
static void
push(struct collect *c, const unsigned char *key, uint32_t klen, uint32_t off,
    uint32_t flag)
{
	*entry_at(c, c->n++) = (struct entry){
		prefix8_ahead(key, klen), off, klen | flag };
}

/* Moves on from grouping in the middle of a buffer. */
static void
stop_grouping(struct collect *c)
{
	make_room(c, c->in_len);
	choose_way(c, false);
	c->fill = c->used;
	if (c->straight) {
		memcpy(c->arena + c->fill, c->in, c->in_len);
		c->fill += c->in_len;
		c->in_len = 0;
	}
}

/* Where the next bytes go, *n of them at most; never none. */
unsigned char *
collect_room(struct collect *c, size_t *n)
{
	size_t room;

	if (c->in_len == c->in_cap && c->shape.key == KEY_PLAIN &&
	    c->agg == NULL)
		stop_grouping(c);
	if (!c->straight) {
		if (c->in_len == c->in_cap) {
			c->in_cap *= 2;
			c->in = xrealloc(c->in, c->in_cap + SLACK, 1);
		}
		*n = c->in_cap - c->in_len;
		return c->in + c->in_len;
	}
	make_room(c, 4 * KiB);
	if (!c->straight)
		return collect_room(c, n);
	room = room_left(c, c->fill, c->n);
	*n = room < IN_ROOM ? room : IN_ROOM;
	return c->arena + c->fill;
}

/* Scans what is in the arena and not yet scanned. */
static void
scan_straight(struct collect *c)
{
	struct record r[RECORD_BATCH];
	size_t used, n, most;

	while (c->fill > c->used) {
		most = room_left(c, c->fill, c->n) / (2 * sizeof(struct entry));
		if (most == 0) {
			if (c->n == 0)
				arena_grow(c, 64);
			else
				spill(c);
			if (!c->straight)
				return;
			continue;
		}
		n = record_batch(&c->shape.fmt, c->arena + c->used,
		    c->fill - c->used, r, most < RECORD_BATCH ? most :
		    RECORD_BATCH, &used);
		if (n == 0)
			break;
		for (size_t i = 0; i < n; i++)
			push(c, r[i].key, r[i].klen,
			    (uint32_t)(r[i].key - c->arena), 0);
		c->records += n;
		c->used += used;
	}
}

static uint64_t
item_head(const struct record *r)
{
	return (r->noval ? 0 : (uint64_t)r->vlen + 1) << 2 | 1;
}

static uint32_t
item_size(const struct record *r)
{
	unsigned char tmp[10];

	return r->vlen + (r->vlen <= ITEM_SHORT ? 1 :
	    varint_put(tmp, item_head(r)));
}

/* Writes a value as an item, and up to 8 bytes of anything behind it. */
static inline void
item_put(unsigned char *p, const struct record *r)
{
	if (r->vlen <= ITEM_SHORT)
		*p++ = (unsigned char)item_head(r);
	else
		p += varint_put(p, item_head(r));
	if (r->vlen <= 8)
		memcpy(p, r->val, 8);
	else
		memcpy(p, r->val, r->vlen);
}

/* Tells most values from the last one of a group without a look at that one,
 * which is in another line of the cache. */
static uint8_t
value_digest(const struct record *r)
{
	return (uint8_t)(load_upto8(r->val, r->vlen) * 0x9e3779b97f4a7c15 >> 56);
}

/* The length of a chunk in a byte; the next one will be twice as long. */
static uint8_t
cap_units(uint32_t cap)
{
	return cap < CHUNK_MOST ? (uint8_t)((cap + CAP_UNIT - 1) / CAP_UNIT) :
	    UINT8_MAX;
}

/* Adds a value to a group that has it not as its last one. */
static bool
group_add(struct collect *c, struct group *g, const struct record *r)
{
	uint32_t need = item_size(r), left;

	group_settle(c, g);
	left = g->left;
	if (need > left) {
		uint32_t cap = g->cap * 2u * CAP_UNIT, at;

		if (cap > CHUNK_MOST)
			cap = CHUNK_MOST;
		if (cap < need + TAIL)
			cap = need + TAIL;
		if (room_left(c, c->used, c->n + 1) < cap)
			return false;
		at = (uint32_t)c->used;
		c->used += cap;
		c->arena[g->end] = 0;
		memcpy(c->arena + g->end + 1, &at, 4);
		g->end = at;
		left = cap - TAIL;
		g->cap = cap_units(cap);
	}
	item_put(c->arena + g->end, r);
	g->last = g->end;
	g->digest = value_digest(r);
	g->end += need;
	g->left = (uint16_t)(left - need);
	return true;
}

/* Begins a group with its first value.  If it is small it is in one line, and
 * its first chunk has the rest of that. */
static bool
group_new(struct collect *c, struct slot *s, const struct record *r,
    uint32_t hash)
{
	uint32_t at = (uint32_t)(c->used + 7) & ~7u, need = item_size(r);
	uint32_t size = (uint32_t)sizeof(struct group) + r->klen, first, end;
	struct group *g;

	if (room_left(c, c->used, c->n + 1) <
	    (size_t)size + need + TAIL + 2 * LINE)
		return false;
	if (size + need <= LINE && at % LINE + size + need > LINE)
		at += LINE - at % LINE;
	first = at + size;
	end = first + need + TAIL;
	if (at / LINE == end / LINE)
		end = (at / LINE + 1) * LINE;
	g = (struct group *)(void *)(c->arena + at);
	*g = (struct group){ .last = first, .end = first + need,
	    .left = (uint16_t)(end - first - need - TAIL),
	    .cap = cap_units(end - first), .digest = value_digest(r),
	    .klen = r->klen, .attempt = c->attempt };
	if (r->klen > 0)
		memcpy(g->key, r->key, r->klen);
	item_put(c->arena + first, r);
	c->used = end;
	c->taken++;
	*s = (struct slot){ hash, at };
	push(c, r->key, r->klen, at, ENTRY_GROUP);
	c->fresh++;
	return true;
}

/* The slot where a key of that hash is, as far as the hash tells, or where
 * it would go. */
static size_t
find_slot(const struct collect *c, uint32_t hash)
{
	size_t j = first_slot(c, hash);

	while (c->table[j].hash != hash && c->table[j].off != 0)
		j = next_slot(c, j);
	return j;
}

/* The slot of a record's key, or one where it may go, looking from slot j on;
 * where there are only groups. */
static inline struct slot *
group_slot(const struct collect *c, const struct record *r, uint32_t hash,
    size_t j)
{
	for (;; j = next_slot(c, j)) {
		struct slot *s = c->table + j;
		const struct group *g;

		if (s->off == 0)
			return s;
		if (s->hash != hash)
			continue;
		g = (const struct group *)(const void *)(c->arena + s->off);
		if (g->klen == r->klen &&
		    same_bytes(g->key, r->key, r->klen))
			return s;
	}
}

/* Adds a record to its key's group, looking from slot j on.  False if the
 * arena is full. */
static inline bool
group_record(struct collect *c, const struct record *r, uint32_t hash,
    size_t j)
{
	struct group *g;
	struct slot *s;

	if (table_full(c))
		return false;
	s = group_slot(c, r, hash, j);
	if (s->off == 0)
		return group_new(c, s, r, hash);
	g = (struct group *)(void *)(c->arena + s->off);
	if (g->attempt != c->attempt && !undo_note(c, g))
		return false;
	if (g->digest == value_digest(r) && r->vlen <= ITEM_SHORT &&
	    c->arena[g->last] == item_head(r) &&
	    same_bytes(c->arena + g->last + 1, r->val, r->vlen) &&
	    g->repeats < UINT32_MAX - 1) {
		g->repeats++;
		return true;
	}
	return group_add(c, g, r);
}

/* A group with cells, and behind them the key if it is not what is sorted by.
 * It counts from the time that it has an entry.  NULL: the arena is full. */
static struct group *
cells_new(struct collect *c, const struct record *r, const struct record *rec)
{
	uint32_t at = (uint32_t)(c->used + 7) & ~7u;
	struct group *g = (struct group *)(void *)(c->arena + at);
	size_t need = sizeof *g + r->klen + c->agg->size + 16;
	bool named = !ikey_has_key(&c->shape);

	if (named)
		need += 4 + (size_t)rec->klen;
	if (room_left(c, c->used, c->n + 1) < need)
		return NULL;
	*g = (struct group){ .klen = r->klen };
	if (r->klen > 0)
		memcpy(g->key, r->key, r->klen);
	c->used = cells_at(c, g);
	cells_begin(c->agg, c->arena + c->used);
	c->used += c->agg->size;
	if (named) {
		memcpy(c->arena + c->used, &rec->klen, 4);
		memcpy(c->arena + c->used + 4, rec->key, rec->klen);
		c->used += 4 + (size_t)rec->klen;
	}
	return g;
}

/* The same where there are tallies, too. */
static struct slot *
key_slot(const struct collect *c, const struct record *r, uint32_t hash,
    size_t j)
{
	for (;; j = next_slot(c, j)) {
		struct slot *s = c->table + j;
		uint32_t key = s->off & ~(uint32_t)TALLY, klen;

		if (s->off == 0)
			return s;
		if (s->hash != hash)
			continue;
		if (s->off & TALLY) {
			klen = tally_klen(c, key);
		} else {
			struct group *g = (void *)(c->arena + key);

			klen = g->klen;
			key += GROUP_KEY_AT;
		}
		if (klen == r->klen &&
		    same_bytes(c->arena + key, r->key, klen))
			return s;
	}
}

/* A key has an entry now, which its slot leads to. */
static void
take_slot(struct collect *c, struct slot *s, const struct record *r,
    uint32_t hash, uint32_t off, uint32_t flag)
{
	c->taken += s->off == 0;
	c->fresh++;
	*s = (struct slot){ hash, off | (flag == 0 ? TALLY : 0) };
	push(c, r->key, r->klen, off, flag);
}

/* Begins a tally with a record of a key that has none.  CELLS_BAD: it does not
 * fit. */
static enum cells_result
tally_new(struct collect *c, struct slot *s, const struct record *r,
    const struct record *rec, uint32_t hash)
{
	size_t at = (c->used + 7) & ~(size_t)7;
	uint32_t key = (uint32_t)(at + c->tally_size +
	    sizeof(struct tally_head));
	size_t end = tally_end(key, r->klen);
	int64_t *v = (int64_t *)(void *)(c->arena + at);

	if (room_left(c, c->used, c->n + 1) < end - c->used)
		return CELLS_FULL;
	memset(v, 0, c->tally_size);
	if (!tally_add(c->agg, v, rec))
		return CELLS_BAD;
	*tally_head(c, key) = (struct tally_head){ c->attempt,
		r->klen | TALLY_KEY };
	if (r->klen > 0)
		memcpy(c->arena + key, r->key, r->klen);
	c->used = end;
	take_slot(c, s, r, hash, key, 0);
	return CELLS_ADDED;
}

/* Adds a record to the cells of its key; they may be new, too. */
static enum cells_result
add_to_cells(struct collect *c, struct slot *s, const struct record *r,
    const struct record *rec, uint32_t hash)
{
	bool new = s->off & TALLY || s->off < c->mark.used;
	struct group *g = new ? cells_new(c, r, rec) :
	    (void *)(c->arena + s->off);
	enum cells_result result;
	size_t used = c->used;
	struct heap h;

	if (g == NULL)
		return CELLS_FULL;
	h = heap_of(c);
	result = cells_add(c->agg, c->arena + cells_at(c, g), &h, rec,
	    &c->complaint);
	c->used = result == CELLS_ADDED ? h.used : used;
	if (result == CELLS_ADDED && new)
		take_slot(c, s, r, hash, (uint32_t)((unsigned char *)g -
		    c->arena), ENTRY_GROUP);
	return result;
}

/* Adds a record, which came as rec, to what its key has, looking from slot j
 * on.  False if the arena is full. */
static inline bool
aggregate(struct collect *c, const struct record *r, const struct record *rec,
    uint32_t hash, size_t j)
{
	enum cells_result result = CELLS_BAD;
	struct slot *s;

	if (c->complaint.len > 0)
		return true;
	if (table_full(c))
		return false;
	s = key_slot(c, r, hash, j);
	if (s->off & TALLY) {
		uint32_t key = s->off & ~(uint32_t)TALLY;

		if (tally_head(c, key)->attempt != c->attempt &&
		    !tally_note(c, key))
			return false;
		if (tally_add(c->agg, tally_at(c, key), rec))
			return true;
	} else if (c->tallies && s->off == 0) {
		result = tally_new(c, s, r, rec, hash);
	}
	if (result == CELLS_BAD)
		result = add_to_cells(c, s, r, rec, hash);
	return result != CELLS_FULL;
}

/* Keeps a record whose key is not in it as such: length of the value + 1 (0:
 * none), key, value.  False if the arena is full. */
static bool
built_record(struct collect *c, const struct record *r)
{
	uint32_t x = r->noval ? 0 : r->vlen + 1;
	size_t need = 4 + (size_t)r->klen + r->vlen;

	if (room_left(c, c->used, c->n + 1) < need)
		return false;
	memcpy(c->arena + c->used, &x, 4);
	memcpy(c->arena + c->used + 4, r->key, r->klen);
	if (r->vlen > 0)
		memcpy(c->arena + c->used + 4 + r->klen, r->val, r->vlen);
	push(c, r->key, r->klen, (uint32_t)c->used + 4, 0);
	c->used += need;
	return true;
}

/* Keeps the cells of a record that gets no group. */
static bool
built_cells(struct collect *c, const struct record *r,
    const struct record *rec)
{
	struct record x = *r;
	size_t len;

	if (c->complaint.len > 0)
		return true;
	fold_begin(c->fold, rec->key, rec->klen);
	if (fold_record(c->fold, rec, &c->complaint)) {
		x.val = fold_saved(c->fold, &len);
		x.vlen = (uint32_t)len;
		x.noval = false;
	}
	fold_begin(c->fold, NULL, 0);
	return c->complaint.len > 0 || built_record(c, &x);
}

/* Adds a record, which came as rec, in the way that is chosen, looking for a
 * group from slot j on.  False if the arena is full. */
static inline bool
try_record(struct collect *c, const struct record *r, const struct record *rec,
    uint32_t hash, size_t j)
{
	if (c->agg == NULL)
		return c->grouping ? group_record(c, r, hash, j) :
		    built_record(c, r);
	return c->grouping ? aggregate(c, r, rec, hash, j) :
	    built_cells(c, r, rec);
}

/* Arena bytes that are enough for a record. */
static size_t
most_needed(const struct collect *c, const struct record *r)
{
	size_t len = (size_t)r->klen + r->vlen + sizeof(struct group) +
	    4 * TAIL;

	if (c->agg == NULL)
		return len;
	return 2 * len + c->agg->size + c->agg->nslots * (len + EXACT_MOST);
}

static void
add_record(struct collect *c, const struct record *r,
    const struct record *rec, uint32_t hash)
{
	while (!try_record(c, r, rec, hash, first_slot(c, hash))) {
		if (c->grouping && table_full(c) && table_grow(c))
			continue;
		if (c->n > 0)
			spill(c);
		else
			arena_grow(c, most_needed(c, r));
	}
}

/* Fetches the end of the group in slot j. */
static inline void
prefetch_end(const struct collect *c, size_t j)
{
	uint32_t off = c->table[j].off;

	if (c->agg == NULL && off != 0)
		__builtin_prefetch(c->arena +
		    ((const struct group *)(const void *)(c->arena + off))->end);
}

/* Adds records to their groups.  Slots, then groups, are fetched for all of
 * them before the first is looked up. */
static void
group_batch(struct collect *c, struct record *r, size_t n)
{
	uint32_t hash[RECORD_BATCH];
	size_t at[RECORD_BATCH];

	for (size_t i = 0; i < n; i++) {
		hash[i] = key_hash(c, r[i].key, r[i].klen);
		__builtin_prefetch(c->table + first_slot(c, hash[i]));
	}
	for (size_t i = 0; i < n; i++) {
		const unsigned char *g;
		uint32_t off;

		at[i] = find_slot(c, hash[i]);
		off = c->table[at[i]].off;
		g = c->arena + off;
		__builtin_prefetch(g);
		__builtin_prefetch(off & TALLY ? g - 25 : g + 56);
	}
	for (size_t i = 0; i < n; i++) {
		if (i + END_AHEAD < n)
			prefetch_end(c, at[i + END_AHEAD]);
		if (try_record(c, r + i, r + i, hash[i], at[i]))
			continue;
		/* The table grows or the arena is emptied: the places that
		 * were found are no longer right. */
		for (; i < n; i++)
			add_record(c, r + i, r + i, hash[i]);
	}
}

/* Records without a group, or whose sort key is made for them. */
static void
built_batch(struct collect *c, struct record *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct record rec = r[i];

		if (c->shape.key != KEY_PLAIN)
			ikey_build(&c->shape, r + i, &c->scratch, SLACK);
		add_record(c, r + i, &rec, key_hash(c, r[i].key, r[i].klen));
	}
}

/* Records out of what was read. */
static void
scan_in(struct collect *c)
{
	struct record r[RECORD_BATCH];
	size_t at = 0, used, n;

	while (!c->straight) {
		n = record_batch(&c->shape.fmt, c->in + at, c->in_len - at, r,
		    RECORD_BATCH, &used);
		if (n == 0)
			break;
		if (c->shape.key == KEY_PLAIN && c->grouping)
			group_batch(c, r, n);
		else
			built_batch(c, r, n);
		c->records += n;
		c->judged += n;
		at += used;
		if (c->grouping && !c->always && (c->at_once ||
		    (c->judged >= JUDGE_AT && c->fresh > c->judged / 5 * 4))) {
			memmove(c->in, c->in + at, c->in_len - at);
			c->in_len -= at;
			at = 0;
			stop_grouping(c);
		} else if (c->judged >= JUDGE_AT) {
			c->judged = c->fresh = 0;
		}
	}
	if (c->straight)
		return;
	if (at > 0)
		memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

/* Scans what there is.  A spill may change the way, more than once. */
static void
scan(struct collect *c)
{
	bool straight;

	do {
		straight = c->straight;
		if (straight)
			scan_straight(c);
		else
			scan_in(c);
	} while (straight != c->straight);
}

/* Where the record begins that is not yet whole and has len bytes so far. */
static uint64_t
pending_at(const struct collect *c, size_t len)
{
	return c->read - len + (c->begin == COLLECT_OUTPUT ? 0 : c->begin);
}

/* Leaves word of the longest record that has come so far, in case that memory
 * runs out. */
static void
note_longest(struct collect *c, size_t len)
{
	unsigned long long at = pending_at(c, len);

	c->longest = len;
	if (c->begin == COLLECT_OUTPUT)
		memory_note("the record at byte %llu of the output of task "
		    "%lu%s%s has over %zu bytes", at, (unsigned long)c->task,
		    c->input != NULL ? ", input " : "",
		    c->input != NULL ? c->input : "", len - 1);
	else
		memory_note("the record at byte %llu of %s has over %zu bytes",
		    at, c->input, len - 1);
}

/* A record is too long: from here on all of the attempt is thrown away. */
static void
lose(struct collect *c, size_t len)
{
	buf_printf(&c->complaint, "the record at byte %llu%s has more than "
	    "%llu bytes", (unsigned long long)pending_at(c, len),
	    c->begin == COLLECT_OUTPUT ? " of its output" : "",
	    (unsigned long long)c->most);
	c->lost = true;
}

/* The first n bytes of what collect_room gave have been filled.  What stood
 * before them ends no record, so a long record is looked at only once. */
void
collect_filled(struct collect *c, size_t n)
{
	unsigned char *p = c->straight ? c->arena + c->fill : c->in + c->in_len;
	bool ends = record_may_end(&c->shape.fmt, p, n);

	if (c->straight)
		c->fill += n;
	else
		c->in_len += n;
	c->read += n;
	if (ends)
		scan(c);
	n = c->straight ? c->fill - c->used : c->in_len;
	if (n > NOTED && n > c->longest)
		note_longest(c, n);
	if (n > c->most && !c->lost)
		lose(c, n);
	if (c->lost) {
		if (c->straight)
			c->fill = c->used;
		c->in_len = 0;
	}
}

/* There is no more: a last record without its delimiter is given one. */
void
collect_end(struct collect *c)
{
	unsigned char *p;
	size_t n;

	if (c->straight ? c->fill == c->used : c->in_len == 0)
		return;
	if (c->shape.fmt.pairs)
		die("map task %u: its output ends within a pair",
		    (unsigned)c->task);
	p = collect_room(c, &n);
	*p = c->shape.fmt.delim;
	collect_filled(c, 1);
}

void
collect_commit(struct collect *c)
{
	c->nundo = c->stay = 0;
	buf_reset(&c->notes);
	set_mark(c, c->used, c->n);
	c->newest = c->task;
	if (c->nojoin)
		collect_flush(c);
}

/* Forgets the attempt's records.  Runs that it has emitted are the
 * caller's to forget. */
void
collect_rollback(struct collect *c)
{
	while (c->nundo > 0)
		undo_do(c, c->undo + --c->nundo);
	for (size_t at = 0; at < c->notes.len; at += note_size(c)) {
		const int64_t *note = note_at(c, at);

		memcpy(tally_at(c, (uint32_t)note[0]), note + 1,
		    c->tally_size);
	}
	buf_reset(&c->notes);
	c->used = c->fill = c->mark.used;
	c->n = c->mark.n;
	c->in_len = 0;
	c->stay = 0;
	c->open = false;
	table_clear(c);
}

/* Writes what the buffer holds, all of it committed, as a run. */
void
collect_flush(struct collect *c)
{
	if (c->n > 0)
		spill(c);
	if (c->open)
		end_run(c, c->oldest, c->newest, true);
}

/* Whether a flush would write a run. */
bool
collect_holds(const struct collect *c)
{
	return c->n > 0;
}

/* Records of this attempt so far. */
uint64_t
collect_records(const struct collect *c)
{
	return c->records;
}

/* What is wrong with a record of this attempt, or nothing. */
const struct buf *
collect_complaint(const struct collect *c)
{
	return &c->complaint;
}

void
collect_free(struct collect *c)
{
	if (c == NULL)
		return;
	runw_free(c->writer);
	fold_free(c->fold);
	buf_free(&c->saved);
	buf_free(&c->complaint);
	free(c->arena);
	free(c->in);
	free(c->table);
	free(c->undo);
	buf_free(&c->notes);
	buf_free(&c->scratch);
	free(c);
}
