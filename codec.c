/* codec.c - compressed files: what they begin with, and which programs read
 * them.
 *
 * A file is known by its whole magic number, never by its name.  Of the
 * programs that can read it the first one is taken that is there.  Each must
 * tell by its exit status that its input was whole: cut anywhere, damaged
 * anywhere, or followed by something else.  Those that do not by themselves
 * are run so that they do (pigz: -v), or what they print to their standard
 * error counts as failure (bzip2 ignores what it does not know); lbzip2, to
 * which neither helps, is not used. */

#include <string.h>

#include "mr.h"

enum { NCODECS = 5, PROGRAMS = 3 };

static const struct {
	const char *name, *package;	/* package: Debian's */
	struct {
		char *argv[3];
		bool strict;	/* a word of it is a failure */
	} programs[PROGRAMS];
} codecs[NCODECS] = {
	{ "gzip", "gzip", {
	    { { (char *)"pigz", (char *)"-dcv" }, false },
	    { { (char *)"unpigz", (char *)"-cv" }, false },
	    { { (char *)"gzip", (char *)"-dc" }, false } } },
	{ "bzip2", "bzip2", {
	    { { (char *)"bzip2", (char *)"-dc" }, true },
	    { { (char *)"pbzip2", (char *)"-dc" }, true } } },
	{ "xz", "xz-utils", {
	    { { (char *)"xz", (char *)"-dc" }, false },
	    { { (char *)"unxz", (char *)"-c" }, false } } },
	{ "zstd", "zstd", {
	    { { (char *)"zstd", (char *)"-dc" }, false },
	    { { (char *)"unzstd", (char *)"-c" }, false } } },
	{ "lz4", "lz4", {
	    { { (char *)"lz4", (char *)"-dc" }, false },
	    { { (char *)"unlz4", (char *)"-c" }, false } } },
};

/* Which codec made a file that begins with these bytes; 0 for none. */
unsigned
codec_of(const unsigned char *p, size_t n)
{
	static const unsigned char block[] = "\x31\x41\x59\x26\x53\x59",
	    last[] = "\x17\x72\x45\x38\x50\x90";

#define BEGINS(magic) (n >= sizeof magic - 1 && \
    memcmp(p, magic, sizeof magic - 1) == 0)
	/* No flag of gzip's is set that nobody knows. */
	if (BEGINS("\x1f\x8b\x08") && n > 3 && (p[3] & 0xe0) == 0)
		return 1;
	if (BEGINS("BZh") && n >= 10 && p[3] >= '1' && p[3] <= '9' &&
	    (memcmp(p + 4, block, 6) == 0 || memcmp(p + 4, last, 6) == 0))
		return 2;
	if (BEGINS("\xfd" "7zXZ\0"))
		return 3;
	if (BEGINS("\x28\xb5\x2f\xfd"))
		return 4;
	if (BEGINS("\x04\x22\x4d\x18"))
		return 5;
#undef BEGINS
	return 0;
}

/* The program that reads what the codec made, or NULL if none is there. */
const struct decoder *
codec_decoder(unsigned codec)
{
	static struct decoder found[NCODECS];
	struct decoder *d = found + codec - 1;
	char path[PATH_ROOM];

	for (int i = 0; i < PROGRAMS && d->command.argv == NULL; i++) {
		char *const *argv = codecs[codec - 1].programs[i].argv;

		if (argv[0] == NULL ||
		    proc_lookup(argv[0], path, sizeof path) == NULL)
			continue;
		d->command.argv = (char **)argv;
		d->command.shown = argv[0];
		d->strict = codecs[codec - 1].programs[i].strict;
	}
	return d->command.argv == NULL ? NULL : d;
}

/* Says what is needed to read it. */
void
codec_missing(unsigned codec, struct buf *why)
{
	buf_printf(why, "is compressed by %s, which is not installed (apt-get "
	    "install %s; --decompress none reads it as it is)",
	    codecs[codec - 1].name, codecs[codec - 1].package);
}
