/* taskcmd.c - the command of a task: an attempt is made ready, run, for each
 * key if it is asked to, and ended. */

#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include "mr.h"

enum { KEY_MOST = 128 * KiB };	/* bytes of one variable; Linux sets it */

struct task_name
taskcmd_name(const struct worker *w, const struct task_msg *t)
{
	return (struct task_name){ .phase = phase_name(w->job, t->kind),
	    .task = t->task, .attempt = t->attempt,
	    .tasks = t->kind == TASK_FINISH ? 1 : t->ntasks,
	    .later = t->kind != TASK_MAP };
}

void
taskcmd_prepare(struct worker *w, struct attempt *a, const struct command *cmd,
    const struct task_msg *t, const struct split *split)
{
	const struct job *job = w->job;
	const struct task_name who = taskcmd_name(w, t);
	struct shared_worker *sh = job->shared->worker + w->me;
	static char tag[64];

	*a = (struct attempt){ .cmd = cmd, .limits = &job->limits,
	    .form = &job->form, .fmt = &job->shape.fmt, .abort_fd = w->sock,
	    .group = sh->group, .moved = &sh->moved, .stopped = &sh->stopped,
	    .clock = &job->shared->clock, .tick = harvest_tick,
	    .tick_arg = w, .counters = &w->counters };
	a->sink.fd = -1;
	a->envp = taskenv_set(&w->env, &who, split);
	a->dir = w->env.workdir;
	if (job->tag) {
		snprintf(tag, sizeof tag, "%s %lu: ", who.phase,
		    (unsigned long)t->task);
		a->tag = tag;
	}
	a->log = taskenv_log(&w->env, &who);
}

/* Ends an attempt: takes over what is to be told of it. */
bool
taskcmd_end(struct attempt *a, struct reply_msg *reply)
{
	if (a->log != -1)
		close(a->log);
	if (a->aborted)
		reply_orphaned();
	reply->stats = a->stats;
	reply->fail = a->fail;
	return a->fail.kind == FAIL_NONE;
}

/* The same for one whose MR_OUTPUT_DIR counts. */
bool
taskcmd_close(struct worker *w, struct attempt *a, const struct task_msg *t,
    struct reply_msg *reply)
{
	const struct task_name who = taskcmd_name(w, t);

	if (a->fail.kind == FAIL_NONE && !a->aborted &&
	    !taskenv_keep(&w->env, &who, &a->fail.text)) {
		a->fail.kind = FAIL_OUTPUT;
		a->fail.exit = EXIT_TASK;
		a->fail.final = true;
	}
	return taskcmd_end(a, reply);
}

/* Why a key cannot be in the environment, or NULL. */
static const char *
unfit_for_env(const unsigned char *key, size_t len)
{
	if (len > 0 && memchr(key, '\0', len) != NULL)
		return "holds a NUL byte";
	return len + sizeof "MR_KEY=" > KEY_MOST ? "is too long" : NULL;
}

static void
name_key(struct buf *b, const unsigned char *key, size_t len)
{
	buf_str(b, "key ");
	buf_escaped(b, key, len < 100 ? len : 100);
	if (len > 100)
		buf_str(b, "...");
}

/* Puts the present key where its command finds it.  False if it cannot be
 * there. */
static bool
place_key(struct worker *w, struct attempt *a, const struct perkey *k)
{
	size_t len;
	const unsigned char *key = perkey_key(k, &len);
	const char *unfit = w->job->key_on_stdin ? NULL :
	    unfit_for_env(key, len);

	if (unfit != NULL) {
		name_key(&a->fail.text, key, len);
		buf_printf(&a->fail.text, " %s: it cannot be in MR_KEY; "
		    "--key-on-stdin gives keys as first records", unfit);
		a->fail.kind = FAIL_INPUT;
		a->fail.exit = EXIT_TROUBLE;
		a->fail.final = true;
		return false;
	}
	a->envp = taskenv_key(&w->env, w->job->key_on_stdin ? NULL : key, len);
	return true;
}

/* --per-key: runs the command once for each key in the attempt's source,
 * which is text of the kind SOURCE_FILL. */
static void
run_each_key(struct worker *w, struct attempt *a)
{
	const struct format *fmt = &w->job->shape.fmt;
	struct perkey *k = perkey_new(fmt, &a->src, w->job->key_on_stdin);
	const unsigned char *key;
	size_t len;
	int got;

	a->src = (struct source){ .kind = SOURCE_FILL, .fill = perkey_fill,
	    .arg = k };
	while ((got = perkey_next(k, &a->fail.text)) > 0) {
		buf_free(&a->fail.tail);
		if (!place_key(w, a, k))
			break;
		attempt_run(a);
		if (a->fail.kind != FAIL_NONE || a->aborted) {
			buf_str(&a->fail.text, a->fail.kind == FAIL_INPUT ?
			    "; " : ", ");
			key = perkey_key(k, &len);
			name_key(&a->fail.text, key, len);
			break;
		}
		if (a->stats.partial)
			sink_put(&a->sink, &fmt->delim, 1);
		a->stats.partial = false;
	}
	if (got < 0) {
		a->fail.kind = FAIL_INPUT;
		a->fail.exit = EXIT_TROUBLE;
	}
	perkey_free(k);
}

/* Whether a task of that kind runs a command a key. */
bool
taskcmd_each_key(const struct job *job, uint32_t kind)
{
	return job->per_key && (kind == TASK_REDUCE || job->kind == JOB_MAP);
}

void
taskcmd_run(struct worker *w, struct attempt *a, uint32_t kind)
{
	if (!taskcmd_each_key(w->job, kind))
		attempt_run(a);
	else if (a->src.kind != SOURCE_EMPTY)
		run_each_key(w, a);
}
