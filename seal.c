/* seal.c - the files of a job directory: whole or not there, whatever is
 * killed or loses its power, and known by themselves to be undamaged.
 *
 * A sealed file is bytes of data, a body that says what they are, and a
 * trailer of 24 bytes: the size of the whole file, the length of the body, a
 * checksum of the body and of both, and a word that names the kind.  So a
 * file that was cut off or changed in its body is never taken for a good
 * one; the checksums of the data stand in the body.
 *
 * A draft is a file that has no name yet.  It is written, made durable, and
 * linked to its name if that is free: of two that try, the first wins. */

#define _GNU_SOURCE		/* O_TMPFILE, AT_SYMLINK_FOLLOW */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { TRAILER = 24, BODY_MOST = 1 << 30 };

/* ---- CRC-32C, eight bytes at a time */

static uint32_t table[8][256];

static void
make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t x = i;

		for (int bit = 0; bit < 8; bit++)
			x = x >> 1 ^ (x & 1 ? 0x82f63b78u : 0);
		table[0][i] = x;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^
			    table[0][table[k - 1][i] & 255];
}

/* Goes on with the checksum of what came before, which is 0 at first. */
uint32_t
checksum(uint32_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint32_t x = ~sum;

	if (table[0][1] == 0)
		make_table();
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = load_be64(p);

		x ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 |
		    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		x = table[7][x & 255] ^ table[6][x >> 8 & 255] ^
		    table[5][x >> 16 & 255] ^ table[4][x >> 24] ^
		    table[3][v >> 24 & 255] ^ table[2][v >> 16 & 255] ^
		    table[1][v >> 8 & 255] ^ table[0][v & 255];
	}
	for (; len > 0; p++, len--)
		x = x >> 8 ^ table[0][(x ^ *p) & 255];
	return ~x;
}

/* ---- numbers and strings in a body */

void
seal_number(struct buf *b, uint64_t x)
{
	unsigned char tmp[10];

	buf_put(b, tmp, varint_put(tmp, x));
}

void
seal_bytes(struct buf *b, const void *p, size_t len)
{
	seal_number(b, len);
	buf_put(b, p, len);
}

/* The next number, or 0 and u->bad when there is none up to most. */
uint64_t
unseal_number(struct unseal *u, uint64_t most)
{
	uint64_t x = 0;
	unsigned n = u->bad ? 0 : varint_get(u->p, u->end, &x);

	if (n == 0 || x > most) {
		u->bad = true;
		return 0;
	}
	u->p += n;
	return x;
}

/* The next bytes, or NULL and u->bad. */
const unsigned char *
unseal_bytes(struct unseal *u, size_t *len)
{
	const unsigned char *p;

	*len = (size_t)unseal_number(u, BODY_MOST);
	if (u->bad || *len > (size_t)(u->end - u->p)) {
		u->bad = true;
		*len = 0;
		return NULL;
	}
	p = u->p;
	u->p += *len;
	return p;
}

/* The next bytes as a string, the caller's to free; "" when u->bad. */
char *
unseal_string(struct unseal *u)
{
	size_t len;
	const unsigned char *p = unseal_bytes(u, &len);
	char *s = xrealloc(NULL, len + 1, 1);

	if (len > 0)
		memcpy(s, p, len);
	s[len] = '\0';
	if (strlen(s) != len)
		u->bad = true;
	return s;
}

/* ---- the trailer */

static uint32_t
trailer_sum(const void *body, size_t len, const unsigned char *trailer)
{
	uint32_t sum = checksum(0, body, len);

	sum = checksum(sum, trailer, 12);
	return checksum(sum, trailer + 16, 8);
}

/* Adds the trailer to a body that stands behind so many bytes of data. */
void
seal(struct buf *body, uint64_t data, const char kind[8])
{
	unsigned char t[TRAILER];
	uint64_t size = data + body->len + TRAILER;

	store_be32(t, (uint32_t)(size >> 32));
	store_be32(t + 4, (uint32_t)size);
	store_be32(t + 8, (uint32_t)body->len);
	memcpy(t + 16, kind, 8);
	store_be32(t + 12, trailer_sum(body->p, body->len, t));
	buf_put(body, t, TRAILER);
}

/* Reads the body of a sealed file and how much data stands before it.
 * Returns -1 if it is none of this kind or is damaged; then errno is 0, or
 * why it could not be read. */
int
seal_read(int fd, const char kind[8], struct buf *body, uint64_t *data)
{
	unsigned char t[TRAILER];
	struct stat st;
	uint64_t size, len;

	errno = 0;
	if (fstat(fd, &st) == -1)
		return -1;
	size = (uint64_t)st.st_size;
	if (size < TRAILER)
		return -1;
	if (pread_full(fd, t, TRAILER, size - TRAILER) != TRAILER)
		return -1;
	len = load_be32(t + 8);
	if (memcmp(t + 16, kind, 8) != 0 || load_be64(t) != size ||
	    len > size - TRAILER || len > BODY_MOST)
		return -1;
	buf_reset(body);
	if (pread_full(fd, buf_reserve(body, (size_t)len), (size_t)len,
	    size - TRAILER - len) != (ssize_t)len)
		return -1;
	body->len = (size_t)len;
	errno = 0;
	if (trailer_sum(body->p, body->len, t) != load_be32(t + 12))
		return -1;
	*data = size - TRAILER - len;
	return 0;
}

/* ---- drafts */

/* Opens a file without a name in the directory `at', or one under tmp/ where
 * there is no such thing.  -1 and errno if that fails. */
int
draft_open(struct draft *d, int at)
{
	static unsigned number;
	char host[64] = "";

	*d = (struct draft){ .at = at, .fd = -1 };
#if LINUX
	d->fd = openat(at, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* It gets its name through /proc. */
	if (d->fd != -1 && faccessat(AT_FDCWD, "/proc/self/fd", X_OK, 0) == 0)
		return 0;
	if (d->fd != -1)
		close(d->fd);
#endif
	gethostname(host, sizeof host - 1);
	snprintf(d->name, sizeof d->name, "tmp/%s.%ld.%u", host,
	    (long)getpid(), number++);
	unlinkat(at, d->name, 0);
	d->fd = openat(at, d->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	return d->fd == -1 ? -1 : 0;
}

static int
give_name(struct draft *d, const char *name)
{
	char path[40];

	if (d->name[0] != '\0')
		return linkat(d->at, d->name, d->at, name, 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", d->fd);
	return linkat(AT_FDCWD, path, d->at, name, AT_SYMLINK_FOLLOW);
}

/* Whether the name is that of the draft: a file system may tell us that a
 * link that it has made could not be made, as it was there. */
static bool
has_name(const struct draft *d, const char *name)
{
	struct stat a, b;

	return fstat(d->fd, &a) == 0 && fstatat(d->at, name, &b,
	    AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino;
}

/* Gives the draft this name unless there is such a file: returns 1, or 0 if
 * there is one, or -1 and errno. */
int
draft_link(struct draft *d, const char *name)
{
	if (give_name(d, name) == 0 || (errno == EEXIST && has_name(d, name)))
		return 1;
	return errno == EEXIST ? 0 : -1;
}

/* Puts the draft in the place of what has this name. */
int
draft_replace(struct draft *d, const char *name)
{
	if (d->name[0] == '\0') {
		char host[64] = "";

		gethostname(host, sizeof host - 1);
		snprintf(d->name, sizeof d->name, "tmp/%s.%ld.r", host,
		    (long)getpid());
		unlinkat(d->at, d->name, 0);
		if (give_name(&(struct draft){ .at = d->at, .fd = d->fd },
		    d->name) == -1) {
			d->name[0] = '\0';
			return -1;
		}
	}
	if (renameat(d->at, d->name, d->at, name) == -1)
		return -1;
	d->name[0] = '\0';
	return 0;
}

/* Forgets the draft, whose names stay. */
void
draft_close(struct draft *d)
{
	if (d->name[0] != '\0')
		unlinkat(d->at, d->name, 0);
	if (d->fd != -1)
		close(d->fd);
	*d = (struct draft){ .fd = -1 };
}
