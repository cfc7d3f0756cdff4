/* commit.c - what a task leaves in a job directory: map/N or reduce/N, a
 * sealed file with its output, the runs in it, and what it has counted.
 *
 * That file is the only truth about a task.  It is linked to its name when
 * it is whole and durable, and the first one wins, so an attempt that was
 * repeated, forgotten or run by two at once does no harm.  It carries the
 * key of the plan that it was made for: one of another plan is none.
 *
 * A commit costs the writing of two files' blocks, whatever is in them, so
 * tasks that are over within a moment wait for each other: commit_put makes
 * the file and commit_sync gives all that wait their names.
 *
 * The data has a checksum every 64 KiB.  Whoever reads it as a store has
 * each piece checked when it is first read (store.c). */

#define _GNU_SOURCE		/* O_DIRECTORY */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static const char kinds[2][8] = { "mrmap02\n", "mrpart2\n" };

static void
name_of(char name[32], bool reduce, uint32_t task)
{
	snprintf(name, 32, "%s/%06lu", reduce ? "reduce" : "map",
	    (unsigned long)task);
}

static uint64_t
key_of(const struct jobdir *dir, bool reduce)
{
	return reduce ? dir->part_key : dir->map_key;
}

char *
commit_path(const struct jobdir *dir, bool reduce, uint32_t task)
{
	char name[32];

	name_of(name, reduce, task);
	return xasprintf("%s/%s", dir->path, name);
}

/* Checksums of the data, as it stands in the file. */
static void
sum_data(const struct jobdir *dir, int fd, uint64_t data, struct buf *body)
{
	unsigned char *p = xrealloc(NULL, SUM_EVERY, 1), be[4];

	for (uint64_t off = 0; off < data; off += SUM_EVERY) {
		size_t n = data - off < SUM_EVERY ? (size_t)(data - off) :
		    SUM_EVERY;

		if (pread_full(fd, p, n, off) != (ssize_t)n)
			die_errno("%s: reading what a task has written",
			    dir->path);
		store_be32(be, checksum(0, p, n));
		buf_put(body, be, 4);
	}
	free(p);
}

/* Completes a task's file, which waits from now on for commit_sync.  Takes
 * the draft over. */
void
commit_put(struct jobdir *dir, struct draft *d, const struct commit *c)
{
	struct buf body = {0};
	struct waiting *w;

	seal_number(&body, key_of(dir, c->reduce) >> 32);
	seal_number(&body, key_of(dir, c->reduce) & UINT32_MAX);
	seal_number(&body, c->task);
	seal_number(&body, c->attempt);
	seal_number(&body, c->split);
	seal_number(&body, c->stats.in);
	seal_number(&body, c->stats.out);
	seal_number(&body, c->stats.unread);
	seal_number(&body, c->stats.partial);
	seal_number(&body, c->records);
	seal_number(&body, c->nothing);
	seal_number(&body, c->forgone);
	seal_number(&body, c->skipped);
	seal_bytes(&body, c->bad.p, c->bad.len);
	seal_bytes(&body, c->counters.p, c->counters.len);
	seal_number(&body, c->nruns);
	for (size_t i = 0; i < c->nruns; i++) {
		const struct run *r = c->runs + i;

		seal_number(&body, r->at.off);
		seal_number(&body, r->at.len);
		seal_number(&body, r->data);
		seal_number(&body, r->nblocks);
		seal_number(&body, r->records);
		seal_number(&body, r->weight);
	}
	sum_data(dir, d->fd, c->data, &body);
	seal(&body, c->data, kinds[c->reduce]);
	if (pwrite_full(d->fd, body.p, body.len, c->data) == -1)
		die_errno("%s: writing what a task has made", dir->path);
	buf_free(&body);
	if (dir->waiting == NULL)
		dir->waiting = xzalloc(dir->waiting_most,
		    sizeof *dir->waiting);
	if (dir->nwaiting == 0)
		dir->since = now_ns();
	w = dir->waiting + dir->nwaiting++;
	*w = (struct waiting){ *d, c->task, c->reduce };
	*d = (struct draft){ .fd = -1 };
	if (dir->nwaiting == dir->waiting_most)
		commit_sync(dir);
}

/* The names in a directory of the job directory are durable. */
static void
sync_names(const struct jobdir *dir, const char *name)
{
	int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || fsync(fd) == -1)
		die_errno("%s/%s", dir->path, name);
	close(fd);
}

/* Gives what waits its names.  A task that has been committed meanwhile
 * stays as it is. */
void
commit_sync(struct jobdir *dir)
{
	bool linked[2] = { false, false };

	for (size_t i = 0; i < dir->nwaiting && dir->sync; i++)
		if (fsync(dir->waiting[i].draft.fd) == -1)
			die_errno("%s: writing what a task has made",
			    dir->path);
	for (size_t i = 0; i < dir->nwaiting; i++) {
		struct waiting *w = dir->waiting + i;
		char name[32];

		name_of(name, w->reduce, w->task);
		if (draft_link(&w->draft, name) == -1)
			die_errno("%s/%s", dir->path, name);
		draft_close(&w->draft);
		linked[w->reduce] = true;
	}
	dir->nwaiting = 0;
	if (linked[0] && dir->sync)
		sync_names(dir, "map");
	if (linked[1] && dir->sync)
		sync_names(dir, "reduce");
}

static bool
run_fits(const struct run *r, uint64_t data)
{
	return r->at.off <= data && r->at.len <= data - r->at.off &&
	    r->data <= r->at.len && r->nblocks <= r->at.len;
}

/* Reads the body.  -1 if it says what cannot be. */
static int
parse(const struct jobdir *dir, bool reduce, uint32_t task,
    const struct buf *body, uint64_t data, struct commit *c)
{
	struct unseal u = { body->p, body->p + body->len, false };
	const unsigned char *counters, *bad;
	size_t len, badlen;
	uint64_t key;

	*c = (struct commit){ .task = task, .reduce = reduce, .data = data };
	key = unseal_number(&u, UINT32_MAX) << 32;
	key |= unseal_number(&u, UINT32_MAX);
	if (unseal_number(&u, UINT32_MAX) != task ||
	    key != key_of(dir, reduce))
		return -1;
	c->attempt = (uint32_t)unseal_number(&u, UINT32_MAX);
	c->split = unseal_number(&u, UINT64_MAX);
	c->stats.in = unseal_number(&u, UINT64_MAX);
	c->stats.out = unseal_number(&u, UINT64_MAX);
	c->stats.unread = unseal_number(&u, UINT64_MAX);
	c->stats.partial = unseal_number(&u, 1) != 0;
	c->records = unseal_number(&u, UINT64_MAX);
	c->nothing = unseal_number(&u, 1) != 0;
	c->forgone = unseal_number(&u, 1) != 0;
	c->skipped = unseal_number(&u, UINT64_MAX);
	bad = unseal_bytes(&u, &badlen);
	counters = unseal_bytes(&u, &len);
	if (!u.bad) {
		buf_put(&c->counters, counters, len);
		buf_put(&c->bad, bad, badlen);
	}
	c->nruns = (size_t)unseal_number(&u, data);
	if (u.bad || c->nruns > (size_t)(u.end - u.p)) {
		commit_free(c);
		return -1;
	}
	c->runs = xzalloc(c->nruns, sizeof *c->runs);
	for (size_t i = 0; i < c->nruns; i++) {
		struct run *r = c->runs + i;

		r->at.off = unseal_number(&u, data);
		r->at.len = unseal_number(&u, data);
		r->at.store = dir->base + task;
		r->at.disk = true;
		r->data = unseal_number(&u, data);
		r->nblocks = unseal_number(&u, data);
		r->records = unseal_number(&u, UINT64_MAX);
		r->weight = unseal_number(&u, UINT64_MAX);
		r->first = r->last = task;
		r->seq = (uint32_t)i;
		u.bad |= !run_fits(r, data);
	}
	c->nsums = (size_t)((data + SUM_EVERY - 1) / SUM_EVERY);
	if (u.bad || (size_t)(u.end - u.p) != 4 * c->nsums) {
		commit_free(c);
		return -1;
	}
	c->sums = xzalloc(c->nsums, sizeof *c->sums);
	for (size_t i = 0; i < c->nsums; i++)
		c->sums[i] = load_be32(u.p + 4 * i);
	return 0;
}

void
commit_free(struct commit *c)
{
	buf_free(&c->counters);
	buf_free(&c->bad);
	free(c->runs);
	free(c->sums);
	*c = (struct commit){0};
}

/* Reads what a task has committed, but not its data.  Returns its
 * descriptor, the caller's to close, or -1 when there is none, -2 when it is
 * damaged or of another plan. */
int
commit_read(const struct jobdir *dir, bool reduce, uint32_t task,
    struct commit *c)
{
	struct buf body = {0};
	uint64_t data;
	char name[32];
	int fd, got;

	name_of(name, reduce, task);
	fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT)
		return -1;
	if (fd == -1)
		die_errno("%s/%s", dir->path, name);
	got = seal_read(fd, kinds[reduce], &body, &data);
	if (got == -1 && errno != 0)
		die_errno("%s/%s", dir->path, name);
	if (got == 0)
		got = parse(dir, reduce, task, &body, data, c);
	buf_free(&body);
	if (got == 0)
		return fd;
	close(fd);
	return -2;
}

/* Opens what a task has committed as a part of the output: by its number
 * among the stores. */
int
commit_result(const struct jobdir *dir, uint32_t store)
{
	uint32_t n = store - dir->base - dir->nmaps;
	struct commit c;
	int fd = commit_read(dir, dir->reduces, n, &c);

	if (fd < 0)
		die("%s: a part of the output is gone", dir->path);
	commit_free(&c);
	return fd;
}

/* Adds what a task has counted, if it is committed. */
void
commit_counters(const struct jobdir *dir, bool reduce, uint32_t task,
    struct counters *sum)
{
	struct commit c;
	int fd = commit_read(dir, reduce, task, &c);

	if (fd < 0)
		return;
	close(fd);
	counters_load(sum, c.counters.p, c.counters.len);
	commit_free(&c);
}

/* Takes a file that is damaged away, so that its task can be run again. */
void
commit_remove(const struct jobdir *dir, bool reduce, uint32_t task)
{
	char name[32];

	name_of(name, reduce, task);
	if (unlinkat(dir->fd, name, 0) == -1)
		die_errno("%s/%s", dir->path, name);
}

/* Adds stores for the files of so many map tasks behind those that there
 * are, of which there are base without them. */
struct store *
commit_stores(struct jobdir *dir, struct store *stores, uint32_t base,
    uint32_t nmaps)
{
	if (nmaps <= dir->nmaps)
		return stores;
	stores = xrealloc(stores, (size_t)base + nmaps, sizeof *stores);
	for (uint32_t i = dir->nmaps; i < nmaps; i++)
		stores[base + i] = (struct store){ .mem = -1, .disk = -1 };
	dir->base = base;
	dir->nmaps = nmaps;
	return stores;
}

/* Opens a task's file as a store that is read.  It must be there. */
void
commit_open(const struct jobdir *dir, struct store *s, bool reduce,
    uint32_t task)
{
	struct commit c;
	char name[32];
	int fd;

	if (s->disk != -1)
		return;
	name_of(name, reduce, task);
	fd = commit_read(dir, reduce, task, &c);
	if (fd < 0)
		die("%s/%s: %s", dir->path, name, fd == -1 ? "it is gone" :
		    "it is damaged; without it mr resume runs its task again");
	if (s->path == NULL)
		s->path = commit_path(dir, reduce, task);
	s->dir = dir->path;
	s->cure = "without it mr resume runs its task again";
	s->mem = -1;
	s->disk = fd;
	s->disklen = c.data;
	free(s->sums);
	s->sums = c.sums;
	if (s->checked == NULL)
		s->checked = xzalloc(c.nsums / 8 + 1, 1);
	c.sums = NULL;
	commit_free(&c);
}

/* Whether all of the data of a task's file is what its checksums say. */
bool
commit_is_sound(int fd, const struct commit *c)
{
	unsigned char *p = xrealloc(NULL, SUM_EVERY, 1);
	bool sound = true;

	for (uint64_t off = 0, i = 0; sound && off < c->data;
	    off += SUM_EVERY, i++) {
		size_t n = c->data - off < SUM_EVERY ?
		    (size_t)(c->data - off) : SUM_EVERY;

		sound = pread_full(fd, p, n, off) == (ssize_t)n &&
		    checksum(0, p, n) == c->sums[i];
	}
	free(p);
	return sound;
}
