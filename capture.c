/* capture.c - what a program prints: for asking a queueing system.
 *
 * The program is run with nothing on its standard input, for so long at the
 * most, and until the next signal that is to end mr. */

#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "mr.h"

extern char **environ;

static void
make_pipe(int fd[2])
{
	if (pipe(fd) == -1)
		die_errno("cannot make a pipe");
	for (int i = 0; i < 2; i++)
		fcntl(fd[i], F_SETFD, FD_CLOEXEC);
}

/* Reads what there is.  False at the end. */
static bool
take(struct pollfd *p, struct buf *b)
{
	ssize_t n;

	if (p->revents == 0)
		return true;
	n = read_some(p->fd, buf_reserve(b, 4096), 4096);
	if (n > 0)
		b->len += (size_t)n;
	if (n <= 0) {
		close(p->fd);
		p->fd = -1;
	}
	return n > 0;
}

/* Runs argv and adds what it prints to out and err.  Returns its exit status,
 * -1 if it cannot be run (errno says why), -2 if it had to be killed or was. */
int
capture(char *const argv[], int64_t limit_ns, struct buf *out,
    struct buf *err)
{
	char path[PATH_ROOM];
	struct spawn s = { .argv = argv, .envp = environ };
	struct pollfd p[2];
	int64_t until = now_ns() + limit_ns, left;
	int o[2], e[2], status = 0, open = 2, signal = proc_signal();
	pid_t pid;

	s.path = proc_lookup(argv[0], path, sizeof path);
	if (s.path == NULL) {
		errno = ENOENT;
		return -1;
	}
	make_pipe(o);
	make_pipe(e);
	s.in = open_file("/dev/null", O_RDONLY, 0);
	s.out = o[1];
	s.err = e[1];
	errno = proc_spawn(&s, &pid);
	close(s.in);
	close(o[1]);
	close(e[1]);
	p[0] = (struct pollfd){ .fd = o[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = e[0], .events = POLLIN };
	if (errno != 0) {
		int why = errno;

		close(o[0]);
		close(e[0]);
		errno = why;
		return -1;
	}
	while (open > 0 && (left = until - now_ns()) > 0 &&
	    proc_signal() == signal) {
		proc_poll(p, 2, left);
		open -= p[0].fd != -1 && !take(p, out);
		open -= p[1].fd != -1 && !take(p + 1, err);
	}
	if (open > 0)
		proc_kill_group(pid, SIGKILL);
	for (int i = 0; i < 2; i++)
		if (p[i].fd != -1)
			close(p[i].fd);
	if (proc_wait(pid, &status, 0) == -1)
		die_errno("waiting for %s", argv[0]);
	return open == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}
