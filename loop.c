/* loop.c - the driver's one loop: it waits for answers of workers, signals,
 * a stream to read and an output to write.
 *
 * No data passes through the driver but a stream on its way into the spool
 * and parts on their way out. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "mr.h"

#define LOOK_EVERY ((int64_t)1000000000)	/* at what others say, ns */

static struct driver *the_driver;	/* for clean-up at death */

/* Leaves nothing behind: no process, no file that is not the output. */
void
loop_clean_up(void)
{
	struct driver *d = the_driver;

	if (d == NULL)
		return;
	the_driver = NULL;
	progress_end(&d->bar);
	if (d->job->shared != NULL)
		d->job->shared->stream = 0;
	stream_close(d->stream);
	d->stream = NULL;
	if (d->w != NULL)
		crew_stop(d);
	output_free(d->out);
	if (d->job->scratch != NULL)
		scratch_remove(d->job->scratch, d->lock);
	if (d->job->listscratch != NULL)
		scratch_remove(d->job->listscratch, d->list_lock);
	if (d->job->jobdir != NULL)
		scratch_remove(d->job->jobdir->mine, -1);
	if (d->begun_dir && d->undo_dir)
		jobdir_undo(d->job->jobdir);
	else if (d->begun_dir)
		jobdir_end(d->job->jobdir, d->ending);
}

void
loop_begin(struct driver *d)
{
	the_driver = d;
	diag_at_death = loop_clean_up;
}

/* Ctrl-Z: the tasks stop, then mr; the time does not count. */
static void
pause_job(struct driver *d)
{
	int64_t from = now_ns(), spent;

	progress_erase(&d->bar);
	d->job->shared->clock.since = from;
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			kill(d->w[i].pid, SIGSTOP);
			crew_signal(d, i, SIGSTOP);
		}
	proc_stop_self();
	spent = now_ns() - from;
	d->job->shared->clock.paused += spent;
	d->job->shared->clock.since = 0;
	d->bar.paused += spent;
	if (d->deadline > 0)
		d->deadline += spent;
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			crew_signal(d, i, SIGCONT);
			kill(d->w[i].pid, SIGCONT);
		}
}

/* What progress tells of tasks that run. */
static void
look_at_tasks(struct driver *d)
{
	d->bar.moving = d->holding ? d->job->buckets->held : 0;
	d->bar.stopped = 0;
	for (unsigned i = 0; i < d->nw; i++) {
		d->bar.moving += d->job->shared->worker[i].moved;
		d->bar.stopped += d->w[i].task != NO_TASK &&
		    d->job->shared->worker[i].stopped;
	}
}

static void
look_at_signals(struct driver *d)
{
	int sig = proc_signal();

	if (sig != 0) {
		d->ending = 128 + (sig < 0 ? -sig : sig);
		/* The engine may begin it anew. */
		d->begun_dir &= !jobplan_ask.element;
		loop_clean_up();
		proc_end_by(sig < 0 ? -sig : sig);
	}
	proc_take_child();
	if (proc_take_stop())
		pause_job(d);
	if (proc_take_info())
		progress_print(&d->bar, now_ns());
}

_Noreturn void
loop_output_died(const struct driver *d)
{
	if (d->job->out == OUT_STDOUT)
		die_errno("writing the output");
	die_errno("%s: writing the output", d->job->outpath);
}

/* Ends the job: some bytes of the output could not be written. */
static _Noreturn void
output_failed(struct driver *d, int err, uint64_t missing)
{
	char left[16];

	human_bytes(missing + output_waiting(d->out), left, sizeof left);
	loop_clean_up();
	if (err == EPIPE && !proc_started_ignored(SIGPIPE))
		proc_end_by(SIGPIPE);
	errno = err;
	die_errno("%s: writing the output, of which %s at least are "
	    "missing",
	    d->job->out == OUT_STDOUT ? "standard output" : d->job->outpath,
	    left);
}

/* Output bytes go out. */
static void
pump(struct driver *d)
{
	if (output_pump(d->out) == -1)
		output_failed(d, errno, 0);
}

/* Waits for something and deals with it. */
void
loop_step(struct driver *d)
{
	struct pollfd p[2 + d->nw];
	size_t n = 0, out, in;
	bool back = false;	/* some of the stream is there already */
	int64_t now = now_ns(), next = progress_tick(&d->bar, now), wait = -1;

	for (unsigned i = 0; i < d->nw; i++)
		p[n++] = (struct pollfd){ .fd = d->w[i].pid > 0 ?
		    d->w[i].sock : -1, .events = POLLIN };
	out = n++;
	p[out] = (struct pollfd){ .fd = d->job->out == OUT_STDOUT ?
	    STDOUT_FILENO : -1 };
	if (output_ready(d->out) && !d->hold) {
		if (d->job->out == OUT_STDOUT)
			p[out].events = POLLOUT;
		else
			wait = 0;
	}
	in = n++;
	p[in] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (d->stream != NULL && d->disorder == NO_TASK && !d->failed &&
	    (d->job->buckets != NULL ? deal_wants : plan_wants)(d, &back))
		p[in].fd = stream_fd(d->stream);
	if (back)
		wait = 0;
	if (d->cutting != NULL && !d->failed)
		wait = 0;
	if (next > 0 && wait != 0)
		wait = next > now ? next - now : 0;
	if (d->deadline > 0 && wait != 0 &&
	    (wait < 0 || d->deadline - now < wait))
		wait = d->deadline > now ? d->deadline - now : 0;
	if (jobplan_ask.element && (wait < 0 || wait > LOOK_EVERY))
		wait = LOOK_EVERY;
	proc_poll(p, n, wait);
	look_at_tasks(d);
	look_at_signals(d);
	if (jobplan_ask.element && now_ns() - d->looked > LOOK_EVERY)
		outcome_elsewhere(d);
	for (unsigned i = 0; i < d->nw; i++)
		if (p[i].revents != 0 && d->w[i].pid > 0)
			outcome_take(d, i);
	if (d->print_error != 0)
		output_failed(d, d->print_error, d->print_missing);
	if ((p[in].revents != 0 || back) && d->stream != NULL)
		(d->job->buckets != NULL ? deal_read : plan_read)(d);
	if (d->cutting != NULL && !d->failed)
		plan_cut(d);
	if (p[out].revents & POLLERR && !d->failed) {
		/* Nobody reads any more: a write will say so. */
		loop_clean_up();
		if (!proc_started_ignored(SIGPIPE))
			proc_end_by(SIGPIPE);
		die("writing the output: nobody reads it any more");
	}
	if (output_ready(d->out) && !d->hold &&
	    (d->job->out != OUT_STDOUT || p[out].revents & POLLOUT))
		pump(d);
	if (d->deadline > 0 && now_ns() >= d->deadline && !d->failed) {
		say("the job ran longer than its --deadline");
		outcome_fails(d, EXIT_TIMEOUT);
	}
}
