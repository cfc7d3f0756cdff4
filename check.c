/* check.c - mr run --check: whether the commands of a job are what mr asks
 * of them, on a sample of its input.
 *
 * Each rule is tried in the plainest way: the command runs over the sample
 * as a whole, and over the same cut in pieces, and must print the same.  A
 * command runs from file to file, one at a time, in this process; nothing of
 * the machinery of a job is used but the environment of tasks, so that what
 * is found is the command's own doing.
 *
 * When pieces make a difference, each of their cuts is tried alone until one
 * does: the record behind it is what is reported. */

#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	SAMPLE = 256 * KiB,	/* bytes of all files together */
	FILES_MOST = 16,
	ALONE = 64,		/* records that are tried each by itself */
	KEYS_MOST = 64,		/* with --per-key: a command each */
};

struct check {
	struct job *job;
	struct taskenv env;
	int in, out, err;	/* files without a name */
	int lock;		/* of the scratch directory */
	struct split split;	/* what the map command is told of */
	struct buf head;	/* of a file, with --header repeat */
	uint64_t runs, records;
	uint64_t seed;
	bool found;
};

static uint64_t
chance(struct check *c, uint64_t below)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return (c->seed >> 33) % below;
}

/* ---- running commands */

static struct check *the_check;	/* for clean-up at death */

/* Leaves nothing behind. */
static void
leave(void)
{
	struct check *c = the_check;

	the_check = NULL;
	if (c == NULL)
		return;
	proc_kill_strays(c->job->id);
	scratch_remove(c->job->scratch, c->lock);
}

static void
wait_for(pid_t pid, int *status)
{
	while (proc_wait(pid, status, WNOHANG) == 0) {
		int sig = proc_signal();

		if (sig != 0) {
			proc_kill_group(pid, SIGKILL);
			proc_wait(pid, status, 0);
			leave();
			proc_end_by(sig < 0 ? -sig : sig);
		}
		proc_poll(NULL, 0, 100000000);
	}
	proc_kill_group(pid, SIGKILL);
}

/* The command does not work on the sample as it is: no more can be said. */
static _Noreturn void
cannot_run(struct check *c, const struct command *cmd, const char *phase,
    int status)
{
	struct buf b = {0};
	off_t end = lseek(c->err, 0, SEEK_END);
	char name[32];

	buf_printf(&b, "%s: %s command ", diag_name, phase);
	buf_escaped(&b, cmd->shown, strlen(cmd->shown));
	if (WIFSIGNALED(status))
		buf_printf(&b, ": killed by %s on the sample\n",
		    signal_name(WTERMSIG(status), name, sizeof name));
	else
		buf_printf(&b, ": exit status %d on the sample\n",
		    WEXITSTATUS(status));
	if (end > 0 && end < 64 * KiB) {
		unsigned char *p = buf_reserve(&b, (size_t)end);
		ssize_t n = pread_full(c->err, p, (size_t)end, 0);

		b.len += n > 0 ? (size_t)n : 0;
	}
	diag_write(b.p, b.len);
	leave();
	exit(WIFSIGNALED(status) ? EXIT_KILLED : EXIT_TASK);
}

static void
run(struct check *c, const struct command *cmd, const char *phase,
    uint32_t attempt, const void *key, size_t klen, const void *in,
    size_t len, struct buf *out)
{
	const struct task_name who = { .phase = phase, .attempt = attempt,
	    .later = strcmp(phase, "map") != 0 };
	struct spawn sp = { .argv = cmd->argv, .in = c->in, .out = c->out,
	    .err = c->err,
	    .as_limit = c->job->limits.task_memory };
	int status = 0;
	off_t end;
	pid_t pid;

	if (ftruncate(c->in, 0) == -1 || ftruncate(c->out, 0) == -1 ||
	    ftruncate(c->err, 0) == -1 ||
	    pwrite_full(c->in, in, len, 0) == -1 ||
	    lseek(c->in, 0, SEEK_SET) == -1 ||
	    lseek(c->out, 0, SEEK_SET) == -1 ||
	    lseek(c->err, 0, SEEK_SET) == -1)
		die_errno("temporary data");
	sp.envp = taskenv_set(&c->env, &who, &c->split);
	sp.dir = c->env.workdir;
	if (key != NULL)
		sp.envp = taskenv_key(&c->env, key, klen);
	errno = proc_spawn(&sp, &pid);
	if (errno != 0)
		die_errno("%s", cmd->shown);
	wait_for(pid, &status);
	c->runs++;
	if (WIFSIGNALED(status) || !c->job->limits.ok[WEXITSTATUS(status)])
		cannot_run(c, cmd, phase, status);
	end = lseek(c->out, 0, SEEK_END);
	if (end > 0 && pread_full(c->out, buf_reserve(out, (size_t)end),
	    (size_t)end, 0) != end)
		die_errno("temporary data");
	out->len += (size_t)end;
	if (end > 0 && out->p[out->len - 1] != c->job->shape.fmt.delim)
		buf_put(out, &c->job->shape.fmt.delim, 1);
}

/* A phase over the records from number i up to j. */
typedef void stage(struct check *, const struct lines *, size_t i, size_t j,
    uint32_t attempt, struct buf *out);

static void
map_stage(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	struct buf b = {0};
	size_t at = lines_at(l, i);

	buf_put(&b, c->head.p, c->head.len);
	buf_put(&b, l->b.p + at, lines_at(l, j) - at);
	run(c, &c->job->map, "map", attempt, NULL, 0, b.p, b.len, out);
	buf_free(&b);
}

static bool
begins(const struct check *c, const struct lines *l, size_t i)
{
	return lines_begin_group(l, &c->job->shape.fmt, i);
}

/* The values of one group, and its command. */
static void
one_key(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	const struct format *f = &c->job->shape.fmt;
	const unsigned char *key = l->b.p + lines_at(l, i);
	size_t klen = key_length(f, key, l->end[i] - 1 - lines_at(l, i));
	struct buf b = {0};

	if (c->job->key_on_stdin) {
		buf_put(&b, key, klen);
		buf_put(&b, &f->delim, 1);
	}
	for (; i < j; i++) {
		size_t at = lines_at(l, i) + klen;

		if (at + 1 < l->end[i])
			at++;
		buf_put(&b, l->b.p + at, l->end[i] - at);
	}
	run(c, &c->job->reduce, "reduce", attempt, c->job->key_on_stdin ?
	    NULL : key, klen, b.p, b.len, out);
	buf_free(&b);
}

static void
reduce_stage(struct check *c, const struct lines *l, size_t i, size_t j,
    uint32_t attempt, struct buf *out)
{
	size_t at = lines_at(l, i), k;

	if (!c->job->per_key) {
		run(c, &c->job->reduce, "reduce", attempt, NULL, 0,
		    l->b.p + at, lines_at(l, j) - at, out);
		return;
	}
	for (; i < j; i = k) {
		for (k = i + 1; k < j && !begins(c, l, k); )
			k++;
		one_key(c, l, i, k, attempt, out);
	}
}

/* ---- what is found */

static void
show(struct buf *b, const unsigned char *p, size_t len)
{
	buf_str(b, "'");
	buf_escaped(b, p, len < 100 ? len : 100);
	buf_str(b, len > 100 ? "...'" : "'");
}

/* Says what differs, and the first record of the output that does. */
static void
tell(struct check *c, struct buf *what, const struct buf *want,
    const struct buf *got, const char *whole, const char *other)
{
	const unsigned char delim = c->job->shape.fmt.delim;
	struct lines w = { .b = *want }, g = { .b = *got };
	size_t i = 0;

	lines_find(&w, delim);
	lines_find(&g, delim);
	while (i < w.n && i < g.n && w.end[i] == g.end[i] &&
	    memcmp(w.b.p + lines_at(&w, i), g.b.p + lines_at(&g, i),
	    w.end[i] - lines_at(&w, i)) == 0)
		i++;
	buf_printf(what, "\n%s:   record %zu of the output: %s ", diag_name,
	    i + 1, whole);
	if (i < w.n)
		show(what, w.b.p + lines_at(&w, i), w.end[i] - 1 -
		    lines_at(&w, i));
	else
		buf_str(what, "nothing");
	buf_printf(what, ", %s ", other);
	if (i < g.n)
		show(what, g.b.p + lines_at(&g, i), g.end[i] - 1 -
		    lines_at(&g, i));
	else
		buf_str(what, "nothing");
	buf_str(what, "\n");
	diag_write(what->p, what->len);
	buf_free(what);
	free(w.end);
	free(g.end);
	c->found = true;
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 ||
	    memcmp(a->p, b->p, a->len) == 0);
}

/* Whether pieces make a difference: cuts, n of them, are numbers of
 * records, in order. */
static bool
pieces_differ(struct check *c, stage *f, const struct lines *l,
    const size_t *cuts, size_t n, const struct buf *whole, struct buf *got)
{
	size_t at = 0;

	buf_reset(got);
	for (size_t i = 0; i <= n; i++) {
		size_t to = i < n ? cuts[i] : l->n;

		if (to > at)
			f(c, l, at, to, 0, got);
		at = to;
	}
	return !same(whole, got);
}

static int
by_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

/* Tries n cuts at places where a record, or a group, begins; all is from
 * the beginning, each of them.  Reports what they show. */
static void
try_cuts(struct check *c, stage *f, const char *name, const struct lines *l,
    const struct buf *whole, size_t n, bool all)
{
	size_t *cuts = xzalloc(n + 1, sizeof *cuts), k = 0;
	struct buf got = {0}, what = {0};
	bool groups = f == reduce_stage;

	for (size_t i = 1; all ? i < l->n && k < n : i <= n; i++) {
		size_t at = all ? i : 1 + chance(c, l->n - 1);

		while (groups && at < l->n && !begins(c, l, at))
			at++;
		if (at < l->n && (k == 0 || !all || cuts[k - 1] != at))
			cuts[k++] = at;
	}
	qsort(cuts, k, sizeof *cuts, by_number);
	if (k > 0 && pieces_differ(c, f, l, cuts, k, whole, &got)) {
		size_t i = 0, at;

		while (i < k && !pieces_differ(c, f, l, cuts + i, 1, whole,
		    &got))
			i++;
		if (i == k)	/* only all of them together do */
			pieces_differ(c, f, l, cuts, k, whole, &got);
		at = cuts[i < k ? i : 0];
		buf_printf(&what, "%s: %s depends on what it read before: "
		    "record %zu, ", diag_name, name, at + 1);
		show(&what, l->b.p + lines_at(l, at), l->end[at] - 1 -
		    lines_at(l, at));
		buf_printf(&what, ",\n%s:   is the first of %s", diag_name,
		    groups ? "a key, where its input may begin" :
		    "a piece, where its input may begin");
		tell(c, &what, whole, &got, "of the whole it prints",
		    "of the pieces");
	}
	buf_free(&got);
	free(cuts);
}

/* Tries a phase in pieces, and a second time. */
static void
try_stage(struct check *c, stage *f, const char *name, const struct lines *l,
    bool cut, struct buf *whole)
{
	struct buf again = {0}, what = {0};

	f(c, l, 0, l->n, 0, whole);
	f(c, l, 0, l->n, 1, &again);
	if (!same(whole, &again)) {
		buf_printf(&what, "%s: %s prints something else the second "
		    "time (a random number, the time, a file that it has "
		    "made?)", diag_name, name);
		tell(c, &what, whole, &again, "first it was", "then");
		cut = false;
	}
	buf_free(&again);
	if (!cut || l->n < 2)
		return;
	for (size_t n = 1; n <= 64 && !c->found; n *= 4)
		try_cuts(c, f, name, l, whole, n, false);
	if (!c->found)
		try_cuts(c, f, name, l, whole, ALONE, true);
}

/* ---- between the phases */

/* With --per-key, forgets all keys but the first few. */
static void
cut_keys(const struct check *c, struct lines *l)
{
	size_t keys = 0, i = 0;

	while (i < l->n && keys <= KEYS_MOST)
		keys += begins(c, l, i++);
	if (keys > KEYS_MOST)
		l->n = i - 1;
	l->b.len = lines_at(l, l->n);
}

/* Combines some records, which are neighbours in the input, as often as
 * told. */
static void
combine(struct check *c, const struct lines *l, size_t i, size_t j,
    int times, struct buf *out)
{
	const unsigned char delim = c->job->shape.fmt.delim;
	struct lines part = {0};
	size_t at = lines_at(l, i);

	buf_put(&part.b, l->b.p + at, lines_at(l, j) - at);
	for (; times > 0; times--) {
		struct buf got = {0};

		lines_find(&part, delim);
		lines_sort(&part, &c->job->shape);
		run(c, &c->job->combine, "combine", 0, NULL, 0, part.b.p,
		    part.b.len, &got);
		buf_free(&part.b);
		part.b = got;
	}
	buf_put(out, part.b.p, part.b.len);
	lines_free(&part);
}

/* Tries the combiner over all records and over two pieces, once and twice:
 * the reducer must make the same of it. */
static void
try_combine(struct check *c, const struct lines *mapped,
    const struct buf *want)
{
	for (int turn = 0; turn < 4 && !c->found && mapped->n > 1; turn++) {
		size_t cut = turn < 2 ? mapped->n : 1 + chance(c,
		    mapped->n - 1);
		struct lines l = {0};
		struct buf got = {0}, what = {0};

		combine(c, mapped, 0, cut, 1 + turn % 2, &l.b);
		if (cut < mapped->n)
			combine(c, mapped, cut, mapped->n, 1, &l.b);
		lines_find(&l, c->job->shape.fmt.delim);
		lines_sort(&l, &c->job->shape);
		reduce_stage(c, &l, 0, l.n, 0, &got);
		if (!same(want, &got)) {
			buf_printf(&what, "%s: COMBINE changes what REDUCE "
			    "prints: used %s over %s", diag_name, turn % 2 ?
			    "twice" : "once", turn < 2 ? "all records" :
			    "two pieces");
			tell(c, &what, want, &got, "without it", "with it");
		}
		buf_free(&got);
		lines_free(&l);
	}
}

/* Tries the values of each key in another order, which a job never does. */
static void
try_order(struct check *c, const struct lines *sorted, const struct buf *want)
{
	struct lines l = {0};
	struct buf got = {0};
	size_t i = 0, j;

	for (; i < sorted->n; i = j) {
		for (j = i + 1; j < sorted->n && !begins(c, sorted, j); )
			j++;
		for (size_t k = j; k > i; k--) {
			size_t at = lines_at(sorted, k - 1);

			buf_put(&l.b, sorted->b.p + at, sorted->end[k - 1] -
			    at);
			lines_add(&l, l.b.len);
		}
	}
	reduce_stage(c, &l, 0, l.n, 0, &got);
	if (!same(want, &got))
		printf("note: REDUCE depends on the order of a key's values, "
		    "which is that of the input\n");
	buf_free(&got);
	lines_free(&l);
}

static void
begin(struct check *c)
{
	struct job *job = c->job;

	proc_driver_signals();
	snprintf(job->id, sizeof job->id, "check-%ld-%04x", (long)getpid(),
	    (unsigned)(random_seed() & 0xffff));
	scratch_sweep(job->tmpdirs[0]);
	job->scratch = scratch_name(job->tmpdirs[0]);
	if (scratch_make(job->scratch, &c->lock) == -1)
		die_errno("cannot write in %s (-T DIR chooses another)",
		    job->tmpdirs[0]);
	the_check = c;
	diag_at_death = leave;
	taskenv_begin(&c->env, job, 0);
	c->in = store_open_temp(job->tmpdirs[0]);
	c->out = store_open_temp(job->tmpdirs[0]);
	c->err = store_open_temp(job->tmpdirs[0]);
	if (c->in == -1 || c->out == -1 || c->err == -1)
		die_errno("%s: cannot make a temporary file",
		    job->tmpdirs[0]);
}

/* Looks at the commands of a job and reports the first that breaks a rule.
 * cut: there may be more than one reduce task.  Returns the exit status. */
int
check_run(struct job *job, bool cut)
{
	struct check c = { .job = job, .lock = -1, .seed = random_seed() };
	struct lines mapped = {0}, l = {0};
	struct buf reduced = {0}, out = {0};
	size_t n = job->input.n < FILES_MOST ? job->input.n : FILES_MOST;

	begin(&c);
	for (size_t i = 0; i < n && !c.found; i++) {
		lines_sample(&l, job, job->input.files + i, job->whole_file ?
		    SIZE_MAX / 2 : SAMPLE / n, &c.head);
		c.split = (struct split){ .file = (uint32_t)i, .nfiles = 1,
		    .len = l.b.len };
		c.records += l.n;
		if (job->map.argv != NULL && l.n > 0) {
			try_stage(&c, map_stage, "MAP", &l, !job->whole_file,
			    &out);
			lines_free(&l);
			l.b = out;
			out = (struct buf){0};
		}
		buf_put(&mapped.b, l.b.p, l.b.len);
		lines_free(&l);
	}
	if (job->reduce.argv != NULL && !c.found) {
		lines_find(&mapped, job->shape.fmt.delim);
		buf_put(&l.b, mapped.b.p, mapped.b.len);
		lines_find(&l, job->shape.fmt.delim);
		lines_sort(&l, &job->shape);
		if (job->per_key)
			cut_keys(&c, &l);
		try_stage(&c, reduce_stage, "REDUCE", &l, cut && !job->per_key,
		    &reduced);
		if (!c.found && job->combine.argv != NULL && !job->per_key)
			try_combine(&c, &mapped, &reduced);
		if (!c.found && job->shape.key != KEY_DEFS)
			try_order(&c, &l, &reduced);
	}
	leave();
	if (!c.found)
		printf("no fault found: %llu records of %zu file%s, %llu "
		    "runs of commands\n", (unsigned long long)c.records, n,
		    n == 1 ? "" : "s",
		    (unsigned long long)c.runs);
	lines_free(&l);
	lines_free(&mapped);
	buf_free(&reduced);
	return c.found ? EXIT_TROUBLE : EXIT_OK;
}
