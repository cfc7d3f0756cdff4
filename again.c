/* again.c - runs the job of a job directory by the words that planned it.
 *
 * They are given to mr run again, in its working directory, and jobplan_ask
 * says what is wanted of the job that they describe. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

/* Runs the job's own command with more options, which take the place of
 * those of the same name. */
int
again_run(struct jobdir *dir, char *const *more, size_t n)
{
	static char *const ours[] = { (char *)"--job-dir",
	    (char *)"--detach", (char *)"--progress", (char *)"--verbose" };
	/* Who only runs tasks, or prints, has nothing to tell; nobody looks
	 * while an element works. */
	size_t nours = jobplan_ask.kind == ASK_RESUME ?
	    2 + (jobplan_ask.element || opt_among(more, n, "--quiet")) :
	    opt_among(more, n, "--quiet") ? 4 : 2;
	const struct cmd *run = opt_command("run");
	struct jobplan p;
	char **argv;
	int argc = 0;

	if (!jobplan_read(dir, &p))
		refuse("%s: it has no plan", dir->path);
	argv = xzalloc(p.nwords + n + 3, sizeof *argv);
	argv[argc++] = xstrdup(run->name);
	for (size_t i = 0; i < p.nwords; i++)
		if (!opt_among(ours, nours, p.words[i]) &&
		    !opt_among(more, n, p.words[i]))
			argv[argc++] = p.words[i];
	for (size_t i = 0; i < n; i++)
		argv[argc++] = more[i];
	argv[argc++] = xasprintf("--job-dir=%s", dir->path);
	diag_name = "mr";	/* it says what mr run would say */
	if (chdir(p.cwd) == -1) {
		say_errno("%s", p.cwd);
		refuse("%s: that is where the job was planned", dir->path);
	}
	return run->main(run, argc, argv);
}
