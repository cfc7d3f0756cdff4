/* reply.c - how a worker talks to the driver, and how it ends.
 *
 * A message is a struct, then as many bytes of payload as it says.  A worker
 * prints nothing of its own but what ends the process (a full disk): then its
 * exit status says that the cause is told.
 *
 * When the driver is gone (the socket is at its end) a worker kills its task,
 * removes the job's scratch directories and ends. */

#include <sys/resource.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "mr.h"

#define ENDING ((int64_t)1000000000)	/* ns: SIGTERM for all of us */

static struct worker *the_worker;	/* for clean-up at death */

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
	if (w->job->listscratch != NULL)
		scratch_remove(w->job->listscratch, -1);
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

/* Whether the driver has let us go or is dead: then what fails here does so
 * because another worker may have tidied up already. */
static bool
let_go(void)
{
	struct pollfd p = { .fd = the_worker->sock };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

void
reply_begin(struct worker *w)
{
	the_worker = w;
	diag_at_death = at_death;
	diag_unheard = let_go;
}

/* The driver has closed its end. */
_Noreturn void
reply_orphaned(void)
{
	/* What is done is kept, whatever has ended the job. */
	if (the_worker->job->jobdir != NULL)
		commit_sync(the_worker->job->jobdir);
	tidy_up();
	_exit(EXIT_TROUBLE);
}

/* A task that was ended by SIGTERM may be but one of all processes here: a
 * queueing system takes its time back so.  Then it has not failed, and the
 * driver, which is about to end, must not hear of it. */
static void
wait_for_end(const struct worker *w, const struct reply_msg *r)
{
	struct pollfd p = { .fd = w->sock, .events = POLLIN };
	int64_t until = now_ns() + ENDING, left;

	if (r->kind != REPLY_FAILED || !(proc_dying() ||
	    (r->fail.kind == FAIL_SIGNAL && r->fail.code == SIGTERM)))
		return;
	while ((left = until - now_ns()) > 0 && proc_poll(&p, 1, left) <= 0)
		;
}

void
reply_send(struct worker *w, struct reply_msg *r)
{
	struct buf b = {0};
	struct rusage ru;

	wait_for_end(w, r);
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
	if (r->kind == REPLY_DONE) {
		buf_put(&b, w->bad.p, w->bad.len);
		r->badlen = (uint32_t)w->bad.len;
		r->skipped = w->skipped;
	}
	buf_put(&b, w->hot.p, w->hot.len);
	r->payload = (uint32_t)b.len;
	r->combine_in = w->combine_in;
	r->combine_out = w->combine_out;
	r->spilled = w->spilled;
	w->combine_in = w->combine_out = w->spilled = 0;
	if (message_send(w->sock, r, sizeof *r, b.p, b.len) == -1) {
		if (errno != EPIPE)
			die_errno("talking to the driver");
		reply_orphaned();
	}
	buf_free(&b);
	buf_free(&r->fail.text);
	buf_free(&r->fail.tail);
	buf_reset(&w->hot);
}

void
reply_run(struct worker *w, const struct run *run, bool committed)
{
	struct reply_msg r = { .kind = REPLY_RUN, .run = *run,
	    .committed = committed };

	reply_send(w, &r);
}
