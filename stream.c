/* stream.c - reads an input of unknown size in blocks that end on a record,
 * or, for sorted input, on the last record of a group.
 *
 * Bytes are read into a buffer as they come and written to the spool, where
 * they stay until the task that has them is kept: a pipe cannot be read
 * twice.  A record or group longer than a block makes the block longer; what
 * is known to belong to it goes to the spool early, so memory stays bounded.
 *
 * With uncut the whole stream is one block.
 *
 * Life: stream_open; stream_read whenever its descriptor is readable and the
 * caller wants more, which may complete a block; stream_close. */

#define _GNU_SOURCE		/* memrchr, madvise, F_SETPIPE_SZ */
#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

struct stream {
	const struct format *fmt;
	const struct form *form;
	struct cutter cut;	/* of a form that is not plain */
	uint64_t base;		/* where in the stream buf begins */
	bool headed;		/* the header has been read, or there is none */
	uint64_t head;		/* its bytes */
	struct place head_spool;
	struct store *spool;
	uint16_t spool_id;
	struct unpack in;
	const unsigned char *back;	/* what comes before that, */
	size_t nback;
	bool back_is_all;	/* or even in its place */
	const char *name;
	bool groups, ended;
	bool uncut;		/* all of it is one block */
	size_t block;		/* bytes a block should have */
	struct buf buf;		/* read, not yet in the spool */
	size_t whole;		/* bytes of it that end with a record */
	struct place open;	/* the block that is being made */
	bool is_open;
	uint64_t expect;	/* bytes that are set aside for it */
	bool reuses;		/* the places of blocks that are done */
	struct place *free;	/* of blocks that are needed no more */
	size_t nfree, cap_free;
	uint64_t off;		/* in the stream: where that block begins */
	struct buf last;	/* groups: the last record in the spool */
	bool have_last;
	/* Groups of pairs, which can only be found from the front: */
	size_t walked;		/* bytes of buf, whole pairs */
	size_t group;		/* of those, what stands before the last
				 * group; NO_GROUP: it began in the spool */
	struct buf key, other;	/* keys of the last group, and of the one
				 * before it */
};

#define NO_GROUP SIZE_MAX
enum { SPARE = 128 * KiB };	/* that blocks are longer than they should be */

/* Opens a file that has no size, or standard input for "-".  reuses: no
 * pipe gets to refer to the memory of a block, which another may have when it
 * is done.  NULL and errno if that fails. */
struct stream *
stream_open(const char *name, const struct format *fmt,
    const struct form *form, struct store *spool, uint16_t spool_id,
    size_t block, bool groups, bool uncut, bool reuses)
{
	struct stream *s;
	int fd;

	/* Not to wait in open for a pipe's writer: poll does that. */
	fd = strcmp(name, "-") == 0 ?
	    fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) :
	    open_file(name, O_RDONLY | O_NONBLOCK, 0);
	if (fd == -1)
		return NULL;
	s = xzalloc(1, sizeof *s);
	*s = (struct stream){ .fmt = fmt, .form = form, .spool = spool,
	    .spool_id = spool_id, .name = name, .groups = groups,
	    .uncut = uncut, .reuses = reuses, .block = block,
	    .headed = form->header == HEADER_NONE, .group = NO_GROUP };
	unpack_begin(&s->in, fd, NULL, false, NULL);
	cutter_begin(&s->cut, form, 0);
	return s;
}

/* Called at once, if it may be compressed: see unpack.c. */
void
stream_unpack(struct stream *s, const struct decoder *decoder, bool look,
    const char *dir)
{
	unpack_begin(&s->in, s->in.fd, decoder, look, dir);
}

int
stream_fd(const struct stream *s)
{
	return unpack_fd(&s->in);
}

/* The process group of the program that it comes through, or 0. */
pid_t
stream_group(const struct stream *s)
{
	return s->in.feeder.pid;
}

/* Has more wait in a pipe, so that its ends are woken less often. */
void
stream_widen(struct stream *s, size_t bytes)
{
#if LINUX
	fcntl(s->in.fd, F_SETPIPE_SZ, (int)bytes);
#else
	(void)s;
	(void)bytes;
#endif
}

/* Has bytes read again that were taken from the descriptor; all: its end is
 * behind them.  They are the caller's memory, which begins at a multiple of
 * 64 KiB; what has been read of it is given back to the system. */
void
stream_put_back(struct stream *s, const unsigned char *p, size_t n, bool all)
{
	s->back = p;
	s->nback = n;
	s->back_is_all = all;
}

/* Whether there is some of that to read, or the end. */
bool
stream_is_ready(const struct stream *s)
{
	return s->nback > 0 || s->back_is_all;
}

static ssize_t
take_back(struct stream *s, unsigned char *p, size_t want)
{
	size_t n = s->nback < want ? s->nback : want;
#if LINUX
	enum { PAGES = 64 * KiB };	/* of any size there is */
	uintptr_t old = (uintptr_t)s->back / PAGES * PAGES;
	uintptr_t new = ((uintptr_t)s->back + n) / PAGES * PAGES;
#endif

	memcpy(p, s->back, n);
	s->back += n;
	s->nback -= n;
#if LINUX
	if (new > old)
		madvise((void *)old, new - old, MADV_DONTNEED);
#endif
	return (ssize_t)n;
}

/* Reads bytes as they are, for a caller who makes blocks of them.  0 at the
 * end, -1 and errno or -2 and why if that fails. */
ssize_t
stream_bytes(struct stream *s, unsigned char *p, size_t want, struct buf *why)
{
	return stream_is_ready(s) ? take_back(s, p, want) :
	    unpack_read(&s->in, p, want, why);
}

/* Makes later blocks larger: the first are small, so that work starts
 * early. */
void
stream_set_block(struct stream *s, size_t block)
{
	s->block = block;
}

/* Drops the first n bytes of the buffer. */
static void
drop(struct stream *s, size_t n)
{
	memmove(s->buf.p, s->buf.p + n, s->buf.len - n);
	s->buf.len -= n;
	s->base += n;
	s->whole = s->whole > n ? s->whole - n : 0;
	s->walked = s->walked > n ? s->walked - n : 0;
	s->group = s->group != NO_GROUP && s->group >= n ? s->group - n :
	    NO_GROUP;
}

/* Ends the process: what was read is not what it should be. */
static _Noreturn void
bad_stream(const struct stream *s, struct buf *why)
{
	buf_put(why, "", 1);
	die("%s: %s", strcmp(s->name, "-") == 0 ? "standard input" : s->name,
	    (char *)why->p);
}

/* Takes the header off, if it is there as a whole.  The last n bytes of the
 * buffer are new. */
static void
take_header(struct stream *s, size_t n)
{
	const unsigned char *new = s->buf.p + s->buf.len - n, *p =
	    n == 0 ? NULL : memchr(new, s->form->delim, n);

	if (p == NULL && !s->ended)
		return;
	s->headed = true;
	s->head = p == NULL ? s->buf.len : (size_t)(p - s->buf.p) + 1;
	if (s->form->header == HEADER_REPEAT) {
		store_pick(s->spool, s->head, &s->head_spool);
		s->head_spool.store = s->spool_id;
		store_append(s->spool, &s->head_spool, s->buf.p,
		    (size_t)s->head);
		store_keep(s->spool, &s->head_spool);
	}
	drop(s, (size_t)s->head);
	s->off = s->head;
	cutter_begin(&s->cut, s->form, s->head);
}

/* Looks at what the cutter has not seen; stops at the end of a task's last
 * record, if tasks have so many records, and returns true. */
static bool
look(struct stream *s)
{
	size_t seen = (size_t)(s->cut.at - s->base);
	struct buf why = {0};
	bool full = cutter_look(&s->cut, s->buf.p + seen, s->buf.len - seen,
	    UINT64_MAX, s->form->records > 0 ? s->form->records : UINT64_MAX);

	if (s->cut.end > s->base)
		s->whole = (size_t)(s->cut.end - s->base);
	if (cutter_failed(&s->cut, &why))
		bad_stream(s, &why);
	return full;
}

/* Looks for groups in the pairs that are whole. */
static void
walk(struct stream *s)
{
	struct record v[RECORD_BATCH];
	size_t n, used;

	while ((n = record_batch(s->fmt, s->buf.p + s->walked, s->whole -
	    s->walked, v, RECORD_BATCH, &used)) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct buf old = s->other;

			if ((s->have_last || s->walked > 0 || i > 0) &&
			    key_compare(s->key.p, s->key.len, v[i].key,
			    v[i].klen) == 0)
				continue;
			s->other = s->key;
			s->key = old;
			buf_reset(&s->key);
			buf_put(&s->key, v[i].key, v[i].klen);
			s->group = (size_t)(v[i].key - s->buf.p) - PAIR_HEAD;
		}
		s->walked += used;
	}
}

/* The last n bytes of buf are new: notes how many of all end with a whole
 * record. */
static void
note_records(struct stream *s, size_t n)
{
	const unsigned char *new, *p;

	if (n > s->buf.len)
		n = s->buf.len;		/* the header has gone */
	new = s->buf.p + s->buf.len - n;
	if (!form_is_plain(s->form)) {
		look(s);
		if (s->groups)
			walk(s);
		return;
	}
	p = memrchr(new, s->fmt->delim, n);
	if (p != NULL)
		s->whole = (size_t)(p - s->buf.p) + 1;
}

/* Of whole records, finds where the last group begins that the block need
 * not have.  False if they are all of one group with what the block has. */
static bool
last_group(const struct stream *s, size_t whole, size_t *cut)
{
	const unsigned char *p = s->buf.p, *key = NULL;
	size_t end = whole, klen = 0;

	if (s->fmt->pairs) {
		*cut = s->group;
		return s->group != NO_GROUP && (s->group > 0 || s->is_open);
	}
	while (end > 0) {
		const unsigned char *nl = end < 2 ? NULL :
		    memrchr(p, s->fmt->delim, end - 1);
		size_t at = nl == NULL ? 0 : (size_t)(nl - p) + 1, n;

		n = key_length(s->fmt, p + at, end - 1 - at);
		*cut = end;
		if (key == NULL) {
			key = p + at;
			klen = n;
		} else if (key_compare(key, klen, p + at, n) != 0) {
			return true;
		}
		end = at;
	}
	*cut = 0;
	return key != NULL && s->is_open && s->have_last &&
	    key_compare(key, klen, s->last.p, key_length(s->fmt, s->last.p,
	    s->last.len)) != 0;
}

/* Remembers the record that the first n bytes end with; of a pair the key
 * will do. */
static void
keep_last(struct stream *s, size_t n)
{
	const struct buf *key = n == s->group ? &s->other : &s->key;
	const unsigned char *p = s->buf.p, *nl;
	size_t begin;

	if (!s->fmt->pairs && p[n - 1] != s->fmt->delim)
		return;
	buf_reset(&s->last);
	s->have_last = true;
	if (s->fmt->pairs) {
		buf_put(&s->last, key->p, key->len);
		return;
	}
	nl = n < 2 ? NULL : memrchr(p, s->fmt->delim, n - 1);
	begin = nl == NULL ? 0 : (size_t)(nl - p) + 1;
	buf_put(&s->last, p + begin, n - 1 - begin);
}

static void
punch_free(struct stream *s)
{
	while (s->nfree > 0)
		store_free(s->spool, s->free + --s->nfree);
}

/* A block begins, of which n bytes are there.  A place that has been used has
 * its memory already; one that will be gets some room to spare. */
static void
begin_block(struct stream *s, size_t n)
{
	uint64_t need = n > s->block || s->form->records > 0 ? n : s->block;
	size_t i = 0;

	while (i < s->nfree && s->free[i].room < need)
		i++;
	if (i < s->nfree) {
		store_reuse(s->spool, need, s->free + i, &s->open);
		s->free[i] = s->free[--s->nfree];
		s->expect = 0;
	} else {
		punch_free(s);
		s->expect = s->reuses ? need + SPARE : 0;
		store_pick(s->spool, s->reuses ? s->expect : need, &s->open);
	}
	s->open.store = s->spool_id;
	s->is_open = true;
}

/* A block is done: nobody will read it again. */
void
stream_done(struct stream *s, const struct place *at)
{
	if (!s->reuses || at->disk || at->room > s->block + 2 * SPARE) {
		store_free(s->spool, at);
		return;
	}
	if (s->nfree == s->cap_free) {
		s->cap_free = grown(s->cap_free, s->nfree + 1);
		s->free = xrealloc(s->free, s->cap_free, sizeof *s->free);
	}
	s->free[s->nfree++] = *at;
}

/* Moves the first n bytes of the buffer to the spool, into the open block. */
static void
spool(struct stream *s, size_t n)
{
	if (n == 0)
		return;
	if (!s->is_open)
		begin_block(s, n);
	if (s->groups)
		keep_last(s, n);
	store_append(s->spool, &s->open, s->buf.p, n);
	drop(s, n);
}

static bool
finish_block(struct stream *s, struct split *split)
{
	if (!s->is_open || s->open.len == 0)
		return false;
	if (s->open.room == 0)
		/* On disk the next one begins where this one ends. */
		s->open.room = s->open.disk || s->open.len > s->expect ?
		    s->open.len : s->expect;
	store_keep(s->spool, &s->open);
	*split = (struct split){ .nfiles = 1, .stream = true,
	    .reused = s->reuses, .exact = true,
	    .off = s->off, .len = s->open.len, .spool = s->open,
	    .head = s->head, .head_spool = s->head_spool };
	s->off += s->open.len;
	s->is_open = false;
	return true;
}

/* A task that has as many records as it should is complete: the next such
 * one of what has been read already. */
bool
stream_next(struct stream *s, struct split *split)
{
	split->len = 0;
	if (s->form->records == 0 || !s->headed || s->uncut ||
	    (s->cut.records < s->form->records && !look(s)))
		return false;
	spool(s, (size_t)(s->cut.end - s->base));
	s->cut.records = 0;
	return finish_block(s, split);
}

/* The end of the stream. */
static void
end_stream(struct stream *s, struct split *split)
{
	struct buf why = {0};

	if (!s->headed)
		take_header(s, 0);
	if (!s->uncut && !form_is_plain(s->form) &&
	    !cutter_whole(&s->cut, &why))
		bad_stream(s, &why);
	spool(s, s->buf.len);
	finish_block(s, split);
}

/* Of what has been read, makes a block if it is enough for one. */
static bool
cut_block(struct stream *s, struct split *split)
{
	size_t cut = s->whole;

	if (s->uncut) {
		spool(s, s->buf.len);
		return false;
	}
	if (s->groups) {
		if (cut == 0)
			return false;		/* a long record */
		if (!last_group(s, s->whole, &cut)) {
			spool(s, s->whole);	/* all of one group */
			return false;
		}
	} else if (cut == 0 || s->form->records > 0) {
		/* All of one block; not what may begin the next one. */
		spool(s, s->buf.len - s->cut.matched);
		return false;
	}
	spool(s, cut);
	return finish_block(s, split);
}

/* From now on blocks are made here: of these bytes, which begin at off in the
 * stream, and of what follows them. */
void
stream_begin_at(struct stream *s, uint64_t off, const unsigned char *p,
    size_t n)
{
	s->off = off;
	buf_put(&s->buf, p, n);
	note_records(s, n);
}

/* Reads once.  Returns 1 and *split when a block is complete, 0 when more
 * must be read, -1 at the end of the stream (*split is the last block if its
 * len is not 0), -2 and errno if reading fails, -3 and why if what came is
 * not whole.  For sorted input *before gets the record before the
 * block, if there is one. */
int
stream_read(struct stream *s, struct split *split, struct buf *before,
    struct buf *why)
{
	size_t want = s->block < 64 * KiB ? 64 * KiB : s->block;
	ssize_t n;

	split->len = 0;
	if (s->groups && s->have_last && !s->is_open) {
		buf_reset(before);
		buf_put(before, s->last.p, s->last.len);
	}
	if (!s->ended) {
		want = want > s->buf.len + 4 * KiB ? want - s->buf.len :
		    64 * KiB;
		n = stream_bytes(s, buf_reserve(&s->buf, want), want, why);
		if (n < 0)
			return n == -1 && errno == EAGAIN ? 0 : (int)n - 1;
		s->buf.len += (size_t)n;
		s->ended = n == 0;
		if (!s->headed && n > 0)
			take_header(s, (size_t)n);
		if (s->headed && n > 0)
			note_records(s, (size_t)n);
	}
	if (s->ended) {
		end_stream(s, split);
		return -1;
	}
	if (!s->headed)
		return 0;
	if (stream_next(s, split))
		return 1;
	return s->buf.len < s->block ? 0 : cut_block(s, split);
}

void
stream_close(struct stream *s)
{
	if (s == NULL)
		return;
	unpack_end(&s->in);
	punch_free(s);
	free(s->free);
	buf_free(&s->buf);
	buf_free(&s->key);
	buf_free(&s->last);
	buf_free(&s->other);
	free(s);
}
