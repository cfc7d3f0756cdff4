/* files.c - operands to a list of files, and whether each still is what it
 * was then.
 *
 * Everything is looked at before any work starts, and all that cannot be
 * read is named.  A regular file is known by its size; what has no size (a
 * pipe, a terminal, a file under /proc) is a stream, read to its end by the
 * driver.  No file stays open, but for standard input: there may be more than
 * descriptors.
 *
 * MR_DEBUG=stream reads standard input as a stream, whatever it is.
 *
 * Life: files_add and files_list for what was named; files_check; then
 * file_open whenever one is read, and file_unchanged when it has been. */

#define _GNU_SOURCE		/* st_mtim, st_ctim, AT_EACCESS */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

struct above {			/* the directories that we are in */
	const struct above *up;
	dev_t dev;
	ino_t ino;
};

static void
complain(struct input *in, const char *name, const char *why)
{
	buf_escaped(&in->errors, name, strlen(name));
	buf_printf(&in->errors, ": %s\n", why);
	in->nerrors++;
}

static int64_t
mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 +
	    st->st_mtim.tv_nsec;
}

/* Its size can be relied upon. */
static void
take_size(struct input *in, struct file *f, const struct stat *st)
{
	f->size = (uint64_t)st->st_size;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->mtime_ns = mtime_ns(st);
	f->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 +
	    st->st_ctim.tv_nsec;
	in->bytes += f->size;
}

static struct file *
add_file(struct input *in, const char *name, const struct stat *st,
    bool stream)
{
	struct file *f;

	stream |= in->as_streams;
	if (in->n == in->cap) {
		in->cap = grown(in->cap, in->n + 1);
		in->files = xrealloc(in->files, in->cap, sizeof *in->files);
	}
	f = in->files + in->n++;
	/* A name that is a record must mean the same where tasks run. */
	*f = (struct file){ .name = in->names && ship_any() ?
	    path_absolute(name) : xstrdup(name), .stream = stream };
	if (stream) {
		in->nstreams++;
		if (in->decompress == DECOMPRESS_OWN)
			f->codec = CODEC_OWN;
		return f;
	}
	take_size(in, f, st);
	return f;
}

/* A file of which nothing but its name will be read. */
static void
add_name(struct input *in, const char *name)
{
	if (faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) == -1)
		complain(in, name, strerror(errno));
	else
		add_file(in, name, &(struct stat){0}, false);
}

/* A file that says it has no bytes may still give some (/proc). */
static void
add_plain(struct input *in, const char *name, const struct stat *st)
{
	unsigned char head[CODEC_LOOK];
	struct file *f;
	ssize_t n = 0;
	int fd;

	if (in->unread) {
		add_name(in, name);
		return;
	}
	fd = open_file(name, O_RDONLY | O_NONBLOCK, 0);
	if (fd == -1 || ((st->st_size == 0 ||
	    in->decompress != DECOMPRESS_NONE) &&
	    (n = read_some(fd, head, sizeof head)) == -1)) {
		complain(in, name, strerror(errno));
	} else {
		f = add_file(in, name, st, st->st_size == 0 && n > 0);
		if (n > 0 && in->decompress != DECOMPRESS_NONE)
			f->codec = in->decompress == DECOMPRESS_OWN ?
			    CODEC_OWN : (uint8_t)codec_of(head, (size_t)n);
	}
	if (fd != -1)
		close(fd);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The paths of what is in a directory, without hidden and `_' names; those
 * of directories end with a slash.  So their byte order is that of all files
 * below.  NULL and *n = 0 if there is nothing. */
static char **
read_directory(struct input *in, const char *dir, size_t *n)
{
	DIR *d = opendir(dir);
	size_t cap = 0, count = 0, len = strlen(dir);
	char **names = NULL;
	struct dirent *e;

	if (d == NULL) {
		complain(in, dir, strerror(errno));
		*n = 0;
		return NULL;
	}
	while ((errno = 0, e = readdir(d)) != NULL) {
		struct stat st;
		bool is_dir;

		if (e->d_name[0] == '.' || e->d_name[0] == '_')
			continue;
		is_dir = fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
		    S_ISDIR(st.st_mode);
		if (count == cap) {
			cap = grown(cap, count + 1);
			names = xrealloc(names, cap, sizeof *names);
		}
		names[count++] = xasprintf("%s%s%s%s", dir, dir[len - 1] == '/'
		    ? "" : "/", e->d_name, is_dir ? "/" : "");
	}
	if (errno != 0)
		complain(in, dir, strerror(errno));
	closedir(d);
	if (names != NULL)
		qsort(names, count, sizeof *names, by_bytes);
	*n = count;
	return names;
}

/* The plain files in a directory, in byte order. */
static void
add_directory(struct input *in, const char *dir, const struct stat *self,
    const struct above *up)
{
	const struct above here = { up, self->st_dev, self->st_ino };
	size_t n, dirs = 0;
	char **names;

	for (; up != NULL; up = up->up)
		if (up->dev == here.dev && up->ino == here.ino) {
			say("%s: leads back to a directory above it; not read "
			    "again", dir);
			return;
		}
	names = read_directory(in, dir, &n);
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (stat(names[i], &st) == -1)
			complain(in, names[i], strerror(errno));
		else if (S_ISDIR(st.st_mode) && in->recursive)
			add_directory(in, names[i], &st, &here);
		else if (S_ISDIR(st.st_mode))
			dirs++;
		else if (S_ISREG(st.st_mode))
			add_plain(in, names[i], &st);
		free(names[i]);
	}
	free(names);
	if (dirs > 0)
		say("%s: %zu subdirector%s not read (--recursive)", dir, dirs,
		    dirs == 1 ? "y" : "ies");
}

/* Adds an operand.  What cannot be read goes to in->errors. */
void
files_add(struct input *in, const char *name)
{
	struct stat st;

	if (strcmp(name, "-") == 0) {
		if (in->names)
			refuse("--names: standard input has no name; FILE... "
			    "or --files-from is needed");
		if (fstat(STDIN_FILENO, &st) == -1)
			complain(in, "standard input", strerror(errno));
		else
			add_file(in, "-", &st, true);
	} else if (stat(name, &st) == -1) {
		complain(in, name, strerror(errno));
	} else if (S_ISREG(st.st_mode)) {
		add_plain(in, name, &st);
	} else if (in->unread && !S_ISDIR(st.st_mode)) {
		add_name(in, name);
	} else if (faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) == -1) {
		complain(in, name, strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		in->ndirs++;
		add_directory(in, name, &st, NULL);
	} else {
		add_file(in, name, &st, true);
	}
}

/* Adds the names that stand in a file, or on standard input for "-", each
 * ended by the byte end.  Empty ones do not count. */
void
files_list(struct input *in, const char *option, const char *path, char end)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open_file(path, O_RDONLY, 0);
	struct buf b = {0};
	ssize_t n = -1;

	while (fd != -1 && (n = read_some(fd, buf_reserve(&b, 64 * KiB),
	    64 * KiB)) > 0)
		b.len += (size_t)n;
	if (n == -1)
		refuse("%s %s: %s", option, path, strerror(errno));
	if (!standard)
		close(fd);
	buf_put(&b, &end, b.len > 0 && b.p[b.len - 1] != end);
	for (size_t at = 0, len; at < b.len; at += len + 1) {
		char *name = (char *)b.p + at;

		len = (size_t)((char *)memchr(name, end, b.len - at) - name);
		name[len] = '\0';
		if (strlen(name) != len)
			refuse("%s %s: a name holds a NUL byte; see "
			    "--files0-from", option, path);
		if (standard && strcmp(name, "-") == 0)
			refuse("%s -: '-' is in the list, and the list is "
			    "standard input itself", option);
		if (len > 0)
			files_add(in, name);
	}
	buf_free(&b);
}

/* Files that no program is there to read are as good as unreadable: one of
 * each kind is named. */
static void
check_codecs(struct input *in)
{
	bool told[CODEC_OWN + 1] = { false };

	for (size_t i = 0; i < in->n; i++) {
		unsigned codec = in->files[i].codec;
		struct buf why = {0};

		if (codec == 0 || codec == CODEC_OWN || told[codec])
			continue;
		told[codec] = true;
		if (codec_decoder(codec) != NULL)
			continue;
		codec_missing(codec, &why);
		buf_put(&why, "", 1);
		complain(in, in->files[i].name, (const char *)why.p);
		buf_free(&why);
	}
}

/* Ends the process if anything could not be read: all of it is named. */
void
files_check(struct input *in)
{
	const char *p, *nl;
	size_t left;

	check_codecs(in);
	p = (const char *)in->errors.p;
	left = in->errors.len;
	if (in->nerrors == 0)
		return;
	for (; left > 0 && (nl = memchr(p, '\n', left)) != NULL;
	    left -= (size_t)(nl + 1 - p), p = nl + 1)
		say("%.*s", (int)(nl - p), p);
	refuse("%zu input%s cannot be read; nothing was run", in->nerrors,
	    in->nerrors == 1 ? "" : "s");
}

/* Names that are to be records must not hold what ends one, and files be no
 * longer than a record may be. */
void
files_check_names(struct input *in, const struct format *f)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct file *file = in->files + i;

		if (!f->pairs && f->delim != '\0' &&
		    strchr(file->name, f->delim) != NULL)
			complain(in, file->name, "its name is no record (-z "
			    "allows newlines)");
		if (!in->unread && file->codec == 0 &&
		    file->size > RECORD_MOST - PATH_ROOM)
			complain(in, file->name, "has 2 GiB or more, too much "
			    "for a pair");
	}
}

/* Has all that is compressed read by the driver, one after the other, where
 * the form of records does not let them be told apart. */
void
files_unpack_in_order(struct input *in)
{
	for (size_t i = 0; i < in->n; i++) {
		struct file *f = in->files + i;

		if (f->codec == 0 || f->stream)
			continue;
		f->stream = true;
		in->nstreams++;
		in->bytes -= f->size;
	}
}

/* Standard input that is a plain file, of which nothing has been read, need not
 * be read as a stream: it is opened anew where it is needed, so that tasks read
 * it where they are; then, if take says so, it counts as read.  It must be as
 * long as it says (not so under /sys).  What is compressed only --decompress
 * can tell, from the front. */
void
files_open_stdin(struct input *in, bool take)
{
	struct file *f = in->files, was;
	struct stat st;
	char why[200], last;
	int fd;

	while (f < in->files + in->n && strcmp(f->name, "-") != 0)
		f++;
	if (f == in->files + in->n || !f->stream || in->as_streams ||
	    debug_word("stream") ||
	    in->decompress == DECOMPRESS_ASKED ||
	    in->decompress == DECOMPRESS_OWN ||
	    fstat(STDIN_FILENO, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_size == 0 || lseek(STDIN_FILENO, 0, SEEK_CUR) != 0)
		return;
	was = *f;
	f->standard = true;
	take_size(in, f, &st);
	fd = file_open(f, why, sizeof why);
	if (fd != -1 && pread(fd, &last, 1, st.st_size - 1) == 1) {
		f->stream = false;
		in->nstreams--;
		if (take)
			lseek(STDIN_FILENO, st.st_size, SEEK_SET);
	} else {
		in->bytes -= f->size;
		*f = was;
	}
	if (fd != -1)
		close(fd);
}

/* The name of a file in a message. */
const char *
file_shown(const struct file *f)
{
	return strcmp(f->name, "-") == 0 ? "standard input" : f->name;
}

/* The program that reads a file; NULL if there is none, or it is not known. */
const struct decoder *
file_decoder(const struct input *in, const struct file *f)
{
	return f->codec == CODEC_OWN ? &in->decoder : f->codec != 0 ?
	    codec_decoder(f->codec) : NULL;
}

/* Whether a stream is to be looked at, since it may be compressed. */
bool
file_is_looked_at(const struct input *in, const struct file *f)
{
	return f->codec == 0 && (in->decompress == DECOMPRESS_ASKED ||
	    (in->decompress == DECOMPRESS_AUTO && strcmp(f->name, "-") != 0));
}

/* Whether the open file is still the one that was planned; one that has
 * grown is.  0, or -1 and why not. */
int
file_unchanged(const struct file *f, int fd, char *why, size_t whylen)
{
	struct stat st;

	why[0] = '\0';
	if (fstat(fd, &st) == -1)
		snprintf(why, whylen, "%s", strerror(errno));
	else if ((uint64_t)st.st_size < f->size)
		snprintf(why, whylen, "it has shrunk from %llu to %llu bytes",
		    (unsigned long long)f->size,
		    (unsigned long long)st.st_size);
	else if (f->path != NULL)
		;
	else if ((f->dev != 0 && st.st_dev != f->dev) ||
	    st.st_ino != f->ino)
		snprintf(why, whylen, "it has been replaced");
	else if ((uint64_t)st.st_size == f->size && f->mtime_ns !=
	    mtime_ns(&st))
		snprintf(why, whylen, "it has been changed");
	return why[0] == '\0' ? 0 : -1;
}

/* Opens a planned file.  Returns -1 and why not: it is gone, or it is not
 * the file that was planned. */
int
file_open(const struct file *f, char *why, size_t whylen)
{
	int fd = open_file(f->standard ? "/proc/self/fd/0" : f->path != NULL ?
	    f->path : f->name, O_RDONLY, 0);

	if (fd == -1) {
		snprintf(why, whylen, "%s", strerror(errno));
	} else if (file_unchanged(f, fd, why, whylen) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}
