/* harness.c - one input of a fuzz target after the other, in one process.
 *
 * mr ends where it finds that something is wrong.  Here, that ends the input:
 * _exit and exit are wrapped and go back to the harness, which then frees
 * what memory was asked for meanwhile and closes what was opened.  So a
 * refusal is a good end, and what remains are crashes, reports of the
 * sanitizers, and what fuzz_check finds to be untrue.
 *
 * Targets work in the working directory.  With FUZZ_SEEDS=DIR one writes the
 * inputs to begin with there, and is done. */

#include <sys/stat.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
const char *__asan_default_options(void);
_Noreturn void __real_exit(int);
_Noreturn void __wrap_exit(int);
_Noreturn void __real__exit(int);
_Noreturn void __wrap__exit(int);
void *__real_malloc(size_t);
void *__wrap_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_realloc(void *, size_t);
void __real_free(void *);
void __wrap_free(void *);

/* Set by a target whose code keeps memory from one input for the next. */
bool fuzz_keeps_memory;
/* Set for an input from where on nothing of it may be refused. */
bool fuzz_is_right;

static jmp_buf back;
static bool inside;
static int first_fd;		/* that an input may open */
static void *live[1 << 20];	/* what an input has asked for */
static size_t nlive;

/* A request for much memory fails, as it may anywhere. */
const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=64:"
	    "detect_leaks=0";
}

static _Noreturn void
end_input(void)
{
	if (fuzz_is_right)
		abort();
	longjmp(back, 1);
}

_Noreturn void
__wrap_exit(int status)
{
	if (inside)
		end_input();
	__real_exit(status);
}

_Noreturn void
__wrap__exit(int status)
{
	if (inside)
		end_input();
	__real__exit(status);
}

static void *
note(void *p)
{
	if (inside && !fuzz_keeps_memory && p != NULL &&
	    nlive < sizeof live / sizeof *live)
		live[nlive++] = p;
	return p;
}

static void
forget(const void *p)
{
	for (size_t i = nlive; i > 0; i--)
		if (live[i - 1] == p) {
			live[i - 1] = live[--nlive];
			return;
		}
}

void *
__wrap_malloc(size_t n)
{
	return note(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return note(__real_calloc(n, size));
}

void *
__wrap_realloc(void *p, size_t n)
{
	void *q = __real_realloc(p, n);

	if (q != NULL) {
		forget(p);
		note(q);
	}
	return q;
}

void
__wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

/* Ends the target, and so the run, when something is not as it must be. */
void
fuzz_check(bool holds)
{
	if (!holds)
		abort();
}

/* Looks at each byte, so that the sanitizers do. */
void
fuzz_use(const void *data, size_t len)
{
	const volatile unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		(void)p[i];
}

void
fuzz_write(const char *name, const void *p, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd == -1 || write_full(fd, p, len) == -1)
		abort();
	close(fd);
}

void
fuzz_seed(const void *p, size_t len)
{
	static unsigned n;
	char *name = xasprintf("%s/%u", getenv("FUZZ_SEEDS"), n++);

	fuzz_write(name, p, len);
	free(name);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fuzz_begin();
	if (getenv("FUZZ_SEEDS") != NULL) {
		fuzz_seeds();
		__real_exit(0);
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	if (first_fd == 0) {
		first_fd = dup(STDIN_FILENO);
		close(first_fd);
	}
	inside = true;
	fuzz_is_right = false;
	diag_at_death = NULL;
	if (setjmp(back) == 0)
		fuzz_one(p, len);
	inside = false;
	while (nlive > 0)
		__real_free(live[--nlive]);
	for (int fd = first_fd; fd < first_fd + 16; fd++)
		close(fd);
	return 0;
}
