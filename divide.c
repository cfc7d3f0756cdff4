/* divide.c - the driver's side of bucket.c: whether records may stay where
 * they are, and how the keys are divided into buckets.
 *
 * Files are mapped before the workers are forked, so all have the input at the
 * same address.  A sample of the keys says where to divide them.  Of what comes
 * by a pipe, deal.c takes care.
 *
 * Input that exceeds memory is divided, too: then it is the records themselves
 * that are written bucket by bucket, most of them to disk.
 *
 * Where that would not pay - long records or very short ones, a key that many
 * have, a sample that misled - runs are sorted and merged as always, from the
 * beginning if need be; so whatever is odd is handled there.
 *
 * A file that is changed meanwhile is noticed by the bytes of each bucket and
 * by their order, and the job fails.
 *
 * MR_DEBUG=buckets: whatever the records; nobuckets: never; refs, copies: they
 * are not sorted where they are, do not stay there. */

#define _GNU_SOURCE		/* MAP_ANONYMOUS, MADV_HUGEPAGE */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

#define INPUT_LEAST ((uint64_t)MiB)
#define BLOCK_MOST ((uint64_t)16 * MiB)
#define BUCKET_MOST ((uint64_t)4 * MiB)	/* what a cache has room for */
#define DEALT_MOST ((uint64_t)256 * MiB)	/* offsets have 32 bits */
enum {
	FILES_MOST = 256, BUCKETS_MOST = 4096,
	LOOK = 16 * KiB,	/* bytes of the sample in one place, and how */
	LOOKS_LEAST = 256, LOOK_EVERY = 8 * MiB,	/* many there are */
	SAMPLE_EACH = 16,	/* keys of it for each bucket, */
	SAMPLE_LEAST = 1024,	/* and at least so many, to see a hot one */
	HOT_SHARE = 16,		/* of the sample: a key with more has runs */
	SAME_SHARE = 8,		/* of keys whose first bytes are another's */
	RECORD_LEAST = 16,	/* bytes, on average */
	SLICE_LEAST = 256,	/* bytes of a block that go to one bucket */
	CELLS_MOST = 4 * MiB,	/* what all blocks have for all buckets */
	LAST_SHARE = 16, LAST_LOOKS = 256,	/* of what is held: its end */
	DRIFT = 6,		/* times what a bucket should have of that */
};

/* Whether it is mr sort, of lines by their own bytes, which has no command and
 * none of the options that only others have. */
static bool
is_possible(const struct driver *d)
{
	const struct job *job = d->job;
	const struct input *in = &job->input;
	struct stat out;
	bool plain = fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode);

	if (job->kind != JOB_SORT || !d->po->filter ||
	    job->shape.key != KEY_PLAIN || job->shape.nparts > 0 ||
	    !form_is_plain(&job->form) || in->n == 0 || in->n > FILES_MOST ||
	    debug_word("nobuckets"))
		return false;
	if (in->nstreams > 0)
		return in->n == 1 && file_decoder(in, in->files) == NULL &&
		    !file_is_looked_at(in, in->files);
	for (size_t i = 0; i < in->n; i++)
		if (in->files[i].codec != 0 || (plain &&
		    /* It would be written while it is read. */
		    in->files[i].ino == out.st_ino &&
		    in->files[i].dev == out.st_dev))
			return false;
	return true;
}

/* Chooses how large blocks and buckets are, and whether records can stay where
 * they are.  False if there is no room for it, or it is not worth it. */
bool
divide_has_room(struct driver *d, uint64_t bytes, uint64_t *size)
{
	const struct job *job = d->job;
	uint64_t memory = d->po->memory, most = BLOCK_MOST;
	uint64_t each = bytes / (4 * d->nw) + 1, block = d->po->block, n, need;
	bool stays = bytes <= memory / 3 * 2 && !debug_word("copies");

	if (bytes < (debug_word("buckets") ? 1 : INPUT_LEAST) ||
	    bytes > SIZE_MAX / 2)
		return false;
	if (!stays && job->worker_memory / 4 < most)
		most = job->worker_memory / 4;
	if (block == 0)
		block = each < most ? each : most;
	if (block > (stays ? bytes : most))
		block = stays ? bytes : most;
	*size = job->worker_memory / 16;
	if (*size > BUCKET_MOST)
		*size = BUCKET_MOST;
	if (*size > each)
		*size = each;
	if (*size < bytes / BUCKETS_MOST + 1)
		*size = bytes / BUCKETS_MOST + 1;
	n = bytes / *size + 1;
	/* Entries and room to sort them take up to four times the records. */
	need = (stays ? block / 2 : 2 * block) + 4 * *size;
	if (*size > job->worker_memory / 8 ||
	    need > (stays ? memory / 3 : memory) / d->nw ||
	    (bytes / block + 1) * n > CELLS_MOST ||
	    (bytes / block + 1) * n > memory / 128 ||
	    (!stays && (job->compress != NULL || block / n < SLICE_LEAST)))
		return false;
	job->buckets->mode = stays ? BUCKET_DIRECT : BUCKET_COPIES;
	d->block = block;
	return true;
}

/* ---- the input */

/* Addresses for so many bytes, which is no memory yet. */
static unsigned char *
reserve(struct buckets *b, uint64_t bytes)
{
	uint64_t room = bytes + HUGE_PAGE;
	struct rlimit limit;
	unsigned char *p;

	if (getrlimit(RLIMIT_AS, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY && room > limit.rlim_cur / 4)
		return NULL;
	p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
	    MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	b->mapped = p;
	b->room = room;
	p += (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
	b->input = p;
	return p;
}

/* Where files end that begin at b->file_at. */
void
divide_note_ends(struct buckets *b, size_t file, uint64_t size)
{
	uint64_t at = b->file_at[file];

	for (uint64_t i = 0; i * HUGE_PAGE < size; i++)
		b->end[at / HUGE_PAGE + i] = at + size;
}

static bool
map_files(const struct input *in, struct buckets *b)
{
	uint64_t at = 0;
	unsigned char *p;

	b->file_at = xrealloc(NULL, in->n, sizeof *b->file_at);
	for (size_t i = 0; i < in->n; i++) {
		b->file_at[i] = at;
		at += (in->files[i].size + HUGE_PAGE - 1) / HUGE_PAGE *
		    HUGE_PAGE;
	}
	b->end = xrealloc(NULL, at / HUGE_PAGE + 1, sizeof *b->end);
	p = reserve(b, at);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < in->n; i++) {
		const struct file *f = in->files + i;
		char why[200];
		int fd;
		void *got;

		divide_note_ends(b, i, f->size);
		if (f->size == 0)
			continue;
		fd = file_open(f, why, sizeof why);
		if (fd == -1)
			return false;
		got = mmap(p + b->file_at[i], f->size, PROT_READ,
		    MAP_SHARED | MAP_FIXED, fd, 0);
		close(fd);
		if (got == MAP_FAILED)
			return false;
	}
	return true;
}

/* ---- the sample */

static int
by_key(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;

	return key_compare(x->key, x->len, y->key, y->len);
}

struct drawn {
	struct buf keys;	/* each behind its length */
	size_t n;
	uint64_t bytes;		/* of their records */
};

/* Takes the keys of the records that are whole in p[0..len). */
static void
look(const struct format *fmt, const unsigned char *p, size_t len,
    struct drawn *to)
{
	const unsigned char *end = p + len, *nl;

	while (p < end && (nl = memchr(p, fmt->delim, (size_t)(end - p))) !=
	    NULL) {
		size_t klen = key_length(fmt, p, (size_t)(nl - p));

		buf_put(&to->keys, &klen, sizeof klen);
		buf_put(&to->keys, p, klen);
		to->n++;
		to->bytes += (uint64_t)(nl + 1 - p);
		p = nl + 1;
	}
}

/* The same of what stands in a file from off on, or is held. */
static bool
look_at(const struct job *job, size_t file, uint64_t off, uint64_t size,
    struct drawn *to)
{
	const struct format *fmt = &job->shape.fmt;
	size_t len = size - off < LOOK ? (size_t)(size - off) : LOOK, skip = 0;
	unsigned char *p = xrealloc(NULL, LOOK, 1), *nl;
	char why[200];
	int fd = -1;
	bool ok = true;

	if (job->input.nstreams > 0) {
		memcpy(p, job->buckets->input + off, len);
	} else {
		fd = file_open(job->input.files + file, why, sizeof why);
		ok = fd != -1 && pread_full(fd, p, len, off) == (ssize_t)len;
	}
	if (fd != -1)
		close(fd);
	if (off > 0) {		/* it may begin amid a record */
		nl = memchr(p, fmt->delim, len);
		skip = nl == NULL ? len : (size_t)(nl + 1 - p);
	}
	if (ok)
		look(fmt, p + skip, len - skip, to);
	free(p);
	return ok;
}

/* Keys from all over the input. */
static bool
draw(const struct job *job, uint64_t input, struct drawn *to)
{
	uint64_t step = input / LOOKS_LEAST < LOOK_EVERY ?
	    input / LOOKS_LEAST : LOOK_EVERY, next = 0, before = 0, size;

	if (step < LOOK)
		step = LOOK;
	for (size_t i = 0; i < job->input.n; i++, before += size) {
		size = job->input.nstreams > 0 ? input :
		    job->input.files[i].size;
		for (; next < before + size; next += step)
			if (!look_at(job, i, next - before, size, to))
				return false;
	}
	return to->n > 0;
}

/* Some of the keys, at the most so many, sorted; *n becomes how many. */
static struct bound *
sort_keys(const struct drawn *from, size_t most, size_t *n)
{
	size_t every = (from->n + most - 1) / most, len;
	struct bound *v = xrealloc(NULL, from->n / every + 1, sizeof *v);
	const unsigned char *p = from->keys.p;

	*n = 0;
	for (size_t i = 0; i < from->n; i++, p += len) {
		memcpy(&len, p, sizeof len);
		p += sizeof len;
		if (i % every == 0)
			v[(*n)++] = (struct bound){ p, len };
	}
	qsort(v, *n, sizeof *v, by_key);
	return v;
}

/* Whether one of the keys is of more than its share. */
static bool
has_hot(const struct bound *v, size_t n)
{
	size_t share = n / HOT_SHARE + 1;

	for (size_t i = share; i < n; i++)
		if (by_key(v + i - share, v + i) == 0)
			return true;
	return false;
}

/* Whether the first bytes of many keys are another's as well. */
static bool
begin_alike(const struct bound *v, size_t n)
{
	size_t same = 0;

	for (size_t i = 1; i < n; i++)
		same += prefix8(v[i].key, v[i].len) ==
		    prefix8(v[i - 1].key, v[i - 1].len);
	return same > n / SAME_SHARE;
}

/* Divides the keys, as these are, into at most n buckets. */
static void
set_bounds(struct buckets *b, const struct bound *v, size_t drawn, size_t n)
{
	b->bound = xrealloc(NULL, n, sizeof *b->bound);
	for (size_t i = 1; i < n; i++) {
		const struct bound *x = v + i * drawn / n;

		if (b->n == 1 ? x->len > 0 :
		    by_key(x, b->bound + b->n - 2) > 0)
			b->bound[b->n++ - 1] = *x;
	}
	for (b->width = 1; b->width < b->n; b->width *= 2)
		;
	b->prefix = xrealloc(NULL, b->width, sizeof *b->prefix);
	for (size_t i = 0; i < b->width; i++)
		b->prefix[i] = i + 1 < b->n ? prefix8(b->bound[i].key,
		    b->bound[i].len) : UINT64_MAX;
}

/* Chooses about n buckets.  False if records are not what they should be. */
bool
divide_choose(const struct job *job, uint64_t input, size_t n)
{
	struct buckets *b = job->buckets;
	bool forced = debug_word("buckets"), ok;
	struct drawn drawn = {0};
	struct bound *v = NULL;
	size_t nv = 0;

	ok = draw(job, input, &drawn) && (forced ||
	    drawn.bytes / drawn.n >= RECORD_LEAST);
	if (ok)
		v = sort_keys(&drawn, n * SAMPLE_EACH < SAMPLE_LEAST ?
		    SAMPLE_LEAST : n * SAMPLE_EACH, &nv);
	ok = ok && (forced || !has_hot(v, nv));
	if (ok)
		set_bounds(b, v, nv, n);
	if (ok && b->mode == BUCKET_DIRECT && (begin_alike(v, nv) ||
	    b->room > UINT32_MAX || debug_word("refs")))
		b->mode = BUCKET_REFS;
	free(v);
	b->keys = drawn.keys;
	return ok;
}

/* Bytes that a bucket may have.  Where blocks of a stream are dealt, nothing
 * else needs the memory that a stream has. */
uint64_t
divide_most(const struct driver *d)
{
	uint64_t least = d->job->worker_memory / 4;
	uint64_t most = d->po->memory / 16 / d->nw;

	if (d->job->buckets->ring == NULL || most < least)
		return least;
	return most < DEALT_MOST ? most : DEALT_MOST;
}

/* Whether keys at the end of what is held are other ones than before: if it is
 * in order, say, all of them are of the last bucket. */
bool
divide_drifts(const struct driver *d)
{
	const struct buckets *b = d->job->buckets;
	size_t *in = xzalloc(b->n, sizeof *in), most = 0;
	uint64_t end = b->held / LAST_SHARE, step = end / LAST_LOOKS;
	struct drawn last = {0};
	const unsigned char *p;
	size_t len;

	if (step < LOOK)
		step = LOOK;
	for (uint64_t off = b->held - end; off < b->held; off += step)
		look_at(d->job, 0, off, b->held, &last);
	p = last.keys.p;
	for (size_t i = 0; i < last.n; i++, p += len) {
		uint32_t k;

		memcpy(&len, p, sizeof len);
		p += sizeof len;
		k = bucket_find(b, p, len, 0, b->n - 1);
		if (++in[k] > most)
			most = in[k];
	}
	buf_free(&last.keys);
	free(in);
	return most > (last.n / b->n + 1) * DRIFT;
}

bool
divide_share_table(struct buckets *b)
{
	size_t rows = b->ntasks * sizeof *b->looked;
	size_t cells = b->ntasks * b->n * sizeof *b->ends;
	unsigned char *p;

	b->table_size = sizeof *b->looked + rows + 2 * cells;
	if (b->mode == BUCKET_COPIES)
		b->table_size -= cells;
	p = mmap(NULL, b->table_size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	b->unfit = (void *)p;
	b->looked = (void *)(p + sizeof *b->looked);
	b->ends = (void *)(p + sizeof *b->looked + rows);
	b->bytes = b->ends + b->ntasks * b->n;
	return true;
}

void
divide_free_bounds(struct buckets *b)
{
	buf_free(&b->keys);
	free(b->prefix);
	free(b->bound);
	b->prefix = NULL;
	b->bound = NULL;
	b->n = 1;
}

/* It is to be done with runs. */
void
divide_forget(struct driver *d)
{
	struct buckets *b = d->job->buckets;

	d->holding = d->by_buckets = false;
	if (b->unfit != NULL)
		munmap((void *)(uintptr_t)b->unfit, b->table_size);
	divide_free_bounds(b);
	free(b->file_at);
	free(b->end);
	free(b);
	d->job->buckets = NULL;
	d->block = plan_block_size(d);
}

/* The same.  What is held of a stream is read again; all: nothing follows
 * it. */
void
divide_give_up(struct driver *d, bool all)
{
	struct buckets *b = d->job->buckets;

	if (d->stream != NULL)
		stream_put_back(d->stream, b->input, (size_t)b->held, all);
	else if (b->mapped != NULL)
		munmap(b->mapped, b->room);
	divide_forget(d);
}

/* Prepares it, before workers are forked, if it is possible and pays. */
void
divide_begin(struct driver *d)
{
	const struct input *in = &d->job->input;
	struct buckets *b;
	uint64_t size;

	if (!is_possible(d))
		return;
	b = d->job->buckets = xzalloc(1, sizeof *b);
	b->n = 1;
	if (in->nstreams > 0) {
		b->held_most = d->po->memory / 2;
		d->holding = reserve(b, b->held_most + 2 * HELD_GROW) != NULL;
	} else if (divide_has_room(d, in->bytes, &size)) {
		for (size_t i = 0; i < in->n; i++)
			b->ntasks += in->files[i].size / d->block + 1;
		d->by_buckets = map_files(in, b) && divide_choose(d->job,
		    in->bytes, (size_t)(in->bytes / size) + 1) &&
		    divide_share_table(b);
	}
	if (!d->holding && !d->by_buckets)
		divide_give_up(d, false);
}

/* ---- after the map tasks */

/* Whether all went well.  If not, it is to be done with runs. */
bool
divide_settle(struct driver *d)
{
	struct buckets *b = d->job->buckets;

	d->nparts = b->n;
	b->ntasks = d->n;
	for (uint32_t k = 0; k < b->n && !*b->unfit; k++) {
		uint64_t sum = 0;

		for (size_t t = 0; t < d->n; t++)
			sum += bucket_bytes(b, t, k);
		d->weight += sum;
		if (sum > divide_most(d))
			*b->unfit = true;
	}
	if (!*b->unfit)
		return true;
	d->weight = d->nparts = d->spilled = 0;
	for (size_t t = 0; t < d->n; t++)
		store_free(d->job->stores + d->tasks[t].part.store,
		    &d->tasks[t].part);
	if (d->stream != NULL)
		crew_renew(d);	/* they have what is held, too */
	divide_give_up(d, true);
	return false;
}

void
divide_give(struct driver *d, unsigned who, uint32_t number)
{
	const struct buckets *b = d->job->buckets;
	struct task *t = d->tasks + number;
	struct task_msg msg = { .kind = TASK_REDUCE, .task = number,
	    .attempt = t->attempts, .ntasks = d->nparts, .split = t->split,
	    .lolen = NO_BOUND, .hilen = NO_BOUND, .hand = d->by_hand,
	    .buckets = true, .n = b->ntasks };

	for (size_t i = 0; i < b->ntasks; i++)
		msg.expect += bucket_bytes(b, i, number);
	t->state = RUNNING;
	t->begun = now_ns();
	crew_give(d, who, &msg, NULL);
}
