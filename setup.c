/* setup.c - from options to a job: what the subcommands that run one share. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

enum { APART = 4 };		/* compressed files, see unpack_apart */

/* A job with every option at its default. */
void
setup_begin(struct setup *s, const char *what)
{
	*s = (struct setup){ .job.phase_name = what };
	s->job.shape.fmt = (struct format){ .delim = '\n', .sep = '\t',
	    .fields = 1 };
	s->job.form = form_of(&s->job.shape.fmt);
	s->job.limits.ok[0] = true;
	s->job.input.decompress = DECOMPRESS_AUTO;
}

/* Refuses an option that was given and can have no effect in this job. */
void
setup_needs(const struct setup *s, int id, const char *name,
    const char *lacks)
{
	if (s->given[id])
		refuse("%s has no effect without %s", name, lacks);
}

/* The format of records, when all options have been taken. */
void
setup_io(struct setup *s)
{
	static const struct { int id; const char *name; } text[] = {
		{ O_KEY, "-k" }, { O_ZERO, "-z" }, { O_SEP, "-t" },
		{ O_FIELDS, "--key-fields" }, { O_LINES, "-L" },
		{ O_RECSTART, "--recstart" }, { O_RECEND, "--recend" },
		{ O_HEADER, "--header" },
	};

	if (!s->job.shape.fmt.pairs)
		return;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		setup_needs(s, text[i].id, text[i].name,
		    "lines (it is --io rawbytes)");
	if (s->given[O_AGG])
		refuse("--agg and --io rawbytes exclude each other: its "
		    "operations are on fields of text (mr convert makes "
		    "pairs text)");
	s->job.form.kind = FORM_PAIRS;
}

/* The form of the input's records, when all options have been taken. */
void
setup_form(struct setup *s)
{
	static const struct { int id; const char *name; } cutting[] = {
		{ O_LINES, "-L" }, { O_RECORDS, "-N" },
		{ O_RECSTART, "--recstart" }, { O_RECEND, "--recend" },
		{ O_HEADER, "--header" },
	};
	struct job *job = &s->job;
	bool all = job->form.header == HEADER_REPEAT;

	setup_io(s);
	for (size_t i = 0; i < sizeof cutting / sizeof *cutting; i++) {
		if (job->whole_file && (cutting[i].id != O_RECORDS ||
		    !job->file_pairs))
			setup_needs(s, cutting[i].id, cutting[i].name,
			    "splits (--whole-file makes none)");
		if (job->map.argv == NULL &&
		    (all || cutting[i].id != O_HEADER) &&
		    (cutting[i].id != O_RECORDS ||
		    job->made.kind == GENERATE_NONE))
			setup_needs(s, cutting[i].id, cutting[i].name,
			    "-m CMD");
	}
	if (s->given[O_LINES] && (s->given[O_RECSTART] || s->given[O_RECEND]))
		refuse("-L and %s exclude each other", s->given[O_RECSTART] ?
		    "--recstart" : "--recend");
	if (s->given[O_RECORDS] && (s->given[O_BLOCK] || job->pack))
		refuse("-N and %s exclude each other", s->given[O_BLOCK] ?
		    "--block-size" : "--pack");
	if (all && job->pack)
		refuse("--header repeat and --pack exclude each other");
	if (!s->given[O_RECSTART] && !s->given[O_RECEND])
		return;
	if (!s->given[O_RECEND])
		buf_put(&s->recend, &job->form.delim, 1);
	form_set_pattern(&job->form, s->recend, s->recstart);
}

/* How records are dealt into parts; after setup_keys. */
void
setup_partition(struct setup *s)
{
	struct shape *shape = &s->job.shape;
	const char *how = s->partition;

	if (how == NULL || strcmp(how, "range") == 0)
		return;
	if (s->job.out != OUT_DIR)
		refuse("--partition %s needs -O DIR: its parts are no sorted "
		    "whole", how);
	if (s->po.reducers == 0)
		refuse("--partition %s needs -R N: how many parts?", how);
	if (shape->key == KEY_PLAIN)
		shape->key = KEY_PART;
	shape->nparts = (uint32_t)s->po.reducers;
	if (strcmp(how, "hash") == 0)
		return;
	if (strspn(how, " \t\n") == strlen(how))
		refuse("--partition needs range, hash or a command");
	shape->part_cmd = how;
}

/* What -k means where records have groups. */
void
setup_keys(struct setup *s)
{
	struct job *job = &s->job;
	uint32_t fields;

	keys_resolve(&job->keys);
	if (job->keys.n == 0)
		return;
	keys_lead(&job->keys, job->shape.fmt.fields);
	if (keys_plain(&job->keys, &fields))
		return;
	job->shape.key = KEY_DEFS;
	job->shape.keys = &job->keys;
}

/* The built-in reducer, if there is one; after all options. */
void
setup_aggregate(struct setup *s)
{
	if (s->agg != NULL)
		s->job.agg = aggspec_parse(s->agg, &s->job.shape.fmt);
}

/* Refuses options for commands in a job that has none, but maybe one that
 * brings its input. */
void
setup_no_command(const struct setup *s, const char *lacks)
{
	static const struct { int id; const char *name; } options[] = {
		{ O_OK_EXIT, "--ok-exit" }, { O_RETRIES, "--retries" },
		{ O_TIMEOUT, "--timeout" }, { O_STALL, "--stall" },
		{ O_TASK_MEMORY, "--task-memory" },
		{ O_STRICT, "--strict-input" }, { O_ENV, "--env" },
		{ O_SHIP, "--ship" },
		{ O_TAG, "--tag" }, { O_KEEP_GOING, "--keep-going" },
		{ O_MAX_FAILURES, "--max-failures" },
	};

	bool source = s->job.made.kind == GENERATE_SOURCE;

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (!source || options[i].id == O_OK_EXIT ||
		    options[i].id == O_STRICT)
			setup_needs(s, options[i].id, options[i].name, lacks);
}

/* Where the job runs: by --on, or by MR_ON. */
void
setup_engine(struct setup *s)
{
	static const struct { int id; const char *name; } options[] = {
		{ O_AFTER, "--after" }, { O_ELEMENTS, "--elements" },
		{ O_SBATCH, "--sbatch" },
	};
	struct plan_options *po = &s->po;
	const char *on = s->on;

	if (on == NULL && jobplan_ask.kind == ASK_RUN && !po->check &&
	    !po->dry_run)
		on = getenv("MR_ON");
	if (on != NULL && on[0] != '\0' && strcmp(on, "local") != 0) {
		po->engine = queue_engine(on);
		if (po->engine == NULL)
			refuse("--on %s: must be local or %s", on,
			    queue_names());
	}
	s->on = po->engine != NULL ? po->engine->name : "local";
	unsetenv("MR_ON");	/* that is not for the tasks */
	if (po->engine == NULL) {
		char *lacks = xasprintf("--on %s", queue_names());

		for (size_t i = 0; i < 3; i++)
			setup_needs(s, options[i].id, options[i].name, lacks);
		free(lacks);
		return;
	}
	if (po->check)
		refuse("--on %s has no effect with --check", on);
	if (po->append)
		refuse("--append and --on %s exclude each other: what is kept "
		    "is brought up to date by one machine", on);
	if (s->given[O_KEEP_GOING] || s->given[O_MAX_FAILURES])
		refuse("%s and --on %s exclude each other: nobody there "
		    "counts all tasks that fail", s->given[O_KEEP_GOING] ?
		    "--keep-going" : "--max-failures", on);
	if (po->job_dir == NULL)
		refuse("--on %s needs --job-dir DIR, on a file system that "
		    "all nodes share", on);
	if (s->sbatch != NULL)
		po->engine_words = queue_options(po->engine, s->sbatch,
		    &po->nengine_words, &po->hold);
	po->most = po->jobs;
	po->jobs = jobplan_ask.element ? po->jobs : 0;
	if (!s->given[O_RETRIES])
		po->retries = 3;
}

/* Whether each of the compressed files shall be a task of its own, where they
 * might be cut as well: that is faster if there are several.  How many must
 * not depend on the machine, which may be another when a kept job goes on. */
static bool
unpack_apart(const struct setup *s)
{
	const struct job *job = &s->job;
	size_t n = 0;

	for (size_t i = 0; i < job->input.n; i++)
		n += job->input.files[i].codec != 0 &&
		    !job->input.files[i].stream;
	return n >= APART && !s->po.filter && !job->pack &&
	    job->form.records == 0 && job->form.header == HEADER_NONE;
}

/* The operands: files, directories, "-"; none means standard input, but an
 * empty list of names is empty input. */
void
setup_input(struct setup *s, char *const *names, int n)
{
	struct input *in = &s->job.input;
	const char *option = s->given[O_FILES_FROM] ? "--files-from" :
	    "--files0-from";

	if (jobplan_ask.kind != ASK_RUN)
		return;		/* the plan knows */
	if (s->given[O_FILES_FROM] && s->given[O_FILES0_FROM])
		refuse("--files-from and --files0-from exclude each other");
	if (s->list != NULL && n > 0)
		refuse("%s and operands exclude each other", option);
	for (size_t i = 0; i < s->ninputs; i++)
		files_add(in, s->inputs[i]);
	for (int i = 0; i < n; i++)
		files_add(in, names[i]);
	if (s->list != NULL)
		files_list(in, option, s->list, s->given[O_FILES_FROM] ? '\n' :
		    '\0');
	else if (n == 0 && s->ninputs == 0)
		files_add(in, "-");
	if (in->names)
		files_check_names(in, &s->job.shape.fmt);
	files_check(in);
	if (!s->po.append && !s->job.whole_file &&
	    (s->po.filter || !form_is_plain(&s->job.form) ||
	    s->job.form.header != HEADER_NONE) && !unpack_apart(s))
		files_unpack_in_order(in);
	if (in->recursive && in->ndirs == 0)
		refuse("--recursive has no effect without a directory");
}

/* Failures that are put up with. */
void
setup_tolerance(struct setup *s)
{
	struct job *job = &s->job;

	if (s->po.append && s->given[O_MAX_FAILURES])
		refuse("--append and --max-failures exclude each other: what "
		    "was left out would never be read again");
	if (!s->given[O_SKIP_BAD])
		setup_needs(s, O_BAD_RECORDS, "--bad-records",
		    "--skip-bad-records");
	if (job->map.argv == NULL)
		setup_needs(s, O_SKIP_BAD, "--skip-bad-records", "-m CMD");
	if (job->whole_file)
		setup_needs(s, O_SKIP_BAD, "--skip-bad-records",
		    "records (with --whole-file a task is a file; "
		    "--max-failures leaves some out)");
	if (s->po.bad_records != NULL && s->po.bad_records[0] == '\0')
		refuse("--bad-records needs the name of a file");
	if (s->po.bad_records != NULL && !s->po.check && !s->po.dry_run)
		badlist_check(s->po.bad_records);
}

/* A command that is a list of words, run directly. */
void
setup_argv(struct command *c, char **argv)
{
	struct buf shown = {0};

	for (char **a = argv; *a != NULL; a++) {
		if (strcmp(*a, "{}") == 0)
			refuse("'{}': mr puts nothing into a command; records "
			    "come on its standard input, the name of their "
			    "file in $MR_INPUT_FILE");
		buf_str(&shown, a == argv ? "" : " ");
		buf_str(&shown, *a);
	}
	buf_put(&shown, "", 1);
	c->argv = argv;
	c->shown = (const char *)shown.p;
}

/* What is wrong with the command of --decompress, as an exit status. */
int
setup_decoder(const struct setup *s)
{
	return command_check(&s->job.input.decoder.command, "--decompress",
	    true);
}

/* The command of a filter: line, from -c, or the operands.  Returns 0, or the
 * exit status for what is plainly wrong with it. */
int
setup_command(struct setup *s, const char *line, const struct optscan *o)
{
	const char *name = s->job.phase_name;

	if (line == NULL && o->noperands == 0)
		refuse("which command? mr %s CMD [ARG]..., or -c STRING",
		    name);
	if (line != NULL && o->noperands > 0)
		refuse("-c STRING and CMD exclude each other");
	if (line != NULL)
		shell_command(&s->job.map, line);
	else
		setup_argv(&s->job.map, o->operands);
	return command_check(&s->job.map, name, line != NULL);
}

static uint64_t
default_jobs(void)
{
	const char *cpus = getenv("MR_CPUS");	/* of an mr that runs us */
	uint64_t n;

	if (cpus != NULL && parse_number(cpus, &n) == 0 && n > 0 && n < 4096)
		return n;
	return usable_cores();
}

/* Adds to the words of the plan. */
static void
add_word(struct setup *s, char *word)
{
	s->po.words = xrealloc(s->po.words, s->po.nwords + 1,
	    sizeof *s->po.words);
	s->po.words[s->po.nwords++] = word;
}

/* Fills in what was not given and runs the job. */
int
setup_run(struct setup *s)
{
	struct job *job = &s->job;
	unsigned cores = usable_cores();

	if (s->po.jobs == 0)
		s->po.jobs = default_jobs();
	job->cpus_per_task = cores > s->po.jobs ?
	    (unsigned)(cores / s->po.jobs) : 1;
	if (s->po.memory == 0)
		s->po.memory = usable_memory() / 4;
	if (job->ntmpdirs == 0) {
		const char *dir = getenv("TMPDIR");

		job->tmpdirs = xzalloc(1, sizeof *job->tmpdirs);
		job->tmpdirs[job->ntmpdirs++] = dir != NULL &&
		    dir[0] != '\0' ? dir : "/var/tmp";
	}
	if (job->sample.kind == SAMPLE_NUMBER && job->sample.n >
	    s->po.memory / sizeof(struct lot) / (s->po.jobs + 2))
		refuse("--sample %s: -S has no room for so many; a part of "
		    "all needs none (--sample 1%%)", job->sample.text);
	if (s->po.quiet && s->po.progress)
		refuse("--progress and --quiet exclude each other");
	if (s->po.job_dir == NULL && !s->po.append && !job->whole_file)
		files_open_stdin(&job->input, !s->po.check && !s->po.dry_run);
	if (s->po.check)
		return check_run(job, s->po.reducers != 1);
	if (s->po.job_dir != NULL || s->po.append) {
		s->po.cmd = s->scan->cmd;
		s->po.words = s->scan->words;
		s->po.nwords = s->scan->nwords;
		if (s->po.engine != NULL && !s->given[O_ON])
			add_word(s, xasprintf("--on=%s", s->on));
	}
	return driver_run(job, &s->po);
}

/* Runs a job over one input whose groups are not to be cut, by the command or
 * the operations that have been taken. */
int
setup_run_groups(struct setup *s)
{
	struct job *job = &s->job;
	int status = setup_decoder(s);

	if (status != 0)
		return status;
	job->check_order = !job->grouped;
	if (job->grouped)
		setup_needs(s, O_KEY, "-k", "order (it is --grouped)");
	setup_keys(s);
	setup_aggregate(s);
	/* Where groups of pairs begin can only be found from the front. */
	job->input.as_streams = job->shape.fmt.pairs;
	setup_input(s, NULL, 0);
	if (job->input.n > 1)
		refuse("only one input: keys would be cut between files (mr "
		    "sort -m FILE... | %s ...)", diag_name);
	return setup_run(s);
}
