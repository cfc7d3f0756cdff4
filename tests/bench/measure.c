/* measure.c - runs a command and prints what it and all its descendants took.
 *
 *	measure [-m] [-n TIMES] [-o FILE] [-p PROGRAM] [-t BYTES] CMD [ARG]...
 *
 * prints to FILE, or else to standard error, one line of numbers:
 *
 *	wall user sys memory-of-program memory-of-all
 *
 * Times are seconds, an average of the TIMES runs, and wall ends with CMD
 * itself.  Memory is bytes, the most that was seen in any sample: of the
 * processes that run PROGRAM, and of all.  It is 0 without -m, since looking
 * takes time: measure the times and the memory in different runs.  The exit
 * status is CMD's, or that of the first run that failed.
 *
 * With -t so many bytes of free memory are touched before.  A virtual machine
 * may have given free memory back to its host; to get it again takes ten times
 * what a page costs otherwise, and who pays that is a matter of chance.
 *
 * Every descendant ends as a child of ours at the latest (a subreaper), so
 * that none is forgotten in the times.
 *
 * Memory is the sum of PSS, a page that several processes share being
 * divided among them, and the pages of memfds, which count as nobody's unless
 * they are mapped.  How often it is looked at depends on how long looking
 * takes: a tenth of the time at most. */

#define _GNU_SOURCE		/* syscall, for kcmp(2); madvise */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PATH_ROOM = 64,			/* /proc/PID/task/TID/children */
	LEAST_PAUSE = 5000000,		/* ns between two samples */
	MOST_MEMFDS = 4096		/* told apart in one sample */
};

/* What one sample has found so far. */
struct memory {
	uint64_t private;		/* PSS that is no shared memory's */
	uint64_t mapped;		/* PSS that is */
	uint64_t memfds;		/* pages of memfds, mapped or not */
};

struct sample {
	struct memory program, all;
	ino_t memfd[MOST_MEMFDS];	/* those that were counted */
	size_t n_memfds;
};

static struct stat program;		/* what -p names; st_ino 0: nothing */
static uint64_t peak_program, peak_all;

static void
die_errno(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* A mapped page of a memfd is in mapped and in memfds: the bigger of the two
 * is the nearest that can be known. */
static uint64_t
memory_sum(const struct memory *m)
{
	return m->private + (m->mapped > m->memfds ? m->mapped : m->memfds);
}

/* A process may end at any time, so what cannot be read is not there. */
static void
add_pss(pid_t pid, struct memory *m)
{
	char path[PATH_ROOM], line[256];
	uint64_t kib, pss = 0, shmem = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	while (fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "Pss: %" SCNu64 " kB", &kib) == 1)
			pss = kib * 1024;
		else if (sscanf(line, "Pss_Shmem: %" SCNu64 " kB", &kib) == 1)
			shmem = kib * 1024;
	}
	fclose(f);
	m->private += pss > shmem ? pss - shmem : 0;
	m->mapped += shmem;
}

/* Says whether this is the first sight of a memfd in this sample. */
static int
new_memfd(struct sample *s, ino_t ino)
{
	for (size_t i = 0; i < s->n_memfds; i++)
		if (s->memfd[i] == ino)
			return 0;
	if (s->n_memfds < MOST_MEMFDS)
		s->memfd[s->n_memfds++] = ino;
	return 1;
}

static void
add_memfds(pid_t pid, struct sample *s, struct memory *m)
{
	char path[PATH_ROOM], target[16];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		if (readlinkat(dirfd(dir), e->d_name, target, 7) == 7 &&
		    memcmp(target, "/memfd:", 7) == 0 &&
		    fstatat(dirfd(dir), e->d_name, &st, 0) == 0 &&
		    new_memfd(s, st.st_ino))
			m->memfds += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
}

static int
runs_program(pid_t pid)
{
	char path[PATH_ROOM];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	return program.st_ino != 0 && stat(path, &st) == 0 &&
	    st.st_ino == program.st_ino && st.st_dev == program.st_dev;
}

/* Between vfork and exec a child has its parent's memory: count it once. */
static int
same_memory(pid_t a, pid_t b)
{
	enum { KCMP_VM = 1 };

	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

static void sample_children(pid_t pid, struct sample *);

static void
sample_process(pid_t pid, pid_t parent, struct sample *s)
{
	struct memory m = {0};

	if (!same_memory(pid, parent))
		add_pss(pid, &m);
	add_memfds(pid, s, &m);
	s->all.private += m.private;
	s->all.mapped += m.mapped;
	s->all.memfds += m.memfds;
	if (runs_program(pid)) {
		s->program.private += m.private;
		s->program.mapped += m.mapped;
		s->program.memfds += m.memfds;
	}
	sample_children(pid, s);
}

/* The children of each of a process's threads. */
static void
sample_children(pid_t pid, struct sample *s)
{
	char path[PATH_ROOM];
	struct dirent *e;
	int child;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%d/children",
		    (int)pid, atoi(e->d_name));
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		while (fscanf(f, "%d", &child) == 1)
			sample_process(child, pid, s);
		fclose(f);
	}
	closedir(dir);
}

static void
sample(void)
{
	static struct sample s;
	uint64_t sum;

	memset(&s.program, 0, sizeof s.program);
	memset(&s.all, 0, sizeof s.all);
	s.n_memfds = 0;
	sample_children(getpid(), &s);
	sum = memory_sum(&s.program);
	if (sum > peak_program)
		peak_program = sum;
	sum = memory_sum(&s.all);
	if (sum > peak_all)
		peak_all = sum;
}

/* Reaps what has ended, and notes the end of pid in *status and *end.
 * Returns 0 when no child is left. */
static int
reap(pid_t pid, int flags, int *status, int64_t *end)
{
	pid_t got;
	int st;

	while ((got = waitpid(-1, &st, flags)) > 0) {
		if (got == pid) {
			*end = now();
			*status = st;
		}
	}
	if (got == -1 && errno != ECHILD)
		die_errno("waitpid");
	return got == 0;
}

/* Samples until all children are gone, and reaps them. */
static void
watch(pid_t pid, int *status, int64_t *end)
{
	struct timespec pause = { 0, LEAST_PAUSE };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	while (reap(pid, WNOHANG, status, end)) {
		int64_t start = now(), cost;

		sample();
		cost = 9 * (now() - start);
		if (cost < LEAST_PAUSE)
			cost = LEAST_PAUSE;
		pause.tv_sec = cost / 1000000000;
		pause.tv_nsec = cost % 1000000000;
		sigtimedwait(&chld, NULL, &pause);
	}
}

/* Runs the command once.  Returns its exit status, and adds to *wall. */
static int
run(char *argv[], int memory, int64_t *wall)
{
	int64_t start, end = 0;
	sigset_t chld, old;
	int status = 0;
	pid_t pid;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	start = now();
	pid = fork();
	if (pid == -1)
		die_errno("fork");
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		execvp(argv[0], argv);
		fprintf(stderr, "measure: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (memory)
		watch(pid, &status, &end);
	else
		reap(pid, 0, &status, &end);
	sigprocmask(SIG_SETMASK, &old, NULL);
	*wall += end - start;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

/* By large pages, if there are any, which is quick. */
static void
touch(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die_errno("-t");
	madvise(p, bytes, MADV_HUGEPAGE);
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
	munmap(p, bytes);
}

static double
seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static _Noreturn void
usage(void)
{
	fputs("usage: measure [-m] [-n TIMES] [-o FILE] [-p PROGRAM]"
	    " [-t BYTES] CMD [ARG]...\n", stderr);
	exit(2);
}

int
main(int argc, char *argv[])
{
	int c, memory = 0, times = 1, done = 0, status = 0;
	struct rusage usage_sum;
	FILE *out = stderr;
	int64_t wall = 0;
	size_t touched = 0;

	while ((c = getopt(argc, argv, "+mn:o:p:t:")) != -1) {
		switch (c) {
		case 'm':
			memory = 1;
			break;
		case 'n':
			times = atoi(optarg);
			break;
		case 'o':
			out = fopen(optarg, "we");
			if (out == NULL)
				die_errno(optarg);
			break;
		case 'p':
			if (stat(optarg, &program) == -1)
				die_errno(optarg);
			break;
		case 't':
			touched = strtoull(optarg, NULL, 10);
			break;
		default:
			usage();
		}
	}
	if (optind == argc || times < 1)
		usage();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1)
		die_errno("prctl");

	if (touched > 0)
		touch(touched);
	while (done < times && status == 0) {
		status = run(argv + optind, memory, &wall);
		done++;
	}
	getrusage(RUSAGE_CHILDREN, &usage_sum);
	fprintf(out, "%.6f %.6f %.6f %" PRIu64 " %" PRIu64 "\n",
	    (double)wall / 1e9 / done, seconds(usage_sum.ru_utime) / done,
	    seconds(usage_sum.ru_stime) / done, peak_program, peak_all);
	return status;
}
