/* hunt.c - --skip-bad-records: finds the records of a split that its map
 * command fails on.
 *
 * They are copied to a store, whatever form they have and wherever they come
 * from, and where each stands to another store.  A range that fails is halved
 * until it is one record; that one is bad.  Each trial runs the command over
 * one range; what it prints is thrown away.  The caller then runs the task
 * once more, over all that is not bad, and only that attempt counts.
 *
 * Life: hunt_new; hunt_find; hunt_source for the last attempt; hunt_tell or
 * hunt_failed; hunt_free. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	TOLD_MOST = 64 * KiB,	/* bytes of a record that are listed */
	INDEX_FLUSH = 64 * KiB,
};

struct found_at {			/* a record in the copy */
	uint64_t end;		/* it begins where the one before it ends */
	uint64_t off;		/* in its file */
	uint32_t file, unused;
};

struct bad {
	uint64_t number;	/* of the record */
	struct buf why;
};

enum result { PASSES, FAILS, STOPS };

struct hunt {
	struct worker *w;
	const struct task_msg *t;
	struct split split;	/* what the command is told of */
	int null;
	struct store copy, index;
	struct place at, where;	/* of all that is in them */
	struct buf pieces;	/* of the index, to be written */
	uint64_t n;		/* records, */
	uint64_t header;	/* behind so many bytes for each trial */
	struct bad *bad;	/* in order */
	uint64_t nbad;
	bool over;		/* there are more than may be */
	struct failure last;	/* of the last trial that has failed, or
				 * what has stopped the hunt */
	uint64_t next, to;	/* of the range that is read now */
	bool headed;
};

struct hunt *
hunt_new(struct worker *w, const struct task_msg *t)
{
	struct hunt *h = xzalloc(1, sizeof *h);
	const char *dir = w->job->tmpdirs[w->me % w->job->ntmpdirs];

	h->w = w;
	h->t = t;
	store_open(&h->copy, dir, 0);
	store_open(&h->index, dir, 0);
	store_pick(&h->copy, 0, &h->at);
	store_pick(&h->index, 0, &h->where);
	h->null = open_file("/dev/null", O_WRONLY, 0);
	if (h->null == -1)
		die_errno("/dev/null");
	return h;
}

void
hunt_free(struct hunt *h)
{
	if (h == NULL)
		return;
	for (uint64_t i = 0; i < h->nbad; i++)
		buf_free(&h->bad[i].why);
	free(h->bad);
	buf_free(&h->pieces);
	buf_free(&h->last.tail);
	buf_free(&h->last.text);
	store_close(&h->copy);
	store_close(&h->index);
	close(h->null);
	free(h);
}

/* ---- the copy */

static void
add_piece(struct hunt *h, const struct found *rec)
{
	struct found_at p = { .end = h->at.len, .off = rec->off,
	    .file = rec->file };

	buf_put(&h->pieces, &p, sizeof p);
	h->n++;
	if (h->pieces.len < INDEX_FLUSH)
		return;
	store_append(&h->index, &h->where, h->pieces.p, h->pieces.len);
	buf_reset(&h->pieces);
}

/* The next record of the split, or of the sample of it. */
static int
next_record(struct hunt *h, struct reader *r, struct found *rec,
    struct buf *why)
{
	int got;

	if (h->w->job->sample.kind == SAMPLE_ALL)
		return reader_record(r, rec, why);
	got = reader_hold(r, why);
	if (r->header.len > 0) {
		store_append(&h->copy, &h->at, r->header.p, r->header.len);
		h->header = h->at.len;
		buf_free(&r->header);
	}
	*rec = r->held;
	r->held.len = 0;
	return got;
}

/* Copies the split.  False with the reason. */
static bool
copy_split(struct hunt *h, struct reader *r, struct buf *why)
{
	struct found rec;
	int got;

	while ((got = next_record(h, r, &rec, why)) > 0) {
		if (h->n % 4096 == 0)
			harvest_alive(h->w);
		store_append(&h->copy, &h->at, rec.p, rec.len);
		if (rec.header)
			h->header = h->at.len;
		else
			add_piece(h, &rec);
	}
	store_append(&h->index, &h->where, h->pieces.p, h->pieces.len);
	buf_free(&h->pieces);
	return got == 0;
}

static struct found_at
piece(const struct hunt *h, uint64_t i)
{
	struct found_at p;

	if (pread_full(store_fd(&h->index, &h->where), &p, sizeof p,
	    h->where.off + i * sizeof p) != (ssize_t)sizeof p)
		die_errno("reading temporary data");
	return p;
}

static uint64_t
begin_of(const struct hunt *h, uint64_t i)
{
	return i == 0 ? h->header : piece(h, i - 1).end;
}

/* The first bad record from number i on, or the end of the range. */
static uint64_t
next_bad(const struct hunt *h, uint64_t i)
{
	for (uint64_t k = 0; k < h->nbad; k++)
		if (h->bad[k].number >= i)
			return h->bad[k].number < h->to ? h->bad[k].number :
			    h->to;
	return h->to;
}

/* What the command reads: the header, then what is not bad of the range. */
static int
next_segment(void *arg, struct segment *seg, struct buf *why)
{
	struct hunt *h = arg;
	uint64_t end;

	(void)why;
	*seg = (struct segment){ .fd = store_fd(&h->copy, &h->at),
	    .off = h->at.off, .end = h->at.off };
	if (!h->headed) {
		h->headed = true;
		seg->end += h->header;
		return 1;
	}
	while (h->next < h->to && (end = next_bad(h, h->next)) == h->next)
		h->next++;
	if (h->next >= h->to)
		return 0;
	seg->off += begin_of(h, h->next);
	seg->end += begin_of(h, end);
	h->next = end;
	return 1;
}

static void
read_range(struct hunt *h, uint64_t from, uint64_t to, struct source *src)
{
	h->next = from;
	h->to = to;
	h->headed = false;
	*src = (struct source){ .kind = SOURCE_SEGMENTS,
	    .segment = next_segment, .arg = h };
}

/* Whether some records are not bad. */
bool
hunt_leaves_some(const struct hunt *h)
{
	return h->nbad < h->n;
}

/* The source of the last attempt. */
void
hunt_source(struct hunt *h, struct source *src)
{
	read_range(h, 0, h->n, src);
}

/* ---- the search */

/* Runs the command over a range of the records. */
static enum result
trial(struct hunt *h, uint64_t from, uint64_t to)
{
	struct worker *w = h->w;
	struct reply_msg got = {0};
	struct attempt a;

	taskcmd_prepare(w, &a, &w->job->map, h->t, &h->split);
	a.quiet = true;
	a.sink = (struct sink){ .fd = h->null, .name = "/dev/null" };
	read_range(h, from, to, &a.src);
	attempt_run(&a);
	counters_reset(&w->counters);
	if (taskcmd_end(&a, &got)) {
		buf_free(&got.fail.tail);
		return PASSES;
	}
	buf_free(&h->last.tail);
	buf_free(&h->last.text);
	h->last = got.fail;
	return got.fail.final || got.fail.kind == FAIL_LOST ||
	    got.fail.kind == FAIL_INPUT ? STOPS : FAILS;
}

/* The last line that is not empty. */
static void
add_last_line(struct buf *b, const struct buf *text)
{
	size_t end = text->len, at;

	while (end > 0 && text->p[end - 1] == '\n')
		end--;
	for (at = end; at > 0 && text->p[at - 1] != '\n'; at--)
		;
	if (at == end)
		return;
	buf_str(b, ": ");
	buf_escaped(b, text->p + at, end - at);
}

/* One that fails by itself, as the last trial has shown.  False if there
 * are too many now. */
static bool
add_bad(struct hunt *h, uint64_t number)
{
	struct bad *bad;

	if (h->nbad == h->t->skip_most) {
		h->over = true;
		return false;
	}
	h->bad = xrealloc(h->bad, h->nbad + 1, sizeof *h->bad);
	bad = h->bad + h->nbad++;
	*bad = (struct bad){ .number = number };
	attempt_describe(&h->last, &h->w->job->limits, &bad->why);
	buf_put(&bad->why, h->last.text.p, h->last.text.len);
	add_last_line(&bad->why, &h->last.tail);
	return true;
}

/* Finds the bad ones of a range that fails.  False if the hunt is over. */
static bool
search(struct hunt *h, uint64_t from, uint64_t to)
{
	enum result got;
	bool sure = to - from > 1;	/* it has failed by itself */

	while (to - from > 1) {
		uint64_t mid = from + (to - from) / 2;

		got = trial(h, from, mid);
		if (got == STOPS)
			return false;
		sure = false;
		if (got == FAILS) {
			if (!(mid - from == 1 ? add_bad(h, from) :
			    search(h, from, mid)))
				return false;
			got = trial(h, mid, to);
			if (got != FAILS)
				return got == PASSES;
			sure = true;
		}
		from = mid;
	}
	if (!sure && (got = trial(h, from, to)) != FAILS)
		return got == PASSES;
	return add_bad(h, from);
}

/* Finds the bad records of a split.  False if it cannot be run without them:
 * then the failure says why. */
bool
hunt_find(struct hunt *h, struct reader *r, struct failure *f)
{
	h->split = r->split;
	if (!copy_split(h, r, &f->text))
		return false;
	if (h->n > 0 && !search(h, 0, h->n) && !h->over) {
		*f = h->last;
		h->last = (struct failure){0};
		return false;
	}
	if (!h->over && h->nbad > 0)
		return true;
	if (h->last.kind == FAIL_NONE) {
		buf_str(&f->text, "it failed, but no part of its input fails "
		    "by itself (--skip-bad-records)");
		f->kind = FAIL_OUTPUT;
		f->exit = EXIT_TASK;
		return false;
	}
	*f = h->last;
	h->last = (struct failure){0};
	if (h->over)
		buf_printf(&f->text, "; more than %llu bad record%s "
		    "(--skip-bad-records=N)", (unsigned long long)
		    h->t->skip_most, h->t->skip_most == 1 ? "" : "s");
	else
		buf_str(&f->text, "; no record of its input fails by itself");
	return false;
}

/* The last attempt has failed, too. */
void
hunt_failed(const struct hunt *h, struct failure *f)
{
	buf_printf(&f->text, "; also without the %llu record%s that fail%s by "
	    "%s", (unsigned long long)h->nbad, h->nbad == 1 ? "" : "s",
	    h->nbad == 1 ? "s" : "", h->nbad == 1 ? "itself" : "themselves");
}

/* ---- what is told */

/* Bytes as a field of a line, from which they can be got again. */
static void
add_escaped(struct buf *b, const unsigned char *p, size_t len)
{
	while (len > 0) {
		const unsigned char *q = memchr(p, '\\', len);
		size_t n = q == NULL ? len : (size_t)(q - p);

		buf_escaped(b, p, n);
		if (q != NULL)
			buf_str(b, "\\\\");
		n += q != NULL;
		p += n;
		len -= n;
	}
}

/* The name of the record's file and its place there; of input that is in no
 * file the option that has made it, and its number or index. */
static void
add_place(const struct hunt *h, uint64_t number, const struct found_at *p,
    struct buf *b)
{
	const struct generate *g = &h->w->job->made;
	const struct file *f;

	if (g->kind == GENERATE_RANGE)
		buf_printf(b, "--range\t%lld",
		    generate_index(g, h->split.off + number));
	else if (g->kind != GENERATE_NONE)
		buf_printf(b, "%s\t%llu", g->kind == GENERATE_SOURCE ?
		    "--source" : "--names",
		    (unsigned long long)(h->split.off + number));
	else {
		f = h->w->job->input.files + p->file;
		add_escaped(b, (const unsigned char *)f->name,
		    strlen(f->name));
		buf_printf(b, "\t%llu",
		    (unsigned long long)(f->front + p->off));
	}
}

static void
add_record(const struct hunt *h, uint64_t number, struct buf *b)
{
	const struct format *fmt = &h->w->job->shape.fmt;
	uint64_t begin = begin_of(h, number);
	size_t len = (size_t)(piece(h, number).end - begin);
	bool cut = len > TOLD_MOST;
	unsigned char *p;

	if (cut)
		len = TOLD_MOST;
	p = xrealloc(NULL, len, 1);
	if (pread_full(store_fd(&h->copy, &h->at), p, len, h->at.off + begin)
	    != (ssize_t)len)
		die_errno("reading temporary data");
	if (!cut && !fmt->pairs && len > 0 && p[len - 1] == fmt->delim)
		len--;
	add_escaped(b, p, len);
	free(p);
}

/* The last attempt has succeeded: the records that are left out. */
void
hunt_tell(struct hunt *h)
{
	struct buf *b = &h->w->bad;

	for (uint64_t i = 0; i < h->nbad; i++) {
		struct found_at p = piece(h, h->bad[i].number);

		add_place(h, h->bad[i].number, &p, b);
		buf_str(b, "\t");
		buf_put(b, h->bad[i].why.p, h->bad[i].why.len);
		buf_str(b, "\t");
		add_record(h, h->bad[i].number, b);
		buf_str(b, "\n");
	}
	h->w->skipped = h->nbad;
}
