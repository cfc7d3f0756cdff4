/* made.c - the input of a task that is in no file: a worker makes it in a
 * store of its own, from a range or by the source's command. */

#include <fcntl.h>
#include <string.h>

#include "mr.h"

enum { MADE_MOST = 1 * MiB };	/* of generated input, in memory */

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
	taskcmd_prepare(w, &a, &cmd, t, &t->split);
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
	ok = taskcmd_end(&a, reply);
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
int
made_open(struct worker *w, const struct task_msg *t, struct reader *r,
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
void
made_count(struct worker *w, const struct task_msg *t)
{
	struct reply_msg reply = { .kind = REPLY_DONE, .task = t->task };
	struct place part = { .store = (uint16_t)w->me };

	store_pick(w->store, 0, &part);
	if (!run_source(w, t, NULL, w->store, &part, &reply))
		reply.kind = REPLY_FAILED;
	store_keep(w->store, &part);
	reply.part = part;
	reply_send(w, &reply);
}
