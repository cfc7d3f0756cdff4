/* queue.c - a job that an engine, a queueing system, runs for us.
 *
 * It is all submitted at once, whatever the number of tasks:
 *
 *	map		an array; each element runs neighbouring tasks
 *	map-sweep	an array; runs what has no commit: usually nothing
 *	reduce, reduce-sweep	the same, if there are reduce tasks
 *	verdict		what mr resume does, on one node
 *
 * Each begins when the one before is over, however it has ended: what tasks
 * have committed is the truth, and the queue only what makes it come true.
 * So an element that is lost, repeated, or still there twice does no harm.
 * A task that has failed for good leaves that in the job directory (failed),
 * and every element looks there before each task.
 *
 * Here: which jobs those are (the file queue), whether there are any, and
 * the user's options for them.  submit.c makes them, follow.c waits for them
 * and element.c is what they run. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static const char queue_kind[8] = "mrqueue\n";

static const struct engine *const engines[] = { &slurm_engine };

/* NULL if there is none of that name. */
const struct engine *
queue_engine(const char *name)
{
	for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}

/* ---- the file */

void
queue_write(const struct jobdir *dir, const struct queue *q)
{
	struct buf b = {0};

	seal_bytes(&b, q->engine->name, strlen(q->engine->name));
	seal_number(&b, q->begun);
	seal_number(&b, q->after);
	seal_number(&b, q->n);
	for (size_t i = 0; i < q->n; i++)
		seal_bytes(&b, q->ids[i], strlen(q->ids[i]));
	jobdir_put(dir, "queue", &b, queue_kind, true);
	buf_free(&b);
}

/* False if no engine has been given the job. */
bool
queue_read(const struct jobdir *dir, struct queue *q)
{
	struct buf b = {0};
	struct unseal u;
	int got = jobdir_get(dir, "queue", &b, queue_kind);
	char *name;

	*q = (struct queue){0};
	if (got != 1)
		return false;
	u = (struct unseal){ b.p, b.p + b.len, false };
	name = unseal_string(&u);
	q->begun = unseal_number(&u, UINT64_MAX);
	q->after = unseal_number(&u, 1) != 0;
	q->n = (size_t)unseal_number(&u, QUEUE_JOBS);
	for (size_t i = 0; i < q->n && !u.bad; i++)
		q->ids[i] = unseal_string(&u);
	if (!u.bad)
		q->engine = queue_engine(name);
	free(name);
	buf_free(&b);
	return q->engine != NULL;
}

/* How far the job is.  With a verdict it is over, whatever is still on its
 * way out of the queue. */
enum engine_state
queue_state(const struct jobdir *dir, const struct queue *q)
{
	char *why = NULL;
	enum engine_state state;

	if (jobdir_verdict(dir) != -1)
		return ENGINE_GONE;
	state = q->engine->state(q->ids, q->n, &why);
	free(why);
	return state;
}

/* Takes all of it out of the queue, and what is there of it that nobody has
 * noted. */
void
queue_cancel(const struct jobdir *dir, const struct queue *q)
{
	char *script = xasprintf("%s/engine/element", dir->path);
	char **ids, *why = NULL;
	size_t n;

	if (q->n > 0 && q->engine->cancel(q->ids, q->n, &why) == -1)
		say("%s", why);
	n = q->engine->find(script, &ids);
	if (n > 0)
		q->engine->cancel(ids, n, &why);
	free(script);
}

/* ---- the user's options */

/* The next word of a text, as the shell splits, but nothing is substituted.
 * NULL at the end. */
static char *
next_word(const char **text)
{
	const char *p = *text + strspn(*text, " \t\n");
	struct buf b = {0};
	char quote = '\0';

	if (*p == '\0')
		return NULL;
	for (; *p != '\0' && (quote != '\0' || strchr(" \t\n", *p) == NULL);
	    p++) {
		if (*p == quote) {
			quote = '\0';
		} else if (quote == '\0' && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else {
			if (*p == '\\' && quote != '\'' && p[1] != '\0' &&
			    (quote == '\0' || strchr("\"\\$`", p[1]) != NULL))
				p++;
			buf_put(&b, p, 1);
		}
	}
	if (quote != '\0')
		refuse("a quote is not closed: %s", *text);
	*text = p;
	buf_put(&b, "", 1);
	return (char *)b.p;
}

/* Whether it is one of ours, a long one maybe shortened. */
static bool
is_ours(const char *word, const char *ours)
{
	size_t n = strcspn(word, "=");

	if (ours[1] != '-')
		return word[0] == '-' && word[1] == ours[1];
	return n > 3 && strncmp(word, ours, n) == 0;
}

/* The words of options that are for the engine's submitter. */
char **
queue_options(const struct engine *e, const char *text, size_t *n)
{
	const char *rest = text;
	char **words = NULL, *word;
	bool value = false;	/* the word may be one */

	for (*n = 0; (word = next_word(&rest)) != NULL; ) {
		for (const char *const *o = e->options; *o != NULL; o++)
			if (is_ours(word, *o))
				refuse("--%s '%s': %s is mr's to give",
				    e->submitter, text, *o);
		if ((word[0] != '-' && !value) || strcmp(word, "--") == 0)
			refuse("--%s '%s': %s is no option", e->submitter,
			    text, word);
		value = word[0] == '-' && strchr(word, '=') == NULL;
		words = xrealloc(words, *n + 1, sizeof *words);
		words[(*n)++] = word;
	}
	return words;
}
