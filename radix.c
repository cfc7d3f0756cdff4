/* radix.c - sorts entries by key, then by place in the arena.
 *
 * An entry holds eight bytes of its key as a number.  Many entries are
 * dealt into up to 256 piles by how far they are from the least, some are
 * split by quicksort, few are ranked, or inserted if some are equal; where all
 * eight bytes agree the next eight are loaded.  Records of equal keys lie in
 * the arena in the order in which they came, so the place decides between them
 * and the sort is stable whatever moved.
 *
 * A short key is padded with NUL, and NUL may be a byte of a longer one: so
 * of entries with equal eight bytes, those that end within them come first,
 * the shorter before the longer.
 *
 * MR_DEBUG=radix deals from two entries on, =noradix never. */

#include <string.h>

#include "mr.h"

enum { RANK = 16, DEAL = 128, PILE_BITS = 8, PILES = 1 << PILE_BITS };

static size_t deal_from, deal_most;	/* entries; set by radix_sort */
static uint64_t chance;

static void sort(struct entry *, struct entry *, size_t, size_t, bool,
    const unsigned char *);

static bool
less(const struct entry *x, const struct entry *y, size_t depth,
    const unsigned char *arena)
{
	int c;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix;
	c = key_compare(entry_key(arena, x) + depth, entry_klen(x) - depth,
	    entry_key(arena, y) + depth, entry_klen(y) - depth);
	return c != 0 ? c < 0 : x->off < y->off;
}

/* Sorts few entries, each of which goes behind as many as are less.  It has no
 * branch, which would be guessed wrong half the time.  False if some are equal
 * in their eight bytes: these are together, but not sorted. */
static bool
rank(struct entry *e, size_t n)
{
	struct entry was[RANK];
	uint32_t at[RANK];
	bool equal = false;

	for (size_t i = 0; i < n; i++) {
		uint64_t prefix = e[i].prefix;
		uint32_t greater = 0;

		for (size_t j = 0; j < i; j++) {
			bool before = prefix < e[j].prefix;

			equal |= prefix == e[j].prefix;
			at[j] += before;
			greater += before;
		}
		at[i] = (uint32_t)i - greater;
		was[i] = e[i];
	}
	for (size_t i = 0; i < n; i++)
		e[at[i]] = was[i];
	return !equal;
}

static void
insertion(struct entry *e, size_t n, size_t depth, const unsigned char *arena)
{
	for (size_t i = 1; i < n; i++) {
		struct entry x = e[i];
		size_t j = i;

		for (; j > 0 && less(&x, e + j - 1, depth, arena); j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

/* Sorts entries whose keys are equal by place.  They nearly always are in
 * order already. */
static void
by_place(struct entry *e, struct entry *tmp, size_t n,
    const unsigned char *arena)
{
	uint64_t prefix = e[0].prefix;
	bool sorted = true;

	for (size_t i = 1; i < n && sorted; i++)
		sorted = e[i - 1].klen == e[i].klen && e[i - 1].off < e[i].off;
	if (sorted)
		return;
	for (size_t i = 0; i < n; i++)
		e[i].prefix = (uint64_t)entry_klen(e + i) << 32 | e[i].off;
	sort(e, tmp, n, 0, false, arena);
	for (size_t i = 0; i < n; i++)
		e[i].prefix = prefix;
}

/* For entries that agree in the eight bytes from *depth on: brings those
 * that end there to the front, sorted, and returns how many; loads the next
 * bytes of the others.  Bytes that all of the others share are passed over,
 * so that long common prefixes need no recursion. */
static size_t
advance(struct entry *e, struct entry *tmp, size_t n, size_t *depth,
    const unsigned char *arena)
{
	size_t ended = 0;

	for (size_t i = 0; i < n; i++)
		if (entry_klen(e + i) <= *depth + 8) {
			struct entry x = e[i];

			e[i] = e[ended];
			e[ended++] = x;
		}
	if (ended > 1)
		by_place(e, tmp, ended, arena);
	*depth += 8;
	for (size_t i = ended; i < n; i++)
		e[i].prefix = prefix8(entry_key(arena, e + i) + *depth,
		    entry_klen(e + i) - *depth);
	return ended;
}

/* Sorts entries that agree in the eight bytes from depth on. */
static void
deeper(struct entry *e, struct entry *tmp, size_t n, size_t depth,
    const unsigned char *arena)
{
	bool same = true;

	while (same && n > 1) {
		size_t ended = advance(e, tmp, n, &depth, arena);

		e += ended;
		n -= ended;
		for (size_t i = 1; i < n && same; i++)
			same = e[i].prefix == e[0].prefix;
	}
	if (n > 1)
		sort(e, tmp, n, depth, false, arena);
}

static uint64_t
median(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b) {
		uint64_t t = a;

		a = b;
		b = t;
	}
	return c < a ? a : c > b ? b : c;
}

/* Of many entries by chance, so that no input can be made to be split badly. */
static uint64_t
pivot_of(const struct entry *e, size_t n)
{
	size_t at[3] = { 0, n / 2, n - 1 };

	for (size_t i = 0; n >= DEAL && i < 3; i++) {
		chance = chance * 6364136223846793005 + 1442695040888963407;
		at[i] = (size_t)((uint128)chance * n >> 64);
	}
	return median(e[at[0]].prefix, e[at[1]].prefix, e[at[2]].prefix);
}

/* Of n entries, 0 < n < DEAL, brings those below limit to the front and returns
 * how many.  No branch, which would be guessed wrong half the time. */
static size_t
split(struct entry *e, size_t n, uint64_t limit)
{
	struct entry others[DEAL];
	size_t below = 0, i = 0;

	do {
		struct entry x = e[i];

		e[below] = x;
		others[i - below] = x;
		below += x.prefix < limit;
	} while (++i < n);
	memcpy(e + below, others, (n - below) * sizeof *e);
	return below;
}

/* Sorts fewer than DEAL entries. */
static void
few(struct entry *e, struct entry *tmp, size_t n, size_t depth,
    const unsigned char *arena)
{
	while (n > RANK) {
		uint64_t pivot = pivot_of(e, n);
		size_t lo = split(e, n, pivot);

		if (lo == 0) {		/* it is the least there is */
			lo = pivot == UINT64_MAX ? n : split(e, n, pivot + 1);
			if (lo > 1)
				deeper(e, tmp, lo, depth, arena);
		} else {
			few(e, tmp, lo, depth, arena);
		}
		e += lo;
		n -= lo;
	}
	if (!rank(e, n))
		insertion(e, n, depth, arena);
}

/* Sorts in place what is little, or more than there is scratch for, which is
 * dealt as soon as it is split into parts that are not.  The latter has a
 * branch where split has none, but needs no room. */
static void
quick(struct entry *e, struct entry *tmp, size_t n, size_t depth,
    const unsigned char *arena)
{
	while (n >= DEAL) {
		uint64_t pivot = pivot_of(e, n);
		size_t lo = 0, i = 0, hi = n;

		while (i < hi) {
			struct entry x = e[i];

			if (x.prefix < pivot) {
				e[i++] = e[lo];
				e[lo++] = x;
			} else if (x.prefix > pivot) {
				e[i] = e[--hi];
				e[hi] = x;
			} else {
				i++;
			}
		}
		if (hi - lo > 1)
			deeper(e + lo, tmp, hi - lo, depth, arena);
		/* The smaller side by recursion bounds the stack. */
		if (lo < n - hi) {
			sort(e, tmp, lo, depth, false, arena);
			e += hi;
			n -= hi;
		} else {
			sort(e + hi, tmp, n - hi, depth, false, arena);
			n = lo;
		}
		if (n >= deal_from && n <= deal_most) {
			sort(e, tmp, n, depth, false, arena);
			return;
		}
	}
	few(e, tmp, n, depth, arena);
}

/* Deals a[0..n) into b by how far prefixes are from the least one, of which
 * range is the most; at[i] becomes the end of pile i. */
static void
deal(const struct entry *a, struct entry *b, size_t n, uint64_t least,
    uint64_t range, uint32_t at[PILES])
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(range);
	unsigned shift = bits > PILE_BITS ? bits - PILE_BITS : 0;
	uint32_t sum = 0;

	memset(at, 0, PILES * sizeof *at);
	for (size_t i = 0; i < n; i++)
		at[(a[i].prefix - least) >> shift]++;
	for (size_t i = 0; i < PILES; i++) {
		uint32_t count = at[i];

		at[i] = sum;
		sum += count;
	}
	for (size_t i = 0; i < n; i++)
		b[at[(a[i].prefix - least) >> shift]++] = a[i];
}

/* Sorts a[0..n) by what stands in their keys from depth on, with b as
 * scratch of the same size; the result is in b or in a.  All piles but the
 * largest are sorted by recursion, so the stack stays shallow. */
static void
sort(struct entry *a, struct entry *b, size_t n, size_t depth, bool to_b,
    const unsigned char *arena)
{
	uint32_t at[PILES];

	while (n >= deal_from && n <= deal_most) {
		uint64_t least = a[0].prefix, greatest = least;
		size_t largest = 0, most = 0, start = 0;

		for (size_t i = 1; i < n; i++) {
			uint64_t x = a[i].prefix;

			least = x < least ? x : least;
			greatest = x > greatest ? x : greatest;
		}
		if (greatest == least) {
			size_t ended = advance(a, b, n, &depth, arena);

			if (to_b)
				memcpy(b, a, ended * sizeof *a);
			a += ended;
			b += ended;
			n -= ended;
			continue;
		}
		deal(a, b, n, least, greatest - least, at);
		for (size_t i = 0; i < PILES; start = at[i++])
			if (at[i] - start > most) {
				most = at[i] - start;
				largest = start;
			}
		start = 0;
		for (size_t i = 0; i < PILES; start = at[i++])
			if (start != largest && at[i] > start)
				sort(b + start, a + start, at[i] - start,
				    depth, !to_b, arena);
		a += largest;
		b += largest;
		n = most;
		{
			struct entry *swap = a;

			a = b;
			b = swap;
		}
		to_b = !to_b;
	}
	if (n > 1)
		quick(a, b, n, depth, arena);
	if (to_b && n > 0)
		memcpy(b, a, n * sizeof *a);
}

/* Sorts n entries; tmp has room for so many, the sort is the quicker the more
 * they are.  The result is in the array that is returned. */
struct entry *
radix_sort(struct entry *e, size_t n, struct entry *tmp, size_t room,
    const unsigned char *arena)
{
	static bool asked;

	if (!asked) {
		deal_from = debug_word("radix") ? 2 :
		    debug_word("noradix") ? SIZE_MAX : DEAL;
		chance = random_seed();
		asked = true;
	}
	deal_most = room;
	if (n > 1)
		sort(e, tmp, n, 0, false, arena);
	return e;
}
