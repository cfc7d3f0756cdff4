/* worker.c - a forked copy of mr that takes tasks from the driver, one at a
 * time, and answers.
 *
 * A worker is a single thread.  It reads a task from its socket, runs it,
 * and tells what came of it: the runs it has written, where its output
 * stands, or why it failed.  It prints nothing of its own but what ends the
 * process (a full disk): then its exit status says that the cause is told.
 *
 * Map output of tasks that follow each other in the input stays in the
 * collector from one task to the next.  Such a task is done but not kept:
 * the driver runs it again if this worker dies before it tells of the run.
 *
 * When the driver is gone (the socket is at its end) a worker kills its task,
 * removes the job's scratch directories and ends. */

#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum {
	COPY = 256 * KiB,
	KEY_MOST = 128 * KiB,	/* bytes of one variable; Linux sets it */
	MADE_MOST = 1 * MiB,	/* of generated input, in memory */
};
#define COMMIT_LATE ((int64_t)100000000)	/* ns that a commit may wait */

struct worker {
	struct job *job;
	unsigned me;
	int sock;
	pid_t driver;
	struct store *store;	/* ours of job->stores */
	struct store *out;	/* where output goes: that, or file */
	struct store file;	/* with a job directory: behind draft */
	struct draft draft;
	int64_t begun;		/* the present task */
	struct collect *collect;
	struct combiner *combiner;	/* NULL: none */
	struct store uncombined;	/* of the collector's run, before it */
	bool mapping;		/* amid a map task; that runs a command: */
	struct attempt *map_attempt;	/* or NULL */
	uint64_t combine_in, combine_out;	/* to be told */
	uint32_t newest;	/* the last task in the collector */
	struct run *pending;	/* runs of the attempt that is under way */
	size_t npending, cap_pending;
	struct buf hot;		/* the heaviest key of the last reduce task */
	struct counters counters;	/* of the present attempt */
	struct taskenv env;
	struct store made;	/* input that was generated, of one task */
};

/* ---- messages: a struct, then as many bytes of payload as it says */

int
message_send(int fd, const void *msg, size_t len, const void *payload,
    size_t paylen)
{
	/* MSG_NOSIGNAL is not needed: SIGPIPE is ignored. */
	if (write_full(fd, msg, len) == -1)
		return -1;
	return paylen == 0 ? 0 : write_full(fd, payload, paylen);
}

/* Reads exactly len bytes.  Returns 0, or -1; then errno is 0 at the end. */
int
message_recv(int fd, void *msg, size_t len)
{
	unsigned char *p = msg;

	while (len > 0) {
		ssize_t n = read_some(fd, p, len);

		if (n == 0)
			errno = 0;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static struct worker *the_worker;	/* for clean-up at death */

/* Leaves nothing behind: what the driver wants to keep it has renamed before
 * it lets its workers go, or it is dead. */
static void
tidy_up(void)
{
	struct worker *w = the_worker;

	proc_kill_children();
	proc_kill_group(w->job->shared->stream, SIGKILL);
	scratch_remove(w->job->scratch, -1);
	if (w->job->jobdir != NULL)
		scratch_remove(w->job->jobdir->mine, -1);
	if (w->job->outscratch != NULL)
		scratch_remove(w->job->outscratch, -1);
}

/* A worker that dies of an error of its own: the driver does the rest, if
 * there is one. */
static void
at_death(void)
{
	if (getppid() == the_worker->driver)
		proc_kill_children();
	else
		tidy_up();
}

/* The driver has closed its end. */
static _Noreturn void
orphaned(void)
{
	/* What is done is kept, whatever has ended the job. */
	if (the_worker->job->jobdir != NULL)
		commit_sync(the_worker->job->jobdir);
	tidy_up();
	_exit(EXIT_TROUBLE);
}

static void
answer(struct worker *w, struct reply_msg *r)
{
	struct buf b = {0};
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) == 0)
		r->peak_kb = (uint64_t)ru.ru_maxrss;
	r->keys_seen = w->job->keys.seen;
	r->textlen = (uint32_t)r->fail.text.len;
	r->taillen = (uint32_t)r->fail.tail.len;
	buf_put(&b, r->fail.text.p, r->fail.text.len);
	buf_put(&b, r->fail.tail.p, r->fail.tail.len);
	if (r->kind == REPLY_DONE)
		counters_save(&w->counters, &b);
	r->counterlen = (uint32_t)(b.len - r->textlen - r->taillen);
	buf_put(&b, w->hot.p, w->hot.len);
	r->payload = (uint32_t)b.len;
	r->combine_in = w->combine_in;
	r->combine_out = w->combine_out;
	w->combine_in = w->combine_out = 0;
	if (message_send(w->sock, r, sizeof *r, b.p, b.len) == -1) {
		if (errno != EPIPE)
			die_errno("talking to the driver");
		orphaned();
	}
	buf_free(&b);
	buf_free(&r->fail.text);
	buf_free(&r->fail.tail);
	buf_reset(&w->hot);
}

static void
tell_run(struct worker *w, const struct run *run, bool committed)
{
	struct reply_msg r = { .kind = REPLY_RUN, .run = *run,
	    .committed = committed };

	answer(w, &r);
}

/* Has runs combined.  If that fails, the job does: the attempts have been
 * used up, and the driver's answer is to end. */
static void
have_combined(struct worker *w, const struct merge_input *in, size_t n,
    const char *compress, struct combining *what)
{
	struct reply_msg r = { .kind = REPLY_FAILED, .task = in[0].run->first,
	    .held = true };
	unsigned char ignored;

	if (combine_runs(w->combiner, in, n, compress, what)) {
		w->combine_in += what->in;
		w->combine_out += what->out;
		return;
	}
	if (what->aborted)
		orphaned();
	r.run.first = in[0].run->first;
	r.run.last = in[n - 1].run->last;
	r.combine_attempts = what->attempts;
	r.fail = what->fail;
	r.fail.final = true;
	answer(w, &r);
	while (message_recv(w->sock, &ignored, 1) == 0)
		;
	orphaned();
}

static void
keep_run(struct worker *w, const struct run *run, bool committed)
{
	if (committed && w->job->jobdir == NULL) {
		tell_run(w, run, true);
		return;
	}
	if (w->npending == w->cap_pending) {
		w->cap_pending = grown(w->cap_pending, w->npending + 1);
		w->pending = xrealloc(w->pending, w->cap_pending,
		    sizeof *w->pending);
	}
	w->pending[w->npending++] = *run;
}

/* The collector has written a run. */
static void
take_run(void *arg, const struct run *run, bool committed)
{
	struct worker *w = arg;
	struct merge_input in = { &w->uncombined, run, 0, run->data };
	struct combining what = { .amid = w->mapping,
	    .outer = w->map_attempt };

	if (w->combiner == NULL) {
		keep_run(w, run, committed);
		return;
	}
	have_combined(w, &in, 1, NULL, &what);
	/* Tasks are kept when the driver knows all of their runs. */
	for (size_t i = 0; i < what.n; i++)
		if (committed && i + 1 < what.n &&
		    w->job->jobdir == NULL)
			tell_run(w, what.runs + i, false);
		else
			keep_run(w, what.runs + i, committed);
	store_empty(&w->uncombined);
}

/* ---- commits to a job directory */

/* What the driver knows of the plan by now. */
static void
take_keys(struct worker *w, const struct task_msg *t)
{
	struct job *job = w->job;
	struct jobdir *dir = job->jobdir;

	if (dir == NULL)
		return;
	dir->map_key = t->map_key;
	dir->part_key = t->part_key;
	job->stores = commit_stores(dir, job->stores, job->nworkers + 1,
	    t->nmaps);
	w->store = job->stores + w->me;
}

/* Opens the file that the next attempt writes. */
static void
open_draft(struct worker *w)
{
	const struct jobdir *dir = w->job->jobdir;

	if (dir == NULL)
		return;
	if (draft_open(&w->draft, dir->fd) == -1)
		die_errno("%s: cannot make a file", dir->path);
	w->file = (struct store){ .mem = -1, .disk = w->draft.fd,
	    .dir = dir->path, .synced = UINT64_MAX };
}

/* The tasks that waited are committed. */
static void
sync_commits(struct worker *w)
{
	struct reply_msg r = { .kind = REPLY_KEPT };

	commit_sync(w->job->jobdir);
	answer(w, &r);
}

/* Commits what has waited long enough.  Returns ns until it is to be called
 * again, or -1. */
static int64_t
commit_tick(void *arg)
{
	struct worker *w = arg;
	const struct jobdir *dir = w->job->jobdir;
	int64_t left;

	if (dir == NULL || dir->nwaiting == 0)
		return -1;
	left = dir->since + COMMIT_LATE - now_ns();
	if (left > 0)
		return left;
	sync_commits(w);
	return -1;
}

/* Tasks that wait for their commit are neighbours: so the driver counts
 * them. */
static void
before_task(struct worker *w, const struct task_msg *t)
{
	const struct jobdir *dir = w->job->jobdir;

	w->begun = now_ns();
	if (dir != NULL && dir->nwaiting > 0 &&
	    dir->waiting[dir->nwaiting - 1].task + 1 != t->task)
		sync_commits(w);
}

/* Makes the file of a task that has succeeded, or forgets the one that has
 * failed.  After a task that has taken its time nothing waits. */
static void
commit_task(struct worker *w, const struct task_msg *t, bool ok,
    struct reply_msg *r)
{
	struct jobdir *dir = w->job->jobdir;
	struct commit c = { .task = t->task, .attempt = t->attempt,
	    .reduce = t->kind == TASK_REDUCE, .data = w->file.disklen,
	    .split = r->split.len, .stats = r->stats, .records = r->records,
	    .nothing = r->nothing, .runs = w->pending, .nruns = w->npending };

	if (dir == NULL)
		return;
	c.stats.partial = r->partial;
	if (ok) {
		counters_save(&w->counters, &c.counters);
		commit_put(dir, &w->draft, &c);
		buf_free(&c.counters);
		if (now_ns() - w->begun > COMMIT_LATE / 4)
			commit_sync(dir);
	}
	draft_close(&w->draft);
	w->npending = 0;
	r->held = dir->nwaiting > 0;
}

/* The driver's next message, while what waits is committed in time. */
static void
next_task(struct worker *w, struct task_msg *t)
{
	struct pollfd p = { .fd = w->sock, .events = POLLIN };
	int64_t wait;

	while ((wait = commit_tick(w)) > 0 && proc_poll(&p, 1, wait) <= 0)
		;
	if (message_recv(w->sock, t, sizeof *t) == -1)
		orphaned();
}

/* ---- tasks */

/* A task's work is done by mr itself when it has no command. */
static void
check_alive(struct worker *w)
{
	if (proc_dying())
		orphaned();
	commit_tick(w);
}

/* The identity as a map: the split's bytes go into the sink. */
static int
copy_split(struct worker *w, struct reader *r, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *own = NULL;
	ssize_t n;

	if (sink->collect == NULL)
		own = xrealloc(NULL, COPY, 1);
	do {
		unsigned char *p = own;
		size_t room = COPY;

		check_alive(w);
		if (sink->collect != NULL)
			p = collect_room(sink->collect, &room);
		n = w->job->sample.kind != SAMPLE_ALL ?
		    reader_sampled(r, p, room, &reply->fail.text) :
		    reader_read(r, p, room, &reply->fail.text);
		if (n > 0 && sink->collect != NULL)
			collect_filled(sink->collect, (size_t)n);
		else if (n > 0)
			sink_put(sink, p, (size_t)n);
		if (n > 0) {
			reply->stats.in += (uint64_t)n;
			reply->stats.out += (uint64_t)n;
			w->job->shared->worker[w->me].moved += (uint64_t)n;
		}
	} while (n > 0);
	free(own);
	if (n == 0 && sink->collect != NULL)
		collect_end(sink->collect);
	return n < 0 ? -1 : 0;
}

/* A built-in reducer over records in the order of their keys. */
static int
fold_split(struct worker *w, struct reader *r, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *p = xrealloc(NULL, COPY, 1);
	struct fold *f = fold_new(w->job->agg, false);
	struct buf out = {0}, *why = &reply->fail.text;
	bool ok = true;
	ssize_t n;

	do {
		check_alive(w);
		n = w->job->check_order ? reader_checked(r, p, COPY, why) :
		    reader_read(r, p, COPY, why);
		if (n > 0)
			ok = fold_text(f, p, (size_t)n, &out, why);
		else if (n == 0)
			ok = fold_text_end(f, &out, why);
		sink_put(sink, out.p, out.len);
		reply->stats.in += n > 0 ? (uint64_t)n : 0;
		reply->stats.out += out.len;
		w->job->shared->worker[w->me].moved = reply->stats.in;
		buf_reset(&out);
	} while (n > 0 && ok);
	if (r->disorder)
		reply->fail.kind = FAIL_ORDER;
	reply->read = r->records;
	reply->fail.final = !ok;
	fold_free(f);
	buf_free(&out);
	free(p);
	return n < 0 || !ok ? -1 : 0;
}

static struct task_name
name_of(const struct worker *w, const struct task_msg *t)
{
	return (struct task_name){ .phase = phase_name(w->job, t->kind),
	    .task = t->task, .attempt = t->attempt,
	    .tasks = t->kind == TASK_FINISH ? 1 : t->ntasks,
	    .later = t->kind != TASK_MAP };
}

static void
attempt_prepare(struct worker *w, struct attempt *a, const struct command *cmd,
    const struct task_msg *t, const struct split *split)
{
	const struct job *job = w->job;
	const struct task_name who = name_of(w, t);
	struct shared_worker *sh = job->shared->worker + w->me;
	static char tag[64];

	*a = (struct attempt){ .cmd = cmd, .limits = &job->limits,
	    .form = &job->form, .fmt = &job->shape.fmt, .abort_fd = w->sock,
	    .group = sh->group, .moved = &sh->moved,
	    .clock = &job->shared->clock, .tick = commit_tick,
	    .tick_arg = w, .counters = &w->counters };
	a->sink.fd = -1;
	a->envp = taskenv_set(&w->env, &who, split);
	a->dir = w->env.workdir;
	if (job->tag) {
		snprintf(tag, sizeof tag, "%s %lu: ", who.phase,
		    (unsigned long)t->task);
		a->tag = tag;
	}
	a->log = taskenv_log(&w->env, &who);
}

/* Ends an attempt: takes over what is to be told of it. */
static bool
attempt_end(struct attempt *a, struct reply_msg *reply)
{
	if (a->log != -1)
		close(a->log);
	if (a->aborted)
		orphaned();
	reply->stats = a->stats;
	reply->fail = a->fail;
	return a->fail.kind == FAIL_NONE;
}

/* The same for one whose MR_OUTPUT_DIR counts. */
static bool
attempt_close(struct worker *w, struct attempt *a, const struct task_msg *t,
    struct reply_msg *reply)
{
	const struct task_name who = name_of(w, t);

	if (a->fail.kind == FAIL_NONE && !a->aborted &&
	    !taskenv_keep(&w->env, &who, &a->fail.text)) {
		a->fail.kind = FAIL_OUTPUT;
		a->fail.exit = EXIT_TASK;
		a->fail.final = true;
	}
	return attempt_end(a, reply);
}

/* Runs the source, or what counts its records, into a place. */
static bool
run_source(struct worker *w, const struct task_msg *t,
    const struct split *split, struct store *store, struct place *to,
    struct reply_msg *reply)
{
	static const struct format text = { .delim = '\n' };
	struct limits limits = w->job->limits;
	struct command cmd;
	struct attempt a;
	bool ok;

	generate_command(&w->job->made, &cmd, split);
	attempt_prepare(w, &a, &cmd, t, &t->split);
	memset(limits.ok, 0, sizeof limits.ok);
	limits.ok[0] = true;
	a.limits = &limits;
	if (split == NULL)
		a.fmt = &text;	/* a number, whatever its records are */
	a.sink.store = store;
	a.sink.place = to;
	a.src.kind = SOURCE_EMPTY;
	attempt_run(&a);
	a.fail.silent = false;
	ok = attempt_end(&a, reply);
	reply->fail.source = !ok;
	generate_free(&cmd);
	return ok;
}

/* Whether the source has printed as many records as it was asked for. */
static bool
source_is_whole(const struct job *job, const struct split *s, int fd,
    struct reply_msg *reply)
{
	struct reader r = { .job = job, .split = *s, .fd = fd };
	struct found rec;
	uint64_t n = 0;
	int got;

	while ((got = reader_record(&r, &rec, &reply->fail.text)) > 0)
		n++;
	r.fd = -1;
	reader_close(&r);
	if (got == 0 && n == s->len)
		return true;
	if (got == 0)
		buf_printf(&reply->fail.text, "it printed %llu record%s, not "
		    "%llu", (unsigned long long)n, n == 1 ? "" : "s",
		    (unsigned long long)s->len);
	reply->fail.kind = FAIL_OUTPUT;
	reply->fail.exit = EXIT_TROUBLE;
	reply->fail.source = true;
	return false;
}

/* Makes the input of a task that is in no file, and opens it. */
static int
make_input(struct worker *w, const struct task_msg *t, struct reader *r,
    struct reply_msg *reply)
{
	struct job *job = w->job;
	struct place at = {0};

	if (w->made.dir == NULL)
		store_open(&w->made, job->tmpdirs[w->me % job->ntmpdirs],
		    MADE_MOST);
	store_empty(&w->made);
	store_pick(&w->made, 0, &at);
	*r = (struct reader){ .job = job, .split = t->split, .fd = -1 };
	if (job->made.kind != GENERATE_SOURCE) {
		struct buf b = {0};

		generate_records(&job->made, &t->split, &job->shape.fmt, &b);
		store_append(&w->made, &at, b.p, b.len);
		buf_free(&b);
	} else if (!run_source(w, t, &t->split, &w->made, &at, reply)) {
		return -1;
	}
	r->split.spool = at;
	if (job->made.kind == GENERATE_SOURCE && !source_is_whole(job,
	    &r->split, store_fd(&w->made, &at), reply))
		return -1;
	reply->stats = (struct attempt_stats){0};
	r->fd = fcntl(store_fd(&w->made, &at), F_DUPFD_CLOEXEC, 3);
	if (r->fd == -1)
		die_errno("cannot open the input of a task");
	return 0;
}

/* How many records a source has, as it says itself. */
static void
do_count(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct place part = { .store = (uint16_t)w->me };

	store_pick(w->store, 0, &part);
	if (!run_source(w, t, NULL, w->store, &part, &reply))
		reply.kind = REPLY_FAILED;
	store_keep(w->store, &part);
	reply.part = part;
	answer(w, &reply);
}

/* Why a key cannot be in the environment, or NULL. */
static const char *
unfit_for_env(const unsigned char *key, size_t len)
{
	if (len > 0 && memchr(key, '\0', len) != NULL)
		return "holds a NUL byte";
	return len + sizeof "MR_KEY=" > KEY_MOST ? "is too long" : NULL;
}

static void
name_key(struct buf *b, const unsigned char *key, size_t len)
{
	buf_str(b, "key ");
	buf_escaped(b, key, len < 100 ? len : 100);
	if (len > 100)
		buf_str(b, "...");
}

/* Puts the present key where its command finds it.  False if it cannot be
 * there. */
static bool
place_key(struct worker *w, struct attempt *a, const struct perkey *k)
{
	size_t len;
	const unsigned char *key = perkey_key(k, &len);
	const char *unfit = w->job->key_on_stdin ? NULL :
	    unfit_for_env(key, len);

	if (unfit != NULL) {
		name_key(&a->fail.text, key, len);
		buf_printf(&a->fail.text, " %s: it cannot be in MR_KEY; "
		    "--key-on-stdin gives keys as first records", unfit);
		a->fail.kind = FAIL_INPUT;
		a->fail.exit = EXIT_TROUBLE;
		a->fail.final = true;
		return false;
	}
	a->envp = taskenv_key(&w->env, w->job->key_on_stdin ? NULL : key, len);
	return true;
}

/* --per-key: runs the command once for each key in the attempt's source,
 * which is text of the kind SOURCE_FILL. */
static void
run_each_key(struct worker *w, struct attempt *a)
{
	const struct format *fmt = &w->job->shape.fmt;
	struct perkey *k = perkey_new(fmt, &a->src, w->job->key_on_stdin);
	const unsigned char *key;
	size_t len;
	int got;

	a->src = (struct source){ .kind = SOURCE_FILL, .fill = perkey_fill,
	    .arg = k };
	while ((got = perkey_next(k, &a->fail.text)) > 0) {
		buf_free(&a->fail.tail);
		if (!place_key(w, a, k))
			break;
		attempt_run(a);
		if (a->fail.kind != FAIL_NONE || a->aborted) {
			buf_str(&a->fail.text, a->fail.kind == FAIL_INPUT ?
			    "; " : ", ");
			key = perkey_key(k, &len);
			name_key(&a->fail.text, key, len);
			break;
		}
		if (a->stats.partial)
			sink_put(&a->sink, &fmt->delim, 1);
		a->stats.partial = false;
	}
	if (got < 0) {
		a->fail.kind = FAIL_INPUT;
		a->fail.exit = EXIT_TROUBLE;
	}
	perkey_free(k);
}

/* Whether a task of that kind runs a command a key. */
static bool
each_key(const struct job *job, uint32_t kind)
{
	return job->per_key && (kind == TASK_REDUCE || job->kind == JOB_MAP);
}

static void
run_command(struct worker *w, struct attempt *a, uint32_t kind)
{
	if (!each_key(w->job, kind))
		attempt_run(a);
	else if (a->src.kind != SOURCE_EMPTY)
		run_each_key(w, a);
}

static ssize_t
fill_reader(void *arg, unsigned char *p, size_t cap, struct buf *why)
{
	return reader_read(arg, p, cap, why);
}

/* What the programs that read a split find in their environment. */
static char *const *
feeder_env(struct worker *w, const struct task_msg *t)
{
	const struct task_name who = name_of(w, t);

	return reader_is_piped(w->job, &t->split) ?
	    taskenv_set(&w->env, &who, &t->split) : NULL;
}

/* The smallest lots of the records of a split, as many as the sample will
 * have, into a place. */
static void
do_sample(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	const struct sample *sample = &w->job->sample;
	struct place part = { .store = (uint16_t)w->me };
	struct lots lots = { .most = sample->n };
	struct reader r;
	struct found rec;
	uint64_t turns = 0;
	int got = reader_open(&r, w->job, &t->split, feeder_env(w, t),
	    w->sock, &reply.fail.text);

	reply.split = r.split;
	reply.input = r.split.len;
	while (got != -1 &&
	    (got = reader_record(&r, &rec, &reply.fail.text)) == 1) {
		struct lot lot = lot_draw(sample->seed, rec.file, rec.off);

		if (turns++ % 4096 == 0)
			check_alive(w);
		w->job->shared->worker[w->me].moved += rec.len;
		if (!rec.header && !lot_after(&lot, &t->limit))
			lots_add(&lots, &lot);
	}
	if (got == -1) {
		reply.kind = REPLY_FAILED;
		reply.fail.kind = FAIL_INPUT;
		reply.fail.exit = r.late ? EXIT_TIMEOUT : EXIT_TROUBLE;
	} else if (lots.n > 0) {
		store_pick(w->store, lots.n * sizeof *lots.v, &part);
		store_append(w->store, &part, lots.v, lots.n * sizeof *lots.v);
		store_keep(w->store, &part);
		reply.part = part;
	}
	free(lots.v);
	reader_close(&r);
	answer(w, &reply);
}

static void
map_source(struct worker *w, struct attempt *a, struct reader *r)
{
	const struct job *job = w->job;

	if (r->split.empty) {
		a->src.kind = SOURCE_EMPTY;
	} else if (each_key(job, TASK_MAP)) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = job->check_order ? reader_checked : fill_reader;
		a->src.arg = r;
	} else if (job->whole_file && !r->split.stream && !r->piped) {
		a->src.kind = SOURCE_FD;
		a->src.fd = r->fd;
		lseek(r->fd, 0, SEEK_SET);
	} else if (job->sample.kind != SAMPLE_ALL) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = reader_sampled;
		a->src.arg = r;
	} else if (job->check_order) {
		a->src.kind = SOURCE_FILL;
		a->src.fill = reader_checked;
		a->src.arg = r;
	} else {
		a->src.kind = SOURCE_SEGMENTS;
		a->src.segment = reader_segment;
		a->src.arg = r;
	}
}

static bool
map_attempt(struct worker *w, const struct task_msg *t, struct reader *r,
    struct sink *sink, struct reply_msg *reply)
{
	struct attempt a;
	bool ok;

	attempt_prepare(w, &a, &w->job->map, t, &r->split);
	a.sink = *sink;
	map_source(w, &a, r);
	w->map_attempt = &a;
	run_command(w, &a, t->kind);
	w->map_attempt = NULL;
	if (a.src.kind == SOURCE_FD && a.fail.kind == FAIL_NONE &&
	    reader_check(r, &a.fail.text) == -1) {
		a.fail.kind = FAIL_INPUT;
		a.fail.exit = EXIT_TROUBLE;
	}
	ok = attempt_close(w, &a, t, reply);
	if (r->disorder)
		reply->fail.kind = FAIL_ORDER;
	reply->read = r->records;
	reply->partial = a.stats.partial;
	return ok;
}

/* Commits or forgets what a map task has collected. */
static void
settle_collected(struct worker *w, const struct task_msg *t, bool ok)
{
	if (!ok) {
		collect_rollback(w->collect);
		for (size_t i = 0; i < w->npending; i++)
			store_punch(w->out, &w->pending[i].at,
			    w->pending[i].at.off, w->pending[i].at.len);
		w->npending = 0;
		return;
	}
	for (size_t i = 0; i < w->npending && w->job->jobdir == NULL; i++)
		tell_run(w, w->pending + i, false);
	if (w->job->jobdir == NULL)
		w->npending = 0;
	collect_commit(w->collect);
	w->newest = t->task;
	if (t->split.stream || w->job->jobdir != NULL)
		collect_flush(w->collect);
}

/* Shows the reader of sorted input the record before its first. */
static void
after_record(struct reader *r, const struct buf *before)
{
	const struct format *f = &r->job->shape.fmt;
	struct buf b = {0};

	if (r->split.stream)
		reader_after(r, before->p, before->len);
	else if (r->fd != -1 && record_ending(f, r->fd, r->split.off, &b))
		reader_after(r, b.p, b.len);
	buf_free(&b);
}

static void
do_map(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct job *job = w->job;
	bool sorts = job->kind == JOB_SORT, ok = true;
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part };
	struct reader r;

	before_task(w, t);
	open_draft(w);
	if (sorts && collect_holds(w->collect) && t->task != w->newest + 1)
		collect_flush(w->collect);
	if ((t->split.generated ? make_input(w, t, &r, &reply) :
	    reader_open(&r, w->job, &t->split, feeder_env(w, t), w->sock,
	    &reply.fail.text)) == -1) {
		ok = false;
	} else {
		reply.split = r.split;
		reply.input = r.split.generated ? r.split.spool.len :
		    r.split.len;
		if (job->check_order && r.split.off > 0)
			after_record(&r, payload);
	}
	if (sorts) {
		collect_begin(w->collect, t->task);
		sink.collect = w->collect;
	} else {
		store_reuse(w->out, t->split.len, &t->free, &part);
	}
	r.limit = t->limit;
	if (ok && job->sample.kind != SAMPLE_ALL && !r.split.empty) {
		int got = reader_hold(&r, &reply.fail.text);

		ok = got != -1;
		r.nothing = got == 0;
	}
	if (ok && !r.nothing && (r.split.len > 0 || r.split.empty ||
	    r.split.nfiles > 1 || r.split.whole)) {
		w->mapping = true;
		if (job->map.argv != NULL)
			ok = map_attempt(w, t, &r, &sink, &reply);
		else if (job->agg != NULL && !sorts)
			ok = fold_split(w, &r, &sink, &reply) == 0;
		else
			ok = copy_split(w, &r, &sink, &reply) == 0;
		w->mapping = false;
	}
	if (ok && sorts && collect_complaint(w->collect)->len > 0) {
		const struct buf *why = collect_complaint(w->collect);

		buf_put(&reply.fail.text, why->p, why->len);
		reply.fail.final = true;
		ok = false;
	}
	if (r.piped)		/* what was read of it counts */
		reply.input = reply.stats.in;
	reply.nothing = r.nothing;
	if (!ok && reply.fail.kind == FAIL_NONE) {
		reply.fail.kind = FAIL_INPUT;
		reply.fail.exit = r.late ? EXIT_TIMEOUT : EXIT_TROUBLE;
	}
	if (sorts) {
		reply.records = collect_records(w->collect);
		settle_collected(w, t, ok);
		reply.held = collect_holds(w->collect);
	} else if (ok) {
		store_keep(w->out, &part);
		reply.part = part;
	}
	if (!ok)
		reply.kind = REPLY_FAILED;
	commit_task(w, t, ok, &reply);
	reader_close(&r);
	answer(w, &reply);
}

/* The runs that a message names, as inputs of a merge. */
static struct merge_input *
merge_inputs(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	const struct run_range *v = (const void *)payload->p;
	struct merge_input *in = xzalloc(t->n, sizeof *in);

	for (uint64_t i = 0; i < t->n; i++)
		in[i] = (struct merge_input){ w->job->stores, &v[i].run,
		    v[i].begin, v[i].end };
	return in;
}

/* Merges runs that follow each other into one of our own. */
static void
merge_to_run(struct worker *w, const struct merge_input *in, size_t n,
    const struct bounds *bounds, struct run *run)
{
	struct merge *m = merge_new(in, n, bounds, w->job->worker_memory,
	    w->job->compress);
	struct run_writer *out = runw_new(w->store, (uint16_t)w->me,
	    w->job->compress, &w->job->shape.fmt);
	const struct shape *shape = &w->job->shape;
	const unsigned char *p;
	size_t klen;
	struct fold *f = w->job->agg == NULL ? NULL :
	    fold_new(w->job->agg, !ikey_has_key(shape));
	uint64_t expect = 0, turns = 0;
	struct item it;

	for (size_t i = 0; i < n; i++)
		expect += in[i].end - in[i].begin;
	runw_begin(out, expect);
	while (merge_group(m)) {
		p = merge_key(m, &klen);
		runw_key(out, p, klen, ikey_group(shape, p, klen),
		    ikey_shown(shape, klen));
		if (f != NULL) {
			if (turns++ % 4096 == 0)
				check_alive(w);
			fold_begin(f, NULL, 0);
			fold_group(f, m);
			p = fold_saved(f, &klen);
			runw_item(out, p, klen, false, 1);
		}
		while (merge_item(m, &it)) {
			size_t len;

			if (turns++ % 4096 == 0)
				check_alive(w);
			if (it.n == it.vlen) {
				runw_item(out, it.p, it.n, it.noval, it.count);
				continue;
			}
			runw_big(out, it.vlen, it.p, it.n);
			while ((len = merge_piece(m, &p)) > 0)
				runw_more(out, p, len);
		}
	}
	runw_end(out, run);
	run->first = in[0].run->first;
	run->last = in[n - 1].run->last;
	run->seq = in[0].run->seq;
	merge_free(m);
	fold_free(f);
	runw_free(out);
}

/* With a job directory each run is in the file of its task. */
static void
open_runs(struct worker *w, const struct merge_input *in, size_t n, bool open)
{
	const struct jobdir *dir = w->job->jobdir;

	for (size_t i = 0; i < n && dir != NULL; i++) {
		uint32_t store = in[i].run->at.store;

		if (store < dir->base)
			continue;
		if (open)
			commit_open(dir, w->job->stores + store, false,
			    store - dir->base);
		else
			store_leave(w->job->stores + store);
	}
}

/* Merges neighbours among what a reduce task reads until one merge can take
 * all of it.  Returns how many are left; runs are the new ones. */
static size_t
narrow(struct worker *w, struct merge_input *in, size_t n,
    const struct bounds *bounds, struct run **runs)
{
	size_t most = w->job->batch, made = 0;

	if (w->job->jobdir == NULL || n <= most)
		return n;
	*runs = xzalloc(2 * n, sizeof **runs);
	while (n > most) {
		size_t to = 0;

		for (size_t i = 0; i < n; i += most) {
			size_t k = n - i < most ? n - i : most;
			struct run *r = *runs + made++;

			open_runs(w, in + i, k, true);
			merge_to_run(w, in + i, k, bounds, r);
			open_runs(w, in + i, k, false);
			in[to++] = (struct merge_input){ w->job->stores, r, 0,
			    r->data };
		}
		n = to;
	}
	return n;
}

/* Has runs combined to one.  False if nothing has come out. */
static bool
combine_to_run(struct worker *w, const struct merge_input *in, size_t n,
    struct run *run)
{
	struct combining what = { .outer = NULL };
	struct merge_input *out;

	have_combined(w, in, n, w->job->compress, &what);
	if (what.n <= 1) {
		if (what.n == 1)
			*run = what.runs[0];
		return what.n == 1;
	}
	out = xzalloc(what.n, sizeof *out);
	for (size_t i = 0; i < what.n; i++)
		out[i] = (struct merge_input){ w->job->stores, what.runs + i,
		    0, what.runs[i].data };
	merge_to_run(w, out, what.n, NULL, run);
	for (size_t i = 0; i < what.n; i++)
		store_punch(w->store, &what.runs[i].at, what.runs[i].at.off,
		    what.runs[i].at.len);
	free(out);
	return true;
}

static void
do_merge(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct merge_input *in = merge_inputs(w, t, payload);
	struct run run;
	bool any = true;

	if (w->combiner != NULL)
		any = combine_to_run(w, in, t->n, &run);
	else
		merge_to_run(w, in, t->n, NULL, &run);
	if (any) {
		run.seq = in[0].run->seq;
		tell_run(w, &run, false);
	}
	free(in);
	answer(w, &reply);
}

/* The identity as a reducer: the records themselves. */
static void
copy_replay(struct worker *w, struct replay *text, struct sink *sink,
    struct reply_msg *reply)
{
	unsigned char *p = xrealloc(NULL, COPY, 1);
	size_t n;

	while ((n = replay_fill(text, p, COPY)) > 0) {
		check_alive(w);
		reply->stats.in += n;
		reply->stats.out += n;
		w->job->shared->worker[w->me].moved += n;
		sink_put(sink, p, n);
	}
	free(p);
}

/* Puts out what there is of it. */
static void
fold_put(struct worker *w, struct buf *out, struct sink *sink,
    struct reply_msg *reply)
{
	check_alive(w);
	sink_put(sink, out->p, out->len);
	reply->stats.in += out->len;
	reply->stats.out += out->len;
	w->job->shared->worker[w->me].moved += out->len;
	buf_reset(out);
}

/* A built-in reducer: a record of each key, which may be several ikeys. */
static bool
fold_merge(struct worker *w, struct merge *m, struct sink *sink,
    struct reply_msg *reply)
{
	const struct shape *shape = &w->job->shape;
	bool named = !ikey_has_key(shape), begun = false, ok = true, more;
	size_t skip = shape->key == KEY_PART ? 4 : 0, len, n = 0;
	struct fold *f = fold_new(w->job->agg, named);
	struct buf out = {0}, group = {0};
	const unsigned char *p = NULL;

	do {
		more = merge_group(m);
		if (more) {
			p = merge_key(m, &len);
			n = ikey_group(shape, p, len);
		}
		if (begun && (!more || n != group.len || (n > 0 &&
		    memcmp(p, group.p, n) != 0))) {
			ok = fold_print(f, &out, &reply->fail.text);
			begun = false;
		}
		if (more && ok) {
			if (!begun) {
				fold_begin(f, p + skip, len - skip);
				buf_reset(&group);
				buf_put(&group, p, n);
			}
			begun = true;
			fold_group(f, m);
		}
		if (out.len >= COPY || !more)
			fold_put(w, &out, sink, reply);
	} while (more && ok);
	if (!ok) {
		reply->fail.kind = FAIL_INPUT;
		reply->fail.exit = EXIT_TROUBLE;
		reply->fail.final = true;
	}
	fold_free(f);
	buf_free(&out);
	buf_free(&group);
	return ok;
}

/* Opens the file of a part, empty. */
static int
open_part(const struct job *job, uint32_t number)
{
	char *path = xasprintf("%s/part-%0*lu", job->outdir, job->outdigits,
	    (unsigned long)number);
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd == -1)
		die_errno("%s", path);
	free(path);
	return fd;
}

/* Makes a sink ready for a part: its file, if it is a part of the result and
 * that is a directory, or its place in the store. */
static void
sink_open(struct worker *w, struct sink *sink, const struct task_msg *t,
    bool result)
{
	if (result && w->job->outdir != NULL)
		sink->fd = open_part(w->job, t->task);
	else
		store_reuse(sink->store, t->expect, &t->free, sink->place);
}

/* Keeps what the sink has got, or forgets it. */
static void
sink_close(struct sink *sink, bool ok, struct reply_msg *reply)
{
	if (sink->fd != -1) {
		if (!ok && ftruncate(sink->fd, 0) == -1)
			die_errno("%s: emptying a part of the output",
			    sink->name);
		if (close(sink->fd) == -1)
			die_errno("%s: writing a part of the output",
			    sink->name);
	} else if (ok) {
		store_keep(sink->store, sink->place);
		reply->part = *sink->place;
	}
	if (!ok)
		reply->kind = REPLY_FAILED;
}

static void
do_reduce(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct job *job = w->job;
	const unsigned char *keys = payload->p + t->n *
	    sizeof(struct run_range);
	struct bounds bounds = {
	    .lo = t->lolen == NO_BOUND ? NULL : keys,
	    .lolen = t->lolen == NO_BOUND ? 0 : t->lolen,
	    .hi = t->hilen == NO_BOUND ? NULL :
	    keys + (t->lolen == NO_BOUND ? 0 : t->lolen),
	    .hilen = t->hilen == NO_BOUND ? 0 : t->hilen };
	struct merge_input *in = merge_inputs(w, t, payload);
	struct run *made = NULL;
	size_t n = narrow(w, in, (size_t)t->n, &bounds, &made);
	struct merge *m;
	struct replay *text;
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->out, .place = &part,
	    .name = job->outpath };
	bool ok = true, empty;

	before_task(w, t);
	open_draft(w);
	open_runs(w, in, n, true);
	m = merge_new(in, n, &bounds, job->worker_memory / 2, job->compress);
	text = replay_new(m, &job->shape, job->unique);
	empty = merge_is_empty(m);
	job->reducers = (unsigned)t->ntasks;
	sink_open(w, &sink, t, job->finish.argv == NULL && job->jobdir == NULL);
	if (job->agg != NULL) {
		ok = fold_merge(w, m, &sink, &reply);
	} else if (job->reduce.argv != NULL && (!empty || t->split.empty)) {
		struct attempt a;

		attempt_prepare(w, &a, &job->reduce, t, &t->split);
		a.sink = sink;
		a.src.kind = empty ? SOURCE_EMPTY : SOURCE_FILL;
		a.src.fill = replay_read;
		a.src.arg = text;
		run_command(w, &a, TASK_REDUCE);
		ok = attempt_close(w, &a, t, &reply);
		reply.partial = a.stats.partial;
	} else if (job->reduce.argv == NULL) {
		copy_replay(w, text, &sink, &reply);
	}
	reply.records = replay_records(text);
	reply.hot_weight = replay_hot(text, &w->hot);
	sink_close(&sink, ok, &reply);
	commit_task(w, t, ok, &reply);
	replay_free(text);
	merge_free(m);
	open_runs(w, in, n, false);
	if (made != NULL)
		store_empty(w->store);
	free(made);
	free(in);
	answer(w, &reply);
}

struct parts {			/* that the finish command reads */
	const struct job *job;
	const struct part *v;
	uint64_t n, next;
	int fd;			/* of the part's file in a job directory */
};

static int
parts_segment(void *arg, struct segment *seg, struct buf *why)
{
	struct parts *p = arg;
	const struct part *x = p->v + p->next;

	(void)why;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
	if (p->next == p->n)
		return 0;
	p->next++;
	if (p->job->jobdir != NULL)
		p->fd = commit_result(p->job->jobdir, x->at.store);
	*seg = (struct segment){ .fd = p->fd != -1 ? p->fd :
	    store_fd(p->job->stores + x->at.store, &x->at),
	    .off = x->at.off, .end = x->at.off + x->at.len,
	    .complete = x->partial, .begin = x->at.off };
	return 1;
}

/* The command that reads the output of all others. */
static void
do_finish(struct worker *w, const struct task_msg *t, struct buf *payload)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct parts parts = { w->job, (const void *)payload->p, t->n, 0, -1 };
	const struct form lines = form_of(&w->job->shape.fmt);
	struct place part = { .store = (uint16_t)w->me };
	struct sink sink = { .fd = -1, .store = w->store, .place = &part,
	    .name = w->job->outpath };
	struct form form = form_of(&w->job->shape.fmt);
	struct attempt a;
	bool ok;

	sink_open(w, &sink, t, true);
	attempt_prepare(w, &a, &w->job->finish, t, &t->split);
	a.form = &form;
	a.sink = sink;
	a.form = &lines;	/* not of the job's input */
	a.src.kind = SOURCE_SEGMENTS;
	a.src.segment = parts_segment;
	a.src.arg = &parts;
	attempt_run(&a);
	if (parts.fd != -1)
		close(parts.fd);
	ok = attempt_close(w, &a, t, &reply);
	reply.partial = a.stats.partial;
	sink_close(&sink, ok, &reply);
	answer(w, &reply);
}

static void
do_flush(struct worker *w)
{
	struct reply_msg reply = { .kind = REPLY_FLUSHED };

	if (w->collect != NULL) {
		collect_flush(w->collect);
		collect_free(w->collect);
		w->collect = NULL;
	}
	if (w->job->jobdir != NULL)
		commit_sync(w->job->jobdir);
	answer(w, &reply);
}

/* With a combiner the memory is that of two collectors and of the run that
 * goes from the one to the other. */
static void
begin_combining(struct worker *w)
{
	struct job *job = w->job;
	size_t most = job->worker_memory / 5 * 2, less = most / 2;

	store_open(&w->uncombined, job->tmpdirs[0], UINT64_MAX);
	w->combiner = combine_new(job, w->me, w->sock, less < MiB ? MiB :
	    less, w->out);
	w->collect = collect_new(&job->shape, &w->uncombined, 0, most < MiB ?
	    MiB : most, job->large, NULL, take_run, w);
}

static void
worker_begin(struct worker *w)
{
	struct job *job = w->job;

	w->store = job->stores + w->me;
	w->out = job->jobdir != NULL ? &w->file : w->store;
	w->draft.fd = -1;
	taskenv_begin(&w->env, job, w->me);
	if (job->kind == JOB_SORT && job->combine.argv == NULL)
		w->collect = collect_new(&job->shape, w->out,
		    (uint16_t)w->me, job->worker_memory, job->large,
		    job->compress, take_run, w);
	if (w->collect != NULL && job->agg != NULL)
		collect_aggregate(w->collect, job->agg);
	if (job->kind == JOB_SORT && job->combine.argv != NULL)
		begin_combining(w);
}

/* The life of worker number me, which ends when the driver closes sock. */
void
worker_main(struct job *job, unsigned me, int sock, pid_t driver)
{
	struct worker w = { .job = job, .me = me, .sock = sock,
	    .driver = driver };
	struct buf payload = {0};
	struct task_msg t;

	proc_worker_begin(job->shared->worker[me].group);
	the_worker = &w;
	diag_at_death = at_death;
	for (;;) {
		next_task(&w, &t);
		buf_reset(&payload);
		if (message_recv(sock, buf_reserve(&payload, t.payload),
		    t.payload) == -1)
			orphaned();
		payload.len = t.payload;
		if (w.store == NULL)
			worker_begin(&w);
		job->shared->worker[me].moved = 0;
		w.env.nrecords = t.nrecords;
		counters_reset(&w.counters);
		take_keys(&w, &t);
		switch (t.kind) {
		case TASK_COUNT:
			do_count(&w, &t);
			break;
		case TASK_SAMPLE:
			do_sample(&w, &t);
			break;
		case TASK_MAP:
			do_map(&w, &t, &payload);
			break;
		case TASK_FLUSH:
			do_flush(&w);
			break;
		case TASK_MERGE:
			do_merge(&w, &t, &payload);
			break;
		case TASK_REDUCE:
			do_reduce(&w, &t, &payload);
			break;
		case TASK_FINISH:
			do_finish(&w, &t, &payload);
			break;
		}
	}
}
