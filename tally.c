/* tally.c - the small form of cells: what a key has while numbers of 64 bits
 * are enough.
 *
 * Most keys of most jobs have no other: a few whole numbers, their sum, the
 * least and the greatest of them.  A tally is the number of records, then a
 * number for each slot of the cells (cell.c), and saved it is what those
 * would be.  What does not fit - a point, a long number, a sum that has grown
 * too much - is refused and leaves the tally as it was: the caller goes on
 * with cells.  Only slots for which it makes no difference what comes first
 * have a tally.
 *
 * What each record goes through is inlined here, what few do is not: it would
 * have registers saved for all. */

#include <string.h>

#include "mr.h"

enum { DIGITS = 18 };		/* of a number that is read */
#define MOST (INT64_MAX / 2)	/* of what is kept, signed or not */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* The number that up to 8 digits at p are; says how many they are.  8 bytes
 * at p must be readable. */
static inline __attribute__((always_inline)) uint64_t
read_eight(const unsigned char *p, unsigned *digits)
{
	uint64_t x, other;

	memcpy(&x, p, 8);
	x ^= 0x3030303030303030;
	other = (x | (x + 0x7676767676767676)) & 0x8080808080808080;
	*digits = other == 0 ? 8 : (unsigned)__builtin_ctzll(other) / 8;
	if (*digits == 0)
		return 0;
	x <<= 64 - 8 * *digits;
	x = (x * 10 + (x >> 8)) & 0x00ff00ff00ff00ff;
	x = (x * 100 + (x >> 16)) & 0x0000ffff0000ffff;
	return (x * 10000 + (x >> 32)) & 0xffffffff;
}
#else
static uint64_t
read_eight(const unsigned char *p, unsigned *digits)
{
	uint64_t x = 0;

	for (*digits = 0; *digits < 8 && (unsigned)p[*digits] - '0' < 10;
	    ++*digits)
		x = x * 10 + (uint64_t)(p[*digits] - '0');
	return x;
}
#endif

/* Reads the field at p, which must be a number and all of the field. */
static __attribute__((noinline)) bool
read_whole(const unsigned char *p, size_t len, unsigned char sep, int64_t *x)
{
	const unsigned char *end = p + len;
	bool neg = len > 0 && *p == '-';
	unsigned digits;
	uint64_t m;

	p += neg;
	m = read_eight(p, &digits);
	if (digits == 0 || digits > (size_t)(end - p))
		return false;
	p += digits;
	for (; digits >= 8 && p < end && *p >= '0' && *p <= '9'; p++) {
		if (++digits > DIGITS)
			return false;
		m = m * 10 + (uint64_t)(*p - '0');
	}
	*x = neg ? -(int64_t)m : (int64_t)m;
	return p == end || *p == sep;
}

/* The same, quick where it is up to 8 digits. */
static inline bool
read_number(const unsigned char *p, size_t len, unsigned char sep, int64_t *x)
{
	unsigned digits;

	if (len == 1 && (unsigned)*p - '0' <= 9) {	/* as counts are */
		*x = *p - '0';
		return true;
	}
	*x = (int64_t)read_eight(p, &digits);
	return (digits > 0 && digits == len) || read_whole(p, len, sep, x);
}

/* What a slot becomes by one more number, or by what another tally has in it.
 * False if that does not fit. */
static inline bool
add(enum agg_keep keep, bool first, int64_t *v, int64_t x)
{
	switch (keep) {
	case KEEP_MIN:
		*v = first || x < *v ? x : *v;
		return true;
	case KEEP_MAX:
		*v = first || x > *v ? x : *v;
		return true;
	default:
		if (__builtin_add_overflow(x, *v, &x) || x > MOST || x < -MOST)
			return false;
		*v = x;
		return true;
	}
}

/* Reads the numbers of a record, each at the place of its field. */
static bool
read_fields(const struct aggspec *a, const struct record *r, int64_t *x)
{
	const unsigned char *p = r->val, *end = p + r->vlen;
	uint32_t number = a->fmt.fields + 1;

	if (r->noval)
		return a->nfields == 0;
	for (uint32_t i = 0; i < a->nfields; i++) {
		const struct agg_field *f = a->order[i];

		for (; number < f->number; number++) {
			p = memchr(p, a->fmt.sep, (size_t)(end - p));
			if (p == NULL)
				return false;
			p++;
		}
		if (f->numeric && !read_number(p, (size_t)(end - p),
		    a->fmt.sep, x + (f - a->fields)))
			return false;
	}
	return true;
}

static __attribute__((noinline)) bool
add_all(const struct aggspec *a, int64_t *v, const struct record *r)
{
	int64_t x[TALLY_MOST] = {0}, new[TALLY_MOST];	/* 0: is not read */

	if (!read_fields(a, r, x))
		return false;
	for (uint32_t i = 0; i < a->nslots; i++) {
		const struct agg_slot *s = a->slots + i;
		int64_t y = x[s->field];

		new[i] = v[1 + i];
		if (s->keep == KEEP_SQUARES && (y > INT32_MAX ||
		    y < -INT32_MAX))
			return false;
		if (!add(s->keep, v[0] == 0, new + i, s->keep ==
		    KEEP_SQUARES ? y * y : y))
			return false;
	}
	v[0]++;
	for (uint32_t i = 0; i < a->nslots; i++)
		v[1 + i] = new[i];
	return true;
}

/* Adds a record.  8 bytes behind its value must be readable. */
bool
tally_add(const struct aggspec *a, int64_t *v, const struct record *r)
{
	int64_t x;

	if (!a->lone_sum)
		return add_all(a, v, r);
	if (r->noval || !read_number(r->val, r->vlen, a->fmt.sep, &x) ||
	    !add(KEEP_SUM, false, v + 1, x))
		return false;
	v[0]++;
	return true;
}

/* Adds what another tally has, which is not empty. */
bool
tally_merge(const struct aggspec *a, int64_t *v, const int64_t *more)
{
	int64_t new[TALLY_MOST];

	if (a->lone_sum) {
		if (!add(KEEP_SUM, false, v + 1, more[1]))
			return false;
		v[0] += more[0];
		return true;
	}
	for (uint32_t i = 0; i < a->nslots; i++) {
		new[i] = v[1 + i];
		if (!add(a->slots[i].keep, v[0] == 0, new + i, more[1 + i]))
			return false;
	}
	v[0] += more[0];
	for (uint32_t i = 0; i < a->nslots; i++)
		v[1 + i] = new[i];
	return true;
}

/* Takes away what it was before, but the least and the greatest number, which
 * may be those of before: it will be added to that again.  A sum may become
 * twice as large as others can be. */
void
tally_since(const struct aggspec *a, int64_t *v, const int64_t *before)
{
	v[0] -= before[0];
	for (uint32_t i = 0; i < a->nslots; i++)
		if (a->slots[i].keep != KEEP_MIN &&
		    a->slots[i].keep != KEEP_MAX)
			v[1 + i] -= before[1 + i];
}

/* Appends it as saved cells. */
void
tally_save(const struct aggspec *a, const int64_t *v, struct buf *out)
{
	unsigned char *start = buf_reserve(out, 11 * (a->nslots + 1)), *p;

	p = start + varint_put(start, (uint64_t)v[0]);
	for (uint32_t i = 0; i < a->nslots; i++) {
		int64_t x = v[1 + i];

		*p++ = 0;	/* exact_save: no decimals, 64 bits */
		p += varint_put(p, x < 0 ? (uint64_t)-x << 1 | 1 :
		    (uint64_t)x << 1);
	}
	out->len += (size_t)(p - start);
}

/* Reads saved cells.  False if they are not a tally's. */
bool
tally_load(const struct aggspec *a, int64_t *v, const unsigned char *p,
    size_t len)
{
	const unsigned char *end = p + len;
	uint64_t x;
	unsigned n;

	if ((n = varint_get(p, end, &x)) == 0)
		return false;
	v[0] = (int64_t)x;
	for (uint32_t i = 0; i < a->nslots; i++) {
		p += n;
		if (p == end || *p++ != 0 ||
		    (n = varint_get(p, end, &x)) == 0)
			return false;
		v[1 + i] = x & 1 ? -(int64_t)(x >> 1) : (int64_t)(x >> 1);
		if (v[1 + i] > MOST || v[1 + i] < -MOST)
			return false;
	}
	return true;
}

/* Puts the results of a key as cells_print does; false, with nothing put, if
 * some are none that a tally has. */
bool
tally_print(const struct aggspec *a, const int64_t *v, struct buf *out)
{
	size_t before = out->len;

	for (uint32_t i = 0; i < a->nouts; i++) {
		const struct agg_out *o = a->outs + i;
		int64_t x = v[0];

		switch (o->op) {
		case AGG_COUNT:
			break;
		case AGG_SUM: case AGG_MIN: case AGG_MAX:
			x = v[1 + o->slot];
			break;
		case AGG_RANGE:
			x = v[1 + o->slot] - v[1 + o->second];
			break;
		default:
			out->len = before;
			return false;
		}
		buf_put(out, &a->fmt.sep, 1);
		buf_put(out, "-", x < 0);
		buf_number(out, x < 0 ? -(uint64_t)x : (uint64_t)x);
	}
	return true;
}
