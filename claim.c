/* claim.c - who makes an output has claimed its name, so that two jobs do not
 * make the same one at once.
 *
 * The claim is a socket with an abstract name, that of the directory and of
 * what is in it: it leaves no file, and the kernel gives it up when the last
 * process of the job has ended.  It is seen on this machine only, and where
 * it cannot be had, nothing is claimed: then an output is whole, too, but it
 * is the last one's. */

#define _GNU_SOURCE		/* struct ucred, SOCK_NONBLOCK */
#include "mr.h"

#if LINUX
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <libgen.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAITING = 4096 };	/* so many may ask who it is */

struct name {
	struct sockaddr_un a;
	socklen_t len;
};

static bool
name_of(const char *path, struct name *n)
{
	char *dir = path_parent(path), *copy = xstrdup(path);
	const char *name = basename(copy);
	struct stat st;
	bool ok = stat(dir, &st) == 0;

	*n = (struct name){ .a.sun_family = AF_UNIX };
	if (ok)
		n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    1) + (socklen_t)snprintf(n->a.sun_path + 1,
		    sizeof n->a.sun_path - 1, "mr %llx %llx %08lx",
		    (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino,
		    (unsigned long)checksum(0, name, strlen(name)));
	free(dir);
	free(copy);
	return ok;
}

/* The process that has the name; 0: it is not known yet, or not ours. */
static pid_t
holder_of(const struct name *n)
{
	struct ucred c = { .pid = 0 };
	socklen_t len = sizeof c;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	if (fd == -1)
		return 0;
	if (connect(fd, (const struct sockaddr *)&n->a, n->len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == -1 ||
	    c.uid != geteuid())
		c.pid = 0;
	close(fd);
	return c.pid;
}

/* Returns a descriptor that keeps the name as long as it is open, also in
 * processes that are forked; -1 if nothing is claimed, and then *who is the
 * process that has the name, or 0. */
int
claim_take(const char *path, pid_t *who)
{
	struct name n;
	int fd = -1;

	*who = 0;
	if (!name_of(path, &n))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	for (int tries = 0; bind(fd, (struct sockaddr *)&n.a, n.len) == -1;
	    tries++) {
		bool taken = errno == EADDRINUSE;

		if (taken && *who == 0)
			*who = holder_of(&n);
		/* One that was killed this moment may not be dead yet. */
		if (!taken || (tries >= 50 && (tries >= 500 || *who == 0 ||
		    !proc_is_dead(*who)))) {
			close(fd);
			return -1;
		}
		proc_poll(NULL, 0, 10000000);
	}
	*who = 0;
	claim_sign(fd);
	return fd;
}

/* This process is the one that has claimed it. */
void
claim_sign(int fd)
{
	if (fd != -1)
		listen(fd, WAITING);
}

#else

int
claim_take(const char *path, pid_t *who)
{
	(void)path;
	*who = 0;
	return -1;
}

void
claim_sign(int fd)
{
	(void)fd;
}

#endif
