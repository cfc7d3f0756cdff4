/* input.c - operands to a list of files, and splits that begin and end on a
 * record.
 *
 * Everything is looked at before any work starts, and all that cannot be
 * read is named.  A regular file is known by its size; what has no size (a
 * pipe, a terminal, a file under /proc) is a stream, read to its end by the
 * driver.
 *
 * A split is a range of bytes; the records that begin in it are its records,
 * so each belongs to one split whatever the size of splits.  Workers find
 * the exact ends. */

#define _GNU_SOURCE		/* st_mtim, AT_EACCESS */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { LOOK = 64 * KiB };	/* bytes read at a time to find a record */

static void
complain(struct input *in, const char *name, const char *why)
{
	buf_escaped(&in->errors, name, strlen(name));
	buf_printf(&in->errors, ": %s\n", why);
	in->nerrors++;
}

static void
add_file(struct input *in, const char *name, const struct stat *st,
    bool stream)
{
	struct file *f;

	if (in->n == in->cap) {
		in->cap = grown(in->cap, in->n + 1);
		in->files = xrealloc(in->files, in->cap, sizeof *in->files);
	}
	f = in->files + in->n++;
	*f = (struct file){ .name = xstrdup(name), .stream = stream };
	if (stream) {
		in->nstreams++;
		return;
	}
	f->size = (uint64_t)st->st_size;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 +
	    st->st_mtim.tv_nsec;
	in->bytes += f->size;
}

/* A file that says it has no bytes may still give some (/proc).  Returns
 * whether it does, or -1 and errno if it cannot be read. */
static int
has_bytes(const char *name)
{
	char c;
	int fd = open_file(name, O_RDONLY | O_NONBLOCK, 0), err;
	ssize_t n = fd == -1 ? -1 : read_some(fd, &c, 1);

	err = errno;
	if (fd != -1)
		close(fd);
	errno = err;
	return n < 0 ? -1 : n > 0;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The plain files in a directory, in byte order. */
static void
add_directory(struct input *in, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char **names = NULL;
	size_t n = 0, cap = 0, dirs = 0, len = strlen(dir);

	if (d == NULL) {
		complain(in, dir, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || e->d_name[0] == '_')
			continue;
		if (n == cap) {
			cap = grown(cap, n + 1);
			names = xrealloc(names, cap, sizeof *names);
		}
		names[n++] = xasprintf("%s%s%s", dir,
		    dir[len - 1] == '/' ? "" : "/", e->d_name);
	}
	closedir(d);
	if (n > 0)
		qsort(names, n, sizeof *names, by_bytes);
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (stat(names[i], &st) == -1)
			complain(in, names[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			dirs++;
		else if (S_ISREG(st.st_mode))
			input_add(in, names[i]);
		free(names[i]);
	}
	free(names);
	if (dirs > 0)
		say("%s: %zu subdirector%s not read", dir, dirs,
		    dirs == 1 ? "y" : "ies");
}

/* Adds an operand.  What cannot be read goes to in->errors. */
void
input_add(struct input *in, const char *name)
{
	struct stat st;
	int some;

	if (strcmp(name, "-") == 0) {
		if (fstat(STDIN_FILENO, &st) == -1)
			complain(in, "standard input", strerror(errno));
		else
			add_file(in, "-", NULL, true);
		return;
	}
	if (stat(name, &st) == -1) {
		complain(in, name, strerror(errno));
		return;
	}
	if (faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) == -1) {
		complain(in, name, strerror(errno));
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		add_directory(in, name);
	} else if (!S_ISREG(st.st_mode)) {
		add_file(in, name, &st, true);
	} else if (st.st_size > 0) {
		add_file(in, name, &st, false);
	} else {
		some = has_bytes(name);
		if (some == -1)
			complain(in, name, strerror(errno));
		else
			add_file(in, name, &st, some);
	}
}

/* Ends the process if anything could not be read: all of it is named. */
void
input_check(struct input *in)
{
	const char *p = (const char *)in->errors.p, *nl;
	size_t left = in->errors.len;

	if (in->nerrors == 0)
		return;
	for (; left > 0 && (nl = memchr(p, '\n', left)) != NULL;
	    left -= (size_t)(nl + 1 - p), p = nl + 1)
		say("%.*s", (int)(nl - p), p);
	refuse("%zu input%s cannot be read; nothing was run", in->nerrors,
	    in->nerrors == 1 ? "" : "s");
}

/* Opens a planned file.  Returns -1 and why not: it is gone, or it is not
 * the file that was planned.  A file that has grown is still the same. */
int
input_open(const struct file *f, char *why, size_t whylen)
{
	int fd = open_file(f->name, O_RDONLY, 0);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1) {
		snprintf(why, whylen, "%s", strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	why[0] = '\0';
	if ((uint64_t)st.st_size < f->size)
		snprintf(why, whylen, "it has shrunk from %llu to %llu bytes",
		    (unsigned long long)f->size,
		    (unsigned long long)st.st_size);
	else if (st.st_dev != f->dev || st.st_ino != f->ino)
		snprintf(why, whylen, "it has been replaced");
	else if ((uint64_t)st.st_size == f->size && f->mtime_ns !=
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec)
		snprintf(why, whylen, "it has been changed");
	if (why[0] == '\0')
		return fd;
	close(fd);
	return -1;
}

/* Where the first record that begins at or after off begins; size if there
 * is none.  Returns UINT64_MAX and errno if reading fails. */
static uint64_t
record_start(const struct format *f, int fd, uint64_t off, uint64_t size)
{
	unsigned char *p;

	if (off == 0 || off >= size)
		return off < size ? off : size;
	p = xrealloc(NULL, LOOK, 1);
	off--;			/* a record ends there: one begins at off */
	while (off < size) {
		size_t want = size - off < LOOK ? (size_t)(size - off) : LOOK;
		ssize_t n = pread_full(fd, p, want, off);
		size_t end;

		if (n <= 0) {
			free(p);
			return n == 0 ? size : UINT64_MAX;
		}
		end = record_end(f, p, (size_t)n);
		if (end > 0) {
			free(p);
			return off + end;
		}
		off += (uint64_t)n;
	}
	free(p);
	return size;
}

/* Makes a split of the open file begin and end on a record.  -1 and errno
 * if the file cannot be read. */
int
split_align(const struct format *f, int fd, struct split *s, uint64_t size)
{
	uint64_t begin, end;

	if (s->exact)
		return 0;
	begin = record_start(f, fd, s->off, size);
	end = begin == UINT64_MAX ? begin :
	    begin >= s->off + s->len ? begin :
	    record_start(f, fd, s->off + s->len, size);
	if (end == UINT64_MAX)
		return -1;
	s->off = begin;
	s->len = end - begin;
	s->exact = true;
	return 0;
}

/* A record that begins before off, which is above 0. */
static uint64_t
record_before(const struct format *f, int fd, uint64_t off, uint64_t size)
{
	for (uint64_t back = 1024; off > back; back *= 4) {
		uint64_t at = record_start(f, fd, off - back, size);

		if (at == UINT64_MAX || at < off)
			return at;
	}
	return 0;
}

/* The key of the record that ends at off.  False if it cannot be read. */
bool
key_before(const struct format *f, int fd, uint64_t off, struct buf *key)
{
	uint64_t at = record_before(f, fd, off, off);
	struct buf b = {0};
	size_t len, used = 0;
	bool ok = false;

	if (at != UINT64_MAX) {
		len = (size_t)(off - at);
		ok = pread_full(fd, buf_reserve(&b, len), len, at) ==
		    (ssize_t)len;
		while (ok && used < len) {
			size_t n = record_end(f, b.p + used, len - used);

			if (used + n == len || n == 0) {
				buf_put(key, b.p + used, key_length(f,
				    b.p + used, len - used - (n > 0)));
				break;
			}
			used += n;
		}
	}
	buf_free(&b);
	return ok;
}

/* In a file in key order: where the first group begins that begins at or
 * after off; size if there is none, UINT64_MAX and errno if reading fails. */
uint64_t
group_boundary(const struct format *f, int fd, uint64_t off, uint64_t size)
{
	uint64_t at;
	size_t want = LOOK;
	struct buf b = {0}, key = {0};

	if (off == 0 || off >= size)
		return off < size ? 0 : size;
	at = record_before(f, fd, off, size);
	while (at < size) {
		size_t used = 0;
		ssize_t n;

		buf_reset(&b);
		n = pread_full(fd, buf_reserve(&b, want), want, at);
		if (n <= 0) {
			at = n == 0 ? size : UINT64_MAX;
			break;
		}
		while (used < (size_t)n) {
			const unsigned char *r = b.p + used;
			size_t len = record_end(f, r, (size_t)n - used), klen;

			if (len == 0 && at + (uint64_t)n < size)
				break;		/* the rest is not here yet */
			klen = key_length(f, r, len == 0 ?
			    (size_t)n - used : len - 1);
			if (len == 0)
				len = (size_t)n - used;
			if (at + used < off) {
				buf_reset(&key);
				buf_put(&key, r, klen);
			} else if (key_compare(key.p, key.len, r, klen) != 0) {
				at += used;
				goto out;
			}
			used += len;
		}
		want = used == 0 ? want * 2 : LOOK;
		at += used;
	}
out:
	buf_free(&b);
	buf_free(&key);
	return at;
}
