/* reduce.c - mr reduce: records in key order through a command, in parallel,
 * cut only between keys. */

#include "mr.h"

enum { O_GROUPED = O_OWN };

static const struct opt opts[] = {
	{ O_COMMAND, 'c', "command", "STRING", "run STRING by the shell", 0 },
	{ O_INPUT, 'i', "input", "FILE", "read FILE, not standard input", 0 },
	{ O_GROUPED, 0, "grouped", NULL,
	    "equal keys stand together; any order of keys", 0 },
	OPT_AGG,
	OPT_PER_KEY,
	OPT_DECOMPRESS, OPT_KEYS, OPT_KEYDEF, OPT_ZERO, OPT_IO, OPT_JOBS,
	OPT_BLOCK, OPT_MEMORY, OPT_TMPDIR, OPT_TASKS,
	{ O_UNORDERED, 0, "unordered", NULL,
	    "print what is ready first", 0 },
	OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static int
reduce_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	const char *line = NULL;
	int id, status;

	setup_begin(&s, "reduce");
	s.job.kind = JOB_MAP;
	s.po.filter = true;
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1) {
		if (id == O_GROUPED) {
			s.job.grouped = true;
		} else if (given_option(&s, id, &o) && id == O_COMMAND) {
			line = o.value;
		}
	}
	if (!s.job.per_key)
		setup_needs(&s, O_KEY_STDIN, "--key-on-stdin", "--per-key");
	if (s.agg != NULL && (line != NULL || o.noperands > 0))
		refuse("--agg and a command exclude each other");
	if (s.agg != NULL) {
		setup_no_command(&s, "a command");
		setup_needs(&s, O_PER_KEY, "--per-key", "a command");
	} else {
		status = setup_command(&s, line, &o);
		if (status != 0)
			return status;
	}
	setup_io(&s);
	return setup_run_groups(&s);
}

const struct cmd reduce_cmd = {
	"reduce", reduce_main, "[option]... command [argument]...",
	"Runs records in key order through a command, cut only between keys.",
	"groups through a command, cut only between keys",
	opts,
	"example: mr sort /etc/passwd | mr reduce uniq -c\n",
	true,
};
