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

/* "slurm", or more of them: for messages. */
const char *
queue_names(void)
{
	struct buf b = {0};

	for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
		buf_printf(&b, "%s%s", i > 0 ? "|" : "", engines[i]->name);
	buf_put(&b, "", 1);
	return (const char *)b.p;
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

/* What the engine knows of an option, a long one maybe shortened: NULL if it
 * is the user's and may take a value. */
static const struct engine_option *
known_option(const struct engine *e, const char *word)
{
	size_t n = strcspn(word, "=");

	for (const struct engine_option *o = e->options; o->name != NULL; o++)
		if (word[1] != '-' ? o->name[1] == word[1] :
		    n > 3 && strncmp(word, o->name, n) == 0)
			return o;
	return NULL;
}

struct options {
	const struct engine *engine;
	const char *text;	/* as the user gave them */
	char **words;
	size_t n;
	bool hold, value;	/* value: the next word may be one */
};

static void
add_word(struct options *o, char *word)
{
	o->words = xrealloc(o->words, o->n + 1, sizeof *o->words);
	o->words[o->n++] = word;
}

/* Takes a word that is one option, or some of a letter each. */
static void
take_option(struct options *o, char *word)
{
	bool is_long = word[1] == '-';
	const struct engine_option *k = known_option(o->engine, word);

	if (k != NULL && k->kind == ENGINE_OURS)
		refuse("--%s '%s': %s is mr's to give", o->engine->submitter,
		    o->text, k->name);
	o->value = k == NULL && (is_long ? strchr(word, '=') == NULL :
	    word[2] == '\0');
	if (k == NULL || is_long || word[2] == '\0') {
		if (k != NULL && k->kind == ENGINE_HOLD)
			o->hold = true;
		else
			add_word(o, word);
		return;
	}
	take_option(o, xasprintf("-%c", word[1]));
	take_option(o, xasprintf("-%s", word + 2));
}

/* The words of options that are for the engine's submitter.  That a job is
 * to be held is told apart: it is for the first one only. */
char **
queue_options(const struct engine *e, const char *text, size_t *n, bool *hold)
{
	struct options o = { .engine = e, .text = text };
	const char *rest = text;
	char *word;

	while ((word = next_word(&rest)) != NULL) {
		if (word[0] == '-' && word[1] != '\0' &&
		    strcmp(word, "--") != 0) {
			take_option(&o, word);
			continue;
		}
		if (!o.value || strcmp(word, "--") == 0)
			refuse("--%s '%s': %s is no option", e->submitter,
			    text, word);
		add_word(&o, word);
		o.value = false;
	}
	*n = o.n;
	*hold = o.hold;
	return o.words;
}
