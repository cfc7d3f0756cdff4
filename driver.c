/* driver.c - runs a job: its begin, its phases in order, its end.
 *
 * Runs of map output are kept in input order.  When all maps are done,
 * neighbours are merged while there are too many (passes.c); then they are cut
 * into parts (parts.c), and each part is merged, reduced and added to the
 * output in order. */

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mr.h"

#define PART_GRACE ((int64_t)2000000000)	/* ns to end a part in */

/* Whether it is not only for some of its tasks. */
static bool
asked_whole(void)
{
	return jobplan_ask.kind != ASK_TASKS;
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

/* Lets what is out end with a whole part, unless nobody takes it: the last
 * record would look like a shorter one. */
static void
end_part(struct driver *d)
{
	int64_t until = now_ns() + PART_GRACE, now;
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (output_amid(d->out) && proc_signal() == 0 &&
	    (now = now_ns()) < until) {
		p.revents = 0;
		proc_poll(&p, 1, until - now);
		if (p.revents != 0 && output_pump(d->out) == -1)
			return;
	}
}

/* The end of a failed job. */
static int
end_failed(struct driver *d)
{
	bool begun = output_begun(d->out) && d->job->out == OUT_STDOUT;

	d->ending = d->status;
	if (begun && d->print_error == 0)
		end_part(d);
	loop_clean_up();
	report_tolerated(d);
	if (!asked_whole())
		return d->status;
	say(begun ? "stopped; the output is not complete" :
	    "stopped; no output written");
	return d->status;
}

static void
drain(struct driver *d)
{
	d->hold = false;
	while (output_ready(d->out) && !d->failed)
		loop_step(d);
}

static bool
write_bad(struct driver *d)
{
	FILE *fp = output_file(d->out, "_mr/bad-records");

	fwrite(d->bad.p, 1, d->bad.len, fp);
	return fclose(fp) == 0;
}

static int
end_well(struct driver *d)
{
	struct job *job = d->job;

	if (job->out == OUT_DIR && d->phase == TASK_MAP) {
		output_cut(d->out, d->po->reducers);
	} else if (job->out == OUT_DIR) {
		bool *partial = xzalloc(d->n, sizeof *partial);

		for (uint64_t p = 0; p < d->n; p++)
			partial[p] = d->tasks[p].partial;
		if (job->jobdir != NULL && d->phase == TASK_REDUCE)
			output_files(d->out);
		output_parts(d->out, partial, d->n);
		free(partial);
	}
	d->t_end = now_ns();
	if (job->out == OUT_DIR) {
		FILE *fp;

		if (job->jobdir != NULL)
			output_logs(d->out);
		fp = output_file(d->out, "_mr/report.json");

		report_write(d, fp);
		if (job->skip_most > 0 && !write_bad(d))
			die_errno("writing the report");
		if (fclose(fp) != 0 || (d->joblog != NULL &&
		    fclose(d->joblog) != 0))
			die_errno("writing the report");
		d->joblog = NULL;
	}
	progress_end(&d->bar);
	if (output_finish(d->out) == -1) {
		int err = errno;

		loop_clean_up();
		errno = err;
		loop_output_died(d);
	}
	badlist_commit(d);
	/* The workers outlive what they would remove if we were killed. */
	output_free(d->out);
	d->out = NULL;
	scratch_remove(job->scratch, -1);
	d->ending = d->given_up + d->skipped > 0 ? EXIT_TOLERATED : EXIT_OK;
	progress_end(&d->bar);
	report_tolerated(d);
	loop_clean_up();
	if (d->po->verbose)
		report_summary(d);
	return d->ending;
}

/* Whether the directory that the output goes to is there, made by this very
 * job: its driver was killed after that, or it is asked once more. */
static bool
is_delivered(const struct driver *d)
{
	const struct job *job = d->job;

	return job->jobdir != NULL && job->out == OUT_DIR && asked_whole() &&
	    !d->po->overwrite && output_made_by(job->outpath, job->id);
}

static int
end_delivered(struct driver *d)
{
	if (d->po->bad_records != NULL)
		badlist_gather(d);
	badlist_write(d);
	badlist_commit(d);
	d->given_up += jobstate_forgone(d);
	d->ending = d->given_up + d->skipped > 0 ? EXIT_TOLERATED : EXIT_OK;
	loop_clean_up();
	return d->ending;
}

/* Who runs some tasks makes no output, and who works in the background has
 * no standard output. */
static void
choose_output(struct driver *d)
{
	struct job *job = d->job;

	if (!asked_whole() && job->out == OUT_DIR)
		job->extradir = xasprintf("%s/extra", job->jobdir->path);
	if (!asked_whole() || (job->out == OUT_STDOUT &&
	    (d->po->detach || jobplan_ask.element)))
		job->out = OUT_NONE;
	if (asked_whole() && jobplan_ask.element && job->out == OUT_NONE &&
	    job->finish.argv != NULL) {
		job->out = OUT_FILE;
		job->outpath = xasprintf("%s/result", job->jobdir->path);
	}
}

/* Goes on in the background, without a terminal.  The process that was
 * called prints the directory and ends. */
static void
detach(struct driver *d)
{
	struct jobdir *dir = d->job->jobdir;
	int fd = open_file("/dev/null", O_RDWR, 0);
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (fd == -1 || pid == -1)
		die_errno("cannot go to the background");
	if (pid > 0) {
		printf("%s\n", dir->path);
		_exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_TROUBLE);
	}
	setsid();
	for (int i = 0; i <= 2; i++)
		dup2(fd, i);
	close(fd);
	jobdir_sign_lock(dir);
	output_sign(d->out);
}

static void
name_job(struct job *job)
{
	snprintf(job->id, sizeof job->id, "%lld-%ld-%04x",
	    (long long)time(NULL), (long)getpid(),
	    (unsigned)(random_seed() & 0xffff));
}

static int
show_plan(struct driver *d)
{
	if (d->job->input.nstreams == 0 &&
	    d->job->made.kind != GENERATE_SOURCE)
		plan_more(d);
	while (d->cutting != NULL)
		plan_cut(d);
	crew_new(d);
	report_plan(d);
	return EXIT_OK;
}

/* Starts a worker and makes the directories that it will remove if this
 * process is killed.  False if the job cannot begin. */
static bool
occupy(struct driver *d)
{
	struct job *job = d->job;

	if (!crew_start(d, 0) && errno != EAGAIN)
		die_errno("cannot start a process");
	if (scratch_make(job->scratch, &d->lock) == -1) {
		say_errno("cannot write in %s (-T DIR chooses another)",
		    job->tmpdirs[0]);
		loop_clean_up();
		return false;
	}
	if (job->jobdir != NULL && mkdir(job->jobdir->mine, 0700) == -1)
		die_errno("%s", job->jobdir->mine);
	if (job->kept != NULL)
		append_unpack(d);
	return true;
}

static void
begin_output(struct driver *d)
{
	output_begin(d->out);
	if (d->job->out == OUT_DIR) {
		d->joblog = output_file(d->out, "_mr/joblog.tsv");
		fputs("phase\ttask\tattempt\tresult\tbegin\tseconds\t"
		    "input bytes\toutput bytes\n", d->joblog);
	}
	d->hold = !d->po->filter && d->job->out == OUT_STDOUT;
}

/* Plans the map tasks, as far as that can be done before they run. */
static void
plan_maps(struct driver *d)
{
	struct job *job = d->job;

	if (job->made.kind == GENERATE_SOURCE && !d->planned)
		phases_count(d);
	if (job->jobdir != NULL && !d->planned && !d->failed)
		jobstate_plan(d);
	else if (job->jobdir == NULL && !d->failed)
		plan_more(d);
	if (d->planned)
		job->ntasks = d->n;
	if (job->sample.kind == SAMPLE_NUMBER && !d->failed &&
	    (d->plan == NULL || !d->plan->drawn))
		phases_sample(d);
}

static void
run_phases(struct driver *d)
{
	struct job *job = d->job;
	bool whole = asked_whole();

	if (!d->failed)
		phases_map(d);
	if (d->by_buckets && !d->failed && !divide_settle(d))
		phases_again(d);
	d->map_tasks = d->n;
	if (d->po->nonempty && !d->failed && d->in == 0 && d->skipped == 0 &&
	    d->given_up == 0 && whole) {
		say("the input has no records (--nonempty)");
		outcome_fails(d, EXIT_TROUBLE);
	}
	if ((job->kind == JOB_SORT || job->jobdir != NULL) && !d->failed)
		phases_flush(d);
	if (!d->failed && whole)
		badlist_gather(d);
	if (job->kept != NULL && !d->failed)
		append_runs(d);
	d->t_map = now_ns();
	if (job->kind == JOB_SORT && job->jobdir == NULL && !d->failed)
		passes_run(d);
	if (job->kept != NULL && !d->failed)
		append_keep(d);
	d->t_merge = now_ns();
	if (job->kind == JOB_SORT && !d->failed && (whole ||
	    jobplan_ask.reduce))
		phases_reduce(d);
	d->t_reduce = now_ns();
	if (job->jobdir != NULL && !d->failed && whole)
		jobstate_results(d);
	if (job->finish.argv != NULL && !d->failed && whole)
		phases_finish(d);
	d->t_finish = now_ns();
	if (d->failed)
		return;
	if (whole)
		badlist_write(d);
	drain(d);
}

/* Runs a job to its end and returns the exit status. */
int
driver_run(struct job *job, struct plan_options *po)
{
	struct driver d = { .job = job, .po = po, .lock = -1, .list_lock = -1,
	    .disorder = NO_TASK, .t0 = now_ns(), .file = 0,
	    .ending = EXIT_USAGE };

	check_tmpdirs(job);
	name_job(job);
	if (po->append && !append_begin(&d)) {
		if (!po->dry_run) {
			badlist_begin(&d);
			badlist_write(&d);
			badlist_commit(&d);
		}
		return EXIT_OK;
	}
	d.block = plan_block_size(&d);
	d.in_order = job->kind == JOB_MAP || job->input.nstreams > 0;
	if (po->dry_run)
		return show_plan(&d);
	check_space(&d);
	plan_advise(&d);
	proc_driver_signals();
	loop_begin(&d);
	scratch_sweep(job->tmpdirs[0]);
	badlist_begin(&d);
	if (po->job_dir != NULL && handover_join(&d))
		return EXIT_OK;
	if (po->job_dir != NULL)
		handover_begin(&d);
	if (is_delivered(&d))
		return end_delivered(&d);
	choose_output(&d);
	d.out = output_new(job, po->overwrite);
	job->outdigits = 5;
	job->reducers = (unsigned)po->reducers;
	crew_new(&d);
	divide_begin(&d);
	job->scratch = scratch_name(job->tmpdirs[0]);
	if (job->jobdir != NULL)
		jobstate_stores(&d);
	if (job->kept != NULL)
		append_stores(&d);
	if (po->detach && asked_whole() && !handover_is_due(&d))
		detach(&d);
	d.ending = EXIT_TROUBLE;
	if (!occupy(&d))
		return EXIT_USAGE;
	begin_output(&d);
	d.deadline = po->deadline > 0 ? d.t0 + po->deadline : 0;
	progress_begin(&d.bar, po->progress, po->quiet);
	plan_maps(&d);
	if (!d.failed && handover_is_due(&d))
		return handover_run(&d);
	run_phases(&d);
	return d.failed ? end_failed(&d) : end_well(&d);
}
