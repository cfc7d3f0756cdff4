/* jobdir.c - a job directory as a place: made, checked, locked, removed.
 *
 *	plan	what is to be done (jobplan.c)
 *	input/	standard input and pipes, copied
 *	map/ reduce/	what tasks have committed (commit.c)
 *	cuts	where the sorted whole is cut into parts
 *	verdict	how the last driver has ended
 *	messages	what that one has said
 *	queue	who runs it, where an engine does (queue.c); engine/ is its
 *	failed	how a task has failed there
 *	result	the output of --finish there
 *	logs/	standard error of tasks
 *	extra/	what tasks have left in MR_OUTPUT_DIR
 *	lock	locked by the driver; its host and process
 *	tmp/	files that have no other name yet
 *
 * Only its owner may write in it, so what stands there can be believed as
 * far as its checksums go.  The lock is the kernel's and is inherited by
 * workers: it is free when the last process of a job has gone. */

#define _GNU_SOURCE		/* O_DIRECTORY, O_NOFOLLOW, flock */
#include <sys/file.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

static const char *const files[] = {
	"cuts", "verdict", "messages", "queue", "failed", "result", "plan",
	"lock",
};
static const char verdict_kind[8] = "mrverd1\n";
static const char failure_kind[8] = "mrfail1\n";
static const char *const dirs[] = {
	"input", "map", "reduce", "logs", "extra", "engine", "tmp",
};
enum {
	NFILES = sizeof files / sizeof *files,
	NDIRS = sizeof dirs / sizeof *dirs,
};

static bool
is_ours(const char *name)
{
	for (size_t i = 0; i < NFILES; i++)
		if (strcmp(name, files[i]) == 0)
			return true;
	for (size_t i = 0; i < NDIRS; i++)
		if (strcmp(name, dirs[i]) == 0)
			return true;
	return false;
}

static bool
is_link(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode);
}

/* A directory with a file of somebody else's is none of ours, nor is one with
 * a link, which might lead what we write to anywhere. */
static void
check_names(const struct jobdir *dir)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL)
		die_errno("%s", dir->path);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!is_ours(e->d_name))
			refuse("%s: it is no job directory: it holds %s",
			    dir->path, e->d_name);
		if (is_link(dir->fd, e->d_name))
			refuse("%s: it is no job directory: %s is a link",
			    dir->path, e->d_name);
	}
	closedir(d);
}

static int
open_plain(const char *path)
{
	char *name = xstrdup(path);
	size_t len = strlen(name);
	int fd;

	/* With a slash at its end a link would be followed. */
	while (len > 1 && name[len - 1] == '/')
		name[--len] = '\0';
	fd = open_file(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	free(name);
	return fd;
}

/* Opens a job directory, which is made if it may be and is not there.
 * Refuses what is none of this user's own. */
struct jobdir *
jobdir_open(const char *path, bool make)
{
	struct jobdir *dir = xzalloc(1, sizeof *dir);
	struct stat st;

	dir->made = make && mkdir(path, 0700) == 0;
	if (make && !dir->made && errno != EEXIST) {
		say_errno("--job-dir %s", path);
		refuse("nothing was run");
	}
	dir->fd = open_plain(path);
	if (dir->fd == -1 || fstat(dir->fd, &st) == -1) {
		say_errno("%s", path);
		refuse("it is no job directory");
	}
	if (st.st_uid != geteuid())
		refuse("%s: it belongs to another user", path);
	if (make && (st.st_mode & 077) != 0 && scratch_is_empty(path) &&
	    fchmod(dir->fd, 0700) == 0)
		st.st_mode = 0700;
	if ((st.st_mode & 022) != 0)
		refuse("%s: others may write in it", path);
	dir->path = realpath(path, NULL);
	if (dir->path == NULL)
		die_errno("%s", path);
	dir->sync = true;
	if (faccessat(dir->fd, "plan", F_OK, 0) == -1 && !make)
		refuse("%s: it is no job directory: it has no plan", path);
	check_names(dir);
	gethostname(dir->host, sizeof dir->host - 1);
	dir->mine = xasprintf("%s/tmp/%s.%ld.d", dir->path, dir->host,
	    (long)getpid());
	for (size_t i = 0; i < NDIRS && make; i++)
		if (mkdirat(dir->fd, dirs[i], 0700) == -1 && errno != EEXIST)
			die_errno("%s/%s", dir->path, dirs[i]);
	return dir;
}

/* Who has the lock, by what stands in it. */
static void
read_holder(struct jobdir *dir)
{
	char text[128] = "";
	long pid = 0;

	if (pread_full(dir->lock, text, sizeof text - 1, 0) > 0)
		sscanf(text, "%63s %ld", dir->host, &pid);
	dir->pid = (pid_t)pid;
}

/* Opens the lock and tries to take it.  0, or -1 if another mr has it: then
 * dir->host and dir->pid tell which. */
int
jobdir_try_lock(struct jobdir *dir)
{
	if (dir->lock == 0) {
		dir->lock = openat(dir->fd, "lock", O_RDWR | O_CREAT |
		    O_NOFOLLOW | O_CLOEXEC, 0600);
		if (dir->lock == -1)
			die_errno("%s/lock", dir->path);
	}
	if (flock(dir->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK && errno != EINTR)
		die_errno("%s/lock", dir->path);
	read_holder(dir);
	return -1;
}

void
jobdir_unlock(struct jobdir *dir)
{
	flock(dir->lock, LOCK_UN);
}

/* Whether the driver that had the lock is dead, so that what is left of it
 * is about to go. */
static bool
holder_is_dead(const struct jobdir *dir)
{
	char host[64] = "";

	gethostname(host, sizeof host - 1);
	return dir->pid > 0 && strcmp(host, dir->host) == 0 &&
	    proc_is_dead(dir->pid);
}

/* This process is the one that the lock tells of. */
void
jobdir_sign_lock(struct jobdir *dir)
{
	char text[128];
	int n;

	gethostname(dir->host, sizeof dir->host - 1);
	if (dir->host[0] == '\0')
		strcpy(dir->host, "?");
	dir->pid = getpid();
	n = snprintf(text, sizeof text, "%s %ld\n", dir->host,
	    (long)dir->pid);
	if (ftruncate(dir->lock, 0) == -1 ||
	    pwrite_full(dir->lock, text, (size_t)n, 0) == -1)
		die_errno("%s/lock", dir->path);
}

/* Takes the lock, or ends with 75 and says who has it. */
void
jobdir_lock(struct jobdir *dir)
{
	for (int tries = 0; jobdir_try_lock(dir) == -1; tries++) {
		/* One that was killed this moment may not be dead yet. */
		if (tries < 50 || (tries < 500 && holder_is_dead(dir))) {
			proc_poll(NULL, 0, 10000000);
			continue;
		}
		say("%s: another mr is at work on it: process %ld on %s",
		    dir->path, (long)dir->pid, dir->host);
		exit(EXIT_BUSY);
	}
	jobdir_sign_lock(dir);
}

static void
remove_one(const struct jobdir *dir, const char *name)
{
	char *path = xasprintf("%s/tmp/%s", dir->path, name);

	if (unlink(path) == -1)
		scratch_remove(path, -1);
	free(path);
}

/* What is under tmp/ of processes of this host that are no more. */
void
jobdir_sweep(const struct jobdir *dir)
{
	int fd = openat(dir->fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	char host[64] = "";
	size_t n;

	gethostname(host, sizeof host - 1);
	n = strlen(host);
	while (d != NULL && (e = readdir(d)) != NULL) {
		long pid;

		if (strncmp(e->d_name, host, n) == 0 &&
		    sscanf(e->d_name + n, ".%ld.", &pid) == 1 && pid > 0 &&
		    (pid == getpid() || (kill((pid_t)pid, 0) == -1 &&
		    errno == ESRCH)))
			remove_one(dir, e->d_name);
	}
	if (d != NULL)
		closedir(d);
}

/* Writes a small file in one step, first wins or not.  Returns whether it is
 * ours that is there now. */
bool
jobdir_put(const struct jobdir *dir, const char *name, struct buf *body,
    const char kind[8], bool replace)
{
	struct draft d;
	int got;

	seal(body, 0, kind);
	if (draft_open(&d, dir->fd) == -1 ||
	    write_full(d.fd, body->p, body->len) == -1 ||
	    (dir->sync && fsync(d.fd) == -1))
		die_errno("%s/%s", dir->path, name);
	got = replace ? draft_replace(&d, name) : draft_link(&d, name) - 1;
	if (got == -1 && (replace || errno != EEXIST))
		die_errno("%s/%s", dir->path, name);
	if (dir->sync && fsync(dir->fd) == -1)
		die_errno("%s", dir->path);
	draft_close(&d);
	return got == 0;
}

/* Reads a small file.  Returns 1, 0 if there is none, -1 if it is damaged. */
int
jobdir_get(const struct jobdir *dir, const char *name, struct buf *body,
    const char kind[8])
{
	int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t before;
	int got;

	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1)
		die_errno("%s/%s", dir->path, name);
	got = seal_read(fd, kind, body, &before);
	if (got == -1 && errno != 0)
		die_errno("%s/%s", dir->path, name);
	close(fd);
	return got == 0 && before == 0 ? 1 : -1;
}

/* A driver begins its work: what it says is kept. */
void
jobdir_begin(struct jobdir *dir)
{
	int fd;

	jobdir_drop(dir, "verdict");
	fd = openat(dir->fd, "messages", O_WRONLY | O_CREAT | O_TRUNC |
	    O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		die_errno("%s/messages", dir->path);
	diag_copy(fd);
}

/* A driver ends, with this exit status.  Without a verdict the job has been
 * killed, so it is no trouble if there can be none. */
void
jobdir_end(const struct jobdir *dir, int status)
{
	struct draft d;
	struct buf b = {0};

	seal_number(&b, (uint64_t)status);
	seal(&b, 0, verdict_kind);
	if (draft_open(&d, dir->fd) == 0) {
		if (write_full(d.fd, b.p, b.len) == 0)
			draft_replace(&d, "verdict");
		draft_close(&d);
	}
	buf_free(&b);
}

/* How the last driver has ended, or -1. */
int
jobdir_verdict(const struct jobdir *dir)
{
	struct buf b = {0};
	struct unseal u;
	int got = jobdir_get(dir, "verdict", &b, verdict_kind);

	u = (struct unseal){ b.p, b.p + b.len, got != 1 };
	got = (int)unseal_number(&u, 255);
	buf_free(&b);
	return u.bad ? -1 : got;
}

/* A task has failed for good: the first one that has is the job's. */
void
jobdir_fail(const struct jobdir *dir, int status, const struct buf *lines)
{
	struct buf b = {0};

	seal_number(&b, (uint64_t)status);
	seal_bytes(&b, lines->p, lines->len);
	jobdir_put(dir, "failed", &b, failure_kind, false);
	buf_free(&b);
}

/* Its exit status and the lines about it, or -1 if none has. */
int
jobdir_failure(const struct jobdir *dir, struct buf *lines)
{
	struct buf b = {0};
	struct unseal u;
	const unsigned char *p;
	size_t len;
	int got = jobdir_get(dir, "failed", &b, failure_kind);

	u = (struct unseal){ b.p, b.p + b.len, got != 1 };
	got = (int)unseal_number(&u, 255);
	p = unseal_bytes(&u, &len);
	if (!u.bad && lines != NULL)
		buf_put(lines, p, len);
	buf_free(&b);
	return u.bad ? -1 : got;
}

/* How many files a directory of it has. */
uint64_t
jobdir_count(const struct jobdir *dir, const char *name)
{
	int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t n = 0;

	if (d == NULL)
		die_errno("%s/%s", dir->path, name);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Removes a file of it that may be there. */
void
jobdir_drop(const struct jobdir *dir, const char *name)
{
	if (unlinkat(dir->fd, name, 0) == -1 && errno != ENOENT)
		die_errno("%s/%s", dir->path, name);
}

/* Removes what mr has made in it, the plan last: what is killed on its way
 * can be done again. */
static void
clear(struct jobdir *dir)
{
	for (size_t i = 0; i < NDIRS; i++) {
		char *path = xasprintf("%s/%s", dir->path, dirs[i]);

		scratch_remove(path, -1);
		free(path);
	}
	for (size_t i = 0; i < NFILES; i++)
		jobdir_drop(dir, files[i]);
}

void
jobdir_remove(struct jobdir *dir)
{
	clear(dir);
	if (rmdir(dir->path) == -1)
		die_errno("%s", dir->path);
}

/* Nothing was run: what was planned is taken back. */
void
jobdir_undo(struct jobdir *dir)
{
	clear(dir);
	if (dir->made)
		rmdir(dir->path);
}
