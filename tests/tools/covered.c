/* covered.c - writes down what has been executed where a program that is
 * built with --coverage ends without exit(3): linked to it, with
 * --wrap=_exit and --wrap=proc_end_by. */

#include <stdlib.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int);
_Noreturn void __wrap__exit(int);
_Noreturn void __real_proc_end_by(int);
_Noreturn void __wrap_proc_end_by(int);

/* 127 is the child of a vfork that could not execute its program: what it
 * has counted, its parent has counted. */
_Noreturn void
__wrap__exit(int status)
{
	if (status != 127)
		__gcov_dump();
	__real__exit(status);
}

_Noreturn void
__wrap_proc_end_by(int sig)
{
	__gcov_dump();
	__real_proc_end_by(sig);
}
