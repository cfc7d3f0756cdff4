/* element.c - mr element: what runs on a node for a job in a queue.
 *
 * It finds out which tasks are its own, by the phase and the place that the
 * engine gives it, and runs them as mr task would: with as many workers as
 * it has processors, and half of its memory.  The last job of the queue does
 * what mr resume would, so what is still missing then is run there. */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

enum { RESTARTS = 10 };

static const struct {
	const char *name;
	struct ask ask;
} phases[] = {
	{ "map", { .kind = ASK_TASKS } },
	{ "map-sweep", { .kind = ASK_TASKS, .sweep = true } },
	{ "reduce", { .kind = ASK_TASKS, .reduce = true } },
	{ "reduce-sweep", { .kind = ASK_TASKS, .reduce = true,
	    .sweep = true } },
	{ "verdict", { .kind = ASK_RESUME } },
};

/* Bytes for mr itself, where the engine sets no limit: this element's part
 * of the node. */
static uint64_t
share_of_memory(const struct engine_place *p)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (p->memory > 0)
		return p->memory / 2;
	if (cores < 1 || (uint64_t)cores < p->cpus)
		return usable_memory() / 2;
	return usable_memory() / 2 / (uint64_t)cores * p->cpus;
}

/* What is left of --deadline, as an option; NULL if there is none. */
static char *
deadline(const struct jobplan *p, const struct queue *q)
{
	static const char name[] = "--deadline=";
	int64_t ns, spent = (int64_t)((uint64_t)time(NULL) - q->begun);

	for (size_t i = 0; i < p->nwords; i++)
		if (strncmp(p->words[i], name, sizeof name - 1) == 0 &&
		    parse_duration(p->words[i] + sizeof name - 1, &ns) == 0) {
			ns = ns / 1000000000 - spent;
			return xasprintf("%s%lld", name,
			    (long long)(ns > 1 ? ns : 1));
		}
	return NULL;
}

/* Another element has noted how a task has failed: that is how the job
 * ends. */
static int
end_failed(struct jobdir *dir, int status, const struct buf *lines)
{
	jobdir_lock(dir);
	jobdir_begin(dir);
	diag_name = "mr";
	diag_write(lines->p, lines->len);
	say("stopped; no output written");
	jobdir_end(dir, status);
	return status;
}

/* One that only looks may have the lock for a moment. */
static void
wait_for_lock(struct jobdir *dir)
{
	for (int i = 0; i < 600 && jobdir_try_lock(dir) == -1; i++)
		proc_poll(NULL, 0, 100000000);
	jobdir_unlock(dir);
}

/* Nothing of the job can be run on this node.  Other elements may be on
 * others, but the last one is the only one of its kind. */
static int
end_astray(struct jobdir *dir, const struct engine_place *place,
    const char *cwd)
{
	if (jobplan_ask.kind == ASK_RESUME) {
		jobdir_lock(dir);
		jobdir_begin(dir);
	}
	diag_name = "mr";
	say_errno("on %s there is no %s, which all nodes must share",
	    place->node != NULL ? place->node : "a node", cwd);
	if (jobplan_ask.kind == ASK_RESUME)
		jobdir_end(dir, EXIT_TROUBLE);
	return EXIT_TROUBLE;
}

static int
run(struct jobdir *dir, const struct queue *q)
{
	struct engine_place place;
	struct jobplan p;
	char *more[4], *limit;
	size_t n = 0;

	q->engine->here(&place);
	if (place.restarts > RESTARTS)
		die("begun %llu times; it is left to others",
		    (unsigned long long)place.restarts);
	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	if (chdir(p.cwd) == -1)
		return end_astray(dir, &place, p.cwd);
	jobplan_ask.element = true;
	jobplan_ask.share = place.element;
	jobplan_ask.of = place.elements > 0 ? place.elements : 1;
	jobplan_ask.node = place.node;
	if (jobplan_ask.kind == ASK_TASKS)
		more[n++] = xstrdup("--quiet");
	more[n++] = xasprintf("--jobs=%llu", (unsigned long long)place.cpus);
	if (!opt_among(p.words, p.nwords, "--buffer-size"))
		more[n++] = xasprintf("--buffer-size=%llu",
		    (unsigned long long)share_of_memory(&place));
	if ((limit = deadline(&p, q)) != NULL)
		more[n++] = limit;
	return again_run(dir, more, n);
}

static int
element_main(const struct cmd *c, int argc, char *argv[])
{
	struct jobdir *dir;
	struct queue q;
	struct buf lines = {0};
	size_t i = 0;
	int status;

	while (i < 5 && (argc != 3 || strcmp(argv[2], phases[i].name) != 0))
		i++;
	if (i == 5)
		refuse("mr %s is what mr run --on runs on a node", c->name);
	jobplan_ask = phases[i].ask;
	dir = jobdir_open(argv[1], false);
	if (!queue_read(dir, &q))
		refuse("%s: it is in no queue", dir->path);
	if (jobplan_ask.kind == ASK_RESUME) {
		wait_for_lock(dir);
		if ((status = jobdir_verdict(dir)) != -1)
			return status;
	}
	status = jobdir_failure(dir, &lines);
	if (status == -1)
		return run(dir, &q);
	return jobplan_ask.kind == ASK_RESUME ?
	    end_failed(dir, status, &lines) : EXIT_OK;
}

static const struct opt no_opts[] = {
	{ 0, 0, NULL, NULL, NULL, 0 },
};

const struct cmd element_cmd = {
	"element", element_main, "DIR PHASE", NULL, NULL, no_opts, NULL, false,
};
