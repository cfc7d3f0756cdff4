/* exact.c - sums of decimal numbers without any loss, so that they are the
 * same in whatever order they were added, and results that are rounded once.
 *
 * A number is kept as an integer over a power of ten: of 128 bits in the
 * struct itself, and where that is not enough as limbs in a heap.  All that
 * can happen often is done in 128 bits; for the rest wide.c computes.
 *
 * Results are printed as printf's %.14g would print them if it were given
 * the exact value; sums, least and greatest of numbers that were all written
 * without a point and an exponent are printed whole. */

#include <string.h>

#include "mr.h"

enum {
	DIGITS = 14,		/* of a result */
	ENOUGH = 20,		/* of what is rounded to a result */
	CHUNK = 18,
};

/* Scratch of all that is wide, kept from call to call. */
static struct wide one, two, three;

/* Room for len bytes, at a multiple of 8 from the base.  In a heap that does
 * not grow there must be so much; in one that does, the base may move. */
uint32_t
heap_take(struct heap *h, size_t len)
{
	size_t at = (h->used + 7) & ~(size_t)7, end = at + len;

	if (end > h->end) {
		if (!h->grows || end > INT32_MAX)
			die("the values of a key take more than 2 GiB");
		h->end = grown(h->end, end);
		h->base = xrealloc(h->base, h->end, 1);
	}
	h->used = end;
	return (uint32_t)at;
}

static int128
value(const struct exact *e)
{
	return (int128)((uint128)(uint64_t)e->high << 64 | e->low);
}

static void
set_value(struct exact *e, int128 x)
{
	e->low = (uint64_t)x;
	e->high = (int64_t)(x >> 64);
}

static void
load(struct wide *w, const struct exact *e, const struct heap *h)
{
	if (e->flags & EXACT_WIDE)
		wide_limbs(w, h->base + e->low, (size_t)e->high,
		    e->flags & EXACT_NEGATIVE, e->scale);
	else
		wide_set(w, value(e), e->scale);
}

static void
store(struct exact *e, const struct wide *w, struct heap *h)
{
	e->scale = (uint16_t)w->scale;
	if (wide_bits(w) < 127) {
		int128 x = (int128)wide_low(w);

		e->flags &= ~(EXACT_WIDE | EXACT_NEGATIVE);
		set_value(e, w->neg ? -x : x);
		return;
	}
	if (!(e->flags & EXACT_WIDE) || e->cap < w->n) {
		e->cap = (uint32_t)(w->n + w->n / 2);
		e->low = heap_take(h, e->cap * sizeof *w->d);
	}
	e->flags = (uint8_t)(e->flags & ~EXACT_NEGATIVE) | EXACT_WIDE |
	    (w->neg ? EXACT_NEGATIVE : 0);
	e->high = (int64_t)w->n;
	memcpy(h->base + e->low, w->d, w->n * sizeof *w->d);
}

/* x * 10^n if that is known to fit. */
static bool
scaled(int128 *x, uint32_t n)
{
	if (n == 0)
		return true;
	if (n > CHUNK || *x > INT64_MAX || *x < INT64_MIN)
		return false;
	*x *= (int64_t)num_power[n];
	return true;
}

/* Adds x / 10^scale, or returns false where 128 bits are not enough. */
static bool
add_small(struct exact *e, int128 x, uint32_t scale)
{
	int128 sum = value(e);

	if (e->flags & EXACT_WIDE)
		return false;
	if (scale < e->scale ? !scaled(&x, e->scale - scale) :
	    !scaled(&sum, scale - e->scale))
		return false;
	if (__builtin_add_overflow(sum, x, &sum))
		return false;
	set_value(e, sum);
	if (scale > e->scale)
		e->scale = (uint16_t)scale;
	return true;
}

static void
note_form(struct exact *e, const struct num *x)
{
	if (!x->whole)
		e->flags |= EXACT_DECIMAL;
}

void
exact_add(struct exact *e, const struct num *x, struct heap *h)
{
	note_form(e, x);
	if (x->form == NUM_SMALL && add_small(e, x->m, x->scale))
		return;
	load(&one, e, h);
	wide_num(&two, x);
	wide_add(&one, &two, false);
	store(e, &one, h);
}

void
exact_add_square(struct exact *e, const struct num *x, struct heap *h)
{
	note_form(e, x);
	if (x->form == NUM_SMALL && add_small(e, (int128)x->m * x->m,
	    2 * x->scale))
		return;
	wide_num(&two, x);
	wide_multiply(&three, &two, &two);
	load(&one, e, h);
	wide_add(&one, &three, false);
	store(e, &one, h);
}

void
exact_set(struct exact *e, const struct num *x, struct heap *h)
{
	e->flags &= ~EXACT_DECIMAL;
	note_form(e, x);
	if (x->form == NUM_SMALL) {
		e->flags &= ~(EXACT_WIDE | EXACT_NEGATIVE);
		e->scale = (uint16_t)x->scale;
		set_value(e, x->m);
		return;
	}
	wide_num(&one, x);
	store(e, &one, h);
}

/* Of equal numbers the one that was written as an integer is the greater,
 * so that nothing depends on which of them came first. */
static int
compare_form(bool whole, const struct num *x)
{
	return whole - x->whole;
}

int
exact_compare(const struct exact *e, const struct num *x,
    const struct heap *h)
{
	bool whole = !(e->flags & EXACT_DECIMAL);
	int c;

	if (x->form == NUM_SMALL && !(e->flags & EXACT_WIDE)) {
		int128 a = value(e), b = x->m;

		if (x->scale < e->scale ? scaled(&b, e->scale - x->scale) :
		    scaled(&a, x->scale - e->scale))
			return a != b ? (a < b ? -1 : 1) :
			    compare_form(whole, x);
	}
	load(&one, e, h);
	wide_num(&two, x);
	c = wide_compare(&one, &two);
	return c != 0 ? c : compare_form(whole, x);
}

/* The same of two that are kept. */
int
exact_order(const struct exact *a, const struct exact *b,
    const struct heap *h)
{
	int c;

	if (a->scale == b->scale && !((a->flags | b->flags) & EXACT_WIDE)) {
		c = (value(a) > value(b)) - (value(a) < value(b));
	} else {
		load(&one, a, h);
		load(&two, b, h);
		c = wide_compare(&one, &two);
	}
	return c != 0 ? c : !(a->flags & EXACT_DECIMAL) -
	    !(b->flags & EXACT_DECIMAL);
}

/* Heap bytes that adding or setting x, or its square, can take. */
size_t
exact_need(const struct exact *e, const struct num *x)
{
	size_t digits = 0, limbs = 2;

	if (x->form == NUM_SMALL && !(e->flags & EXACT_WIDE) &&
	    x->scale < 2 * CHUNK && e->scale < 2 * CHUNK)
		return 16 * sizeof(uint64_t);
	if (e->flags & EXACT_WIDE)
		limbs = (size_t)e->high;
	if (x->form == NUM_LIMBS)
		limbs += x->n;
	else
		digits = x->n + x->zeros + 20;
	limbs += 2 * (digits + x->scale + e->scale) / 19 + 8;
	return limbs * 2 * sizeof(uint64_t);
}

/* ---- saved: a head of scale, size and form; then a number of 64 bits with
 * its sign in the lowest bit, or limbs */

void
exact_save(const struct exact *e, const struct heap *h, struct buf *out)
{
	bool decimal = e->flags & EXACT_DECIMAL;
	unsigned char tmp[20];
	unsigned n;

	if (!(e->flags & EXACT_WIDE) && value(e) <= INT64_MAX / 2 &&
	    value(e) >= INT64_MIN / 2) {
		int64_t x = (int64_t)value(e);

		n = varint_put(tmp, (uint64_t)e->scale << 2 | decimal);
		n += varint_put(tmp + n, x < 0 ? (uint64_t)-x << 1 | 1 :
		    (uint64_t)x << 1);
		buf_put(out, tmp, n);
		return;
	}
	load(&one, e, h);
	n = varint_put(tmp, (uint64_t)e->scale << 2 | 2 | decimal);
	n += varint_put(tmp + n, (uint64_t)one.n << 1 | one.neg);
	buf_put(out, tmp, n);
	buf_put(out, one.d, one.n * sizeof *one.d);
}

/* Reads what exact_save wrote and returns what stands behind it. */
const unsigned char *
exact_load(const unsigned char *p, const unsigned char *end, struct num *x)
{
	uint64_t head, size;
	unsigned n = varint_get(p, end, &head);

	p += n;
	if (n == 0 || (n = varint_get(p, end, &size)) == 0)
		die("temporary data is damaged (a sum)");
	p += n;
	*x = (struct num){ .scale = (uint32_t)(head >> 2),
	    .whole = !(head & 1) };
	if (!(head & 2)) {
		x->m = (int64_t)(size >> 1);
		if (size & 1)
			x->m = -x->m;
		return p;
	}
	x->form = NUM_LIMBS;
	x->neg = size & 1;
	x->n = (size_t)(size >> 1);
	x->p = p;
	if (x->n > (size_t)(end - p) / sizeof(uint64_t))
		die("temporary data is damaged (a sum)");
	return p + x->n * sizeof(uint64_t);
}

/* ---- printed */

/* The digits of x, the last of them at the end of text[0..40). */
static char *
digits_of(uint128 x, char *text)
{
	char *p = text + 40;

	for (; x >> 64 > 0; x /= 10)
		*--p = (char)('0' + (int)(x % 10));
	for (uint64_t y = (uint64_t)x; y > 0; y /= 10)
		*--p = (char)('0' + (int)(y % 10));
	return p;
}

/* Puts x * 10^exponent as %.14g does.  rest: it is a bit more than that; then
 * x has more digits than are shown. */
static void
put_rounded(struct buf *out, bool neg, uint128 x, int exponent, bool rest)
{
	char text[41], *p = digits_of(x, text);
	int n = (int)(text + 40 - p), shown = n;

	if (n == 0) {
		buf_str(out, "0");
		return;
	}
	if (n > DIGITS) {
		bool up = p[DIGITS] > '5';

		if (p[DIGITS] == '5') {
			for (int i = DIGITS + 1; i < n; i++)
				rest |= p[i] != '0';
			up = rest || (p[DIGITS - 1] & 1);
		}
		shown = DIGITS;
		for (int i = DIGITS - 1; up && i >= 0; i--) {
			up = p[i] == '9';
			p[i] = up ? '0' : (char)(p[i] + 1);
		}
		if (up) {		/* all were nines */
			p[0] = '1';
			exponent++;
		}
	}
	exponent += n - 1;		/* now of the first digit */
	while (shown > 1 && p[shown - 1] == '0')
		shown--;
	if (neg)
		buf_str(out, "-");
	if (exponent < -4 || exponent >= DIGITS) {
		buf_printf(out, "%c%s%.*se%c%02d", p[0], shown > 1 ? "." : "",
		    shown - 1, p + 1, exponent < 0 ? '-' : '+',
		    exponent < 0 ? -exponent : exponent);
	} else if (exponent < 0) {
		buf_printf(out, "0.%.*s%.*s", -exponent - 1, "000", shown, p);
	} else if (shown > exponent + 1) {
		buf_printf(out, "%.*s.%.*s", exponent + 1, p,
		    shown - exponent - 1, p + exponent + 1);
	} else {
		buf_printf(out, "%.*s%.*s", shown, p, exponent + 1 - shown,
		    "0000000000000");
	}
}

/* Divides by 10^n; true if anything remains. */
static bool
drop_digits(struct wide *w, uint32_t n)
{
	bool rest = false;

	for (; n > 0 && w->n > 0; n -= n < CHUNK ? n : CHUNK)
		rest |= wide_divide1(w, num_power[n < CHUNK ? n : CHUNK]) != 0;
	return rest;
}

static uint128
square_root(uint128 x)
{
	uint128 r = 0;

	for (uint128 bit = (uint128)1 << 126; bit > 0; bit >>= 2) {
		bool fits = x >= r + bit;

		if (fits)
			x -= r + bit;
		r = (r >> 1) + (fits ? bit : 0);
	}
	return r;
}

/* Puts w / (a * b), or the root of it.  It is brought to as many digits
 * before the point as 128 bits are sure to hold. */
static void
put_ratio(struct buf *out, struct wide *w, uint64_t a, uint64_t b, bool root)
{
	int bits = (int)wide_bits(w) + __builtin_clzll(a) +
	    __builtin_clzll(b) - 128;
	int shift = (root ? 2 * CHUNK - 2 : ENOUGH) -
	    (int)((int64_t)bits * 30103 / 100000);
	int exponent = -(int)w->scale - shift;
	bool rest = false;
	uint128 x;

	if (root && exponent % 2 != 0) {
		shift--;
		exponent++;
	}
	if (shift > 0)
		wide_shift10(w, (uint32_t)shift);
	else
		rest = drop_digits(w, (uint32_t)-shift);
	rest |= wide_divide1(w, a) != 0;
	rest |= wide_divide1(w, b) != 0;
	x = wide_low(w);
	if (root) {
		uint128 r = square_root(x);

		rest |= r * r != x;
		x = r;
		exponent /= 2;
	}
	put_rounded(out, w->neg, x, exponent, rest);
}

static void
put_whole(struct buf *out, struct wide *w)
{
	uint64_t part[2 + NUM_DIGITS / CHUNK * 2];
	size_t n = 0;

	if (w->neg)
		buf_str(out, "-");
	if (w->n <= 1) {
		buf_number(out, (uint64_t)wide_low(w));
		return;
	}
	do
		part[n++] = wide_divide1(w, num_power[CHUNK]);
	while (w->n > 0 && n < sizeof part / sizeof *part);
	buf_printf(out, "%llu", (unsigned long long)part[--n]);
	while (n > 0)
		buf_printf(out, "%018llu", (unsigned long long)part[--n]);
}

static void
put_number(struct buf *out, struct wide *w, bool whole)
{
	if (whole && w->scale == 0)
		put_whole(out, w);
	else
		put_ratio(out, w, 1, 1, false);
}

void
exact_print(const struct exact *e, const struct heap *h, struct buf *out)
{
	load(&one, e, h);
	put_number(out, &one, !(e->flags & EXACT_DECIMAL));
}

/* Puts a - b, or a where b is NULL.  False if that is an integer of more
 * than 128 bits. */
bool
exact_print_sum(const struct exact *a, const struct exact *b,
    const struct heap *h, struct buf *out)
{
	bool whole = !(a->flags & EXACT_DECIMAL);

	load(&one, a, h);
	if (b != NULL) {
		load(&two, b, h);
		wide_add(&one, &two, true);
		whole = whole && !(b->flags & EXACT_DECIMAL);
	}
	if (whole && (one.n > 2 || (wide_bits(&one) == 128 &&
	    !(one.neg && wide_low(&one) == (uint128)1 << 127))))
		return false;
	put_number(out, &one, whole);
	return true;
}

void
exact_print_mean(const struct exact *sum, uint64_t n, const struct heap *h,
    struct buf *out)
{
	load(&one, sum, h);
	put_ratio(out, &one, n, 1, false);
}

/* Puts the variance of n numbers whose sum and sum of squares are given:
 * (n * squares - sum^2) / (n * divisor). */
void
exact_print_variance(const struct exact *sum, const struct exact *squares,
    uint64_t n, uint64_t divisor, bool root, const struct heap *h,
    struct buf *out)
{
	load(&two, squares, h);
	wide_set(&one, (int128)n, 0);
	wide_multiply(&three, &one, &two);
	load(&two, sum, h);
	wide_multiply(&one, &two, &two);
	wide_add(&three, &one, true);
	put_ratio(out, &three, n, divisor, root);
}
