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
static bool bar;

/* From now on (and in processes forked from now on) a progress line may
 * stand on the last line of the terminal that is our standard error. */
void
diag_bar(bool on)
{
	bar = on;
}

/* Writes whole lines to standard error.  Failure is ignored: there is
 * nobody left to tell. */
void
diag_write(const void *lines, size_t len)
{
	if (bar) {
		struct buf b = {0};

		buf_str(&b, "\r\033[K");
		buf_put(&b, lines, len);
		write_full(STDERR_FILENO, b.p, b.len);
		buf_free(&b);
	} else {
		write_full(STDERR_FILENO, lines, len);
	}
}

/* The message in text, with "NAME: " before it and the error after it. */
static void
tell(const char *fmt, va_list ap, int err)
{
	char text[8192];
	struct buf line = {0};

	vsnprintf(text, sizeof text, fmt, ap);
	buf_str(&line, diag_name);
	buf_str(&line, ": ");
	buf_escaped(&line, text, strlen(text));
	if (err != 0) {
		buf_str(&line, ": ");
		buf_str(&line, strerror(err));
	}
	buf_str(&line, "\n");
	diag_write(line.p, line.len);
	buf_free(&line);
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

/* mr's own trouble: cleans up and exits 1. */
void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, 0);
	va_end(ap);
	end(EXIT_TROUBLE);
}

void
die_errno(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap, err);
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
