/* sorted.c - files that are sorted: whether they are, and merging them.
 *
 * Both read their inputs from front to back in this process, a record of
 * each at a time, and need no job. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { CHUNK = 256 * KiB };

/* A sorted input, read a record at a time. */
struct sorted {
	struct recfile f;
	const unsigned char *key;	/* by which it is sorted */
	size_t klen;
	struct buf ikey;	/* that key, if it is not in the record */
};

static void
sorted_open(struct sorted *r, const struct shape *s, const char *name)
{
	*r = (struct sorted){0};
	recfile_open(&r->f, &s->fmt, name);
}

/* Moves to the next record and finds its key.  False at the end. */
static bool
sorted_next(struct sorted *r, const struct shape *s)
{
	const struct record *rec = &r->f.rec;
	int got = recfile_next(&r->f);

	if (got < 0)
		die("%s: %s", r->f.name, (char *)r->f.why.p);
	if (got == 0)
		return false;
	r->key = rec->key;
	r->klen = rec->klen;
	if (s->key == KEY_DEFS)
		r->key = ikey_of(s, rec->key, r->f.len - 1, &r->ikey,
		    &r->klen);
	return true;
}

static void
sorted_close(struct sorted *r)
{
	recfile_close(&r->f);
	buf_free(&r->ikey);
}

static void
tell_disorder(const struct recfile *f)
{
	size_t len = f->fmt->pairs ? f->rec.klen : f->len - 1;
	const char *name = f->fd == STDIN_FILENO ? "-" : f->name;
	struct buf b = {0};

	buf_printf(&b, "%s: ", diag_name);
	buf_escaped(&b, name, strlen(name));
	buf_printf(&b, ":%llu: disorder: ", (unsigned long long)f->number);
	buf_escaped(&b, f->rec.key, len < 200 ? len : 200);
	buf_str(&b, "\n");
	diag_write(b.p, b.len);
	buf_free(&b);
}

/* -c and -C: says which record is the first that is out of order, if there
 * is one, and returns the exit status. */
int
sorted_check(const struct job *job, bool quiet)
{
	const struct shape *shape = &job->shape;
	const struct input *in = &job->input;
	struct buf last = {0};
	struct sorted r;
	bool first = true;
	int status = EXIT_OK;

	if (in->n > 1)
		refuse("only one file can be checked");
	if (in->n == 0)
		return EXIT_OK;
	sorted_open(&r, shape, in->files[0].name);
	while (sorted_next(&r, shape)) {
		int c = first ? -1 : key_compare(last.p, last.len, r.key,
		    r.klen);

		if (c > 0 || (c == 0 && job->unique)) {
			status = EXIT_TROUBLE;
			if (!quiet)
				tell_disorder(&r.f);
			break;
		}
		first = false;
		buf_reset(&last);
		buf_put(&last, r.key, r.klen);
	}
	sorted_close(&r);
	buf_free(&last);
	return status;
}

/* Whether a's record comes before b's, which is a later input if b > a. */
static bool
before(const struct sorted *a, const struct sorted *b)
{
	int c = key_compare(a->key, a->klen, b->key, b->klen);

	return c != 0 ? c < 0 : a < b;
}

/* Lets the input at place i of a heap sink to where it belongs. */
static void
sink(struct sorted **heap, size_t i, size_t n)
{
	struct sorted *x = heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && before(heap[child + 1], heap[child]))
			child++;
		if (before(x, heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = x;
}

/* -m: the records of sorted inputs in order; of equal ones, those of the
 * input that was named first come first. */
int
sorted_merge(const struct job *job)
{
	const struct shape *shape = &job->shape;
	const struct input *in = &job->input;
	struct sorted *r = xzalloc(in->n, sizeof *r), **heap;
	struct buf out = {0}, last = {0};
	size_t live = 0;
	bool any = false, unique = job->unique;

	heap = xzalloc(in->n, sizeof *heap);
	for (size_t i = 0; i < in->n; i++) {
		sorted_open(r + i, shape, in->files[i].name);
		if (sorted_next(r + i, shape))
			heap[live++] = r + i;
	}
	for (size_t i = live; i-- > 0; )
		sink(heap, i, live);
	while (live > 0) {
		struct sorted *x = heap[0];

		if (!unique || !any || key_compare(last.p, last.len, x->key,
		    x->klen) != 0) {
			buf_put(&out, recfile_bytes(&x->f), x->f.len);
			if (unique) {
				buf_reset(&last);
				buf_put(&last, x->key, x->klen);
				any = true;
			}
		}
		if (out.len >= CHUNK) {
			if (write_full(STDOUT_FILENO, out.p, out.len) == -1)
				die_errno("standard output");
			buf_reset(&out);
		}
		if (!sorted_next(x, shape))
			heap[0] = heap[--live];
		if (live > 0)
			sink(heap, 0, live);
	}
	if (write_full(STDOUT_FILENO, out.p, out.len) == -1 ||
	    close(STDOUT_FILENO) == -1)
		die_errno("standard output");
	for (size_t i = 0; i < in->n; i++)
		sorted_close(r + i);
	buf_free(&out);
	buf_free(&last);
	free(heap);
	free(r);
	return EXIT_OK;
}
