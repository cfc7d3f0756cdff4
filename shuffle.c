/* shuffle.c - mr shuffle: one stream into N files, partitioned by the hash
 * of the key (partition.c) or by a command; each keeps the order of the
 * input. */

#include <string.h>

#include "mr.h"

static const struct opt opts[] = {
	{ O_REDUCERS, 'R', "reducers", "N", "how many files", 0 },
	{ O_OUTDIR, 'O', "output-dir", "DIR", "where: part-00000 ...", 0 },
	{ O_OVERWRITE, 0, "overwrite", NULL, "replace a DIR that mr made", 0 },
	OPT_DECOMPRESS, OPT_PARTITION, OPT_KEYS, OPT_ZERO, OPT_IO,
	OPT_JOBS, OPT_BLOCK, OPT_MEMORY, OPT_TMPDIR,
	OPT_SORTING, OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

static int
shuffle_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	int id, status;

	setup_begin(&s, "shuffle");
	s.job.kind = JOB_SORT;
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		given_option(&s, id, &o);
	if (s.job.out != OUT_DIR)
		refuse("-O DIR is needed: records that belong together in one "
		    "stream are what mr sort makes");
	if (s.po.reducers == 0)
		refuse("-R N is needed: how many files?");
	if (s.partition != NULL && strcmp(s.partition, "range") == 0)
		refuse("--partition range would sort the records; mr run "
		    "-r cat -R N -O DIR does");
	s.job.shape.key = KEY_PART_ONLY;
	s.job.shape.nparts = (uint32_t)s.po.reducers;
	setup_io(&s);
	setup_partition(&s);
	if ((status = setup_decoder(&s)) != 0)
		return status;
	setup_input(&s, o.operands, o.noperands);
	return setup_run(&s);
}

const struct cmd shuffle_cmd = {
	"shuffle", shuffle_main, "-R N -O DIR [option]... [FILE]...",
	"Deals records into N files by the hash of their key.",
	"one stream into N files, partitioned by key",
	opts,
	"example: mr shuffle -R 4 -O parts -t : /etc/passwd\n",
	false,
};
