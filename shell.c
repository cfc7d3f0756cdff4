/* shell.c - command lines for the shell, and when it is not needed: a line that
 * the shell would only split into words, to run the first of them, is run
 * without it.  That is a process less for each task.  Should that fail the
 * shell has it after all, and says what is wrong.
 *
 * MR_DEBUG=shell gives it all lines. */

#include <stdlib.h>
#include <string.h>

#include "mr.h"

/* What is done by the shell itself, by one shell or another. */
static bool
shell_does(const char *word)
{
	static const char *const own[] = { "!", ".", ":", "[", "alias", "bg",
	    "bind", "break", "builtin", "caller", "case", "cd", "chdir",
	    "command", "compgen", "complete", "compopt", "continue", "coproc",
	    "declare", "dirs", "disown", "do", "done", "echo", "elif", "else",
	    "enable", "esac", "eval", "exec", "exit", "export", "false", "fc",
	    "fg", "fi", "for", "function", "getopts", "hash", "help",
	    "history", "if", "in",
	    "jobs", "kill", "let", "local", "logout", "mapfile", "popd",
	    "print", "printf", "pushd", "pwd", "read", "readarray", "readonly",
	    "return", "select", "set", "shift", "shopt", "source", "suspend",
	    "test", "then", "time", "times", "trap", "true", "type", "typeset",
	    "ulimit", "umask", "unalias", "unset", "until", "wait", "whence",
	    "while" };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strcmp(word, own[i]) == 0)
			return true;
	return false;
}

/* Appends one word of the line to *out, ended by NUL.  Returns what stands
 * behind it, or NULL if there is more in it than a word. */
static const char *
take_word(const char *p, char **out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-,:@%=";

	while (*p != '\0' && *p != ' ' && *p != '\t') {
		bool quoted = *p == '\'' || *p == '"';
		size_t n = quoted ? strcspn(p + 1, *p == '"' ? "\"$`\\" : "'") :
		    strspn(p, plain);

		if (quoted ? p[n + 1] != *p : n == 0)
			return NULL;
		memcpy(*out, p + quoted, n);
		*out += n;
		p += n + 2 * quoted;
	}
	*(*out)++ = '\0';
	return p;
}

/* The words of a line if it is nothing but words, or NULL. */
static char **
plain_words(const char *line)
{
	size_t len = strlen(line), n = 0;
	char **words = xzalloc(len / 2 + 2, sizeof *words);
	char *text = xrealloc(NULL, len + 1, 1), *out = text;
	const char *p = line + strspn(line, " \t");

	while (p != NULL && *p != '\0') {
		words[n++] = out;
		p = take_word(p, &out);
		if (p != NULL)
			p += strspn(p, " \t");
	}
	if (p != NULL && n > 0 && *words[0] != '\0' &&
	    strchr("-+%", *words[0]) == NULL &&
	    strchr(words[0], '=') == NULL && !shell_does(words[0]))
		return words;
	free(words);
	free(text);
	return NULL;
}

/* A command that is one string, run by the shell. */
void
shell_command(struct command *c, const char *line)
{
	c->argv = xzalloc(4, sizeof *c->argv);
	c->argv[0] = xstrdup("/bin/sh");
	c->argv[1] = xstrdup("-c");
	c->argv[2] = xstrdup(line);
	c->words = debug_word("shell") ? NULL : plain_words(line);
	c->shown = line;
}
