/* opt.c - options, from one table a subcommand.
 *
 * The table gives the parser, --help, the completions and the test that
 * holds the manual to them, so these cannot disagree.  Long options may be
 * shortened as long as that is unambiguous.  Options may follow operands
 * (whatever POSIXLY_CORRECT says), except in subcommands that take a
 * command: there, the first operand ends them.  Every mistake is refused
 * with the word that was probably meant. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

const struct cmd *const *opt_commands;

enum { ID_HELP = -2 };
static const struct opt help_opt = { ID_HELP, 0, "help", NULL, NULL, 0 };

void
opt_begin(struct optscan *s, const struct cmd *c, int argc, char *argv[])
{
	*s = (struct optscan){ .cmd = c, .argv = argv, .argc = argc, .i = 1 };
	s->operands = xrealloc(NULL, (size_t)argc + 1, sizeof *s->operands);
}

/* How many bytes have to change to make a of b, more than 99 not counted. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[100], n = strlen(b);

	if (n >= sizeof row / sizeof *row)
		return 100;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (; *a != '\0'; a++) {
		size_t diagonal = row[0]++;

		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

/* The word of a list (which ends with NULL) that word was probably meant to
 * be, or NULL. */
const char *
nearest(const char *word, const char *const *words)
{
	size_t best = strlen(word) / 3 + 1;
	const char *found = NULL;

	for (; *words != NULL; words++) {
		size_t d = distance(word, *words);

		if (d < best || (d == best && found == NULL)) {
			best = d;
			found = *words;
		}
	}
	return found;
}

static const struct opt *
find_letter(const struct cmd *c, char letter)
{
	for (const struct opt *o = c->opts; o->id != 0; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

/* The option whose name begins with the len bytes at name.  An exact name
 * wins; names of one option are no ambiguity.  *more is set to a second
 * option that fits. */
static const struct opt *
find_name(const struct cmd *c, const char *name, size_t len,
    const struct opt **more)
{
	const struct opt *found = NULL;

	*more = NULL;
	for (const struct opt *o = c->opts; o->id != 0; o++) {
		if (o->name == NULL || strncmp(o->name, name, len) != 0)
			continue;
		if (o->name[len] == '\0') {
			*more = NULL;
			return o;
		}
		if (o->flags & OPT_HIDDEN)
			continue;	/* an alias is typed in full */
		if (found != NULL && found->id != o->id)
			*more = o;
		else
			found = o;
	}
	if (*more == NULL && found == NULL && len > 0 &&
	    strncmp("help", name, len) == 0)
		return &help_opt;
	return found;
}

/* The other subcommand that has this option, or NULL. */
static const char *
owner_of(const struct cmd *self, const char *name, size_t len, char letter)
{
	const struct opt *more;

	for (const struct cmd *const *c = opt_commands; *c != NULL; c++) {
		if (*c == self)
			continue;
		if (name != NULL) {
			const struct opt *o = find_name(*c, name, len, &more);

			if (o != NULL && o->name[len] == '\0')
				return (*c)->name;
		} else if (find_letter(*c, letter) != NULL) {
			return (*c)->name;
		}
	}
	return NULL;
}

static _Noreturn void
unknown_name(const struct cmd *c, const char *name, size_t len)
{
	const char *names[200], *meant, *owner;
	char *word = xasprintf("%.*s", (int)len, name);
	size_t n = 0;

	owner = owner_of(c, name, len, '\0');
	if (owner != NULL)
		refuse("--%s is an option of mr %s; see mr %s --help", word,
		    owner, c->name);
	for (const struct opt *o = c->opts; o->id != 0 && n < 199; o++)
		if (o->name != NULL)
			names[n++] = o->name;
	names[n] = NULL;
	meant = nearest(word, names);
	if (meant != NULL)
		refuse("--%s is no option; did you mean --%s?", word, meant);
	refuse("--%s is no option; see mr %s --help", word, c->name);
}

static _Noreturn void
unknown_letter(const struct cmd *c, char letter)
{
	const char *owner = owner_of(c, NULL, 0, letter);

	if (owner != NULL)
		refuse("-%c is an option of mr %s; see mr %s --help", letter,
		    owner, c->name);
	refuse("-%c is no option; see mr %s --help", letter, c->name);
}

/* The name of an option, also of one that was given as an alias of it. */
static const char *
name_of(const struct cmd *c, const struct opt *o)
{
	for (const struct opt *p = c->opts; p->id != 0; p++)
		if (p->id == o->id && p->name != NULL &&
		    (p->flags & OPT_HIDDEN) == 0)
			return p->name;
	return o->name;
}

/* Whether two words are the same option. */
bool
opt_same(const char *word, const char *other)
{
	size_t n = strcspn(word, "=");

	return n == strcspn(other, "=") && strncmp(word, other, n) == 0;
}

/* Whether some word of the list is the same option. */
bool
opt_among(char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (opt_same(words[i], word))
			return true;
	return false;
}

const struct cmd *
opt_command(const char *name)
{
	for (const struct cmd *const *c = opt_commands; *c != NULL; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

/* Packs the words of a command line, which are all --name or --name=value. */
void
opt_words_seal(struct buf *b, char *const *words, size_t n)
{
	seal_number(b, n);
	for (size_t i = 0; i < n; i++)
		seal_bytes(b, words[i], strlen(words[i]));
}

char **
opt_words_unseal(struct unseal *u, size_t *n)
{
	char **words;

	*n = (size_t)unseal_number(u, (uint64_t)(u->end - u->p));
	words = xzalloc(*n, sizeof *words);
	for (size_t i = 0; i < *n; i++) {
		words[i] = unseal_string(u);
		if (strncmp(words[i], "--", 2) != 0)
			u->bad = true;
	}
	return words;
}

/* The flags of an option that is given as --name=value; 0 if there is none
 * of that name. */
unsigned
opt_flags(const struct cmd *c, const char *word)
{
	const struct opt *o, *more;
	size_t len = strcspn(word + 2, "=");

	o = find_name(c, word + 2, len, &more);
	return o != NULL && o->name[len] == '\0' ? o->flags : 0;
}

static int
by_option(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	size_t n = strcspn(x, "="), m = strcspn(y, "=");
	int c = memcmp(x, y, n < m ? n : m);

	return c != 0 ? c : (n > m) - (n < m);
}

/* The options that matter, by name; those of one name in their order. */
static struct opt_words
pick(const struct cmd *c, bool (*matters)(unsigned), char *const *words,
    size_t n)
{
	struct opt_words w = { xzalloc(n, sizeof *w.v), 0, 0 };

	for (size_t i = 0; i < n; i++) {
		size_t at = w.n;

		if (!matters(opt_flags(c, words[i])))
			continue;
		for (; at > 0 && by_option(w.v + at - 1, words + i) > 0; at--)
			w.v[at] = w.v[at - 1];
		w.v[at] = words[i];
		w.n++;
	}
	return w;
}

/* Begins to compare the options of two command lines, by name, as far as
 * they matter, which their flags say. */
void
opt_diff_begin(struct opt_diff *d, const struct cmd *c,
    bool (*matters)(unsigned), char *const *a, size_t na, char *const *b,
    size_t nb)
{
	*d = (struct opt_diff){ .a = pick(c, matters, a, na),
	    .b = pick(c, matters, b, nb) };
}

/* Goes on to the next option that differs, or is only in one of them. */
bool
opt_diff_next(struct opt_diff *d)
{
	while (d->a.at < d->a.n || d->b.at < d->b.n) {
		const char *const *x = d->a.at < d->a.n ? d->a.v + d->a.at :
		    NULL;
		const char *const *y = d->b.at < d->b.n ? d->b.v + d->b.at :
		    NULL;
		int c = x == NULL ? 1 : y == NULL ? -1 : by_option(x, y);

		d->a.at += c <= 0;
		d->b.at += c >= 0;
		d->x = c <= 0 ? *x : NULL;
		d->y = c >= 0 ? *y : NULL;
		if (c != 0 || strcmp(*x, *y) != 0)
			return true;
	}
	return false;
}

void
opt_diff_end(struct opt_diff *d)
{
	free(d->a.v);
	free(d->b.v);
}

static int
give(struct optscan *s, const struct opt *o)
{
	if (o->id == ID_HELP) {
		opt_help(s->cmd, stdout);
		if (fflush(stdout) != 0 || ferror(stdout))
			die_errno("standard output");
		exit(EXIT_OK);
	}
	s->words = xrealloc(s->words, s->nwords + 1, sizeof *s->words);
	s->words[s->nwords++] = xasprintf("--%s%s%s", name_of(s->cmd, o),
	    s->value != NULL ? "=" : "", s->value != NULL ? s->value : "");
	return o->id;
}

static int
next_long(struct optscan *s, const char *arg)
{
	size_t len = strcspn(arg, "=");
	const struct opt *o, *more;

	o = find_name(s->cmd, arg, len, &more);
	if (o == NULL || (o->name[len] != '\0' && o->id != ID_HELP &&
	    owner_of(s->cmd, arg, len, '\0') != NULL))
		unknown_name(s->cmd, arg, len);
	if (more != NULL)
		refuse("--%.*s could be --%s or --%s", (int)len, arg, o->name,
		    more->name);
	snprintf(s->shown, sizeof s->shown, "--%s", o->name);
	s->value = NULL;
	if (arg[len] == '=') {
		if (o->arg == NULL)
			refuse("--%s takes no value", o->name);
		s->value = arg + len + 1;
	} else if (o->arg != NULL && (o->flags & OPT_OPTIONAL) == 0) {
		if (s->i == s->argc)
			refuse("--%s needs a value: %s", o->name, o->arg);
		s->value = s->argv[s->i++];
	}
	return give(s, o);
}

static int
next_letter(struct optscan *s)
{
	char letter = *s->cluster++;
	const struct opt *o = find_letter(s->cmd, letter);

	if (o == NULL && letter == 'h')
		o = &help_opt;
	if (o == NULL)
		unknown_letter(s->cmd, letter);
	snprintf(s->shown, sizeof s->shown, "-%c", letter);
	s->value = NULL;
	if (o->arg != NULL && (o->flags & OPT_OPTIONAL) == 0) {
		if (*s->cluster != '\0')
			s->value = s->cluster;
		else if (s->i < s->argc)
			s->value = s->argv[s->i++];
		else
			refuse("-%c needs a value: %s", letter, o->arg);
		s->cluster = NULL;
	} else if (*s->cluster == '\0') {
		s->cluster = NULL;
	}
	return give(s, o);
}

/* The id of the next option, or -1 when there is none; then the operands
 * are complete, and operands[noperands] is NULL. */
int
opt_next(struct optscan *s)
{
	if (s->cluster != NULL)
		return next_letter(s);
	while (s->i < s->argc) {
		const char *arg = s->argv[s->i];

		if (arg[0] != '-' || arg[1] == '\0') {
			if (s->cmd->command_operand)
				break;
			s->operands[s->noperands++] = s->argv[s->i++];
			continue;
		}
		s->i++;
		if (strcmp(arg, "--") == 0)
			break;
		if (arg[1] == '-')
			return next_long(s, arg + 2);
		s->cluster = arg + 1;
		return next_letter(s);
	}
	while (s->i < s->argc)
		s->operands[s->noperands++] = s->argv[s->i++];
	s->operands[s->noperands] = NULL;
	return -1;
}

/* An option as it stands in --help. */
static void
put_option(const struct opt *o, struct buf *b)
{
	if (o->letter != 0)
		buf_printf(b, "-%c%s", o->letter, o->name != NULL ? ", " : "");
	if (o->name != NULL)
		buf_printf(b, "--%s", o->name);
	if (o->arg != NULL)
		buf_printf(b, o->flags & OPT_OPTIONAL ? "[=%s]" : " %s",
		    o->arg);
}

void
opt_help(const struct cmd *c, FILE *fp)
{
	struct buf left = {0};

	fprintf(fp, "usage: mr %s %s\n", c->name, c->operands);
	if (c->summary != NULL)
		fprintf(fp, "%s\n", c->summary);
	for (const struct opt *o = c->opts; o->id != 0; o++) {
		if (o->help == NULL)
			continue;
		buf_printf(&left, "%s", left.len > 0 ? ", " : o->letter == 0 ?
		    "    " : "");
		put_option(o, &left);
		if (o->flags & OPT_JOINED)
			continue;
		fprintf(fp, "  %-27.*s %s%s\n", (int)left.len, left.p,
		    left.len > 27 ? " " : "", o->help);
		buf_reset(&left);
	}
	buf_free(&left);
	if (c->examples != NULL)
		fputs(c->examples, fp);
}

static void
complete_bash(FILE *fp)
{
	fprintf(fp, "_mr() {\n"
	    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	    "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='");
	for (const struct cmd *const *c = opt_commands; *c != NULL; c++)
		fprintf(fp, "%s ", (*c)->name);
	fprintf(fp, "help completion --help --version'\n\telse\n"
	    "\t\tcase ${COMP_WORDS[1]} in\n");
	for (const struct cmd *const *c = opt_commands; *c != NULL; c++) {
		fprintf(fp, "\t\t%s) words='", (*c)->name);
		for (const struct opt *o = (*c)->opts; o->id != 0; o++)
			if (o->name != NULL && o->help != NULL)
				fprintf(fp, "--%s ", o->name);
		fprintf(fp, "--help' ;;\n");
	}
	fprintf(fp, "\t\tcompletion) words='bash zsh' ;;\n\t\tesac\n"
	    "\t\tcase $cur in -*) ;; *) [ \"${COMP_WORDS[1]}\" = completion ] "
	    "|| words= ;; esac\n\tfi\n"
	    "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	    "}\ncomplete -o default -F _mr mr\n");
}

static void
complete_zsh(FILE *fp)
{
	fprintf(fp, "#compdef mr\n_mr() {\n\tif (( CURRENT == 2 )); then\n"
	    "\t\tcompadd --");
	for (const struct cmd *const *c = opt_commands; *c != NULL; c++)
		fprintf(fp, " %s", (*c)->name);
	fprintf(fp, " help completion --help --version\n\t\treturn\n\tfi\n"
	    "\tif [[ $PREFIX == -* ]]; then\n\t\tcase $words[2] in\n");
	for (const struct cmd *const *c = opt_commands; *c != NULL; c++) {
		fprintf(fp, "\t\t%s) compadd --", (*c)->name);
		for (const struct opt *o = (*c)->opts; o->id != 0; o++)
			if (o->name != NULL && o->help != NULL)
				fprintf(fp, " --%s", o->name);
		fprintf(fp, " --help ;;\n");
	}
	fprintf(fp, "\t\tesac\n\telif [[ $words[2] == completion ]]; then\n"
	    "\t\tcompadd -- bash zsh\n\telse\n\t\t_files\n\tfi\n}\n"
	    "if [ \"$funcstack[1]\" = _mr ]; then _mr \"$@\"; else compdef _mr mr; "
	    "fi\n");
}

/* Prints a script that teaches a shell our options. */
void
opt_completion(const char *shell, FILE *fp)
{
	if (strcmp(shell, "bash") == 0)
		complete_bash(fp);
	else if (strcmp(shell, "zsh") == 0)
		complete_zsh(fp);
	else
		refuse("completion for which shell? bash or zsh");
}

/* The last option's value as a size in bytes. */
uint64_t
opt_size(const struct optscan *s)
{
	uint64_t n;

	if (parse_size(s->value, &n) == -1)
		refuse("%s %s: not a size, such as 64K, 16M or 2G", s->shown,
		    s->value);
	return n;
}

uint64_t
opt_count(const struct optscan *s, uint64_t min, uint64_t max)
{
	uint64_t n;

	if (parse_number(s->value, &n) == -1)
		refuse("%s %s: not a number", s->shown, s->value);
	if (n < min || n > max)
		refuse("%s %s: must be %llu to %llu", s->shown, s->value,
		    (unsigned long long)min, (unsigned long long)max);
	return n;
}

/* Nanoseconds. */
int64_t
opt_duration(const struct optscan *s)
{
	int64_t ns;

	if (parse_duration(s->value, &ns) == -1)
		refuse("%s %s: not a duration, such as 30s, 10m or 1.5h",
		    s->shown, s->value);
	return ns;
}

/* Whether records are pairs. */
bool
opt_format(const struct optscan *s)
{
	if (strcmp(s->value, "rawbytes") == 0)
		return true;
	if (strcmp(s->value, "text") != 0)
		refuse("%s %s: must be text or rawbytes", s->shown, s->value);
	return false;
}

/* One byte; \t, \0 and \\ are understood. */
unsigned char
opt_byte(const struct optscan *s)
{
	const char *v = s->value;

	if (v[0] != '\0' && v[1] == '\0')
		return (unsigned char)v[0];
	if (v[0] == '\\' && v[1] != '\0' && v[2] == '\0')
		switch (v[1]) {
		case 't': return '\t';
		case '0': return '\0';
		case '\\': return '\\';
		}
	refuse("%s '%s': must be one byte", s->shown, v);
}
