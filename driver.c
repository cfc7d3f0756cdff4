/* driver.c - runs a job: plans its tasks, hands them to workers, retries,
 * collects.
 *
 * One loop waits for answers of workers, signals, a stream to read and an
 * output to write.  No data passes through the driver but a stream on its
 * way into the spool and parts on their way out.
 *
 * Tasks are numbered in input order.  For a job that sorts, each worker gets
 * neighbouring tasks as long as there are any, so that their output can
 * share a run; when its stretch is at its end it takes half of the longest
 * one that is left.  Otherwise tasks are handed out in order, so that output
 * can be written early.
 *
 * A map task is done when its worker says so, and kept when no memory of
 * that worker holds any of its output; if a worker dies, its tasks that are
 * done and not kept are run again.
 *
 * Runs are kept in input order.  When all maps are done, runs that are
 * neighbours are merged while there are more than one merge can take; then
 * the runs' indexes are cut into parts of equal weight, and each part is
 * merged, reduced and added to the output in order.
 *
 * MR_DEBUG=disk keeps temporary data out of memory, onerun merges as many
 * runs as possible before the reduce tasks. */

#define _GNU_SOURCE		/* getresuid and friends are not needed; mmap */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

#define GRACE ((int64_t)2000000000)	/* ns a worker has to end its task */
#define PART_WEIGHT ((uint64_t)4 * MiB)	/* a reduce task should have so much */
#define BLOCK_MOST ((uint64_t)64 * MiB)
#define STREAM_MOST ((uint64_t)8 * MiB)
#define WAITING_MOST ((uint64_t)64 * MiB)	/* of output, unwritten */
enum {
	WORKER_LEAST = 4 * MiB,		/* of -S */
	ARENA_MOST = 64 * MiB,
	NO_TASK = -1,
	FDS_LEAST = 14, FDS_FIXED = 15, FDS_WORKER = 3,
};

enum task_state { PENDING, RUNNING, DONE, KEPT, GIVEN_UP };

struct task {
	struct split split;
	struct place part;
	uint32_t attempts;
	uint8_t state;
	bool partial;
	struct buf before;	/* sorted input: key of the record before */
	uint64_t records;	/* that it read, where that is known */
	int64_t begun;
};

struct span {			/* tasks that nobody has taken yet */
	uint32_t lo, hi;
	int owner;		/* worker that walks it from below, or -1 */
};

struct worker_state {
	pid_t pid;		/* 0: not there */
	int sock;
	int64_t task;		/* NO_TASK: idle */
	uint32_t kind;
	int64_t last;		/* the last map task it was given */
	bool holds;		/* map output in its memory: */
	uint32_t held_from, held_to;
	bool flushed;
	struct run *pending;	/* of tasks that are not kept yet */
	size_t npending;
	struct run *inputs;	/* of its present merge */
	size_t ninputs;
	uint64_t peak_kb;
};

struct driver {
	struct job *job;
	struct plan_options *po;
	struct output *out;
	struct worker_state *w;
	unsigned nw, alive;
	struct task *tasks;	/* of the present phase */
	size_t n, cap;
	size_t unfinished;
	struct span *spans;
	size_t nspans, cap_spans;
	size_t file;		/* the next operand to plan */
	struct stream *stream;
	size_t stream_blocks;	/* handed out or waiting */
	size_t stream_block_size;
	uint64_t stream_bytes;
	struct buf before;
	bool planned;		/* all tasks of the phase are known */
	bool in_order;
	uint64_t block;
	struct run *runs;	/* in input order */
	size_t nruns, cap_runs;
	size_t batch;
	struct run_index *index;
	struct bounds *cuts;	/* of the parts */
	uint64_t nparts;
	size_t added;		/* parts added to the output */
	bool reducing;
	int64_t disorder;	/* the first task out of order, or NO_TASK */
	uint64_t disorder_record;	/* in it */
	bool hold;		/* nothing is printed before all is right */
	struct progress bar;
	int64_t deadline;
	int lock;		/* of the scratch directory */
	/* What ends the job early: */
	bool failed;
	int status;
	uint64_t failures;
	/* Sums, for -v and the report: */
	uint64_t in, outbytes, records, unread, retries;
	uint64_t runs_written, merges, passes, spilled, lost_workers;
	uint64_t map_out, peak_kb, driver_ns;
	int64_t t0, t_map, t_merge, t_reduce, t_end;
	uint64_t map_tasks;
	int64_t woke;
	struct buf hot;		/* keys with much of the weight, as text */
	uint64_t weight;
	FILE *joblog;
};

static struct driver *the_driver;	/* for clean-up at death */

/* ---- memory, descriptors, workers */

/* Bytes a pipe of a task may have: an ordinary user's pipes share a limit,
 * beyond which all of that user's pipes shrink. */
static size_t
pipe_size(unsigned workers)
{
	uint64_t most = MiB, pages = 16384;
	char line[32] = "";
	int fd;

	if (geteuid() == 0)
		return most;
	fd = open_file("/proc/sys/fs/pipe-user-pages-soft", O_RDONLY, 0);
	if (fd != -1) {
		ssize_t n = read_some(fd, line, sizeof line - 1);

		close(fd);
		line[n > 0 ? n - 1 : 0] = '\0';
		if (parse_number(line, &pages) == -1)
			pages = 16384;
	}
	if (pages == 0)
		return most;
	pages = pages / 4 / (2 * workers) * 4096;
	return pages > most ? most : pages < 64 * KiB ? 64 * KiB :
	    (size_t)pages;
}

/* How many descriptors this process may have. */
static uint64_t
descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 ||
	    r.rlim_cur == RLIM_INFINITY)
		return 1024;
	if (r.rlim_cur < 512 && r.rlim_cur < r.rlim_max &&
	    debug_word("fds")) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur;
}

/* Divides -S among workers and opens the stores. */
static void
divide_memory(struct driver *d)
{
	struct job *job = d->job;
	uint64_t jobs = d->po->jobs, most = d->po->memory / WORKER_LEAST;
	uint64_t fds = descriptors(), share, spool = 0;
	bool scarce = fds < FDS_FIXED + 2 * FDS_WORKER;

	if (jobs > most)
		jobs = most > 0 ? most : 1;
	if (fds < FDS_LEAST)
		die("too few file descriptors (ulimit -n %llu): 16 are "
		    "enough", (unsigned long long)fds);
	if (fds < FDS_FIXED + FDS_WORKER * jobs)
		jobs = fds > FDS_FIXED + FDS_WORKER ?
		    (fds - FDS_FIXED) / FDS_WORKER : 1;
	d->nw = (unsigned)jobs;
	job->nworkers = d->nw;
	job->limits.pipe_size = pipe_size(d->nw);
	if (job->input.nstreams > 0)
		spool = d->po->memory / 4;
	share = (d->po->memory - spool) / d->nw;
	job->worker_memory = share / 2 > ARENA_MOST ? ARENA_MOST : share / 2;
	if (job->worker_memory < MiB)
		job->worker_memory = MiB;
	share = share > job->worker_memory + MiB ?
	    share - job->worker_memory - MiB : 0;
	if (debug_word("disk") || scarce)
		share = 0;
	job->stores = xzalloc(d->nw + 1, sizeof *job->stores);
	for (unsigned i = 0; i <= d->nw; i++) {
		uint64_t mem = i < d->nw ? share : spool;

		if (i == d->nw && job->input.nstreams == 0) {
			job->stores[i] = (struct store){ .mem = -1,
			    .disk = -1 };
			break;
		}
		store_open(job->stores + i, job->tmpdirs[i % job->ntmpdirs],
		    scarce ? 0 : mem);
	}
	d->stream_block_size = spool / (3 * d->nw + 1);
	if (d->stream_block_size > STREAM_MOST)
		d->stream_block_size = STREAM_MOST;
	if (d->stream_block_size < 64 * KiB)
		d->stream_block_size = 64 * KiB;
	d->w = xzalloc(d->nw, sizeof *d->w);
	job->shared = mmap(NULL, sizeof *job->shared + d->nw *
	    sizeof *job->shared->worker, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job->shared == MAP_FAILED)
		die_errno("cannot share memory with workers");
}

/* Forks worker i.  False if no process can be had now. */
static bool
worker_start(struct driver *d, unsigned i)
{
	struct worker_state *w = d->w + i;
	pid_t self = getpid();
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == -1)
		die_errno("cannot talk to workers (ulimit -n?)");
	fcntl(sock[0], F_SETFD, FD_CLOEXEC);
	fcntl(sock[1], F_SETFD, FD_CLOEXEC);
	fflush(NULL);
	w->pid = fork();
	if (w->pid == -1) {
		w->pid = 0;
		close(sock[0]);
		close(sock[1]);
		return false;
	}
	if (w->pid == 0) {
		for (unsigned j = 0; j < d->nw; j++)
			if (d->w[j].pid > 0 && d->w[j].sock != -1)
				close(d->w[j].sock);
		close(sock[0]);
		if (d->stream != NULL)
			close(stream_fd(d->stream));
		if (d->joblog != NULL)
			close(fileno(d->joblog));
		worker_main(d->job, i, sock[1], self);
	}
	close(sock[1]);
	*w = (struct worker_state){ .pid = w->pid, .sock = sock[0],
	    .task = NO_TASK, .last = -2 };
	d->alive++;
	return true;
}

static void
worker_forget(struct driver *d, struct worker_state *w)
{
	close(w->sock);
	free(w->pending);
	free(w->inputs);
	*w = (struct worker_state){ .sock = -1, .task = NO_TASK, .last = -2 };
	d->alive--;
}

/* Ends all workers: closes their sockets, so that they stop their tasks
 * gently, and kills those that are left when the grace time is over. */
static void
workers_stop(struct driver *d)
{
	int64_t until = now_ns() + GRACE + GRACE / 2;
	bool killed = false;

	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			close(d->w[i].sock);
			d->w[i].sock = -1;
		}
	while (d->alive > 0) {
		for (unsigned i = 0; i < d->nw; i++) {
			struct worker_state *w = d->w + i;

			if (w->pid == 0 ||
			    proc_wait(w->pid, NULL, WNOHANG) == 0)
				continue;
			proc_kill_group(d->job->shared->worker[i].group,
			    SIGKILL);
			w->pid = 0;
			d->alive--;
		}
		if (d->alive == 0)
			break;
		proc_poll(NULL, 0, 50000000);
		if (!killed && (proc_signal() < 0 || now_ns() > until)) {
			for (unsigned i = 0; i < d->nw; i++)
				if (d->w[i].pid > 0) {
					proc_kill_group(d->job->shared->
					    worker[i].group, SIGKILL);
					kill(d->w[i].pid, SIGTERM);
				}
			killed = true;
			until = now_ns() + GRACE;
		} else if (killed && now_ns() > until) {
			for (unsigned i = 0; i < d->nw; i++)
				if (d->w[i].pid > 0)
					kill(d->w[i].pid, SIGKILL);
		}
	}
	proc_kill_strays(d->job->id);
}

/* Leaves nothing behind: no process, no file that is not the output. */
static void
clean_up(void)
{
	struct driver *d = the_driver;

	if (d == NULL)
		return;
	the_driver = NULL;
	progress_end(&d->bar);
	if (d->w != NULL)
		workers_stop(d);
	output_free(d->out);
	if (d->job->scratch != NULL)
		scratch_remove(d->job->scratch, d->lock);
}

static void
job_fails(struct driver *d, int status)
{
	if (!d->failed)
		d->status = status;
	d->failed = true;
}

/* ---- signals */

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
			proc_kill_group(d->job->shared->worker[i].group,
			    SIGSTOP);
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
			proc_kill_group(d->job->shared->worker[i].group,
			    SIGCONT);
			kill(d->w[i].pid, SIGCONT);
		}
}

static void
look_at_signals(struct driver *d)
{
	int sig = proc_signal();

	if (sig != 0) {
		clean_up();
		proc_end_by(sig < 0 ? -sig : sig);
	}
	proc_take_child();
	if (proc_take_stop())
		pause_job(d);
	if (proc_take_info())
		progress_print(&d->bar, now_ns());
}

/* ---- planning */

static struct task *
add_task(struct driver *d, const struct split *s)
{
	struct task *t;
	struct span *last;

	if (d->n == UINT32_MAX - 1)
		die("too many tasks; use larger blocks");
	if (d->n == d->cap) {
		d->cap = grown(d->cap, d->n + 1);
		d->tasks = xrealloc(d->tasks, d->cap, sizeof *d->tasks);
	}
	last = d->nspans > 0 ? d->spans + d->nspans - 1 : NULL;
	if (last != NULL && last->hi == d->n) {
		last->hi++;
	} else {
		if (d->nspans == d->cap_spans) {
			d->cap_spans = grown(d->cap_spans, d->nspans + 1);
			d->spans = xrealloc(d->spans, d->cap_spans,
			    sizeof *d->spans);
		}
		d->spans[d->nspans++] = (struct span){ (uint32_t)d->n,
		    (uint32_t)d->n + 1, -1 };
	}
	t = d->tasks + d->n++;
	*t = (struct task){ .split = *s, .state = PENDING };
	d->unfinished++;
	return t;
}

/* Splits of a file by its size alone; workers find the records. */
static void
plan_blocks(struct driver *d, uint32_t file)
{
	uint64_t size = d->job->input.files[file].size;
	uint64_t n = (size + d->block - 1) / d->block, each;

	if (n == 0)
		return;
	each = (size + n - 1) / n;
	for (uint64_t off = 0; off < size; off += each)
		add_task(d, &(struct split){ .file = file, .nfiles = 1,
		    .off = off, .len = size - off < each ? size - off :
		    each });
}

/* Splits of a sorted file, cut between groups. */
static void
plan_groups(struct driver *d, uint32_t file)
{
	struct job *job = d->job;
	const struct file *f = job->input.files + file;
	uint64_t at = 0, next = 0;
	char why[200];
	int fd = input_open(f, why, sizeof why);

	if (fd == -1)
		die("%s: %s", f->name, why);
	for (uint64_t off = d->block; at < f->size; off += d->block) {
		if (off > f->size)
			off = f->size;
		if (next > off)
			continue;	/* a group longer than a block */
		next = group_boundary(&job->shape.fmt, fd, off, f->size);
		if (next == UINT64_MAX)
			die_errno("%s", f->name);
		if (next > at)
			add_task(d, &(struct split){ .file = file,
			    .nfiles = 1, .off = at, .len = next - at,
			    .exact = true });
		at = next;
	}
	close(fd);
}

/* Small files that follow each other, up to a block together. */
static void
plan_packed(struct driver *d)
{
	const struct input *in = &d->job->input;
	uint32_t first = (uint32_t)d->file;
	uint64_t sum = 0;

	while (d->file < in->n && !in->files[d->file].stream &&
	    (d->file == first ||
	    sum + in->files[d->file].size <= d->block))
		sum += in->files[d->file++].size;
	if (d->file - first == 1 && in->files[first].size > d->block) {
		plan_blocks(d, first);
		return;
	}
	if (sum > 0)
		add_task(d, &(struct split){ .file = first,
		    .nfiles = (uint32_t)(d->file - first), .len = sum,
		    .exact = true });
}

static void
tell_tty(void)
{
	if (isatty(STDIN_FILENO))
		say("reading standard input from the terminal; end it with "
		    "Ctrl-D");
}

/* Plans what can be planned: up to a stream that has to be read first. */
static void
plan_more(struct driver *d)
{
	struct job *job = d->job;

	while (d->stream == NULL && d->file < job->input.n) {
		struct file *f = job->input.files + d->file;

		if (f->stream) {
			if (strcmp(f->name, "-") == 0)
				tell_tty();
			buf_reset(&d->before);
			d->stream = stream_open(f->name, &job->shape.fmt,
			    job->stores + d->nw, (uint16_t)d->nw,
			    d->po->block != 0 ? d->po->block : MiB < 
			    d->stream_block_size ? MiB : d->stream_block_size,
			    job->check_order || job->grouped, job->whole_file);
			if (d->stream == NULL)
				die_errno("%s", f->name);
			d->stream_bytes = 0;
			return;
		}
		if (job->pack) {
			plan_packed(d);
			continue;
		}
		if (job->whole_file)
			add_task(d, &(struct split){
			    .file = (uint32_t)d->file, .nfiles = 1,
			    .len = f->size, .exact = true, .whole = true });
		else if (job->check_order || job->grouped)
			plan_groups(d, (uint32_t)d->file);
		else
			plan_blocks(d, (uint32_t)d->file);
		d->file++;
	}
	if (d->stream != NULL || d->planned)
		return;
	d->planned = true;
	if (d->n == 0)
		add_task(d, &(struct split){ .nfiles = 1, .empty = true });
}

/* Reads the stream once. */
static void
read_stream(struct driver *d)
{
	struct split s;
	int got = stream_read(d->stream, &s, &d->before);

	if (got == -2)
		die_errno("%s", d->job->input.files[d->file].name);
	if (s.len > 0) {
		struct task *t;

		s.file = (uint32_t)d->file;
		t = add_task(d, &s);
		buf_put(&t->before, d->before.p, d->before.len);
		d->stream_blocks++;
		d->stream_bytes += s.len;
		/* The first blocks are small, so that work starts early. */
		if (d->po->block == 0 && d->stream_bytes > 16 * MiB)
			stream_set_block(d->stream, d->stream_block_size);
	}
	if (got == -1) {
		stream_close(d->stream);
		d->stream = NULL;
		d->file++;
		plan_more(d);
	}
}

/* ---- handing out */

static void
span_drop(struct driver *d, size_t i)
{
	memmove(d->spans + i, d->spans + i + 1,
	    (d->nspans - i - 1) * sizeof *d->spans);
	d->nspans--;
}

static void
span_insert(struct driver *d, uint32_t lo, uint32_t hi, int owner)
{
	size_t i = 0;

	if (d->nspans == d->cap_spans) {
		d->cap_spans = grown(d->cap_spans, d->nspans + 1);
		d->spans = xrealloc(d->spans, d->cap_spans, sizeof *d->spans);
	}
	while (i < d->nspans && d->spans[i].lo < lo)
		i++;
	memmove(d->spans + i + 1, d->spans + i,
	    (d->nspans - i) * sizeof *d->spans);
	d->spans[i] = (struct span){ lo, hi, owner };
	d->nspans++;
}

static int64_t
span_take(struct driver *d, size_t i, unsigned who)
{
	uint32_t t = d->spans[i].lo++;

	d->spans[i].owner = (int)who;
	if (d->spans[i].lo == d->spans[i].hi)
		span_drop(d, i);
	return t;
}

/* The task that a worker should run next, or NO_TASK. */
static int64_t
next_task(struct driver *d, unsigned who)
{
	size_t best = 0;

	if (d->nspans == 0)
		return NO_TASK;
	if (d->in_order)
		return span_take(d, 0, who);
	for (size_t i = 0; i < d->nspans; i++) {
		if (d->spans[i].lo == d->w[who].last + 1)
			return span_take(d, i, who);
		if (d->spans[i].hi - d->spans[i].lo >
		    d->spans[best].hi - d->spans[best].lo)
			best = i;
	}
	if (d->spans[best].owner != -1 && d->spans[best].owner != (int)who &&
	    d->spans[best].hi - d->spans[best].lo > 1) {
		uint32_t lo = d->spans[best].lo, hi = d->spans[best].hi;
		uint32_t mid = lo + (hi - lo) / 2;

		d->spans[best].hi = mid;
		if (mid + 1 < hi)
			span_insert(d, mid + 1, hi, (int)who);
		return mid;
	}
	return span_take(d, best, who);
}

static void
give(struct driver *d, unsigned who, struct task_msg *msg,
    const struct buf *payload)
{
	struct worker_state *w = d->w + who;

	msg->payload = payload != NULL ? (uint32_t)payload->len : 0;
	w->task = msg->task;
	w->kind = msg->kind;
	/* A worker that is dead already is noticed by its socket. */
	if (message_send(w->sock, msg, sizeof *msg, payload != NULL ?
	    payload->p : NULL, msg->payload) == -1 && errno != EPIPE) {
		say_errno("talking to a worker");
		job_fails(d, EXIT_TROUBLE);
	}
}

/* A worker that has nothing to do, started if need be; -1 if there is none. */
static int
idle_worker(struct driver *d)
{
	int absent = -1;

	for (unsigned i = 0; i < d->nw; i++) {
		if (d->w[i].pid > 0 && d->w[i].task == NO_TASK)
			return (int)i;
		if (d->w[i].pid == 0 && absent == -1)
			absent = (int)i;
	}
	if (absent == -1)
		return -1;
	for (int tries = 0; tries < 20; tries++) {
		if (worker_start(d, (unsigned)absent))
			return absent;
		if (d->alive > 0)
			return -1;	/* those that there are go on */
		proc_poll(NULL, 0, 50000000);
		look_at_signals(d);
	}
	die_errno("cannot start a process");
}

/* Whether no task should be handed out now: a filter whose output is not
 * taken, or tasks behind one that ends the job. */
static bool
must_wait(const struct driver *d)
{
	if (d->disorder != NO_TASK && d->spans[0].lo > d->disorder)
		return true;
	return d->po->filter && output_waiting(d->out) > WAITING_MOST &&
	    (d->reducing || d->job->kind == JOB_MAP);
}

static void
hand_out_maps(struct driver *d)
{
	int who;

	while (d->nspans > 0 && !must_wait(d) &&
	    (who = idle_worker(d)) != -1) {
		int64_t t = next_task(d, (unsigned)who);
		struct task_msg msg = { .kind = TASK_MAP,
		    .task = (uint32_t)t };

		d->tasks[t].state = RUNNING;
		d->tasks[t].begun = now_ns();
		msg.attempt = d->tasks[t].attempts;
		msg.split = d->tasks[t].split;
		d->w[who].last = t;
		give(d, (unsigned)who, &msg, &d->tasks[t].before);
	}
}

/* A reduce task's message: its ranges of all runs, and its bounds. */
static void
give_reduce(struct driver *d, unsigned who, uint32_t part)
{
	const struct bounds *b = d->cuts + part;
	struct task *t = d->tasks + part;
	struct buf payload = {0};
	struct task_msg msg = { .kind = TASK_REDUCE, .task = part,
	    .attempt = t->attempts, .nparts = d->nparts,
	    .lolen = NO_BOUND, .hilen = NO_BOUND, .split = t->split };

	for (size_t i = 0; i < d->nruns; i++) {
		const struct run_index *ix = d->index + i;
		struct run_range r = { d->runs[i], 0, d->runs[i].data };
		size_t at;

		if (b->lo != NULL) {
			at = run_index_find(ix, b->lo, b->lolen);
			r.begin = ix->off[at > 0 ? at - 1 : 0];
		}
		if (b->hi != NULL)
			r.end = ix->off[run_index_find(ix, b->hi, b->hilen)];
		if (r.begin >= r.end)
			continue;
		buf_put(&payload, &r, sizeof r);
		msg.n++;
		msg.expect += r.end - r.begin;
	}
	if (b->lo != NULL) {
		msg.lolen = (uint32_t)b->lolen;
		buf_put(&payload, b->lo, b->lolen);
	}
	if (b->hi != NULL) {
		msg.hilen = (uint32_t)b->hilen;
		buf_put(&payload, b->hi, b->hilen);
	}
	t->state = RUNNING;
	t->begun = now_ns();
	give(d, who, &msg, &payload);
	buf_free(&payload);
}

static void
hand_out_reduces(struct driver *d)
{
	int who;

	while (d->nspans > 0 && !must_wait(d) &&
	    (who = idle_worker(d)) != -1)
		give_reduce(d, (unsigned)who,
		    (uint32_t)next_task(d, (unsigned)who));
}

/* ---- what comes back */

/* What may help with exit status 127. */
static void
not_found(const struct command *c, struct buf *b)
{
	size_t n = strcspn(c->shown, " \t\n;|&<>()$\"'`\\/");
	char *word = xasprintf("%.*s", (int)n, c->shown);

	if (n > 0 && strchr(" \t\n;|&", c->shown[n]) != NULL &&
	    access(word, F_OK) == 0) {
		buf_str(b, " (there is ./");
		buf_escaped(b, word, n);
		buf_str(b, ")");
	} else {
		buf_str(b, " (command not found?)");
	}
	free(word);
}

/* The part of the failure message that names the cause. */
static void
describe(const struct driver *d, const struct reply_msg *r, struct buf *b)
{
	const struct failure *f = &r->fail;
	const struct command *c = d->reducing ? &d->job->reduce :
	    &d->job->map;
	char name[32], t[24];

	if (c->argv != NULL && f->kind != FAIL_INPUT &&
	    f->kind != FAIL_ORDER) {
		buf_escaped(b, c->shown, strlen(c->shown));
		buf_str(b, ": ");
	}
	switch (f->kind) {
	case FAIL_STATUS:
		buf_printf(b, "exit status %d", f->code);
		if (f->code == EXIT_NOCMD)
			not_found(c, b);
		break;
	case FAIL_SIGNAL:
		buf_printf(b, "killed by %s",
		    signal_name(f->code, name, sizeof name));
		if (f->code == SIGKILL)
			buf_str(b, " (out of memory?)");
		break;
	case FAIL_TIMEOUT:
		buf_printf(b, "ran longer than --timeout %s", human_time(
		    d->job->limits.timeout, t, sizeof t));
		break;
	case FAIL_STALL:
		buf_printf(b, "moved no byte for --stall %s", human_time(
		    d->job->limits.stall, t, sizeof t));
		break;
	case FAIL_HELD:
		buf_str(b, "it has exited, but a process that it started "
		    "keeps its output open");
		break;
	case FAIL_TTY:
		buf_printf(b, "tried to use the terminal (%s)",
		    signal_name(f->code, name, sizeof name));
		break;
	case FAIL_EXEC:
		buf_printf(b, "cannot be run: %s", strerror(f->code));
		break;
	case FAIL_LOST:
		if (f->code < 0)
			buf_printf(b, "its worker was killed by %s%s",
			    signal_name(-f->code, name, sizeof name),
			    f->code == -SIGKILL ? " (out of memory?)" : "");
		else
			buf_printf(b, "no process for it: %s",
			    strerror(f->code));
		break;
	case FAIL_UNREAD:
		buf_printf(b, "left input unread (--strict-input)");
		break;
	default:
		break;
	}
	buf_put(b, f->text.p, f->text.len);
}

/* The lines that tell of a task's failure. */
static void
tell_failure(struct driver *d, const struct task *t, const struct reply_msg *r)
{
	struct buf b = {0};
	const unsigned char *p, *nl;
	size_t left;
	const struct split *s = r->split.len > 0 ? &r->split : &t->split;

	buf_printf(&b, "%s: %s task %lu failed after %lu attempt%s: ",
	    diag_name, d->reducing ? "reduce" : d->job->phase_name,
	    (unsigned long)r->task, (unsigned long)t->attempts,
	    t->attempts == 1 ? "" : "s");
	describe(d, r, &b);
	buf_str(&b, "\n");
	if (!d->reducing && !s->empty) {
		const char *name = d->job->input.files[s->file].name;

		buf_printf(&b, "%s:   input ", diag_name);
		if (strcmp(name, "-") == 0)
			buf_str(&b, "standard input");
		else
			buf_escaped(&b, name, strlen(name));
		if (s->nfiles > 1)
			buf_printf(&b, " and %lu more",
			    (unsigned long)s->nfiles - 1);
		else if (s->len > 0)
			buf_printf(&b, ", bytes %llu-%llu",
			    (unsigned long long)s->off,
			    (unsigned long long)(s->off + s->len - 1));
		buf_str(&b, "\n");
	}
	p = r->fail.tail.p;
	left = r->fail.tail.len;
	if (left > 0)
		buf_printf(&b, "%s:   last of its stderr:\n", diag_name);
	for (; left > 0; left -= (size_t)(nl - p), p = nl) {
		nl = memchr(p, '\n', left);
		buf_printf(&b, "%s:   | ", diag_name);
		buf_escaped(&b, p, nl == NULL ? left : (size_t)(nl - p));
		buf_str(&b, "\n");
		nl = nl == NULL ? p + left : nl + 1;
	}
	if (r->fail.silent)
		buf_printf(&b, "%s:   if that is no failure (grep), "
		    "--ok-exit 1\n", diag_name);
	diag_write(b.p, b.len);
	buf_free(&b);
}

/* The store of a dead worker's successor goes on behind what is in use. */
static void
note_place(struct driver *d, const struct place *at)
{
	if (at->len > 0)
		store_keep(d->job->stores + at->store, at);
}

static void
add_run(struct driver *d, const struct run *run)
{
	if (d->nruns == d->cap_runs) {
		d->cap_runs = grown(d->cap_runs, d->nruns + 1);
		d->runs = xrealloc(d->runs, d->cap_runs, sizeof *d->runs);
	}
	d->runs[d->nruns++] = *run;
	d->runs_written++;
	if (run->at.disk)
		d->spilled += run->at.len;
}

/* Nothing but files holds the task's output now. */
static void
keep_task(struct driver *d, uint32_t n)
{
	struct task *t = d->tasks + n;

	if (t->state == KEPT)
		return;
	t->state = KEPT;
	if (t->split.stream) {
		store_punch(d->job->stores + t->split.spool.store,
		    &t->split.spool, t->split.spool.off, t->split.spool.len);
		d->stream_blocks--;
	}
}

/* Tasks that the worker holds, up to number upto, are kept; so are the runs
 * of such tasks alone, which waited for it. */
static void
keep_held(struct driver *d, struct worker_state *w, uint32_t upto)
{
	size_t n = 0;

	while (w->holds && w->held_from <= upto) {
		keep_task(d, w->held_from);
		if (w->held_from == w->held_to)
			w->holds = false;
		w->held_from++;
	}
	for (size_t i = 0; i < w->npending; i++)
		if (w->pending[i].last <= upto)
			add_run(d, w->pending + i);
		else
			w->pending[n++] = w->pending[i];
	w->npending = n;
}

/* The attempt of a task has failed, and its runs with it. */
static void
drop_pending(struct worker_state *w, uint32_t task)
{
	size_t n = 0;

	for (size_t i = 0; i < w->npending; i++)
		if (w->pending[i].first != task || w->pending[i].last != task)
			w->pending[n++] = w->pending[i];
	w->npending = n;
}

/* Adds parts that are complete to the output, in order. */
static void
add_parts(struct driver *d)
{
	if (!d->reducing && d->job->kind == JOB_SORT)
		return;
	for (; d->added < d->n && d->tasks[d->added].state == KEPT; d->added++)
		if (!(d->reducing && d->job->outdir != NULL))
			output_add(d->out, &d->tasks[d->added].part,
			    d->tasks[d->added].partial);
}

static void
log_task(struct driver *d, const struct task *t, const struct reply_msg *r,
    const char *result)
{
	if (d->joblog != NULL)
		fprintf(d->joblog, "%s\t%lu\t%lu\t%s\t%.3f\t%.3f\t%llu\t"
		    "%llu\n", d->reducing ? "reduce" : d->job->phase_name,
		    (unsigned long)r->task, (unsigned long)t->attempts, result,
		    (double)(t->begun - d->t0) / 1e9,
		    (double)(now_ns() - t->begun) / 1e9,
		    (unsigned long long)r->stats.in,
		    (unsigned long long)r->stats.out);
}

static void
task_done(struct driver *d, struct worker_state *w, const struct reply_msg *r,
    const struct buf *hot)
{
	struct task *t = d->tasks + r->task;

	t->part = r->part;
	t->partial = r->partial;
	t->records = r->read;
	log_task(d, t, r, "ok");
	d->unread += r->stats.unread;
	if (!d->reducing) {
		d->in += r->split.len;
		d->records += r->records;
		d->map_out += r->stats.out;
		if (d->job->kind == JOB_MAP)
			d->outbytes += r->stats.out;
	} else {
		d->outbytes += r->stats.out;
		if (r->hot_weight > d->weight / 10) {
			buf_printf(&d->hot, "%s", d->hot.len > 0 ? ", " : "");
			buf_escaped(&d->hot, hot->p, hot->len);
			buf_printf(&d->hot, " (%llu %%)", (unsigned long long)
			    (r->hot_weight * 100 / d->weight));
		}
	}
	d->unfinished--;
	d->bar.done++;
	d->bar.bytes += d->reducing ? r->stats.in : r->split.len;
	if (r->held) {
		if (!w->holds)
			w->held_from = r->task;
		w->holds = true;
		w->held_to = r->task;
		t->state = DONE;
	} else {
		keep_held(d, w, UINT32_MAX);
		keep_task(d, r->task);
	}
	if (d->po->unordered && (d->reducing || d->job->kind == JOB_MAP) &&
	    d->job->outdir == NULL)
		output_add(d->out, &t->part, t->partial);
	else
		add_parts(d);
}

/* A task is to be run again, or ends the job. */
static void
task_failed(struct driver *d, const struct reply_msg *r)
{
	struct task *t = d->tasks + r->task;

	t->attempts++;
	log_task(d, t, r, "failed");
	if (r->fail.kind == FAIL_ORDER) {
		if (d->disorder == NO_TASK || r->task < d->disorder) {
			d->disorder = r->task;
			d->disorder_record = r->read;
		}
		t->state = GIVEN_UP;
		return;
	}
	if (t->attempts <= d->po->retries && !r->fail.final) {
		d->retries++;
		t->state = PENDING;
		span_insert(d, r->task, r->task + 1, -1);
		return;
	}
	t->state = GIVEN_UP;
	if (!d->failed)
		tell_failure(d, t, r);
	job_fails(d, r->fail.exit);
}

/* A worker's process has ended. */
static void
worker_died(struct driver *d, unsigned who)
{
	struct worker_state *w = d->w + who;
	struct reply_msg r = { .task = (uint32_t)w->task };
	int status = 0;

	proc_wait(w->pid, &status, 0);
	proc_kill_group(d->job->shared->worker[who].group, SIGKILL);
	d->job->shared->worker[who].group = 0;
	proc_kill_strays(d->job->id);
	d->lost_workers++;
	if (WIFEXITED(status)) {
		/* It has said why. */
		job_fails(d, WEXITSTATUS(status) == 0 ? EXIT_TROUBLE :
		    WEXITSTATUS(status));
		worker_forget(d, w);
		return;
	}
	for (uint32_t t = w->held_from; w->holds && t <= w->held_to; t++) {
		d->tasks[t].state = PENDING;
		d->unfinished++;
		span_insert(d, t, t + 1, -1);
	}
	r.fail = (struct failure){ .kind = FAIL_LOST,
	    .code = -WTERMSIG(status), .exit = EXIT_KILLED };
	if (w->task != NO_TASK && (w->kind == TASK_MAP ||
	    w->kind == TASK_REDUCE)) {
		task_failed(d, &r);
	} else if (w->task != NO_TASK && w->kind == TASK_MERGE) {
		/* Its inputs are still there. */
		for (size_t i = 0; i < w->ninputs; i++)
			d->runs[d->nruns++] = w->inputs[i];
		if (d->lost_workers > 10 + d->nw)
			job_fails(d, EXIT_KILLED);
	}
	worker_forget(d, w);
}

static void
take_reply(struct driver *d, unsigned who)
{
	struct worker_state *w = d->w + who;
	struct reply_msg r;
	struct buf text = {0}, hot = {0};

	if (message_recv(w->sock, &r, sizeof r) == -1 ||
	    message_recv(w->sock, buf_reserve(&text, r.payload),
	    r.payload) == -1) {
		buf_free(&text);
		worker_died(d, who);
		return;
	}
	text.len = r.payload;
	r.fail.text = r.fail.tail = (struct buf){0};
	buf_put(&r.fail.text, text.p, r.textlen);
	buf_put(&r.fail.tail, text.p + r.textlen, r.taillen);
	buf_put(&hot, text.p + r.textlen + r.taillen,
	    r.payload - r.textlen - r.taillen);
	if (r.peak_kb > w->peak_kb) {
		d->peak_kb += r.peak_kb - w->peak_kb;
		w->peak_kb = r.peak_kb;
	}
	switch (r.kind) {
	case REPLY_RUN:
		note_place(d, &r.run.at);
		/* A run counts when no task in it can be run again. */
		w->pending = xrealloc(w->pending, w->npending + 1,
		    sizeof *w->pending);
		w->pending[w->npending++] = r.run;
		if (r.committed && !(w->kind == TASK_MAP &&
		    r.run.first <= w->task && w->task <= r.run.last))
			keep_held(d, w, r.run.last);
		break;
	case REPLY_DONE:
		note_place(d, &r.part);
		if (w->kind == TASK_MERGE)
			keep_held(d, w, UINT32_MAX);
		if (w->kind == TASK_MERGE)
			for (size_t i = 0; i < w->ninputs; i++)
				store_punch(d->job->stores +
				    w->inputs[i].at.store, &w->inputs[i].at,
				    w->inputs[i].at.off, w->inputs[i].at.len);
		else
			task_done(d, w, &r, &hot);
		w->task = NO_TASK;
		break;
	case REPLY_FAILED:
		drop_pending(w, r.task);
		w->task = NO_TASK;
		if (!r.held)
			keep_held(d, w, UINT32_MAX);
		task_failed(d, &r);
		break;
	case REPLY_FLUSHED:
		keep_held(d, w, UINT32_MAX);
		w->flushed = true;
		w->task = NO_TASK;
		break;
	}
	buf_free(&text);
	buf_free(&hot);
	buf_free(&r.fail.text);
	buf_free(&r.fail.tail);
}

/* ---- the loop */

static _Noreturn void
output_died(const struct driver *d)
{
	if (d->job->out == OUT_STDOUT)
		die_errno("writing the output");
	die_errno("%s: writing the output", d->job->outpath);
}

/* Output bytes go out; trouble with them ends the job. */
static void
pump(struct driver *d)
{
	int err;

	if (output_pump(d->out) != -1)
		return;
	err = errno;
	clean_up();
	if (err == EPIPE && !proc_started_ignored(SIGPIPE))
		proc_end_by(SIGPIPE);
	errno = err;
	output_died(d);
}

/* Waits for something and deals with it. */
static void
step(struct driver *d)
{
	struct pollfd p[2 + d->nw];
	size_t n = 0, out, in;
	int64_t now = now_ns(), next = progress_tick(&d->bar, now), wait = -1;
	uint64_t moving = 0;

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
	if (d->stream != NULL && d->disorder == NO_TASK &&
	    d->stream_blocks < 2 * d->nw + 1 && !d->failed)
		p[in].fd = stream_fd(d->stream);
	if (next > 0 && wait != 0)
		wait = next > now ? next - now : 0;
	if (d->deadline > 0 && wait != 0 &&
	    (wait < 0 || d->deadline - now < wait))
		wait = d->deadline > now ? d->deadline - now : 0;
	d->driver_ns += (uint64_t)(now - d->woke);
	proc_poll(p, n, wait);
	d->woke = now_ns();
	look_at_signals(d);
	for (unsigned i = 0; i < d->nw; i++)
		moving += d->job->shared->worker[i].moved;
	d->bar.moving = moving;
	for (unsigned i = 0; i < d->nw; i++)
		if (p[i].revents != 0 && d->w[i].pid > 0)
			take_reply(d, i);
	if (p[in].revents != 0 && d->stream != NULL)
		read_stream(d);
	if (p[out].revents & POLLERR && !d->failed) {
		/* Nobody reads any more: a write will say so. */
		clean_up();
		if (!proc_started_ignored(SIGPIPE))
			proc_end_by(SIGPIPE);
		die("writing the output: nobody reads it any more");
	}
	if (output_ready(d->out) && !d->hold &&
	    (d->job->out != OUT_STDOUT || p[out].revents & POLLOUT))
		pump(d);
	if (d->deadline > 0 && now_ns() >= d->deadline && !d->failed) {
		say("the job ran longer than its --deadline");
		job_fails(d, EXIT_TIMEOUT);
	}
}

/* Whether all tasks before the first one out of order are done: then it is
 * known which record that is. */
static bool
disorder_is_known(struct driver *d)
{
	uint64_t sum = 0;

	if (d->disorder == NO_TASK)
		return false;
	for (int64_t i = 0; i < d->disorder; i++) {
		if (d->tasks[i].state != KEPT)
			return false;
		sum += d->tasks[i].records;
	}
	if (!d->failed)
		say("the input is not in key order: record %llu comes before "
		    "the one that it follows (mr sort; --grouped if equal "
		    "keys stand together)",
		    (unsigned long long)(sum + d->disorder_record));
	job_fails(d, EXIT_TROUBLE);
	return true;
}

static bool
merging(const struct driver *d)
{
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0 && d->w[i].task != NO_TASK)
			return true;
	return false;
}

static void
map_phase(struct driver *d)
{
	progress_phase(&d->bar, d->job->phase_name, d->job->ntasks,
	    d->job->input.nstreams > 0 ? 0 : d->job->input.bytes);
	for (;;) {
		hand_out_maps(d);
		if (d->failed || disorder_is_known(d) ||
		    (d->planned && d->unfinished == 0))
			return;
		step(d);
	}
}

/* Every worker writes what it still holds; tasks of one that dies before it
 * has are run again. */
static void
flush_phase(struct driver *d)
{
	for (;;) {
		bool all = true;

		if (d->failed)
			return;
		if (d->unfinished > 0) {
			map_phase(d);
			continue;
		}
		for (unsigned i = 0; i < d->nw; i++) {
			struct worker_state *w = d->w + i;
			struct task_msg msg = { .kind = TASK_FLUSH };

			if (w->pid == 0 || w->flushed)
				continue;
			all = false;
			if (w->task == NO_TASK)
				give(d, i, &msg, NULL);
		}
		if (all)
			return;
		step(d);
	}
}

static int
by_position(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Where the k neighbours begin that are cheapest to merge. */
static size_t
cheapest(const struct driver *d, size_t k)
{
	uint64_t sum = 0, least = UINT64_MAX;
	size_t best = 0;

	for (size_t i = 0; i < d->nruns; i++) {
		sum += d->runs[i].data;
		if (i + 1 < k)
			continue;
		if (sum < least) {
			least = sum;
			best = i + 1 - k;
		}
		sum -= d->runs[i + 1 - k].data;
	}
	return best;
}

/* Gives a worker k neighbouring runs to merge. */
static void
give_merge(struct driver *d, unsigned who, const struct run *runs, size_t k)
{
	struct task_msg msg = { .kind = TASK_MERGE, .n = k };
	struct worker_state *w = d->w + who;
	struct buf payload = {0};

	for (size_t i = 0; i < k; i++) {
		struct run_range r = { runs[i], 0, runs[i].data };

		buf_put(&payload, &r, sizeof r);
	}
	w->inputs = xrealloc(w->inputs, k, sizeof *w->inputs);
	memcpy(w->inputs, runs, k * sizeof *runs);
	w->ninputs = k;
	give(d, who, &msg, &payload);
	buf_free(&payload);
	d->merges++;
}

/* One pass: windows of neighbours are merged, as many as are needed, each
 * run in one window at most. */
static void
merge_pass(struct driver *d)
{
	size_t n = d->nruns, k = d->batch, at = 0, end;
	size_t windows = (n - k + k - 2) / (k - 1);
	struct run *old;

	if (windows > n / k)
		windows = n / k;
	if (windows <= 1) {
		windows = 1;
		if (k > n - k + 1)
			k = n - k + 1;
		at = cheapest(d, k);
	}
	end = at + windows * k;
	old = xrealloc(NULL, n, sizeof *old);
	memcpy(old, d->runs, n * sizeof *old);
	memmove(d->runs + at, d->runs + end, (n - end) * sizeof *d->runs);
	d->nruns -= windows * k;
	while ((at < end || merging(d)) && !d->failed) {
		int who = at < end ? idle_worker(d) : -1;

		if (who == -1) {
			step(d);
			continue;
		}
		give_merge(d, (unsigned)who, old + at, k);
		at += k;
	}
	free(old);
}

/* Merges neighbours until one merge can take all that is left. */
static void
merge_phase(struct driver *d)
{
	progress_phase(&d->bar, "merge", 0, 0);
	for (; d->nruns > d->batch && !d->failed; d->passes++) {
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
		merge_pass(d);
	}
	if (d->nruns > 0)
		qsort(d->runs, d->nruns, sizeof *d->runs, by_position);
}

/* ---- cutting into parts */

struct cut {			/* a key at which a part may begin */
	const unsigned char *key;
	size_t len;
	uint64_t weight;	/* of the block that begins there */
	uint64_t below;		/* of all before it */
};

static int
by_key(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return key_compare(x->key, x->len, y->key, y->len);
}

/* All keys of the indexes, in order, each once.  The caller frees them. */
static struct cut *
candidates(const struct driver *d, size_t *count)
{
	size_t n = 0, k = 0;
	struct cut *v;
	uint64_t below = 0;

	for (size_t i = 0; i < d->nruns; i++)
		n += d->index[i].n;
	v = xrealloc(NULL, n, sizeof *v);
	n = 0;
	for (size_t i = 0; i < d->nruns; i++) {
		const struct run_index *ix = d->index + i;

		for (size_t j = 0; j < ix->n; j++)
			v[n++] = (struct cut){ ix->keys.p + ix->keyoff[j],
			    ix->keyoff[j + 1] - ix->keyoff[j], ix->weight[j],
			    0 };
	}
	if (n > 0)
		qsort(v, n, sizeof *v, by_key);
	for (size_t i = 0; i < n; i++) {
		if (k == 0 || by_key(v + k - 1, v + i) != 0) {
			v[k] = v[i];
			v[k++].below = below;
		}
		below += v[i].weight;
	}
	*count = k;
	return v;
}

/* Bounds of parts whose records, by weight, are as even as the indexes let
 * them be. */
static void
cut_evenly(struct driver *d, uint64_t parts)
{
	static const unsigned char nothing[] = "";
	size_t n, at = 0, last = 0;
	struct cut *v = candidates(d, &n);

	d->cuts = xzalloc(parts, sizeof *d->cuts);
	for (uint64_t p = 1; p < parts; p++) {
		uint64_t want = (uint64_t)((double)d->weight * (double)p /
		    (double)parts);

		while (at < n && v[at].below < want)
			at++;
		if (at > last && at < n && want - v[at - 1].below <
		    v[at].below - want)
			at--;
		last = at;
		if (at == n) {
			/* What is left is in the part before: the others
			 * are empty. */
			for (; p < parts; p++)
				d->cuts[p].lo = d->cuts[p].hi = nothing;
			break;
		}
		d->cuts[p - 1].hi = d->cuts[p].lo = v[at].key;
		d->cuts[p - 1].hilen = d->cuts[p].lolen = v[at].len;
	}
	free(v);
	d->nparts = parts;
}

/* Bounds of hashed parts: their numbers. */
static void
cut_by_number(struct driver *d)
{
	uint32_t n = d->job->shape.nparts;
	unsigned char *numbers = xrealloc(NULL, n, 4);

	d->cuts = xzalloc(n, sizeof *d->cuts);
	for (uint32_t p = 0; p < n; p++) {
		store_be32(numbers + 4 * p, p);
		if (p > 0)
			d->cuts[p - 1].hi = d->cuts[p].lo = numbers + 4 * p;
		if (p > 0)
			d->cuts[p - 1].hilen = d->cuts[p].lolen = 4;
	}
	d->nparts = n;
}

/* Chooses the parts, which is a function of the runs' indexes alone. */
static void
choose_parts(struct driver *d)
{
	struct job *job = d->job;
	uint64_t parts = d->po->reducers;

	d->index = xzalloc(d->nruns, sizeof *d->index);
	for (size_t i = 0; i < d->nruns; i++) {
		run_index_read(job->stores + d->runs[i].at.store, d->runs + i,
		    d->index + i);
		d->weight += d->runs[i].weight;
	}
	if (job->shape.key != KEY_PLAIN) {
		cut_by_number(d);
		return;
	}
	if (parts == 0) {
		parts = d->weight / PART_WEIGHT;
		if (parts > 4 * d->nw)
			parts = 4 * d->nw;
		if (parts == 0)
			parts = 1;
	}
	cut_evenly(d, parts);
}

static void
reduce_phase(struct driver *d)
{
	free(d->tasks);
	d->tasks = NULL;
	d->n = d->cap = d->nspans = d->unfinished = 0;
	choose_parts(d);
	d->reducing = true;
	d->in_order = true;
	for (uint64_t p = 0; p < d->nparts; p++)
		add_task(d, &(struct split){ .nfiles = 1,
		    .empty = d->nruns == 0 && p == 0 });
	progress_phase(&d->bar, "reduce", d->nparts, d->weight);
	while (!d->failed && d->unfinished > 0) {
		hand_out_reduces(d);
		step(d);
	}
}

/* ---- before and after */

static void
show_command(struct buf *b, const char *what, const struct command *c)
{
	if (c->argv == NULL)
		return;
	buf_printf(b, "%s: ", what);
	buf_escaped(b, c->shown, strlen(c->shown));
	buf_str(b, "\n");
}

/* --dry-run: what would be done. */
static void
print_plan(const struct driver *d)
{
	const struct job *job = d->job;
	struct buf b = {0};
	char t[16], u[16];

	show_command(&b, "map command", &job->map);
	show_command(&b, "reduce command", &job->reduce);
	buf_printf(&b, "input: %zu file%s, %s%s\n", job->input.n,
	    job->input.n == 1 ? "" : "s", human_bytes(job->input.bytes, t,
	    sizeof t), job->input.nstreams > 0 ? " and what is read from "
	    "streams" : "");
	if (d->planned)
		buf_printf(&b, "%s tasks: %zu, blocks of up to %s\n",
		    job->phase_name, d->n, human_bytes(d->block, t, sizeof t));
	else
		buf_printf(&b, "%s tasks: as many as the streams have "
		    "blocks\n", job->phase_name);
	if (job->kind == JOB_SORT && d->po->reducers > 0)
		buf_printf(&b, "reduce tasks: %llu\n",
		    (unsigned long long)d->po->reducers);
	else if (job->kind == JOB_SORT)
		buf_str(&b, "reduce tasks: chosen when all maps are done\n");
	buf_printf(&b, "workers: %u\n", d->nw);
	buf_printf(&b, "memory: %s (-S), %s a worker to sort in\n",
	    human_bytes(d->po->memory, t, sizeof t),
	    human_bytes(job->worker_memory, u, sizeof u));
	buf_str(&b, "temporary files: ");
	for (size_t i = 0; i < job->ntmpdirs; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", job->tmpdirs[i]);
	buf_str(&b, "\n");
	for (size_t i = 0; i < d->n; i++) {
		const struct split *s = &d->tasks[i].split;

		buf_printf(&b, "%s task %zu: ", job->phase_name, i);
		if (s->empty) {
			buf_str(&b, "empty input\n");
			continue;
		}
		buf_escaped(&b, job->input.files[s->file].name,
		    strlen(job->input.files[s->file].name));
		if (s->nfiles > 1)
			buf_printf(&b, " and %lu more\n",
			    (unsigned long)s->nfiles - 1);
		else
			buf_printf(&b, ", records that begin in bytes "
			    "%llu-%llu\n", (unsigned long long)s->off,
			    (unsigned long long)(s->off + s->len) -
			    (s->len > 0));
	}
	if (write_full(STDOUT_FILENO, b.p, b.len) == -1)
		die_errno("standard output");
	buf_free(&b);
}

/* -v: what was done. */
static void
print_summary(const struct driver *d)
{
	const struct job *job = d->job;
	char a[16], b[16], c[16], e[16];
	int64_t all = d->t_end - d->t0;

	say("read %s in %s, %llu %s task%s on %u worker%s", human_bytes(d->in,
	    a, sizeof a), human_time(all, b, sizeof b),
	    (unsigned long long)d->map_tasks, job->phase_name,
	    d->map_tasks == 1 ? "" : "s", d->nw, d->nw == 1 ? "" : "s");
	if (job->kind == JOB_SORT) {
		say("sorted %llu records, %s; %llu run%s, %llu merge%s in "
		    "%llu pass%s, spilled %llu bytes",
		    (unsigned long long)d->records, human_bytes(d->map_out, a,
		    sizeof a), (unsigned long long)d->runs_written,
		    d->runs_written == 1 ? "" : "s",
		    (unsigned long long)d->merges, d->merges == 1 ? "" : "s",
		    (unsigned long long)d->passes, d->passes == 1 ? "" : "es",
		    (unsigned long long)d->spilled);
		say("%llu reduce task%s, %s of output",
		    (unsigned long long)d->nparts, d->nparts == 1 ? "" : "s",
		    human_bytes(d->outbytes, a, sizeof a));
		say("time: %s %s, merge %s, reduce %s", job->phase_name,
		    human_time(d->t_map - d->t0, a, sizeof a),
		    human_time(d->t_merge - d->t_map, b, sizeof b),
		    human_time(d->t_reduce - d->t_merge, c, sizeof c));
	}
	say("driver busy %s; peak memory of workers %s", human_time(
	    (int64_t)d->driver_ns, a, sizeof a),
	    human_bytes(d->peak_kb * 1024, e, sizeof e));
	if (d->retries > 0)
		say("%llu attempt%s repeated", (unsigned long long)d->retries,
		    d->retries == 1 ? " was" : "s were");
	if (d->unread > 0)
		say("%llu bytes of input were left unread by commands",
		    (unsigned long long)d->unread);
	if (d->hot.len > 0)
		say("keys with over 10 %% of the bytes: %.*s",
		    (int)d->hot.len, d->hot.p);
}

static void
write_report(const struct driver *d, FILE *fp)
{
	fprintf(fp, "{\"mr\": \"%s\", \"job\": \"%s\",\n"
	    " \"map_tasks\": %llu, \"reduce_tasks\": %llu, \"workers\": %u,\n"
	    " \"input_bytes\": %llu, \"map_output_records\": %llu,\n"
	    " \"map_output_bytes\": %llu, \"output_bytes\": %llu,\n"
	    " \"runs\": %llu, \"merges\": %llu, \"merge_passes\": %llu,\n"
	    " \"spilled_bytes\": %llu, \"retries\": %llu, "
	    "\"unread_bytes\": %llu,\n \"seconds\": %.3f}\n", MR_VERSION,
	    d->job->id, (unsigned long long)d->map_tasks,
	    (unsigned long long)d->nparts, d->nw, (unsigned long long)d->in,
	    (unsigned long long)d->records, (unsigned long long)d->map_out,
	    (unsigned long long)d->outbytes,
	    (unsigned long long)d->runs_written,
	    (unsigned long long)d->merges, (unsigned long long)d->passes,
	    (unsigned long long)d->spilled, (unsigned long long)d->retries,
	    (unsigned long long)d->unread,
	    (double)(d->t_end - d->t0) / 1e9);
}

/* The default size of a block: small enough that all workers have several,
 * large enough that starting a task does not count. */
static uint64_t
block_size(const struct driver *d)
{
	uint64_t block;

	if (d->po->block != 0)
		return d->po->block;
	block = d->job->input.bytes / (4 * d->po->jobs);
	return block > BLOCK_MOST ? BLOCK_MOST : block < MiB ? MiB : block;
}

static void
check_space(const struct driver *d)
{
	const struct job *job = d->job;
	uint64_t space = 0;

	if (job->kind != JOB_SORT || job->input.bytes < d->po->memory)
		return;
	for (size_t i = 0; i < job->ntmpdirs; i++) {
		struct statvfs v;

		if (statvfs(job->tmpdirs[i], &v) == 0)
			space += (uint64_t)v.f_bavail * v.f_frsize;
	}
	if (space < job->input.bytes && !d->po->quiet) {
		char a[16], b[16];

		say("warning: %s free for temporary files in %s, and %s of "
		    "input (-T DIR)", human_bytes(space, a, sizeof a),
		    job->tmpdirs[0], human_bytes(job->input.bytes, b,
		    sizeof b));
	}
}

static void
check_tmpdirs(struct job *job)
{
	for (size_t i = 0; i < job->ntmpdirs; i++) {
		const char *dir = job->tmpdirs[i];
		struct stat st;
		int err = 0;

		if (stat(dir, &st) == -1)
			err = errno;
		else if (!S_ISDIR(st.st_mode))
			err = ENOTDIR;
		else if (faccessat(AT_FDCWD, dir, W_OK | X_OK,
		    AT_EACCESS) == -1)
			err = errno;
		if (err != 0)
			refuse("temporary directory %s: %s (-T DIR chooses "
			    "another)", dir, strerror(err));
	}
}

/* The end of a failed job. */
static int
end_failed(struct driver *d)
{
	bool begun = output_begun(d->out) && d->job->out == OUT_STDOUT;

	clean_up();
	say(begun ? "stopped; the output is not complete" :
	    "stopped; no output written");
	return d->status;
}

static void
drain(struct driver *d)
{
	d->hold = false;
	while (output_ready(d->out) && !d->failed)
		step(d);
}

static int
end_well(struct driver *d)
{
	struct job *job = d->job;

	if (job->out == OUT_DIR && job->kind == JOB_MAP) {
		output_cut(d->out, d->po->reducers);
	} else if (job->out == OUT_DIR) {
		bool *partial = xzalloc(d->nparts, sizeof *partial);

		for (uint64_t p = 0; p < d->nparts; p++)
			partial[p] = d->tasks[p].partial;
		output_parts(d->out, partial, d->nparts);
		free(partial);
	}
	d->t_end = now_ns();
	if (job->out == OUT_DIR) {
		FILE *fp = output_file(d->out, "_mr/report.json");

		write_report(d, fp);
		if (fclose(fp) != 0 || (d->joblog != NULL &&
		    fclose(d->joblog) != 0))
			die_errno("writing the report");
		d->joblog = NULL;
	}
	progress_end(&d->bar);
	if (output_finish(d->out) == -1) {
		int err = errno;

		clean_up();
		errno = err;
		output_died(d);
	}
	/* The workers outlive what they would remove if we were killed. */
	output_free(d->out);
	d->out = NULL;
	scratch_remove(job->scratch, -1);
	clean_up();
	if (d->po->verbose)
		print_summary(d);
	return EXIT_OK;
}

/* Runs a job to its end and returns the exit status. */
int
driver_run(struct job *job, struct plan_options *po)
{
	struct driver d = { .job = job, .po = po, .lock = -1,
	    .disorder = NO_TASK, .t0 = now_ns(), .file = 0 };

	check_tmpdirs(job);
	snprintf(job->id, sizeof job->id, "%lld-%ld-%04x",
	    (long long)time(NULL), (long)getpid(),
	    (unsigned)(random_seed() & 0xffff));
	d.block = block_size(&d);
	d.in_order = job->kind == JOB_MAP || job->input.nstreams > 0;
	if (po->dry_run) {
		if (job->input.nstreams == 0)
			plan_more(&d);
		divide_memory(&d);
		print_plan(&d);
		return EXIT_OK;
	}
	check_space(&d);
	proc_driver_signals();
	the_driver = &d;
	diag_at_death = clean_up;
	d.out = output_new(job, po->overwrite);
	job->outdigits = 5;
	job->reducers = (unsigned)po->reducers;
	divide_memory(&d);
	job->scratch = scratch_name(job->tmpdirs[0]);
	/* From here on somebody is there who tidies up if we are killed. */
	if (!worker_start(&d, 0) && errno != EAGAIN)
		die_errno("cannot start a process");
	if (scratch_make(job->scratch, &d.lock) == -1) {
		say_errno("cannot write in %s (-T DIR chooses another)",
		    job->tmpdirs[0]);
		clean_up();
		return EXIT_USAGE;
	}
	output_begin(d.out);
	if (job->out == OUT_DIR) {
		d.joblog = output_file(d.out, "_mr/joblog.tsv");
		fputs("phase\ttask\tattempt\tresult\tbegin\tseconds\t"
		    "input bytes\toutput bytes\n", d.joblog);
	}
	d.batch = po->batch != 0 ? po->batch : job->worker_memory / 2 /
	    (32 * KiB);
	if (d.batch > 512)
		d.batch = 512;
	if (d.batch < 2)
		d.batch = 2;
	if (debug_word("onerun"))
		d.batch = 2;
	d.hold = !po->filter && job->out == OUT_STDOUT;
	d.deadline = po->deadline > 0 ? d.t0 + po->deadline : 0;
	d.woke = d.t0;
	plan_more(&d);
	if (d.planned)
		job->ntasks = d.n;
	progress_begin(&d.bar, po->progress, po->quiet);
	map_phase(&d);
	d.map_tasks = d.n;
	if (po->nonempty && !d.failed && d.in == 0) {
		say("the input has no records (--nonempty)");
		job_fails(&d, EXIT_TROUBLE);
	}
	if (job->kind == JOB_SORT && !d.failed)
		flush_phase(&d);
	d.t_map = now_ns();
	if (job->kind == JOB_SORT && !d.failed)
		merge_phase(&d);
	d.t_merge = now_ns();
	if (job->kind == JOB_SORT && !d.failed)
		reduce_phase(&d);
	d.t_reduce = now_ns();
	if (!d.failed)
		drain(&d);
	return d.failed ? end_failed(&d) : end_well(&d);
}
