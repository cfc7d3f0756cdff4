/* proc.c - the only file that starts, waits for and kills processes, and
 * that handles signals.
 *
 * Three kinds of process.  The driver notes signals and looks at them in its
 * loop; they are blocked except while it sleeps in proc_poll.  Workers
 * ignore what a terminal sends (the driver decides) and take TERM, which the
 * kernel sends when the driver dies, as the order to kill their task at
 * once; their loop then finds its socket closed, tidies up and ends.  Tasks
 * are started by vfork, lead a process group, get the signal dispositions
 * and the mask that mr was started with (but SIGPIPE is never ignored), and
 * are killed by the kernel when their worker dies.
 *
 * Workers are subreapers and have no other children: whatever is a child of
 * a worker when its task has ended is a stray of the task.  The driver may
 * have inherited the user's own children, so it kills a stray only if the
 * job's id stands in its environment. */

#define _GNU_SOURCE		/* ppoll, vfork, prctl, pipe2 */
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

extern char **environ;

/* Signals whose disposition we change; tasks get back what we were given. */
static const int changed[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ, SIGTSTP, SIGUSR1,
	SIGCHLD, SIGTTOU,
};
enum { NCHANGED = sizeof changed / sizeof *changed };
static bool was_ignored[NCHANGED];
static bool recorded;

static volatile sig_atomic_t caught;	/* terminating signal, or 0 */
static volatile sig_atomic_t caught_again, child, stop, info;
static volatile sig_atomic_t dying;	/* a worker must start nothing more */
static volatile int32_t *task_group;	/* a worker's: its task's, its feeder's */

static void
note(int sig)
{
	switch (sig) {
	case SIGCHLD: child = 1; break;
	case SIGTSTP: stop = 1; break;
	case SIGUSR1: info = 1; break;
	default:
		if (caught != 0)
			caught_again = 1;
		caught = sig;
	}
}

static void
record_dispositions(void)
{
	struct sigaction old;

	if (recorded)
		return;
	recorded = true;
	for (size_t i = 0; i < NCHANGED; i++)
		was_ignored[i] = sigaction(changed[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_IGN;
}

/* Whether the signal was ignored when mr was started. */
bool
proc_started_ignored(int sig)
{
	for (size_t i = 0; i < NCHANGED; i++)
		if (changed[i] == sig)
			return was_ignored[i];
	return false;
}

static void
set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler };

	sigfillset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

/* Called once, early.  A signal that was ignored stays ignored (nohup). */
void
proc_driver_signals(void)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	sigset_t block;

	record_dispositions();
	sigemptyset(&block);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		sigaddset(&block, ends[i]);
		if (!proc_started_ignored(ends[i]))
			set_handler(ends[i], note);
	}
	sigaddset(&block, SIGTSTP);
	if (!proc_started_ignored(SIGTSTP))
		set_handler(SIGTSTP, note);
	sigaddset(&block, SIGUSR1);
	set_handler(SIGUSR1, note);
	sigaddset(&block, SIGCHLD);
	set_handler(SIGCHLD, note);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigprocmask(SIG_SETMASK, &block, NULL);
#if LINUX
	prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
}

/* The children of this process, as the kernel lists them, given to act.
 * Uses nothing that a signal handler may not use. */
static void
each_child(void (*act)(pid_t, void *), void *arg)
{
#if LINUX
	char path[64], text[512];
	pid_t pid = 0;
	ssize_t n;
	int fd;
	static const char head[] = "/proc/thread-self/children";

	memcpy(path, head, sizeof head);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	while ((n = read(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
			} else if (pid > 0) {
				act(pid, arg);
				pid = 0;
			}
	close(fd);
#else
	(void)act;
	(void)arg;
#endif
}

/* Kills a child, unless it is the one that arg points to. */
static void
kill_one(pid_t pid, void *arg)
{
	if (arg == NULL || pid != *(pid_t *)arg)
		kill(pid, SIGKILL);
}

/* The driver has died, or tells us to die: the task goes at once. */
static void
worker_dies(int sig)
{
	int err = errno;

	(void)sig;
	dying = 1;
	for (int i = 0; i < NGROUPS && task_group != NULL; i++)
		if (task_group[i] > 0)
			kill(-task_group[i], SIGKILL);
	each_child(kill_one, NULL);
	errno = err;
}

/* Called in a worker right after the fork.  group is where it notes the
 * process groups of its task and of what feeds that. */
void
proc_worker_begin(volatile int32_t group[NGROUPS])
{
	static const int ignore[] = { SIGHUP, SIGINT, SIGQUIT, SIGTSTP,
	    SIGUSR1, SIGPIPE, SIGXFSZ, SIGTTOU };
	sigset_t mask;

	task_group = group;
	caught = 0;
	for (size_t i = 0; i < sizeof ignore / sizeof *ignore; i++)
		signal(ignore[i], SIG_IGN);
	set_handler(SIGTERM, worker_dies);
	set_handler(SIGCHLD, note);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
#if LINUX
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
	sigprocmask(SIG_SETMASK, &mask, NULL);
	/* If the driver is dead already, its socket tells. */
}

/* waitpid(2) that does not give up for a signal. */
pid_t
proc_wait(pid_t pid, int *status, int flags)
{
	pid_t got;

	while ((got = waitpid(pid, status, flags)) == -1 && errno == EINTR)
		;
	return got;
}

/* In the child of vfork: only calls that are safe there. */
static _Noreturn void
child_exec(const struct spawn *s, const char *path, const char *direct,
    pid_t parent, volatile int *err)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	struct rlimit as = { s->as_limit, s->as_limit };
	sigset_t none;

	setpgid(0, 0);
	for (size_t i = 0; i < NCHANGED; i++) {
		sa.sa_handler = was_ignored[i] && changed[i] != SIGPIPE &&
		    changed[i] != SIGCHLD ? SIG_IGN : SIG_DFL;
		sigaction(changed[i], &sa, NULL);
	}
#if LINUX
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_NOCMD);
#else
	(void)parent;
#endif
	if ((s->dir != NULL && chdir(s->dir) == -1) ||
	    dup2(s->in, STDIN_FILENO) == -1 ||
	    dup2(s->out, STDOUT_FILENO) == -1 ||
	    dup2(s->err, STDERR_FILENO) == -1 ||
	    (s->as_limit != 0 && setrlimit(RLIMIT_AS, &as) == -1)) {
		*err = errno;
		_exit(EXIT_NOCMD);
	}
	if (task_group != NULL && task_group[s->group] == 0)
		task_group[s->group] = getpid();	/* before it can
							 * kill us */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (direct != NULL)
		execve(direct, s->words, s->envp);
	execve(path, s->argv, s->envp);
	*err = errno;
	_exit(EXIT_NOCMD);
}

/* Whether PWD is what a shell would set it to. */
static bool
pwd_is_right(void)
{
	static int right = -1;
	const char *pwd = getenv("PWD");
	struct stat a, b;

	if (right == -1)
		right = pwd != NULL && pwd[0] == '/' && stat(pwd, &a) == 0 &&
		    stat(".", &b) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino;
	return right;
}

/* Where a command is that needs no shell; NULL where the shell would change
 * PWD, or has a function of that name. */
static const char *
word_path(const struct spawn *s, char *out, size_t cap)
{
	if (s->words == NULL || s->dir != NULL || !pwd_is_right() ||
	    (size_t)snprintf(out, cap, "BASH_FUNC_%s%%%%", s->words[0]) >=
	    cap || getenv(out) != NULL)
		return NULL;
	return proc_lookup(s->words[0], out, cap);
}

/* Starts a task as the leader of a new process group.  Returns 0, or the
 * error that kept it from starting; then there is nothing to reap.  The
 * three descriptors must not be 0, 1 or 2 unless they already stand in
 * their places. */
int
proc_spawn(const struct spawn *s, pid_t *pid)
{
	volatile int err = 0;
	pid_t self = getpid(), got;
	sigset_t all, old;
	const char *path = s->path != NULL ? s->path : s->argv[0];
	char room[PATH_ROOM];
	const char *direct = word_path(s, room, sizeof room);

	record_dispositions();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	if (dying) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		return ECANCELED;
	}
#if LINUX
	got = vfork();
#else
	got = fork();
#endif
	if (got == 0)
		child_exec(s, path, direct, self, &err);
	if (got == -1)
		err = errno;
	else
		setpgid(got, got);	/* whoever comes first */
#if !LINUX
	/* Without vfork the child's error shows as its exit status only. */
#endif
	if (err != 0 && got > 0) {
		proc_wait(got, NULL, 0);
		if (task_group != NULL && task_group[s->group] == got)
			task_group[s->group] = 0;
		got = -1;
	}
	if (err == 0 && task_group != NULL && task_group[s->group] == 0)
		task_group[s->group] = got;
	*pid = got;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

/* Never a group that is not a task's: 0 and 1 are refused. */
void
proc_kill_group(pid_t group, int sig)
{
	if (group > 1)
		kill(-group, sig);
}

/* Kills the children of a worker but for one, and reaps none. */
void
proc_kill_children_but(pid_t one)
{
	each_child(kill_one, &one);
}

/* Kills and reaps all children of a worker, and theirs, which become ours. */
void
proc_kill_children(void)
{
	if (task_group != NULL)
		proc_kill_group(task_group[GROUP_FEEDER], SIGKILL);
	for (int round = 0; round < 1000; round++) {
		pid_t got;

		while ((got = proc_wait(-1, NULL, WNOHANG)) > 0)
			;
		if (got == -1 && errno == ECHILD)
			break;	/* mostly at once: to list them takes longer */
		each_child(kill_one, NULL);
		if (round > 0)
			nanosleep(&(struct timespec){ 0, 200000 }, NULL);
	}
	if (task_group != NULL)
		task_group[GROUP_FEEDER] = 0;
}

/* Waits for the exit of a feeder, so long at most, and reaps it and its
 * group.  Returns its status as waitpid has it, or -1: it had to be killed,
 * or was already with the task. */
int
proc_end_feeder(pid_t pid, int64_t limit_ns)
{
	int64_t until = now_ns() + limit_ns, left;
	siginfo_t si;
	int status = -1;

	for (;;) {
		si.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG |
		    WNOWAIT) == -1)
			return -1;
		left = until - now_ns();
		if (si.si_pid != 0 || left <= 0)
			break;
		proc_poll(NULL, 0, left);
	}
	proc_kill_group(pid, SIGKILL);
	if (proc_wait(pid, &status, 0) == -1 || si.si_pid == 0)
		status = -1;
	if (task_group != NULL)
		task_group[GROUP_FEEDER] = 0;
	return status;
}

static void
kill_stray(pid_t pid, void *arg)
{
	char path[64], text[4096];
	const char *id = arg;
	size_t idlen = strlen(id), have = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	while ((n = read(fd, text + have, sizeof text - have)) > 0) {
		have += (size_t)n;
		if (memmem(text, have, id, idlen) != NULL) {
			kill(pid, SIGKILL);
			proc_wait(pid, NULL, 0);
			break;
		}
		if (have > idlen) {
			memmove(text, text + have - idlen, idlen);
			have = idlen;
		}
	}
	close(fd);
}

/* Kills children of the driver that came to it from its tasks.  Asks for no
 * memory: it may be why the driver ends, or all may be done. */
void
proc_kill_strays(const char *job_id)
{
	char mark[80];

	snprintf(mark, sizeof mark, "MR_JOB_ID=%s", job_id);
	for (int round = 0; round < 3; round++)
		each_child(kill_stray, mark);
}

/* Whether this worker has been told to die. */
bool
proc_dying(void)
{
	return dying;
}

/* A process that has ended and has not been waited for. */
static bool
is_zombie(pid_t pid)
{
	char path[40], line[512];
	const char *p;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	p = first_line(path, line, sizeof line);
	p = p == NULL ? NULL : strrchr(p, ')');
	return p != NULL && (p[2] == 'Z' || p[2] == 'X');
}

/* Whether a process is no more, but perhaps for its parent. */
bool
proc_is_dead(pid_t pid)
{
	return (kill(pid, 0) == -1 && errno == ESRCH) || is_zombie(pid);
}

/* The signal that asks us to end, or 0; negative when it came twice. */
int
proc_signal(void)
{
	return caught_again ? -caught : caught;
}

static bool
take(volatile sig_atomic_t *flag)
{
	bool was = *flag != 0;

	*flag = 0;
	return was;
}

bool
proc_take_child(void)
{
	return take(&child);
}

bool
proc_take_stop(void)
{
	return take(&stop);
}

bool
proc_take_info(void)
{
	return take(&info);
}

/* poll(2) with the signals let in, whose handlers have run when it returns.
 * timeout_ns below 0: none.  Returns what poll does; an interrupted call is
 * 0. */
int
proc_poll(void *fds, size_t n, int64_t timeout_ns)
{
	struct pollfd *p = fds;
	sigset_t none, old;
	int got;

	sigemptyset(&none);
#if LINUX
	struct timespec t = { timeout_ns / 1000000000,
	    timeout_ns % 1000000000 };

	got = ppoll(p, (nfds_t)n, timeout_ns < 0 ? NULL : &t, &none);
	/* Where a descriptor is ready, Linux lets none in; but the signal that
	 * ends the job goes before what a task has to say. */
	if (got > 0 && task_group == NULL) {
		sigprocmask(SIG_SETMASK, &none, &old);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
#else
	/* A signal between the two calls would be missed: wake up often. */
	int ms = timeout_ns < 0 || timeout_ns > 20000000 ? 20 :
	    (int)((timeout_ns + 999999) / 1000000);

	sigprocmask(SIG_SETMASK, &none, &old);
	got = poll(p, (nfds_t)n, ms);
	sigprocmask(SIG_SETMASK, &old, NULL);
#endif
	if (got == -1 && errno != EINTR)
		die_errno("poll");
	if (got <= 0)
		for (size_t i = 0; i < n; i++)
			p[i].revents = 0;
	return got < 0 ? 0 : got;
}

/* Stops this process as SIGTSTP would have, until it is continued. */
void
proc_stop_self(void)
{
	sigset_t tstp, old;

	signal(SIGTSTP, SIG_DFL);
	raise(SIGTSTP);
	sigemptyset(&tstp);
	sigaddset(&tstp, SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &tstp, &old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	set_handler(SIGTSTP, note);
}

/* Puts another program in the place of this process, with signals as they
 * were.  Returns if it cannot be run. */
void
proc_exec(const char *path, char *const argv[])
{
	sigset_t none;

	for (size_t i = 0; i < NCHANGED; i++)
		signal(changed[i], was_ignored[i] ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, argv);
}

/* Ends as a process killed by sig ends, so that the shell sees it. */
void
proc_end_by(int sig)
{
	struct rlimit none = { 0, 0 };
	sigset_t one;

	if (sig == SIGQUIT)
		setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	raise(sig);
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	_exit(128 + sig);
}

const char *
signal_name(int sig, char *out, size_t cap)
{
	static const struct { int sig; const char *name; } names[] = {
		{ SIGHUP, "HUP" }, { SIGINT, "INT" }, { SIGQUIT, "QUIT" },
		{ SIGILL, "ILL" }, { SIGTRAP, "TRAP" }, { SIGABRT, "ABRT" },
		{ SIGBUS, "BUS" }, { SIGFPE, "FPE" }, { SIGKILL, "KILL" },
		{ SIGUSR1, "USR1" }, { SIGSEGV, "SEGV" }, { SIGUSR2, "USR2" },
		{ SIGPIPE, "PIPE" }, { SIGALRM, "ALRM" }, { SIGTERM, "TERM" },
		{ SIGSTOP, "STOP" }, { SIGTSTP, "TSTP" }, { SIGTTIN, "TTIN" },
		{ SIGTTOU, "TTOU" }, { SIGXCPU, "XCPU" }, { SIGXFSZ, "XFSZ" },
		{ SIGSYS, "SYS" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].sig == sig) {
			snprintf(out, cap, "SIG%s", names[i].name);
			return out;
		}
	snprintf(out, cap, "signal %d", sig);
	return out;
}

static bool
runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* Where a command is that has no slash, by PATH; NULL if nowhere. */
const char *
proc_lookup(const char *name, char *out, size_t cap)
{
	const char *p = getenv("PATH");

	if (strchr(name, '/') != NULL)
		return name;
	if (p == NULL)
		p = "/usr/local/bin:/usr/bin:/bin";
	for (;;) {
		size_t n = strcspn(p, ":");

		if ((size_t)snprintf(out, cap, "%.*s%s%s", (int)n, p,
		    n > 0 ? "/" : "", name) < cap && runnable(out))
			return out;
		if (p[n] == '\0')
			return NULL;
		p += n + 1;
	}
}

/* Says why the file cannot be run, and returns 126 or 127; 0 if it can. */
static int
file_check(const char *path, const char *what, bool shell)
{
	char head[256], *p, *end;
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) == -1) {
		say_errno("%s: %s", what, path);
		return errno == ENOENT || errno == ENOTDIR ? EXIT_NOCMD :
		    EXIT_NOEXEC;
	}
	if (!S_ISREG(st.st_mode)) {
		say("%s: %s: is %s, not a program", what, path,
		    S_ISDIR(st.st_mode) ? "a directory" : "no plain file");
		return EXIT_NOEXEC;
	}
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == -1) {
		say("%s: %s: not executable (chmod +x %s)", what, path, path);
		return EXIT_NOEXEC;
	}
	fd = open_file(path, O_RDONLY, 0);
	n = fd == -1 ? -1 : read_some(fd, head, sizeof head - 1);
	if (fd != -1)
		close(fd);
	if (n < 0)
		return 0;	/* executable and not readable is fine */
	head[n] = '\0';
	if (n >= 4 && memcmp(head, "\177ELF", 4) == 0)
		return 0;
	if ((n < 2 || head[0] != '#' || head[1] != '!') && shell &&
	    memchr(head, '\0', (size_t)n) == NULL)
		return 0;	/* the shell takes it for a script */
	if (n < 2 || head[0] != '#' || head[1] != '!') {
		say("%s: %s: neither a binary nor a script with a #! line",
		    what, path);
		return EXIT_NOEXEC;
	}
	p = head + 2 + strspn(head + 2, " \t");
	end = p + strcspn(p, " \t\r\n");
	if (*end == '\r') {
		say("%s: %s: its #! line ends with a carriage return", what,
		    path);
		return EXIT_NOEXEC;
	}
	*end = '\0';
	if (!runnable(p)) {
		say("%s: %s: bad interpreter: %s", what, path, p);
		return EXIT_NOEXEC;
	}
	return 0;
}

/* The same of a path that tasks will see from where they run. */
static int
path_check(const char *path, const char *what, bool shell)
{
	char *real;
	int status;

	if (path[0] == '/' || !ship_any())
		return file_check(path, what, shell);
	real = ship_path(path);
	if (real == NULL) {
		say("%s: %s: with --ship tasks run in a directory that does "
		    "not hold it; add --ship %s, and call it ./%s", what,
		    path, path, strrchr(path, '/') + 1);
		return EXIT_USAGE;
	}
	status = file_check(real, what, shell);
	free(real);
	return status;
}

/* Looks at a command before any work is done: what is plainly wrong with it
 * is said, and the exit status for it returned; else 0.  Of a shell string
 * only a first word that is a path is judged. */
int
command_check(const struct command *c, const char *what, bool shell)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
	char path[PATH_ROOM];

	if (c->argv == NULL)
		return 0;
	if (shell) {
		size_t n = strspn(c->shown, plain);

		if (strchr(" \t\n;|&<>)", c->shown[n]) == NULL ||
		    n >= sizeof path || memchr(c->shown, '/', n) == NULL)
			return 0;
		memcpy(path, c->shown, n);
		path[n] = '\0';
		return path_check(path, what, true);
	}
	if (strchr(c->argv[0], '/') != NULL)
		return path_check(c->argv[0], what, false);
	if (proc_lookup(c->argv[0], path, sizeof path) != NULL)
		return 0;
	if (access(c->argv[0], F_OK) == 0)
		say("%s: %s: command not found (there is ./%s)", what,
		    c->argv[0], c->argv[0]);
	else
		say("%s: %s: command not found", what, c->argv[0]);
	return EXIT_NOCMD;
}

/* Sends bytes through `prog' or `prog -d' and appends what comes out.
 * Both ends are files, so nothing can block on the other.  -1 if the program
 * fails; it will have said why. */
int
proc_filter(const char *prog, bool decompress, int in, int out)
{
	char *line = xasprintf("%s%s", prog, decompress ? " -d" : "");
	char *argv[] = { (char *)"sh", (char *)"-c", line, NULL };
	struct spawn s = { .argv = argv, .envp = environ, .path = "/bin/sh",
	    .in = in, .out = out, .err = STDERR_FILENO };
	volatile int32_t *group = task_group;
	int status, err;
	pid_t pid;

	task_group = NULL;	/* it is not the task */
	err = proc_spawn(&s, &pid);
	task_group = group;
	free(line);
	if (err != 0)
		return -1;
	if (proc_wait(pid, &status, 0) == -1)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
