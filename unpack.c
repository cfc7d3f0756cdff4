/* unpack.c - a stream that may be compressed.
 *
 * What has no name cannot be looked at twice: the first bytes are read, and
 * where they are those of a compressed file a pipe gets them back, to be
 * followed by the rest, which cat(1) puts there; the program that reads the
 * file has this pipe as its standard input.
 *
 * Life: unpack_begin; unpack_read whenever unpack_fd is readable; at last
 * unpack_end. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

extern char **environ;

/* fd becomes this object's.  decoder: that it goes through, or NULL; look:
 * find out by its first bytes. */
void
unpack_begin(struct unpack *u, int fd, const struct decoder *decoder,
    bool look, const char *dir)
{
	*u = (struct unpack){ .fd = fd, .decoder = decoder, .look = look,
	    .dir = dir };
}

int
unpack_fd(const struct unpack *u)
{
	return u->feeder.pid > 0 ? u->feeder.fd : u->fd;
}

/* For the programs, which cannot be asked to come again. */
static void
let_block(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Puts back the bytes that were read and lets cat follow.  Returns the
 * descriptor to read all of it from. */
static int
put_back(struct unpack *u, struct buf *why)
{
	char *argv[] = { (char *)"cat", NULL }, path[PATH_ROOM];
	struct spawn sp = { .argv = argv, .envp = environ, .in = u->fd,
	    .err = STDERR_FILENO };
	int p[2], err;

	if (pipe(p) == -1)
		die_errno("cannot make a pipe (ulimit -n?)");
	for (int i = 0; i < 2; i++)
		fcntl(p[i], F_SETFD, FD_CLOEXEC);
	if (write_full(p[1], u->head, u->have) == -1)
		die_errno("writing to a pipe");
	sp.out = p[1];
	sp.path = proc_lookup("cat", path, sizeof path);
	err = sp.path == NULL ? ENOENT : proc_spawn(&sp, &u->cat);
	close(p[1]);
	if (err == 0)
		return p[0];
	buf_printf(why, "cat: %s", strerror(err));
	u->cat = 0;
	close(p[0]);
	return -1;
}

/* Starts the program.  -1 and why not. */
static int
start(struct unpack *u, struct buf *why)
{
	int in = u->fd, got;

	if (u->fd != STDIN_FILENO)
		let_block(u->fd);
	if (u->have > 0 && (in = put_back(u, why)) == -1)
		return -1;
	got = feeder_start(&u->feeder, u->decoder, environ, in, u->dir, why);
	if (in != u->fd)
		close(in);
	return got;
}

/* Looks at the first bytes.  1 when all is settled, 0 when there are too few
 * of them yet, -1 and errno, or -2 and why. */
static int
settle(struct unpack *u, struct buf *why)
{
	ssize_t n = 1;
	unsigned codec;

	if (u->decoder == NULL && u->look) {
		n = read_some(u->fd, u->head + u->have,
		    sizeof u->head - u->have);
		if (n == -1)
			return -1;
		u->have += (size_t)n;
		if (n > 0 && u->have < sizeof u->head)
			return 0;
		codec = codec_of(u->head, u->have);
		u->decoder = codec != 0 ? codec_decoder(codec) : NULL;
		if (codec != 0 && u->decoder == NULL) {
			codec_missing(codec, why);
			return -2;
		}
	}
	u->settled = true;
	return u->decoder == NULL || start(u, why) == 0 ? 1 : -2;
}

/* The program's output is at its end. */
static int
finish(struct unpack *u, struct buf *why)
{
	int cat;

	if (feeder_end(&u->feeder, why) == -1)
		return -1;
	cat = u->cat > 0 ? proc_end_feeder(u->cat, FEEDER_GRACE) : 0;
	u->cat = 0;
	if (cat != 0)
		buf_str(why, "something has not been read to its end");
	return cat != 0 ? -1 : 0;
}

/* As read(2) does; -2 and why if what came is not whole. */
ssize_t
unpack_read(struct unpack *u, void *p, size_t cap, struct buf *why)
{
	ssize_t n;
	int got;

	if (!u->settled && (got = settle(u, why)) <= 0) {
		if (got == 0)
			errno = EAGAIN;
		return got == 0 ? -1 : got;
	}
	if (u->decoder == NULL && u->given < u->have) {
		n = (ssize_t)(u->have - u->given);
		if (cap < (size_t)n)
			n = (ssize_t)cap;
		memcpy(p, u->head + u->given, (size_t)n);
		u->given += (size_t)n;
		return n;
	}
	if (u->decoder == NULL)
		return read_some(u->fd, p, cap);
	n = read_some(u->feeder.fd, p, cap);
	if (n == 0 && finish(u, why) == -1)
		return -2;
	return n;
}

void
unpack_end(struct unpack *u)
{
	feeder_stop(&u->feeder);
	if (u->cat > 0)
		proc_end_feeder(u->cat, 0);
	close(u->fd);
}
