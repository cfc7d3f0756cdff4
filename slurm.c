/* slurm.c - what mr wants of Slurm, by the commands that its users have.
 *
 * This is all that mr knows of it: another queueing system is another file
 * like this one (mr(7)).  Nothing here decides anything about a job.  That a
 * command fails is told apart from what it says: a controller that does not
 * answer leaves everything as it is. */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

#define ASK_LIMIT ((int64_t)60 * 1000000000)	/* ns that a question has */
#define SUBMIT_LIMIT ((int64_t)300 * 1000000000)

extern char **environ;

/* What a program has complained of, as one line without its name. */
static char *
complaint(struct buf *err)
{
	struct buf line = {0};
	char *p, *next;

	buf_put(err, "", 1);
	for (p = (char *)err->p; *p != '\0'; p = next) {
		size_t n = strcspn(p, "\n");
		char *colon;

		next = p + n + (p[n] == '\n');
		p[n] = '\0';
		colon = strstr(p, "error: ");
		if (colon == NULL && strstr(p, " error") == NULL)
			continue;
		buf_printf(&line, "%s%s", line.len > 0 ? "; " : "",
		    colon != NULL ? colon + 7 : p);
	}
	if (line.len == 0)
		buf_str(&line, "it failed and said nothing");
	buf_put(&line, "", 1);
	return (char *)line.p;
}

/* Whether it complains of a controller that does not answer. */
static bool
is_silence(const char *why)
{
	static const char *const words[] = {
		"Unable to contact", "Unable to connect",
		"Socket timed out", "temporarily unavailable",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strstr(why, words[i]) != NULL)
			return true;
	return false;
}

/* Runs a command of Slurm's.  0 and what it prints, or -1, *why and errno. */
static int
ask(char *const argv[], int64_t limit, struct buf *out, char **why)
{
	struct buf err = {0};
	int status = capture(argv, limit, out, &err), kind;

	kind = status == -1 ? errno : status == -2 ? EAGAIN : EINVAL;
	*why = NULL;
	if (status == -1)
		*why = xasprintf("%s: %s", argv[0], errno == ENOENT ?
		    "there is no such command in PATH" : strerror(errno));
	else if (status == -2)
		*why = xasprintf("%s: it did not answer", argv[0]);
	else if (status != 0)
		*why = xasprintf("%s: %s", argv[0], complaint(&err));
	if (status > 0 && is_silence(*why))
		kind = EAGAIN;
	buf_free(&err);
	buf_put(out, "", 1);
	out->len--;
	errno = kind;
	return status == 0 ? 0 : -1;
}

/* "NAME   = 123" in what scontrol prints. */
static uint64_t
setting(const struct buf *text, const char *name)
{
	const char *p = strstr((const char *)text->p, name);
	uint64_t n = 0;

	if (p == NULL || (p = strchr(p, '=')) == NULL)
		return 0;
	for (p++; *p == ' '; p++)
		;
	for (; isdigit((unsigned char)*p); p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

static int
slurm_limits(struct engine_limits *l, char **why)
{
	char *config[] = { (char *)"scontrol", (char *)"show",
	    (char *)"config", NULL };
	char *cpus[] = { (char *)"sinfo", (char *)"-h", (char *)"-o",
	    (char *)"%C", NULL };
	struct buf out = {0};
	unsigned long long total = 0;
	int got;

	*l = (struct engine_limits){0};
	got = ask(config, ASK_LIMIT, &out, why);
	if (got == 0) {
		l->array = setting(&out, "MaxArraySize");
		l->jobs = setting(&out, "MaxJobCount");
		out.len = 0;
		got = ask(cpus, ASK_LIMIT, &out, why);
	}
	if (got == 0)		/* allocated/idle/other/total */
		sscanf((char *)out.p, "%*u/%*u/%*u/%llu", &total);
	l->slots = total;
	buf_free(&out);
	return got;
}

/* In a path, sbatch takes % for something of its own. */
static char *
escaped(const char *path)
{
	struct buf b = {0};

	for (; *path != '\0'; path++)
		if (*path == '%')
			buf_str(&b, "%%");
		else
			buf_put(&b, path, 1);
	buf_put(&b, "", 1);
	return (char *)b.p;
}

/* A job that we may be in is none of the new one's business. */
static void
forget_job(void)
{
	static const char *const names[] = {
		"SLURM_ARRAY_", "SLURM_JOB", "SLURM_MEM_", "SLURM_CPUS_",
		"SLURM_RESTART_COUNT", "SLURM_TASK", "SLURM_STEP",
		"SLURM_NTASKS", "SLURM_NPROCS", "SBATCH_ARRAY_INX",
		"SBATCH_ERROR", "SBATCH_INPUT", "SBATCH_TEST_ONLY",
		"SBATCH_WAIT",
	};

	for (size_t i = 0; environ[i] != NULL; ) {
		char *name = xasprintf("%.*s", (int)strcspn(environ[i], "="),
		    environ[i]);
		bool drop = false;

		for (size_t j = 0; j < sizeof names / sizeof *names; j++)
			drop |= strncmp(name, names[j],
			    strlen(names[j])) == 0;
		if (!drop || unsetenv(name) == -1)
			i++;
		free(name);
	}
}

/* Submits a job, or an array of n.  Returns its id, or NULL and *why. */
static char *
slurm_submit(const struct engine_job *j, char **why)
{
	char *argv[32 + j->noptions], **a = argv, *id = NULL;
	struct buf out = {0}, dep = {0};
	size_t len;

	forget_job();
	*a++ = xstrdup("sbatch");
	*a++ = xstrdup("--parsable");
	*a++ = xstrdup("--requeue");
	*a++ = xasprintf("--job-name=%s", j->name);
	for (size_t i = 0; i < j->noptions; i++)
		*a++ = j->options[i];
	*a++ = xstrdup("--open-mode=append");
	*a++ = xasprintf("--output=%s/%s", escaped(j->logs),
	    j->n > 0 ? "%A_%a" : "%A");
	if (j->n > 0 && j->most > 0)
		*a++ = xasprintf("--array=0-%lu%%%lu", (unsigned long)j->n - 1,
		    (unsigned long)j->most);
	else if (j->n > 0)
		*a++ = xasprintf("--array=0-%lu", (unsigned long)j->n - 1);
	if (j->after != NULL)
		buf_printf(&dep, "afterany:%s", j->after);
	if (j->success != NULL)
		buf_printf(&dep, "%safterok:%s", dep.len > 0 ? "," : "",
		    j->success);
	if (j->success != NULL)
		*a++ = xstrdup("--kill-on-invalid-dep=yes");
	if (dep.len > 0)
		*a++ = xasprintf("--dependency=%.*s", (int)dep.len, dep.p);
	if (j->hold)
		*a++ = xstrdup("--hold");
	for (size_t i = 0; j->argv[i] != NULL; i++)
		*a++ = (char *)j->argv[i];
	*a = NULL;
	if (ask(argv, SUBMIT_LIMIT, &out, why) == 0) {
		len = strspn((char *)out.p, "0123456789");
		if (len > 0)
			id = xasprintf("%.*s", (int)len, (char *)out.p);
		else
			*why = xasprintf("sbatch: it printed no job id");
		errno = EINVAL;
	}
	buf_free(&out);
	buf_free(&dep);
	return id;
}

/* "12,13,14" */
static char *
joined(char *const ids[], size_t n)
{
	struct buf b = {0};

	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i > 0 ? "," : "", ids[i]);
	buf_put(&b, "", 1);
	return (char *)b.p;
}

static int
slurm_cancel(char *const ids[], size_t n, char **why)
{
	char *argv[n + 2];
	struct buf out = {0};
	int got;

	argv[0] = xstrdup("scancel");
	for (size_t i = 0; i < n; i++)
		argv[i + 1] = ids[i];
	argv[n + 1] = NULL;
	got = ask(argv, ASK_LIMIT, &out, why);
	buf_free(&out);
	return got;
}

static int
slurm_release(const char *id, char **why)
{
	char *argv[] = { (char *)"scontrol", (char *)"release", (char *)id,
	    NULL };
	struct buf out = {0};
	int got = ask(argv, ASK_LIMIT, &out, why);

	buf_free(&out);
	return got;
}

/* One that waits for ever, as a person has to do something about it. */
static bool
is_stuck(const char *reason)
{
	return strcmp(reason, "DependencyNeverSatisfied") == 0 ||
	    strcmp(reason, "JobHeldAdmin") == 0 ||
	    strstr(reason, "requeued held") != NULL ||
	    strstr(reason, "requeued_held") != NULL;
}

/* What there is in the queue of some jobs. */
static enum engine_state
slurm_state(char *const ids[], size_t n, char **why)
{
	char *argv[] = { (char *)"squeue", (char *)"-h", (char *)"-o",
	    (char *)"%t|%r", (char *)"-j", joined(ids, n), NULL };
	struct buf out = {0};
	enum engine_state state = ENGINE_GONE;
	char *p, *next;

	if (ask(argv, ASK_LIMIT, &out, why) == -1) {
		state = strstr(*why, "Invalid job id") != NULL ? ENGINE_GONE :
		    ENGINE_UNKNOWN;
		buf_free(&out);
		return state;
	}
	for (p = (char *)out.p; *p != '\0'; p = next) {
		size_t len = strcspn(p, "\n");
		enum engine_state s = ENGINE_RUNS;

		next = p + len + (p[len] == '\n');
		p[len] = '\0';
		if (strncmp(p, "PD|", 3) == 0)
			s = is_stuck(p + 3) ? ENGINE_STUCK : ENGINE_WAITS;
		if (s == ENGINE_STUCK && *why == NULL)
			*why = xstrdup(p + 3);
		if (s > state)
			state = s;
	}
	buf_free(&out);
	return state;
}

/* The jobs of this user that run a script, however they came there. */
static size_t
slurm_find(const char *script, char ***ids)
{
	char *argv[] = { (char *)"squeue", (char *)"--me", (char *)"-h",
	    (char *)"-o", (char *)"%A %o", NULL }, *why, *p, *next;
	struct buf out = {0};
	size_t n = 0;

	*ids = NULL;
	if (ask(argv, ASK_LIMIT, &out, &why) == -1)
		return 0;
	for (p = (char *)out.p; *p != '\0'; p = next) {
		size_t len = strcspn(p, "\n"), digits = strcspn(p, " ");

		next = p + len + (p[len] == '\n');
		p[len] = '\0';
		if (p[digits] == '\0' ||
		    strncmp(p + digits + 1, script, strlen(script)) != 0)
			continue;
		*ids = xrealloc(*ids, n + 1, sizeof **ids);
		(*ids)[n++] = xasprintf("%.*s", (int)digits, p);
	}
	buf_free(&out);
	return n;
}

/* How a job is, or has ended, that somebody else has submitted. */
static enum engine_end
slurm_end(const char *id, char **why)
{
	char *argv[] = { (char *)"squeue", (char *)"-h", (char *)"-t",
	    (char *)"all", (char *)"-o", (char *)"%T", (char *)"-j",
	    (char *)id, NULL };
	struct buf out = {0};
	enum engine_end end = ENGINE_SUCCEEDED;
	char *p;

	if (ask(argv, ASK_LIMIT, &out, why) == -1 || out.len == 0) {
		if (*why == NULL || strstr(*why, "Invalid job id") != NULL)
			*why = xasprintf("Slurm knows no job %s", id);
		buf_free(&out);
		return ENGINE_NO_JOB;
	}
	for (p = strtok((char *)out.p, "\n"); p != NULL;
	    p = strtok(NULL, "\n"))
		if (strcmp(p, "PENDING") == 0 || strcmp(p, "RUNNING") == 0 ||
		    strcmp(p, "COMPLETING") == 0 ||
		    strcmp(p, "CONFIGURING") == 0 ||
		    strcmp(p, "SUSPENDED") == 0 ||
		    strcmp(p, "REQUEUED") == 0) {
			if (end == ENGINE_SUCCEEDED)
				end = ENGINE_NOT_OVER;
		} else if (strcmp(p, "COMPLETED") != 0) {
			*why = xasprintf("Slurm's job %s is %s", id, p);
			end = ENGINE_FAILED;
			break;
		}
	buf_free(&out);
	return end;
}

static uint64_t
number(const char *name)
{
	const char *text = getenv(name);
	uint64_t n;

	return text != NULL && parse_number(text, &n) == 0 ? n : 0;
}

/* What the element of an array that we are in may use. */
static void
slurm_here(struct engine_place *p)
{
	uint64_t per_cpu = number("SLURM_MEM_PER_CPU");

	*p = (struct engine_place){
	    .element = number("SLURM_ARRAY_TASK_ID"),
	    .elements = number("SLURM_ARRAY_TASK_COUNT"),
	    .restarts = number("SLURM_RESTART_COUNT"),
	    .cpus = number("SLURM_CPUS_PER_TASK"),
	    .node = getenv("SLURMD_NODENAME") };
	if (p->cpus == 0)
		p->cpus = 1;
	p->memory = number("SLURM_MEM_PER_NODE") * MiB;
	if (p->memory == 0)
		p->memory = per_cpu * MiB * p->cpus;
}

static const struct engine_option options[] = {
	{ "-a", ENGINE_OURS }, { "--array", ENGINE_OURS },
	{ "-d", ENGINE_OURS }, { "--dependency", ENGINE_OURS },
	{ "-e", ENGINE_OURS }, { "--error", ENGINE_OURS },
	{ "-h", ENGINE_OURS }, { "--help", ENGINE_OURS },
	{ "-i", ENGINE_OURS }, { "--input", ENGINE_OURS },
	{ "-M", ENGINE_OURS }, { "--clusters", ENGINE_OURS },
	{ "-o", ENGINE_OURS }, { "--output", ENGINE_OURS },
	{ "-Q", ENGINE_OURS }, { "--quiet", ENGINE_OURS },
	{ "-V", ENGINE_OURS }, { "--version", ENGINE_OURS },
	{ "-W", ENGINE_OURS }, { "--wait", ENGINE_OURS },
	{ "-u", ENGINE_OURS }, { "--usage", ENGINE_OURS },
	{ "--kill-on-invalid-dep", ENGINE_OURS },
	{ "--open-mode", ENGINE_OURS }, { "--parsable", ENGINE_OURS },
	{ "--test-only", ENGINE_OURS }, { "--wrap", ENGINE_OURS },
	{ "-H", ENGINE_HOLD }, { "--hold", ENGINE_HOLD },
	{ "-O", ENGINE_FLAG }, { "--overcommit", ENGINE_FLAG },
	{ "-s", ENGINE_FLAG }, { "--oversubscribe", ENGINE_FLAG },
	{ "-v", ENGINE_FLAG }, { "--verbose", ENGINE_FLAG },
	{ "--contiguous", ENGINE_FLAG }, { "--exclusive", ENGINE_FLAG },
	{ "--get-user-env", ENGINE_FLAG }, { "--ignore-pbs", ENGINE_FLAG },
	{ "--nice", ENGINE_FLAG }, { "--no-kill", ENGINE_FLAG },
	{ "--no-requeue", ENGINE_FLAG }, { "--propagate", ENGINE_FLAG },
	{ "--reboot", ENGINE_FLAG }, { "--requeue", ENGINE_FLAG },
	{ "--spread-job", ENGINE_FLAG }, { "--use-min-nodes", ENGINE_FLAG },
	{ NULL, ENGINE_FLAG },
};

const struct engine slurm_engine = {
	.name = "slurm", .submitter = "sbatch", .options = options,
	.limits = slurm_limits, .submit = slurm_submit,
	.cancel = slurm_cancel, .release = slurm_release,
	.state = slurm_state, .find = slurm_find, .end = slurm_end,
	.here = slurm_here,
};
