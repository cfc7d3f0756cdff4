/* chars.c - prints every letter and digit of standard input as C TAB 1.
 *
 * The characters are those of map.c's words, in lower case; with the same
 * reduce this counts characters instead of words.
 *
 * Build: cc -O2 -o chars chars.c */

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK = 64 * 1024,
	RECORD = 4			/* "c", TAB, "1", newline */
};

static unsigned char in[BLOCK], out[RECORD * BLOCK];

static int
write_full(const unsigned char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n == -1)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
main(void)
{
	ssize_t n;

	while ((n = read(STDIN_FILENO, in, sizeof in)) > 0) {
		unsigned char *o = out;

		for (ssize_t i = 0; i < n; i++) {
			/* The locale is C, which this program never leaves. */
			if (!isalnum(in[i]))
				continue;
			memcpy(o, "?\t1\n", RECORD);
			*o = (unsigned char)tolower(in[i]);
			o += RECORD;
		}
		if (write_full(out, (size_t)(o - out)) == -1) {
			perror("chars: write");
			return 1;
		}
	}
	if (n == -1) {
		perror("chars: read");
		return 1;
	}
	return 0;
}
