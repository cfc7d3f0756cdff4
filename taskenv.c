/* taskenv.c - what a task finds around it: its environment, two empty
 * directories, and the file that keeps its standard error.
 *
 * The environment is mr's own without the names that are mr's to set, so
 * that a task of an mr inside a task sees nothing of the outer one; then the
 * names of this attempt.  Both directories are emptied before each attempt,
 * and what a successful one has left in MR_OUTPUT_DIR is put aside for the
 * end of the job.
 *
 * Life: taskenv_begin once a worker; then for each attempt taskenv_set,
 * taskenv_log, and taskenv_keep if it has succeeded. */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

extern char **environ;

enum { OURS_MOST = 32 };	/* variables of an attempt */

/* What tasks of a kind are called. */
const char *
phase_name(const struct job *job, enum task_kind kind)
{
	return kind == TASK_REDUCE ? "reduce" :
	    kind == TASK_FINISH ? "finish" :
	    kind == TASK_COUNT ? "count" :
	    kind == TASK_SAMPLE ? "sample" : job->phase_name;
}

static bool
is_ours(const char *entry)
{
	static const char *const names[] = {
		"MR_JOB_ID", "MR_PHASE", "MR_TASK", "MR_TASKS", "MR_ATTEMPT",
		"MR_CPUS", "MR_REDUCERS", "MR_INPUT_FILE", "MR_INPUT_START",
		"MR_INPUT_LENGTH", "MR_PARTITION", "MR_KEY", "MR_OUTPUT_DIR",
		"TMPDIR", "map_input_file", "mapreduce_job_id",
		"mapreduce_task_id", "mapreduce_task_attempt_id",
		"mapreduce_task_ismap", "mapreduce_task_partition",
		"mapreduce_map_input_file", "mapreduce_map_input_start",
		"mapreduce_map_input_length", "mapreduce_task_output_dir",
		"MR_RANGE_START", "MR_RANGE_END", "MR_SOURCE_COUNT",
	};
	size_t n = strcspn(entry, "=");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == n && strncmp(entry, names[i], n) == 0)
			return true;
	return false;
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		die_errno("%s", path);
}

/* A directory of a worker's tasks, which can be used from any other. */
static char *
own_dir(const char *scratch, char letter, unsigned worker)
{
	char *name = xasprintf("%s/%c%u", scratch, letter, worker);
	char *path = path_absolute(name);

	free(name);
	make_dir(path);
	return path;
}

/* The directories of the job must be there. */
void
taskenv_begin(struct taskenv *e, const struct job *job, unsigned worker)
{
	size_t n = 0;

	*e = (struct taskenv){ .job = job };
	e->tmpdir = own_dir(job->scratch, 't', worker);
	e->outdir = own_dir(job->jobdir != NULL ? job->jobdir->mine :
	    job->outscratch != NULL ? job->outscratch : job->scratch, 'o',
	    worker);
	if (ship_any())
		e->workdir = own_dir(job->scratch, 'w', worker);
	e->logdir = job->jobdir == NULL ? job->logdir :
	    xasprintf("%s/logs", job->jobdir->path);
	while (environ[n] != NULL)
		n++;
	e->env = xzalloc(n + OURS_MOST + 1, sizeof *e->env);
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			e->env[e->nenv++] = environ[i];
}

static void
clear_dirs(struct taskenv *e)
{
	if (rmdir(e->tmpdir) == -1)
		scratch_remove(e->tmpdir, -1);
	if (rmdir(e->outdir) == -1)
		scratch_remove(e->outdir, -1);
	make_dir(e->tmpdir);
	make_dir(e->outdir);
}

static void
add(struct taskenv *e, size_t *n, char *entry)
{
	e->env[(*n)++] = entry;
	e->env[*n] = NULL;
}

static void
add_input(struct taskenv *e, size_t *n, const struct split *s)
{
	const char *name = e->job->input.files[s->file].name;
	unsigned long long off = s->off, len = s->len;
	char *path;

	if (strcmp(name, "-") == 0)
		return;
	path = path_absolute(name);
	add(e, n, xasprintf("MR_INPUT_FILE=%s", ship_any() ? path :
	    name));
	add(e, n, xasprintf("map_input_file=%s", path));
	add(e, n, xasprintf("mapreduce_map_input_file=%s", path));
	add(e, n, xasprintf("MR_INPUT_START=%llu", off));
	add(e, n, xasprintf("mapreduce_map_input_start=%llu", off));
	add(e, n, xasprintf("MR_INPUT_LENGTH=%llu", len));
	add(e, n, xasprintf("mapreduce_map_input_length=%llu", len));
	free(path);
}

static void
add_generated(struct taskenv *e, size_t *n, const struct split *s)
{
	const struct generate *g = &e->job->made;

	if (g->kind == GENERATE_SOURCE) {
		add(e, n, xasprintf("MR_SOURCE_COUNT=%llu",
		    (unsigned long long)e->nrecords));
		return;
	}
	if (g->kind == GENERATE_NAMES)
		return;
	add(e, n, xasprintf("MR_RANGE_START=%lld",
	    generate_index(g, s->off)));
	add(e, n, xasprintf("MR_RANGE_END=%lld",
	    generate_index(g, s->off + s->len)));
}

/* Makes everything ready for an attempt, and returns its environment, which
 * stands until the next call. */
char *const *
taskenv_set(struct taskenv *e, const struct task_name *t,
    const struct split *s)
{
	const struct job *job = e->job;
	char letter = strcmp(t->phase, "map") == 0 ||
	    strcmp(t->phase, "combine") == 0 ? 'm' : 'r';
	size_t n = e->nenv;
	unsigned long number = t->task, attempt = t->attempt;

	if (!scratch_is_empty(e->tmpdir) || !scratch_is_empty(e->outdir))
		clear_dirs(e);
	if (e->workdir != NULL) {
		scratch_remove(e->workdir, -1);
		make_dir(e->workdir);
		ship_links(e->workdir);
	}
	while (e->env[n] != NULL)
		free(e->env[n++]);
	n = e->nenv;
	add(e, &n, xasprintf("MR_JOB_ID=%s", job->id));
	add(e, &n, xasprintf("mapreduce_job_id=%s", job->id));
	add(e, &n, xasprintf("MR_PHASE=%s", t->phase));
	add(e, &n, xasprintf("MR_TASK=%lu", number));
	if (t->tasks > 0)
		add(e, &n, xasprintf("MR_TASKS=%llu",
		    (unsigned long long)t->tasks));
	add(e, &n, xasprintf("MR_ATTEMPT=%lu", attempt));
	add(e, &n, xasprintf("MR_CPUS=%u", job->cpus_per_task));
	if (job->reducers > 0)
		add(e, &n, xasprintf("MR_REDUCERS=%u", job->reducers));
	add(e, &n, xasprintf("mapreduce_task_id=task_%s_%c_%06lu", job->id,
	    letter, number));
	add(e, &n, xasprintf("mapreduce_task_attempt_id="
	    "attempt_%s_%c_%06lu_%lu", job->id, letter, number, attempt));
	add(e, &n, xasprintf("mapreduce_task_ismap=%s", letter == 'm' ?
	    "true" : "false"));
	add(e, &n, xasprintf("mapreduce_task_partition=%lu", number));
	if (strcmp(t->phase, "reduce") == 0)
		add(e, &n, xasprintf("MR_PARTITION=%lu", number));
	if (!t->later && s->generated)
		add_generated(e, &n, s);
	else if (!t->later && !job->pack && !job->file_pairs &&
	    !s->empty)
		add_input(e, &n, s);
	add(e, &n, xasprintf("TMPDIR=%s", e->tmpdir));
	add(e, &n, xasprintf("MR_OUTPUT_DIR=%s", e->outdir));
	add(e, &n, xasprintf("mapreduce_task_output_dir=%s", e->outdir));
	return e->env;
}

/* Makes the environment that taskenv_set has made ready for one key, or
 * NULL: for one that it does not hold.  What has been left in MR_OUTPUT_DIR
 * stays: it is the task's. */
char *const *
taskenv_key(struct taskenv *e, const void *key, size_t len)
{
	size_t n = e->nenv;

	if (!scratch_is_empty(e->tmpdir)) {
		scratch_remove(e->tmpdir, -1);
		make_dir(e->tmpdir);
	}
	while (e->env[n] != NULL)
		n++;
	if (strncmp(e->env[n - 1], "MR_KEY=", 7) == 0)
		free(e->env[--n]);
	e->env[n] = NULL;
	if (key != NULL)
		add(e, &n, xasprintf("MR_KEY=%.*s", (int)len,
		    (const char *)key));
	return e->env;
}

/* The file that keeps a task's standard error, at its end; -1 if this job
 * keeps none. */
int
taskenv_log(const struct taskenv *e, const struct task_name *t)
{
	char *path;
	int fd;

	if (e->logdir == NULL)
		return -1;
	path = xasprintf("%s/%s-%06lu", e->logdir, t->phase,
	    (unsigned long)t->task);
	fd = open_file(path, O_WRONLY | O_CREAT | O_APPEND,
	    e->job->jobdir != NULL ? 0600 : 0666);
	if (fd == -1)
		die_errno("%s", path);
	free(path);
	return fd;
}

/* Keeps what the task has left in MR_OUTPUT_DIR for the end of the job.
 * False if a name in it may not be there. */
bool
taskenv_keep(struct taskenv *e, const struct task_name *t, struct buf *why)
{
	char *bad, *to;

	if (e->job->extradir == NULL)
		return true;
	to = xasprintf("%s/%s-%lu", e->job->extradir, t->phase,
	    (unsigned long)t->task);
	scratch_remove(to, -1);		/* of an attempt that came to nothing */
	if (scratch_is_empty(e->outdir)) {
		free(to);
		return true;
	}
	bad = scratch_find_reserved(e->outdir);
	if (bad != NULL) {
		buf_str(why, "it left a file in MR_OUTPUT_DIR whose name is "
		    "mr's: ");
		buf_escaped(why, bad, strlen(bad));
		free(bad);
		free(to);
		return false;
	}
	if (rename(e->outdir, to) == -1)
		die_errno("%s", to);
	make_dir(e->outdir);
	free(to);
	return true;
}
