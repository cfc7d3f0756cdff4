/* reduce.c - word count: adds up the numbers of neighbouring equal keys.
 *
 * Reads records KEY TAB NUMBER in which equal keys stand together, and
 * prints one KEY TAB SUM for each.  It may be used as a combiner, too.
 *
 * Build: cc -O2 -o reduce reduce.c
 *
 * Records are taken where they lie in the input buffer, which grows to hold
 * the longest of them.  Only the key of the group at hand is kept apart,
 * since the buffer moves on; most records start with that very key, and one
 * comparison finds its end, too. */

#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OUT_CAP = 64 * 1024,
	NUMBER_MAX = 20			/* digits of UINT64_MAX */
};

struct buf {
	unsigned char *p;
	size_t len, cap;
};

static struct buf in;			/* read, and not yet added up */
static unsigned char out[OUT_CAP];
static size_t out_len;

/* The group at hand. */
static struct buf key;			/* with the TAB that ends it */
static uint64_t sum;
static int have_key;

static uint64_t n_records;		/* for messages */

static void
die(const char *what)
{
	fprintf(stderr, "reduce: record %llu: %s\n",
	    (unsigned long long)n_records, what);
	exit(1);
}

static void
die_errno(const char *what)
{
	fprintf(stderr, "reduce: ");
	perror(what);
	exit(1);
}

/* Makes room for extra bytes behind what b holds. */
static void
reserve(struct buf *b, size_t extra)
{
	size_t cap = b->cap;

	if (extra <= b->cap - b->len)
		return;
	while (cap - b->len < extra) {
		if (cap > SIZE_MAX / 2)
			die("too long");
		cap = cap == 0 ? 128 * 1024 : cap * 2;
	}
	b->p = realloc(b->p, cap);
	if (b->p == NULL)
		die_errno("memory");
	b->cap = cap;
}

static void
write_full(const unsigned char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n == -1)
			die_errno("write");
		p += n;
		len -= (size_t)n;
	}
}

static void
put(const unsigned char *p, size_t len)
{
	if (len > sizeof out - out_len) {
		write_full(out, out_len);
		out_len = 0;
	}
	if (len > sizeof out) {
		write_full(p, len);
		return;
	}
	memcpy(out + out_len, p, len);
	out_len += len;
}

static void
end_group(void)
{
	unsigned char digits[NUMBER_MAX + 1];
	unsigned char *d = digits + sizeof digits;

	if (!have_key)
		return;
	*--d = '\n';
	do {
		*--d = (unsigned char)('0' + sum % 10);
		sum /= 10;
	} while (sum > 0);
	put(key.p, key.len);
	put(d, (size_t)(digits + sizeof digits - d));
}

/* Begins the group of the record at p, the first of the whole records up to
 * end.  Returns where its number stands. */
static const unsigned char *
start_group(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *newline = memchr(p, '\n', (size_t)(end - p));
	const unsigned char *tab = memchr(p, '\t', (size_t)(newline - p));

	if (tab == NULL)
		die("no TAB, so no number");
	key.len = 0;
	reserve(&key, (size_t)(tab + 1 - p));
	key.len = (size_t)(tab + 1 - p);
	memcpy(key.p, p, key.len);
	sum = 0;
	have_key = 1;
	return tab + 1;
}

/* Adds the number at p to the sum.  Returns where the next record begins. */
static const unsigned char *
add_number(const unsigned char *p)
{
	uint64_t n = 0;

	if (*p == '\n')
		die("no number");
	for (; *p != '\n'; p++) {
		unsigned digit = (unsigned)*p - '0';

		if (digit > 9)
			die("not a number");
		if (n > (UINT64_MAX - digit) / 10)
			die("number too big");
		n = n * 10 + digit;
	}
	if (n > UINT64_MAX - sum)
		die("sum too big");
	sum += n;
	return p + 1;
}

/* Adds up the whole records from p up to end. */
static void
take_records(const unsigned char *p, const unsigned char *end)
{
	while (p < end) {
		n_records++;
		if (have_key && key.len < (size_t)(end - p) &&
		    memcmp(p, key.p, key.len) == 0)
			p = add_number(p + key.len);
		else {
			end_group();
			p = add_number(start_group(p, end));
		}
	}
}

/* Returns how many of the buffer's bytes are whole records.  The first seen
 * of them have been searched before. */
static size_t
whole_records(size_t seen)
{
	size_t len = in.len;

	while (len > seen && in.p[len - 1] != '\n')
		len--;
	return len > seen ? len : 0;
}

int
main(void)
{
	size_t seen, len;
	ssize_t n;

	for (;;) {
		seen = in.len;
		reserve(&in, seen + 64 * 1024);
		n = read(STDIN_FILENO, in.p + seen, in.cap - seen);
		if (n <= 0)
			break;
		in.len += (size_t)n;
		len = whole_records(seen);
		take_records(in.p, in.p + len);
		in.len -= len;
		memmove(in.p, in.p + len, in.len);
	}
	if (n == -1)
		die_errno("read");
	if (in.len > 0) {		/* a last line without its newline */
		in.p[in.len++] = '\n';
		take_records(in.p, in.p + in.len);
	}
	end_group();
	write_full(out, out_len);
	return 0;
}
