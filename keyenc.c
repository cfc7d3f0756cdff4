/* keyenc.c - byte strings that compare as key definitions say.
 *
 * Each definition gives a string of its own, and they stand one behind the
 * other, so no such string may be the beginning of another:
 *
 *	bytes	NUL as NUL FF, then NUL NUL; only at the very end as they are
 *	n	80 for 0; else the sign and where the decimal point is, then
 *		digits by two, then 0; negative ones inverted
 *	h	the suffix, then as n
 *	g	what it is (no number, NaN, negative, 0, positive), then the
 *		exponent and the mantissa
 *	M	a byte
 *	V	keyver.c
 *
 * r inverts the string.  What sort(1) does where numbers are odd is done
 * here, too: no + sign under n, no separators of thousands; under h the
 * suffix decides before the number.  (But NaNs are equal: there, sort(1)
 * compares bits that may be any.) */

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mr.h"

static bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

static unsigned char
upper(unsigned char c)
{
	return c >= 'a' && c <= 'z' ? (unsigned char)(c - 'a' + 'A') : c;
}

/* Whether a byte counts under d and i. */
static bool
counts(unsigned bits, unsigned char c)
{
	if (bits & KEY_DICTIONARY)
		return is_blank(c) || is_digit(c) ||
		    (upper(c) >= 'A' && upper(c) <= 'Z');
	return (bits & KEY_PRINTABLE) == 0 || (c >= 0x20 && c < 0x7f);
}

/* Where field number n begins, from 0; the end if there are not so many. */
static const unsigned char *
field_start(const unsigned char *p, const unsigned char *end,
    unsigned char sep, uint32_t n)
{
	for (; n > 0 && p < end; n--) {
		p = memchr(p, sep, (size_t)(end - p));
		if (p == NULL)
			return end;
		p++;
	}
	return p;
}

static const unsigned char *
skip_blanks(const unsigned char *p, const unsigned char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

static const unsigned char *
ahead(const unsigned char *p, const unsigned char *end, uint32_t n)
{
	return (size_t)(end - p) < n ? end : p + n;
}

/* The range that a definition names in the record rec[0..len). */
static const unsigned char *
extent(const struct keydef *d, unsigned char sep, const unsigned char *rec,
    size_t len, size_t *n)
{
	const unsigned char *end = rec + len, *from, *to = end;

	from = field_start(rec, end, sep, d->from);
	if (d->bits & KEY_BLANK_FROM)
		from = skip_blanks(from, end);
	from = ahead(from, end, d->from_char);
	if (d->to != KEY_FAR) {
		to = field_start(rec, end, sep, d->to);
		if (d->to_char == 0) {
			const unsigned char *p = to == end ? NULL :
			    memchr(to, sep, (size_t)(end - to));

			to = p == NULL ? end : p;
		} else {
			if (d->bits & KEY_BLANK_TO)
				to = skip_blanks(to, end);
			to = ahead(to, end, d->to_char);
		}
	}
	*n = to > from ? (size_t)(to - from) : 0;
	return from;
}

/* The bytes that count, as they count. */
static const unsigned char *
filtered(unsigned bits, const unsigned char *p, size_t *len, struct buf *b)
{
	size_t n = 0;

	if ((bits & (KEY_FOLD | KEY_DICTIONARY | KEY_PRINTABLE)) == 0)
		return p;
	buf_reset(b);
	buf_reserve(b, *len + 1);
	for (size_t i = 0; i < *len; i++)
		if (counts(bits, p[i]))
			b->p[n++] = bits & KEY_FOLD ? upper(p[i]) : p[i];
	*len = n;
	return b->p;
}

/* Bytes so that they end by themselves. */
static void
put_bytes(struct buf *b, const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len, *nul;

	for (; (nul = p == end ? NULL : memchr(p, '\0', (size_t)(end - p))) !=
	    NULL; p = nul + 1) {
		buf_put(b, p, (size_t)(nul + 1 - p));
		buf_put(b, "\xff", 1);
	}
	buf_put(b, p, (size_t)(end - p));
	buf_put(b, "\0", 2);
}

/* Inverts what stands behind the first n bytes. */
static void
invert(struct buf *b, size_t n)
{
	for (; n < b->len; n++)
		b->p[n] = (unsigned char)~b->p[n];
}

enum { NEAR = 30 };		/* places that the first byte tells */

/* Where the decimal point of a positive number is: how many digits stand
 * before it, or, negative, zeros behind it. */
static void
put_point(struct buf *b, int64_t places)
{
	unsigned char out[5];

	if (places >= -NEAR && places <= NEAR) {
		out[0] = (unsigned char)(0xa1 + NEAR + places);
		buf_put(b, out, 1);
		return;
	}
	out[0] = places < 0 ? 0xa0 : 0xa2 + 2 * NEAR;
	store_be32(out + 1, (uint32_t)(places + ((int64_t)1 << 31)));
	buf_put(b, out, 5);
}

/* Two digits a byte: the n at p, then the m at q. */
static void
put_pairs(struct buf *b, const unsigned char *p, size_t n,
    const unsigned char *q, size_t m)
{
	unsigned char *out = buf_reserve(b, (n + m) / 2 + 2);
	size_t k = 0;

	for (size_t i = 0; i < n + m; i++) {
		unsigned char digit = (unsigned char)((i < n ? p[i] :
		    q[i - n]) - '0');

		if (i % 2 == 0)
			out[k++] = (unsigned char)(digit * 10 + 1);
		else
			out[k - 1] = (unsigned char)(out[k - 1] + digit);
	}
	out[k++] = 0;
	b->len += k;
}

/* A number as n reads it: blanks, a minus sign, digits, a fraction. */
static void
put_number(struct buf *b, const unsigned char *p, const unsigned char *end)
{
	const unsigned char *whole, *part;
	size_t n, m = 0, start = b->len;
	bool negative = p < end && *p == '-';
	int64_t places;

	for (p += negative; p < end && *p == '0'; p++)
		;
	for (whole = p; p < end && is_digit(*p); p++)
		;
	n = (size_t)(p - whole);
	places = (int64_t)n;
	part = p;
	if (p < end && *p == '.') {
		part = ++p;
		if (n == 0)
			for (; part < end && *part == '0'; part++)
				places--;
		for (p = part; p < end && is_digit(*p); p++)
			;
		m = (size_t)(p - part);
	}
	while (m > 0 && part[m - 1] == '0')
		m--;
	while (m == 0 && n > 0 && whole[n - 1] == '0')
		n--;
	if (n + m == 0) {
		buf_put(b, "\x80", 1);
		return;
	}
	put_point(b, places);
	put_pairs(b, whole, n, part, m);
	if (negative)
		invert(b, start);
}

/* The power of 1024 that a suffix says, if a number other than 0 stands
 * before it. */
static int
suffix_power(const unsigned char *p, const unsigned char *end)
{
	static const char suffixes[] = "KMGTPEZY";
	bool negative = p < end && *p == '-', some = false;
	const char *s;
	int power;

	for (p += negative; p < end && is_digit(*p); p++)
		some |= *p != '0';
	if (p < end && *p == '.')
		for (p++; p < end && is_digit(*p); p++)
			some |= *p != '0';
	if (!some || p == end || *p == '\0')
		return 0;
	s = strchr(suffixes, *p == 'k' ? 'K' : *p);
	power = s == NULL ? 0 : (int)(s - suffixes) + 1;
	return negative ? -power : power;
}

enum { NO_NUMBER, NOT_A_NUMBER, NEGATIVE, ZERO, POSITIVE };
enum { WORDS = (LDBL_MANT_DIG + 31) / 32 };

/* A number as strtold reads it. */
static void
put_float(struct buf *b, const unsigned char *p, size_t len,
    struct buf *scratch)
{
	unsigned char out[4 + 4 * WORDS], kind;
	size_t start = b->len;
	char *text, *rest;
	int exponent;
	long double x;

	if (p != scratch->p) {
		buf_reset(scratch);
		buf_put(scratch, p, len);
		buf_reserve(scratch, 1);
	}
	text = (char *)scratch->p;
	text[len] = '\0';
	x = strtold(text, &rest);
	kind = rest == text ? NO_NUMBER : isnan(x) ? NOT_A_NUMBER :
	    x < 0 ? NEGATIVE : x > 0 ? POSITIVE : ZERO;
	buf_put(b, &kind, 1);
	if (kind != NEGATIVE && kind != POSITIVE)
		return;
	if (kind == NEGATIVE)
		x = -x;
	if (isinf(x)) {
		memset(out, 0xff, sizeof out);
	} else {
		x = frexpl(x, &exponent);
		store_be32(out, (uint32_t)exponent + 0x80000000u);
		for (size_t i = 0; i < WORDS; i++) {
			uint32_t word;

			x *= 4294967296.0L;
			word = (uint32_t)x;
			x -= word;
			store_be32(out + 4 + 4 * i, word);
		}
	}
	buf_put(b, out, sizeof out);
	if (kind == NEGATIVE)
		invert(b, start + 1);
}

/* The number of the month whose name begins there, or 0. */
static unsigned char
month(const unsigned char *p, const unsigned char *end)
{
	static const char names[] = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";

	if (end - p < 3)
		return 0;
	for (size_t i = 0; i < 12; i++)
		if (upper(p[0]) == (unsigned char)names[3 * i] &&
		    upper(p[1]) == (unsigned char)names[3 * i + 1] &&
		    upper(p[2]) == (unsigned char)names[3 * i + 2])
			return (unsigned char)(i + 1);
	return 0;
}

/* Appends what stands for the definition's range of a record. */
static void
put_key(struct keys *k, const struct keydef *d, unsigned char sep,
    const unsigned char *rec, size_t len, bool more, struct buf *b)
{
	static struct buf scratch;	/* kept from record to record */
	size_t n, start = b->len;
	const unsigned char *p = extent(d, sep, rec, len, &n), *end, *first;
	unsigned char byte;

	if (n > 0 && d - k->v < 63)
		k->seen |= (uint64_t)1 << (d - k->v);
	p = filtered(d->bits, p, &n, &scratch);
	end = p + n;
	first = d->bits & (KEY_NUMBER | KEY_HUMAN | KEY_MONTH) ?
	    skip_blanks(p, end) : p;
	if (d->bits & KEY_NUMBER) {
		put_number(b, first, end);
	} else if (d->bits & KEY_HUMAN) {
		byte = (unsigned char)(0x80 + suffix_power(first, end));
		buf_put(b, &byte, 1);
		put_number(b, first, end);
	} else if (d->bits & KEY_FLOAT) {
		put_float(b, p, n, &scratch);
	} else if (d->bits & KEY_MONTH) {
		byte = month(first, end);
		buf_put(b, &byte, 1);
	} else if (d->bits & KEY_VERSION) {
		keyver_put(b, p, n);
	} else if (more || d->bits & KEY_REVERSE) {
		put_bytes(b, p, n);
	} else {
		buf_put(b, p, n);
	}
	if (d->bits & KEY_REVERSE)
		invert(b, start);
}

/* Appends the string by which the record rec[0..len), whose key is its first
 * klen bytes, is sorted.  Where records have an order within their group,
 * its last four bytes say how many of the appended ones, and of the before
 * that stand before them, are the group's. */
void
keys_encode(struct keys *k, unsigned char sep, const unsigned char *rec,
    size_t len, size_t klen, struct buf *b)
{
	bool inner = keys_inner(k);
	unsigned char group[4];
	size_t i = 0;

	k->seen |= KEYS_ANY;
	for (; i < k->leading; i++)
		put_key(k, k->v + i, sep, rec, klen, inner || !k->telling, b);
	if (k->grouped && !k->telling) {
		if (inner)
			put_bytes(b, rec, klen);
		else
			buf_put(b, rec, klen);
	}
	store_be32(group, (uint32_t)b->len);
	for (; i < k->n; i++)
		put_key(k, k->v + i, sep, rec, len, inner || i + 1 < k->n, b);
	if (inner)
		buf_put(b, group, 4);
}
