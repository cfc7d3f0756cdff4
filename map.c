/* map.c - mr map: records through a command, in parallel, order kept. */

#include "mr.h"

static const struct opt opts[] = {
	{ O_COMMAND, 'c', "command", "STRING", "run STRING by the shell", 0 },
	{ O_INPUT, 'i', "input", "FILE", "read FILE, not standard input", 0 },
	OPT_DECOMPRESS, OPT_JOBS, OPT_BLOCK, OPT_FORM, OPT_ZERO, OPT_IO,
	OPT_MEMORY, OPT_TMPDIR, OPT_TASKS, OPT_TOLERATE,
	{ O_UNORDERED, 0, "unordered", NULL,
	    "print what is ready first", 0 },
	OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static int
map_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	const char *line = NULL;
	int id, status;

	setup_begin(&s, "map");
	s.job.kind = JOB_MAP;
	s.po.filter = true;
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		if (given_option(&s, id, &o) && id == O_COMMAND)
			line = o.value;
	status = setup_command(&s, line, &o);
	if (status == 0)
		status = setup_decoder(&s);
	if (status != 0)
		return status;
	setup_form(&s);
	setup_tolerance(&s);
	setup_input(&s, NULL, 0);
	return setup_run(&s);
}

const struct cmd map_cmd = {
	"map", map_main, "[option]... command [argument]...",
	"Runs records through a command, many copies at once; order is kept.",
	"records through a command in parallel, order kept",
	opts,
	"example: mr map tr a-z A-Z </etc/passwd\n",
	true,
};
