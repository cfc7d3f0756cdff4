/* num.c - reads decimal numbers, exactly.
 *
 * A number is what strtod reads without hexadecimal, infinity and nan:
 * blanks, a sign, digits with a point among them, an exponent.  Most have up
 * to 18 digits and are an integer over a power of ten; of the others only
 * where their digits stand is noted, and wide.c takes them from there. */

#include <string.h>

#include "mr.h"

enum { SMALL = 18 };		/* digits that fit an int64_t, signed or not */

const uint64_t num_power[SMALL + 1] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
	1000000000, 10000000000, 100000000000, 1000000000000,
	10000000000000, 100000000000000, 1000000000000000,
	10000000000000000, 100000000000000000, 1000000000000000000,
};

/* The exponent at p, or false.  Its size is cut where none can be meant. */
static bool
read_exponent(const unsigned char *p, const unsigned char *end, int64_t *x)
{
	bool neg = p < end && *p == '-';

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	*x = 0;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		if (*x < 100000000)
			*x = *x * 10 + (*p - '0');
	}
	if (neg)
		*x = -*x;
	return true;
}

/* A number with digits from p on that has a point, an exponent or many
 * digits. */
static bool
read_long(const unsigned char *p, const unsigned char *end, bool neg,
    struct num *x)
{
	const unsigned char *first = NULL;	/* digit that is not 0 */
	int64_t digits = 0, decimals = 0, exponent = 0, scale;
	bool point = false, any = false;
	uint64_t m = 0;

	*x = (struct num){ .neg = neg, .whole = true };
	for (; p < end; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			break;
		any = true;
		decimals += point;
		if (first == NULL && *p == '0')
			continue;
		if (first == NULL)
			first = p;
		if (++digits <= SMALL)
			m = m * 10 + (uint64_t)(*p - '0');
	}
	x->whole = !point && p == end;
	x->p = first;
	x->n = first == NULL ? 0 : (size_t)(p - first);
	if (!any || (p < end && ((*p | 0x20) != 'e' ||
	    !read_exponent(p + 1, end, &exponent))))
		return false;
	scale = decimals - exponent;
	if (digits == 0)
		return true;
	if (scale > NUM_DIGITS || digits - scale > NUM_DIGITS)
		return false;
	x->scale = scale > 0 ? (uint32_t)scale : 0;
	x->zeros = scale < 0 ? (uint32_t)-scale : 0;
	if (digits + x->zeros <= SMALL) {
		x->m = (int64_t)(m * num_power[x->zeros]);
		if (neg)
			x->m = -x->m;
	} else {
		x->form = NUM_TEXT;
	}
	return true;
}

/* Reads the number that p[0..len) is, all of it.  False if it is none, or
 * has more than NUM_DIGITS digits before or behind the point. */
bool
num_read(const unsigned char *p, size_t len, struct num *x)
{
	const unsigned char *end = p + len, *start;
	bool neg = false;
	uint64_t m = 0;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p < end && (*p == '-' || *p == '+'))
		neg = *p++ == '-';
	start = p;
	for (; p < end && p - start < SMALL; p++) {
		unsigned d = *p - (unsigned)'0';

		if (d > 9)
			break;
		m = m * 10 + d;
	}
	if (p < end || p == start)
		return read_long(start, end, neg, x);
	x->m = neg ? -(int64_t)m : (int64_t)m;
	x->scale = 0;
	x->form = NUM_SMALL;
	x->whole = true;
	return true;
}
