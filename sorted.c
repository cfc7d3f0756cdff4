/* sorted.c - files that are sorted: whether they are, and merging them.
 *
 * Both read their inputs from front to back in this process, a record of
 * each at a time, and need no job. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { CHUNK = 256 * KiB };

/* A sorted input, read a record at a time. */
struct sorted {
	const char *name;
	int fd;
	unsigned char *p;
	size_t at, n, cap;	/* p[at..n) is to be read */
	size_t len;		/* of the present record, no delimiter */
	const unsigned char *key;	/* by which it is sorted */
	size_t klen;
	struct buf ikey;	/* that key, if it is not in the record */
	bool ended;
	uint64_t number;	/* of the present record, from 1 */
};

static void
sorted_open(struct sorted *r, const char *name)
{
	*r = (struct sorted){ .name = name };
	r->fd = strcmp(name, "-") == 0 ? STDIN_FILENO :
	    open_file(name, O_RDONLY, 0);
	if (r->fd == -1)
		die_errno("%s", name);
	r->cap = CHUNK;
	r->p = xrealloc(NULL, r->cap, 1);
}

/* Finds the key of the present record. */
static void
sorted_key(struct sorted *r, const struct shape *s)
{
	r->key = ikey_of(s, r->p + r->at, r->len, &r->ikey, &r->klen);
}

/* Moves to the next record, which is at p + at.  False at the end. */
static bool
sorted_next(struct sorted *r, const struct shape *shape)
{
	const struct format *f = &shape->fmt;
	size_t end, looked = 0;	/* looked at, from r->at */

	if (r->number > 0)
		r->at += r->len + 1;
	for (;;) {
		ssize_t got;

		end = r->at + looked < r->n ? record_end(f, r->p + r->at +
		    looked, r->n - r->at - looked) : 0;
		if (end > 0)
			end += looked;
		if (end > 0 || r->ended)
			break;
		looked = r->n - r->at;
		if (r->at > 0) {
			memmove(r->p, r->p + r->at, r->n - r->at);
			r->n -= r->at;
			r->at = 0;
		}
		if (r->cap - r->n < CHUNK / 2) {
			r->cap = grown(r->cap, r->cap + CHUNK);
			r->p = xrealloc(r->p, r->cap, 1);
		}
		got = read_some(r->fd, r->p + r->n, r->cap - r->n - 1);
		if (got == -1)
			die_errno("%s", r->name);
		if (got == 0) {
			r->ended = true;
			if (r->n > r->at)
				r->p[r->n++] = f->delim;
		}
		r->n += (size_t)got;
	}
	if (end == 0)
		return false;
	r->len = end - 1;
	sorted_key(r, shape);
	r->number++;
	return true;
}

static void
sorted_close(struct sorted *r)
{
	if (r->fd != STDIN_FILENO)
		close(r->fd);
	free(r->p);
	buf_free(&r->ikey);
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
	sorted_open(&r, in->files[0].name);
	while (sorted_next(&r, shape)) {
		int c = first ? -1 : key_compare(last.p, last.len, r.key,
		    r.klen);

		if (c > 0 || (c == 0 && job->unique)) {
			struct buf b = {0};

			status = EXIT_TROUBLE;
			if (quiet)
				break;
			buf_printf(&b, "%s: ", diag_name);
			buf_escaped(&b, r.name, strlen(r.name));
			buf_printf(&b, ":%llu: disorder: ",
			    (unsigned long long)r.number);
			buf_escaped(&b, r.p + r.at, r.len < 200 ? r.len : 200);
			buf_str(&b, "\n");
			diag_write(b.p, b.len);
			buf_free(&b);
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
		sorted_open(r + i, in->files[i].name);
		if (sorted_next(r + i, shape))
			heap[live++] = r + i;
	}
	for (size_t i = live; i-- > 0; )
		sink(heap, i, live);
	while (live > 0) {
		struct sorted *x = heap[0];

		if (!unique || !any || key_compare(last.p, last.len, x->key,
		    x->klen) != 0) {
			buf_put(&out, x->p + x->at, x->len + 1);
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
