/* ship.c - what tasks are given by name: with --ship they run in a directory
 * of their own that holds links to these files and nothing else, so that a
 * command finds what it was given and cannot come to need anything more.
 *
 * There is one list in a process; it is complete before any work starts. */

#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static struct shipped {
	char *name, *path;	/* the path is absolute */
} *list;
static size_t n;

bool
ship_any(void)
{
	return n > 0;
}

/* Takes "PATH" or "PATH=NAME". */
void
ship_add(const char *arg)
{
	const char *eq = strrchr(arg, '=');
	char *path = xasprintf("%.*s", (int)(eq != NULL ? eq - arg :
	    (ptrdiff_t)strlen(arg)), arg);
	size_t len = strlen(path);
	const char *name;
	struct stat st;

	if (stat(path, &st) == -1)
		refuse("--ship %s: %s: %s", arg, path, strerror(errno));
	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	name = eq != NULL ? eq + 1 : strrchr(path, '/') != NULL ?
	    strrchr(path, '/') + 1 : path;
	if (name[0] == '\0' || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		refuse("--ship %s: '%s' cannot be the name of a file; "
		    "--ship PATH=NAME", arg, name);
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			refuse("--ship %s: the name %s is taken by %s", arg,
			    name, list[i].path);
	list = xrealloc(list, n + 1, sizeof *list);
	list[n++] = (struct shipped){ xstrdup(name), path_absolute(path) };
	free(path);
}

/* What a relative path of a task is.  NULL if it was not shipped; else the
 * caller's to free. */
char *
ship_path(const char *path)
{
	size_t len;

	while (strncmp(path, "./", 2) == 0)
		path += 2 + strspn(path + 2, "/");
	len = strcspn(path, "/");
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i].name) == len &&
		    memcmp(list[i].name, path, len) == 0)
			return xasprintf("%s%s", list[i].path, path + len);
	return NULL;
}

/* Puts the links into a directory, which is empty. */
void
ship_links(const char *dir)
{
	for (size_t i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", dir, list[i].name);

		if (symlink(list[i].path, path) == -1)
			die_errno("%s", path);
		free(path);
	}
}
