/* bucket.c - mr sort without runs: where the input fits in memory, records stay
 * where they are, in the pages of the files, and only entries are sorted.
 *
 * The keys are divided into ranges, the buckets (divide.c).  A map task looks
 * through its split and writes an entry of each record, those of a bucket
 * together.  A reduce task reads the entries of one bucket, few enough for a
 * processor's cache, sorts them, and copies the records.  So each byte is
 * copied once, and no run is made.
 *
 * Where keys often begin alike, the records of a bucket are brought together
 * first, so that comparing them does not wait for memory each time.  Input that
 * exceeds memory is written bucket by bucket by the map tasks. */

#define _GNU_SOURCE		/* MADV_POPULATE_READ */
#include <sys/mman.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

#ifndef MADV_POPULATE_READ	/* of Linux 5.14: maps pages at once */
#define MADV_POPULATE_READ 22
#endif
#define SPLIT_MOST ((uint64_t)1 << 30)
enum {
	AHEAD = 16,		/* records that are fetched ahead, */
	FETCH_MOST = 256,	/* so many bytes of each */
	CACHE_LINE = 64,
	RECORD_LEAST = 8,	/* bytes, on average of a split */
};

struct looking {		/* of a worker's map tasks */
	uint32_t *len;		/* of all records of the split, in order: */
	uint16_t *bucket;	/* without delimiters; where they belong; */
	struct entry *ref;	/* unless they are copied */
	size_t n, most;
	size_t bits;		/* that any of these lengths has */
	struct buf sorted;	/* what is put out */
	uint64_t longest;	/* bytes that a record may have */
};
struct gathered {		/* a bucket that is to be printed */
	const struct buckets *b;
	struct entry *entry;	/* of its records; and room for as many */
	size_t n, cap;
	bool sized;		/* each has its length before it */
	const unsigned char *base;	/* what their offsets count from */
	struct buf text;	/* the records, unless sorted where they are */
	struct entry *ref;
	size_t nref;
	size_t next;		/* the entry that is to be printed, */
	bool begun;
	size_t len, done;	/* its bytes, and how many of them are out */
	uint64_t prefix;	/* of the key of the last one */
	uint64_t left;		/* bytes of records that are still to come */
};

/* ---- a map task */

/* A page of a file that is not there any more, or that cannot be read. */
static void
cannot_read(int sig)
{
	static const char text[] = ": a file of the input became shorter while "
	    "it was sorted, or cannot be read\n";

	(void)sig;
	if (write(STDERR_FILENO, diag_name, strlen(diag_name)) != -1 &&
	    write(STDERR_FILENO, text, sizeof text - 1) != -1)
		_exit(EXIT_TROUBLE);
	_exit(EXIT_TROUBLE);
}

/* Says how a split will be used: all of it, now, or no more. */
static void
advise(const struct reader *r, const unsigned char *p, int advice)
{
#if LINUX
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)p / page * page;

	if (r->fd == -1)
		return;		/* it is our own memory */
	if (advice == MADV_POPULATE_READ)
		posix_fadvise(r->fd, (off_t)r->split.off, (off_t)r->split.len,
		    POSIX_FADV_WILLNEED);
	madvise((void *)from, (uintptr_t)p + r->split.len - from, advice);
#else
	(void)r;
	(void)p;
	(void)advice;
#endif
}

/* Of a key of which nothing beyond end is readable. */
static uint64_t
prefix_of(const unsigned char *key, size_t len, const unsigned char *end)
{
	return end - key >= 8 ? prefix8_ahead(key, len) : prefix8(key, len);
}

/* The buckets of keys, n at the most RECORD_BATCH, by their first bytes; the
 * rest of them is looked at only where these are a bound's as well. */
static void
find_buckets(const struct buckets *b, const uint64_t *prefix, size_t n,
    uint32_t *at)
{
	memset(at, 0, n * sizeof *at);
	for (size_t step = b->width / 2; step > 0; step /= 2)
		for (size_t i = 0; i < n; i++)
			/* No branch: it would be guessed wrong half the time. */
			at[i] += (uint32_t)step & -(uint32_t)
			    (b->prefix[at[i] + step - 1] < prefix[i]);
}

/* The bucket of a key, which is one of lo to hi. */
uint32_t
bucket_find(const struct buckets *b, const unsigned char *key, size_t len,
    uint32_t lo, uint32_t hi)
{
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (key_compare(b->bound[mid].key, b->bound[mid].len, key,
		    len) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The bucket of a key that begins as the bound of at does: there, or behind
 * bounds that begin so, too. */
static uint32_t
pass_bounds(const struct buckets *b, uint32_t at, uint64_t prefix,
    const unsigned char *key, size_t len)
{
	uint32_t hi = at;

	while (hi + 1 < b->n && b->prefix[hi] == prefix)
		hi++;
	return bucket_find(b, key, len, at, hi);
}

/* Notes where records are.  False if they are not as they should be. */
static bool
note(struct looking *l, const struct buckets *b, const struct record *v,
    size_t n, const unsigned char *base, const unsigned char *end)
{
	struct entry *ref = b->mode == BUCKET_COPIES ? NULL : l->ref + l->n;
	uint64_t prefix[RECORD_BATCH];
	uint32_t at[RECORD_BATCH];

	if (l->n + n > l->most)
		return false;
	for (size_t i = 0; i < n; i++) {
		const unsigned char *key = v[i].key;
		size_t len = (size_t)(v[i].val + v[i].vlen - key);

		if (len >= l->longest)
			return false;
		l->bits |= len;
		prefix[i] = prefix_of(key, v[i].klen, end);
		if (ref != NULL)
			ref[i] = (struct entry){ prefix[i],
			    (uint32_t)(key - base), v[i].klen };
		l->len[l->n + i] = (uint32_t)len;
	}
	find_buckets(b, prefix, n, at);
	for (size_t i = 0; i < n; i++) {
		if (at[i] + 1 < b->n && b->prefix[at[i]] == prefix[i])
			at[i] = pass_bounds(b, at[i], prefix[i], v[i].key,
			    v[i].klen);
		l->bucket[l->n + i] = (uint16_t)at[i];
	}
	l->n += n;
	return true;
}

/* Says in place where the records of each bucket begin if one takes unit bytes,
 * or, where that is 0, its own.  Counts their own if these are others.  Returns
 * how many all take. */
static uint32_t
count(const struct looking *l, const struct buckets *b, uint32_t task,
    uint32_t unit, uint32_t *place)
{
	uint32_t *bytes = b->bytes + (size_t)task * b->n, sum = 0;

	memset(place, 0, b->n * sizeof *place);
	if (unit > 0)
		memset(bytes, 0, b->n * sizeof *bytes);
	for (size_t i = 0; i < l->n; i++)
		place[l->bucket[i]] += unit > 0 ? unit : l->len[i] + 1;
	for (size_t i = 0; unit > 0 && i < l->n; i++)
		bytes[l->bucket[i]] += l->len[i] + 1;
	for (uint32_t k = 0; k < b->n; k++) {
		uint32_t n = place[k];

		place[k] = sum;
		sum += n;
	}
	return sum;
}

/* Puts the entries into the sink, or the records, which begin at p, those of
 * each bucket together.  Returns whether records have their length before them,
 * by which they need not be looked through again. */
static bool
put_sorted(struct looking *l, const struct buckets *b, uint32_t task,
    const unsigned char *p, unsigned char delim, struct sink *sink)
{
	uint32_t *at = b->ends + (size_t)task * b->n;
	bool copies = b->mode == BUCKET_COPIES;
	bool sized = copies && l->bits <= UINT8_MAX;
	unsigned char *to, *q;
	size_t all = count(l, b, task, copies ? 0 : sizeof *l->ref, at);

	buf_reset(&l->sorted);
	to = buf_reserve(&l->sorted, all);
	for (size_t i = 0; i < l->n; i++) {
		uint32_t *place = at + l->bucket[i], len = l->len[i];

		if (copies) {
			q = to + *place;
			*q = (unsigned char)len;
			memcpy(q + sized, p, len);
			if (!sized)
				q[len] = delim;
			p += len + 1;
			*place += len + 1;
		} else {
			memcpy(to + *place, l->ref + i, sizeof *l->ref);
			*place += sizeof *l->ref;
		}
	}
	sink_put(sink, to, all);
	return sized;
}

static struct looking *
begin_looking(struct worker *w, size_t len)
{
	struct looking *l = w->looking;

	if (l == NULL) {
		l = w->looking = xzalloc(1, sizeof *l);
		l->longest = record_most();
	}
	l->n = 0;
	l->bits = 0;
	if (len / RECORD_LEAST >= l->most) {
		l->most = len / RECORD_LEAST + 1;
		if (w->job->buckets->mode != BUCKET_COPIES)
			l->ref = xrealloc(l->ref, l->most, sizeof *l->ref);
		l->len = xrealloc(l->len, l->most, sizeof *l->len);
		l->bucket = xrealloc(l->bucket, l->most, sizeof *l->bucket);
	}
	return l;
}

/* Looks through a split and puts the entries of its records into the sink, or
 * the records; or says that they are unfit for it. */
void
bucket_look(struct worker *w, const struct task_msg *t,
    const struct reader *r, struct sink *sink, struct reply_msg *reply)
{
	const struct buckets *b = w->job->buckets;
	const struct shape *shape = &w->job->shape;
	const unsigned char *all = b->ring != NULL ? b->ring : b->input;
	uint64_t from = b->ring != NULL ? r->split.spool.off :
	    b->file_at[r->split.file] + r->split.off;
	const unsigned char *begin = all + from, *p = begin;
	const unsigned char *end = p + r->split.len;
	const unsigned char *base = b->mode == BUCKET_DIRECT ? all : begin;
	struct looking *l = begin_looking(w, (size_t)r->split.len);
	bool fits = t->task < b->ntasks && r->split.len < SPLIT_MOST;

	signal(SIGBUS, cannot_read);
	advise(r, p, MADV_POPULATE_READ);
	while (p < end && fits && !*b->unfit) {
		struct record v[RECORD_BATCH];
		size_t used, n = record_batch(&shape->fmt, p,
		    (size_t)(end - p), v, RECORD_BATCH, &used);

		if (n == 0) {	/* the last one has no delimiter */
			used = (size_t)(end - p);
			record_parse(&shape->fmt, p, used + 1, v);
			n = 1;
		}
		fits = note(l, b, v, n, base, end);
		p += used;
		w->job->shared->worker[w->me].moved += used;
		harvest_alive(w);
	}
	if (fits && !*b->unfit) {
		bool sized = put_sorted(l, b, t->task, begin,
		    shape->fmt.delim, sink);

		b->looked[t->task] = (struct looked){ .sized = sized,
		    .from = (uint64_t)(base - all), .at = *sink->place };
		reply->records = l->n;
		reply->stats.in = reply->stats.out = r->split.len;
	} else {
		*b->unfit = true;
		if (t->task < b->ntasks)
			b->looked[t->task].sized = false;
		if (b->ring != NULL)	/* as it is: nobody else has it */
			sink_put(sink, begin, (size_t)r->split.len);
	}
	if (b->mode == BUCKET_COPIES)
		advise(r, begin, MADV_DONTNEED);
}

/* ---- a reduce task */

/* What is in a file is not what was there when it was looked through. */
static _Noreturn void
changed(void)
{
	die("a file of the input was changed while it was sorted");
}

/* Bytes of the record that begins at p, of which the first klen are a key;
 * g->left becomes what is left without them.  Ends the process if there are
 * more than there should be. */
static size_t
record_len(struct gathered *g, const unsigned char *p, size_t klen,
    const unsigned char *end, unsigned char delim)
{
	const unsigned char *nl;
	size_t len;

	if (g->sized) {
		len = p[-1];
	} else {
		nl = memchr(p + klen, delim, (size_t)(end - p) - klen);
		len = (size_t)((nl != NULL ? nl : end) - p);
	}
	if (len >= g->left)
		changed();
	g->left -= len + 1;
	return len;
}

/* The end of the file in which p points. */
static const unsigned char *
file_end(const struct buckets *b, const unsigned char *p)
{
	return b->input + b->end[(uint64_t)(p - b->input) / HUGE_PAGE];
}

/* Has room for n entries, and as many for the sort; those there are stay. */
static void
room_for(struct gathered *g, size_t n)
{
	if (n <= g->cap)
		return;
	g->cap = n + n / 4;
	g->entry = xrealloc(g->entry, 2 * g->cap, sizeof *g->entry);
}

/* Has a record on its way to us which, if it is like the last one, has so many
 * bytes, or the beginning of a long one. */
static void
fetch(const unsigned char *p, size_t len)
{
	if (len > FETCH_MOST)
		len = FETCH_MOST;
	for (size_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch(p + i);
	__builtin_prefetch(p + len);
}

/* Copies the records of n entries, in order. */
static void
copy_records(struct gathered *g, const unsigned char *from, size_t n,
    unsigned char delim)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = from + g->ref[i].off;

		if (i + AHEAD < n)
			fetch(from + g->ref[i + AHEAD].off, len);
		len = record_len(g, p, g->ref[i].klen, file_end(g->b, p),
		    delim);
		buf_put(&g->text, p, len);
		buf_put(&g->text, &delim, 1);
	}
}

/* Gives records that have their length before them a delimiter behind them
 * instead. */
void
bucket_delimit(unsigned char *p, size_t len, unsigned char delim)
{
	unsigned char *end = p + len;

	while (p < end) {
		size_t n = *p;

		if (n >= (size_t)(end - p))
			die("temporary data is damaged (a length)");
		memmove(p, p + 1, n);
		p[n] = delim;
		p += n + 1;
	}
}

/* Reads what a map task has put out for a bucket. */
static void
read_slice(struct gathered *g, struct worker *w, const struct looked *x,
    uint32_t begin, uint32_t end)
{
	struct store *s = w->job->stores + x->at.store;
	size_t size = end - begin, n = size / sizeof *g->ref;
	void *to;

	if (g->b->mode == BUCKET_COPIES) {
		to = buf_reserve(&g->text, size);
		g->text.len += size;
	} else if (g->b->mode == BUCKET_DIRECT) {
		room_for(g, g->n + n);
		to = g->entry + g->n;
		g->n += n;
	} else {
		if (n > g->nref) {
			g->nref = n + n / 4;
			g->ref = xrealloc(g->ref, g->nref, sizeof *g->ref);
		}
		to = g->ref;
	}
	if (pread_full(store_fd(s, &x->at), to, size, x->at.off + begin) !=
	    (ssize_t)size)
		die_errno("%s: reading temporary data", s->dir);
	if (x->sized && !g->sized)
		bucket_delimit(to, size, w->job->shape.fmt.delim);
	if (g->b->mode == BUCKET_REFS)
		copy_records(g, g->b->input + x->from, n,
		    w->job->shape.fmt.delim);
}

/* Makes entries of the records in text. */
static void
make_entries(struct gathered *g, const struct format *fmt)
{
	struct record v[RECORD_BATCH];
	size_t n, used;

	buf_reserve(&g->text, 8);
	for (size_t at = 0; at < g->text.len; at += used) {
		n = record_batch(fmt, g->text.p + at, g->text.len - at, v,
		    RECORD_BATCH, &used);
		if (n == 0)
			die("temporary data is damaged (a record)");
		room_for(g, g->n + n);
		for (size_t i = 0; i < n; i++)
			g->entry[g->n++] = (struct entry){
			    prefix8_ahead(v[i].key, v[i].klen),
			    (uint32_t)(v[i].key - g->text.p), v[i].klen };
	}
}

/* The same where they have their length before them. */
static void
make_sized_entries(struct gathered *g, const struct format *fmt)
{
	size_t len;

	buf_reserve(&g->text, KEY_AHEAD);
	for (size_t at = 0; at < g->text.len; at += len) {
		const unsigned char *p = g->text.p + ++at;
		size_t klen;

		len = p[-1];
		if (len > g->text.len - at)
			die("temporary data is damaged (a length)");
		klen = key_length_ahead(fmt, p, len);
		room_for(g, g->n + 1);
		g->entry[g->n++] = (struct entry){ prefix8_ahead(p, klen),
		    (uint32_t)at, (uint32_t)klen };
	}
}

/* How many bytes the records of a bucket have that a task has found. */
uint32_t
bucket_bytes(const struct buckets *b, size_t task, uint32_t number)
{
	const uint32_t *end = b->ends + task * b->n + number;

	return b->mode != BUCKET_COPIES ? b->bytes[task * b->n + number] :
	    number > 0 ? end[0] - end[-1] : end[0];
}

/* Whether all records that tasks have put out for a bucket have their length
 * before them. */
static bool
all_sized(const struct buckets *b, size_t ntasks, uint32_t number)
{
	size_t t = 0;

	while (t < ntasks && (b->looked[t].sized ||
	    bucket_bytes(b, t, number) == 0))
		t++;
	return t == ntasks && b->mode == BUCKET_COPIES;
}

/* Brings the records of a bucket together and sorts them. */
struct gathered *
bucket_gather(struct worker *w, const struct task_msg *task)
{
	uint32_t number = task->task;
	uint64_t bytes = task->expect;
	const struct buckets *b = w->job->buckets;
	struct gathered *g = w->gathered;

	if (g == NULL)
		g = w->gathered = xzalloc(1, sizeof *g);
	g->b = b;
	g->n = g->next = 0;
	g->begun = false;
	g->prefix = 0;
	g->left = bytes;
	g->sized = all_sized(b, task->n, number);
	buf_reset(&g->text);
	signal(SIGBUS, cannot_read);
	for (size_t t = 0; t < task->n; t++) {
		const uint32_t *end = b->ends + t * b->n + number;
		uint32_t begin = number > 0 ? end[-1] : 0;

		if (end[0] == begin)
			continue;
		read_slice(g, w, b->looked + t, begin, end[0]);
		harvest_alive(w);
	}
	if (b->mode == BUCKET_REFS && g->left > 0)
		changed();
	g->left = bytes;
	if (g->sized)
		make_sized_entries(g, &w->job->shape.fmt);
	else if (b->mode != BUCKET_DIRECT)
		make_entries(g, &w->job->shape.fmt);
	g->base = b->mode == BUCKET_DIRECT ? b->input : g->text.p;
	radix_sort(g->entry, g->n, g->entry + g->n, g->n, g->base);
	return g;
}

/* Whether an entry has the key of the one before it. */
static bool
is_repeated(const struct gathered *g, size_t i)
{
	const struct entry *e = g->entry + i;

	return i > 0 && e[-1].prefix == e[0].prefix && key_compare(
	    entry_key(g->base, e - 1), entry_klen(e - 1),
	    entry_key(g->base, e), entry_klen(e)) == 0;
}

/* Whether the key at p may follow the one before it. */
static bool
is_in_order(struct gathered *g, const unsigned char *p, size_t klen,
    const unsigned char *end)
{
	uint64_t last = g->prefix;

	g->prefix = prefix_of(p, klen, end);
	return g->prefix >= last;
}

/* The next bytes of the records in order, cap at the most; 0 at the end. */
size_t
bucket_fill(struct gathered *g, const struct job *job, unsigned char *out,
    size_t cap)
{
	size_t used = 0;

	for (; g->next < g->n; g->next++) {
		const struct entry *e = g->entry + g->next;
		const unsigned char *p = g->base + e->off;
		const unsigned char *end = g->b->mode == BUCKET_DIRECT ?
		    file_end(g->b, p) : g->text.p + g->text.len;
		size_t n;

		if (g->next + AHEAD < g->n)
			fetch(g->base + e[AHEAD].off, g->len);
		if (!g->begun) {
			g->len = record_len(g, p, e->klen, end,
			    job->shape.fmt.delim);
			if (!is_in_order(g, p, e->klen, end))
				changed();
			if (job->unique && is_repeated(g, g->next))
				continue;
			g->done = 0;
			g->begun = true;
		}
		n = g->len - g->done < cap - used ? g->len - g->done :
		    cap - used;
		memcpy(out + used, p + g->done, n);
		used += n;
		g->done += n;
		if (used == cap)
			return used;
		out[used++] = job->shape.fmt.delim;
		g->begun = false;
	}
	if (g->left > 0)
		changed();
	return used;
}
