/* sort.c - mr sort: a stable external sort by key.
 *
 * Sorting is a job without commands (driver.c); checking and merging sorted
 * files need none (sorted.c). */

#include <string.h>

#include "mr.h"

enum { O_CHECK = O_OWN, O_CHECK_QUIET, O_MERGE, O_UNIQUE, O_STABLE, O_SORT,
    O_LETTER };			/* and the letter of an order */

#define ORDER(letter, name, help) \
    { O_LETTER + letter, letter, name, NULL, help, 0 }

static const struct opt opts[] = {
	OPT_KEYDEF,
	ORDER('b', "ignore-leading-blanks", "keys begin behind their blanks"),
	ORDER('d', "dictionary-order", "only blanks, letters, digits count"),
	ORDER('f', "ignore-case", "lower case counts as upper case"),
	ORDER('g', "general-numeric-sort", "by number, also such as 1e6"),
	ORDER('h', "human-numeric-sort", "by number with suffix: 2K, 1G"),
	ORDER('i', "ignore-nonprinting", "only printable bytes count"),
	ORDER('M', "month-sort", "by name of month: JAN, FEB"),
	ORDER('n', "numeric-sort", "by number"),
	ORDER('r', "reverse", "backwards"),
	ORDER('V', "version-sort", "by version: a9, a10"),
	{ O_LETTER + 'R', 'R', "random-sort", NULL, NULL, OPT_HIDDEN },
	{ O_SORT, 0, "sort", "WORD", NULL, OPT_HIDDEN },
	{ O_STABLE, 's', "stable", NULL, NULL, OPT_HIDDEN },
	{ O_CHECK, 0, "check", "HOW", NULL, OPT_HIDDEN | OPT_OPTIONAL },
	{ O_CHECK, 'c', "check", NULL, "only say whether it is sorted", 0 },
	{ O_CHECK_QUIET, 'C', "check-quiet", NULL, "the same by status", 0 },
	{ O_MERGE, 'm', "merge", NULL, "merge files that are sorted", 0 },
	{ O_UNIQUE, 'u', "unique", NULL,
	    "one record a key, or of those that are equal", 0 },
	{ O_OUTPUT, 'o', "output", "FILE",
	    "replaced at success; may be an input", 0 },
	{ O_FILES0_FROM, 0, "files0-from", "FILE",
	    "names of the input from FILE, each ends with NUL", 0 },
	OPT_KEYS, OPT_ZERO, OPT_IO, OPT_MEMORY, OPT_TMPDIR, OPT_SORTING,
	OPT_JOBS,
	{ O_JOBS, 0, "parallel", "N", NULL, OPT_HIDDEN },
	OPT_BLOCK,
	OPT_TALK,
	{ 0, 0, NULL, NULL, NULL, 0 },
};

/* --sort=WORD: its letter. */
static int
order_of(const char *word)
{
	static const struct { const char *word; char letter; } orders[] = {
		{ "general-numeric", 'g' }, { "human-numeric", 'h' },
		{ "month", 'M' }, { "numeric", 'n' }, { "random", 'R' },
		{ "version", 'V' },
	};

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (strcmp(word, orders[i].word) == 0)
			return orders[i].letter;
	refuse("--sort=%s: it must be general-numeric, human-numeric, month, "
	    "numeric or version", word);
}

/* An order of all keys that have none of their own. */
static void
take_order(struct keys *k, int letter)
{
	if (letter == 'R')
		refuse("mr sort does not shuffle; shuf(1) does");
	k->global |= key_letter((char)letter);
}

/* How records compare, once all options are known. */
static void
choose_order(struct setup *s)
{
	struct shape *shape = &s->job.shape;
	struct keys *k = &s->job.keys;

	if (s->given[O_KEY] && s->given[O_FIELDS]) {
		setup_keys(s);
		return;
	}
	if (!s->given[O_KEY] && s->job.unique && !s->given[O_FIELDS] &&
	    !s->given[O_SEP])
		shape->fmt.fields = 0;
	if (!s->given[O_KEY])
		keys_add_fields(k, shape->fmt.fields);
	keys_resolve(k);
	if (keys_plain(k, &shape->fmt.fields))
		return;
	shape->key = KEY_DEFS;
	shape->keys = k;
}

/* What has no effect together. */
static void
check_effects(const struct setup *s, bool checks, bool quiet, bool loud,
    bool merges)
{
	if (quiet && loud)
		refuse("-c and -C exclude each other");
	if (checks && merges)
		refuse("-c and -m exclude each other");
	if (checks && s->job.out == OUT_FILE)
		refuse("-o has no effect with -c: nothing is written");
	if (checks) {
		setup_needs(s, O_MEMORY, "-S", "sorting (it is -c)");
		setup_needs(s, O_TMPDIR, "-T", "sorting (it is -c)");
		setup_needs(s, O_BATCH, "--batch-size", "sorting (it is -c)");
		setup_needs(s, O_COMPRESS, "--compress-program",
		    "sorting (it is -c)");
	}
}

/* Whether --check=HOW is to say nothing. */
static bool
check_is_quiet(const char *how)
{
	static const char *const words[] = { "diagnose-first", "quiet",
	    "silent" };

	for (size_t i = 0; how != NULL && i < 3; i++)
		if (how[0] != '\0' && strncmp(words[i], how, strlen(how)) == 0)
			return i > 0;
	if (how != NULL)
		refuse("--check=%s: it must be quiet, silent or "
		    "diagnose-first", how);
	return false;
}

static int
sort_main(const struct cmd *c, int argc, char *argv[])
{
	struct setup s;
	struct optscan o;
	bool loud = false, quiet = false, merges = false;
	int id, status;

	setup_begin(&s, "sort");
	s.job.kind = JOB_SORT;
	s.po.filter = true;
	s.job.input.decompress = DECOMPRESS_NONE;	/* as sort(1) */
	opt_begin(&o, c, argc, argv);
	while ((id = opt_next(&o)) != -1)
		if (id == O_CHECK && !check_is_quiet(o.value))
			loud = true;
		else if (id == O_CHECK || id == O_CHECK_QUIET)
			quiet = true;
		else if (id == O_MERGE)
			merges = true;
		else if (id == O_UNIQUE)
			s.job.unique = true;
		else if (id == O_SORT)
			take_order(&s.job.keys, order_of(o.value));
		else if (id > O_LETTER)
			take_order(&s.job.keys, id - O_LETTER);
		else
			given_option(&s, id, &o);
	check_effects(&s, loud || quiet, quiet, loud, merges);
	setup_io(&s);
	if (s.job.shape.fmt.pairs && s.job.keys.global != 0)
		refuse("orders are for text, not for --io rawbytes");
	if (!s.job.shape.fmt.pairs)
		choose_order(&s);
	setup_input(&s, o.operands, o.noperands);
	if (loud || quiet)
		status = sorted_check(&s.job, quiet);
	/* Sorting sorted files is merging them; a stream need not wait. */
	else if (merges && s.job.out == OUT_STDOUT && s.job.input.n <= 200)
		status = sorted_merge(&s.job);
	else
		return setup_run(&s);
	if (s.po.verbose && s.job.shape.key == KEY_DEFS)
		keys_complain(s.job.shape.keys, &s.job.shape.fmt);
	return status;
}

const struct cmd sort_cmd = {
	"sort", sort_main, "[option]... [FILE]...",
	"Sorts records by key, as sort -s does; those of one key keep their order.",
	"stable external sort by key",
	opts,
	"examples:\n"
	"  mr sort -t : /etc/passwd\n"
	"  mr sort -t : -k 3,3n /etc/passwd\n",
	false,
};
