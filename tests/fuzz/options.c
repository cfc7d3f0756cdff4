/* options.c - any words as the options of a command: they are refused, or
 * what is kept of them in a job directory means the same again; and the
 * command itself gets as far as the job.
 *
 * An input is the number of a command and words that end with a newline. */

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static const struct cmd *const cmds[] = {
	&run_cmd, &map_cmd, &sort_cmd, &shuffle_cmd, &reduce_cmd, &agg_cmd,
	&status_cmd, &logs_cmd, &task_cmd, NULL,
};
enum { NRUN = 6, NCMDS = sizeof cmds / sizeof *cmds - 1 };

/* Here a command ends: nothing is read, run or written. */
int __wrap_driver_run(struct job *, struct plan_options *);
int __wrap_check_run(struct job *, bool);
int __wrap_sorted_check(const struct job *, bool);
int __wrap_sorted_merge(const struct job *);
void __wrap_setup_input(struct setup *, char *const *, int);

int
__wrap_driver_run(struct job *job, struct plan_options *po)
{
	(void)job, (void)po;
	return 0;
}

int
__wrap_check_run(struct job *job, bool cut)
{
	(void)job, (void)cut;
	return 0;
}

int
__wrap_sorted_check(const struct job *job, bool quiet)
{
	(void)job, (void)quiet;
	return 0;
}

int
__wrap_sorted_merge(const struct job *job)
{
	(void)job;
	return 0;
}

void
__wrap_setup_input(struct setup *s, char *const *names, int n)
{
	(void)s, (void)names, (void)n;
}

/* Each option once, with a value that it may well have. */
void
fuzz_begin(void)
{
	fuzz_keeps_memory = true;	/* of options that add up */
	opt_commands = cmds;
}

void
fuzz_seeds(void)
{
	static const char *const values[] = {
		"1", "cat", "sum 2", "10%", "1,1n", "\\t", "1M", "90s", "A=b",
		"1:9", "text", "skip",
	};
	struct buf b = {0};
	size_t n = 0;

	for (size_t i = 0; i < NCMDS; i++)
		for (const struct opt *o = cmds[i]->opts; o->id != 0; o++) {
			const char *v = values[n++ % (sizeof values /
			    sizeof *values)];

			buf_reset(&b);
			buf_put(&b, &(unsigned char){ (unsigned char)i }, 1);
			if (i == 0)
				buf_str(&b, "-m\ncat\n-r\ncat\n");
			if (o->name == NULL || n % 4 == 0)
				buf_printf(&b, "-%c%s%s\n", o->letter != 0 ?
				    o->letter : 'h', n % 8 ? "" : "\n",
				    o->arg == NULL ? "" : v);
			else
				buf_printf(&b, "--%s%s%s\n", o->name,
				    o->arg == NULL ? "" : "=",
				    o->arg == NULL ? "" : v);
			buf_str(&b, i == 0 ? "file\n" : "cat\n--\n-x\n");
			fuzz_seed(b.p, b.len);
		}
}

static int
split_words(unsigned char *p, size_t len, char **argv, int most)
{
	int n = 0;

	argv[n++] = (char *)cmds[0]->name;
	for (size_t i = 0, from = 0; i < len && n < most; i++)
		if (p[i] == '\n') {
			p[i] = '\0';
			argv[n++] = (char *)p + from;
			from = i + 1;
		}
	argv[n] = NULL;
	return n;
}

/* The options as a job directory keeps them. */
static void
scan(struct optscan *o, const struct cmd *c, int argc, char **argv)
{
	opt_begin(o, c, argc, argv);
	while (opt_next(o) != -1)
		fuzz_use(o->shown, strlen(o->shown));
	for (int i = 0; i < o->noperands; i++)
		fuzz_use(o->operands[i], strlen(o->operands[i]));
}

static void
check_again(const struct cmd *c, const struct optscan *o)
{
	char **argv = xzalloc(o->nwords + 2, sizeof *argv);
	struct optscan again;

	argv[0] = (char *)c->name;
	for (size_t i = 0; i < o->nwords; i++)
		argv[i + 1] = o->words[i];
	scan(&again, c, (int)o->nwords + 1, argv);
	fuzz_check(again.nwords == o->nwords && again.noperands == 0);
	for (size_t i = 0; i < o->nwords; i++) {
		fuzz_check(strcmp(again.words[i], o->words[i]) == 0);
		opt_flags(c, o->words[i]);
		opt_same(o->words[0], o->words[i]);
	}
}

void
fuzz_one(const unsigned char *p, size_t len)
{
	enum { WORDS = 64 };
	char *argv[WORDS + 1], *copy;
	const struct cmd *c;
	struct optscan o;
	int argc;

	if (len == 0)
		return;
	c = cmds[p[0] % NCMDS];
	copy = xrealloc(NULL, len, 1);
	memcpy(copy, p + 1, len - 1);
	argc = split_words((unsigned char *)copy, len - 1, argv, WORDS);
	scan(&o, c, argc, argv);
	check_again(c, &o);
	if (p[0] % NCMDS < NRUN)
		c->main(c, argc, argv);
}
