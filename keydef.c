/* keydef.c - keys as sort(1) writes them: F[.C][OPTS][,F[.C][OPTS]].
 *
 * A definition names a range of a record and how it is compared.  What they
 * mean together depends on who has them.  `mr sort' compares by one after
 * the other, as sort(1) does.  In `run' and `reduce' (grouped) the first
 * definitions give the order of groups, so they must depend on nothing but
 * the key; then the bytes of the key decide, so that two keys never share a
 * group; and those that remain order the records of a group.
 *
 * Life: keys_add and keys_global while options are read, then keys_resolve,
 * and keys_lead where there are groups.  keyenc.c then makes byte strings of
 * records that compare as the definitions say. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

static const struct { char letter; unsigned bits; } letters[] = {
	{ 'b', KEY_BLANK_FROM | KEY_BLANK_TO }, { 'd', KEY_DICTIONARY },
	{ 'f', KEY_FOLD }, { 'g', KEY_FLOAT }, { 'h', KEY_HUMAN },
	{ 'i', KEY_PRINTABLE }, { 'M', KEY_MONTH }, { 'n', KEY_NUMBER },
	{ 'r', KEY_REVERSE }, { 'V', KEY_VERSION },
};

/* What an ordering letter stands for, or 0. */
unsigned
key_letter(char c)
{
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (letters[i].letter == c)
			return letters[i].bits;
	return 0;
}

static _Noreturn void
bad(const char *text, const char *why)
{
	refuse("-k %s: %s (F[.C][OPTS][,F[.C][OPTS]], OPTS of bdfghiMnrV, "
	    "such as 2,2n)", text, why);
}

/* A number of fields or characters; one too large to matter is cut. */
static const char *
take_number(const char *text, const char *p, uint32_t *n, const char *none)
{
	uint64_t x = 0;

	if (*p < '0' || *p > '9')
		bad(text, none);
	for (; *p >= '0' && *p <= '9'; p++)
		if (x < KEY_FAR)
			x = x * 10 + (uint64_t)(*p - '0');
	*n = x < KEY_FAR ? (uint32_t)x : KEY_FAR;
	return p;
}

/* Letters behind a position; blanks says which end b is about. */
static const char *
take_letters(const char *text, const char *p, unsigned blanks, unsigned *bits)
{
	for (; *p != '\0' && *p != ','; p++) {
		unsigned x = key_letter(*p);

		if (*p == 'R')
			bad(text, "mr sort does not shuffle; shuf(1) does");
		if (x == 0)
			bad(text, "stray characters");
		if (*p == 'b')
			x = blanks;
		*bits |= x;
	}
	return p;
}

/* Adds a definition; refuses what is none. */
void
keys_add(struct keys *k, const char *text)
{
	struct keydef d = { .text = text, .to = KEY_FAR };
	const char *p;

	p = take_number(text, text, &d.from, "it begins with no number");
	if (d.from-- == 0)
		bad(text, "fields count from 1");
	if (*p == '.') {
		p = take_number(text, p + 1, &d.from_char,
		    "no number stands after the '.'");
		if (d.from_char-- == 0)
			bad(text, "characters count from 1");
	}
	p = take_letters(text, p, KEY_BLANK_FROM, &d.bits);
	if (*p == ',') {
		p = take_number(text, p + 1, &d.to,
		    "no number stands after the ','");
		if (d.to-- == 0)
			bad(text, "fields count from 1");
		if (*p == '.')
			p = take_number(text, p + 1, &d.to_char,
			    "no number stands after the '.'");
		p = take_letters(text, p, KEY_BLANK_TO, &d.bits);
	}
	if (*p != '\0')
		bad(text, "stray characters");
	k->v = xrealloc(k->v, k->n + 1, sizeof *k->v);
	k->v[k->n++] = d;
}

/* A definition that was not given: of the first n fields; 0: the record. */
void
keys_add_fields(struct keys *k, uint32_t n)
{
	k->v = xrealloc(k->v, k->n + 1, sizeof *k->v);
	k->v[k->n++] = (struct keydef){ .text = "1",
	    .to = n == 0 ? KEY_FAR : n - 1 };
}

/* Refuses orders that cannot be had together. */
static void
check_orders(const struct keydef *d)
{
	static const unsigned alone[] = { KEY_NUMBER, KEY_FLOAT, KEY_HUMAN,
	    KEY_MONTH, KEY_VERSION | KEY_DICTIONARY | KEY_PRINTABLE };
	char shown[sizeof letters / sizeof *letters + 1];
	size_t n = 0, orders = 0;

	for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
		orders += (d->bits & alone[i]) != 0;
	if (orders <= 1)
		return;
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (d->bits & letters[i].bits &&
		    !strchr("bfr", letters[i].letter))
			shown[n++] = letters[i].letter;
	shown[n] = '\0';
	refuse("the orders -%s are incompatible", shown);
}

/* Completes the definitions: one without letters has those of all. */
void
keys_resolve(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].bits == 0)
			k->v[i].bits = k->global;
		check_orders(k->v + i);
	}
}

/* Whether a definition is of nothing but whole fields among the first n, and
 * to their ends. */
static bool
within(const struct keydef *d, uint32_t n)
{
	return d->from <= d->to && d->to < n && d->to_char == 0;
}

static void
put_letters(struct buf *b, unsigned bits)
{
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (bits & letters[i].bits)
			buf_put(b, &letters[i].letter, 1);
}

/* How many of the first fields the first n definitions cover together. */
static uint32_t
covered_by(const struct keys *k, size_t n)
{
	uint32_t covered = 0;

	for (size_t i = 0; i < n; i++)
		if (k->v[i].from <= covered && k->v[i].to >= covered) {
			covered = k->v[i].to + 1;
			i = SIZE_MAX;	/* the others again */
		}
	return covered;
}

/* Refuses definitions of which the first do not cover the key, and says what
 * would. */
static _Noreturn void
not_covered(const struct keys *k, uint32_t fields, size_t leading)
{
	struct buf b = {0};
	uint32_t covered = covered_by(k, leading);
	const struct keydef *next = leading < k->n ? k->v + leading : NULL;

	for (size_t i = 0; i < leading; i++)
		buf_printf(&b, " -k %s", k->v[i].text);
	buf_printf(&b, " -k %lu,%lu", (unsigned long)covered + 1,
	    (unsigned long)fields);
	if (next != NULL && next->from <= covered) {
		/* It begins in the key: it is only too long. */
		put_letters(&b, next->bits);
		leading++;
	}
	for (size_t i = leading; i < k->n; i++)
		buf_printf(&b, " -k %s", k->v[i].text);
	buf_put(&b, "", 1);
	if (fields == 1)
		refuse("the first -k must be of the key, which is field 1, and "
		    "of no more (--key-fields 1):%s", b.p);
	refuse("the first -k must be of the key, which is fields 1 to %lu, "
	    "and of no more (--key-fields %lu):%s", (unsigned long)fields,
	    (unsigned long)fields, b.p);
}

/* Finds the definitions that lead, which are those that cover the first
 * fields, and no others. */
void
keys_lead(struct keys *k, uint32_t fields)
{
	size_t n = 0;

	while (covered_by(k, n) < fields) {
		if (n == k->n || !within(k->v + n, fields))
			not_covered(k, fields, n);
		n++;
	}
	k->grouped = true;
	k->leading = n;
	/* Where they tell all keys apart, the bytes of the key need not
	 * follow. */
	k->telling = n == 1 && k->v[0].from_char == 0 &&
	    (k->v[0].bits & ~(unsigned)KEY_REVERSE) == 0;
}

/* Whether a single definition is the plain order of the first fields of a
 * record (*n; 0: all of it). */
bool
keys_plain(const struct keys *k, uint32_t *n)
{
	if (k->n != 1 || k->v[0].from != 0 || k->v[0].from_char != 0 ||
	    k->v[0].bits != 0 || k->v[0].to_char != 0)
		return false;
	*n = k->v[0].to == KEY_FAR ? 0 : k->v[0].to + 1;
	return true;
}

/* Says which definitions had nothing in any record, which often is a wrong
 * -t. */
void
keys_complain(const struct keys *k, const struct format *f)
{
	for (size_t i = 0; k->seen & KEYS_ANY && i < k->n && i < 63; i++)
		if ((k->seen >> i & 1) == 0)
			say("warning: field %lu is empty in all records; "
			    "-t '%s'?", (unsigned long)k->v[i].from + 1,
			    f->sep == ' ' ? "\\t" : " ");
}
