/* store.c - where runs, finished parts and blocks of a stream live.
 *
 * A store is behind file descriptors, never behind a name: a memory file up
 * to its share of the budget, then an unlinked file in a temporary
 * directory.  The driver opens all stores before it forks the workers, so
 * that every worker reads every run, what a killed worker has committed
 * stays readable, and nothing is left behind however we die.
 *
 * Only one process appends to a store at a time.  Bytes are written once:
 * an offset whose bytes a reader or a pipe may still see is never written
 * again.  store_pick chooses memory or disk and the offset, store_append
 * adds bytes there, store_keep makes them stay; what is not kept is written
 * over by the next store_pick.  A range that has been read for the last time
 * is given back, or is begun anew by store_reuse. */

#define _GNU_SOURCE		/* O_TMPFILE, memfd_create, fallocate */
#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

#if LINUX
#include <sys/vfs.h>
#define EXT4_MAGIC 0xEF53	/* also of its forerunners */
#endif

#define ROOMY ((uint64_t)1 << 30)
enum {
	SYNC_EVERY = 1 * MiB,	/* start write-back after so many bytes */
	FORGET_BEHIND = 16 * MiB,	/* drop them from the page cache */
	AHEAD_PART = 8,		/* of what is there, allocated ahead of it; */
	AHEAD_MOST = 8 * MiB,	/* no more than this */
};

/* A file in dir without a name.  Returns -1 and errno if that fails. */
int
store_open_temp(const char *dir)
{
	char path[PATH_ROOM];
	int fd;

#if LINUX
	fd = open_file(dir, O_TMPFILE | O_RDWR, 0600);
	if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR &&
	    errno != ENOENT && errno != EINVAL))
		return fd;
#endif
	/* Not every file system has O_TMPFILE (NFS, old overlayfs). */
	if ((size_t)snprintf(path, sizeof path, "%s/mr-XXXXXX", dir) >=
	    sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkstemp(path);
	if (fd != -1 && (unlink(path) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A file that is memory, or -1 where there is no such thing. */
int
store_memfd(void)
{
#if LINUX
	return memfd_create("mr", MFD_CLOEXEC);
#else
	return -1;
#endif
}

/* Whether blocks of a file should be allocated before they are written: ext4
 * takes less time for a write then, and so much space can be spared. */
static bool
is_roomy(int fd)
{
#if LINUX
	struct statfs f;

	return fstatfs(fd, &f) == 0 && f.f_type == EXT4_MAGIC &&
	    (uint64_t)f.f_bavail * (uint64_t)f.f_bsize >= ROOMY;
#else
	(void)fd;
	return false;
#endif
}

/* Opens a store that may hold memmax bytes in memory, the rest in dir. */
void
store_open(struct store *s, const char *dir, uint64_t memmax)
{
	*s = (struct store){ .mem = -1, .disk = -1, .dir = dir };
	if (memmax > 0) {
		s->mem = store_memfd();
		s->memmax = s->mem == -1 ? 0 : memmax;
	}
	s->disk = store_open_temp(dir);
	if (s->disk == -1)
		die_errno("%s: cannot make a temporary file (-T DIR chooses "
		    "another directory)", dir);
	s->ahead = is_roomy(s->disk);
}

int
store_fd(const struct store *s, const struct place *at)
{
	return at->disk ? s->disk : s->mem;
}

/* Begins a range of about expect bytes. */
void
store_pick(struct store *s, uint64_t expect, struct place *at)
{
	at->disk = s->mem == -1 || expect > s->memmax ||
	    s->memlen > s->memmax - expect;
	at->off = at->disk ? s->disklen : s->memlen;
	at->len = at->room = 0;
}

/* Begins a range of about expect bytes in one that nobody reads any more,
 * if it is long enough: its memory is there already.  If there turns out to
 * be more, store_append moves it. */
void
store_reuse(struct store *s, uint64_t expect, const struct place *free,
    struct place *at)
{
	if (free->disk || free->room < expect || expect == 0) {
		store_pick(s, expect, at);
		return;
	}
	*at = *free;
	at->len = 0;
}

static uint64_t
place_size(const struct place *at)
{
	return at->room > at->len ? at->room : at->len;
}

/* A range that has no room for more bytes goes where there is. */
static void
move_range(struct store *s, struct place *at, size_t more)
{
	struct place old = *at;
	struct buf b = {0};
	uint64_t done = 0;

	store_pick(s, old.len + more, at);
	while (done < old.len) {
		size_t n = old.len - done < MiB ? (size_t)(old.len - done) :
		    MiB;

		if (pread_full(store_fd(s, &old), buf_reserve(&b, n), n,
		    old.off + done) != (ssize_t)n)
			die_errno("%s: reading temporary data", s->dir);
		store_append(s, at, b.p, n);
		done += n;
	}
	store_free(s, &old);
	buf_free(&b);
}

/* A long spill neither evicts the input nor stalls in one big flush: its
 * write-back is started early and finished bytes leave the page cache. */
static void
pace(struct store *s, uint64_t end)
{
#if LINUX
	if (s->synced < s->unpaced)
		s->synced = s->unpaced;
	while (end > s->synced && end - s->synced >= SYNC_EVERY) {
		sync_file_range(s->disk, (off_t)s->synced, SYNC_EVERY,
		    SYNC_FILE_RANGE_WRITE);
		if (s->synced >= s->unpaced + FORGET_BEHIND)
			posix_fadvise(s->disk,
			    (off_t)(s->synced - FORGET_BEHIND), SYNC_EVERY,
			    POSIX_FADV_DONTNEED);
		s->synced += SYNC_EVERY;
	}
#else
	(void)s;
	(void)end;
#endif
}

/* Has blocks for what is written up to end, and for some of what follows;
 * if there are none, writing says so. */
static void
allocate(struct store *s, uint64_t end)
{
#if LINUX
	uint64_t more = end / AHEAD_PART < AHEAD_MOST ? end / AHEAD_PART :
	    AHEAD_MOST;

	if (s->allocated < s->disklen)
		s->allocated = s->disklen;
	if (!s->ahead || end <= s->allocated)
		return;
	end += more;
	if (fallocate(s->disk, FALLOC_FL_KEEP_SIZE, (off_t)s->allocated,
	    (off_t)(end - s->allocated)) == -1)
		s->ahead = false;
	s->allocated = end;
#else
	(void)s;
	(void)end;
#endif
}

/* Adds bytes to a range begun by store_pick.  Ends the process if there is
 * no room: with the directory and the option that names another. */
void
store_append(struct store *s, struct place *at, const void *data, size_t len)
{
	uint64_t off;

	if (at->room != 0 && at->room - at->len < len)
		move_range(s, at, len);
	off = at->off + at->len;
	if (at->disk)
		allocate(s, off + len);
	if (pwrite_full(store_fd(s, at), data, len, off) == -1) {
		char all[16];

		if (!at->disk && (errno == ENOSPC || errno == ENOMEM))
			die_errno("temporary data in memory (a smaller -S "
			    "puts it into %s)", s->dir);
		die_errno("%s: writing %s, %s of this worker's so far (%s)",
		    s->dir, s->cure != NULL ? "what a task has made" :
		    "temporary data", human_bytes(off + len, all, sizeof all),
		    s->cure != NULL ? s->cure : "-T DIR chooses another "
		    "directory");
	}
	at->len += len;
	if (at->disk)
		pace(s, off + len);
}

/* Adds bytes to a range that may become any length: it goes on on disk before
 * it exceeds what is allowed in memory. */
void
store_grow(struct store *s, struct place *at, const void *data, size_t len)
{
	if (!at->disk && at->room == 0 &&
	    at->off + at->len + len > s->memmax)
		move_range(s, at, len);
	store_append(s, at, data, len);
}

void
store_keep(struct store *s, const struct place *at)
{
	uint64_t end = at->off + (at->disk ? at->len : place_size(at));

	if (at->disk && end > s->disklen)
		s->disklen = end;
	else if (!at->disk && end > s->memlen)
		s->memlen = end;
}

/* Opens the file of a store that is one, as it is about to be read. */
void
store_use(struct store *s)
{
	if (s->path == NULL || s->disk != -1)
		return;
	s->disk = open_file(s->path, O_RDONLY, 0);
	if (s->disk == -1)
		die_errno("%s", s->path);
}

/* Closes it again, as there may be many. */
void
store_leave(struct store *s)
{
	if (s->path != NULL && s->disk != -1) {
		close(s->disk);
		s->disk = -1;
	}
}

/* Ends the process unless a range of bytes, which is about to be read, is
 * what the checksums of a committed file say.  Each piece is looked at
 * once. */
void
store_check(const struct store *s, uint64_t off, uint64_t len)
{
	uint64_t end = off + len < s->disklen ? off + len : s->disklen;
	unsigned char *p = NULL;

	if (s->sums == NULL)
		return;
	for (uint64_t i = off / SUM_EVERY; i * SUM_EVERY < end; i++) {
		uint64_t at = i * SUM_EVERY;
		size_t n = s->disklen - at < SUM_EVERY ?
		    (size_t)(s->disklen - at) : SUM_EVERY;

		if (s->checked[i / 8] & 1 << i % 8)
			continue;
		if (p == NULL)
			p = xrealloc(NULL, SUM_EVERY, 1);
		if (pread_full(s->disk, p, n, at) != (ssize_t)n)
			die_errno("%s", s->path);
		if (checksum(0, p, n) != s->sums[i])
			die("%s: it is damaged; %s", s->path, s->cure);
		s->checked[i / 8] |= (unsigned char)(1 << i % 8);
	}
	free(p);
}

void
store_close(struct store *s)
{
	if (s->mem != -1)
		close(s->mem);
	close(s->disk);
	s->mem = s->disk = -1;
}

/* Forgets all that is in a store. */
void
store_empty(struct store *s)
{
	if ((s->mem != -1 && ftruncate(s->mem, 0) == -1) ||
	    ftruncate(s->disk, 0) == -1)
		die_errno("%s: emptying a temporary file", s->dir);
	s->memlen = s->disklen = s->synced = s->allocated = 0;
}

/* Gives back the space of a range that nobody will read again.  The range
 * reads as zeros afterwards, or as before: either is harmless.  What has not
 * been written to disk stays, as some systems would write it first. */
void
store_punch(const struct store *s, const struct place *at, uint64_t off,
    uint64_t len)
{
#if LINUX
	if (len > 0 && s->path == NULL &&
	    (!at->disk || off + len > s->unpaced))
		fallocate(store_fd(s, at),
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		    (off_t)len);
#else
	(void)s;
	(void)at;
	(void)off;
	(void)len;
#endif
}

/* Gives back all of a range. */
void
store_free(const struct store *s, const struct place *at)
{
	store_punch(s, at, at->off, place_size(at));
}

/* Sends bytes through the compression program, or with unpack through
 * `PROG -d', and appends what comes out to out.  Both ends are files, so
 * nothing can block on the other.  -1 if it fails; it will have said why. */
int
store_pack(const struct store *s, const char *prog, bool unpack,
    const void *data, size_t len, struct buf *out)
{
	int from = store_memfd(), to = store_memfd(), ret = -1;
	off_t end;

	if (from == -1)
		from = store_open_temp(s->dir);
	if (to == -1)
		to = store_open_temp(s->dir);
	if (from == -1 || to == -1)
		die_errno("%s: cannot make a temporary file", s->dir);
	if (write_full(from, data, len) == -1 ||
	    lseek(from, 0, SEEK_SET) == -1)
		die_errno("%s: writing temporary data", s->dir);
	if (proc_filter(prog, unpack, from, to) == 0 &&
	    (end = lseek(to, 0, SEEK_END)) != -1) {
		unsigned char *p = buf_reserve(out, (size_t)end);

		if (pread_full(to, p, (size_t)end, 0) == end) {
			out->len += (size_t)end;
			ret = 0;
		}
	}
	close(from);
	close(to);
	return ret;
}
