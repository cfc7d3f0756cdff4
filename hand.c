/* hand.c - parts of the output in the hands of the workers that made them.
 *
 * Where the output is a plain file - a filter's standard output, or what will
 * be that of -o - and no command makes its parts, a worker keeps a part in its
 * own memory and writes it to the output itself, as soon as the driver says
 * that all before it are out.  So the bytes are copied once and pass no single
 * process.  A worker has one part in hand at the most and no other task
 * meanwhile; a part that has been lost with its worker is made again.
 *
 * MR_DEBUG=nohand: never; hand: with little memory, too, and small parts. */

#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "mr.h"

enum { ROOM_LEAST = 8 * MiB };	/* else parts are so small that each run's
				   share of one is a few records */

/* Whether it is a file where each byte has its place, or where none has. */
static bool
has_places(int fd)
{
	struct stat st, null;

	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) ||
	    (S_ISCHR(st.st_mode) && stat("/dev/null", &null) == 0 &&
	    st.st_rdev == null.st_rdev));
}

/* Whether parts may be kept in hand.  A file that is appended to cannot be
 * put back to where a part began. */
bool
hand_possible(const struct driver *d)
{
	const struct job *job = d->job;
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return !d->po->unordered && job->kind == JOB_SORT &&
	    job->jobdir == NULL && job->agg == NULL &&
	    job->reduce.argv == NULL && job->finish.argv == NULL &&
	    !debug_word("nohand") &&
	    (job->hand_room >= ROOM_LEAST || debug_word("hand")) &&
	    ((job->outmade != NULL && access(job->outmade, W_OK) == 0) ||
	    (job->out == OUT_STDOUT && d->po->filter &&
	    flags != -1 && !(flags & O_APPEND) &&
	    has_places(STDOUT_FILENO)));
}

/* A task is done, and its part is in the hand of the worker. */
void
hand_took(struct driver *d, struct worker_state *w, uint32_t task)
{
	d->tasks[task].state = DONE;
	d->tasks[task].hand = (uint32_t)(w - d->w) + 1;
	w->hand = task;
}

/* The part that a worker had in hand is not there any more.  The caller plans
 * its task again. */
static void
lose(struct driver *d, struct worker_state *w)
{
	struct task *t = d->tasks + w->hand;

	t->state = PENDING;
	t->hand = 0;
	d->unfinished++;
}

/* A worker has died.  If it was writing, what it has written goes: the output
 * ends where it did before. */
void
hand_lost(struct driver *d, struct worker_state *w)
{
	bool writing = w->task != NO_TASK && w->kind == TASK_PRINT;
	int fd = output_fd(d->out);
	struct stat st;
	off_t at;

	if (w->hand == NO_TASK)
		return;
	lose(d, w);
	if (!writing) {
		plan_again(d, (uint32_t)w->hand, (uint32_t)w->hand + 1, -1);
		return;
	}
	hand_printed(d);
	at = lseek(fd, 0, SEEK_CUR);
	if (fstat(fd, &st) == -1 || (at == st.st_size &&
	    at > d->print_at && ftruncate(fd, d->print_at) == -1) ||
	    lseek(fd, d->print_at, SEEK_SET) == -1)
		die_errno("writing the output");
}

/* A worker has printed its part, or some of it.  The place in standard output
 * is the same for all processes, that in the file of -o is not. */
void
hand_printed(struct driver *d)
{
	if (d->job->outmade != NULL)
		lseek(output_fd(d->out), 0, SEEK_END);
}

/* The worker whose part is the next one of the output gets to write it.  If
 * that part is still to be made and all workers have later ones, which can only
 * be where processes are short, the last of these is given up. */
void
hand_next(struct driver *d)
{
	const struct task *next = d->tasks + d->added;
	struct worker_state *last = NULL;
	struct task_msg msg = { .kind = TASK_PRINT };

	if (!d->by_hand || d->failed || d->added == d->n)
		return;
	if (next->hand > 0 && !output_ready(d->out) &&
	    d->w[next->hand - 1].task == NO_TASK) {
		d->print_at = lseek(output_fd(d->out), 0, SEEK_CUR);
		msg.task = (uint32_t)d->added;
		msg.split.off = (uint64_t)d->print_at;
		output_by_hand(d->out);
		crew_give(d, next->hand - 1, &msg, NULL);
	}
	if (next->state != PENDING)
		return;
	for (unsigned i = 0; i < d->nw; i++) {
		struct worker_state *w = d->w + i;

		if (w->pid == 0)
			continue;
		if (w->hand == NO_TASK || w->task != NO_TASK)
			return;		/* it is idle, or will be */
		if (last == NULL || w->hand > last->hand)
			last = w;
	}
	if (last != NULL && crew_idle(d) == -1) {
		lose(d, last);
		plan_again(d, (uint32_t)last->hand, (uint32_t)last->hand + 1,
		    -1);
		last->hand = NO_TASK;
	}
}

/* Whether the output waits for a hand. */
bool
hand_waits(const struct driver *d)
{
	return d->by_hand && d->added < d->n;
}
