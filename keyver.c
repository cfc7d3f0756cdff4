/* keyver.c - the order of versions (sort -V) as a string of bytes.
 *
 * Two names compare piece by piece: a run of what is no digit, then a
 * number, and so on.  In a run `~' comes first, then the end of the run, then
 * letters, then all else; a name that ends where another goes on with digits
 * counts as having the number 0 there.  The empty name comes before all,
 * then ".", "..", other names with a dot at their front, and all other
 * names.  A suffix such as .tar.gz counts only if names are equal without.
 *
 * So the string of a name is a byte for its class, its pieces up to the
 * suffix, whether there is a suffix, and if so the pieces of the whole.  No
 * string is the beginning of another. */

#include <string.h>

#include "mr.h"

enum {				/* classes of names */
	EMPTY = 1, DOT, DOTDOT, HIDDEN, OTHER,
};
enum {				/* bytes of runs; a letter is itself */
	TILDE = 1, RUN_END = 2, SPECIAL = 0x80,
};

static bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Length of what stands before the suffix, which is as many as there are at
 * the end of a dot, then a letter or `~', then any of those and digits.  A
 * name such as .profile has nothing before it. */
static size_t
without_suffix(const unsigned char *p, size_t len)
{
	size_t before;

	for (size_t i = 0;; i++) {
		before = i;
		while (i + 1 < len && p[i] == '.' &&
		    (is_letter(p[i + 1]) || p[i + 1] == '~'))
			for (i += 2; i < len && (is_letter(p[i]) ||
			    is_digit(p[i]) || p[i] == '~'); i++)
				;
		if (i == len)
			return before;
	}
}

/* Digits without leading zeros, the number of them first. */
static void
put_digits(struct buf *b, const unsigned char *p, size_t n)
{
	unsigned char head[5] = { 0xff };

	while (n > 0 && *p == '0') {
		p++;
		n--;
	}
	if (n < 0xff) {
		head[0] = (unsigned char)n;
		buf_put(b, head, 1);
	} else {
		store_be32(head + 1, (uint32_t)n);
		buf_put(b, head, 5);
	}
	buf_put(b, p, n);
}

/* Runs and numbers in turn.  What follows a number is no digit, so the end
 * of a run there is the end of all. */
static void
put_pieces(struct buf *b, const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	unsigned char out[2];

	do {
		const unsigned char *from;

		for (; p < end && !is_digit(*p); p++) {
			out[0] = *p == '~' ? TILDE : is_letter(*p) ? *p :
			    SPECIAL;
			out[1] = *p;
			buf_put(b, out, out[0] == SPECIAL ? 2 : 1);
		}
		out[0] = RUN_END;
		buf_put(b, out, 1);
		for (from = p; p < end && is_digit(*p); p++)
			;
		put_digits(b, from, (size_t)(p - from));
	} while (p < end);
	out[0] = RUN_END;
	buf_put(b, out, 1);
}

/* Appends what stands for the name p[0..len). */
void
keyver_put(struct buf *b, const unsigned char *p, size_t len)
{
	unsigned char class = OTHER;
	size_t before;

	if (len == 0)
		class = EMPTY;
	else if (p[0] == '.')
		class = len == 1 ? DOT : len == 2 && p[1] == '.' ? DOTDOT :
		    HIDDEN;
	buf_put(b, &class, 1);
	if (class < HIDDEN)
		return;
	before = without_suffix(p, len);
	put_pieces(b, p, before);
	/* Equal before the suffix, a name without one comes first. */
	buf_put(b, before < len ? "\1" : "\0", 1);
	if (before < len)
		put_pieces(b, p, len);
}
