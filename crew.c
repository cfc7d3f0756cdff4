/* crew.c - the driver's side of its workers: how many there are and what
 * each may use, how they are started, given tasks and stopped.
 *
 * MR_DEBUG=disk keeps temporary data out of memory. */

#define _GNU_SOURCE		/* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "mr.h"

#define GRACE ((int64_t)2000000000)	/* ns a worker has to end its task */
#define STREAM_MOST ((uint64_t)16 * MiB)
enum {
	WORKER_LEAST = 4 * MiB,		/* of -S */
	ARENA_MOST = 128 * MiB, HAND_MOST = 16 * MiB,
	UNPACED_SHARE = 10,	/* of memory: Linux lets so much be dirty */
	KEY_LEAST = 7 * MiB,	/* what a built-in reducer may keep of a key */
	FDS_LEAST = 14, FDS_FIXED = 15, FDS_WORKER = 3,
	FDS_COMBINE = 5,	/* pipes, while a map command waits */
	FDS_PARTITION = 3,	/* of --partition's command */
	FDS_HUNT = 3,		/* temporary files of a search for bad records */
	FDS_JOBDIR = 10,	/* of them for runs that are read: 2 */
	FDS_KEPT = 4,		/* and one for each run that is kept */
};

/* Bytes a pipe of a task may have: an ordinary user's pipes share a limit,
 * beyond which all of that user's pipes shrink. */
static size_t
pipe_size(unsigned workers)
{
	uint64_t most = MiB, pages = 16384;
	char line[32];

	if (geteuid() == 0)
		return most;
	if (first_line("/proc/sys/fs/pipe-user-pages-soft", line,
	    sizeof line) != NULL && parse_number(line, &pages) == -1)
		pages = 16384;
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
	return r.rlim_cur;
}

/* How many a job needs for what not all jobs have. */
static uint64_t
extra_descriptors(const struct job *job)
{
	return (job->jobdir != NULL ? FDS_JOBDIR : 0) +
	    (job->combine.argv != NULL ? FDS_COMBINE : 0) +
	    (job->shape.part_cmd != NULL ? FDS_PARTITION : 0) +
	    (job->skip_most > 0 ? FDS_HUNT : 0);
}

/* How many runs are merged at once: as many as have a window in memory, and
 * with a job directory a descriptor, as each is in a file of its own. */
static size_t
merge_width(const struct driver *d, uint64_t fds)
{
	uint64_t n = d->po->batch, spare;

	if (n == 0)
		n = d->job->worker_memory / MERGE_WINDOW;
	if (n > 512)
		n = 512;
	if (d->job->jobdir != NULL) {
		spare = FDS_FIXED + FDS_WORKER * d->nw + FDS_JOBDIR - 2;
		spare = fds > spare ? fds - spare : 0;
		d->job->jobdir->waiting_most = spare < 512 ?
		    spare / 8 + 1 : 64;
		if (n > spare / 4 * 3)
			n = spare / 4 * 3;
	}
	if (d->job->kept != NULL && n > fds / 4)
		n = fds / 4;	/* so many are open the next time */
	return n < 2 || debug_word("onerun") ? 2 : (size_t)n;
}

/* Divides -S among workers and opens the stores. */
void
crew_new(struct driver *d)
{
	struct job *job = d->job;
	uint64_t jobs = d->po->jobs, most = d->po->memory / WORKER_LEAST;
	uint64_t fds = descriptors(), share, spool = 0;
	uint64_t extra = extra_descriptors(job), unpaced;
	uint64_t least = FDS_LEAST + extra, fixed = FDS_FIXED + extra;
	uint64_t kept = job->kept != NULL ? FDS_KEPT + job->kept->nruns : 0;
	bool scarce;

	fds = fds > kept ? fds - kept : 0;
	scarce = fds < FDS_FIXED + 2 * FDS_WORKER;
	if (jobs > most)
		jobs = most > 0 ? most : 1;
	if (fds < least)
		die("too few file descriptors (ulimit -n %llu): %llu are "
		    "enough", (unsigned long long)(fds + kept),
		    (unsigned long long)(least + kept + 2));
	if (fds < fixed + FDS_WORKER * jobs)
		jobs = fds > fixed + FDS_WORKER ?
		    (fds - fixed) / FDS_WORKER : 1;
	d->nw = (unsigned)jobs;
	job->nworkers = d->nw;
	job->limits.pipe_size = pipe_size(d->nw);
	job->limits.retries = d->po->retries;
	if (job->input.nstreams > 0)
		spool = d->po->memory / 4;
	share = (d->po->memory - spool) / d->nw;
	job->key_memory = share / 8 < KEY_LEAST ? KEY_LEAST : share / 8;
	job->worker_memory = share / 4 * 3 > ARENA_MOST ? ARENA_MOST :
	    share / 4 * 3;
	if (job->worker_memory < MiB)
		job->worker_memory = MiB;
	job->hand_room = job->worker_memory / 2 > HAND_MOST ? HAND_MOST :
	    (size_t)job->worker_memory / 2;
	share = share > job->worker_memory + MiB ?
	    share - job->worker_memory - MiB : 0;
	/* Runs that are kept will be on disk, where they are compressed. */
	if (debug_word("disk") || scarce ||
	    (job->kept != NULL && job->compress != NULL))
		share = 0;
	job->batch = d->batch = merge_width(d, fds);
	/* MR_DEBUG=paced: as if all of it had been on disk for long. */
	unpaced = debug_word("paced") ? 0 :
	    usable_memory() / UNPACED_SHARE / (d->nw + (spool > 0));
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
		job->stores[i].unpaced = unpaced;
	}
	d->stream_block_size = spool / (d->nw + 2);
	if (d->stream_block_size > STREAM_MOST)
		d->stream_block_size = STREAM_MOST;
	if (d->stream_block_size < 64 * KiB)
		d->stream_block_size = 64 * KiB;
	d->w = xzalloc(d->nw, sizeof *d->w);
	job->shared = mmap(NULL, sizeof *job->shared + d->nw *
	    sizeof *job->shared->worker, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job->shared == MAP_FAILED) {
		job->shared = NULL;
		die_errno("cannot share memory with workers");
	}
}

/* Forks worker i.  False if no process can be had now. */
bool
crew_start(struct driver *d, unsigned i)
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
	    .task = NO_TASK, .last = -2, .hand = NO_TASK };
	d->alive++;
	return true;
}

void
crew_forget(struct driver *d, struct worker_state *w)
{
	close(w->sock);
	free(w->pending);
	free(w->inputs);
	*w = (struct worker_state){ .sock = -1, .task = NO_TASK, .last = -2,
	    .hand = NO_TASK };
	d->alive--;
}

/* Has new processes in place of the workers, none of which has a task: what
 * is in our memory now is in theirs. */
void
crew_renew(struct driver *d)
{
	for (unsigned i = 0; i < d->nw; i++)
		if (d->w[i].pid > 0) {
			kill(d->w[i].pid, SIGKILL);
			proc_wait(d->w[i].pid, NULL, 0);
			crew_forget(d, d->w + i);
		}
}

/* Sends a signal to the process groups of a worker's task. */
void
crew_signal(struct driver *d, unsigned who, int sig)
{
	for (int i = 0; i < NGROUPS; i++)
		proc_kill_group(d->job->shared->worker[who].group[i], sig);
}

/* Ends all workers: closes their sockets, so that they stop their tasks
 * gently, and kills those that are left when the grace time is over. */
void
crew_stop(struct driver *d)
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
			crew_signal(d, i, SIGKILL);
			w->pid = 0;
			d->alive--;
		}
		if (d->alive == 0)
			break;
		proc_poll(NULL, 0, 50000000);
		if (!killed && (proc_signal() < 0 || now_ns() > until)) {
			for (unsigned i = 0; i < d->nw; i++)
				if (d->w[i].pid > 0) {
					crew_signal(d, i, SIGKILL);
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

void
crew_give(struct driver *d, unsigned who, struct task_msg *msg,
    const struct buf *payload)
{
	struct worker_state *w = d->w + who;
	const struct jobdir *dir = d->job->jobdir;

	output_take_free(d->out, (uint16_t)who, &msg->free);
	msg->payload = payload != NULL ? (uint32_t)payload->len : 0;
	w->task = msg->task;
	w->kind = msg->kind;
	w->flushed = false;	/* it may hold something again */
	if (dir != NULL) {
		msg->map_key = dir->map_key;
		msg->part_key = dir->part_key;
		msg->nmaps = dir->nmaps;
	}
	/* A worker that is dead already is noticed by its socket. */
	if (message_send(w->sock, msg, sizeof *msg, payload != NULL ?
	    payload->p : NULL, msg->payload) == -1 && errno != EPIPE) {
		say_errno("talking to a worker");
		shutdown(w->sock, SHUT_RDWR);
	}
}

/* A worker that has nothing to do, started if need be; -1 if there is none. */
int
crew_idle(struct driver *d)
{
	int absent = -1;

	for (unsigned i = 0; i < d->nw; i++) {
		if (d->w[i].pid > 0 && d->w[i].task == NO_TASK &&
		    d->w[i].hand == NO_TASK)
			return (int)i;
		if (d->w[i].pid == 0 && absent == -1)
			absent = (int)i;
	}
	if (absent == -1)
		return -1;
	for (int tries = 0; tries < 20 && proc_signal() == 0; tries++) {
		if (crew_start(d, (unsigned)absent))
			return absent;
		if (d->alive > 0)
			return -1;	/* those that there are go on */
		proc_poll(NULL, 0, 50000000);
	}
	if (proc_signal() != 0)
		return -1;
	die_errno("cannot start a process");
}
