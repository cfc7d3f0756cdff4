/* records.c - where records are, as the scanners see it and as one sees it who
 * looks at every byte.
 *
 * An input is a head of six bytes, the two strings of a pattern, and data. */

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { HEAD = 6, STRINGS = 4 };	/* STRINGS: the longest, and one more */

void
fuzz_begin(void)
{
}

void
fuzz_seeds(void)
{
	FUZZ_SEED("\0\0\0\1\0\0k\tv\nkey\tvalue\twith\tmore\n\nlast");
	FUZZ_SEED("\0\1\2\3\0\0@a\nACGT\n+\n####\n@b\nA\n+\n#\nhalf");
	FUZZ_SEED("\1\0\0\2\1\0\n\nab\n\n\ncd\n\n\n\nef");
	FUZZ_SEED("\1\0\0\5\0\1\n>>one\nA\n>two\nC\n");
	FUZZ_SEED("\1\0\0\3\2\2abaaabaababaababaabaab");
	FUZZ_SEED("\2\0\0\1\0\0\0\0\0\1k\0\0\0\2vv\0\0\0\0\0\0\0\0");
	FUZZ_SEED("\2\0\0\7\0\0\0\0\0\5short");
}

/* Where records end, byte by byte.  Returns how many do. */
static size_t
ends_of_lines(const struct form *f, const unsigned char *p, size_t len,
    uint64_t *ends)
{
	size_t n = 0, lines = 0;

	for (size_t i = 0; i < len; i++)
		if (p[i] == f->delim && ++lines % f->lines == 0)
			ends[n++] = i + 1;
	return n;
}

/* Of places that overlap the one before them, none counts. */
static size_t
ends_of_pattern(const struct form *f, const unsigned char *p, size_t len,
    uint64_t *ends)
{
	size_t n = 0, before = 0;

	for (size_t i = 0; i + f->pattern.len <= len; i++) {
		size_t place = i + f->end.len;

		if (memcmp(p + i, f->pattern.p, f->pattern.len) != 0)
			continue;
		if (place - before >= f->end.len)
			ends[n++] = place;
		before = place;
	}
	return n;
}

static size_t
ends_of_pairs(const unsigned char *p, size_t len, uint64_t *ends)
{
	size_t n = 0, at = 0;

	for (;;) {
		for (int i = 0; i < 2; i++) {
			if (len - at < 4 || load_be32(p + at) > len - at - 4)
				return n;
			at += 4 + (size_t)load_be32(p + at);
		}
		ends[n++] = at;
	}
}

/* A cutter that gets the data in pieces stops at the first end that is not
 * before upto, and knows how many it has seen. */
static void
check_cut(const struct form *f, const unsigned char *p, size_t len,
    size_t piece, uint64_t upto, const uint64_t *ends, size_t n)
{
	struct cutter c;
	size_t want = 0;
	bool found = false;

	while (want < n && ends[want] < upto)
		want++;
	cutter_begin(&c, f, 0);
	while (!found && !c.bad && c.at < len) {
		size_t left = len - (size_t)c.at;

		found = cutter_look(&c, p + c.at, left < piece ? left : piece,
		    upto, UINT64_MAX);
	}
	fuzz_check(found == (want < n) && c.records == want + found);
	fuzz_check(c.end == (c.records == 0 ? 0 : ends[c.records - 1]));
}

static void
check_record(const struct format *f, const unsigned char *p, size_t len,
    const struct record *r)
{
	const unsigned char *key = f->pairs ? p + 4 : p, *end = p + len;
	size_t klen = 0, fields = 0, used;
	struct record one;

	if (f->pairs) {
		klen = load_be32(p);
	} else {
		end--;
		while (key + klen < end && (key[klen] != f->sep ||
		    ++fields != f->fields))
			klen++;
	}
	fuzz_check(r->key == key && r->klen == klen);
	fuzz_check(r->noval == (!f->pairs && key + klen == end));
	fuzz_check(r->noval ? r->vlen == 0 :
	    r->val + r->vlen == end &&
	    r->val == key + klen + (f->pairs ? 4 : 1));
	record_parse(f, p, len, &one);
	fuzz_check(one.key == r->key && one.klen == r->klen &&
	    one.vlen == r->vlen && one.noval == r->noval);
	fuzz_check(record_end(f, p, len) == len);
	fuzz_check(record_batch(f, p, len, &one, 1, &used) == 1 &&
	    used == len);
}

static void
check_records(const struct format *f, const unsigned char *p, size_t len,
    const uint64_t *ends, size_t n)
{
	struct record v[RECORD_BATCH];
	size_t at = 0, seen = 0, got, used;

	while ((got = record_batch(f, p + at, len - at, v, RECORD_BATCH,
	    &used)) > 0) {
		fuzz_check(seen + got <= n && at + used == ends[seen + got - 1]);
		for (size_t i = 0; i < got; i++, seen++) {
			size_t from = seen == 0 ? 0 : (size_t)ends[seen - 1];

			check_record(f, p + from, (size_t)ends[seen] - from,
			    v + i);
		}
		at += used;
	}
	fuzz_check(seen == n);
	fuzz_check(record_end(f, p + at, len - at) == 0);
}

void
fuzz_one(const unsigned char *p, size_t len)
{
	static const unsigned char delims[] = { '\n', '\0', '\t', 'a' };
	struct format f = { .pairs = p[0] % 3 == FORM_PAIRS };
	struct buf end = {0}, start = {0}, why = {0};
	struct form form;
	struct cutter c;
	uint64_t *ends;
	size_t n, piece, strings[2];
	unsigned char *exact;

	if (len < HEAD)
		return;
	f.delim = delims[p[1] % 4];
	f.sep = delims[p[1] / 4 % 4];
	f.fields = p[2] % 4;
	piece = p[3] % 40 + 1;
	strings[0] = p[4] % STRINGS + 1;
	strings[1] = p[5] % STRINGS;
	form = form_of(&f);
	form.lines = p[2] / 4 % 5 + 1;
	if (p[0] % 3 == FORM_PATTERN) {
		if (len < HEAD + strings[0] + strings[1])
			return;
		buf_put(&end, p + HEAD, strings[0]);
		buf_put(&start, p + HEAD + strings[0], strings[1]);
		p += strings[0] + strings[1];
		len -= strings[0] + strings[1];
		form_set_pattern(&form, end, start);
	}
	len -= HEAD;
	exact = xrealloc(NULL, len, 1);	/* nothing may be read beside it */
	memcpy(exact, p + HEAD, len);
	ends = xzalloc(len + 1, sizeof *ends);
	n = form.kind == FORM_LINES ? ends_of_lines(&form, exact, len, ends) :
	    form.kind == FORM_PAIRS ? ends_of_pairs(exact, len, ends) :
	    ends_of_pattern(&form, exact, len, ends);
	for (uint64_t upto = 0; upto <= len + 1; upto += len / 8 + 1)
		check_cut(&form, exact, len, piece, upto, ends, n);
	cutter_begin(&c, &form, 0);
	cutter_look(&c, exact, len, UINT64_MAX, UINT64_MAX);
	cutter_failed(&c, &why);
	cutter_whole(&c, &why);
	fuzz_check(c.records == n);
	if (form.kind == FORM_PATTERN || f.delim == f.sep)
		return;
	if (form.kind == FORM_LINES && form.lines > 1) {
		form.lines = 1;
		n = ends_of_lines(&form, exact, len, ends);
	}
	check_records(&f, exact, len, ends, n);
}
