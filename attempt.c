/* attempt.c - one attempt of one task: feed a command, drain it, decide.
 *
 * One loop around poll moves bytes: into the command's standard input, out
 * of its standard output into the sink, its standard error line by line to
 * ours.  None of the three waits for another, so no order of reading and
 * writing can deadlock.
 *
 * An attempt has succeeded when its output has ended AND it has exited with
 * a good status; a killed command looks the same on its pipe.  When it has
 * exited and something it started still holds its output, the attempt is
 * given a grace time and has then failed: its output cannot be known whole.
 * A command that stops reading early is no failure by itself.
 *
 * The sink's caller commits or rolls back; nothing here is visible before.
 * The process group is killed before its leader is reaped, so that its
 * number cannot have become somebody else's. */

#define _GNU_SOURCE		/* pipe2, F_SETPIPE_SZ, memmem, wait4 */
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { CHUNK = 256 * KiB };
#define GRACE ((int64_t)2000000000)	/* ns from TERM to KILL, and for
					 * the end of output after the exit */

struct state {
	struct attempt *a;
	struct feed feed;
	struct chatter err;
	int out;
	pid_t pid;
	bool exited;
	int status;
	int64_t begun, moved;	/* moved: when a byte last moved */
	int64_t exit_at;
	int64_t kill_at;	/* TERM was sent; 0: it was not */
	bool killed;
	unsigned char *buf;	/* for output that is not collected */
	struct form pairs;	/* of the output, if it is pairs: */
	struct cutter output;
};

/* Time that the job was not stopped, nor this attempt made to wait. */
static int64_t
clock_of(const struct attempt *a)
{
	int64_t since = a->clock->since;

	return (since != 0 ? since : now_ns()) - a->clock->paused - a->away;
}

/* Its output is not what it should be, which is bad data. */
static void
bad_output(struct state *s, struct buf *why)
{
	struct attempt *a = s->a;

	if (a->fail.kind == FAIL_NONE) {
		buf_str(&a->fail.text, "in its output: ");
		buf_put(&a->fail.text, why->p, why->len);
	}
	feed_fail(a, FAIL_OUTPUT, 0, EXIT_TROUBLE);
	buf_free(why);
}

static int
make_pipe(int fd[2], size_t size)
{
#if LINUX
	if (pipe2(fd, O_CLOEXEC) == -1)
		return -1;
	/* EPERM and EBUSY only mean that the pipe stays as it is. */
	if (size > 0)
		fcntl(fd[1], F_SETPIPE_SZ, (int)size);
#else
	(void)size;
	if (pipe(fd) == -1)
		return -1;
	fcntl(fd[0], F_SETFD, FD_CLOEXEC);
	fcntl(fd[1], F_SETFD, FD_CLOEXEC);
#endif
	return 0;
}

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
unblock(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);		/* a pipe has no other flag */
}

/* ---- standard output */

/* Asks the task to end; it is killed when the grace time is over. */
static void
stop_task(struct state *s)
{
	if (s->kill_at != 0)
		return;
	proc_kill_group(s->pid, SIGTERM);
	proc_kill_group(s->pid, SIGCONT);
	s->kill_at = clock_of(s->a) + GRACE;
}

/* Adds bytes to a sink that is no collector. */
void
sink_put(const struct sink *to, const void *p, size_t n)
{
	if (to->fd == -1)
		store_grow(to->store, to->place, p, n);
	else if (write_full(to->fd, p, n) == -1)
		die_errno("%s: writing a part of the output", to->name);
}

/* Looks at output that must be pairs.  False if it is not. */
static bool
check_pairs(struct state *s, const unsigned char *p, size_t n)
{
	struct buf why = {0};

	if (s->output.bad)
		return false;
	cutter_look(&s->output, p, n, UINT64_MAX, UINT64_MAX);
	if (!cutter_failed(&s->output, &why))
		return true;
	bad_output(s, &why);
	stop_task(s);
	return false;
}

/* Takes what there is.  The end closes s->out. */
static void
drain_stdout(struct state *s)
{
	struct attempt *a = s->a;

	for (int turns = 0; turns < 8; turns++) {
		unsigned char *p = s->buf;
		size_t room = CHUNK;
		ssize_t n;

		if (a->sink.collect != NULL)
			p = collect_room(a->sink.collect, &room);
		n = read(s->out, p, room);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			die_errno("reading from a task");
		if (n == 0) {
			close_fd(&s->out);
			return;
		}
		a->stats.out += (uint64_t)n;
		a->stats.partial = !a->fmt->pairs &&
		    p[n - 1] != a->fmt->delim;
		s->moved = 0;
		if (a->fmt->pairs && !check_pairs(s, p, (size_t)n))
			continue;
		if (a->sink.collect != NULL)
			collect_filled(a->sink.collect, (size_t)n);
		else
			sink_put(&a->sink, p, (size_t)n);
	}
}

/* ---- its life */

static int
start(struct state *s)
{
	struct attempt *a = s->a;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	int null = -1, got;
	struct spawn sp = { .argv = a->cmd->argv, .words = a->cmd->words,
	    .envp = a->envp, .dir = a->dir };
	char path[PATH_ROOM];

	s->out = s->err.fd = -1;
	switch (a->src.kind) {
	case SOURCE_EMPTY:
		null = open_file("/dev/null", O_RDONLY, 0);
		sp.in = null;
		break;
	case SOURCE_FD:
		sp.in = a->src.fd;
		break;
	default:
		if (make_pipe(in, a->limits->pipe_size) == -1)
			goto trouble;
		sp.in = in[0];
	}
	if (sp.in == -1 || make_pipe(out, a->limits->pipe_size) == -1 ||
	    make_pipe(err, 0) == -1)
		goto trouble;
	sp.out = out[1];
	sp.err = err[1];
	sp.group = a->outer != NULL ? GROUP_COMBINER : GROUP_TASK;
	sp.as_limit = a->limits->task_memory;
	sp.path = proc_lookup(a->cmd->argv[0], path, sizeof path);
	got = sp.path == NULL ? ENOENT : proc_spawn(&sp, &s->pid);
	for (int tries = 0; got == EAGAIN && tries < 20; tries++) {
		proc_poll(NULL, 0, 50000000);
		got = proc_spawn(&sp, &s->pid);
	}
	close_fd(&in[0]);
	close_fd(&out[1]);
	close_fd(&err[1]);
	close_fd(&null);
	if (got != 0) {
		close_fd(&in[1]);
		close_fd(&out[0]);
		close_fd(&err[0]);
		if (got == EAGAIN || got == ENOMEM || got == ECANCELED) {
			feed_fail(a, FAIL_LOST, got, EXIT_TROUBLE);
		} else {
			feed_fail(a, FAIL_EXEC, got,
			    got == ENOENT ? EXIT_NOCMD : EXIT_NOEXEC);
			a->fail.final = true;
		}
		return -1;
	}
	s->feed.fd = in[1];
	s->out = out[0];
	s->err.fd = err[0];
	if (s->feed.fd != -1)
		unblock(s->feed.fd);
	unblock(s->out);
	unblock(s->err.fd);
	return 0;
trouble:
	die_errno("cannot make the pipes of a task (ulimit -n?)");
}

/* Kills what the exited command has left behind, and stops listening. */
static void
abandon_output(struct state *s)
{
	proc_kill_group(s->pid, SIGKILL);
	if (s->a->outer == NULL)
		proc_kill_children_but(s->pid);
	s->killed = true;
	close_fd(&s->out);
}

static void
note_stopped(struct state *s, bool stopped)
{
	if (s->a->stopped != NULL)
		*s->a->stopped = stopped;
}

/* Looks whether the command has exited, and whether it was stopped: by the
 * terminal, which is a failure, or else and for a while.  It is not reaped. */
static void
look_at_exit(struct state *s)
{
	siginfo_t si = { .si_pid = 0 };

	if (s->exited)
		return;
	if (waitid(P_PID, (id_t)s->pid, &si, WEXITED | WSTOPPED | WCONTINUED |
	    WNOHANG | WNOWAIT) == -1 || si.si_pid == 0)
		return;
	if (si.si_code == CLD_STOPPED || si.si_code == CLD_CONTINUED) {
		note_stopped(s, si.si_code == CLD_STOPPED);
		if (si.si_code == CLD_STOPPED && (si.si_status == SIGTTIN ||
		    si.si_status == SIGTTOU)) {
			feed_fail(s->a, FAIL_TTY, si.si_status, EXIT_KILLED);
			s->a->fail.final = true;
			stop_task(s);
		}
		/* Reap the report, so that the next can be seen behind it. */
		waitid(P_PID, (id_t)s->pid, &si, WNOHANG |
		    (si.si_code == CLD_STOPPED ? WSTOPPED : WCONTINUED));
		return;
	}
	s->exited = true;
	s->exit_at = clock_of(s->a);
	if (si.si_code != CLD_EXITED || !s->a->limits->ok[si.si_status & 255])
		abandon_output(s);	/* it has failed: nobody needs it */
}

/* Applies the limits.  Returns ns until the next one, or -1. */
static int64_t
check_limits(struct state *s)
{
	const struct limits *l = s->a->limits;
	int64_t now = clock_of(s->a), next = -1, left;

	if (s->moved == 0 || s->feed.moved)
		s->moved = now;
	s->feed.moved = false;
#define LIMIT(at, action) do { \
	left = (at) - now; \
	if (left <= 0) { action; left = GRACE; } \
	if (next < 0 || left < next) next = left; \
} while (0)
	if (s->exited && s->killed) {
		abandon_output(s);
	} else if (s->kill_at != 0 && !s->killed) {
		LIMIT(s->kill_at, { proc_kill_group(s->pid, SIGKILL);
		    s->killed = true; });
	} else if (s->exited && s->out != -1 && s->kill_at == 0) {
		/* Its exit alone does not end its output: something that it
		 * started still holds it. */
		LIMIT(s->exit_at + GRACE, { feed_fail(s->a, FAIL_HELD, 0,
		    EXIT_TASK); abandon_output(s); });
	} else if (!s->exited && s->kill_at == 0) {
		if (l->timeout > 0)
			LIMIT(s->begun + l->timeout, { feed_fail(s->a,
			    FAIL_TIMEOUT, 0, EXIT_TIMEOUT); stop_task(s); });
		if (l->stall > 0)
			LIMIT(s->moved + l->stall, { feed_fail(s->a, FAIL_STALL,
			    0, EXIT_TIMEOUT); stop_task(s); });
	}
#undef LIMIT
	return next;
}

/* One turn of the loop. */
static void
turn(struct state *s)
{
	struct attempt *a = s->a;
	struct pollfd p[5];
	int64_t wait;
	size_t n = 0, in = 5, out = 5, err = 5, order = 5, from = 5;

	wait = check_limits(s);
	if (a->tick != NULL) {
		int64_t left = a->tick(a->tick_arg);

		if (left >= 0 && (wait < 0 || left < wait))
			wait = left;
	}
	if (s->feed.fd != -1) {
		p[in = n++] = (struct pollfd){ .fd = s->feed.fd,
		    .events = s->feed.waiting ? 0 : POLLOUT };
		if (s->feed.waiting)
			p[from = n++] = (struct pollfd){
			    .fd = s->feed.seg.fd, .events = POLLIN };
	}
	if (s->out != -1)
		p[out = n++] = (struct pollfd){ .fd = s->out,
		    .events = POLLIN };
	if (s->err.fd != -1)
		p[err = n++] = (struct pollfd){ .fd = s->err.fd,
		    .events = POLLIN };
	if (a->abort_fd != -1 && !a->aborted)
		p[order = n++] = (struct pollfd){ .fd = a->abort_fd,
		    .events = POLLIN };
	proc_poll(p, n, wait);
	if (order < 5 && p[order].revents != 0) {
		a->aborted = true;
		stop_task(s);
		if (a->outer != NULL)
			proc_kill_group(*a->outer, SIGTERM);
	}
	if (out < 5 && p[out].revents != 0)
		drain_stdout(s);
	if (err < 5 && p[err].revents != 0)
		chatter_drain(&s->err, 256 * KiB);
	if (from < 5 && p[in].revents != 0) {
		close_fd(&s->feed.fd);	/* nobody reads it any more */
	} else if ((in < 5 && p[in].revents != 0) ||
	    (from < 5 && p[from].revents != 0)) {
		feed_task(&s->feed);
		if (a->fail.kind == FAIL_INPUT)
			stop_task(s);
	}
	look_at_exit(s);
}

/* Reaps the command, which has exited, and learns what memory it had, or what
 * it waited for had, whichever is more.  After vfork it is told to have had
 * ours, too: so only what is more than that says something. */
static void
reap(struct state *s)
{
#if LINUX
	struct rusage u = { .ru_maxrss = 0 }, ours;

	while (wait4(s->pid, &s->status, 0, &u) == -1 && errno == EINTR)
		;
	s->a->fail.peak = getrusage(RUSAGE_SELF, &ours) == 0 &&
	    u.ru_maxrss > ours.ru_maxrss ? (uint64_t)u.ru_maxrss * KiB : 0;
#else
	proc_wait(s->pid, &s->status, 0);
#endif
}

/* What the exit status says, once it is known. */
static void
judge(struct state *s)
{
	struct attempt *a = s->a;
	struct buf why = {0};

	if (WIFSIGNALED(s->status)) {
		feed_fail(a, FAIL_SIGNAL, WTERMSIG(s->status), EXIT_KILLED);
	} else if (!a->limits->ok[WEXITSTATUS(s->status)]) {
		int code = WEXITSTATUS(s->status);

		feed_fail(a, FAIL_STATUS, code, code == EXIT_NOEXEC ||
		    code == EXIT_NOCMD ? code : EXIT_TASK);
		a->fail.final |= code == EXIT_NOEXEC || code == EXIT_NOCMD;
		a->fail.silent = code == 1 && a->stats.out == 0 &&
		    s->err.tail.len == 0;
	} else if (a->limits->strict_input && a->stats.unread > 0) {
		feed_fail(a, FAIL_UNREAD, 0, EXIT_TASK);
	} else if (a->fmt->pairs && !cutter_whole(&s->output, &why)) {
		bad_output(s, &why);
	}
}

/* Runs the attempt to its end.  a->fail.kind is FAIL_NONE if it succeeded;
 * a->aborted if it was stopped because the driver wants it so. */
void
attempt_run(struct attempt *a)
{
	struct state s = { .a = a };

	s.begun = clock_of(a);
	s.pairs = form_of(a->fmt);
	cutter_begin(&s.output, &s.pairs, 0);
	if (a->sink.collect == NULL)
		s.buf = xrealloc(NULL, CHUNK, 1);
	feed_begin(&s.feed, a);
	s.err.a = a;
	if (start(&s) == -1)
		goto out;
	while (!s.exited || s.out != -1)
		turn(&s);
	feed_unread(&s.feed);
	close_fd(&s.feed.fd);
	chatter_drain(&s.err, 16 * MiB);
	chatter_end(&s.err);
	note_stopped(&s, false);
	proc_kill_group(s.pid, SIGKILL);
	reap(&s);
	if (a->group != NULL)
		*a->group = 0;
	if (a->outer == NULL)
		proc_kill_children();	/* else they may be the outer one's */
	judge(&s);
	if (a->fail.kind == FAIL_NONE && a->sink.collect != NULL)
		collect_end(a->sink.collect);
out:
	a->fail.tail = s.err.tail;
	feed_end(&s.feed);
	buf_free(&s.err.line);
	free(s.buf);
}

/* Whether what a task said last tells of memory that it did not get. */
static bool
tells_of_memory(const struct buf *tail)
{
	static const char *const words[] = { "emory", "alloc", "ENOMEM",
	    "object heap", "map segment" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (tail->len > 0 && memmem(tail->p, tail->len, words[i],
		    strlen(words[i])) != NULL)
			return true;
	return false;
}

/* Whether the limit was the reason is not to be seen: a request that was
 * refused leaves no trace. */
static void
memory_hint(const struct failure *f, const struct limits *l, struct buf *b)
{
	char had[16], limit[16];

	if (l->task_memory == 0)
		return;
	human_bytes(l->task_memory, limit, sizeof limit);
	if (tells_of_memory(&f->tail))
		buf_printf(b, " (it hit --task-memory %s)", limit);
	else if (f->peak >= l->task_memory / 4 * 3)
		buf_printf(b, " (it had %s of --task-memory %s)",
		    human_bytes(f->peak, had, sizeof had), limit);
	else
		buf_printf(b, " (it may have hit --task-memory %s)", limit);
}

/* What has gone wrong, in a few words. */
void
attempt_describe(const struct failure *f, const struct limits *l,
    struct buf *b)
{
	char name[32], t[24];

	switch (f->kind) {
	case FAIL_STATUS:
		buf_printf(b, "exit status %d", f->code);
		memory_hint(f, l, b);
		break;
	case FAIL_SIGNAL:
		buf_printf(b, "killed by %s",
		    signal_name(f->code, name, sizeof name));
		if (l->task_memory > 0)
			memory_hint(f, l, b);
		else if (f->code == SIGKILL)
			buf_str(b, " (out of memory?)");
		break;
	case FAIL_TIMEOUT:
		buf_printf(b, "ran longer than --timeout %s", human_time(
		    l->timeout, t, sizeof t));
		break;
	case FAIL_STALL:
		buf_printf(b, "moved no byte for --stall %s", human_time(
		    l->stall, t, sizeof t));
		break;
	case FAIL_HELD:
		buf_str(b, "it has exited, but a process that it started "
		    "keeps its output open");
		break;
	case FAIL_TTY:
		buf_printf(b, "tried to use the terminal (%s)",
		    signal_name(f->code, name, sizeof name));
		break;
	case FAIL_EXEC:
		buf_printf(b, "cannot be run: %s", strerror(f->code));
		break;
	case FAIL_LOST:
		if (f->code < 0)
			buf_printf(b, "its worker was killed by %s%s",
			    signal_name(-f->code, name, sizeof name),
			    f->code == -SIGKILL ? " (out of memory?)" : "");
		else
			buf_printf(b, "no process for it: %s",
			    strerror(f->code));
		break;
	case FAIL_UNREAD:
		buf_printf(b, "left input unread (--strict-input)");
		break;
	default:
		break;
	}
}
