/* feeder.c - a program whose output is an input: it reads a file or a stream
 * that is compressed.
 *
 * Its standard input is the file itself, its output a pipe that never blocks
 * the reader.  What it has printed counts only when the pipe is at its end
 * AND it has exited with 0; a program that was killed, or gave up in the
 * middle, looks the same on its pipe.
 *
 * Life: feeder_start; reads of fd, which may fail with EAGAIN: then
 * feeder_wait, or a poll; at the end feeder_end.  feeder_stop whenever no more
 * of it is wanted, and at last. */

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static int
failed(const struct feeder *f, const char *text, struct buf *why)
{
	const char *shown = f->decoder->command.shown;

	buf_escaped(why, shown, strlen(shown));
	buf_printf(why, ": %s", text);
	return -1;
}

/* Where a program of ours may complain; what a user's says is passed on. */
static int
open_errors(const struct decoder *d, const char *dir)
{
	int fd;

	if (d->own)
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	fd = store_memfd();
	return fd != -1 ? fd : store_open_temp(dir);
}

/* Starts the program with in as its standard input.  -1 and why not. */
int
feeder_start(struct feeder *f, const struct decoder *d, char *const *envp,
    int in, const char *dir, struct buf *why)
{
	struct spawn sp = { .argv = d->command.argv,
	    .words = d->command.words, .envp = envp, .in = in,
	    .group = GROUP_FEEDER };
	char path[PATH_ROOM];
	int out[2], err;

	*f = (struct feeder){ .decoder = d, .fd = -1 };
	f->err = open_errors(d, dir);
	if (f->err == -1 || pipe(out) == -1)
		die_errno("cannot make the pipes of a task (ulimit -n?)");
	for (int i = 0; i < 2; i++)
		fcntl(out[i], F_SETFD, FD_CLOEXEC);
	fcntl(out[0], F_SETFL, fcntl(out[0], F_GETFL) | O_NONBLOCK);
	sp.out = out[1];
	sp.err = f->err;
	sp.path = proc_lookup(d->command.argv[0], path, sizeof path);
	err = sp.path == NULL ? ENOENT : proc_spawn(&sp, &f->pid);
	close(out[1]);
	f->fd = out[0];
	if (err == 0)
		return 0;
	f->pid = 0;
	feeder_stop(f);
	return failed(f, strerror(err), why);
}

/* Waits until there is something to read, for limit_ns if that is above 0,
 * and not when abort_fd becomes readable.  -1 and why not. */
int
feeder_wait(struct feeder *f, int abort_fd, int64_t limit_ns, struct buf *why)
{
	struct pollfd p[] = { { .fd = f->fd, .events = POLLIN },
	    { .fd = abort_fd, .events = POLLIN } };
	int64_t until = now_ns() + limit_ns;

	for (;;) {
		int64_t left = limit_ns > 0 ? until - now_ns() : -1;

		if (limit_ns > 0 && left <= 0)
			return failed(f, "has printed nothing within --timeout "
			    "or --stall", why);
		proc_poll(p, 2, left);
		if (p[0].revents != 0)
			return 0;
		if (p[1].revents != 0 || proc_dying())
			return failed(f, "stopped", why);
	}
}

/* Whether nothing can be read from it though feeder_wait has returned: it is
 * at its end. */
bool
feeder_is_empty(const struct feeder *f)
{
	int n = 0;

	return ioctl(f->fd, FIONREAD, &n) == 0 && n == 0;
}

/* The first line that has something in it of what the program said. */
static void
add_complaint(const struct feeder *f, struct buf *why)
{
	unsigned char text[512], *p = text, *nl;
	ssize_t n = pread_full(f->err, text, sizeof text, 0);

	while (n > 0 && (*p == '\n' || *p == ' ')) {
		p++;
		n--;
	}
	if (n <= 0)
		return;
	nl = memchr(p, '\n', (size_t)n);
	buf_str(why, ": ");
	buf_escaped(why, p, nl != NULL ? (size_t)(nl - p) : (size_t)n);
}

/* Its output is at its end: whether it was whole.  0, or -1 and why not. */
int
feeder_end(struct feeder *f, struct buf *why)
{
	int status = proc_end_feeder(f->pid, FEEDER_GRACE);
	char text[64], name[32];
	struct buf said = {0};
	int ret = -1;

	f->pid = 0;
	if (!f->decoder->own)
		add_complaint(f, &said);
	if (status == -1)
		snprintf(text, sizeof text, "has closed its output, and goes "
		    "on");
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "killed by %s",
		    signal_name(WTERMSIG(status), name, sizeof name));
	else
		snprintf(text, sizeof text, "exit status %d",
		    WEXITSTATUS(status));
	if (status != 0 || (f->decoder->strict && said.len > 0)) {
		failed(f, text, why);
		buf_put(why, said.p, said.len);
	} else {
		ret = 0;
	}
	buf_free(&said);
	feeder_stop(f);
	return ret;
}

/* Kills the program, if it is there, and closes what belongs to it. */
void
feeder_stop(struct feeder *f)
{
	if (f->decoder == NULL)
		return;
	if (f->pid > 0)
		proc_end_feeder(f->pid, 0);
	if (f->fd != -1)
		close(f->fd);
	if (f->err != -1)
		close(f->err);
	*f = (struct feeder){ .decoder = f->decoder, .fd = -1, .err = -1 };
}
