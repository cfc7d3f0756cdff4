/* cell.c - what operations keep of a key's values, and what they make of it.
 *
 * A key has cells: the number of its records, then a slot for each thing
 * that an operation keeps (aggspec.c).  Slots are of fixed size; what is not
 * stands in a heap, which is part of the collector's arena or grows.  Cells
 * of records that follow one another are merged, the earlier first, and it
 * makes no difference which are merged before which.  So records are added
 * to cells where they are collected, cells are saved in runs, and merged
 * when those are.
 *
 * Life: cells are cells_begin; then cells_add for each record, or cells_merge with
 * saved cells; cells_save or cells_print.
 *
 * A set of values is a log, in which what has come twice is found out when
 * the log is full.  The greatest N numbers are a heap with the least of them
 * on top. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

enum {
	LOOK = 256,		/* bytes of a set that are always looked at */
	LIST_LEAST = 24,
	SHOWN = 200,		/* bytes of a record in a message */
};

struct word {
	const unsigned char *p;
	size_t len;
};

/* Scratch for sets, kept from call to call.  Of a value that is being sorted
 * only its place is held, for there can be as many as there is memory. */
static struct buf joined;
static uint32_t *places;
static size_t cap_places;
static const unsigned char *settled;	/* where places count from */

void
cells_begin(const struct aggspec *a, unsigned char *cells)
{
	memset(cells, 0, a->size);
}

static struct exact *
exact_at(unsigned char *cells, const struct agg_slot *s)
{
	return (struct exact *)(void *)(cells + s->at);
}

static struct cell_list *
list_at(unsigned char *cells, const struct agg_slot *s)
{
	return (struct cell_list *)(void *)(cells + s->at);
}

/* ---- lists */

static uint32_t
list_room(const struct cell_list *l, size_t extra)
{
	size_t want = (size_t)l->len + extra, cap = (size_t)l->cap * 2;

	if (cap < LIST_LEAST)
		cap = LIST_LEAST;
	if (cap < want)
		cap = want;
	if (cap > INT32_MAX)
		die("the values of a key take more than 2 GiB");
	return (uint32_t)cap;
}

/* Makes room behind a list; its end is returned. */
static unsigned char *
list_reserve(struct cell_list *l, struct heap *h, size_t extra)
{
	uint32_t cap, off;

	if (extra > l->cap - l->len) {
		cap = list_room(l, extra);
		if (l->cap > 0 && l->off + (size_t)l->cap == h->used) {
			h->used = l->off;
			heap_take(h, cap);
		} else {
			off = heap_take(h, cap);
			if (l->len > 0)
				memcpy(h->base + off, h->base + l->off,
				    l->len);
			l->off = off;
		}
		l->cap = cap;
	}
	return h->base + l->off + l->len;
}

static void
list_put(struct cell_list *l, struct heap *h, const void *p, size_t len)
{
	unsigned char *end = list_reserve(l, h, len);

	if (len > 0)
		memcpy(end, p, len);
	l->len += (uint32_t)len;
}

/* Heap bytes that list_put of so many can take. */
static size_t
list_need(const struct cell_list *l, size_t extra)
{
	return extra <= l->cap - l->len ? 0 : list_room(l, extra) + 8;
}

/* ---- sets: each value with its length before it */

static const unsigned char *
next_value(const unsigned char *p, const unsigned char *end, struct word *w)
{
	uint64_t len = p < end ? *p : 0;
	unsigned n = len - 1 < 0x7f ? 1 : varint_get(p, end, &len);

	if (n == 0 || len > (size_t)(end - p) - n)
		die("temporary data is damaged (a set)");
	w->p = p + n;
	w->len = (size_t)len;
	return w->p + len;
}

static int
compare_words(const struct word *x, const struct word *y)
{
	return key_compare(x->p, x->len, y->p, y->len);
}

static struct word
word_at(uint32_t off)
{
	struct word w;

	next_value(settled + off, settled + INT32_MAX, &w);
	return w;
}

static int
by_bytes(const void *a, const void *b)
{
	struct word x = word_at(*(const uint32_t *)a);
	struct word y = word_at(*(const uint32_t *)b);

	return compare_words(&x, &y);
}

/* Leaves each value once, in the order of their bytes; returns how many. */
static size_t
set_settle(struct cell_list *l, const struct heap *h)
{
	const unsigned char *p = h->base + l->off, *end = p + l->len;
	struct word w, last = {0};
	unsigned char tmp[10];
	size_t n = 0, kept = 0;

	settled = p;
	while (p < end) {
		if (n == cap_places) {
			cap_places = grown(cap_places, n + 1);
			places = xrealloc(places, cap_places, sizeof *places);
		}
		places[n++] = (uint32_t)(p - settled);
		p = next_value(p, end, &w);
	}
	if (n == 0)
		return 0;
	qsort(places, n, sizeof *places, by_bytes);
	buf_reset(&joined);
	for (size_t i = 0; i < n; i++) {
		w = word_at(places[i]);
		if (i > 0 && compare_words(&last, &w) == 0)
			continue;
		buf_put(&joined, tmp, varint_put(tmp, w.len));
		buf_put(&joined, w.p, w.len);
		last = w;
		kept++;
	}
	memcpy(h->base + l->off, joined.p, joined.len);
	l->len = (uint32_t)joined.len;
	return kept;
}

static bool
set_holds(const struct cell_list *l, const struct heap *h,
    const struct word *w)
{
	const unsigned char *p = h->base + l->off, *end = p + l->len;
	struct word x;

	while (p < end) {
		p = next_value(p, end, &x);
		if (x.len == w->len && (w->len == 0 ||
		    memcmp(x.p, w->p, w->len) == 0))
			return true;
	}
	return false;
}

static void
set_add(struct cell_list *l, struct heap *h, const struct word *w)
{
	unsigned char head[10];
	unsigned n = varint_put(head, w->len);
	size_t extra = n + w->len;

	if (l->len > 0 && l->len <= LOOK && set_holds(l, h, w))
		return;
	if (extra > l->cap - l->len && l->len > LOOK) {
		set_settle(l, h);
		if (l->len > l->cap / 2 && extra < l->cap)
			extra = l->cap;
	}
	list_reserve(l, h, extra);
	list_put(l, h, head, n);
	list_put(l, h, w->p, w->len);
}

/* ---- the greatest numbers */

static struct exact *
top_at(const struct cell_list *l, const struct heap *h, uint32_t i)
{
	return (struct exact *)(void *)(h->base + l->off) + i;
}

static uint32_t
top_count(const struct cell_list *l)
{
	return l->len / (uint32_t)sizeof(struct exact);
}

/* Puts number i of the first n where it belongs among those below it. */
static void
top_sink(const struct cell_list *l, const struct heap *h, uint32_t i,
    uint32_t n)
{
	struct exact *e = top_at(l, h, 0), x = e[i];
	uint32_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && exact_order(e + child + 1, e + child,
		    h) < 0)
			child++;
		if (exact_order(&x, e + child, h) <= 0)
			break;
		e[i] = e[child];
		i = child;
	}
	e[i] = x;
}

static void
top_rise(const struct cell_list *l, const struct heap *h, uint32_t i)
{
	struct exact *e = top_at(l, h, 0), x = e[i];

	while (i > 0 && exact_order(&x, e + (i - 1) / 2, h) < 0) {
		e[i] = e[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	e[i] = x;
}

static void
top_add(struct cell_list *l, struct heap *h, uint32_t most,
    const struct num *x)
{
	uint32_t n = top_count(l);
	struct exact new = {0};

	if (n < most) {
		exact_set(&new, x, h);
		list_put(l, h, &new, sizeof new);
		top_rise(l, h, n);
	} else if (exact_compare(top_at(l, h, 0), x, h) < 0) {
		new = *top_at(l, h, 0);
		exact_set(&new, x, h);
		*top_at(l, h, 0) = new;
		top_sink(l, h, 0, n);
	}
}

/* ---- a record */

/* The end of the field at p. */
static const unsigned char *
field_end(const unsigned char *p, const unsigned char *end, unsigned char sep)
{
	const unsigned char *q = p;

	for (; q < end && q < p + 16; q++)
		if (*q == sep)
			return q;
	if (q < end)
		q = memchr(q, sep, (size_t)(end - q));
	return q == NULL ? end : q;
}

/* Finds the fields of a record.  False if it has too few. */
static bool
find_fields(const struct aggspec *a, const struct record *r)
{
	const unsigned char *p = r->key, *end = p + r->klen, *q;
	uint32_t number = 1, keys = a->fmt.fields;
	bool in_key = true;

	for (uint32_t i = 0; i < a->nfields; i++) {
		struct agg_field *f = a->order[i];

		if (in_key && f->number > keys) {
			if (r->noval)
				return false;
			in_key = false;
			p = r->val;
			end = p + r->vlen;
			number = keys + 1;
		}
		for (q = field_end(p, end, a->fmt.sep); number < f->number;
		    q = field_end(p, end, a->fmt.sep)) {
			if (q == end)
				return false;
			p = q + 1;
			number++;
		}
		f->p = p;
		f->len = (size_t)(q - p);
	}
	return true;
}

static void
complain(struct buf *why, const struct record *r, const char *what)
{
	size_t n = r->noval ? r->klen : (size_t)(r->val + r->vlen - r->key);

	buf_str(why, "key '");
	buf_escaped(why, r->key, r->klen < SHOWN ? r->klen : SHOWN);
	buf_printf(why, "': %s: '", what);
	buf_escaped(why, r->key, n < SHOWN ? n : SHOWN);
	buf_str(why, n < SHOWN ? "'" : "' ...");
}

/* Reads the fields; what is wrong with them goes to why. */
static bool
read_fields(const struct aggspec *a, const struct record *r, struct buf *why)
{
	char what[80];

	if (!find_fields(a, r)) {
		snprintf(what, sizeof what, "a record has less than %lu "
		    "fields", (unsigned long)
		    a->order[a->nfields - 1]->number);
		complain(why, r, what);
		return false;
	}
	for (uint32_t i = 0; i < a->nfields; i++) {
		struct agg_field *f = a->order[i];

		if (!f->numeric || num_read(f->p, f->len, &f->x))
			continue;
		snprintf(what, sizeof what, "field %lu of a record is no "
		    "number", (unsigned long)f->number);
		complain(why, r, what);
		return false;
	}
	return true;
}

/* Heap bytes that adding the fields to the cells can take. */
static size_t
need(const struct aggspec *a, unsigned char *cells, bool first)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < a->nslots; i++) {
		const struct agg_slot *s = a->slots + i;
		const struct agg_field *f = a->fields + s->field;
		struct cell_list *l = list_at(cells, s);

		switch (s->keep) {
		case KEEP_FIRST:
			sum += first ? list_need(l, f->len) : 0;
			break;
		case KEEP_LAST:
			sum += f->len <= l->cap ? 0 : list_room(l, f->len) + 8;
			break;
		case KEEP_ALL:
			sum += list_need(l, f->len + 1);
			break;
		case KEEP_SET:
			sum += list_need(l, f->len + 10);
			break;
		case KEEP_TOP:
			sum += list_need(l, sizeof(struct exact)) +
			    exact_need(&(struct exact){0}, &f->x);
			break;
		default:
			sum += exact_need(exact_at(cells, s), &f->x);
			break;
		}
	}
	return sum;
}

/* Takes a number into a slot that holds as many before it as say so. */
static void
keep_number(struct exact *e, enum agg_keep keep, const struct num *x,
    struct heap *h, bool first)
{
	int c;

	if (keep == KEEP_SUM) {
		exact_add(e, x, h);
		return;
	}
	c = first ? 0 : exact_compare(e, x, h);
	if (first || (keep == KEEP_MIN ? c > 0 : c < 0))
		exact_set(e, x, h);
}

static void
keep_text(struct cell_list *l, const struct agg_slot *s, struct heap *h,
    const struct word *w, bool first)
{
	switch (s->keep) {
	case KEEP_FIRST:
		if (first)
			list_put(l, h, w->p, w->len);
		break;
	case KEEP_LAST:
		l->len = 0;
		list_put(l, h, w->p, w->len);
		break;
	case KEEP_ALL:
		list_reserve(l, h, w->len + 1);	/* once: see need */
		if (!first)
			list_put(l, h, ",", 1);
		list_put(l, h, w->p, w->len);
		break;
	default:
		set_add(l, h, w);
		break;
	}
}

/* Adds a record to the cells of its key; or leaves them as they are, if the
 * heap has no room or the record is not right: then why says how. */
enum cells_result
cells_add(const struct aggspec *a, unsigned char *cells, struct heap *h,
    const struct record *r, struct buf *why)
{
	uint64_t *n = (uint64_t *)(void *)cells;
	bool first = *n == 0;

	if (!read_fields(a, r, why))
		return CELLS_BAD;
	if (!h->grows && h->end - h->used < a->plenty &&
	    need(a, cells, first) > h->end - h->used)
		return CELLS_FULL;
	for (uint32_t i = 0; i < a->nslots; i++) {
		const struct agg_slot *s = a->slots + i;
		const struct agg_field *f = a->fields + s->field;

		switch (s->keep) {
		case KEEP_SUM: case KEEP_MIN: case KEEP_MAX:
			keep_number(exact_at(cells, s), s->keep, &f->x, h,
			    first);
			break;
		case KEEP_SQUARES:
			exact_add_square(exact_at(cells, s), &f->x, h);
			break;
		case KEEP_TOP:
			top_add(list_at(cells, s), h, s->most, &f->x);
			break;
		default:
			keep_text(list_at(cells, s), s, h,
			    &(struct word){ f->p, f->len }, first);
			break;
		}
	}
	++*n;
	return CELLS_ADDED;
}

/* ---- saved: the number of records, then each slot */

void
cells_save(const struct aggspec *a, unsigned char *cells, const struct heap *h,
    struct buf *out)
{
	unsigned char tmp[10];

	buf_put(out, tmp, varint_put(tmp, *(uint64_t *)(void *)cells));
	for (uint32_t i = 0; i < a->nslots; i++) {
		const struct agg_slot *s = a->slots + i;
		struct cell_list *l = list_at(cells, s);

		switch (s->keep) {
		case KEEP_SUM: case KEEP_SQUARES: case KEEP_MIN: case KEEP_MAX:
			exact_save(exact_at(cells, s), h, out);
			break;
		case KEEP_TOP:
			buf_put(out, tmp, varint_put(tmp, top_count(l)));
			for (uint32_t j = 0; j < top_count(l); j++)
				exact_save(top_at(l, h, j), h, out);
			break;
		case KEEP_SET:
			set_settle(l, h);
			/* fall through */
		default:
			buf_put(out, tmp, varint_put(tmp, l->len));
			buf_put(out, h->base + l->off, l->len);
			break;
		}
	}
}

/* Merges a saved slot into one that holds none yet if it is the first. */
static const unsigned char *
merge_slot(const struct agg_slot *s, unsigned char *cells, struct heap *h,
    const unsigned char *p, const unsigned char *end, bool first)
{
	struct cell_list *l = list_at(cells, s);
	struct word w;
	struct num x;
	uint64_t n;

	switch (s->keep) {
	case KEEP_SUM: case KEEP_SQUARES: case KEEP_MIN: case KEEP_MAX:
		p = exact_load(p, end, &x);
		keep_number(exact_at(cells, s), s->keep == KEEP_SQUARES ?
		    KEEP_SUM : s->keep, &x, h, first);
		return p;
	case KEEP_TOP:
		p += varint_get(p, end, &n);
		for (; n > 0; n--) {
			p = exact_load(p, end, &x);
			top_add(l, h, s->most, &x);
		}
		return p;
	default:
		break;
	}
	p = next_value(p, end, &w);
	if (s->keep == KEEP_SET)
		for (const unsigned char *q = w.p, *stop = p; q < stop; ) {
			q = next_value(q, stop, &w);
			set_add(l, h, &w);
		}
	else
		keep_text(l, s, h, &w, first);
	return p;
}

/* Merges saved cells, of records that follow those of the cells, into them.
 * The heap must be one that grows. */
void
cells_merge(const struct aggspec *a, unsigned char *cells, struct heap *h,
    const unsigned char *p, size_t len)
{
	const unsigned char *end = p + len;
	uint64_t *n = (uint64_t *)(void *)cells, more;
	bool first = *n == 0;

	p += varint_get(p, end, &more);
	for (uint32_t i = 0; i < a->nslots; i++)
		p = merge_slot(a->slots + i, cells, h, p, end, first);
	*n += more;
}

/* ---- printed */

static void
print_set(struct cell_list *l, const struct heap *h, struct buf *out)
{
	const unsigned char *p, *end;
	struct word w;

	set_settle(l, h);
	p = h->base + l->off;
	end = p + l->len;
	for (bool first = true; p < end; first = false) {
		p = next_value(p, end, &w);
		buf_put(out, ",", !first);
		buf_put(out, w.p, w.len);
	}
}

/* The least goes to the end, again and again; that leaves no heap, so it is
 * made one first. */
static void
print_top(struct cell_list *l, const struct heap *h, struct buf *out)
{
	uint32_t n = top_count(l);

	for (uint32_t i = n / 2; i-- > 0; )
		top_sink(l, h, i, n);
	for (uint32_t i = n; i > 1; i--) {
		struct exact *e = top_at(l, h, 0), x = e[0];

		e[0] = e[i - 1];
		e[i - 1] = x;
		top_sink(l, h, 0, i - 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		buf_put(out, ",", i > 0);
		exact_print(top_at(l, h, i), h, out);
	}
}

/* Puts a result.  False if it is an integer of more than 128 bits. */
static bool
print_one(const struct aggspec *a, const struct agg_out *o, unsigned char *cells,
    const struct heap *h, struct buf *out)
{
	const struct agg_slot *s = a->slots + o->slot, *t = a->slots +
	    o->second;
	uint64_t n = *(uint64_t *)(void *)cells;
	bool sample = o->op == AGG_SVAR || o->op == AGG_SSTDEV;
	struct cell_list *l;

	switch (o->op) {
	case AGG_COUNT:
		buf_number(out, n);
		return true;
	case AGG_SUM:
		return exact_print_sum(exact_at(cells, s), NULL, h, out);
	case AGG_RANGE:
		return exact_print_sum(exact_at(cells, s), exact_at(cells, t),
		    h, out);
	case AGG_MIN: case AGG_MAX:
		exact_print(exact_at(cells, s), h, out);
		return true;
	case AGG_MEAN:
		exact_print_mean(exact_at(cells, s), n, h, out);
		return true;
	case AGG_PVAR: case AGG_SVAR: case AGG_PSTDEV: case AGG_SSTDEV:
		if (sample && n == 1)
			buf_str(out, "nan");
		else
			exact_print_variance(exact_at(cells, s),
			    exact_at(cells, t), n, n - sample,
			    o->op == AGG_PSTDEV || o->op == AGG_SSTDEV, h,
			    out);
		return true;
	case AGG_UNIQUE:
		print_set(list_at(cells, s), h, out);
		return true;
	case AGG_COUNTUNIQUE:
		buf_number(out, set_settle(list_at(cells, s), h));
		return true;
	case AGG_TOP:
		print_top(list_at(cells, s), h, out);
		return true;
	default:
		l = list_at(cells, s);
		buf_put(out, h->base + l->off, l->len);
		return true;
	}
}

/* Puts the results of a key, a separator before each.  False if there is one
 * that cannot be printed. */
bool
cells_print(const struct aggspec *a, unsigned char *cells, const struct heap *h,
    struct buf *out)
{
	for (uint32_t i = 0; i < a->nouts; i++) {
		buf_put(out, &a->fmt.sep, 1);
		if (!print_one(a, a->outs + i, cells, h, out))
			return false;
	}
	return true;
}
