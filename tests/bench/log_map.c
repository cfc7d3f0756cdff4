/* log_map.c - a web server's log: prints the address of each request as
 * ADDRESS TAB 1.
 *
 * The request is the first quoted string of a line ("GET /a HTTP/1.1"), and
 * the address its second word.  A line without one is left out. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The buffers grow to hold the longest line.  They are of one size, since a
 * line prints less than it is long. */
enum { BLOCK = 128 * 1024 };

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
write_full(const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n == -1)
			die("log_map: write");
		p += n;
		len -= (size_t)n;
	}
}

/* Puts the address in the line from p to its end at o.  Returns where the
 * next one goes. */
static char *
take_line(const char *p, const char *end, char *o)
{
	const char *quote = memchr(p, '"', (size_t)(end - p)), *word, *after;
	size_t len;

	if (quote == NULL ||
	    (word = memchr(quote, ' ', (size_t)(end - quote))) == NULL)
		return o;
	word++;
	after = memchr(word, ' ', (size_t)(end - word));
	if (after == NULL)
		return o;
	len = (size_t)(after - word);
	memcpy(o, word, len);
	memcpy(o + len, "\t1\n", 3);
	return o + len + 3;
}

int
main(void)
{
	char *in = NULL, *out = NULL;
	size_t cap = 0, len = 0;
	ssize_t n;

	for (;;) {
		char *p, *end, *newline, *o;

		if (cap - len < BLOCK) {
			cap = cap == 0 ? 2 * BLOCK : 2 * cap;
			in = realloc(in, cap);
			out = realloc(out, cap);
			if (in == NULL || out == NULL)
				die("log_map: memory");
		}
		n = read(STDIN_FILENO, in + len, BLOCK);
		if (n <= 0)
			break;
		p = in;
		o = out;
		end = in + len + n;
		while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
			o = take_line(p, newline, o);
			p = newline + 1;
		}
		write_full(out, (size_t)(o - out));
		len = (size_t)(end - p);
		memmove(in, p, len);
	}
	if (n == -1)
		die("log_map: read");
	write_full(out, (size_t)(take_line(in, in + len, out) - out));
	free(in);
	free(out);
	return 0;
}
