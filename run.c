/* run.c - mr run: the whole job. */

#include <string.h>

#include "mr.h"

enum { O_MAP = O_OWN, O_COMBINE, O_REDUCE, O_FINISH, O_RANGE,
    O_SOURCE, O_SAMPLE, O_SEED, O_CHECK_IT, O_NAMES };

static const struct opt opts[] = {
	{ O_MAP, 'm', "map", "CMD", "run once per split (default: none)",
	    OPT_FREE_MAP },
	{ O_MAP, 0, "mapper", "CMD", NULL, OPT_HIDDEN },
	{ O_COMBINE, 0, "combine", "CMD",
	    "reduces a little of it, 0 times or more, before -r", 0 },
	{ O_COMBINE, 0, "combiner", "CMD", NULL, OPT_HIDDEN },
	{ O_REDUCE, 'r', "reduce", "CMD",
	    "gets records in key order, whole groups", OPT_FREE_REDUCE },
	{ O_REDUCE, 0, "reducer", "CMD", NULL, OPT_HIDDEN },
	OPT_AGG,
	OPT_PER_KEY,
	{ O_FINISH, 0, "finish", "CMD",
	    "once, over the whole output, which it replaces",
	    OPT_FREE | OPT_SAME_APPEND },
	{ O_OUTPUT, 'o', "output", "FILE",
	    "replaced at success; may be an input", OPT_FREE },
	{ O_OUTDIR, 'O', "output-dir", "DIR", "part-00000 ... in a new DIR",
	    OPT_FREE },
	{ O_OVERWRITE, 0, "overwrite", NULL, "", OPT_FREE | OPT_JOINED },
	{ O_ADD, 0, "append", NULL,
	    "replace DIR; or only add what is new", OPT_FREE },
	OPT_JOBS,
	{ O_REDUCERS, 'R', "reducers", "N",
	    "reduce tasks, so parts (default: by size)", OPT_FREE_APPEND },
	OPT_BLOCK,
	{ O_WHOLE, 0, "whole-file", NULL, "a task a file, which is its stdin",
	    0 },
	{ O_PACK, 0, "pack", NULL, "small files may share a task",
	    OPT_FREE_APPEND },
	{ O_NAMES, 0, "names", NULL,
	    "a record is a file's name; none is opened", 0 },
	OPT_DECOMPRESS,
	{ O_RECURSIVE, 0, "recursive", NULL, "read what is below a DIR, too",
	    OPT_FREE },
	{ O_FILES_FROM, 0, "files-from", "FILE", "", OPT_FREE | OPT_JOINED },
	{ O_FILES0_FROM, 0, "files0-from", "FILE",
	    "names, ended by lines or by NUL", OPT_FREE },
	{ O_RANGE, 0, "range", "A:B", "the input is A to B-1, cut in ranges",
	    0 },
	{ O_SOURCE, 0, "source", "CMD",
	    "it is what CMD OFFSET LIMIT prints for a task", 0 },
	{ O_SAMPLE, 0, "sample", "N|P%", "", OPT_JOINED },
	{ O_SEED, 0, "seed", "N", "only N records, or a part of them; others", 0 },
	OPT_PARTITION,
	OPT_FORM, OPT_KEYS, OPT_KEYDEF, OPT_ZERO, OPT_IO, OPT_MEMORY,
	OPT_TMPDIR, OPT_SORTING, OPT_TASKS,
	{ O_KEEP_GOING, 0, "keep-going", NULL, "", OPT_FREE | OPT_JOINED },
	OPT_TOLERATE,
	OPT_JOB_DIR,
	OPT_ENGINE,
	{ O_NONEMPTY, 0, "nonempty", NULL, "no input at all is a failure",
	    OPT_FREE_APPEND },
	{ O_UNORDERED, 0, "unordered", NULL, "output in any order", 0 },
	OPT_TALK,
	{ O_CHECK_IT, 0, "check", NULL,
	    "try the commands on a sample: what is wrong?", 0 },
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* Words of Hadoop Streaming, and what they are here. */
static void
check_hadoop(int argc, char *argv[])
{
	static const struct { const char *word, *cure; } words[] = {
		{ "-mapper", "-m CMD" }, { "-reducer", "-r CMD" },
		{ "-input", "the names of files, as operands" },
		{ "-output", "-O DIR or -o FILE" },
		{ "-file", "--ship PATH" },
		{ "-files", "--ship PATH" },
		{ "-numReduceTasks", "-R N" },
		{ "-cmdenv", "--env N=V" },
		{ "-combiner", "--combine CMD" }, { "-partitioner", "--partition CMD" },
		{ "-inputformat", "not there" }, { "-outputformat", "not there" },
		{ "-jobconf", "an option of its own (mr run --help)" },
	};

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		for (size_t j = 0; j < sizeof words / sizeof *words; j++)
			if (strcmp(argv[i], words[j].word) == 0)
				refuse("%s is Hadoop's; in mr it is %s",
				    argv[i], words[j].cure);
}

/* Options that this job has no use for. */
static void
check_effects(const struct setup *s)
{
	static const struct { int id; const char *name; } sorting[] = {
		{ O_BATCH, "--batch-size" },
		{ O_COMPRESS, "--compress-program" },
		{ O_KEY, "-k" }, { O_PARTITION, "--partition" },
		{ O_SEP, "-t" }, { O_FIELDS, "--key-fields" },
	};
	const struct job *job = &s->job;

	if (job->kind == JOB_MAP)
		for (size_t i = 0; i < sizeof sorting / sizeof *sorting; i++)
			setup_needs(s, sorting[i].id, sorting[i].name,
			    "-r CMD: nothing is sorted (-r cat)");
	if (s->agg != NULL && job->reduce.argv != NULL)
		refuse("--agg and -r CMD exclude each other");
	if (job->reduce.argv == NULL && job->combine.argv != NULL)
		refuse("--combine has no effect without -r CMD");
	if (job->reduce.argv == NULL)
		setup_needs(s, O_PER_KEY, "--per-key", "-r CMD");
	if (!job->per_key)
		setup_needs(s, O_KEY_STDIN, "--key-on-stdin", "--per-key");
	if (job->kind == JOB_MAP && job->out != OUT_DIR)
		setup_needs(s, O_REDUCERS, "-R", "-r CMD or -O DIR");
	if (job->finish.argv != NULL) {
		setup_needs(s, O_UNORDERED, "--unordered",
		    "output of several tasks (--finish makes it one)");
		if (job->kind == JOB_MAP)
			setup_needs(s, O_REDUCERS, "-R",
			    "-r CMD (--finish makes one part)");
	}
	if (s->given[O_JOB_DIR])
		setup_needs(s, O_UNORDERED, "--unordered",
		    "output in one go (with --job-dir it comes at the end)");
	if (!s->given[O_JOB_DIR]) {
		setup_needs(s, O_NO_SYNC, "--no-sync", "--job-dir DIR");
		setup_needs(s, O_DETACH, "--detach", "--job-dir DIR");
	}
	if (job->out != OUT_DIR)
		setup_needs(s, O_OVERWRITE, "--overwrite", "-O DIR");
	else
		setup_needs(s, O_UNORDERED, "--unordered",
		    "output in one piece (it is -O DIR)");
	if (s->given[O_OUTPUT] && s->given[O_OUTDIR])
		refuse("-o FILE and -O DIR exclude each other");
	if (job->whole_file && job->pack)
		refuse("--whole-file and --pack exclude each other");
	if (job->whole_file && !job->file_pairs)
		setup_needs(s, O_BLOCK, "--block-size",
		    "splits (--whole-file makes none)");
	if (job->map.argv == NULL && job->whole_file && !job->file_pairs)
		refuse("--whole-file has no effect without -m CMD");
	if (job->map.argv == NULL && job->reduce.argv == NULL &&
	    job->finish.argv == NULL)
		setup_no_command(s, "-m CMD or -r CMD");
}

/* By kind: the option that makes a job's input so. */
static const char *const generated[] = {
	[GENERATE_RANGE] = "--range", [GENERATE_SOURCE] = "--source",
	[GENERATE_NAMES] = "--names",
};

/* What is appended to is a sorted result, and what of the input is new must
 * be known by its content. */
static void
check_append(const struct setup *s)
{
	static const struct { int id; const char *name; } other[] = {
		{ O_OVERWRITE, "--overwrite" }, { O_JOB_DIR, "--job-dir" },
		{ O_WHOLE, "--whole-file" },
	};
	const struct job *job = &s->job;

	if (!s->po.append)
		return;
	if (job->out != OUT_DIR)
		refuse("--append has no effect without -O DIR");
	if (job->kind == JOB_MAP)
		refuse("--append has no effect without -r CMD");
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		if (s->given[other[i].id])
			refuse("--append and %s exclude each other",
			    other[i].name);
	if (job->made.kind != GENERATE_NONE)
		refuse("--append and %s exclude each other",
		    generated[job->made.kind]);
	if (job->sample.kind != SAMPLE_ALL)
		refuse("--append and --sample exclude each other");
}

/* Options that a job has no use for whose input is in no file. */
static void
check_generated(const struct setup *s, const struct optscan *o)
{
	static const struct { int id; const char *name; } forms[] = {
		{ O_LINES, "-L" }, { O_RECSTART, "--recstart" },
		{ O_RECEND, "--recend" }, { O_HEADER, "--header" },
	}, reading[] = {
		{ O_WHOLE, "--whole-file" }, { O_PACK, "--pack" },
		{ O_DECOMPRESS, "--decompress" },
	}, naming[] = {
		{ O_RECURSIVE, "--recursive" },
		{ O_FILES_FROM, "--files-from" },
		{ O_FILES0_FROM, "--files0-from" },
	};
	const struct generate *g = &s->job.made;
	const char *files = g->kind == GENERATE_NAMES ?
	    "files that are read (it is --names)" :
	    "files: the input is generated";

	if (g->kind == GENERATE_NONE)
		return;
	if (o->noperands > 0 && g->kind != GENERATE_NAMES)
		refuse("%s and FILE exclude each other", generated[g->kind]);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (g->kind != GENERATE_SOURCE || forms[i].id == O_HEADER)
			setup_needs(s, forms[i].id, forms[i].name, files);
	setup_needs(s, O_BLOCK, "--block-size", files);
	for (size_t i = 0; i < sizeof reading / sizeof *reading; i++)
		setup_needs(s, reading[i].id, reading[i].name, files);
	for (size_t i = 0; i < sizeof naming / sizeof *naming; i++)
		if (g->kind != GENERATE_NAMES)
			setup_needs(s, naming[i].id, naming[i].name, files);
}

static int
check_source(const struct generate *g)
{
	struct command c = {0};
	int status = 0;

	if (g->kind == GENERATE_SOURCE) {
		generate_command(g, &c, NULL);
		status = command_check(&c, "--source", true);
		generate_free(&c);
	}
	return status;
}

static void
take_generated(struct setup *s, int id, const struct optscan *o)
{
	struct generate *g = &s->job.made;
	enum generate_kind kind = id == O_RANGE ? GENERATE_RANGE :
	    id == O_SOURCE ? GENERATE_SOURCE : GENERATE_NAMES;

	if (g->kind != GENERATE_NONE && g->kind != kind)
		refuse("%s and %s exclude each other",
		    generated[g->kind < kind ? g->kind : kind],
		    generated[g->kind < kind ? kind : g->kind]);
	if (kind != GENERATE_RANGE)
		*g = (struct generate){ .kind = kind, .source = o->value,
		    .input = &s->job.input };
	else if (!generate_range(g, o->value))
		refuse("--range %s: must be A:B, two whole numbers, A not "
		    "above B", o->value);
	s->job.input.names = s->job.input.unread = kind == GENERATE_NAMES;
}

/* --names and --whole-file together: pairs of the one and the other. */
static void
join_names(struct setup *s)
{
	struct job *job = &s->job;

	if (!job->input.names || !job->whole_file)
		return;
	if (!job->shape.fmt.pairs)
		refuse("--names and --whole-file together need --io rawbytes: "
		    "their records are pairs of a name and a file's bytes");
	job->made.kind = GENERATE_NONE;
	job->input.unread = false;
	job->file_pairs = true;
}

static void
take_sample(struct setup *s, const struct optscan *o)
{
	double percent;

	if (sample_set(&s->job.sample, o->value, &percent))
		return;
	if (percent > 0)
		refuse("--sample %s: a part of the records has a %%: "
		    "--sample %.10g%%", o->value, percent);
	refuse("--sample %s: must be a number of records, such as 1000, or "
	    "a part, such as 0.1%%", o->value);
}

static void
check_sample(const struct setup *s, bool seeded)
{
	const struct job *job = &s->job;

	if (job->sample.kind == SAMPLE_ALL && seeded)
		refuse("--seed has no effect without --sample");
	if (job->sample.kind == SAMPLE_ALL)
		return;
	if (job->made.kind != GENERATE_NONE)
		refuse("--sample has no effect without files: the input is "
		    "generated");
	if (job->whole_file)
		refuse("--sample and --whole-file exclude each other");
}

static void
check_checking(const struct setup *s)
{
	const struct job *job = &s->job;

	if (!s->po.check)
		return;
	if (s->job.shape.fmt.pairs)
		refuse("--check and --io rawbytes exclude each other: what "
		    "it tries and shows is lines");
	if (job->made.kind != GENERATE_NONE)
		refuse("--check has no effect without input from files");
	if (job->sample.kind != SAMPLE_ALL)
		refuse("--sample has no effect with --check, which takes a "
		    "sample of its own");
	if (job->map.argv == NULL && job->reduce.argv == NULL &&
	    s->agg == NULL)
		refuse("--check has no effect without -m CMD, -r CMD or --agg");
}

static int
run_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	bool seeded = false;
	int id, status;

	check_hadoop(argc, argv);
	setup_begin(&s, "run");
	s.job.phase_name = "map";
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		if (id == O_MAP)
			shell_command(&s.job.map, o.value);
		else if (id == O_REDUCE)
			shell_command(&s.job.reduce, o.value);
		else if (id == O_COMBINE)
			shell_command(&s.job.combine, o.value);
		else if (id == O_FINISH)
			shell_command(&s.job.finish, o.value);
		else if (id == O_CHECK_IT)
			s.po.check = true;
		else if (id == O_RANGE || id == O_SOURCE ||
		    id == O_NAMES)
			take_generated(&s, id, &o);
		else if (id == O_SAMPLE)
			take_sample(&s, &o);
		else if (id != O_SEED)
			given_option(&s, id, &o);
		else {
			s.job.sample.seed = opt_count(&o, 0, UINT64_MAX);
			seeded = true;
		}
	s.job.kind = s.job.reduce.argv != NULL || s.agg != NULL ? JOB_SORT :
	    JOB_MAP;
	join_names(&s);
	check_effects(&s);
	setup_engine(&s);
	check_append(&s);
	check_checking(&s);
	check_generated(&s, &o);
	check_sample(&s, seeded);
	setup_form(&s);
	setup_aggregate(&s);
	setup_keys(&s);
	setup_partition(&s);
	setup_tolerance(&s);
	if ((status = command_check(&s.job.map, "-m", true)) != 0 ||
	    (status = command_check(&s.job.combine, "--combine", true)) != 0 ||
	    (status = command_check(&s.job.reduce, "-r", true)) != 0 ||
	    (status = command_check(&s.job.finish, "--finish", true)) != 0 ||
	    (status = setup_decoder(&s)) != 0 ||
	    (status = check_source(&s.job.made)) != 0)
		return status;
	if (s.job.made.kind == GENERATE_NONE || s.job.input.names)
		setup_input(&s, o.operands, o.noperands);
	if (s.job.input.unread)
		s.job.made.n = s.job.input.n;
	return setup_run(&s);
}

const struct cmd run_cmd = {
	"run", run_main, "[-m CMD] [-r CMD] [option]... [FILE|DIR|-]...",
	NULL,
	"the whole job: map, sort, reduce",
	opts,
	"example: mr run -m \"tr : '\\n'\" -r 'uniq -c' /etc/passwd\n",
	false,
};
