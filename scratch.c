/* scratch.c - mr's own directories: under -T for its tasks, and beside an
 * output that is being built.
 *
 * A scratch directory is .mr-XXXXXX, mode 0700, and is locked as long as any
 * process of its job lives: the lock is the kernel's, on a descriptor that
 * workers inherit.  One that nobody has locked was left by a job that was
 * killed whole; whoever comes by with a job of the same place removes it. */

#define _GNU_SOURCE		/* O_DIRECTORY, O_NOFOLLOW, flock, syscall */
#include <sys/file.h>
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

#if LINUX
#include <sys/syscall.h>
#endif

static const char head[] = ".mr-";
enum { HEAD = sizeof head - 1, TAIL = 6 };

static int
open_dir(int at, const char *path)
{
	int fd;

	while ((fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC)) == -1 && errno == EINTR)
		;
	return fd;
}

static void empty(int);

/* Removes a name in a directory, with all in it.  Whether it has gone. */
static bool
remove_name(int dir, const char *name)
{
	int sub;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	if (unlinkat(dir, name, 0) == 0)
		return true;
	sub = open_dir(dir, name);
	if (sub != -1)
		empty(sub);
	return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

/* Removes what a directory holds.  Takes fd over.  It is done without memory
 * where that can be, since a lack of it may be why the job ends. */
static void
empty(int fd)
{
#if LINUX
	struct list {
		uint64_t ino, off;
		uint16_t size;
		unsigned char type;
		char name[];
	};
	_Alignas(struct list) char buf[2 * KiB];
	bool some;
	long n;

	do {
		some = false;
		lseek(fd, 0, SEEK_SET);
		while ((n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0)
			for (long at = 0; at < n; ) {
				const struct list *e = (void *)(buf + at);

				some |= remove_name(fd, e->name);
				at += e->size;
			}
	} while (some);
	close(fd);
#else
	DIR *d = fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL)
		remove_name(fd, e->d_name);
	closedir(d);
#endif
}

/* Removes a directory and all in it; follows no link.  lock is closed after
 * that unless it is -1.  Failure leaves something behind and no more. */
void
scratch_remove(const char *path, int lock)
{
	int fd = open_dir(AT_FDCWD, path);

	if (fd != -1)
		empty(fd);
	rmdir(path);
	if (lock != -1)
		close(lock);
}

/* Removes scratch directories of ours in dir that no process has locked. */
void
scratch_sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		int fd;

		if (strncmp(e->d_name, head, HEAD) != 0 ||
		    strlen(e->d_name) != HEAD + TAIL)
			continue;
		fd = open_dir(dirfd(d), e->d_name);
		if (fd == -1)
			continue;
		if (fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
		    (st.st_mode & 0777) == 0700 &&
		    flock(fd, LOCK_EX | LOCK_NB) == 0) {
			int sub = open_dir(fd, ".");

			if (sub != -1)
				empty(sub);
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
		}
		close(fd);
	}
	closedir(d);
}

/* A name for a scratch directory in dir, which is not made yet.  The
 * caller's to free. */
char *
scratch_name(const char *dir)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	uint64_t x = random_seed();
	char tail[TAIL + 1] = "";

	for (int i = 0; i < TAIL; i++, x /= sizeof letters - 1)
		tail[i] = letters[x % (sizeof letters - 1)];
	return xasprintf("%s/%s%s", dir, head, tail);
}

/* Makes and locks a scratch directory.  Returns 0, or -1 and errno. */
int
scratch_make(const char *path, int *lock)
{
	int err = EAGAIN;

	for (int tries = 0; tries < 100; tries++) {
		struct stat a, b;

		/* Another mr may take it for a stale one until it is locked,
		 * and be just about to remove it. */
		if (tries > 0)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		if (mkdir(path, 0700) == -1 && (errno != EEXIST || tries == 0)) {
			err = errno;
			break;
		}
		chmod(path, 0700);	/* whatever the umask took away */
		*lock = open_dir(AT_FDCWD, path);
		if (*lock != -1 && flock(*lock, LOCK_EX | LOCK_NB) == 0 &&
		    fstat(*lock, &a) == 0 && stat(path, &b) == 0 &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return 0;
		err = errno;
		if (*lock != -1)
			close(*lock);
		*lock = -1;
	}
	errno = err;
	return -1;
}

bool
scratch_is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	if (d == NULL)
		return false;
	while ((e = readdir(d)) != NULL && n < 3)
		n++;
	closedir(d);
	return n <= 2;
}

/* A name in the directory that only mr may use in an output: part-* or _*.
 * NULL if there is none; else the caller's to free. */
char *
scratch_find_reserved(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char *found = NULL;

	if (d == NULL)
		return NULL;
	while (found == NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] == '_' || strncmp(e->d_name, "part-", 5) == 0)
			found = xstrdup(e->d_name);
	closedir(d);
	return found;
}
