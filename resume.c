/* resume.c - mr resume, mr task and mr wait: the subcommands that go on with
 * the job in a job directory, each in its way.
 *
 * The plan has the words of the command line that made it.  They are given
 * to mr run again, in its working directory, and jobplan_ask says what is
 * wanted of the job that they describe. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static struct jobdir *
open_operand(const struct cmd *c, const struct optscan *o)
{
	if (o->noperands == 0)
		refuse("which job directory? mr %s %s", c->name, c->operands);
	return jobdir_open(o->operands[0], false);
}

/* ---- mr resume */

/* Each has a number of its own; mr run takes the values and checks them. */

static const struct opt resume_opts[] = {
	{ 1, 'j', "jobs", "N", "tasks at once", 0 },
	{ 2, 'S', "buffer-size", "SIZE", "mr's own memory", 0 },
	{ 3, 'T', "temporary-directory", "DIR", "for what exceeds it", 0 },
	{ 4, 'm', "map", "CMD", "another map command, if no map is done",
	    0 },
	{ 5, 'r', "reduce", "CMD",
	    "another reduce command, if no reduce is done", 0 },
	{ 6, 'o', "output", "FILE", "where the result goes", 0 },
	{ 7, 0, "retries", "N", "attempts of a task after the first", 0 },
	{ 8, 0, "timeout", "TIME", "limit of an attempt", 0 },
	{ 13, 0, "keep-going", NULL, "run the others though a task fails", 0 },
	{ 14, 0, "max-failures", "N", "complete without N failed tasks", 0 },
	{ 15, 0, "skip-bad-records", "N", "that fail by themselves",
	    OPT_OPTIONAL },
	{ 16, 0, "bad-records", "FILE", "and list them", 0 },
	{ 9, 0, "detach", NULL, "go on in the background", 0 },
	{ 10, 0, "progress", NULL,
	    "show progress on stderr, terminal or not", 0 },
	{ 11, 'q', "quiet", NULL, "show no progress", 0 },
	{ 12, 'v', "verbose", NULL, "say what was done, at the end", 0 },
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static int
resume_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o);
	if (o.noperands > 1)
		refuse("only one job directory");
	jobplan_ask.kind = ASK_RESUME;
	return again_run(dir, o.words, o.nwords);
}

const struct cmd resume_cmd = {
	"resume", resume_main, "[option]... DIR",
	"Goes on with the job in a job directory, as its own command would.",
	NULL,
	resume_opts,
	"example: mr resume state\n",
	false,
};

/* ---- mr task */

static const struct opt task_opts[] = {
	{ 13, 'j', "jobs", "N", "tasks at once", 0 },
	{ 14, 'S', "buffer-size", "SIZE", "mr's own memory", 0 },
	{ 15, 'T', "temporary-directory", "DIR", "for what exceeds it", 0 },
	{ 16, 0, "retries", "N", "attempts of a task after the first", 0 },
	{ 17, 'q', "quiet", NULL, "show no progress", 0 },
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* "N" or "N-M". */
static void
take_range(const char *text)
{
	const char *dash = strchr(text, '-');
	char *first = dash == NULL ? xstrdup(text) :
	    xasprintf("%.*s", (int)(dash - text), text);
	uint64_t lo, hi;

	if (parse_number(first, &lo) == -1 ||
	    parse_number(dash == NULL ? first : dash + 1, &hi) == -1 ||
	    lo > hi || hi >= UINT32_MAX)
		refuse("%s: no number of a task, nor a range of them", text);
	jobplan_ask.lo = (uint32_t)lo;
	jobplan_ask.hi = (uint32_t)hi;
	free(first);
}

static int
task_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o);
	if (o.noperands != 3 || (strcmp(o.operands[1], "map") != 0 &&
	    strcmp(o.operands[1], "reduce") != 0))
		refuse("which task? mr task DIR map|reduce N");
	jobplan_ask.kind = ASK_TASKS;
	jobplan_ask.reduce = o.operands[1][0] == 'r';
	take_range(o.operands[2]);
	return again_run(dir, o.words, o.nwords);
}

const struct cmd task_cmd = {
	"task", task_main, "[option]... DIR map|reduce N[-M]",
	"Runs a task of the job in a job directory here, unless it is done.",
	NULL,
	task_opts,
	"example: mr task state map 17\n",
	false,
};

/* ---- mr wait */

static const struct opt wait_opts[] = {
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* What the driver has said. */
static void
show_messages(const struct jobdir *dir)
{
	char *path = xasprintf("%s/messages", dir->path), p[4096];
	int fd = open_file(path, O_RDONLY, 0);
	ssize_t n;

	while (fd != -1 && (n = read_some(fd, p, sizeof p)) > 0)
		diag_write(p, (size_t)n);
	if (fd != -1)
		close(fd);
	free(path);
}

/* What --finish has made on a node. */
static int
show_result(const struct jobdir *dir)
{
	char *path = xasprintf("%s/result", dir->path), p[64 * KiB];
	int fd = open_file(path, O_RDONLY, 0);
	ssize_t n;

	if (fd == -1)
		die_errno("%s", path);
	while ((n = read_some(fd, p, sizeof p)) > 0)
		if (write_full(STDOUT_FILENO, p, (size_t)n) == -1)
			die_errno("standard output");
	if (n == -1)
		die_errno("%s", path);
	close(fd);
	free(path);
	return EXIT_OK;
}

/* Whether the job's output goes to standard output. */
static bool
prints(struct jobdir *dir)
{
	struct jobplan p;

	return jobplan_read(dir, &p) &&
	    !opt_among(p.words, p.nwords, "--output") &&
	    !opt_among(p.words, p.nwords, "--output-dir");
}

static int
wait_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;
	struct queue q;
	char *more[] = { xstrdup("--quiet") };
	bool queued;
	int status;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o);
	if (o.noperands > 1)
		refuse("only one job directory");
	while (!(queued = queue_read(dir, &q)) && jobdir_try_lock(dir) == -1)
		proc_poll(NULL, 0, 100000000);
	if (queued)
		follow_job(dir, &q, false, false, false);
	else
		jobdir_unlock(dir);
	status = jobdir_verdict(dir);
	show_messages(dir);
	if (status == -1)
		die("%s: nobody works on the job, and it is not complete "
		    "(mr resume)", dir->path);
	if ((status != EXIT_OK && status != EXIT_TOLERATED) || !prints(dir))
		return status;
	if (faccessat(dir->fd, "result", F_OK, 0) == 0)
		return show_result(dir);
	jobplan_ask.kind = ASK_RESULT;
	return again_run(dir, more, 1);
}

const struct cmd wait_cmd = {
	"wait", wait_main, "DIR",
	"Waits until the job in a job directory is over, and prints its result.",
	NULL,
	wait_opts,
	"example: mr wait state\n",
	false,
};
