/* killat.c - runs a command and kills it at the Nth chosen system call.
 *
 * usage: killat [-ax] [-e CALLS] [-m one|root|all] [-n N] [-o LOG]
 *               [-s SIGNAL] [-t SECONDS] [-w DIR] command [argument ...]
 *
 * The command and everything that it starts are traced with ptrace(2), and
 * the calls of all of them are counted together, from the moment the command
 * was executed.  When the Nth call of CALLS begins, SIGNAL is sent and
 * counting ends; the processes that live on run on at full speed.  killat
 * ends when the last one has ended, or SECONDS after the kill: what still
 * runs then is named on standard error and killed.
 *
 *   -a          kill when the call is done, not when it begins
 *   -e CALLS    list of groups (write rename unlink open fork exec fsync
 *               trunc mkdir close dup kill all) or of names of calls;
 *               default write,rename,fork
 *   -m one      kill the process that makes the call
 *   -m root     kill the first process, the command itself
 *   -m all      kill every process (default)
 *   -n N        0, the default, only counts
 *   -o LOG      write "count=N killed=0|1 call=NAME left=N" to LOG
 *   -s SIGNAL   a number; default 9
 *   -t SECONDS  default 20
 *   -w DIR      a power loss: kill all, then cut each plain file below DIR
 *               back to the length that it had when it was last synced
 *   -x          count only calls of processes that run the command's own
 *               program, not of other programs that they have started
 *
 * EXIT STATUS: the command's; 128 + n if signal n ended it; 125 if killat
 * failed.  Linux 5.3 or later. */

#define _GNU_SOURCE		/* nftw, syscall numbers, __WALL */
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_TROUBLE = 125, MAX_TRACEES = 4096 };

/* Calls under the name of their group.  A newer architecture has only the
 * *at forms. */
static const struct call {
	const char *group, *name;
	long nr;
} calls[] = {
#define C(group, name) { group, #name, SYS_##name }
	C("write", write), C("write", pwrite64), C("write", writev),
	C("write", pwritev), C("write", pwritev2), C("write", sendfile),
	C("write", splice), C("write", copy_file_range),
	C("rename", renameat), C("rename", renameat2), C("rename", linkat),
	C("unlink", unlinkat), C("open", openat), C("open", memfd_create),
	C("mkdir", mkdirat), C("fork", clone), C("exec", execve),
	C("fsync", fsync), C("fsync", fdatasync),
	C("trunc", ftruncate), C("trunc", fallocate),
	C("close", close), C("dup", dup), C("dup", dup3), C("kill", kill),
#ifdef SYS_clone3
	C("fork", clone3),
#endif
#ifdef SYS_open
	C("rename", rename), C("rename", link), C("unlink", unlink),
	C("unlink", rmdir), C("open", open), C("open", creat),
	C("mkdir", mkdir), C("fork", fork), C("fork", vfork), C("dup", dup2),
#endif
#undef C
};

/* A traced process.  call and fd are of the call it is in. */
struct tracee {
	pid_t pid;
	const struct call *call;	/* NULL: none of the table */
	int fd;				/* its first argument */
	int is_target;			/* it is the Nth chosen call */
	int is_other;			/* -x: it runs another program */
};

/* How much of a file a power loss leaves. */
struct synced {
	dev_t dev;
	ino_t ino;
	off_t size;
};

static struct {
	const char *calls, *log, *powerdir;
	enum { ONE, ROOT, ALL } mode;
	long target;			/* 0: only count */
	int after, own, sig;
	unsigned patience;		/* seconds from the kill to the end */
} opt = {
	.calls = "write,rename,fork", .mode = ALL, .sig = SIGKILL,
	.patience = 20,
};

static struct tracee tracees[MAX_TRACEES];
static size_t ntracees;
static pid_t root;
static int counting;			/* the command has been executed */
static char program[4096];		/* the command's, once it has */
static long count;
static const char *killed_at;		/* name of the call, once killed */
static size_t nleft;			/* processes that outstayed patience */
static volatile sig_atomic_t impatient;

static struct synced *synced;
static size_t nsynced, capsynced;

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	_exit(EXIT_TROUBLE);
}

static struct tracee *
tracee_get(pid_t pid)
{
	for (size_t i = 0; i < ntracees; i++)
		if (tracees[i].pid == pid)
			return &tracees[i];
	if (ntracees == MAX_TRACEES) {
		errno = EAGAIN;
		die("too many processes");
	}
	tracees[ntracees] = (struct tracee){ .pid = pid, .fd = -1 };
	return &tracees[ntracees++];
}

static void
tracee_drop(pid_t pid)
{
	struct tracee *t = tracee_get(pid);

	*t = tracees[--ntracees];
}

static const struct call *
call_find(long nr)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (calls[i].nr == nr)
			return &calls[i];
	return NULL;
}

/* Whether the call is one of those asked for; c may be NULL. */
static int
call_is_chosen(const struct call *c)
{
	const char *p = opt.calls;

	while (*p != '\0') {
		size_t len = strcspn(p, ",");

		if (len == 3 && strncmp(p, "all", 3) == 0)
			return 1;
		if (c != NULL &&
		    ((strlen(c->group) == len &&
		    strncmp(p, c->group, len) == 0) ||
		    (strlen(c->name) == len && strncmp(p, c->name, len) == 0)))
			return 1;
		p += len + (p[len] == ',');
	}
	return 0;
}

/* The program that a process runs; "" if that cannot be seen. */
static void
program_of(pid_t pid, char *out, size_t cap)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	n = readlink(path, out, cap - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* A process has begun, or executed a program. */
static void
look_at_program(struct tracee *t)
{
	char own[sizeof program];

	program_of(t->pid, own, sizeof own);
	if (t->pid == root && !counting)
		memcpy(program, own, sizeof program);
	t->is_other = opt.own && strcmp(own, program) != 0;
}

static int
stat_fd_of(pid_t pid, int fd, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
	return stat(path, st) == 0 && S_ISREG(st->st_mode) ? 0 : -1;
}

static struct synced *
synced_find(const struct stat *st)
{
	for (size_t i = 0; i < nsynced; i++)
		if (synced[i].dev == st->st_dev && synced[i].ino == st->st_ino)
			return &synced[i];
	return NULL;
}

static void
synced_note(const struct stat *st)
{
	struct synced *s = synced_find(st);

	if (s != NULL) {
		s->size = st->st_size;
		return;
	}
	if (nsynced == capsynced) {
		capsynced = capsynced * 2 + 64;
		synced = realloc(synced, capsynced * sizeof *synced);
		if (synced == NULL)
			die("realloc");
	}
	synced[nsynced++] =
	    (struct synced){ st->st_dev, st->st_ino, st->st_size };
}

/* nftw callbacks: what is there before the command starts is durable; after
 * the kill, what was never synced is lost. */
static int
note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)ftw;
	if (type == FTW_F && S_ISREG(st->st_mode))
		synced_note(st);
	return 0;
}

static int
cut_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const struct synced *s = synced_find(st);
	off_t keep = s != NULL ? s->size : 0;

	(void)ftw;
	if (type == FTW_F && S_ISREG(st->st_mode) && st->st_size > keep &&
	    truncate(path, keep) == -1)
		die(path);
	return 0;
}

static void
resume(const struct tracee *t, int sig)
{
	int how = killed_at != NULL || (t->is_other && opt.powerdir == NULL) ?
	    PTRACE_CONT : PTRACE_SYSCALL;

	/* ESRCH: it was killed meanwhile, and waitpid will say so. */
	if (ptrace(how, t->pid, 0, (long)sig) == -1 && errno != ESRCH)
		die("ptrace");
}

static void
fire(const struct tracee *t)
{
	killed_at = t->call != NULL ? t->call->name : "other";
	if (opt.mode == ALL)
		for (size_t i = 0; i < ntracees; i++)
			kill(tracees[i].pid, opt.sig);
	else
		kill(opt.mode == ROOT ? root : t->pid, opt.sig);
	/* Again each second: one could come just before waitpid sleeps. */
	setitimer(ITIMER_REAL, &(struct itimerval){
	    .it_value.tv_sec = opt.patience, .it_interval.tv_sec = 1 }, NULL);
}

static void
call_begins(struct tracee *t, const struct ptrace_syscall_info *si)
{
	t->call = call_find((long)si->entry.nr);
	t->fd = (int)si->entry.args[0];
	t->is_target = counting && !t->is_other && call_is_chosen(t->call) &&
	    ++count == opt.target;
	if (t->is_target && !opt.after)
		fire(t);
}

static void
call_ends(struct tracee *t, const struct ptrace_syscall_info *si)
{
	const char *group = t->call != NULL ? t->call->group : "";
	struct synced *s;
	struct stat st;

	if (opt.powerdir != NULL && si->exit.rval >= 0) {
		if (strcmp(group, "fsync") == 0 &&
		    stat_fd_of(t->pid, t->fd, &st) == 0)
			synced_note(&st);
		/* A new or emptied file may have an old inode number. */
		if (strcmp(group, "open") == 0 &&
		    stat_fd_of(t->pid, (int)si->exit.rval, &st) == 0 &&
		    st.st_size == 0 && (s = synced_find(&st)) != NULL)
			s->size = 0;
	}
	if (t->is_target && opt.after)
		fire(t);
	t->is_target = 0;
}

static void
on_stop(pid_t pid, int status)
{
	int event = status >> 16, sig = WSTOPSIG(status);
	struct tracee *t = tracee_get(pid);
	struct ptrace_syscall_info si = {0};

	if (sig == (SIGTRAP | 0x80)) {
		if (killed_at == NULL && ptrace(PTRACE_GET_SYSCALL_INFO, pid,
		    sizeof si, &si) > 0) {
			if (si.op == PTRACE_SYSCALL_INFO_ENTRY)
				call_begins(t, &si);
			else if (si.op == PTRACE_SYSCALL_INFO_EXIT)
				call_ends(t, &si);
		}
		resume(t, 0);
	} else if (event == PTRACE_EVENT_STOP && (sig == SIGSTOP ||
	    sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)) {
		/* It is stopped as job control stops: leave it so. */
		ptrace(PTRACE_LISTEN, pid, 0, 0);
	} else {
		if (event == PTRACE_EVENT_EXEC || event == PTRACE_EVENT_STOP)
			look_at_program(t);
		if (event == PTRACE_EVENT_EXEC)
			counting = 1;
		resume(t, event != 0 ? 0 : sig);
	}
}

static void
on_alarm(int sig)
{
	(void)sig;
	impatient = 1;
}

static void
kill_the_rest(void)
{
	impatient = 0;
	nleft += ntracees;
	for (size_t i = 0; i < ntracees; i++) {
		char path[64], name[32] = "?";
		int fd;
		ssize_t n = 0;

		snprintf(path, sizeof path, "/proc/%d/comm",
		    (int)tracees[i].pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd != -1) {
			n = read(fd, name, sizeof name - 1);
			close(fd);
		}
		if (n > 0)
			name[n - 1] = '\0';
		fprintf(stderr, "killat: still running: %s, pid %d\n", name,
		    (int)tracees[i].pid);
		kill(tracees[i].pid, SIGKILL);
	}
}

/* Starts the command, traced, and stops short of its execve until the
 * tracing is set up. */
static void
start(char *argv[])
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
	    PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
	    PTRACE_O_EXITKILL;
	int gate[2];
	char c;

	if (pipe2(gate, O_CLOEXEC) == -1 || (root = fork()) == -1)
		die("fork");
	if (root == 0) {
		close(gate[1]);
		while (read(gate[0], &c, 1) == -1 && errno == EINTR)
			;
		execvp(argv[0], argv);
		fprintf(stderr, "killat: %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	tracee_get(root);
	if (ptrace(PTRACE_SEIZE, root, 0, options) == -1 ||
	    ptrace(PTRACE_INTERRUPT, root, 0, 0) == -1)
		die("ptrace");
	close(gate[0]);
	close(gate[1]);
}

/* Follows the processes until the last has ended.  Returns the exit status
 * of the first as a shell would say it. */
static int
follow(void)
{
	int status, result = EXIT_TROUBLE;

	/* Not until the last in the list has ended: a process that has just
	 * been forked is traced before it is in the list. */
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid == -1 && errno == ECHILD)
			break;
		if (pid == -1 && errno != EINTR)
			die("waitpid");
		if (impatient)
			kill_the_rest();
		if (pid == -1)
			continue;
		if (WIFSTOPPED(status)) {
			on_stop(pid, status);
			continue;
		}
		if (pid == root)
			result = WIFEXITED(status) ? WEXITSTATUS(status) :
			    128 + WTERMSIG(status);
		tracee_drop(pid);
	}
	return result;
}

static void
write_log(void)
{
	FILE *fp = fopen(opt.log, "w");

	if (fp == NULL || fprintf(fp, "count=%ld killed=%d call=%s left=%zu\n",
	    count, killed_at != NULL, killed_at != NULL ? killed_at : "-",
	    nleft) < 0 || fclose(fp) == EOF)
		die(opt.log);
}

static void
parse(int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "+ae:m:n:o:s:t:w:x")) != -1) {
		switch (c) {
		case 'a': opt.after = 1; break;
		case 'e': opt.calls = optarg; break;
		case 'm':
			opt.mode = strcmp(optarg, "one") == 0 ? ONE :
			    strcmp(optarg, "root") == 0 ? ROOT : ALL;
			break;
		case 'n': opt.target = atol(optarg); break;
		case 'o': opt.log = optarg; break;
		case 's': opt.sig = atoi(optarg); break;
		case 't': opt.patience = (unsigned)atoi(optarg); break;
		case 'w': opt.powerdir = optarg; opt.mode = ALL; break;
		case 'x': opt.own = 1; break;
		default: exit(EXIT_TROUBLE);
		}
	}
	if (optind == argc) {
		fprintf(stderr, "usage: killat [option ...] command ...\n");
		exit(EXIT_TROUBLE);
	}
}

int
main(int argc, char *argv[])
{
	struct sigaction sa = { .sa_handler = on_alarm };
	int result;

	parse(argc, argv);
	sigaction(SIGALRM, &sa, NULL);	/* no SA_RESTART: it ends waitpid */
	if (opt.powerdir != NULL)
		nftw(opt.powerdir, note_file, 16, FTW_PHYS);
	start(argv + optind);
	result = follow();
	if (opt.powerdir != NULL && killed_at != NULL)
		nftw(opt.powerdir, cut_file, 16, FTW_PHYS);
	if (opt.log != NULL)
		write_log();
	return result;
}
