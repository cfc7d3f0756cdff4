/* convert.c - mr convert: text to pairs and back.
 *
 * In text, an escape of C stands for a byte that would end a key or a record
 * there, and for the backslash itself; every other byte stands for itself.
 * So any pairs survive as text, and text without backslashes as pairs.  What
 * no pairs would give, which is a record without a value and a backslash
 * that begins no escape, is refused, since it would not come back. */

#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { O_FROM = O_OWN, O_TO };
enum { CHUNK = 256 * KiB };

static const struct opt opts[] = {
	{ O_FROM, 0, "from", "FORMAT", "of the input: text or rawbytes", 0 },
	{ O_TO, 0, "to", "FORMAT", "of the output", 0 },
	{ O_SEP, 't', "field-separator", "C",
	    "one byte between key and value in text (TAB)", 0 },
	OPT_ZERO,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static void
flush(struct buf *out)
{
	if (write_full(STDOUT_FILENO, out->p, out->len) == -1)
		die_errno("standard output");
	buf_reset(out);
}

/* Ends the process; what is right has been printed. */
static _Noreturn void
fail(struct buf *out, const struct recfile *r, const char *why)
{
	flush(out);
	die("%s: record %llu, at byte %llu: %s", r->name,
	    (unsigned long long)r->number,
	    (unsigned long long)(r->off + r->at), why);
}

static void
put_escape(struct buf *b, unsigned char c)
{
	static const char letters[] = "abtnvfr";

	if (c == '\\')
		buf_str(b, "\\\\");
	else if (c >= '\a' && c <= '\r')
		buf_printf(b, "\\%c", letters[c - '\a']);
	else
		buf_printf(b, "\\%03o", c);
}

/* Appends bytes with the backslash and two more bytes escaped. */
static void
put_escaped(struct buf *b, const unsigned char *p, size_t len,
    unsigned char one, unsigned char other)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] != '\\' && p[i] != one && p[i] != other)
			continue;
		buf_put(b, p + from, i - from);
		put_escape(b, p[i]);
		from = i + 1;
	}
	buf_put(b, p + from, len - from);
}

static void
to_text(struct buf *out, const struct recfile *r, const struct format *f)
{
	put_escaped(out, r->rec.key, r->rec.klen, f->delim, f->sep);
	buf_put(out, &f->sep, 1);
	put_escaped(out, r->rec.val, r->rec.vlen, f->delim, f->delim);
	buf_put(out, &f->delim, 1);
}

/* Appends bytes without their escapes, behind their length.  False if an
 * escape is none. */
static bool
put_counted(struct buf *out, const unsigned char *p, size_t len)
{
	size_t at = out->len;

	buf_put(out, "\0\0\0", PAIR_HEAD);
	if (buf_unescaped(out, p, len) < len)
		return false;
	store_be32(out->p + at, (uint32_t)(out->len - at - PAIR_HEAD));
	return true;
}

static void
to_pairs(struct buf *out, const struct recfile *r)
{
	size_t before = out->len;

	if (r->rec.noval)
		fail(out, r, "no separator, and a pair must have a value");
	if (put_counted(out, r->rec.key, r->rec.klen) &&
	    put_counted(out, r->rec.val, r->rec.vlen))
		return;
	out->len = before;
	fail(out, r, "a backslash that begins no escape (\\\\ is one)");
}

static void
convert(const char *name, const struct format *from, const struct format *to,
    struct buf *out)
{
	struct recfile r;
	int got;

	recfile_open(&r, from, name);
	while ((got = recfile_next(&r)) > 0) {
		if (to->pairs)
			to_pairs(out, &r);
		else
			to_text(out, &r, to);
		if (out->len >= CHUNK)
			flush(out);
	}
	if (got < 0) {
		flush(out);
		die("%s: %s", r.name, (char *)r.why.p);
	}
	recfile_close(&r);
}

/* What stands between key and value must end neither a record nor an
 * escape. */
static void
check_separator(const struct format *f)
{
	if (memchr("\\abtnvfrx01234567", f->sep, 17) != NULL)
		refuse("-t %c: it may stand in escapes", f->sep);
	if (f->sep == f->delim)
		refuse("-t: records end with that byte");
}

static int
convert_main(const struct cmd *c, int argc, char *argv[])
{
	struct format text, pairs = { .pairs = true };
	bool from = false, to = false;
	struct setup s;
	struct optscan o;
	struct buf out = {0};
	int id;

	setup_begin(&s, "convert");
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1) {
		if (id == O_FROM)
			from = opt_format(&o);
		else if (id == O_TO)
			to = opt_format(&o);
		else
			given_option(&s, id, &o);
	}
	text = s.job.shape.fmt;
	if (from == to)
		refuse("from what to what? --from text --to rawbytes, or "
		    "--from rawbytes --to text");
	check_separator(&text);
	for (int i = 0; i < o.noperands || i == 0; i++)
		convert(o.noperands == 0 ? "-" : o.operands[i],
		    from ? &pairs : &text, to ? &pairs : &text, &out);
	flush(&out);
	if (close(STDOUT_FILENO) == -1)
		die_errno("standard output");
	buf_free(&out);
	return EXIT_OK;
}

const struct cmd convert_cmd = {
	"convert", convert_main,
	"--from FORMAT --to FORMAT [option]... [FILE]...",
	"Turns text with a TAB in each line into length-prefixed pairs, or "
	"back.",
	"text <-> rawbytes",
	opts,
	"example: mr convert --from text --to rawbytes -t : /etc/passwd\n",
	false,
};
