/* convert.c - text to pairs and back: what is not refused comes back as it
 * was.
 *
 * An input is a byte of flags, the separator, and the bytes of a file. */

#include "../../convert.c"
#include "fuzz.h"

#include <stdlib.h>

void
fuzz_begin(void)
{
}

void
fuzz_seeds(void)
{
	FUZZ_SEED("\0\tk\tv\nkey\\n\tva\\tlue\\\\\n\\x41\t\\060\n");
	FUZZ_SEED("\2:k:v\0ke\\072y:\0last:\\'");
	FUZZ_SEED("\1\t\0\0\0\1k\0\0\0\2vv\0\0\0\0\0\0\0\0");
	FUZZ_SEED("\1,\0\0\0\4k,\\\n\0\0\0\3v,\n");
	FUZZ_SEED("\3\t\0\0\0\2\0\t\0\0\0\1\0");
}

static struct buf
turn(const void *p, size_t len, const struct format *from,
    const struct format *to)
{
	struct buf out = {0};

	fuzz_write("in", p, len);
	convert("in", from, to, &out);
	return out;
}

void
fuzz_one(const unsigned char *p, size_t len)
{
	const struct format pairs = { .pairs = true };
	struct format text = { .fields = 1 };
	struct buf a, b, c;
	bool from_pairs;

	if (len < 2)
		return;
	from_pairs = p[0] & 1;
	text.delim = p[0] & 2 ? '\0' : '\n';
	text.sep = p[1];
	check_separator(&text);
	p += 2;
	len -= 2;
	if (from_pairs) {
		a = turn(p, len, &pairs, &text);
		fuzz_is_right = true;
		b = turn(a.p, a.len, &text, &pairs);
		fuzz_check(b.len == len && (len == 0 ||
		    memcmp(b.p, p, len) == 0));
		return;
	}
	a = turn(p, len, &text, &pairs);
	fuzz_is_right = true;
	b = turn(a.p, a.len, &pairs, &text);
	c = turn(b.p, b.len, &text, &pairs);
	fuzz_check(a.len == c.len && (a.len == 0 ||
	    memcmp(a.p, c.p, a.len) == 0));
}
