/* agg.c - mr agg: records in key order through the built-in reducer. */

#include "mr.h"

enum { O_GROUPED = O_OWN };

static const struct opt opts[] = {
	{ O_INPUT, 'i', "input", "FILE", "read FILE, not standard input", 0 },
	{ O_GROUPED, 0, "grouped", NULL,
	    "equal keys stand together; any order of keys", 0 },
	OPT_DECOMPRESS, OPT_KEYS, OPT_KEYDEF, OPT_ZERO, OPT_JOBS, OPT_BLOCK, OPT_MEMORY,
	OPT_TMPDIR, OPT_DEADLINE,
	{ O_UNORDERED, 0, "unordered", NULL,
	    "print what is ready first", 0 },
	OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static int
agg_main(const struct cmd *c, int argc, char *argv[])
{
	struct buf words = {0};
	struct setup s;
	struct optscan o;
	int id;

	setup_begin(&s, "agg");
	s.job.kind = JOB_MAP;
	s.po.filter = true;
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		if (id == O_GROUPED)
			s.job.grouped = true;
		else
			given_option(&s, id, &o);
	for (int i = 0; i < o.noperands; i++)
		buf_printf(&words, " %s", o.operands[i]);
	buf_put(&words, "", 1);
	s.agg = (const char *)words.p;
	return setup_run_groups(&s);
}

const struct cmd agg_cmd = {
	"agg", agg_main, "[option]... OP [FIELD] [OP [FIELD]]...",
	"Prints a record for each key: the count, sum, mean ... of its "
	"records.",
	"of each key: count, sum, min, max, mean, top:N ...",
	opts,
	"operations: count sum min max range mean pvar svar pstdev sstdev\n"
	"first last unique countunique collapse top:N; FIELD counts fields of\n"
	"the whole record\n"
	"example: mr sort -t : /etc/passwd | mr agg -t : count min 3\n",
	false,
};
