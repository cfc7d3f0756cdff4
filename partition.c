/* partition.c - which of n partitions a key belongs to.
 *
 * The hash is part of the contract: files that `mr shuffle' or `--partition
 * hash' made today must fit those of next year and of another machine.  It
 * is FNV-1a over the bytes of the key (64 bits: start 0xcbf29ce484222325,
 * for each byte exclusive-or it in, then multiply by 0x100000001b3), then
 * the finaliser h ^= h >> 32; h *= 0xd6e8feb86659fd93; h ^= h >> 32, which
 * brings the high bits down; all modulo 2^64.  The partition is h modulo n.
 * It never changes. */

#include "mr.h"

uint64_t
partition_hash(const void *key, size_t len)
{
	const unsigned char *p = key;
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	return h ^ h >> 32;
}

/* A number from 0 to n - 1. */
uint32_t
partition_of(const void *key, size_t len, uint32_t n)
{
	return (uint32_t)(partition_hash(key, len) % n);
}
