/* follow.c - waits for a job that an engine runs.
 *
 * What is done is seen in the job directory.  The engine is asked now and
 * then only, whether anything is left in its queue; that it does not answer
 * says nothing about the job. */

#include <fcntl.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mr.h"

#define SECOND ((int64_t)1000000000)
#define LOOK_EVERY (SECOND / 5)		/* at the directory */
#define ASK_FIRST (5 * SECOND)		/* the engine */
#define ASK_MOST (30 * SECOND)
#define LATE (30 * SECOND)	/* that a verdict may be seen after its job */

struct follow {
	struct jobdir *dir;
	const struct queue *q;
	struct progress bar;
	uint64_t maps;
	bool sorts, reducing;
	bool stopped;		/* it has failed, and what waited is cancelled */
	int64_t ask_at, ask_every;
	int64_t gone;		/* since when nothing is in the queue, or 0 */
};

/* ---- trouble */

/* The last line of the newest file of the engine's: it may say why. */
static void
tell_last_line(const struct jobdir *dir)
{
	char *logs = xasprintf("%s/engine", dir->path), *newest = NULL;
	char p[4096] = "";
	DIR *d = opendir(logs);
	struct dirent *e;
	time_t when = 0;
	ssize_t n = 0;
	int fd;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = xasprintf("%s/%s", logs, e->d_name);
		struct stat st;

		if (strspn(e->d_name, "0123456789") > 0 &&
		    stat(path, &st) == 0 && st.st_size > 0 &&
		    st.st_mtime >= when) {
			when = st.st_mtime;
			newest = path;
		}
	}
	fd = newest == NULL ? -1 : open_file(newest, O_RDONLY, 0);
	if (fd != -1) {
		off_t size = lseek(fd, 0, SEEK_END);
		size_t want = size < (off_t)sizeof p ? (size_t)size : sizeof p;

		n = pread_full(fd, p, want, (uint64_t)size - want);
	}
	while (n > 0 && p[n - 1] == '\n')
		n--;
	if (n > 0) {
		ssize_t at = n;

		while (at > 0 && p[at - 1] != '\n')
			at--;
		say("  %.*s", (int)(n - at), p + at);
	}
}

/* Nothing is in the queue any more, or it will stay there for ever. */
static _Noreturn void
lost(const struct follow *f, const char *why)
{
	const struct jobdir *dir = f->dir;

	if (why != NULL)
		queue_cancel(dir, f->q);
	if (f->q->after && jobdir_count(dir, "engine") <= 2)
		die("%s: the job that it was to run after has failed or was "
		    "cancelled; nothing was run", dir->path);
	if (jobdir_count(dir, "engine") <= 2)
		die("%s: no node of %s could use it: it must be on a file "
		    "system that all nodes share%s%s", dir->path,
		    f->q->engine->name, why != NULL ? ": " : "",
		    why != NULL ? why : "");
	say("%s: %s %s has ended the job before it was complete (mr resume)%s%s",
	    dir->path, f->q->engine->name, f->q->ids[f->q->n - 1],
	    why != NULL ? ": " : "", why != NULL ? why : "");
	tell_last_line(dir);
	exit(EXIT_TROUBLE);
}

static void
ask_engine(struct follow *f, int64_t now)
{
	char *why = NULL;
	enum engine_state state = f->q->engine->state(f->q->ids, f->q->n,
	    &why);
	bool begun = jobdir_count(f->dir, "engine") > 2;

	if (jobdir_verdict(f->dir) != -1)
		return;
	f->ask_every = f->ask_every * 3 / 2 < ASK_MOST ? f->ask_every * 3 / 2 :
	    ASK_MOST;
	f->ask_at = now_ns() + f->ask_every;
	if (state == ENGINE_STUCK) {
		progress_end(&f->bar);
		lost(f, why);
	}
	free(why);
	if (state != ENGINE_GONE) {
		f->gone = 0;
		return;
	}
	if (f->gone == 0)
		f->gone = now;
	f->ask_at = now_ns() + SECOND;
	if (now - f->gone > (begun ? LATE : 3 * SECOND)) {
		progress_end(&f->bar);
		lost(f, NULL);
	}
}

/* ---- progress */

static void
look(struct follow *f)
{
	uint64_t maps = jobdir_count(f->dir, "map"), parts;
	bool known;

	if (!f->reducing && f->sorts && maps >= f->maps) {
		parts = jobplan_parts(f->dir, &known);
		if (known) {
			f->reducing = true;
			progress_phase(&f->bar, "reduce", parts, 0);
		}
	}
	f->bar.done = f->reducing ? jobdir_count(f->dir, "reduce") : maps;
}

/* ---- signals */

/* Ends the job, as if by a signal, and waits until nothing of it is left, for
 * a while. */
void
follow_cancel(struct jobdir *dir, const struct queue *q, int sig)
{
	char *why = NULL;

	queue_cancel(dir, q);
	for (int i = 0; i < 300 && proc_signal() >= 0 &&
	    q->engine->state(q->ids, q->n, &why) != ENGINE_GONE; i++)
		proc_poll(NULL, 0, SECOND / 10);
	jobdir_end(dir, 128 + sig);
}

static void
look_at_signals(struct follow *f, bool cancels)
{
	int sig = proc_signal();

	if (sig != 0) {
		sig = sig < 0 ? -sig : sig;
		progress_end(&f->bar);
		if (cancels && sig != SIGHUP)
			follow_cancel(f->dir, f->q, sig);
		proc_end_by(sig);
	}
	if (proc_take_stop()) {
		progress_erase(&f->bar);
		proc_stop_self();
	}
	if (proc_take_info())
		progress_print(&f->bar, now_ns());
	proc_take_child();
}

/* Returns when there is a verdict; ends the process when there will be none.
 * cancels: a signal that ends mr ends the job, unless it is only that nobody
 * is at the terminal any more. */
void
follow_job(struct jobdir *dir, const struct queue *q, bool progress,
    bool quiet, bool cancels)
{
	struct follow f = { .dir = dir, .q = q, .ask_every = ASK_FIRST,
	    .ask_at = now_ns() + ASK_FIRST };
	struct jobplan p;
	char *why = NULL;

	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	f.maps = p.nsplits;
	f.sorts = p.sorts;
	proc_driver_signals();
	progress_begin(&f.bar, progress, quiet);
	progress_phase(&f.bar, "map", f.maps, 0);
	while (jobdir_verdict(dir) == -1) {
		int64_t now = now_ns();

		if (!f.stopped && jobdir_failure(dir, NULL) != -1) {
			/* What waits need not wait for its turn to see it. */
			q->engine->cancel(q->ids, q->n - 1, &why);
			f.stopped = true;
		}
		if (now >= f.ask_at)
			ask_engine(&f, now);
		if (f.bar.on)
			look(&f);
		progress_tick(&f.bar, now);
		proc_poll(NULL, 0, LOOK_EVERY);
		look_at_signals(&f, cancels);
	}
	progress_end(&f.bar);
}
