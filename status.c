/* status.c - mr status, mr logs, mr cancel and mr rm: a job directory seen
 * from outside. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static struct jobdir *
open_operand(const struct cmd *c, const struct optscan *o, int most)
{
	if (o->noperands == 0 || o->noperands > most)
		refuse("which job directory? mr %s %s", c->name, c->operands);
	return jobdir_open(o->operands[0], false);
}

/* ---- mr status */

enum { S_JSON = 1 };

static const struct opt status_opts[] = {
	{ S_JSON, 0, "json", NULL, "for programs", 0 },
	{ 0, 0, NULL, NULL, NULL, 0 },
};

struct facts {
	const char *state;
	int verdict;		/* -1: none */
	const char *engine, *first, *last;	/* its jobs, or NULL */
	uint64_t maps, maps_done, parts, parts_done;
	bool sorts, cut;	/* cut: it is known how many parts there are */
	struct counters counters;
};

static void
look(struct jobdir *dir, const struct jobplan *p, struct facts *f)
{
	bool idle = jobdir_try_lock(dir) == 0;
	struct queue q;
	enum engine_state queued = ENGINE_GONE;

	if (idle)
		jobdir_unlock(dir);
	*f = (struct facts){ .maps = p->nsplits, .sorts = p->sorts,
	    .maps_done = jobdir_count(dir, "map"),
	    .parts_done = jobdir_count(dir, "reduce"), .verdict = -1 };
	f->parts = jobplan_parts(dir, &f->cut);
	for (uint32_t i = 0; i < f->maps; i++)
		commit_counters(dir, false, i, &f->counters);
	for (uint32_t i = 0; f->cut && i < f->parts; i++)
		commit_counters(dir, true, i, &f->counters);
	if (idle)
		f->verdict = jobdir_verdict(dir);
	if (queue_read(dir, &q)) {
		queued = queue_state(dir, &q);
		f->engine = q.engine->name;
		f->first = q.ids[0];
		f->last = q.ids[q.n - 1];
	}
	f->state = queued == ENGINE_WAITS ? "queued" :
	    queued == ENGINE_UNKNOWN ? "unknown" :
	    !idle || queued != ENGINE_GONE ? "running" :
	    f->verdict == -1 ? "interrupted" : f->verdict == EXIT_OK ||
	    f->verdict == EXIT_TOLERATED ? "complete" : "failed";
}

static void
print_json(const struct jobdir *dir, const struct jobplan *p,
    const struct facts *f)
{
	struct buf b = {0};

	printf("{\"job\": \"%s\", \"state\": \"%s\",\n", p->id, f->state);
	if (f->verdict != -1)
		printf(" \"status\": %d,\n", f->verdict);
	if (f->engine != NULL)
		printf(" \"engine\": \"%s\", \"first_job\": %s, "
		    "\"last_job\": %s,\n", f->engine, f->first, f->last);
	else if (strcmp(f->state, "running") == 0)
		printf(" \"host\": \"%s\", \"pid\": %ld,\n", dir->host,
		    (long)dir->pid);
	if (f->cut)
		printf(" \"reduce_tasks\": %llu,\n",
		    (unsigned long long)f->parts);
	counters_json(&f->counters, &b);
	printf(" \"map_tasks\": %llu, \"maps_done\": %llu, "
	    "\"reduces_done\": %llu,\n %.*s}\n", (unsigned long long)f->maps,
	    (unsigned long long)f->maps_done,
	    (unsigned long long)f->parts_done, (int)b.len, b.p);
	buf_free(&b);
}

static void
print_text(const struct jobdir *dir, const struct jobplan *p,
    const struct facts *f)
{
	struct buf b = {0};

	printf("job %s: %s", p->id, f->state);
	if (f->engine != NULL)
		printf(", %s jobs %s to %s", f->engine, f->first, f->last);
	else if (strcmp(f->state, "running") == 0)
		printf(", process %ld on %s", (long)dir->pid, dir->host);
	if (f->verdict > 0)
		printf(", exit status %d", f->verdict);
	printf("\nmap: %llu of %llu tasks are done\n",
	    (unsigned long long)f->maps_done, (unsigned long long)f->maps);
	if (f->cut)
		printf("reduce: %llu of %llu tasks are done\n",
		    (unsigned long long)f->parts_done,
		    (unsigned long long)f->parts);
	else if (f->sorts)
		printf("reduce: not begun\n");
	counters_print(&f->counters, "", &b);
	printf("%.*s", (int)b.len, b.len > 0 ? (const char *)b.p : "");
	buf_free(&b);
}

static int
flushed(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		die_errno("standard output");
	return EXIT_OK;
}

static int
status_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;
	struct jobplan p;
	struct facts f;
	bool json = false;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		json = true;
	dir = open_operand(c, &o, 1);
	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	look(dir, &p, &f);
	if (json)
		print_json(dir, &p, &f);
	else
		print_text(dir, &p, &f);
	return flushed();
}

const struct cmd status_cmd = {
	"status", status_main, "[--json] DIR",
	"Tells what is done of the job in a job directory, and who works on it.",
	NULL,
	status_opts,
	"example: mr status state\n",
	false,
};

/* ---- mr logs */

static const struct opt no_opts[] = {
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* Prints a file, with tag before each line. */
static void
print_log(const char *path, const char *tag)
{
	FILE *fp = fopen(path, "re");
	int c, last = '\n';

	if (fp == NULL)
		die_errno("%s", path);
	while ((c = getc(fp)) != EOF) {
		if (last == '\n')
			fputs(tag, stdout);
		putchar(c);
		last = c;
	}
	fclose(fp);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The logs of all tasks, in order: names are PHASE-NUMBER. */
static void
print_all(const struct jobdir *dir)
{
	char *logs = xasprintf("%s/logs", dir->path), **names = NULL;
	DIR *d = opendir(logs);
	struct dirent *e;
	size_t n = 0, cap = 0;

	if (d == NULL)
		die_errno("%s", logs);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (n == cap) {
			cap = grown(cap, n + 1);
			names = xrealloc(names, cap, sizeof *names);
		}
		names[n++] = xstrdup(e->d_name);
	}
	closedir(d);
	if (n > 0)
		qsort(names, n, sizeof *names, by_bytes);
	for (size_t i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", logs, names[i]), *tag;
		const char *dash = strchr(names[i], '-');
		uint64_t number = 0;

		if (dash == NULL || parse_number(dash + 1, &number) == -1)
			continue;
		tag = xasprintf("%.*s %llu: ", (int)(dash - names[i]),
		    names[i], (unsigned long long)number);
		print_log(path, tag);
		free(tag);
		free(path);
		free(names[i]);
	}
	free(names);
	free(logs);
}

static int
logs_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;
	uint64_t n;
	char *path;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o, 3);
	if (o.noperands == 1) {
		print_all(dir);
		return flushed();
	}
	if (o.noperands != 3 || (strcmp(o.operands[1], "map") != 0 &&
	    strcmp(o.operands[1], "reduce") != 0) ||
	    parse_number(o.operands[2], &n) == -1)
		refuse("which task? mr logs DIR [map|reduce N]");
	path = xasprintf("%s/logs/%s-%06llu", dir->path, o.operands[1],
	    (unsigned long long)n);
	if (access(path, F_OK) == -1)
		die("%s task %llu has not been run", o.operands[1],
		    (unsigned long long)n);
	print_log(path, "");
	free(path);
	return flushed();
}

const struct cmd logs_cmd = {
	"logs", logs_main, "DIR [map|reduce N]",
	"Prints the standard error of the tasks of a job, or of one of them.",
	NULL,
	no_opts,
	"example: mr logs state map 17\n",
	false,
};

/* ---- mr cancel */

static int
cancel_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;
	struct queue q;
	char host[64] = "";

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o, 1);
	if (queue_read(dir, &q) && queue_state(dir, &q) != ENGINE_GONE) {
		follow_cancel(dir, &q, SIGTERM);
		return EXIT_OK;
	}
	if (jobdir_try_lock(dir) == 0) {
		say("%s: nobody works on the job", dir->path);
		return EXIT_OK;
	}
	gethostname(host, sizeof host - 1);
	if (strcmp(host, dir->host) != 0)
		die("%s: process %ld on %s works on the job; mr cancel has to "
		    "be run there", dir->path, (long)dir->pid, dir->host);
	/* It has signed the lock that it holds. */
	if (dir->pid <= 1 || (kill(dir->pid, SIGTERM) == -1 &&
	    errno != ESRCH))
		die_errno("%s: process %ld", dir->path, (long)dir->pid);
	while (jobdir_try_lock(dir) == -1)
		proc_poll(NULL, 0, 20000000);
	return EXIT_OK;
}

const struct cmd cancel_cmd = {
	"cancel", cancel_main, "DIR",
	"Stops the job in a job directory; mr resume goes on with it.",
	NULL,
	no_opts,
	"example: mr cancel state\n",
	false,
};

/* ---- mr rm */

static int
rm_main(const struct cmd *c, int argc, char *argv[])
{
	struct optscan o;
	struct jobdir *dir;
	struct jobplan p;
	struct queue q;

	opt_begin(&o, c, argc, argv);
	while (opt_next(&o) != -1)
		;
	dir = open_operand(c, &o, 1);
	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	if (queue_read(dir, &q) && queue_state(dir, &q) != ENGINE_GONE) {
		say("%s: %s runs it, job %s (mr cancel)", dir->path,
		    q.engine->name, q.ids[0]);
		return EXIT_BUSY;
	}
	jobdir_lock(dir);
	jobdir_remove(dir);
	return EXIT_OK;
}

const struct cmd rm_cmd = {
	"rm", rm_main, "DIR",
	"Removes a job directory that nobody works on, and nothing else.",
	NULL,
	no_opts,
	"example: mr rm state\n",
	false,
};
