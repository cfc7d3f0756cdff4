/* jobplan.c - the plan in a job directory, and whether what is asked for now
 * is the same job.
 *
 * The plan holds the options as they were given, the working directory, the
 * inputs as they were then, and the split of every map task; what an option
 * means is not its business.  Options that can change the output must be
 * the same when the job goes on (opt.c knows which), and inputs that
 * committed tasks have read must be what they were. */

#define _GNU_SOURCE		/* st_mtim */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

static const char plan_kind[8] = "mrplan1\n";
const char jobplan_cuts_kind[8] = "mrcuts1\n";

struct ask jobplan_ask;

/* ---- the file */

static void
pack_string(struct buf *b, const char *s)
{
	seal_bytes(b, s, strlen(s));
}

static void
pack_key(struct buf *b, uint64_t key)
{
	seal_number(b, key >> 32);
	seal_number(b, key & UINT32_MAX);
}

static uint64_t
unpack_key(struct unseal *u)
{
	uint64_t high = unseal_number(u, UINT32_MAX);

	return high << 32 | unseal_number(u, UINT32_MAX);
}

static void
write_plan(const struct jobdir *dir, const struct jobplan *p)
{
	struct buf b = {0};

	pack_string(&b, p->id);
	pack_string(&b, p->cwd);
	pack_key(&b, p->map_key);
	pack_key(&b, p->reduce_key);
	seal_number(&b, p->block);
	seal_number(&b, p->nrecords);
	seal_number(&b, p->drawn);
	pack_key(&b, p->last.hash);
	seal_number(&b, p->last.off);
	seal_number(&b, p->last.file);
	seal_number(&b, p->sorts);
	opt_words_seal(&b, p->words, p->nwords);
	seal_number(&b, p->nfiles);
	for (size_t i = 0; i < p->nfiles; i++) {
		const struct file *f = p->files + i;

		pack_string(&b, f->name);
		seal_number(&b, f->path != NULL);
		seal_number(&b, f->size);
		seal_number(&b, f->copied);
		seal_number(&b, f->codec);
		seal_number(&b, f->ino);
		seal_number(&b, (uint64_t)f->mtime_ns);
	}
	seal_number(&b, p->nsplits);
	for (size_t i = 0; i < p->nsplits; i++) {
		const struct split *s = p->splits + i;

		seal_number(&b, s->file);
		seal_number(&b, s->nfiles);
		seal_number(&b, s->off);
		seal_number(&b, s->len);
		seal_number(&b, s->head);
		seal_number(&b, (unsigned)s->exact | (unsigned)s->empty << 1 |
		    (unsigned)s->whole << 2 | (unsigned)s->generated << 3);
	}
	jobdir_put(dir, "plan", &b, plan_kind, true);
	buf_free(&b);
}

static void
unpack_files(struct unseal *u, const struct jobdir *dir, struct jobplan *p)
{
	p->nfiles = (size_t)unseal_number(u, (uint64_t)(u->end - u->p));
	p->files = xzalloc(p->nfiles, sizeof *p->files);
	for (size_t i = 0; i < p->nfiles && !u->bad; i++) {
		struct file *f = p->files + i;

		f->name = unseal_string(u);
		if (unseal_number(u, 1) != 0)
			f->path = xasprintf("%s/input/%zu", dir->path, i);
		f->size = unseal_number(u, INT64_MAX);
		f->copied = unseal_number(u, INT64_MAX);
		f->codec = (uint8_t)unseal_number(u, UINT8_MAX);
		f->ino = unseal_number(u, UINT64_MAX);
		f->mtime_ns = (int64_t)unseal_number(u, UINT64_MAX);
	}
}

static void
unpack_splits(struct unseal *u, struct jobplan *p)
{
	p->nsplits = (size_t)unseal_number(u, (uint64_t)(u->end - u->p));
	p->splits = xzalloc(p->nsplits, sizeof *p->splits);
	for (size_t i = 0; i < p->nsplits && !u->bad; i++) {
		struct split *s = p->splits + i;
		unsigned flags;

		s->file = (uint32_t)unseal_number(u, UINT32_MAX);
		s->nfiles = (uint32_t)unseal_number(u, UINT32_MAX);
		s->off = unseal_number(u, INT64_MAX);
		s->len = unseal_number(u, INT64_MAX);
		s->head = unseal_number(u, INT64_MAX);
		flags = (unsigned)unseal_number(u, 15);
		s->exact = flags & 1;
		s->empty = flags & 2;
		s->whole = flags & 4;
		s->generated = flags & 8;
		if (!s->empty && !s->generated && (s->file >= p->nfiles ||
		    s->nfiles > p->nfiles - s->file))
			u->bad = true;
	}
}

/* Reads the plan.  False if there is none; refuses one that is damaged. */
bool
jobplan_read(struct jobdir *dir, struct jobplan *p)
{
	struct buf b = {0};
	struct unseal u;
	int got = jobdir_get(dir, "plan", &b, plan_kind);

	*p = (struct jobplan){0};
	if (got == 0)
		return false;
	u = (struct unseal){ b.p, b.p + b.len, got == -1 };
	p->id = unseal_string(&u);
	p->cwd = unseal_string(&u);
	p->map_key = unpack_key(&u);
	p->reduce_key = unpack_key(&u);
	p->block = unseal_number(&u, UINT64_MAX);
	p->nrecords = unseal_number(&u, UINT64_MAX);
	p->drawn = unseal_number(&u, 1) != 0;
	p->last.hash = unpack_key(&u);
	p->last.off = unseal_number(&u, UINT64_MAX);
	p->last.file = (uint32_t)unseal_number(&u, UINT32_MAX);
	p->sorts = unseal_number(&u, 1) != 0;
	p->words = opt_words_unseal(&u, &p->nwords);
	unpack_files(&u, dir, p);
	unpack_splits(&u, p);
	if (u.bad || u.p != u.end || p->nsplits == 0)
		refuse("%s/plan: it is damaged, or of another version of mr",
		    dir->path);
	buf_free(&b);
	dir->map_key = p->map_key;
	dir->reduce_key = p->reduce_key;
	return true;
}

/* How many reduce tasks there are, if that is known by now; from here on
 * what they have committed can be read. */
uint64_t
jobplan_parts(struct jobdir *dir, bool *known)
{
	struct buf b = {0};
	struct unseal u;
	int got = jobdir_get(dir, "cuts", &b, jobplan_cuts_kind);
	uint64_t n;

	u = (struct unseal){ b.p, b.p + b.len, got != 1 };
	unpack_key(&u);
	n = unseal_number(&u, UINT32_MAX);
	dir->part_key = dir->reduce_key ^ checksum(0, b.p, b.len);
	buf_free(&b);
	*known = !u.bad;
	return n;
}

/* ---- a new plan */

/* There are no workers yet: a signal ends the process. */
static void
look_at_signals(void)
{
	int sig = proc_signal();

	if (sig != 0) {
		if (diag_at_death != NULL)
			diag_at_death();
		proc_end_by(sig < 0 ? -sig : sig);
	}
	if (proc_take_stop())
		proc_stop_self();
}

/* Copies what can be read once only into the directory. */
static void
copy_stream(struct driver *d, size_t i)
{
	struct job *job = d->job;
	struct jobdir *dir = job->jobdir;
	struct file *f = job->input.files + i;
	struct draft draft;
	struct store spool;
	struct form bytes = form_of(&job->shape.fmt);
	struct stream *s;
	struct split all;
	struct buf before = {0}, why = {0};
	char name[40];
	int got = 0;

	if (draft_open(&draft, dir->fd) == -1)
		die_errno("%s: cannot make a file", dir->path);
	spool = (struct store){ .mem = -1, .disk = draft.fd,
	    .dir = dir->path, .synced = UINT64_MAX };
	s = stream_open(f->name, &job->shape.fmt, &bytes, &spool, 0, MiB,
	    false, true, false);
	if (s == NULL)
		die_errno("%s", f->name);
	stream_unpack(s, file_decoder(&job->input, f),
	    file_is_looked_at(&job->input, f), job->tmpdirs[0]);
	while (got != -1) {
		struct pollfd p = { .fd = stream_fd(s), .events = POLLIN };

		proc_poll(&p, 1, -1);
		look_at_signals();
		if (p.revents != 0)
			got = stream_read(s, &all, &before, &why);
		if (got == -2)
			die_errno("%s", f->name);
		if (got == -3)
			die("%s: %.*s", file_shown(f), (int)why.len, why.p);
	}
	stream_close(s);
	snprintf(name, sizeof name, "input/%zu", i);
	if ((dir->sync && fsync(draft.fd) == -1) ||
	    draft_replace(&draft, name) == -1)
		die_errno("%s/%s", dir->path, name);
	draft_close(&draft);
	f->path = xasprintf("%s/%s", dir->path, name);
	f->copied = f->size;
	f->size = all.len;
	f->stream = false;
	f->codec = 0;
	job->input.nstreams--;
	job->input.bytes += f->size;
}

/* Plans the job as it is asked for now. */
void
jobplan_make(struct driver *d, struct jobplan *p)
{
	struct job *job = d->job;
	struct jobdir *dir = job->jobdir;

	for (size_t i = 0; i < job->input.n; i++)
		if (job->input.files[i].stream)
			copy_stream(d, i);
	d->block = plan_block_size(d);
	d->n = d->nspans = d->file = d->unfinished = 0;
	d->planned = false;
	plan_more(d);
	while (d->cutting != NULL) {
		look_at_signals();
		plan_cut(d);
	}
	*p = (struct jobplan){ .id = xstrdup(job->id),
	    .cwd = getcwd(NULL, 0), .map_key = random_seed(),
	    .reduce_key = random_seed(), .block = d->block,
	    .nrecords = job->made.n,
	    .sorts = job->kind == JOB_SORT,
	    .words = d->po->words, .nwords = d->po->nwords,
	    .files = job->input.files, .nfiles = job->input.n };
	if (p->cwd == NULL)
		die_errno("the working directory");
	p->nsplits = d->n;
	p->splits = xzalloc(d->n, sizeof *p->splits);
	for (size_t i = 0; i < d->n; i++)
		p->splits[i] = d->tasks[i].split;
	dir->map_key = p->map_key;
	dir->reduce_key = p->reduce_key;
	write_plan(dir, p);
}

/* Notes which records are in the sample: it is drawn once. */
void
jobplan_drawn(struct driver *d)
{
	d->plan->drawn = true;
	d->plan->last = d->job->sample.last;
	write_plan(d->job->jobdir, d->plan);
}

/* ---- the same job? */

static bool
matters(unsigned flags)
{
	return (flags & OPT_FREE) == 0;
}

/* Whether this option may differ, as nothing has been made with it. */
static bool
may_differ(const struct cmd *cmd, const char *word, bool maps, bool parts)
{
	unsigned flags = opt_flags(cmd, word);

	return (flags & OPT_FREE_MAP && !maps) ||
	    (flags & OPT_FREE_REDUCE && !parts);
}

/* Refuses options that make another job than the one that was planned.
 * Returns whether there are such that do not matter yet.  maps and parts:
 * some are committed. */
static bool
check_words(const struct driver *d, const struct jobplan *p, bool maps,
    bool parts)
{
	const struct cmd *cmd = d->po->cmd;
	const char *dir = d->job->jobdir->path;
	struct opt_diff o;
	bool differ = false;

	opt_diff_begin(&o, cmd, matters, p->words, p->nwords, d->po->words,
	    d->po->nwords);
	for (; opt_diff_next(&o); differ = true) {
		const char *x = o.x, *y = o.y;

		if (x != NULL && y != NULL &&
		    !may_differ(cmd, x, maps, parts))
			refuse("%s: the job was planned with %s, not with %s",
			    dir, x, y);
		/* With and without -r it is another kind of job. */
		if (y == NULL && !may_differ(cmd, x, maps, maps))
			refuse("%s: the job was planned with %s", dir, x);
		if (x == NULL && !may_differ(cmd, y, maps, maps))
			refuse("%s: the job was planned without %s", dir, y);
	}
	opt_diff_end(&o);
	return differ;
}

/* Pipes that the shell has made have a new name each time. */
static bool
same_file(const struct file *planned, const struct file *now)
{
	bool pipe = strncmp(now->name, "/dev/fd/", 8) == 0 &&
	    strncmp(planned->name, "/dev/fd/", 8) == 0;

	return (planned->path != NULL) == now->stream &&
	    (pipe || strcmp(planned->name, now->name) == 0);
}

/* Refuses other inputs than those that were planned. */
static void
check_names(const struct driver *d, const struct jobplan *p)
{
	const struct input *in = &d->job->input;
	const char *dir = d->job->jobdir->path;

	for (size_t i = 0; i < p->nfiles || i < in->n; i++) {
		if (i >= in->n)
			refuse("%s: the job was planned with the input %s",
			    dir, p->files[i].name);
		if (i >= p->nfiles)
			refuse("%s: the job was planned without the input %s",
			    dir, in->files[i].name);
		if (!same_file(p->files + i, in->files + i))
			refuse("%s: the job was planned with the input %s, "
			    "not %s", dir, p->files[i].name,
			    in->files[i].name);
	}
}

static bool
covers(const struct split *s, size_t file)
{
	return !s->empty && !s->generated && file >= s->file && file - s->file < s->nfiles;
}

/* A file that has changed: its splits get new bounds, if none of them has
 * been committed. */
static void
cut_again(const struct jobdir *dir, struct jobplan *p, size_t file,
    const bool *done)
{
	const struct file *f = p->files + file;
	uint64_t n = 0, k = 0;

	for (size_t i = 0; i < p->nsplits; i++) {
		if (!covers(p->splits + i, file))
			continue;
		if (done[i])
			refuse("%s: map task %zu is committed, and its input "
			    "%s has been changed", dir->path, i, f->name);
		n++;
	}
	if (n == 0)
		refuse("%s: %s was empty when the job was planned", dir->path,
		    f->name);
	for (size_t i = 0; i < p->nsplits; i++) {
		struct split *s = p->splits + i;
		uint64_t each = (f->size + n - 1) / n;

		if (!covers(s, file))
			continue;
		if (s->nfiles > 1 || s->whole || n == 1) {
			s->len = 0;
			for (uint32_t j = 0; j < s->nfiles; j++)
				s->len += p->files[s->file + j].size;
		} else if (s->exact) {
			refuse("%s: the input %s has been changed", dir->path,
			    f->name);
		} else {
			s->off = k * each < f->size ? k * each : f->size;
			s->len = f->size - s->off < each ? f->size - s->off :
			    each;
		}
		k++;
	}
}

/* Refuses inputs that are not what committed tasks have read.  Returns
 * whether others have changed. */
static bool
check_files(const struct jobdir *dir, struct jobplan *p, const bool *done)
{
	bool differ = false;

	for (size_t i = 0; i < p->nfiles; i++) {
		struct file *f = p->files + i;
		struct stat st;
		int64_t mtime;

		if (f->ino == 0)
			continue;	/* a pipe, or only a name */
		if (stat(f->name, &st) == -1) {
			say_errno("%s", f->name);
			refuse("%s: the job was planned with the input %s",
			    dir->path, f->name);
		}
		mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 +
		    st.st_mtim.tv_nsec;
		if ((f->path != NULL ? f->copied : f->size) ==
		    (uint64_t)st.st_size && f->ino == st.st_ino &&
		    f->mtime_ns == mtime)
			continue;
		if (f->path != NULL)
			refuse("%s: %s has been changed since it was copied",
			    dir->path, f->name);
		if (p->drawn)
			refuse("%s: %s has been changed since the sample was "
			    "drawn", dir->path, f->name);
		f->size = (uint64_t)st.st_size;
		f->ino = st.st_ino;
		f->mtime_ns = mtime;
		cut_again(dir, p, i, done);
		differ = true;
	}
	return differ;
}

/* Refuses another job than the one that is being run. */
void
jobplan_same(const struct driver *d, const struct jobplan *p)
{
	check_words(d, p, true, true);
	if (jobplan_ask.kind == ASK_RUN)
		check_names(d, p);
}

/* Compares the plan with what is asked for now.  What may differ, and does,
 * is planned anew: then what was made with it is of no use.  done: the map
 * tasks that are committed. */
void
jobplan_compare(struct driver *d, struct jobplan *p, const bool *done,
    bool maps, bool parts)
{
	struct jobdir *dir = d->job->jobdir;
	bool words = check_words(d, p, maps, parts), files;

	if (jobplan_ask.kind == ASK_RUN) {
		char *cwd = getcwd(NULL, 0);

		if (cwd == NULL || strcmp(cwd, p->cwd) != 0)
			refuse("%s: the job was planned in %s", dir->path,
			    p->cwd);
		free(cwd);
		check_names(d, p);
	}
	files = check_files(dir, p, done);
	if (words) {
		p->words = d->po->words;
		p->nwords = d->po->nwords;
		p->sorts = d->job->kind == JOB_SORT;
		p->reduce_key = random_seed();
		if (!maps)
			p->map_key = random_seed();
	}
	if (words || files)
		write_plan(dir, p);
	dir->map_key = p->map_key;
	dir->reduce_key = p->reduce_key;
}
