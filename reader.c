/* reader.c - what a map task reads: the bytes of its split, over the ends of
 * files, with the last delimiter of each supplied; and, for sorted input,
 * whether its keys are in order; or record by record, and of a sample only
 * those that are in it.
 *
 * Life: reader_open; then reader_segment for attempt.c to splice from, or
 * reader_read, reader_checked, reader_record or reader_sampled; reader_close. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	COPY = 256 * KiB,
	SLACK = 8,		/* readable bytes behind the window */
};

static int
file_failed(const struct file *f, const char *text, struct buf *why)
{
	const char *name = file_shown(f);

	buf_escaped(why, name, strlen(name));
	buf_printf(why, ": %s", text);
	return -1;
}

/* Whether the file that is open, if one is, stayed as it was while it was
 * read.  -1: the reason stands in why. */
int
reader_check(struct reader *r, struct buf *why)
{
	char text[200];

	if (r->fd == -1 || r->split.generated ||
	    file_unchanged(r->file, r->fd, text, sizeof text) == 0)
		return 0;
	return file_failed(r->file, text, why);
}

/* Opens the next file of a split.  -1: the reason stands in why. */
static int
open_next(struct reader *r, uint32_t number, struct buf *why)
{
	char text[200];

	if (r->fd != -1)
		close(r->fd);
	r->file = r->job->input.files + number;
	r->fd = file_open(r->file, text, sizeof text);
	return r->fd == -1 ? file_failed(r->file, text, why) : 0;
}

static int
feeder_failed(const struct reader *r, struct buf *text, struct buf *why)
{
	buf_escaped(why, r->file->name, strlen(r->file->name));
	buf_str(why, ": ");
	buf_put(why, text->p, text->len);
	buf_free(text);
	return -1;
}

/* Starts the program that reads the file, which is open. */
static int
begin_feeder(struct reader *r, struct segment *seg, struct buf *why)
{
	const struct input *in = &r->job->input;
	struct buf text = {0};

	if (feeder_start(&r->feeder, file_decoder(in, r->file), r->envp,
	    r->fd, r->job->tmpdirs[0], &text) == -1)
		return feeder_failed(r, &text, why);
	buf_reset(&r->tail);
	cutter_begin(&r->cutter, &r->job->form, 0);
	*seg = (struct segment){ .fd = r->feeder.fd, .pipe = true,
	    .complete = !r->job->whole_file };
	return 1;
}

/* The end of its output has been seen, if there is one. */
static int
end_feeder(struct reader *r, struct buf *why)
{
	struct buf text = {0};

	if (r->feeder.pid == 0 || feeder_end(&r->feeder, &text) == 0)
		return 0;
	return feeder_failed(r, &text, why);
}

static int
wait_feeder(struct reader *r, struct buf *why)
{
	const struct limits *l = &r->job->limits;
	int64_t limit = l->timeout;
	struct buf text = {0};

	if (limit == 0 || (l->stall > 0 && l->stall < limit))
		limit = l->stall;
	if (feeder_wait(&r->feeder, r->abort_fd, limit, &text) == 0)
		return 0;
	r->late = true;
	return feeder_failed(r, &text, why);
}

/* Remembers the bytes that may be the end of a record. */
static void
keep_tail(struct reader *r, const unsigned char *p, size_t n)
{
	size_t most = form_ending(&r->job->form), old = r->tail.len;

	if (n > most) {
		p += n - most;
		n = most;
	}
	if (old + n > most) {
		memmove(r->tail.p, r->tail.p + (old + n - most), most - n);
		r->tail.len = most - n;
	}
	buf_put(&r->tail, p, n);
}

/* Bytes of a segment that is a pipe.  0 at its end, -1 with the reason. */
static ssize_t
read_feeder(struct reader *r, unsigned char *p, size_t cap, struct buf *why)
{
	ssize_t n;

	while ((n = read_some(r->seg.fd, p, cap)) == -1 && errno == EAGAIN)
		if (wait_feeder(r, why) == -1)
			return -1;
	if (n == -1)
		return file_failed(r->file, strerror(errno), why);
	if (n > 0)
		keep_tail(r, p, (size_t)n);
	r->seg.off = r->seg.end += (uint64_t)n;
	return n;
}

/* Reads up to cap bytes of the present segment.  0 at its end, -1 with the
 * reason. */
ssize_t
reader_piece(struct reader *r, unsigned char *p, size_t cap, struct buf *why)
{
	struct segment *s = &r->seg;
	ssize_t n;

	if (s->pipe)
		return read_feeder(r, p, cap, why);
	if (cap > s->end - s->off)
		cap = (size_t)(s->end - s->off);
	if (cap == 0)
		return 0;
	n = pread_full(s->fd, p, cap, s->off);
	if (n <= 0) {
		buf_str(why, n == 0 ? "it ended before its planned size" :
		    strerror(errno));
		return -1;
	}
	s->off += (uint64_t)n;
	return n;
}

/* What the segment, which was a pipe, still lacks. */
static size_t
feeder_lacks(struct reader *r)
{
	return !r->seg.complete ? 0 : form_missing(&r->job->form, r->tail.p,
	    r->tail.len, &r->lacks);
}

/* Looks at n bytes of such a segment, or at its end, where its records must
 * be counted to be right.  -1 with the reason. */
static int
check_piped(struct reader *r, const unsigned char *p, size_t n,
    struct buf *why)
{
	struct buf text = {0};

	if (r->job->whole_file || !form_is_serial(&r->job->form))
		return 0;
	if (n > 0)
		cutter_look(&r->cutter, p, n, UINT64_MAX, UINT64_MAX);
	if (!cutter_failed(&r->cutter, &text) &&
	    (n > 0 || cutter_whole(&r->cutter, &text)))
		return 0;
	return feeder_failed(r, &text, why);
}

/* The one piece of a split that is no more than one file's. */
static struct segment
own_segment(const struct reader *r)
{
	const struct split *s = &r->split;
	const struct store *stores = r->job->stores;
	uint64_t end = s->off + s->len;

	if (s->stream || s->generated)
		return (struct segment){ .fd = s->generated ? r->fd :
		    store_fd(stores + s->spool.store, &s->spool),
		    .off = s->spool.off,
		    .end = s->spool.off + s->spool.len, .complete = true,
		    .begin = s->spool.off, .reused = s->reused };
	return (struct segment){ .fd = r->fd, .off = s->off, .end = end,
	    .complete = end >= r->file->size,
	    .begin = s->head };
}

/* The header that every task of the file gets first. */
static struct segment
header_segment(const struct reader *r)
{
	const struct place *at = &r->split.head_spool;

	if (!r->split.stream)
		return (struct segment){ .fd = r->fd, .end = r->split.head };
	return (struct segment){ .fd = store_fd(r->job->stores + at->store,
	    at), .off = at->off, .end = at->off + at->len };
}

/* A file that others precede in a task must show where it begins. */
static bool
begins_record(const struct form *form, int fd, uint64_t at, uint64_t size)
{
	size_t skip = form->end.len, len = form->pattern.len - skip;
	unsigned char p[FORM_MOST];

	return at == size || len == 0 ||
	    (pread_full(fd, p, len, at) == (ssize_t)len &&
	    memcmp(p, form->pattern.p + skip, len) == 0);
}

/* The next of the files that share a task. */
static int
next_packed(struct reader *r, struct segment *seg, struct buf *why)
{
	const struct form *form = &r->job->form;
	uint64_t head = 0;

	if (end_feeder(r, why) == -1 || reader_check(r, why) == -1)
		return -1;
	if (r->next == r->split.file + r->split.nfiles)
		return 0;
	if (open_next(r, r->next, why) == -1)
		return -1;
	r->at_file = r->next++;
	if (r->file->codec != 0)
		return begin_feeder(r, seg, why);
	if (form->header == HEADER_SKIP && (head = input_header(form, r->fd,
	    r->file->size)) == UINT64_MAX)
		return file_failed(r->file, strerror(errno), why);
	if (form->kind == FORM_PATTERN &&
	    !begins_record(form, r->fd, head, r->file->size))
		return file_failed(r->file, "it does not begin with "
		    "--recstart, and shares a task (--pack)", why);
	*seg = (struct segment){ .fd = r->fd, .off = head,
	    .end = r->file->size,
	    .complete = true, .begin = head };
	return 1;
}

/* Finds the first piece that has a byte, so that no command is run where all
 * files are empty once they are read. */
static int
prime(struct reader *r, struct buf *why)
{
	int got;

	while ((got = next_packed(r, &r->first, why)) > 0) {
		if (!r->first.pipe && r->first.off < r->first.end)
			break;
		if (r->first.pipe && wait_feeder(r, why) == -1)
			return -1;
		if (r->first.pipe && !feeder_is_empty(&r->feeder))
			break;
	}
	r->primed = got > 0;
	r->nothing = got == 0;
	return got < 0 ? -1 : 0;
}

/* Whether programs read some of the split. */
bool
reader_is_piped(const struct job *job, const struct split *s)
{
	if (s->stream || s->empty || s->generated)
		return false;
	for (uint32_t i = s->file; i < s->file + s->nfiles; i++)
		if (job->input.files[i].codec != 0)
			return true;
	return false;
}

/* Opens a split and finds its exact ends.  A stream's block is in the spool
 * and exact already; what is compressed has no inner ends. */
int
reader_open(struct reader *r, const struct job *job, const struct split *split,
    char *const *envp, int abort_fd, struct buf *why)
{
	*r = (struct reader){ .job = job, .split = *split, .fd = -1,
	    .next = split->file, .envp = envp, .abort_fd = abort_fd };
	r->piped = reader_is_piped(job, split);
	if (r->piped && !job->whole_file)
		return prime(r, why);
	if (split->stream || split->empty || split->generated ||
	    split->nfiles != 1 || r->piped)
		return 0;
	if (open_next(r, split->file, why) == -1)
		return -1;
	if (split_align(&job->form, r->fd, &r->split, r->file->size) == -1)
		return file_failed(r->file, strerror(errno), why);
	return 0;
}

void
reader_close(struct reader *r)
{
	feeder_stop(&r->feeder);
	if (r->fd != -1)
		close(r->fd);
	buf_free(&r->key);
	buf_free(&r->header);
	buf_free(&r->tail);
	buf_free(&r->key_before);
	free(r->win);
}

/* The next piece of a split, for attempt.c. */
int
reader_segment(void *arg, struct segment *seg, struct buf *why)
{
	struct reader *r = arg;

	if (r->primed) {
		*seg = r->first;
		r->primed = false;
		return 1;
	}
	if (r->piped || (!r->split.stream && r->split.nfiles != 1))
		return next_packed(r, seg, why);
	if (r->begun || r->split.empty)
		return reader_check(r, why);
	if (!r->headed && r->split.head > 0 &&
	    r->job->form.header == HEADER_REPEAT) {
		r->headed = true;
		*seg = header_segment(r);
		return 1;
	}
	r->begun = true;
	*seg = own_segment(r);
	r->at_file = r->split.file;
	r->shift = r->split.off - seg->off;
	return 1;
}

/* Reads up to cap bytes of the split, over the ends of its segments.
 * Returns 0 at the end, -1 with the reason. */
ssize_t
reader_read(struct reader *r, unsigned char *p, size_t cap, struct buf *why)
{
	struct segment *s = &r->seg;
	ssize_t n;
	int got;

	for (;;) {
		if (r->nlacks > 0) {
			n = (ssize_t)(cap < r->nlacks ? cap : r->nlacks);
			memcpy(p, r->lacks, (size_t)n);
			r->lacks += n;
			r->nlacks -= (size_t)n;
			return n;
		}
		if (!r->in_segment) {
			got = reader_segment(r, s, why);
			if (got <= 0)
				return got;
			r->in_segment = true;
		}
		n = reader_piece(r, p, cap, why);
		if (n >= 0 && s->pipe &&
		    check_piped(r, p, (size_t)n, why) == -1)
			return -1;
		if (n != 0)
			return n;
		r->in_segment = false;
		r->nlacks = s->pipe ? feeder_lacks(r) :
		    segment_lacks(s, &r->job->form, &r->lacks);
	}
}

/* Whether the segment may have more than the window. */
static bool
has_more(const struct reader *r)
{
	return r->seg.pipe ? !r->drained : r->seg.off < r->seg.end;
}

/* Makes the window hold COPY bytes more. */
static void
window_room(struct reader *r)
{
	if (r->cap - r->n < COPY) {
		r->cap = grown(r->cap, r->n + COPY);
		r->win = xrealloc(r->win, r->cap + SLACK, 1);
	}
}

/* More of the segment into the window.  -1 with the reason. */
static int
read_on(struct reader *r, struct buf *why)
{
	size_t want;
	ssize_t n;

	if (r->given > 0)
		memmove(r->win, r->win + r->given, r->n - r->given);
	r->n -= r->given;
	r->checked -= r->given;
	r->given = 0;
	window_room(r);
	want = r->cap - r->n - FORM_MOST;	/* for what may be lacking */
	n = reader_piece(r, r->win + r->n, want, why);
	r->drained = n == 0;
	r->n += n > 0 ? (size_t)n : 0;
	return n < 0 ? -1 : 0;
}

/* Where the record ends that begins the rest of the window, as bytes of it;
 * 0 if it cannot be told yet. */
static size_t
find_end(struct reader *r, bool header)
{
	uint64_t base = r->seg.off - r->n, upto = UINT64_MAX;
	size_t lacks;

	if (!header && cutter_look(&r->cutter, r->win + r->checked,
	    r->n - r->checked, upto, r->cutter.records + 1)) {
		r->checked = (size_t)(r->cutter.at - base);
		return (size_t)(r->cutter.end - base) - r->given;
	}
	r->checked = r->n;
	if (has_more(r) || r->n == r->given)
		return 0;
	lacks = r->seg.pipe ? feeder_lacks(r) :
	    segment_lacks(&r->seg, &r->job->form, &r->lacks);
	if (lacks > 0)
		memcpy(r->win + r->n, r->lacks, lacks);
	return r->n - r->given + lacks;
}

/* The next record of the split, whole; first the header, if the task gets
 * one.  1, 0 at the end, -1 with the reason.  It stands until the next
 * call. */
int
reader_record(struct reader *r, struct found *rec, struct buf *why)
{
	struct segment *s = &r->seg;
	int got;

	for (;;) {
		bool header = r->headed && !r->begun;
		size_t left = r->n - r->given, len = left == 0 ? 0 :
		    find_end(r, header);

		if (len > 0) {
			*rec = (struct found){ .p = r->win + r->given,
			    .len = len, .file = r->at_file, .header = header,
			    .off = s->off - left + r->shift };
			r->given += len < left ? len : left;
			return 1;
		}
		if (r->in_segment && has_more(r)) {
			if (read_on(r, why) == -1)
				return -1;
			continue;
		}
		if (r->in_segment && !header && !cutter_whole(&r->cutter, why))
			return -1;
		got = reader_segment(r, s, why);
		if (got <= 0)
			return got;
		r->in_segment = true;
		r->drained = false;
		r->n = r->given = r->checked = 0;
		cutter_begin(&r->cutter, &r->job->form, s->off);
	}
}

/* Reads on to the next record that is in the sample, unless one is held
 * already.  1, 0 if there is none, -1 with the reason. */
int
reader_hold(struct reader *r, struct buf *why)
{
	const uint64_t seed = r->job->sample.seed;
	struct found *rec = &r->held;
	struct lot lot;
	int got;

	while (rec->len == 0) {
		got = reader_record(r, rec, why);
		if (got <= 0) {
			rec->len = 0;
			return got;
		}
		if (rec->header)
			buf_put(&r->header, rec->p, rec->len);
		lot = lot_draw(seed, rec->file, rec->off);
		if (rec->header || lot_after(&lot, &r->limit))
			rec->len = 0;
	}
	return 1;
}

/* Bytes of the records that are in the sample: attempt.c's fill. */
ssize_t
reader_sampled(void *arg, unsigned char *out, size_t cap, struct buf *why)
{
	struct reader *r = arg;
	struct found *rec = &r->held;
	size_t used = 0, n;
	int got;

	while (used < cap) {
		got = reader_hold(r, why);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		if (r->header.len > 0) {
			n = r->header.len < cap - used ? r->header.len :
			    cap - used;
			memcpy(out + used, r->header.p, n);
			memmove(r->header.p, r->header.p + n,
			    r->header.len -= n);
			used += n;
			continue;
		}
		n = rec->len < cap - used ? rec->len : cap - used;
		memcpy(out + used, rec->p, n);
		rec->p += n;
		rec->len -= n;
		used += n;
	}
	return (ssize_t)used;
}

/* Says which record, if any, stands before the first one of sorted input. */
void
reader_after(struct reader *r, const void *rec, size_t len)
{
	const unsigned char *key;

	key = ikey_of(&r->job->shape, rec, len, &r->key_before, &len);
	buf_reset(&r->key);
	buf_put(&r->key, key, len);
	r->have_key = true;
}

/* Whether a record may come behind the last one, where -k gives the order. */
static bool
in_order(struct reader *r, const struct record *v)
{
	const struct shape *s = &r->job->shape;
	struct buf swap = r->key_before;

	r->key_before = r->key;
	r->key = swap;
	buf_reset(&r->key);
	keys_encode(s->keys, s->fmt.sep, v->key,
	    (size_t)(v->val + v->vlen - v->key), v->klen, &r->key);
	return !r->have_key || key_compare(r->key_before.p, r->key_before.len,
	    r->key.p, r->key.len) <= 0;
}

/* How often the len bytes at p stand again right behind themselves, as far as
 * words tell, in so many more bytes. */
static size_t
repeats(const unsigned char *p, size_t len, size_t more)
{
	size_t same = 0;

	while (more - same >= 8 && load_be64(p + same) ==
	    load_be64(p + len + same))
		same += 8;
	return same / len;
}

/* Looks at the keys of the whole records in the window.  -1 if one is less
 * than the one before it. */
static int
check_order(struct reader *r)
{
	const struct format *f = &r->job->shape.fmt;
	struct record v[RECORD_BATCH];
	const unsigned char *key = r->key.p, *p;
	size_t klen = r->key.len, used, n, most = RECORD_BATCH, len, again;
	bool defs = r->job->shape.key == KEY_DEFS;
	uint64_t prefix = prefix8(key, klen), before;

	while ((n = record_batch(f, r->win + r->checked, r->n - r->checked,
	    v, most, &used)) > 0) {
		for (size_t i = 0; i < n; i++) {
			r->records++;
			before = prefix;
			prefix = prefix8_ahead(v[i].key, v[i].klen);
			if (defs ? !in_order(r, v + i) : r->have_key &&
			    prefix <= before && (prefix < before ||
			    klen > v[i].klen || klen > sizeof prefix) &&
			    key_compare(key, klen, v[i].key, v[i].klen) > 0) {
				r->disorder = true;
				return -1;
			}
			key = v[i].key;
			klen = v[i].klen;
			r->have_key = true;
		}
		r->checked += used;
		/* Records that are the same are in order. */
		p = v[n - 1].key - (f->pairs ? PAIR_HEAD : 0);
		len = (size_t)(r->win + r->checked - p);
		again = repeats(p, len, r->n - r->checked);
		r->records += again;
		r->checked += again * len;
		most = again > 0 ? 1 : RECORD_BATCH;
	}
	if (!defs && key != r->key.p) {
		buf_reset(&r->key);
		buf_put(&r->key, key, klen);
	}
	return 0;
}

/* Bytes of sorted input for a reducer, each key looked at: attempt.c's
 * fill. */
ssize_t
reader_checked(void *arg, unsigned char *out, size_t cap, struct buf *why)
{
	struct reader *r = arg;
	ssize_t got;

	while (r->given == r->checked) {
		if (r->checked > 0)
			memmove(r->win, r->win + r->checked,
			    r->n - r->checked);
		r->n -= r->checked;
		r->given = r->checked = 0;
		window_room(r);
		got = reader_read(r, r->win + r->n, COPY, why);
		if (got <= 0)
			return got;
		r->n += (size_t)got;
		if (record_may_end(&r->job->shape.fmt, r->win + r->n - got,
		    (size_t)got) && check_order(r) == -1)
			return -1;
	}
	if (cap > r->checked - r->given)
		cap = r->checked - r->given;
	memcpy(out, r->win + r->given, cap);
	r->given += cap;
	return (ssize_t)cap;
}
