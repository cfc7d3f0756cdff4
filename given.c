/* given.c - takes the options that several subcommands have: each goes where
 * it belongs in the setup of a job.  What they mean together is setup.c's. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static uint64_t
percent_or(const struct optscan *o, uint64_t all,
    uint64_t (*plain)(const struct optscan *))
{
	size_t len = strlen(o->value);
	char number[24];
	uint64_t n;

	if (len == 0 || len > 20 || o->value[len - 1] != '%')
		return plain(o);
	memcpy(number, o->value, len - 1);
	number[len - 1] = '\0';
	if (parse_number(number, &n) == -1 || n == 0 || n > 10000)
		refuse("%s %s: not a percentage", o->shown, o->value);
	n = all / 100 * n + all % 100 * n / 100;
	return n > 0 ? n : 1;
}

static uint64_t
plain_jobs(const struct optscan *o)
{
	return opt_count(o, 1, 4096);
}

static void
take_ok_exit(struct setup *s, const struct optscan *o)
{
	const char *p = o->value;

	do {
		char number[8];
		size_t n = strcspn(p, ",");
		uint64_t x;

		if (n == 0 || n >= sizeof number)
			refuse("--ok-exit %s: not a list of exit statuses, "
			    "such as 1,4", o->value);
		memcpy(number, p, n);
		number[n] = '\0';
		if (parse_number(number, &x) == -1 || x > 255)
			refuse("--ok-exit %s: not a list of exit statuses, "
			    "such as 1,4", o->value);
		s->job.limits.ok[x] = true;
		p += n;
	} while (*p++ == ',');
}

static void
take_env(const struct optscan *o)
{
	const char *eq = strchr(o->value, '=');

	if (eq == NULL || eq == o->value)
		refuse("--env %s: must be NAME=VALUE", o->value);
	if (strncmp(o->value, "MR_", 3) == 0 ||
	    strncmp(o->value, "TMPDIR=", 7) == 0)
		refuse("--env %s: that name is set by mr", o->value);
	{
		char *name = xasprintf("%.*s", (int)(eq - o->value), o->value);

		if (setenv(name, eq + 1, 1) == -1)
			die_errno("--env %s", o->value);
		free(name);
	}
}

/* A string with C escapes. */
static void
take_string(struct buf *b, const struct optscan *o)
{
	size_t len = strlen(o->value);

	buf_reset(b);
	if (buf_unescaped(b, o->value, len) < len)
		refuse("%s %s: not a string with the escapes of C, such as "
		    "\\n, \\0, \\x41 and \\\\", o->shown, o->value);
	if (b->len == 0 || b->len > FORM_MOST / 2)
		refuse("%s: must have 1 to %d bytes", o->shown, FORM_MOST / 2);
}

static void
take_decompress(struct input *in, const char *how)
{
	if (strcmp(how, "none") == 0) {
		in->decompress = DECOMPRESS_NONE;
	} else if (strcmp(how, "auto") == 0) {
		in->decompress = DECOMPRESS_ASKED;
	} else {
		in->decompress = DECOMPRESS_OWN;
		in->decoder.own = true;
		shell_command(&in->decoder.command, how);
	}
}

static enum form_header
header_of(const struct optscan *o)
{
	if (strcmp(o->value, "skip") == 0)
		return HEADER_SKIP;
	if (strcmp(o->value, "repeat") != 0)
		refuse("--header %s: must be skip or repeat", o->value);
	return HEADER_REPEAT;
}

/* What is read, and what a record of it is. */
static bool
input_option(struct setup *s, int id, const struct optscan *o)
{
	struct job *job = &s->job;

	switch (id) {
	case O_INPUT:
		s->inputs = xrealloc(s->inputs, s->ninputs + 1,
		    sizeof *s->inputs);
		s->inputs[s->ninputs++] = o->value;
		break;
	case O_WHOLE:
		job->whole_file = true;
		break;
	case O_PACK:
		job->pack = true;
		break;
	case O_DECOMPRESS:
		take_decompress(&job->input, o->value);
		break;
	case O_RECURSIVE:
		job->input.recursive = true;
		break;
	case O_FILES_FROM:
	case O_FILES0_FROM:
		s->list = o->value;
		break;
	case O_LINES:
		job->form.lines = (uint32_t)opt_count(o, 1, 1000000000);
		break;
	case O_RECORDS:
		job->form.records = opt_count(o, 1, UINT64_MAX);
		break;
	case O_RECSTART:
		take_string(&s->recstart, o);
		break;
	case O_RECEND:
		take_string(&s->recend, o);
		break;
	case O_HEADER:
		job->form.header = header_of(o);
		break;
	case O_BLOCK:
		s->po.block = opt_size(o);
		if (s->po.block == 0)
			refuse("%s 0: must be at least 1", o->shown);
		break;
	case O_NONEMPTY:
		s->po.nonempty = true;
		break;
	default:
		return false;
	}
	return true;
}

/* Keys, their order and their parts, and what is built in. */
static bool
record_option(struct setup *s, int id, const struct optscan *o)
{
	struct job *job = &s->job;

	switch (id) {
	case O_SEP:
		job->shape.fmt.sep = opt_byte(o);
		break;
	case O_FIELDS:
		job->shape.fmt.fields = (uint32_t)opt_count(o, 1, 1000000);
		break;
	case O_PARTITION:
		s->partition = o->value;
		break;
	case O_KEY:
		keys_add(&job->keys, o->value);
		break;
	case O_ZERO:
		job->shape.fmt.delim = job->form.delim = '\0';
		break;
	case O_IO:
		job->shape.fmt.pairs = opt_format(o);
		break;
	case O_AGG:
		s->agg = o->value;
		break;
	case O_PER_KEY:
		job->per_key = true;
		break;
	case O_KEY_STDIN:
		job->key_on_stdin = true;
		break;
	case O_REDUCERS:
		s->po.reducers = opt_count(o, 1, 100000);
		break;
	default:
		return false;
	}
	return true;
}

/* How commands are run, and what happens when they fail. */
static bool
task_option(struct setup *s, int id, const struct optscan *o)
{
	struct job *job = &s->job;

	switch (id) {
	case O_OK_EXIT:
		take_ok_exit(s, o);
		break;
	case O_RETRIES:
		s->po.retries = opt_count(o, 0, 1000000);
		break;
	case O_TIMEOUT:
		job->limits.timeout = opt_duration(o);
		break;
	case O_STALL:
		job->limits.stall = opt_duration(o);
		break;
	case O_TASK_MEMORY:
		job->limits.task_memory = opt_size(o);
		break;
	case O_STRICT:
		job->limits.strict_input = true;
		break;
	case O_KEEP_GOING:
		s->po.keep_going = true;
		break;
	case O_MAX_FAILURES:
		s->po.max_failures = opt_count(o, 1, 1000000000);
		break;
	case O_SKIP_BAD:
		job->skip_most = o->value == NULL ? SKIP_DEFAULT :
		    opt_count(o, 1, 10000);
		break;
	case O_BAD_RECORDS:
		s->po.bad_records = o->value;
		break;
	case O_TAG:
		job->tag = true;
		break;
	case O_SHIP:
		ship_add(o->value);
		break;
	case O_ENV:
		take_env(o);
		break;
	default:
		return false;
	}
	return true;
}

/* Where and with how much the job is run. */
static bool
place_option(struct setup *s, int id, const struct optscan *o)
{
	struct job *job = &s->job;

	switch (id) {
	case O_JOBS:
		s->po.jobs = percent_or(o, usable_cores(), plain_jobs);
		break;
	case O_MEMORY:
		s->po.memory = percent_or(o, usable_memory(), opt_size);
		if (s->po.memory == 0)
			refuse("%s 0: must be at least 1", o->shown);
		break;
	case O_TMPDIR:
		job->tmpdirs = xrealloc(job->tmpdirs, job->ntmpdirs + 1,
		    sizeof *job->tmpdirs);
		job->tmpdirs[job->ntmpdirs++] = o->value;
		break;
	case O_BATCH:
		s->po.batch = opt_count(o, 2, 4096);
		break;
	case O_COMPRESS:
		job->compress = o->value;
		break;
	case O_JOB_DIR:
		s->po.job_dir = o->value;
		break;
	case O_DETACH:
		s->po.detach = true;
		break;
	case O_NO_SYNC:
		s->po.no_sync = true;
		break;
	case O_ON:
		s->on = o->value;
		break;
	case O_AFTER:
		s->po.after = o->value;
		break;
	case O_ELEMENTS:
		s->po.elements = opt_count(o, 1, 1000000);
		break;
	case O_SBATCH:
		s->sbatch = o->value;
		break;
	case O_DEADLINE:
		s->po.deadline = opt_duration(o);
		break;
	default:
		return false;
	}
	return true;
}

/* Where the result goes, and what is said. */
static void
output_option(struct setup *s, int id, const struct optscan *o)
{
	struct job *job = &s->job;

	switch (id) {
	case O_OUTPUT:
		job->out = OUT_FILE;
		job->outpath = o->value;
		break;
	case O_OUTDIR:
		job->out = OUT_DIR;
		job->outpath = o->value;
		if (o->value[0] == '\0')
			refuse("-O needs the name of a directory");
		break;
	case O_OVERWRITE:
		s->po.overwrite = true;
		break;
	case O_ADD:
		s->po.append = true;
		break;
	case O_UNORDERED:
		s->po.unordered = true;
		break;
	case O_QUIET:
		s->po.quiet = true;
		break;
	case O_VERBOSE:
		s->po.verbose = true;
		break;
	case O_PROGRESS:
		s->po.progress = true;
		break;
	case O_DRY_RUN:
		s->po.dry_run = true;
		break;
	}
}

/* Takes an option that several subcommands have.  False if it is not one. */
bool
given_option(struct setup *s, int id, const struct optscan *o)
{
	if (id <= 0 || id >= O_OWN)
		return false;
	s->given[id] = true;
	s->scan = o;
	if (!input_option(s, id, o) && !record_option(s, id, o) &&
	    !task_option(s, id, o) && !place_option(s, id, o))
		output_option(s, id, o);
	return true;
}
