/* plan.c - the tasks of a job, in input order, and who takes which.
 *
 * Files are planned by their size alone; a stream is read block by block,
 * and what stands behind it in the input is planned when it has ended.
 *
 * For a job that sorts, each worker gets neighbouring tasks as long as there
 * are any, so that their output can share a run; when its stretch is at its
 * end it takes half of the longest one that is left.  Otherwise tasks are
 * handed out in order, so that output can be written early. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

/* What a map prints waits for its turn; what is sorted does not, and the fewer
 * tasks there are the less often their groups are joined. */
#define BLOCK_MOST_MAP ((uint64_t)64 * MiB)
#define BLOCK_MOST_SORT ((uint64_t)256 * MiB)
enum { SMALL = MiB / 2, SMALL_MOST = 10000 };	/* bytes; files */
enum { MANY_TASKS = 100000, CUTS_MOST = 1000 };

/* A command a key takes long for few bytes. */
static uint64_t
block_least(const struct job *job)
{
	return job->per_key && job->kind == JOB_MAP ? 16 * KiB : MiB;
}

/* The default size of a block: small enough that all workers have several,
 * large enough that starting a task does not count. */
uint64_t
plan_block_size(const struct driver *d)
{
	uint64_t most = d->job->kind == JOB_MAP ? BLOCK_MOST_MAP :
	    BLOCK_MOST_SORT, several = 4 * d->po->jobs, block;

	if (d->po->block != 0)
		return d->po->block < UINT64_MAX / 4 ? d->po->block :
		    UINT64_MAX / 4;
	/* Rounded up: one task more would be a round of its own. */
	block = (d->job->input.bytes + several - 1) / several;
	return block > most ? most : block < block_least(d->job) ?
	    block_least(d->job) : block;
}

/* Says what would be much faster. */
void
plan_advise(const struct driver *d)
{
	const struct job *job = d->job;
	size_t small = 0;

	if (job->pack || job->whole_file || d->po->quiet)
		return;
	for (size_t i = 0; i < job->input.n; i++)
		small += job->input.files[i].size - 1 < SMALL;
	if (small > SMALL_MOST)
		say("note: each of %zu small files is a task of its own; with "
		    "--pack they share tasks", small);
}

static void
span_drop(struct driver *d, size_t i)
{
	memmove(d->spans + i, d->spans + i + 1,
	    (d->nspans - i - 1) * sizeof *d->spans);
	d->nspans--;
}

/* Tasks from lo up to hi can be taken, again or for the first time. */
void
plan_again(struct driver *d, uint32_t lo, uint32_t hi, int owner)
{
	size_t i = 0;

	if (d->nspans == d->cap_spans) {
		d->cap_spans = grown(d->cap_spans, d->nspans + 1);
		d->spans = xrealloc(d->spans, d->cap_spans, sizeof *d->spans);
	}
	while (i < d->nspans && d->spans[i].lo < lo)
		i++;
	memmove(d->spans + i + 1, d->spans + i,
	    (d->nspans - i) * sizeof *d->spans);
	d->spans[i] = (struct span){ lo, hi, owner };
	d->nspans++;
}

static int64_t
span_take(struct driver *d, size_t i, unsigned who)
{
	uint32_t t = d->spans[i].lo++;

	d->spans[i].owner = (int)who;
	if (d->spans[i].lo == d->spans[i].hi)
		span_drop(d, i);
	return t;
}

struct task *
plan_add(struct driver *d, const struct split *s)
{
	struct task *t;
	struct span *last;

	if (d->n == UINT32_MAX - 1)
		die("too many tasks; use larger blocks");
	if (d->n == d->cap) {
		d->cap = grown(d->cap, d->n + 1);
		d->tasks = xrealloc(d->tasks, d->cap, sizeof *d->tasks);
	}
	last = d->nspans > 0 ? d->spans + d->nspans - 1 : NULL;
	if (last != NULL && last->hi == d->n)
		last->hi++;
	else
		plan_again(d, (uint32_t)d->n, (uint32_t)d->n + 1, -1);
	t = d->tasks + d->n++;
	*t = (struct task){ .split = *s, .state = PENDING };
	d->unfinished++;
	return t;
}

/* Adds a task that may be done already: then nobody takes it. */
void
plan_keep(struct driver *d, const struct split *s, bool done)
{
	plan_add(d, s);
	if (!done)
		return;
	d->tasks[d->n - 1].state = KEPT;
	d->unfinished--;
	d->spans[d->nspans - 1].hi--;
	if (d->spans[d->nspans - 1].lo == d->spans[d->nspans - 1].hi)
		d->nspans--;
}

/* Splits of a file by its size alone; workers find the records. */
static void
plan_blocks(struct driver *d, uint32_t file, uint64_t head)
{
	const struct file *f = d->job->input.files + file;
	uint64_t size = f->size, begin = f->from > head ? f->from : head;
	uint64_t n = (size - begin + d->block - 1) / d->block, each;

	if (n == 0)
		return;
	each = (size - begin + n - 1) / n;
	for (uint64_t off = begin; off < size; off += each)
		plan_add(d, &(struct split){ .file = file, .nfiles = 1,
		    .off = off, .len = size - off < each ? size - off :
		    each, .head = head });
}

/* Bytes of a file that stand before its records. */
static uint64_t
plan_header(struct driver *d, uint32_t file)
{
	const struct job *job = d->job;
	const struct file *f = job->input.files + file;
	uint64_t head;
	char why[200];
	int fd;

	if (job->form.header == HEADER_NONE)
		return 0;
	fd = file_open(f, why, sizeof why);
	if (fd == -1)
		die("%s: %s", file_shown(f), why);
	head = input_header(&job->form, fd, f->size);
	if (head == UINT64_MAX)
		die_errno("%s", file_shown(f));
	close(fd);
	return head;
}

/* More tasks than anybody wants are a misunderstanding. */
static void
note_many(struct driver *d)
{
	if (d->n == MANY_TASKS + 1 && d->job->form.records > 0 &&
	    !d->po->quiet)
		say("note: over %d tasks of %llu record%s each (-N); if N "
		    "lines are to be one record, that is -L N", MANY_TASKS,
		    (unsigned long long)d->job->form.records,
		    d->job->form.records == 1 ? "" : "s");
}

/* Looks on through a file that must be cut from its front. */
void
plan_cut(struct driver *d)
{
	struct split s;
	int got = 1;

	for (int i = 0; i < CUTS_MOST && got == 1; i++) {
		got = cuts_next(d->cutting, &s);
		if (s.len > 0) {
			plan_add(d, &s);
			note_many(d);
		}
	}
	if (got != -1)
		return;
	cuts_close(d->cutting);
	d->cutting = NULL;
	d->file++;
	plan_more(d);
}

/* Looks through a small file, which will not be cut. */
static void
check_records(struct driver *d, uint32_t file)
{
	struct job *job = d->job;
	struct cuts *c;
	struct split s;

	if (!form_is_serial(&job->form))
		return;
	c = cuts_open(&job->form, job->input.files + file, file,
	    plan_header(d, file), UINT64_MAX);
	while (cuts_next(c, &s) != -1)
		;
	cuts_close(c);
}

/* Splits of a sorted file, cut between groups. */
static void
plan_groups(struct driver *d, uint32_t file)
{
	struct job *job = d->job;
	const struct file *f = job->input.files + file;
	uint64_t at = 0, next = 0;
	char why[200];
	int fd = file_open(f, why, sizeof why);

	if (fd == -1)
		die("%s: %s", file_shown(f), why);
	for (uint64_t off = d->block; at < f->size; off += d->block) {
		if (off > f->size)
			off = f->size;
		if (next > off)
			continue;	/* a group longer than a block */
		next = group_boundary(&job->shape.fmt, fd, off, f->size);
		if (next == UINT64_MAX)
			die_errno("%s", file_shown(f));
		if (next > at)
			plan_add(d, &(struct split){ .file = file,
			    .nfiles = 1, .off = at, .len = next - at,
			    .exact = true });
		at = next;
	}
	close(fd);
}

/* Splits of a plain file that is not sorted. */
static void
plan_file(struct driver *d, uint32_t file)
{
	struct job *job = d->job;
	const struct file *f = job->input.files + file;
	uint64_t head;

	if (f->codec != 0) {
		plan_add(d, &(struct split){ .file = file, .nfiles = 1,
		    .len = f->size, .exact = true });
		d->file++;
		return;
	}
	head = plan_header(d, file);
	if (form_is_serial(&job->form) &&
	    head < f->size) {
		d->cutting = cuts_open(&job->form, f, file, head, d->block);
		return;			/* plan_cut goes on */
	}
	plan_blocks(d, file, head);
	d->file++;
}

/* Small files that follow each other, up to a block together. */
static void
plan_packed(struct driver *d)
{
	const struct input *in = &d->job->input;
	uint32_t first = (uint32_t)d->file;
	uint64_t sum = 0, head = 0;

	if (in->files[first].size > d->block || in->files[first].from > 0) {
		plan_file(d, first);
		return;
	}
	while (d->file < in->n && !in->files[d->file].stream &&
	    in->files[d->file].from == 0 &&
	    sum + in->files[d->file].size <= d->block) {
		check_records(d, (uint32_t)d->file);
		head = plan_header(d, (uint32_t)d->file);
		sum += in->files[d->file++].size - head;
	}
	if (sum > 0 && d->file - first == 1)
		plan_add(d, &(struct split){ .file = first, .nfiles = 1,
		    .off = head, .len = sum, .head = head, .exact = true });
	else if (sum > 0)
		plan_add(d, &(struct split){ .file = first,
		    .nfiles = (uint32_t)(d->file - first), .len = sum,
		    .exact = true });
}

/* Files that are records: up to a block of them, or so many, together. */
static void
plan_records(struct driver *d)
{
	const struct input *in = &d->job->input;
	uint64_t most = d->job->form.records, sum = 0;
	uint32_t first = (uint32_t)d->file, n = 0;

	for (; d->file < in->n && !in->files[d->file].stream; d->file++, n++) {
		uint64_t size = in->files[d->file].size;

		if (most > 0 ? n == most : n > 0 && sum + size > d->block)
			break;
		sum += size;
	}
	plan_add(d, &(struct split){ .file = first, .nfiles = n, .len = sum,
	    .exact = true, .whole = true });
	note_many(d);
}

static void
tell_tty(void)
{
	if (isatty(STDIN_FILENO))
		say("reading standard input from the terminal; end it with "
		    "Ctrl-D");
}

/* Splits of input that is in no file. */
static void
plan_generated(struct driver *d)
{
	const struct generate *g = &d->job->made;
	uint64_t each = generate_each(g, d->job->form.records);

	if (g->kind == GENERATE_NAMES)
		d->file = d->job->input.n;	/* none is read */
	for (uint64_t off = 0; off < g->n; off += each) {
		if (g->n - off < each)
			each = g->n - off;
		plan_add(d, &(struct split){ .nfiles = 1, .off = off,
		    .len = each, .exact = true, .generated = true });
		note_many(d);
	}
}

/* Plans what can be planned: up to a stream that has to be read first. */
void
plan_more(struct driver *d)
{
	static const struct form bytes = { .kind = FORM_LINES,
	    .delim = '\n', .lines = 1 };
	struct job *job = d->job;

	plan_generated(d);
	while (d->stream == NULL && d->cutting == NULL &&
	    d->file < job->input.n) {
		struct file *f = job->input.files + d->file;

		if (f->stream) {
			if (strcmp(f->name, "-") == 0)
				tell_tty();
			buf_reset(&d->before);
			d->stream = stream_open(f->name, &job->shape.fmt,
			    job->file_pairs ? &bytes : &job->form,
			    job->stores + d->nw, (uint16_t)d->nw,
			    d->po->block != 0 ? d->po->block :
			    block_least(job) < d->stream_block_size ?
			    block_least(job) : d->stream_block_size,
			    job->check_order || job->grouped, job->whole_file,
			    !job->whole_file && job->form.records == 0);
			if (d->stream == NULL)
				die_errno("%s", f->name);
			stream_widen(d->stream, job->limits.pipe_size);
			stream_unpack(d->stream, file_decoder(&job->input, f),
			    file_is_looked_at(&job->input, f),
			    job->tmpdirs[0]);
			d->stream_bytes = 0;
			return;
		}
		if (job->pack || job->file_pairs) {
			(job->pack ? plan_packed : plan_records)(d);
			continue;
		}
		if (job->whole_file)
			plan_add(d, &(struct split){
			    .file = (uint32_t)d->file, .nfiles = 1,
			    .len = f->size, .exact = true, .whole = true });
		else if (job->check_order || job->grouped)
			plan_groups(d, (uint32_t)d->file);
		else {
			plan_file(d, (uint32_t)d->file);
			continue;
		}
		d->file++;
	}
	if (d->stream != NULL || d->cutting != NULL || d->planned)
		return;
	d->planned = true;
	if (d->n == 0)
		plan_add(d, &(struct split){ .nfiles = 1, .empty = true });
}

/* Plans the one task of an empty input, where that it is empty was seen only
 * when it was read.  False if it is not, or has been. */
bool
plan_empty(struct driver *d)
{
	if (d->phase != TASK_MAP || d->fed || d->job->whole_file || d->n == 0 ||
	    d->tasks[d->n - 1].split.empty)
		return false;
	plan_add(d, &(struct split){ .nfiles = 1, .empty = true });
	return true;
}

/* A block of the stream is a task. */
static void
add_block(struct driver *d, struct split *s)
{
	struct task *t;

	s->file = (uint32_t)d->file;
	t = plan_add(d, s);
	note_many(d);
	buf_put(&t->before, d->before.p, d->before.len);
	d->stream_blocks++;
	d->stream_bytes += s->len;
	/* The first blocks are small, so that work starts early. */
	if (d->po->block == 0 && d->stream_bytes > 16 * MiB)
		stream_set_block(d->stream, d->stream_block_size);
}

/* Whether more of the stream should be read; *now: some of it is there. */
bool
plan_wants(const struct driver *d, bool *now)
{
	if (d->stream_blocks > 2 * d->nw)
		return false;
	*now = stream_is_ready(d->stream);
	return true;
}

/* The stream is at its end. */
void
plan_ended(struct driver *d)
{
	stream_close(d->stream);
	d->stream = NULL;
	d->file++;
	plan_more(d);
}

/* Reads the stream once. */
void
plan_read(struct driver *d)
{
	const char *name = file_shown(d->job->input.files + d->file);
	struct buf why = {0};
	struct split s = {0};
	int got = stream_read(d->stream, &s, &d->before, &why);

	d->job->shared->stream = (int32_t)stream_group(d->stream);
	if (got == -2)
		die_errno("%s", name);
	if (got == -3)
		die("%s: %.*s", name, (int)why.len, why.p);
	if (s.len == 0 && got == -1 && d->job->file_pairs)
		s = (struct split){ .nfiles = 1, .stream = true,
		    .exact = true, .whole = true };
	if (s.len > 0 || s.whole)
		add_block(d, &s);
	while (got == 1 && stream_next(d->stream, &s))
		add_block(d, &s);
	if (got == -1)
		plan_ended(d);
}

/* The task that a worker should run next, or NO_TASK. */
int64_t
plan_next(struct driver *d, unsigned who)
{
	size_t best = 0;

	if (d->nspans == 0)
		return NO_TASK;
	if (d->in_order)
		return span_take(d, 0, who);
	for (size_t i = 0; i < d->nspans; i++) {
		if (d->spans[i].lo == d->w[who].last + 1)
			return span_take(d, i, who);
		if (d->spans[i].hi - d->spans[i].lo >
		    d->spans[best].hi - d->spans[best].lo)
			best = i;
	}
	if (d->spans[best].owner != -1 && d->spans[best].owner != (int)who &&
	    d->spans[best].hi - d->spans[best].lo > 1) {
		uint32_t lo = d->spans[best].lo, hi = d->spans[best].hi;
		uint32_t mid = lo + (hi - lo) / 2;

		d->spans[best].hi = mid;
		if (mid + 1 < hi)
			plan_again(d, mid + 1, hi, (int)who);
		return mid;
	}
	return span_take(d, best, who);
}
