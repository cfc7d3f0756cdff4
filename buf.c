/* buf.c - a byte buffer that grows.
 *
 * A zeroed struct buf is empty and ready, so buffers live inside other
 * structs without an init call.  A pointer into p is good until the next
 * buf_ call on it.  Memory failure ends the process, so nothing here
 * returns an error. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mr.h"

/* Makes room for extra bytes and returns where they go.  The caller fills
 * some of them and adds what it filled to len. */
unsigned char *
buf_reserve(struct buf *b, size_t extra)
{
	size_t want;

	if (extra > b->cap - b->len) {
		if (__builtin_add_overflow(b->len, extra, &want))
			die("out of memory");
		b->cap = grown(b->cap, want);
		b->p = xrealloc(b->p, b->cap, 1);
	}
	return b->p + b->len;
}

void
buf_put(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;		/* memcpy(NULL, ..., 0) is undefined */
	memcpy(buf_reserve(b, len), data, len);
	b->len += len;
}

void
buf_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0) {
		vsnprintf((char *)buf_reserve(b, (size_t)n + 1),
		    (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void
buf_number(struct buf *b, uint64_t x)
{
	char text[20], *p = text + sizeof text;

	do
		*--p = (char)('0' + x % 10);
	while ((x /= 10) > 0);
	buf_put(b, p, (size_t)(text + sizeof text - p));
}

/* Appends data with control bytes as \xNN, so that no name and no key can
 * drive a terminal. */
void
buf_escaped(struct buf *b, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			buf_printf(b, "\\x%02X", p[i]);
		else
			buf_put(b, p + i, 1);
}

static int
hex_digit(unsigned char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ?
	    c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Bytes of the number at p[0..len), in base 8 or 16 and of at most so many
 * digits; its value goes to *x. */
static size_t
escaped_number(const unsigned char *p, size_t len, int base, size_t most,
    unsigned *x)
{
	size_t n = 0;

	*x = 0;
	for (; n < most && n < len; n++) {
		int digit = hex_digit(p[n]);

		if (digit < 0 || digit >= base)
			break;
		*x = *x * (unsigned)base + (unsigned)digit;
	}
	return n;
}

/* Appends data with the escapes of C (\n \0 \x41 ...) resolved.  Returns
 * len, or where the first thing stands that begins like an escape and is
 * none; what stands before it has been appended. */
size_t
buf_unescaped(struct buf *b, const void *data, size_t len)
{
	static const char letters[] = "abfnrtv\\\"'?";
	static const char bytes[] = "\a\b\f\n\r\t\v\\\"'?";
	const unsigned char *p = data, *q;
	const char *letter;
	size_t at = 0;

	for (;;) {
		size_t n;
		unsigned x;

		q = len == at ? NULL : memchr(p + at, '\\', len - at);
		buf_put(b, p + at, q == NULL ? len - at : (size_t)(q - p) - at);
		if (q == NULL)
			return len;
		at = (size_t)(q - p);
		letter = len - at < 2 || q[1] == '\0' ? NULL :
		    strchr(letters, q[1]);
		if (letter != NULL) {
			buf_put(b, bytes + (letter - letters), 1);
			at += 2;
			continue;
		}
		n = escaped_number(q + 1, len - at - 1, 8, 3, &x);
		if (n == 0 && len - at > 1 && q[1] == 'x') {
			n = escaped_number(q + 2, len - at - 2, 16, 2, &x);
			n += n > 0;
		}
		if (n == 0 || x > 255)
			return at;
		*buf_reserve(b, 1) = (unsigned char)x;
		b->len++;
		at += 1 + n;
	}
}

/* Forgets the contents and keeps the memory. */
void
buf_reset(struct buf *b)
{
	b->len = 0;
}

void
buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}
