/* lines.c - records in memory, few enough to be looked at one by one: a
 * sample of a job's input, or what its commands print of it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

void
lines_add(struct lines *l, size_t end)
{
	if (l->n == l->cap) {
		l->cap = grown(l->cap, l->n + 1);
		l->end = xrealloc(l->end, l->cap, sizeof *l->end);
	}
	l->end[l->n++] = end;
}

size_t
lines_at(const struct lines *l, size_t i)
{
	return i == 0 ? 0 : l->end[i - 1];
}

void
lines_free(struct lines *l)
{
	buf_free(&l->b);
	free(l->end);
	*l = (struct lines){0};
}

/* Adds record i of others. */
void
lines_copy(struct lines *l, const struct lines *from, size_t i)
{
	size_t at = lines_at(from, i);

	buf_put(&l->b, from->b.p + at, from->end[i] - at);
	lines_add(l, l->b.len);
}

/* Records as commands print them; a last delimiter is supplied. */
void
lines_find(struct lines *l, unsigned char delim)
{
	const unsigned char *p;

	if (l->b.len > 0 && l->b.p[l->b.len - 1] != delim)
		buf_put(&l->b, &delim, 1);
	l->n = 0;
	for (size_t at = 0; at < l->b.len; at = l->end[l->n - 1]) {
		p = memchr(l->b.p + at, delim, l->b.len - at);
		lines_add(l, (size_t)(p - l->b.p) + 1);
	}
}

/* Whether a record begins a group. */
bool
lines_begin_group(const struct lines *l, const struct format *f, size_t i)
{
	const unsigned char *p = l->b.p;
	size_t a = lines_at(l, i), m, n;

	if (i == 0)
		return true;
	n = key_length(f, p + a, l->end[i] - 1 - a);
	m = key_length(f, p + lines_at(l, i - 1), l->end[i - 1] - 1 -
	    lines_at(l, i - 1));
	return key_compare(p + a, n, p + lines_at(l, i - 1), m) != 0;
}

/* Adds record i, or its beginning, for a message. */
void
lines_show(const struct lines *l, size_t i, struct buf *b)
{
	size_t at, len;

	if (i >= l->n) {
		buf_str(b, "nothing");
		return;
	}
	at = lines_at(l, i);
	len = l->end[i] - 1 - at;
	buf_str(b, "'");
	buf_escaped(b, l->b.p + at, len < 100 ? len : 100);
	buf_str(b, len > 100 ? "...'" : "'");
}

/* Adds the first record in which two outputs differ, for a message. */
void
lines_show_difference(const struct buf *a, const struct buf *b,
    unsigned char delim, const char *of_a, const char *of_b, struct buf *what)
{
	struct lines x = {0}, y = {0};
	size_t i = 0;

	buf_put(&x.b, a->p, a->len);
	buf_put(&y.b, b->p, b->len);
	lines_find(&x, delim);
	lines_find(&y, delim);
	while (i < x.n && i < y.n && x.end[i] == y.end[i] &&
	    memcmp(x.b.p + lines_at(&x, i), y.b.p + lines_at(&y, i),
	    x.end[i] - lines_at(&x, i)) == 0)
		i++;
	buf_printf(what, "record %zu of the output: %s ", i + 1, of_a);
	lines_show(&x, i, what);
	buf_printf(what, ", %s ", of_b);
	lines_show(&y, i, what);
	buf_str(what, "\n");
	lines_free(&x);
	lines_free(&y);
}

/* A record, and by what it is sorted. */
struct sorted {
	unsigned char *ikey;
	size_t len, number;
};

static int
by_ikey(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int c = key_compare(x->ikey, x->len, y->ikey, y->len);

	return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

/* Sorts records as the job does. */
void
lines_sort(struct lines *l, const struct shape *s)
{
	struct sorted *v = xzalloc(l->n, sizeof *v);
	struct lines out = {0};
	struct buf b = {0};
	struct record r;
	size_t used;

	for (size_t i = 0; i < l->n; i++) {
		size_t at = lines_at(l, i);

		record_batch(&s->fmt, l->b.p + at, l->end[i] - at, &r, 1,
		    &used);
		buf_reset(&b);
		if (s->key == KEY_PLAIN)
			buf_put(&b, r.key, r.klen);
		else
			ikey_build(s, &r, &b, 0);
		v[i] = (struct sorted){ xrealloc(NULL, b.len + 1, 1), b.len,
		    i };
		if (b.len > 0)
			memcpy(v[i].ikey, b.p, b.len);
	}
	if (l->n > 0)
		qsort(v, l->n, sizeof *v, by_ikey);
	for (size_t i = 0; i < l->n; i++) {
		lines_copy(&out, l, v[i].number);
		free(v[i].ikey);
	}
	free(v);
	buf_free(&b);
	lines_free(l);
	*l = out;
}

/* Reads the beginning of a file. */
static void
read_beginning(const struct job *job, const struct file *f, size_t most,
    struct buf *b)
{
	const struct input *in = &job->input;
	struct buf why = {0};
	struct unpack u;
	char text[200] = "";
	ssize_t n = 0;
	int fd;

	if (f->stream)
		fd = strcmp(f->name, "-") == 0 ? dup(STDIN_FILENO) :
		    open_file(f->name, O_RDONLY | O_NONBLOCK, 0);
	else
		fd = file_open(f, text, sizeof text);
	if (fd == -1)
		die("%s: %s", file_shown(f), text[0] != '\0' ? text :
		    strerror(errno));
	unpack_begin(&u, fd, file_decoder(in, f), file_is_looked_at(in, f),
	    job->tmpdirs[0]);
	while (b->len < most && (n = unpack_read(&u, buf_reserve(b, 64 * KiB),
	    64 * KiB, &why)) != 0) {
		struct pollfd p = { .fd = unpack_fd(&u), .events = POLLIN };

		if (n == -2)
			die("%s: %.*s", file_shown(f), (int)why.len, why.p);
		if (n == -1 && errno != EAGAIN)
			die_errno("%s", file_shown(f));
		if (n == -1)
			proc_poll(&p, 1, -1);
		b->len += n > 0 ? (size_t)n : 0;
	}
	unpack_end(&u);
}

/* The records at the beginning of a file: up to the last whole one, unless
 * it is the file's end.  *header becomes its header, if that is to be
 * repeated.  Returns how long that is, repeated or not. */
size_t
lines_sample(struct lines *l, const struct job *job, const struct file *file,
    size_t most, struct buf *header)
{
	const struct form *form = &job->form;
	struct cutter cut;
	size_t head = 0;
	const unsigned char *p;
	bool ended;

	read_beginning(job, file, most, &l->b);
	ended = l->b.len < most;
	if (ended && l->b.len > 0 && l->b.p[l->b.len - 1] != form->delim)
		buf_put(&l->b, &form->delim, 1);
	if (form->header != HEADER_NONE && l->b.len > 0 &&
	    (p = memchr(l->b.p, form->delim, l->b.len)) != NULL)
		head = (size_t)(p - l->b.p) + 1;
	buf_reset(header);
	if (form->header == HEADER_REPEAT)
		buf_put(header, l->b.p, head);
	if (head > 0)
		memmove(l->b.p, l->b.p + head, l->b.len - head);
	l->b.len -= head;
	cutter_begin(&cut, form, 0);
	while (cut.at < l->b.len && cutter_look(&cut, l->b.p + cut.at,
	    l->b.len - (size_t)cut.at, cut.end + 1, UINT64_MAX))
		lines_add(l, (size_t)cut.end);
	if (ended && lines_at(l, l->n) < l->b.len)
		lines_add(l, l->b.len);
	l->b.len = lines_at(l, l->n);
	return head;
}
