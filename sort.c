/* sort.c - mr sort: a stable external sort by key.
 *
 * Sorting is a job without commands (driver.c).  Checking (-c, -C) and
 * merging sorted files (-m) read their inputs from front to back in this
 * process and need no job. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { O_CHECK = O_OWN, O_CHECK_QUIET, O_MERGE, O_UNIQUE };
enum { CHUNK = 256 * KiB };

static const struct opt opts[] = {
	{ O_CHECK, 'c', "check", NULL, "only say whether it is sorted", 0 },
	{ O_CHECK_QUIET, 'C', "check-quiet", NULL, "the same by status", 0 },
	{ O_MERGE, 'm', "merge", NULL, "merge files that are sorted", 0 },
	{ O_UNIQUE, 'u', "unique", NULL,
	    "one record a key, or of those that are equal", 0 },
	{ O_OUTPUT, 'o', "output", "FILE",
	    "replaced at success; may be an input", 0 },
	OPT_KEYS, OPT_ZERO, OPT_MEMORY, OPT_TMPDIR, OPT_SORTING, OPT_JOBS,
	{ O_JOBS, 0, "parallel", "N", NULL, OPT_HIDDEN },
	OPT_BLOCK,
	OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* A sorted input, read a record at a time. */
struct sorted {
	const char *name;
	int fd;
	unsigned char *p;
	size_t at, n, cap;	/* p[at..n) is to be read */
	size_t len;		/* of the present record, no delimiter; */
	size_t klen;
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

/* Moves to the next record, which is at p + at.  False at the end. */
static bool
sorted_next(struct sorted *r, const struct format *f)
{
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
	r->klen = key_length(f, r->p + r->at, r->len);
	r->number++;
	return true;
}

static void
sorted_close(struct sorted *r)
{
	if (r->fd != STDIN_FILENO)
		close(r->fd);
	free(r->p);
}

/* -c and -C: the first record that is out of order, if any. */
static int
check(const struct setup *s, char **names, int n, bool unique, bool quiet)
{
	const struct format *f = &s->job.shape.fmt;
	struct buf last = {0};
	struct sorted r;
	bool first = true;
	int status = EXIT_OK;

	if (n > 1)
		refuse("only one file can be checked");
	sorted_open(&r, n == 1 ? names[0] : "-");
	while (sorted_next(&r, f)) {
		const unsigned char *key = r.p + r.at;
		int c = first ? -1 : key_compare(last.p, last.len, key,
		    r.klen);

		if (c > 0 || (c == 0 && unique)) {
			struct buf b = {0};

			status = EXIT_TROUBLE;
			if (quiet)
				break;
			buf_printf(&b, "%s: ", diag_name);
			buf_escaped(&b, r.name, strlen(r.name));
			buf_printf(&b, ":%llu: disorder: ",
			    (unsigned long long)r.number);
			buf_escaped(&b, key, r.len < 200 ? r.len : 200);
			buf_str(&b, "\n");
			diag_write(b.p, b.len);
			buf_free(&b);
			break;
		}
		first = false;
		buf_reset(&last);
		buf_put(&last, key, r.klen);
	}
	sorted_close(&r);
	buf_free(&last);
	return status;
}

/* Whether a's record comes before b's, which is a later input if b > a. */
static bool
before(const struct sorted *a, const struct sorted *b)
{
	int c = key_compare(a->p + a->at, a->klen, b->p + b->at, b->klen);

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
static int
merge(struct setup *s, char **names, int n, bool unique)
{
	const struct format *f = &s->job.shape.fmt;
	struct sorted *r = xzalloc((size_t)n, sizeof *r), **heap;
	struct buf out = {0}, last = {0};
	size_t live = 0;
	bool any = false;

	heap = xzalloc((size_t)n, sizeof *heap);
	for (int i = 0; i < n; i++) {
		sorted_open(r + i, names[i]);
		if (sorted_next(r + i, f))
			heap[live++] = r + i;
	}
	for (size_t i = live; i-- > 0; )
		sink(heap, i, live);
	while (live > 0) {
		struct sorted *x = heap[0];
		const unsigned char *p = x->p + x->at;

		if (!unique || !any || key_compare(last.p, last.len, p,
		    x->klen) != 0) {
			buf_put(&out, p, x->len + 1);
			if (unique) {
				buf_reset(&last);
				buf_put(&last, p, x->klen);
				any = true;
			}
		}
		if (out.len >= CHUNK) {
			if (write_full(STDOUT_FILENO, out.p, out.len) == -1)
				die_errno("standard output");
			buf_reset(&out);
		}
		if (!sorted_next(x, f))
			heap[0] = heap[--live];
		if (live > 0)
			sink(heap, 0, live);
	}
	if (write_full(STDOUT_FILENO, out.p, out.len) == -1 ||
	    close(STDOUT_FILENO) == -1)
		die_errno("standard output");
	for (int i = 0; i < n; i++)
		sorted_close(r + i);
	buf_free(&out);
	buf_free(&last);
	free(heap);
	free(r);
	return EXIT_OK;
}

static int
sort_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	bool checks = false, quiet = false, merges = false;
	int id;

	setup_begin(&s, "sort");
	s.job.kind = JOB_SORT;
	s.po.filter = true;
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		switch (id) {
		case O_CHECK:
			checks = true;
			break;
		case O_CHECK_QUIET:
			checks = quiet = true;
			break;
		case O_MERGE:
			merges = true;
			break;
		case O_UNIQUE:
			s.job.unique = true;
			break;
		default:
			setup_option(&s, id, &o);
		}
	if (s.job.unique && !s.given[O_FIELDS] && !s.given[O_SEP])
		s.job.shape.fmt.fields = 0;
	if (checks && merges)
		refuse("-c and -m exclude each other");
	if (checks && s.job.out == OUT_FILE)
		refuse("-o has no effect with -c: nothing is written");
	if (checks) {
		setup_needs(&s, O_MEMORY, "-S", "sorting (it is -c)");
		setup_needs(&s, O_TMPDIR, "-T", "sorting (it is -c)");
		setup_needs(&s, O_BATCH, "--batch-size", "sorting (it is -c)");
		setup_needs(&s, O_COMPRESS, "--compress-program",
		    "sorting (it is -c)");
	}
	if (checks)
		return check(&s, o.operands, o.noperands, s.job.unique, quiet);
	/* Sorting sorted files is merging them; a stream need not wait. */
	if (merges && s.job.out == OUT_STDOUT && o.noperands <= 200) {
		char *standard[] = { (char *)"-", NULL };

		setup_input(&s, o.operands, o.noperands);
		return o.noperands == 0 ? merge(&s, standard, 1,
		    s.job.unique) : merge(&s, o.operands, o.noperands,
		    s.job.unique);
	}
	setup_input(&s, o.operands, o.noperands);
	return setup_run(&s);
}

const struct cmd sort_cmd = {
	"sort", sort_main, "[option]... [FILE]...",
	"Sorts records by key; those of one key keep their order.",
	"stable external sort by key",
	opts,
	"example: mr sort -t : /etc/passwd\n",
	false,
};
