/* util.c - memory, numbers, whole reads and writes, what the machine has. */

#define _GNU_SOURCE		/* sched_getaffinity, getrandom, madvise */
#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

static char largest[512];	/* what may be why memory runs out, or "" */

/* What is to be said when memory runs out. */
void
memory_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(largest, sizeof largest, fmt, ap);
	va_end(ap);
}

static _Noreturn void
no_memory(size_t bytes)
{
	die("out of memory (%zu bytes more were needed)%s%s", bytes,
	    largest[0] != '\0' ? ": " : "", largest);
}

void *
xrealloc(void *p, size_t nmemb, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nmemb, size, &bytes))
		die("out of memory");
	p = realloc(p, bytes != 0 ? bytes : 1);
	if (p == NULL)
		no_memory(bytes);
	return p;
}

void *
xzalloc(size_t nmemb, size_t size)
{
	void *p = xrealloc(NULL, nmemb, size);

	memset(p, 0, nmemb * size);
	return p;
}

/* Memory that is visited at random, not cleared, on large pages where there
 * are such: a walk through page tables costs as much as the visit itself.
 * free frees it. */
void *
xlarge(size_t size)
{
	enum { PAGE = 2 * MiB };
	void *p;

	if (size < 2 * PAGE)
		return xrealloc(NULL, size, 1);
	if (size > SIZE_MAX - PAGE ||
	    posix_memalign(&p, PAGE, (size + PAGE - 1) / PAGE * PAGE) != 0)
		no_memory(size);
#if LINUX
	madvise(p, size / PAGE * PAGE, MADV_HUGEPAGE);
#endif
	return p;
}

char *
xstrdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(xrealloc(NULL, len, 1), s, len);
}

/* The directory that holds what a path names.  The caller's to free. */
char *
path_parent(const char *path)
{
	size_t len = strlen(path);
	char *dir = xrealloc(NULL, len + sizeof ".", 1), *p;

	memcpy(dir, path, len + 1);
	p = dirname(dir);	/* in dir, or a constant */
	memmove(dir, p, strlen(p) + 1);
	return dir;
}

/* A name as it is seen from any directory.  The caller's to free. */
char *
path_absolute(const char *name)
{
	char *cwd, *path;

	if (name[0] == '/')
		return xstrdup(name);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		return xstrdup(name);
	path = xasprintf("%s/%s", cwd, name);
	free(cwd);
	return path;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		die("cannot format a string");
	s = xrealloc(NULL, (size_t)n + 1, 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

/* The next capacity, from cap up by doubling, that holds want. */
size_t
grown(size_t cap, size_t want)
{
	if (cap < 64)
		cap = 64;
	while (cap < want)
		if (__builtin_mul_overflow(cap, (size_t)2, &cap))
			die("out of memory");
	return cap;
}

/* Decimal digits only.  Returns 0, or -1 if s is no such number. */
int
parse_number(const char *s, uint64_t *out)
{
	uint64_t n = 0;

	if (*s == '\0')
		return -1;
	for (; *s != '\0'; s++)
		if (*s < '0' || *s > '9' ||
		    __builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -1;
	*out = n;
	return 0;
}

/* "64", "64K", "1.5G" in bytes; K M G T are powers of 1024, and an
 * unsuffixed number is bytes.  Returns 0, or -1. */
int
parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	char number[32];
	size_t len = strspn(s, "0123456789");
	const char *u;
	uint64_t n, unit = 1;

	if (len == 0 || len >= sizeof number)
		return -1;
	memcpy(number, s, len);
	number[len] = '\0';
	if (parse_number(number, &n) == -1)
		return -1;
	s += len;
	if (*s == 'k')
		u = units;
	else
		u = *s != '\0' ? strchr(units, *s) : NULL;
	if (u != NULL) {
		unit = (uint64_t)1 << (10 * (u - units + 1));
		s++;
		if (strcmp(s, "B") == 0 || strcmp(s, "iB") == 0)
			s += strlen(s);
	}
	if (*s != '\0' || __builtin_mul_overflow(n, unit, &n))
		return -1;
	*out = n;
	return 0;
}

/* "90", "1.5s", "10m", "2h", "1d" in nanoseconds.  Returns 0, or -1. */
int
parse_duration(const char *s, int64_t *ns)
{
	double x, unit = 1;
	char *end;

	if (*s < '0' || *s > '9' || strpbrk(s, "xXpPnNiI") != NULL)
		return -1;
	x = strtod(s, &end);
	switch (*end) {
	case 'd': unit = 86400; end++; break;
	case 'h': unit = 3600; end++; break;
	case 'm': unit = 60; end++; break;
	case 's': end++; break;
	}
	if (*end != '\0' || x * unit > 4e9)
		return -1;
	*ns = (int64_t)(x * unit * 1e9);
	return 0;
}

/* 1536 as "1.5K": at most five columns. */
char *
human_bytes(uint64_t n, char *out, size_t cap)
{
	static const char units[] = "BKMGTPE";
	double x = (double)n;
	int u = 0;

	for (; x >= 999.5; u++)
		x /= 1024;
	if (u == 0)
		snprintf(out, cap, "%lluB", (unsigned long long)n);
	else
		snprintf(out, cap, x < 9.95 ? "%.1f%c" : "%.0f%c", x, units[u]);
	return out;
}

/* 75 seconds as "1:15", shorter times as "0.25s" or "12s". */
char *
human_time(int64_t ns, char *out, size_t cap)
{
	int64_t s = ns / 1000000000;

	if (s < 10)
		snprintf(out, cap, "%.2fs", (double)ns / 1e9);
	else if (s < 60)
		snprintf(out, cap, "%llds", (long long)s);
	else if (s < 3600)
		snprintf(out, cap, "%lld:%02lld", (long long)s / 60,
		    (long long)s % 60);
	else
		snprintf(out, cap, "%lld:%02lld:%02lld", (long long)s / 3600,
		    (long long)s / 60 % 60, (long long)s % 60);
	return out;
}

/* Monotonic time: a changed clock changes no timeout. */
int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A number that an adversary cannot foresee. */
uint64_t
random_seed(void)
{
	uint64_t x = 0;
	int fd = open_file("/dev/urandom", O_RDONLY, 0);

	if (fd != -1) {
		read_some(fd, &x, sizeof x);
		close(fd);
	}
	return x ^ (uint64_t)now_ns() ^ (uint64_t)getpid() << 32;
}

/* How much of len bytes is written at a time, at an offset.  Linux takes memory
 * for a file's bytes in pieces as large as the write, as far as they are
 * aligned, up to a large page; and one that is virtual may have to ask its host
 * for each of these, for ten times what the write costs. */
static size_t
write_size(size_t len, uint64_t off)
{
	enum { MOST = 128 * KiB };
	size_t size = (size_t)(MOST - off % MOST);

	return len < size ? len : size;
}

int
write_full(int fd, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, write_size(len, 0));

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* open(2) that does not give up for a signal, close-on-exec. */
int
open_file(const char *path, int flags, mode_t mode)
{
	int fd;

	while ((fd = open(path, flags | O_CLOEXEC, mode)) == -1 &&
	    errno == EINTR)
		;
	return fd;
}

/* read(2) that does not give up for a signal. */
ssize_t
read_some(int fd, void *p, size_t len)
{
	ssize_t n;

	while ((n = read(fd, p, len)) == -1 && errno == EINTR)
		;
	return n;
}

/* Reads len bytes at off, fewer only at the end of the file.  Returns how
 * many, or -1 and errno. */
ssize_t
pread_full(int fd, void *data, size_t len, uint64_t off)
{
	unsigned char *p = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, p + got, len - got, (off_t)(off + got));

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int
pwrite_full(int fd, const void *data, size_t len, uint64_t off)
{
	const unsigned char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, write_size(len, off), (off_t)off);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* The first line of a small file without its end, in out; or NULL. */
char *
first_line(const char *path, char *out, size_t cap)
{
	FILE *fp = fopen(path, "re");
	char *got;

	if (fp == NULL)
		return NULL;
	got = fgets(out, (int)cap, fp);
	fclose(fp);
	if (got != NULL)
		out[strcspn(out, "\n")] = '\0';
	return got;
}

/* Processors that this process may use: its affinity mask and its control
 * group's quota, version 2 or 1.  At least 1. */
unsigned
usable_cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	char line[64], line2[64];
	long long quota = 0, period = 0;

#if LINUX
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
#endif
	if (first_line("/sys/fs/cgroup/cpu.max", line, sizeof line) != NULL) {
		if (sscanf(line, "%lld %lld", &quota, &period) != 2)
			quota = 0;
	} else if (first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", line,
	    sizeof line) != NULL && first_line(
	    "/sys/fs/cgroup/cpu/cpu.cfs_period_us", line2,
	    sizeof line2) != NULL) {
		quota = atoll(line);
		period = atoll(line2);
	}
	if (quota > 0 && period > 0) {
		long most = (long)((quota + period - 1) / period);

		if (most < n)
			n = most;
	}
	return n < 1 ? 1 : (unsigned)n;
}

/* Bytes of memory that this process may use: the machine's, or its control
 * group's limit. */
uint64_t
usable_memory(void)
{
	static const char *const limits[] = {
		"/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes",
	};
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t bytes = (uint64_t)512 * MiB, most;
	char line[64];

	if (pages > 0 && size > 0)
		bytes = (uint64_t)pages * (uint64_t)size;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		if (first_line(limits[i], line, sizeof line) != NULL &&
		    parse_number(line, &most) == 0 && most < bytes)
			bytes = most;
	return bytes;
}

/* Seven bits a byte, low ones first.  Writes up to 10 bytes, returns how
 * many. */
unsigned
varint_put(unsigned char *p, uint64_t x)
{
	unsigned n = 0;

	while (x >= 0x80) {
		p[n++] = (unsigned char)(x | 0x80);
		x >>= 7;
	}
	p[n++] = (unsigned char)x;
	return n;
}

/* varint_get for numbers of more than one byte. */
unsigned
varint_get_long(const unsigned char *p, const unsigned char *end, uint64_t *x)
{
	uint64_t v = 0;

	for (unsigned n = 0; n < 10 && p + n < end; n++) {
		v |= (uint64_t)(p[n] & 0x7f) << (7 * n);
		if ((p[n] & 0x80) == 0) {
			*x = v;
			return n + 1;
		}
	}
	return 0;
}

/* Whether word stands in MR_DEBUG, a list with commas.  The words force one
 * of several ways to the same bytes and exist for the tests; the files that
 * ask for them say what they do. */
bool
debug_word(const char *word)
{
	const char *p = getenv("MR_DEBUG");
	size_t len = strlen(word);

	while (p != NULL && *p != '\0') {
		size_t n = strcspn(p, ",");

		if (n == len && memcmp(p, word, n) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}
