/* mr.c - the command line: picks a subcommand and answers for what it may
 * take for granted: descriptors 0 to 2 are open, messages begin with the
 * name that the user typed, and mr has no privilege that its user has not. */

#if defined(__linux__)
#include <sys/auxv.h>
#endif
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static const struct cmd *const cmds[] = {
	&run_cmd, &map_cmd, &sort_cmd, &shuffle_cmd, &reduce_cmd,
	&agg_cmd, &convert_cmd,
	&status_cmd, &wait_cmd, &logs_cmd, &resume_cmd, &cancel_cmd, &rm_cmd,
	&task_cmd, NULL,
};

static void
print_help(FILE *fp)
{
	fprintf(fp, "usage: mr COMMAND [option]... [operand]...\n"
	    "MapReduce as a filter: runs your programs in parallel over "
	    "lines of KEY TAB\nVALUE and sorts between them, in bounded "
	    "memory.\n\n");
	for (const struct cmd *const *c = cmds; *c != NULL; c++)
		if ((*c)->brief != NULL)
			fprintf(fp, "  mr %-8s %s\n", (*c)->name,
			    (*c)->brief);
	fputs("  mr status|wait|logs|resume|cancel|rm|task DIR\n"
	    "              a job that mr run --job-dir keeps\n", fp);
	fprintf(fp, "  mr %-8s %s\n  mr %-8s %s\n\n"
	    "mr COMMAND --help lists options; mr --version prints the "
	    "version.\n\n"
	    "examples:\n"
	    "  mr run -m \"tr : '\\n'\" -r 'uniq -c' /etc/passwd\n"
	    "  mr map tr a-z A-Z </etc/passwd\n"
	    "  mr sort /etc/passwd\n", "help",
	    "this text, or: mr help COMMAND", "completion",
	    "prints a completion script for bash or zsh");
}

/* A descriptor closed by our parent would be handed to the first file that
 * we open.  The holes are filled with /dev/null opened the wrong way round,
 * so that using one is still the error that it should be. */
static void
fill_std_fds(void)
{
	struct stat st;

	for (int fd = 0; fd <= 2; fd++)
		if (fstat(fd, &st) == -1 && errno == EBADF &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_TROUBLE);
}

static const struct cmd *
find(const char *name)
{
	const char *names[32];
	size_t n = 0;

	for (const struct cmd *const *c = cmds; *c != NULL; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
		names[n++] = (*c)->name;
	}
	names[n++] = "help";
	names[n++] = "completion";
	names[n] = NULL;
	if (name[0] == '-')
		refuse("which command? mr run ...; see mr --help");
	if (nearest(name, names) != NULL)
		refuse("%s is no command; did you mean mr %s?", name,
		    nearest(name, names));
	refuse("%s is no command; see mr --help", name);
}

static int
flushed(void)
{
	if (fflush(stdout) != 0 || ferror(stdout) ||
	    close(STDOUT_FILENO) == -1)
		die_errno("standard output");
	return EXIT_OK;
}

static bool
has_foreign_rights(void)
{
#if LINUX
	return getauxval(AT_SECURE) != 0;
#else
	return getuid() != geteuid() || getgid() != getegid();
#endif
}

int
main(int argc, char *argv[])
{
	const struct cmd *c;
	static char name[32];

	fill_std_fds();
	signal(SIGCHLD, SIG_DFL);	/* "ignored" is inherited over exec */
	if (has_foreign_rights())
		refuse("mr runs commands: it must not be set-user-ID");
	opt_commands = cmds;
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		print_help(stdout);
		return flushed();
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("mr %s\n", MR_VERSION);
		return flushed();
	}
	if (strcmp(argv[1], "help") == 0 &&
	    strcmp(argv[2], "completion") == 0) {
		print_help(stdout);
		return flushed();
	}
	if (strcmp(argv[1], "help") == 0) {
		opt_help(find(argv[2]), stdout);
		return flushed();
	}
	if (strcmp(argv[1], "completion") == 0) {
		opt_completion(argc > 2 ? argv[2] : "", stdout);
		return flushed();
	}
	c = strcmp(argv[1], element_cmd.name) == 0 ? &element_cmd :
	    find(argv[1]);
	if (c != &run_cmd) {
		snprintf(name, sizeof name, "mr %s", c->name);
		diag_name = name;
	}
	return c->main(c, argc - 1, argv + 1);
}
