/* report.c - what a person is told of a job: the plan before it (--dry-run),
 * why a task has failed, what was done (-v), and the files in _mr. */

#include <sys/resource.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { HISTORY_MOST = 20 };	/* attempts that are told one by one */

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
	const struct command source = { .shown = d->job->made.source };
	const struct command *c = f->source ? &source :
	    r->combine_attempts > 0 ? &d->job->combine :
	    d->phase == TASK_FINISH ? &d->job->finish :
	    d->phase == TASK_REDUCE ? &d->job->reduce : &d->job->map;

	if ((c->argv != NULL || f->source) && f->kind != FAIL_INPUT &&
	    f->kind != FAIL_ORDER) {
		buf_escaped(b, c->shown, strlen(c->shown));
		buf_str(b, ": ");
	}
	attempt_describe(f, &d->job->limits, b);
	if (f->kind == FAIL_STATUS && f->code == EXIT_NOCMD)
		not_found(c, b);
	buf_put(b, f->text.p, f->text.len);
}

/* Whether a task's input has a name. */
static bool
has_input(const struct driver *d, const struct task *t)
{
	return t->split.generated || (d->phase == TASK_MAP && !t->split.empty);
}

static void
name_input(const struct driver *d, const struct task *t,
    const struct reply_msg *r, struct buf *b)
{
	const struct split *s = r->split.len > 0 ? &r->split : &t->split;
	const char *name;

	if (t->split.generated) {
		generate_describe(&d->job->made, &t->split, b);
		return;
	}
	name = file_shown(d->job->input.files + s->file);
	buf_escaped(b, name, strlen(name));
	if (s->nfiles > 1)
		buf_printf(b, " and %lu more", (unsigned long)s->nfiles - 1);
	else if (s->len > 0)
		buf_printf(b, ", bytes %llu-%llu", (unsigned long long)s->off,
		    (unsigned long long)(s->off + s->len - 1));
}

/* Remembers an attempt that has failed and will be repeated. */
void
report_attempt(struct driver *d, struct task *t, const struct reply_msg *r)
{
	const struct failure *f = &r->fail;

	if (t->attempts > HISTORY_MOST)
		return;
	if (t->last.len > 0)
		buf_put(&t->history, t->last.p, t->last.len);
	buf_reset(&t->last);
	buf_printf(&t->last, "%s:   attempt %lu: ", diag_name,
	    (unsigned long)t->attempts);
	attempt_describe(f, &d->job->limits, &t->last);
	buf_put(&t->last, f->text.p, f->text.len);
	buf_str(&t->last, "\n");
}

/* Remembers what a task was to read that has been given up. */
void
report_given_up(struct driver *d, const struct task *t,
    const struct reply_msg *r)
{
	struct buf *b = &d->failed_input;

	buf_printf(b, "%s:   %s task %lu", diag_name,
	    phase_name(d->job, d->phase), (unsigned long)r->task);
	if (has_input(d, t)) {
		buf_str(b, ": ");
		name_input(d, t, r, b);
	}
	buf_str(b, "\n");
}

/* What is missing in the result, or why there is none, after --keep-going and
 * what else lets a job go on. */
void
report_tolerated(const struct driver *d)
{
	unsigned long long n = d->given_up, bad = d->skipped;

	if (jobplan_ask.kind == ASK_RESULT || (d->po->quiet && !d->failed))
		return;		/* it has been said, or is not wanted */
	if (n > 0 && d->failed && d->po->keep_going)
		say("%llu task%s failed:", n, n == 1 ? "" : "s");
	else if (n > 0 && !d->failed)
		say("without the output of %llu task%s that failed", n,
		    n == 1 ? "" : "s");
	if (n > 0 && (!d->failed || d->po->keep_going))
		diag_write(d->failed_input.p, d->failed_input.len);
	if (bad > 0 && !d->failed)
		say("without %llu bad record%s", bad, bad == 1 ? "" : "s");
}

/* The lines that tell of a task's failure. */
void
report_failure(struct driver *d, const struct task *t, const struct reply_msg *r)
{
	struct buf b = {0};
	const unsigned char *p, *nl;
	size_t left;
	unsigned long attempts = r->combine_attempts > 0 ?
	    r->combine_attempts : t->attempts;

	buf_printf(&b, "%s: ", diag_name);
	if (r->combine_attempts == 0)
		buf_printf(&b, "%s task %lu", phase_name(d->job, d->phase),
		    (unsigned long)r->task);
	else if (r->run.first == r->run.last)
		buf_printf(&b, "combine of map task %lu",
		    (unsigned long)r->run.first);
	else
		buf_printf(&b, "combine of map tasks %lu-%lu",
		    (unsigned long)r->run.first, (unsigned long)r->run.last);
	buf_printf(&b, " failed after %lu attempt%s", attempts,
	    attempts == 1 ? "" : "s");
	if (jobplan_ask.node != NULL)
		buf_printf(&b, " on %s", jobplan_ask.node);
	buf_str(&b, ": ");
	describe(d, r, &b);
	buf_str(&b, "\n");
	if (r->combine_attempts == 0 && has_input(d, t)) {
		buf_printf(&b, "%s:   input ", diag_name);
		name_input(d, t, r, &b);
		buf_str(&b, "\n");
	}
	if (r->combine_attempts == 0)
		buf_put(&b, t->history.p, t->history.len);
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
	if (jobplan_ask.element)
		jobdir_fail(d->job->jobdir, r->fail.exit, &b);
	buf_free(&b);
}

void
report_task(struct driver *d, const struct task *t, const struct reply_msg *r,
    const char *result)
{
	if (d->joblog != NULL)
		fprintf(d->joblog, "%s\t%lu\t%lu\t%s\t%.3f\t%.3f\t%llu\t"
		    "%llu\n", r->combine_attempts > 0 ? "combine" :
		    phase_name(d->job, d->phase),
		    (unsigned long)r->task, (unsigned long)t->attempts, result,
		    (double)(t->begun - d->t0) / 1e9,
		    (double)(now_ns() - t->begun) / 1e9,
		    (unsigned long long)r->stats.in,
		    (unsigned long long)r->stats.out);
}

static void
show_command(struct buf *b, const char *what, const struct command *c)
{
	if (c->shown == NULL)
		return;
	buf_printf(b, "%s: ", what);
	buf_escaped(b, c->shown, strlen(c->shown));
	buf_str(b, "\n");
}

static void
show_input(struct buf *b, const struct job *job)
{
	const struct generate *g = &job->made;
	char t[16];

	if (g->kind == GENERATE_RANGE)
		buf_printf(b, "input: range of %llu\n",
		    (unsigned long long)g->n);
	else if (g->kind == GENERATE_SOURCE)
		show_command(b, "source", &(struct command){
		    .shown = g->source });
	else if (g->kind == GENERATE_NAMES)
		buf_printf(b, "input: names of %zu file%s\n", job->input.n,
		    job->input.n == 1 ? "" : "s");
	else
		buf_printf(b, "input: %zu file%s, %s%s\n", job->input.n,
		    job->input.n == 1 ? "" : "s", human_bytes(
		    job->input.bytes, t, sizeof t), job->input.nstreams > 0 ?
		    " and what is read from streams" : "");
	if (job->sample.kind != SAMPLE_ALL)
		buf_printf(b, "sample: %s, seed %llu\n", job->sample.text,
		    (unsigned long long)job->sample.seed);
}

/* --dry-run: what would be done. */
void
report_plan(const struct driver *d)
{
	const struct job *job = d->job;
	struct buf b = {0};
	char t[16], u[16];

	show_command(&b, "map command", &job->map);
	show_command(&b, "combine command", &job->combine);
	show_command(&b, "reduce command", &job->reduce);
	show_command(&b, "finish command", &job->finish);
	show_input(&b, job);
	if (d->planned && job->made.kind != GENERATE_NONE)
		buf_printf(&b, "%s tasks: %zu\n", job->phase_name, d->n);
	else if (d->planned)
		buf_printf(&b, "%s tasks: %zu, blocks of up to %s\n",
		    job->phase_name, d->n, human_bytes(d->block, t, sizeof t));
	else
		buf_printf(&b, "%s tasks: %s\n", job->phase_name,
		    job->made.kind == GENERATE_SOURCE ? "known when the "
		    "source has counted its records" :
		    "as many as the streams have blocks");
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
		const char *name;

		buf_printf(&b, "%s task %zu: ", job->phase_name, i);
		if (s->empty) {
			buf_str(&b, "empty input\n");
			continue;
		}
		if (s->generated) {
			generate_describe(&job->made, s, &b);
			buf_str(&b, "\n");
			continue;
		}
		name = file_shown(job->input.files + s->file);
		buf_escaped(&b, name, strlen(name));
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

static void
say_counters(const struct driver *d)
{
	char *name = xasprintf("%s: ", diag_name);
	struct buf b = {0};

	counters_print(&d->counters, name, &b);
	diag_write(b.p, b.len);
	buf_free(&b);
	free(name);
}

/* User and system time, of what has ended. */
static int64_t
cpu_ns(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
	    ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Kilobytes of all workers.  What they all have in memory of the files that
 * are sorted where they are counts once. */
static uint64_t
peak_kb(const struct driver *d)
{
	uint64_t twice = d->by_buckets && d->job->buckets->mode != BUCKET_COPIES ?
	    (d->nw - 1) * d->in / 1024 : 0;

	return d->peak_kb > twice ? d->peak_kb - twice : d->peak_kb;
}

/* -v: what was done. */
void
report_summary(const struct driver *d)
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
		if (job->combine.argv != NULL)
			say("combined %llu records to %llu",
			    (unsigned long long)d->combine_in,
			    (unsigned long long)d->combine_out);
		say("%llu reduce task%s, %s of output",
		    (unsigned long long)d->nparts, d->nparts == 1 ? "" : "s",
		    human_bytes(d->outbytes, a, sizeof a));
		say("time: %s %s, merge %s, reduce %s", job->phase_name,
		    human_time(d->t_map - d->t0, a, sizeof a),
		    human_time(d->t_merge - d->t_map, b, sizeof b),
		    human_time(d->t_reduce - d->t_merge, c, sizeof c));
	}
	if (job->finish.argv != NULL)
		say("time of the finish command: %s, %s of output", human_time(
		    d->t_finish - d->t_reduce, a, sizeof a),
		    human_bytes(d->outbytes, b, sizeof b));
	say("CPU: driver %s, workers and commands %s; peak memory of workers "
	    "%s", human_time(cpu_ns(RUSAGE_SELF), a, sizeof a),
	    human_time(cpu_ns(RUSAGE_CHILDREN), b, sizeof b),
	    human_bytes(peak_kb(d) * 1024, e, sizeof e));
	if (d->retries > 0)
		say("%llu attempt%s repeated", (unsigned long long)d->retries,
		    d->retries == 1 ? " was" : "s were");
	if (d->unread > 0)
		say("%llu bytes of input were left unread by commands",
		    (unsigned long long)d->unread);
	if (job->shape.key == KEY_DEFS)
		keys_complain(&job->keys, &job->shape.fmt);
	say_counters(d);
	if (d->hot.len > 0)
		say("keys with over %.3g %% of the bytes: %.*s",
		    d->nparts > 10 ? 100 / (double)d->nparts : 10.0,
		    (int)d->hot.len, d->hot.p);
}

void
report_write(const struct driver *d, FILE *fp)
{
	struct buf counters = {0};

	counters_json(&d->counters, &counters);
	fprintf(fp, "{\"mr\": \"%s\", \"job\": \"%s\",\n"
	    " \"map_tasks\": %llu, \"reduce_tasks\": %llu, \"workers\": %u,\n"
	    " \"input_bytes\": %llu, \"map_output_records\": %llu,\n"
	    " \"map_output_bytes\": %llu, \"output_bytes\": %llu,\n"
	    " \"combine_input_records\": %llu, "
	    "\"combine_output_records\": %llu,\n"
	    " \"runs\": %llu, \"merges\": %llu, \"merge_passes\": %llu,\n"
	    " \"spilled_bytes\": %llu, \"retries\": %llu, "
	    "\"unread_bytes\": %llu,\n"
	    " \"skipped_records\": %llu, \"failed_tasks\": %llu,\n %.*s,\n \"seconds\": %.3f}\n", MR_VERSION,
	    d->job->id, (unsigned long long)d->map_tasks,
	    (unsigned long long)d->nparts, d->nw, (unsigned long long)d->in,
	    (unsigned long long)d->records, (unsigned long long)d->map_out,
	    (unsigned long long)d->outbytes,
	    (unsigned long long)d->combine_in,
	    (unsigned long long)d->combine_out,
	    (unsigned long long)d->runs_written,
	    (unsigned long long)d->merges, (unsigned long long)d->passes,
	    (unsigned long long)d->spilled, (unsigned long long)d->retries,
	    (unsigned long long)d->unread, (unsigned long long)d->skipped,
	    (unsigned long long)d->given_up, (int)counters.len, counters.p,
	    (double)(d->t_end - d->t0) / 1e9);
	buf_free(&counters);
}
