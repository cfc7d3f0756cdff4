/* faultshim.c - a library for LD_PRELOAD that makes libc calls misbehave.
 *
 * The environment says how:
 *
 *   FS_SHORT=1    reads and writes of any kind move at most 1 to 7 bytes
 *   FS_EINTR=K    every Kth read, write, open, wait or poll fails with EINTR
 *   FS_MALLOC=N   the Nth malloc, calloc, realloc or anonymous mmap fails
 *   FS_MALLOCP=N  so do all later ones
 *   FS_FORK=N     the Nth fork fails with EAGAIN
 *   FS_LACKS=1    neither open knows O_TMPFILE nor the kernel memfd_create, as
 *                 with NFS and of old
 *   FS_ONLY=NAME  only in processes of this short name
 *   FS_LOG=FILE   the first failure of each process adds a line to FILE
 *
 * Counts go on in forked children.  It reaches a program's own calls, not
 * those that libc makes inside itself, and not vfork: a wrapper of it cannot
 * return.  For these there is strace.  glibc only.
 *
 *   cc -O2 -fPIC -shared -o faultshim.so faultshim.c -ldl */

#define _GNU_SOURCE		/* RTLD_NEXT, splice, ppoll */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Under another name, so that no header's attributes are in the way. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static long short_io, eintr_every, malloc_nth, malloc_from, fork_nth, lacks;
static long n_io, n_malloc, n_fork, n_short;

static long
number(const char *name)
{
	const char *v = getenv(name);

	return v != NULL ? atol(v) : 0;
}

__attribute__((constructor)) static void
setup(void)
{
	const char *only = getenv("FS_ONLY");

	if (only != NULL && strcmp(only, program_invocation_short_name) != 0)
		return;
	short_io = number("FS_SHORT");
	eintr_every = number("FS_EINTR");
	malloc_nth = number("FS_MALLOC");
	malloc_from = number("FS_MALLOCP");
	fork_nth = number("FS_FORK");
	lacks = number("FS_LACKS");
}

/* By system calls alone: the wrappers below would count these. */
static void
note_failure(void)
{
	static pid_t noted;
	const char *log = getenv("FS_LOG");
	int fd;

	if (log == NULL || noted == getpid())
		return;
	noted = getpid();
	fd = (int)syscall(SYS_openat, AT_FDCWD, log,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd != -1) {
		syscall(SYS_write, fd, "failed\n", 7);
		syscall(SYS_close, fd);
	}
}

static int
fails(int err)
{
	note_failure();
	errno = err;
	return 1;
}

static int
interrupted(void)
{
	return eintr_every != 0 && ++n_io % eintr_every == 0 && fails(EINTR);
}

static int
starved(void)
{
	if (malloc_nth == 0 && malloc_from == 0)
		return 0;
	n_malloc++;
	return (n_malloc == malloc_nth ||
	    (malloc_from != 0 && n_malloc >= malloc_from)) && fails(ENOMEM);
}

static size_t
cut(size_t n)
{
	size_t most = 1 + (size_t)n_short % 7;

	if (short_io == 0 || n <= most)
		return n;
	n_short++;
	return most;
}

/* The next definition of a function, found once. */
#define REAL(f) \
	static __typeof__(&f) real; \
	if (real == NULL) \
		*(void **)&real = dlsym(RTLD_NEXT, #f)

#define WRAP(type, f, params, args) \
type \
f params \
{ \
	REAL(f); \
	return interrupted() ? -1 : real args; \
}

WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, cut(n)))
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, cut(n)))
WRAP(ssize_t, pread, (int fd, void *p, size_t n, off_t o), (fd, p, cut(n), o))
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t o),
    (fd, p, cut(n), o))
WRAP(ssize_t, pread64, (int fd, void *p, size_t n, off64_t o),
    (fd, p, cut(n), o))
WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t o),
    (fd, p, cut(n), o))
WRAP(ssize_t, splice, (int in, off64_t *ino, int out, off64_t *outo, size_t n,
    unsigned flags), (in, ino, out, outo, cut(n), flags))
WRAP(ssize_t, copy_file_range, (int in, off64_t *ino, int out, off64_t *outo,
    size_t n, unsigned flags), (in, ino, out, outo, cut(n), flags))
WRAP(pid_t, waitpid, (pid_t pid, int *status, int options),
    (pid, status, options))
WRAP(int, poll, (struct pollfd *v, nfds_t n, int ms), (v, n, ms))
WRAP(int, ppoll, (struct pollfd *v, nfds_t n, const struct timespec *t,
    const sigset_t *mask), (v, n, t, mask))

/* A vector is cut to its first part; the rest stays for the next call. */
ssize_t
writev(int fd, const struct iovec *v, int n)
{
	struct iovec first;

	REAL(writev);
	if (interrupted())
		return -1;
	if (short_io == 0 || n < 1)
		return real(fd, v, n);
	first = (struct iovec){ v[0].iov_base, cut(v[0].iov_len) };
	return real(fd, &first, 1);
}

#define WRAP_OPEN(f, params, args) \
int \
f params \
{ \
	va_list ap; \
	mode_t mode; \
	REAL(f); \
\
	va_start(ap, flags); \
	mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0; \
	va_end(ap); \
	if (lacks != 0 && (flags & O_TMPFILE) == O_TMPFILE && \
	    fails(EOPNOTSUPP)) \
		return -1; \
	return interrupted() ? -1 : real args; \
}

WRAP_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, (int at, const char *path, int flags, ...),
    (at, path, flags, mode))
WRAP_OPEN(openat64, (int at, const char *path, int flags, ...),
    (at, path, flags, mode))

int
memfd_create(const char *name, unsigned flags)
{
	REAL(memfd_create);
	if (lacks != 0 && fails(ENOSYS))
		return -1;
	return real(name, flags);
}

pid_t
fork(void)
{
	REAL(fork);
	if (fork_nth != 0 && ++n_fork == fork_nth && fails(EAGAIN))
		return -1;
	return real();
}

#define WRAP_MMAP(f, off) \
void * \
f(void *p, size_t len, int prot, int flags, int fd, off o) \
{ \
	REAL(f); \
	if ((flags & MAP_ANONYMOUS) != 0 && starved()) \
		return MAP_FAILED; \
	return real(p, len, prot, flags, fd, o); \
}

WRAP_MMAP(mmap, off_t)
WRAP_MMAP(mmap64, off64_t)

void *
malloc(size_t n)
{
	return starved() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return starved() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return starved() ? NULL : __libc_realloc(p, n);
}
