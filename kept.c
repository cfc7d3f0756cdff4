/* kept.c - what mr run --append keeps in DIR/_mr from one time to the next.
 *
 *	manifest	the options, what is known of the inputs, the runs
 *	map/		a sorted run a file, as a task of a job directory
 *			commits it, by its number
 *
 * The manifest lists the runs in the order in which their input came; a
 * number is never used again.  A new state is made in a directory of its own,
 * which takes the place of the old one as a whole: runs that are in both are
 * links to one file.  The files are sealed, so what is damaged is refused. */

#define _GNU_SOURCE		/* O_DIRECTORY, O_NOFOLLOW */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static const char manifest_kind[8] = "mrkept1\n";

/* ---- the manifest */

static void
pack_known(struct buf *b, const struct known *k)
{
	seal_bytes(b, k->name, strlen(k->name));
	seal_number(b, k->ino);
	seal_number(b, k->size);
	seal_number(b, (uint64_t)k->mtime_ns);
	seal_number(b, (uint64_t)k->ctime_ns);
	seal_number(b, k->moved);
	seal_number(b, k->len);
	seal_number(b, k->sum);
	seal_bytes(b, k->head, k->len < KNOWN_HEAD ? (size_t)k->len :
	    KNOWN_HEAD);
	for (int i = 0; i < KNOWN_POWERS && KNOWN_POWER(i) <= k->len; i++)
		seal_number(b, k->powers[i]);
}

static void
unpack_known(struct unseal *u, struct known *k)
{
	const unsigned char *head;
	size_t len;

	k->name = unseal_string(u);
	k->ino = unseal_number(u, UINT64_MAX);
	k->size = unseal_number(u, UINT64_MAX);
	k->mtime_ns = (int64_t)unseal_number(u, UINT64_MAX);
	k->ctime_ns = (int64_t)unseal_number(u, UINT64_MAX);
	k->moved = unseal_number(u, 1) != 0;
	k->len = unseal_number(u, INT64_MAX);
	k->sum = unseal_number(u, UINT64_MAX);
	head = unseal_bytes(u, &len);
	if (len != (k->len < KNOWN_HEAD ? k->len : KNOWN_HEAD))
		u->bad = true;
	if (!u->bad)
		memcpy(k->head, head, len);
	for (int i = 0; i < KNOWN_POWERS && KNOWN_POWER(i) <= k->len; i++)
		k->powers[i] = unseal_number(u, UINT64_MAX);
}

static void
put_manifest(const struct kept *k, const struct jobdir *dir,
    const struct run *runs, size_t nruns)
{
	struct buf b = {0};

	seal_number(&b, k->known.key);
	seal_number(&b, dir->map_key);
	seal_number(&b, k->next);
	seal_number(&b, k->nparts);
	opt_words_seal(&b, k->words, k->nwords);
	seal_number(&b, nruns);
	for (size_t i = 0; i < nruns; i++)
		seal_number(&b, runs[i].seq);
	seal_number(&b, k->known.n);
	for (size_t i = 0; i < k->known.n; i++)
		pack_known(&b, k->known.v + i);
	jobdir_put(dir, "manifest", &b, manifest_kind, true);
	buf_free(&b);
}

static size_t
unpack_count(struct unseal *u)
{
	return (size_t)unseal_number(u, (uint64_t)(u->end - u->p));
}

/* Reads the manifest.  False if there is none. */
static bool
get_manifest(struct kept *k)
{
	struct buf b = {0};
	struct unseal u;
	int got = jobdir_get(&k->dir, "manifest", &b, manifest_kind);

	if (got == 0)
		return false;
	u = (struct unseal){ b.p, b.p + b.len, got == -1 };
	k->known.key = unseal_number(&u, UINT64_MAX);
	k->dir.map_key = unseal_number(&u, UINT64_MAX);
	k->next = (uint32_t)unseal_number(&u, UINT32_MAX);
	k->nparts = (uint32_t)unseal_number(&u, UINT32_MAX);
	k->words = opt_words_unseal(&u, &k->nwords);
	k->nruns = unpack_count(&u);
	k->runs = xzalloc(k->nruns, sizeof *k->runs);
	for (size_t i = 0; i < k->nruns; i++)
		k->runs[i].seq = (uint32_t)unseal_number(&u, UINT32_MAX);
	k->known.n = unpack_count(&u);
	k->known.v = xzalloc(k->known.n, sizeof *k->known.v);
	for (size_t i = 0; i < k->known.n && !u.bad; i++)
		unpack_known(&u, k->known.v + i);
	if (u.bad || u.p != u.end)
		refuse("%s/manifest: it is damaged, or of another version of "
		    "mr; --overwrite makes %s anew", k->dir.path, k->outpath);
	buf_free(&b);
	return true;
}

/* A draft may have a name in tmp/ for a moment; who is killed leaves it. */
static void
drop_tmp(const struct jobdir *dir)
{
	jobdir_sweep(dir);
	unlinkat(dir->fd, "tmp", AT_REMOVEDIR);
}

/* Opens the state in an output directory, which is locked, or begins one if
 * that does not exist or is empty. */
struct kept *
kept_open(const char *outpath)
{
	struct kept *k = xzalloc(1, sizeof *k);
	struct stat st;
	bool exists = stat(outpath, &st) == 0;

	k->outpath = outpath;
	k->dir.fd = -1;
	k->dir.path = xasprintf("%s/_mr", outpath);
	k->dir.sync = true;
	if (exists)
		k->dir.fd = open_file(k->dir.path, O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW, 0);
	if (exists && k->dir.fd == -1 && errno != ENOENT) {
		say_errno("%s", k->dir.path);
		refuse("nothing was run");
	}
	if (k->dir.fd != -1 && fstat(k->dir.fd, &st) == 0 &&
	    st.st_uid != geteuid())
		refuse("%s: it belongs to another user", k->dir.path);
	k->made = k->dir.fd != -1 && get_manifest(k);
	if (k->made) {
		drop_tmp(&k->dir);
		return k;
	}
	if (exists && (k->dir.fd != -1 || !scratch_is_empty(outpath)))
		refuse("-O %s: it exists, and was not made with --append",
		    outpath);
	k->known.key = digest_key();
	k->dir.map_key = random_seed();
	return k;
}

static bool
matters(unsigned flags)
{
	return (flags & OPT_SAME_APPEND) != 0 ||
	    (flags & (OPT_FREE | OPT_FREE_APPEND)) == 0;
}

/* Refuses other commands, keys and the like than those that the runs were
 * made with; takes the options over where there are none yet. */
void
kept_compare(struct kept *k, const struct cmd *cmd, char **words,
    size_t nwords, uint32_t nparts)
{
	struct opt_diff o;

	if (k->words == NULL) {
		k->words = words;
		k->nwords = nwords;
		k->nparts = nparts;
		return;
	}
	opt_diff_begin(&o, cmd, matters, k->words, k->nwords, words, nwords);
	if (!opt_diff_next(&o)) {
		opt_diff_end(&o);
		if (k->nparts != nparts)
			refuse("%s: it was made with -R %lu", k->outpath,
			    (unsigned long)k->nparts);
		return;
	}
	if (o.x == NULL)
		refuse("%s: it was made without %s", k->outpath, o.y);
	if (o.y == NULL)
		refuse("%s: it was made with %s", k->outpath, o.x);
	refuse("%s: it was made with %s, not with %s", k->outpath, o.x, o.y);
}

/* ---- runs */

static _Noreturn void
lost(const struct kept *k, uint32_t number)
{
	die("%s/map/%06lu: it is damaged or gone; --overwrite makes %s anew, "
	    "of all that there is still", k->dir.path,
	    (unsigned long)number, k->outpath);
}

/* Opens the runs, each as a store behind those that there are. */
void
kept_stores(struct kept *k, struct job *job, uint32_t base)
{
	k->base = base;
	job->stores = xrealloc(job->stores, base + k->nruns,
	    sizeof *job->stores);
	for (size_t i = 0; i < k->nruns; i++) {
		uint32_t number = k->runs[i].seq;
		struct store *s = job->stores + base + i;
		struct commit c;

		*s = (struct store){ .mem = -1, .disk = -1,
		    .dir = k->dir.path, .cure = "--overwrite makes the "
		    "output anew, of all that there is still" };
		s->disk = commit_read(&k->dir, false, number, &c);
		if (s->disk < 0 || c.nruns != 1)
			lost(k, number);
		s->path = commit_path(&k->dir, false, number);
		s->disklen = c.data;
		s->sums = c.sums;
		s->checked = xzalloc(c.nsums / 8 + 1, 1);
		k->runs[i] = c.runs[0];
		k->runs[i].at.store = base + (uint32_t)i;
		k->runs[i].first = k->runs[i].last = (uint32_t)i;
		k->runs[i].seq = number;
		c.sums = NULL;
		commit_free(&c);
	}
}

/* The same file in the new state, if that can be. */
static bool
link_run(const struct kept *k, const struct jobdir *to, uint32_t number)
{
	char *old = commit_path(&k->dir, false, number);
	char *new = commit_path(to, false, number);
	bool ok = link(old, new) == 0;

	free(old);
	free(new);
	return ok;
}

static void
copy_run(const struct job *job, struct jobdir *to, const struct run *run,
    uint32_t number)
{
	const struct store *s = job->stores + run->at.store;
	struct run r = *run;
	struct commit c = { .task = number, .data = run->at.len, .runs = &r,
	    .nruns = 1 };
	unsigned char *p = xrealloc(NULL, MiB, 1);
	struct draft d;

	r.at.off = 0;
	if (draft_open(&d, to->fd) == -1)
		die_errno("%s", to->path);
	store_check(s, run->at.off, run->at.len);
	for (uint64_t done = 0; done < run->at.len; ) {
		size_t n = run->at.len - done < MiB ?
		    (size_t)(run->at.len - done) : MiB;

		if (pread_full(store_fd(s, &run->at), p, n, run->at.off +
		    done) != (ssize_t)n)
			die_errno("%s: reading temporary data", s->dir);
		if (pwrite_full(d.fd, p, n, done) == -1)
			die_errno("%s: writing a run", to->path);
		done += n;
	}
	commit_put(to, &d, &c);
	free(p);
}

static void
make_dir(const struct jobdir *dir, const char *name)
{
	if (mkdirat(dir->fd, name, 0700) == -1 && errno != EEXIST)
		die_errno("%s/%s", dir->path, name);
}

/* Writes the state with these runs into a directory. */
void
kept_save(struct kept *k, const struct job *job, const char *outdir,
    struct run *runs, size_t nruns)
{
	struct jobdir to = { .sync = true, .map_key = k->dir.map_key,
	    .waiting_most = 1 };

	to.path = xasprintf("%s/_mr", outdir);
	to.fd = open_file(to.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (to.fd == -1)
		die_errno("%s", to.path);
	make_dir(&to, "map");
	make_dir(&to, "tmp");
	for (size_t i = 0; i < nruns; i++) {
		bool old = runs[i].at.store >= k->base &&
		    runs[i].at.store - k->base < k->nruns;

		if (!old) {
			runs[i].seq = k->next++;
			copy_run(job, &to, runs + i, runs[i].seq);
		} else if (!link_run(k, &to, runs[i].seq)) {
			copy_run(job, &to, runs + i, runs[i].seq);
		}
	}
	put_manifest(k, &to, runs, nruns);
	drop_tmp(&to);
	close(to.fd);
	free(to.waiting);
	free(to.path);
}

/* Writes what is known of the inputs, of which there is nothing new, into
 * the state as it is. */
void
kept_note(struct kept *k)
{
	make_dir(&k->dir, "tmp");
	put_manifest(k, &k->dir, k->runs, k->nruns);
	drop_tmp(&k->dir);
}
