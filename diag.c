/* diag.c - messages, and the two ways to end.
 *
 * A message is built whole and written with one write(2), so that lines of
 * several processes never mix.  Control bytes in it (a file name, a key) are
 * printed as \xNN: no message can drive a terminal.  While a progress line
 * stands on the terminal, a message first takes it away; the driver draws it
 * again later. */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

const char *diag_name = "mr";
void (*diag_at_death)(void);
bool (*diag_unheard)(void);
static bool bar;
static int copy = -1;

/* From now on (and in processes forked from now on) a progress line may
 * stand on the last line of the terminal that is our standard error. */
void
diag_bar(bool on)
{
	bar = on;
}

/* From now on messages are written to fd as well. */
void
diag_copy(int fd)
{
	copy = fd;
}

static void
put(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1 && errno != EINTR)
			return;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

/* Writes whole lines to standard error.  Failure is ignored: there is
 * nobody left to tell. */
void
diag_write(const void *lines, size_t len)
{
	if (copy != -1)
		put(copy, lines, len);
	if (bar)
		put(STDERR_FILENO, "\r\033[K", 4);
	put(STDERR_FILENO, lines, len);
}

/* The message as a line, with "NAME: " before it and the error after it.
 * No memory is asked for: there may be none. */
static void
tell(const char *fmt, va_list ap, int err)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[8192], line[sizeof text * 4 + 300];
	size_t n;

	vsnprintf(text, sizeof text, fmt, ap);
	n = (size_t)snprintf(line, 64, "%s: ", diag_name);
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0';
	    p++)
		if (*p < 0x20 || *p == 0x7f) {
			line[n++] = '\\';
			line[n++] = 'x';
			line[n++] = hex[*p >> 4];
			line[n++] = hex[*p & 15];
		} else {
			line[n++] = (char)*p;
		}
	if (err != 0)
		n += (size_t)snprintf(line + n, 200, ": %s", strerror(err));
	line[n++] = '\n';
	diag_write(line, n);
}

void
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, 0);
	va_end(ap);
}

void
say_errno(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, err);
	va_end(ap);
}

static _Noreturn void
end(int status)
{
	void (*last)(void) = diag_at_death;

	diag_at_death = NULL;		/* it may die itself */
	if (last != NULL)
		last();
	_exit(status);
}

static void
last_words(const char *fmt, va_list ap, int err)
{
	if (diag_unheard == NULL || !diag_unheard())
		tell(fmt, ap, err);
}

/* mr's own trouble: cleans up and exits 1. */
void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	last_words(fmt, ap, 0);
	va_end(ap);
	end(EXIT_TROUBLE);
}

void
die_errno(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	last_words(fmt, ap, err);
	va_end(ap);
	end(EXIT_TROUBLE);
}

/* Wrong use, or a job that mr will not begin: exits 2. */
void
refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, 0);
	va_end(ap);
	end(EXIT_USAGE);
}

/* Another mr is at work there: exits 75. */
void
give_way(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, 0);
	va_end(ap);
	end(EXIT_BUSY);
}
