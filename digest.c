/* digest.c - a number that stands for the content of a file.
 *
 * It is the value of a polynomial modulo 2^61-1 at a random point, with the
 * content, four bytes at a time, as its coefficients, and the length: for two
 * contents to be taken for one the point must be a root of their difference.
 * It is known for each beginning of a content on the way to its end. */

#include <string.h>

#include "mr.h"

#define PRIME ((UINT64_C(1) << 61) - 1)

/* A point. */
uint64_t
digest_key(void)
{
	return random_seed() % (PRIME - 256) + 256;
}

static uint64_t
modulo(uint128 x)
{
	uint64_t y = (uint64_t)(x & PRIME) + (uint64_t)(x >> 61 & PRIME) +
	    (uint64_t)(x >> 122);

	y = (y & PRIME) + (y >> 61);
	return y >= PRIME ? y - PRIME : y;
}

/* Nothing has been added yet; key is the point. */
void
digest_begin(struct digest *d, uint64_t key)
{
	*d = (struct digest){ .key = key,
	    .key2 = modulo((uint128)key * key) };
}

static uint64_t
digest_step(const struct digest *d, uint64_t value, const unsigned char *p)
{
	return modulo((uint128)value * d->key2 +
	    (uint128)load_be32(p) * d->key + load_be32(p + 4));
}

void
digest_add(struct digest *d, const unsigned char *p, size_t len)
{
	size_t have = d->len % 8, n;

	d->len += len;
	if (have > 0) {
		n = 8 - have < len ? 8 - have : len;
		memcpy(d->part + have, p, n);
		if (have + n < 8)
			return;
		d->value = digest_step(d, d->value, d->part);
		p += n;
		len -= n;
	}
	for (; len >= 8; p += 8, len -= 8)
		d->value = digest_step(d, d->value, p);
	memcpy(d->part, p, len);
}

/* Of what has been added so far. */
uint64_t
digest_value(const struct digest *d)
{
	unsigned char last[8] = {0};
	size_t have = d->len % 8;

	memcpy(last, d->part, have);
	return modulo((uint128)digest_step(d, d->value, last) * d->key +
	    d->len % PRIME);
}
