/* aggspec.c - the words of --agg and mr agg: operations and their fields, in
 * datamash's grammar.
 *
 *	spec = { OP FIELDS | "count" [FIELDS] | "top:"N FIELDS }
 *	FIELDS = a list of numbers and ranges: 2  2,3  2-4
 *
 * An operation with several fields is so many operations.  What operations
 * keep stands in slots, and those that keep the same of the same field share
 * one: mean and sum, svar and mean, two of a kind. */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mr.h"

enum { FIELD_MOST = 1000000, OPS_MOST = 1000, TOP_MOST = 1000000 };

static const struct {
	const char *name;
	enum agg_op op;
	enum agg_keep keep, second;
} table[] = {
	{ "count", AGG_COUNT, KEEP_NOTHING, KEEP_NOTHING },
	{ "sum", AGG_SUM, KEEP_SUM, KEEP_NOTHING },
	{ "min", AGG_MIN, KEEP_MIN, KEEP_NOTHING },
	{ "max", AGG_MAX, KEEP_MAX, KEEP_NOTHING },
	{ "range", AGG_RANGE, KEEP_MAX, KEEP_MIN },
	{ "mean", AGG_MEAN, KEEP_SUM, KEEP_NOTHING },
	{ "pvar", AGG_PVAR, KEEP_SUM, KEEP_SQUARES },
	{ "svar", AGG_SVAR, KEEP_SUM, KEEP_SQUARES },
	{ "pstdev", AGG_PSTDEV, KEEP_SUM, KEEP_SQUARES },
	{ "sstdev", AGG_SSTDEV, KEEP_SUM, KEEP_SQUARES },
	{ "first", AGG_FIRST, KEEP_FIRST, KEEP_NOTHING },
	{ "last", AGG_LAST, KEEP_LAST, KEEP_NOTHING },
	{ "unique", AGG_UNIQUE, KEEP_SET, KEEP_NOTHING },
	{ "countunique", AGG_COUNTUNIQUE, KEEP_SET, KEEP_NOTHING },
	{ "collapse", AGG_COLLAPSE, KEEP_ALL, KEEP_NOTHING },
	{ "top", AGG_TOP, KEEP_TOP, KEEP_NOTHING },
};
enum { NOPS = sizeof table / sizeof *table };

/* Operations of datamash that need all values of a key, or no key. */
static const char *const others[] = {
	"absmax", "absmin", "antimode", "dpo", "iqr", "mad", "madraw",
	"median", "mode", "mscov", "ms", "mnslp", "pcov", "perc", "pkurt",
	"ppearson", "product", "pskew", "q1", "q3", "rand", "scov", "skurt",
	"spearson", "sskew", "trimmean", "rms", "geomean", "harmmean", NULL,
};

/* The next word of *text, which moves behind it, or NULL.  The caller frees
 * it. */
static char *
next_word(const char **text)
{
	const char *p = *text + strspn(*text, " \t\n");
	size_t n = strcspn(p, " \t\n");

	*text = p + n;
	return n == 0 ? NULL : xasprintf("%.*s", (int)n, p);
}

static uint32_t
field_index(struct aggspec *a, uint32_t number)
{
	for (uint32_t i = 0; i < a->nfields; i++)
		if (a->fields[i].number == number)
			return i;
	a->fields = xrealloc(a->fields, a->nfields + 1, sizeof *a->fields);
	a->fields[a->nfields] = (struct agg_field){ .number = number };
	return a->nfields++;
}

static bool
is_number(enum agg_keep keep)
{
	return keep == KEEP_SUM || keep == KEEP_SQUARES || keep == KEEP_MIN ||
	    keep == KEEP_MAX || keep == KEEP_TOP;
}

/* The slot that keeps that of the field. */
static uint32_t
slot_index(struct aggspec *a, enum agg_keep keep, uint32_t field, uint32_t most)
{
	for (uint32_t i = 0; i < a->nslots; i++)
		if (a->slots[i].keep == keep && a->slots[i].field == field &&
		    a->slots[i].most == most)
			return i;
	a->slots = xrealloc(a->slots, a->nslots + 1, sizeof *a->slots);
	a->slots[a->nslots] = (struct agg_slot){ keep, field, most, 0 };
	if (is_number(keep))
		a->fields[field].numeric = true;
	return a->nslots++;
}

static void
add_op(struct aggspec *a, size_t which, uint32_t number, uint32_t most)
{
	struct agg_out out = { .op = table[which].op, .most = most };
	uint32_t field;

	if (a->nouts == OPS_MOST)
		refuse("more than %d operations", OPS_MOST);
	if (number > 0) {
		field = field_index(a, number);
		if (table[which].keep != KEEP_NOTHING)
			out.slot = slot_index(a, table[which].keep, field,
			    most);
		if (table[which].second != KEEP_NOTHING)
			out.second = slot_index(a, table[which].second, field,
			    most);
	}
	a->outs = xrealloc(a->outs, a->nouts + 1, sizeof *a->outs);
	a->outs[a->nouts++] = out;
}

/* The number at *p, which moves behind it. */
static uint32_t
parse_field(const char **p, const char *word, const char *op)
{
	uint64_t n = 0;
	const char *start = *p;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (n <= FIELD_MOST)
			n = n * 10 + (uint64_t)(**p - '0');
	if (*p == start || n == 0 || n > FIELD_MOST)
		refuse("%s %s: a field is a number from 1 on, as in '%s 2'",
		    op, word, op);
	return (uint32_t)n;
}

/* An operation for every field of a list. */
static void
add_list(struct aggspec *a, size_t which, uint32_t most, const char *op,
    const char *word)
{
	const char *p = word;

	do {
		uint32_t lo = parse_field(&p, word, op), hi = lo;

		if (*p == '-') {
			p++;
			hi = parse_field(&p, word, op);
		}
		if (hi < lo || (*p != '\0' && *p != ','))
			refuse("%s %s: not a list of fields, such as 2,4-6",
			    op, word);
		for (; lo <= hi; lo++)
			add_op(a, which, lo, most);
	} while (*p++ == ',');
}

static _Noreturn void
unknown(const char *word)
{
	const char *names[NOPS + 1] = { NULL }, *near;

	for (size_t i = 0; others[i] != NULL; i++)
		if (strcasecmp(word, others[i]) == 0)
			refuse("%s is no operation of mr agg, but of "
			    "datamash: -r 'datamash -g1 %s 2'", word, word);
	for (size_t i = 0; i < NOPS; i++)
		names[i] = table[i].name;
	near = nearest(word, names);
	if (near != NULL)
		refuse("%s is no operation of mr agg; did you mean %s?", word,
		    near);
	refuse("%s is no operation of mr agg; there are count sum min max "
	    "range mean pvar svar pstdev sstdev first last unique "
	    "countunique collapse top:N", word);
}

/* The operation that a word names; *most becomes the N of top:N. */
static size_t
parse_op(char *word, uint32_t *most)
{
	char *colon = strchr(word, ':');
	uint64_t n = 0;
	size_t i = 0;

	if (colon != NULL)
		*colon = '\0';
	while (i < NOPS && strcasecmp(word, table[i].name) != 0)
		i++;
	if (i == NOPS)
		unknown(word);
	if (table[i].op != AGG_TOP && colon != NULL)
		refuse("%s takes no number, only top:N does", word);
	if (table[i].op == AGG_TOP && (colon == NULL ||
	    parse_number(colon + 1, &n) == -1 || n == 0 || n > TOP_MOST))
		refuse("top needs how many, 1 to %d, as in 'top:3 2'",
		    TOP_MOST);
	*most = (uint32_t)n;
	return i;
}

static int
by_number(const void *a, const void *b)
{
	const struct agg_field *const *x = a, *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* Whether a tally can hold slots that are all numbers: none of a field of the
 * key, and fields that cannot be cut within a number. */
static bool
may_tally(const struct aggspec *a)
{
	unsigned char sep = a->fmt.sep;

	for (uint32_t i = 0; i < a->nfields; i++)
		if (a->fields[i].number <= a->fmt.fields &&
		    a->fields[i].numeric)
			return false;
	return a->nslots <= TALLY_MOST && a->nfields <= TALLY_MOST &&
	    a->fmt.fields > 0 && (sep < '0' || sep > '9') && sep != '-';
}

/* Says where slots stand among the cells of a key, behind the number of its
 * records, and in what order fields are met in a record. */
static void
lay_out(struct aggspec *a)
{
	bool lists = false;

	a->size = sizeof(uint64_t);
	for (uint32_t i = 0; i < a->nslots; i++) {
		bool list = !is_number(a->slots[i].keep) ||
		    a->slots[i].keep == KEEP_TOP;

		a->slots[i].at = a->size;
		a->size += list ? sizeof(struct cell_list) :
		    sizeof(struct exact);
		lists |= list;
	}
	a->tallies = !lists && may_tally(a);
	a->lone_sum = a->tallies && a->nslots == 1 && a->nfields == 1 &&
	    a->slots[0].keep == KEEP_SUM &&
	    a->fields[0].number == a->fmt.fields + 1;
	a->plenty = lists ? SIZE_MAX : a->nslots * EXACT_MOST;
	a->order = xzalloc(a->nfields, sizeof *a->order);
	for (uint32_t i = 0; i < a->nfields; i++)
		a->order[i] = a->fields + i;
	if (a->nfields > 0)
		qsort(a->order, a->nfields, sizeof *a->order, by_number);
}

/* Reads the words; refuses what is wrong with them.  Fields are those of
 * records of that format. */
struct aggspec *
aggspec_parse(const char *text, const struct format *fmt)
{
	struct aggspec *a = xzalloc(1, sizeof *a);
	const char *p = text;
	char *op, *word = NULL;

	a->fmt = *fmt;
	while ((op = word != NULL ? word : next_word(&p)) != NULL) {
		uint32_t most = 0;
		size_t which = parse_op(op, &most);

		word = next_word(&p);
		if (word != NULL && *word >= '0' && *word <= '9') {
			add_list(a, which, most, op, word);
			free(word);
			word = NULL;
		} else if (table[which].op == AGG_COUNT) {
			add_op(a, which, 0, 0);
		} else if (word == NULL || strchr("-:,.", *word) == NULL) {
			refuse("%s needs a field, as in '%s%s 2'", op, op,
			    most > 0 ? ":3" : "");
		} else {
			parse_field(&(const char *){ word }, word, op);
		}
		free(op);
	}
	if (a->nouts == 0)
		refuse("which operation? as in 'count sum 2'");
	lay_out(a);
	return a;
}
