/* wide.c - decimal numbers of any length: an integer over a power of ten.
 *
 * Only what sums and their squares need, by the methods of school: numbers
 * have a few limbs, and those of more than two are rare.  A zeroed struct is
 * the number 0; a result may stand in memory that is used again by the next
 * one.  Limbs stand from the lowest to the highest, which is not 0. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum { CHUNK = 18 };		/* digits taken at a time */

static void
room(struct wide *w, size_t n)
{
	if (n > w->cap) {
		w->cap = grown(w->cap, n);
		w->d = xrealloc(w->d, w->cap, sizeof *w->d);
	}
}

static void
trim(struct wide *w)
{
	while (w->n > 0 && w->d[w->n - 1] == 0)
		w->n--;
	if (w->n == 0)
		w->neg = false;
}

void
wide_set(struct wide *w, int128 x, uint32_t scale)
{
	uint128 m = x < 0 ? -(uint128)x : (uint128)x;

	room(w, 2);
	w->neg = x < 0;
	w->scale = scale;
	w->d[0] = (uint64_t)m;
	w->d[1] = (uint64_t)(m >> 64);
	w->n = 2;
	trim(w);
}

/* From n limbs in memory of any alignment. */
void
wide_limbs(struct wide *w, const void *p, size_t n, bool neg, uint32_t scale)
{
	room(w, n);
	if (n > 0)
		memcpy(w->d, p, n * sizeof *w->d);
	w->n = n;
	w->neg = neg;
	w->scale = scale;
}

/* w * factor + more. */
static void
multiply1(struct wide *w, uint64_t factor, uint64_t more)
{
	for (size_t i = 0; i < w->n; i++) {
		uint128 x = (uint128)w->d[i] * factor + more;

		w->d[i] = (uint64_t)x;
		more = (uint64_t)(x >> 64);
	}
	if (more > 0) {
		room(w, w->n + 1);
		w->d[w->n++] = more;
	}
}

void
wide_shift10(struct wide *w, uint32_t zeros)
{
	for (; zeros > 0 && w->n > 0; zeros -= zeros < CHUNK ? zeros : CHUNK)
		multiply1(w, num_power[zeros < CHUNK ? zeros : CHUNK], 0);
}

void
wide_num(struct wide *w, const struct num *x)
{
	uint64_t part = 0;
	unsigned digits = 0;

	if (x->form == NUM_SMALL) {
		wide_set(w, x->m, x->scale);
		return;
	}
	if (x->form == NUM_LIMBS) {
		wide_limbs(w, x->p, x->n, x->neg, x->scale);
		return;
	}
	w->n = 0;
	for (size_t i = 0; i < x->n; i++) {
		if (x->p[i] == '.')
			continue;
		part = part * 10 + (uint64_t)(x->p[i] - '0');
		if (++digits == CHUNK) {
			multiply1(w, num_power[CHUNK], part);
			part = digits = 0;
		}
	}
	multiply1(w, num_power[digits], part);
	wide_shift10(w, x->zeros);
	w->neg = x->neg;
	w->scale = x->scale;
}

/* Divides by a number that is not 0; returns what remains. */
uint64_t
wide_divide1(struct wide *w, uint64_t by)
{
	uint64_t rest = 0;

	for (size_t i = w->n; i-- > 0; ) {
		uint128 x = (uint128)rest << 64 | w->d[i];

		w->d[i] = (uint64_t)(x / by);
		rest = (uint64_t)(x % by);
	}
	trim(w);
	return rest;
}

/* Brings both to the same scale. */
static void
align(struct wide *a, struct wide *b)
{
	struct wide *low = a->scale < b->scale ? a : b;
	uint32_t scale = a->scale < b->scale ? b->scale : a->scale;

	wide_shift10(low, scale - low->scale);
	low->scale = scale;
}

static int
compare_size(const struct wide *a, const struct wide *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (size_t i = a->n; i-- > 0; )
		if (a->d[i] != b->d[i])
			return a->d[i] < b->d[i] ? -1 : 1;
	return 0;
}

/* The scale of either may change, not its value. */
int
wide_compare(struct wide *a, struct wide *b)
{
	int c;

	align(a, b);
	if (a->neg != b->neg)
		return a->neg ? -1 : 1;
	c = compare_size(a, b);
	return a->neg ? -c : c;
}

/* a += b, by size alone. */
static void
add_size(struct wide *a, const struct wide *b)
{
	uint64_t carry = 0;

	room(a, b->n);
	while (a->n < b->n)
		a->d[a->n++] = 0;
	for (size_t i = 0; i < a->n && (i < b->n || carry > 0); i++) {
		uint128 x = (uint128)a->d[i] + (i < b->n ? b->d[i] : 0) +
		    carry;

		a->d[i] = (uint64_t)x;
		carry = (uint64_t)(x >> 64);
	}
	if (carry > 0) {
		room(a, a->n + 1);
		a->d[a->n++] = carry;
	}
}

/* to = big - less, by size alone; to is one of them. */
static void
subtract_size(struct wide *to, const struct wide *big, const struct wide *less)
{
	bool borrow = false;

	room(to, big->n);
	for (size_t i = 0; i < big->n; i++) {
		uint64_t x = big->d[i], y = i < less->n ? less->d[i] : 0;

		to->d[i] = x - y - borrow;
		borrow = x < y || (x == y && borrow);
	}
	to->n = big->n;
}

/* a += b, or a -= b.  The scale of b may change, not its value. */
void
wide_add(struct wide *a, struct wide *b, bool minus)
{
	bool bneg = b->neg != minus;

	align(a, b);
	if (a->neg == bneg || b->n == 0) {
		add_size(a, b);
	} else if (compare_size(a, b) >= 0) {
		subtract_size(a, a, b);
	} else {
		subtract_size(a, b, a);
		a->neg = bneg;
	}
	trim(a);
}

/* to = a * b; to is neither of them. */
void
wide_multiply(struct wide *to, const struct wide *a, const struct wide *b)
{
	room(to, a->n + b->n + 1);
	to->n = a->n + b->n;
	memset(to->d, 0, (to->n + 1) * sizeof *to->d);
	for (size_t i = 0; i < a->n; i++) {
		uint64_t carry = 0;

		for (size_t j = 0; j < b->n; j++) {
			uint128 x = (uint128)a->d[i] * b->d[j] +
			    to->d[i + j] + carry;

			to->d[i + j] = (uint64_t)x;
			carry = (uint64_t)(x >> 64);
		}
		to->d[i + b->n] = carry;
	}
	to->neg = a->neg != b->neg;
	to->scale = a->scale + b->scale;
	trim(to);
}

/* Bits of its size; 0 for 0. */
size_t
wide_bits(const struct wide *w)
{
	if (w->n == 0)
		return 0;
	return 64 * w->n - (size_t)__builtin_clzll(w->d[w->n - 1]);
}

/* The two lowest limbs, as a size. */
uint128
wide_low(const struct wide *w)
{
	return (w->n > 1 ? (uint128)w->d[1] << 64 : 0) |
	    (w->n > 0 ? w->d[0] : 0);
}
