/* sample.c - which records of the input are in a sample.
 *
 * A record draws a lot: a hash of the seed, of the number of its file and of
 * where in the file or stream it begins.  So a record has the same lot
 * however the input is cut and whoever reads it, and lots are as good as
 * random numbers.  A part of the records are those whose lots are below that
 * part of all numbers; n records are those with the n smallest lots, which
 * must be found first, in a pass over all of the input.
 *
 * Lots are not equal, since places are not: where hashes are, the places
 * decide. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

/* A one-to-one mixing of 64 bits. */
static uint64_t
mix(uint64_t x)
{
	for (int i = 0; i < 3; i++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93u;
	}
	return x ^ x >> 32;
}

struct lot
lot_draw(uint64_t seed, uint32_t file, uint64_t off)
{
	return (struct lot){ mix(mix(mix(seed + 1) + file) + off), off,
	    file };
}

/* Whether a comes behind b. */
bool
lot_after(const struct lot *a, const struct lot *b)
{
	if (a->hash != b->hash)
		return a->hash > b->hash;
	return a->file != b->file ? a->file > b->file : a->off > b->off;
}

/* The lot that none comes behind. */
struct lot
lot_last(void)
{
	return (struct lot){ UINT64_MAX, UINT64_MAX, UINT32_MAX };
}

static void
swap(struct lot *a, struct lot *b)
{
	struct lot x = *a;

	*a = *b;
	*b = x;
}

/* Adds a lot, and drops the last one if there are more than most.  v is a
 * heap, its last lot is v[0]. */
void
lots_add(struct lots *l, const struct lot *lot)
{
	size_t i, child;

	if (l->n == l->most) {
		if (l->n == 0 || !lot_after(l->v, lot))
			return;
		l->v[0] = *lot;
		for (i = 0; (child = 2 * i + 1) < l->n; i = child) {
			if (child + 1 < l->n &&
			    lot_after(l->v + child + 1, l->v + child))
				child++;
			if (!lot_after(l->v + child, l->v + i))
				return;
			swap(l->v + child, l->v + i);
		}
		return;
	}
	if (l->n == l->cap) {
		l->cap = grown(l->cap, l->n + 1);
		l->v = xrealloc(l->v, l->cap, sizeof *l->v);
	}
	l->v[i = l->n++] = *lot;
	for (; i > 0 && lot_after(l->v + i, l->v + (i - 1) / 2);
	    i = (i - 1) / 2)
		swap(l->v + i, l->v + (i - 1) / 2);
}

/* "12.5%": the last hash of that part of all.  0 if it is none. */
static uint64_t
part_of_all(const char *s)
{
	uint64_t n = 0, all = 100, q = 0;
	bool point = false;
	const char *p = s;

	for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (n > 10000000000000000 || all > 10000000000000000)
			return 0;
		n = 10 * n + (uint64_t)(*p - '0');
		all *= point ? 10 : 1;
	}
	if (strcmp(p, "%") != 0 || n == 0 || n > all)
		return 0;
	if (n == all)
		return UINT64_MAX;
	for (int i = 0; i < 64; i++) {	/* n * 2^64 / all */
		n *= 2;
		q = 2 * q + (n >= all);
		n -= n >= all ? all : 0;
	}
	return q - 1;
}

/* Takes what stands behind --sample.  False if it is wrong; then a part
 * without its % has that in *percent. */
bool
sample_set(struct sample *s, const char *text, double *percent)
{
	char *end;

	s->text = text;
	s->last = lot_last();
	*percent = 0;
	if (text[0] != '\0' && text[strlen(text) - 1] == '%') {
		s->kind = SAMPLE_PART;
		s->last.hash = part_of_all(text);
		return s->last.hash > 0;
	}
	s->kind = SAMPLE_NUMBER;
	if (parse_number(text, &s->n) == 0 && s->n > 0)
		return true;
	*percent = 100 * strtod(text, &end);
	if (*end != '\0' || !(*percent > 0 && *percent < 100))
		*percent = 0;
	return false;
}
