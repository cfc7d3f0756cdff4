/* deal.c - what comes by a pipe and is sorted without runs (bucket.c).
 *
 * It is held in memory until its end, as long as that is no more than half of
 * it; then the workers are forked anew, so that all have it at the same
 * address, as if it were a file.
 *
 * But when a good deal of it is there and no end, it is dealt: what is there
 * says how to divide the keys, and map tasks get one block after the other,
 * which they write bucket by bucket.  They see the blocks in a ring of memory
 * that all processes share.  Where that goes wrong, because the stream does not
 * go on as it began, these blocks and the rest of it are sorted with runs.
 *
 * MR_DEBUG=deal: at once, and small blocks. */

#define _GNU_SOURCE		/* MAP_ANONYMOUS, MADV_HUGEPAGE, memrchr */
#include <sys/mman.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mr.h"

#ifndef MADV_POPULATE_WRITE	/* of Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif
#define BLOCK_MOST ((uint64_t)8 * MiB)
#define HELD_LEAST ((uint64_t)128 * MiB)	/* before any is dealt */
enum {
	READ_MOST = MiB,
	GROW_LEAST = 256 * KiB,	/* of what is held */
	SMALL_TIMES = 8, NOT_READY = 8,	/* see populate */
	SLICE_LEAST = 2 * KiB,	/* bytes of a block that go to one bucket */
	BUCKETS_LEAST = 64, BUCKETS_MOST = 1024,
	TASKS_MOST = 1 << 20,
	HELD_SMALL = 4 * KiB, BLOCK_SMALL = 64 * KiB, SLICE_SMALL = 128,
};

struct dealing {		/* of a stream, as it comes */
	unsigned n;		/* places for blocks, in the ring, */
	size_t block;		/* of so many bytes each */
	bool *busy;		/* they have one that is not done */
	unsigned now;		/* what is being filled, */
	bool begun;		/* if there is one, */
	size_t fill;		/* and how much of it is there */
	const unsigned char *rest;	/* of the last block: this belongs to */
	size_t nrest;		/* the next one */
	uint64_t off;		/* in the stream: where that begins */
	size_t summed;		/* so many tasks' buckets are in sum: */
	uint64_t *sum;		/* bytes of each */
};

/* ---- it is held */

/* Cuts what is held into splits. */
static void
plan_held(struct driver *d)
{
	const struct buckets *b = d->job->buckets;
	const unsigned char *p = b->input, *nl;
	uint64_t off = 0, end;

	for (; off < b->held; off = end) {
		end = off + d->block;
		nl = end >= b->held ? NULL : memchr(p + end - 1,
		    d->job->shape.fmt.delim, (size_t)(b->held - end) + 1);
		end = nl == NULL ? b->held : (uint64_t)(nl + 1 - p);
		plan_add(d, &(struct split){ .nfiles = 1, .off = off,
		    .len = end - off, .exact = true });
	}
	d->planned = true;
	d->job->ntasks = d->n;
}

/* The stream is at its end. */
static void
end_held(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	uint64_t size;

	if (divide_has_room(d, b->held, &size)) {
		b->ntasks = b->held / d->block + 1;
		b->file_at = xzalloc(1, sizeof *b->file_at);
		b->end = xrealloc(NULL, b->held / HUGE_PAGE + 1,
		    sizeof *b->end);
		divide_note_ends(b, 0, b->held);
		d->by_buckets = divide_choose(d->job, b->held,
		    (size_t)(b->held / size) + 1) && divide_share_table(b);
	}
	if (!d->by_buckets) {
		divide_give_up(d, true);
		return;
	}
	d->holding = false;
	plan_held(d);
	progress_phase(&d->bar, d->job->phase_name, d->n, b->held);
	crew_renew(d);
}

/* CPU time of this process in nanoseconds. */
static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

/* Has the pages of size bytes at p, at once, which costs less than half of what
 * a page at a time does.  Large pages cost a fifth of that, and the workers
 * then find records sooner; but where the machine has none ready, as one that
 * is virtual may have to ask its host, they cost several times as much.  So
 * one is tried, and as long as that fails, small ones are taken for a while. */
static void
populate(struct buckets *b, unsigned char *p, size_t size)
{
	bool large = size >= HUGE_PAGE && b->small_left == 0;
	int64_t begun = cpu_ns(), cost, *least = b->least_cost;

#if LINUX
	madvise(p, size, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (madvise(p, size, MADV_POPULATE_WRITE) == -1)
#endif
		memset(p, 0, size);
	cost = (cpu_ns() - begun) / (int64_t)(size / GROW_LEAST);
	if (least[large] == 0 || cost < least[large])
		least[large] = cost;
	if (!large) {
		b->small_left -= b->small_left > 0;
	} else {
		b->large_failed = cost > least[false] ||
		    cost / NOT_READY > least[true];
		b->small_left = b->large_failed ? SMALL_TIMES : 0;
	}
}

/* Has memory for what is read next: soon much at once. */
static bool
make_room(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	unsigned char *p = (unsigned char *)(uintptr_t)b->input + b->memory;
	size_t more = b->memory == 0 ? GROW_LEAST : b->memory < HELD_GROW ?
	    (size_t)b->memory : HELD_GROW;

	if (b->held < b->memory)
		return true;
	if (b->large_failed && b->small_left == 0)
		more = HUGE_PAGE;	/* to try one */
	if (mprotect(p, more, PROT_READ | PROT_WRITE) == -1)
		return false;
	populate(b, p, more);
	b->memory += more;
	return true;
}

/* ---- it is dealt */

/* Each worker has a block; one is complete, and one is being read. */
static unsigned
places(const struct driver *d)
{
	return d->nw + 2;
}

/* Says how many bytes a block should have, and how many buckets there should
 * be.  False if memory is too small for it, or the blocks that are wanted. */
static bool
measure(const struct driver *d, uint64_t *block, uint64_t *n)
{
	bool soon = debug_word("deal");
	uint64_t slice = soon ? SLICE_SMALL : SLICE_LEAST;
	uint64_t most = d->po->memory / 8 * 3 / places(d);

	if (most > BLOCK_MOST)
		most = BLOCK_MOST;
	*block = d->po->block > 0 ? d->po->block : soon ? BLOCK_SMALL : most;
	*n = *block / slice < BUCKETS_MOST ? *block / slice : BUCKETS_MOST;
	return *block <= most && *n >= BUCKETS_LEAST &&
	    d->job->compress == NULL;
}

/* Has memory for the blocks, and for a table of as many tasks as it may be. */
static bool
share(const struct driver *d, uint64_t block)
{
	struct buckets *b = d->job->buckets;
	size_t size = (size_t)block * places(d);
	void *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED |
	    MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		return false;
	b->ntasks = (size_t)(d->po->memory / 8 / (sizeof *b->looked + b->n *
	    sizeof *b->ends));
	if (b->ntasks > TASKS_MOST)
		b->ntasks = TASKS_MOST;
	if (!divide_share_table(b)) {
		munmap(ring, size);
		return false;
	}
	b->ring = ring;
	return true;
}

/* From here on blocks are dealt, if that is possible and pays. */
static bool
begin_dealing(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	uint64_t block, n;
	struct dealing *g;

	if (!measure(d, &block, &n))
		return false;
	b->mode = BUCKET_COPIES;
	if (!divide_choose(d->job, b->held, (size_t)n) || divide_drifts(d) ||
	    !share(d, block)) {
		divide_free_bounds(b);
		return false;
	}
	g = b->dealing = xzalloc(1, sizeof *g);
	g->n = places(d);
	g->busy = xzalloc(g->n, sizeof *g->busy);
	g->block = (size_t)block;
	g->sum = xzalloc(b->n, sizeof *g->sum);
	d->holding = false;
	d->by_buckets = true;
	stream_put_back(d->stream, b->input, (size_t)b->held, false);
#if LINUX
	/* Else its pages would stay in the workers; and some have nothing. */
	madvise(b->mapped, b->room, MADV_DONTFORK);
	n = (b->held + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	if (n < b->memory)
		madvise((unsigned char *)(uintptr_t)b->input + n,
		    b->memory - n, MADV_DONTNEED);
#endif
	crew_renew(d);
	return true;
}

static unsigned char *
slot(const struct buckets *b, unsigned i)
{
	return (unsigned char *)(uintptr_t)b->ring + i * b->dealing->block;
}

/* A block is complete up to cut.  What is behind that is the beginning of
 * another one. */
static void
deal(struct driver *d, size_t cut)
{
	struct buckets *b = d->job->buckets;
	struct dealing *g = b->dealing;
	unsigned char *p = slot(b, g->now);

	plan_add(d, &(struct split){ .file = (uint32_t)d->file, .nfiles = 1,
	    .stream = true, .exact = true, .off = g->off, .len = cut,
	    .spool = { .off = (uint64_t)(p - b->ring), .len = cut,
	    .store = (uint16_t)d->nw } });
	d->stream_blocks++;
	g->off += cut;
	g->busy[g->now] = true;
	g->begun = false;
	g->rest = p + cut;
	g->nrest = g->fill - cut;
}

/* A place that has no block, or g->n. */
static unsigned
free_place(const struct dealing *g)
{
	unsigned i = 0;

	while (i < g->n && g->busy[i])
		i++;
	return i;
}

static bool
begin_slot(struct buckets *b)
{
	struct dealing *g = b->dealing;

	g->now = free_place(g);
	if (g->now == g->n)
		return false;
	if (g->nrest > 0)
		memmove(slot(b, g->now), g->rest, g->nrest);
	g->fill = g->nrest;
	g->nrest = 0;
	g->begun = true;
	return true;
}

static void
read_ring(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	struct dealing *g = b->dealing;
	unsigned char *p, *nl;
	struct buf why = {0};
	ssize_t n;

	if (!g->begun && !begin_slot(b))
		return;
	p = slot(b, g->now);
	n = stream_bytes(d->stream, p + g->fill, g->block - g->fill <
	    READ_MOST ? g->block - g->fill : READ_MOST, &why);
	if (n == -1 && errno != EAGAIN)
		die_errno("%s", file_shown(d->job->input.files));
	if (n == 0) {
		if (g->fill > 0)
			deal(d, g->fill);
		plan_ended(d);
		return;
	}
	if (n > 0)
		g->fill += (size_t)n;
	if (g->fill < g->block)
		return;
	nl = memrchr(p, d->job->shape.fmt.delim, g->fill);
	if (nl == NULL)
		*b->unfit = true;
	else
		deal(d, (size_t)(nl + 1 - p));
}

/* Whether so much is held that the rest had better be dealt.  Where there are
 * large pages, holding a stream that ends soon costs less. */
static bool
is_enough(const struct buckets *b)
{
	if (debug_word("deal"))
		return b->held >= HELD_SMALL;
	return b->held >= b->held_most / 2 ||
	    (b->held >= HELD_LEAST && b->large_failed);
}

/* Reads once. */
static void
hold(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	size_t room;
	ssize_t n;

	if (!b->sounded && is_enough(b)) {
		b->sounded = true;
		if (begin_dealing(d))
			return;
	}
	if (b->held >= b->held_most || !make_room(d)) {
		divide_give_up(d, false);
		return;
	}
	room = (size_t)(b->memory - b->held);
	n = read_some(stream_fd(d->stream),
	    (unsigned char *)(uintptr_t)b->input + b->held,
	    room < READ_MOST ? room : READ_MOST);
	if (n == 0)
		end_held(d);
	else if (n > 0)
		b->held += (uint64_t)n;
	else if (errno != EAGAIN)
		die_errno("%s", file_shown(d->job->input.files));
}

/* Whether more of the stream should be read; *now: some of it is there. */
bool
deal_wants(const struct driver *d, bool *now)
{
	const struct buckets *b = d->job->buckets;
	const struct dealing *g = b->dealing;

	if (g == NULL)
		return d->holding;
	if (*b->unfit || (!g->begun && free_place(g) == g->n))
		return false;
	*now = stream_is_ready(d->stream);
	return true;
}

/* Reads it once. */
void
deal_read(struct driver *d)
{
	(d->holding ? hold : read_ring)(d);
}

/* A block is not needed any more. */
void
deal_done(struct driver *d, const struct split *s)
{
	struct dealing *g = d->job->buckets->dealing;

	g->busy[s->spool.off / g->block] = false;
}

/* Has the records that a task has put out end with delimiters, as those of an
 * input do. */
static void
delimit(struct driver *d, const struct place *at)
{
	const struct store *s = d->job->stores + at->store;
	size_t len = (size_t)at->len;
	unsigned char *p = xrealloc(NULL, len, 1);

	if (pread_full(store_fd(s, at), p, len, at->off) != (ssize_t)len)
		die_errno("%s: reading temporary data", s->dir);
	bucket_delimit(p, len, d->job->shape.fmt.delim);
	if (pwrite_full(store_fd(s, at), p, len, at->off) == -1)
		die_errno("%s: writing temporary data", s->dir);
	free(p);
}

/* It is to be done with runs: those of the blocks as they are now, in which
 * what has equal keys is still in order, and of what is to come. */
static void
turn_to_runs(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	struct dealing *g = b->dealing;
	struct store *spool = d->job->stores + d->nw;

	d->in = d->records = d->map_out = 0;
	d->fed = false;
	for (size_t i = 0; i < d->n; i++) {
		struct split *s = &d->tasks[i].split;
		struct place at;

		if (d->tasks[i].state == KEPT) {
			s->spool = d->tasks[i].part;
			if (i < b->ntasks && b->looked[i].sized)
				delimit(d, &s->spool);
			s->len = s->spool.len;
			s->stream = true;
		} else {
			store_pick(spool, s->len, &at);
			store_append(spool, &at, b->ring + s->spool.off,
			    (size_t)s->len);
			store_keep(spool, &at);
			at.store = (uint16_t)d->nw;
			s->spool = at;
		}
		d->tasks[i].state = PENDING;
		d->tasks[i].attempts = 0;
	}
	d->stream_blocks = d->unfinished = d->n;
	d->nspans = 0;
	if (d->n > 0)
		plan_again(d, 0, (uint32_t)d->n, -1);
	if (d->stream != NULL)
		stream_begin_at(d->stream, g->off, g->begun ?
		    slot(b, g->now) : g->rest, g->begun ? g->fill : g->nrest);
	munmap((void *)(uintptr_t)b->ring, g->n * g->block);
	free(g->busy);
	free(g->sum);
	free(g);
	divide_forget(d);
	crew_renew(d);
	progress_phase(&d->bar, d->job->phase_name, 0, 0);
}

/* Whether no more blocks should be dealt as they come: there is one that is
 * unfit for it, or a bucket becomes too large.  When nobody has such a task
 * any more, it goes on with runs. */
bool
deal_falters(struct driver *d)
{
	struct buckets *b = d->job->buckets;
	struct dealing *g = b->dealing;
	uint64_t most = divide_most(d);

	if (g == NULL)
		return false;
	for (; g->summed < d->n && d->tasks[g->summed].state == KEPT &&
	    !*b->unfit; g->summed++)
		for (uint32_t k = 0; k < b->n; k++) {
			g->sum[k] += bucket_bytes(b, g->summed, k);
			if (g->sum[k] > most)
				*b->unfit = true;
		}
	if (!*b->unfit)
		return false;
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0 && d->w[i].task != NO_TASK)
			return true;
	turn_to_runs(d);
	return false;
}

