/* fuzz.h - what the fuzz targets share; see harness.c. */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../mr.h"

/* Each target has these: before the first input, for each, and to write the
 * inputs to begin with. */
void fuzz_begin(void);
void fuzz_one(const unsigned char *, size_t);
void fuzz_seeds(void);

void fuzz_seed(const void *, size_t);
#define FUZZ_SEED(s) fuzz_seed(s, sizeof s - 1)	/* a string, with NULs */
void fuzz_check(bool);
void fuzz_use(const void *, size_t);
void fuzz_write(const char *name, const void *, size_t);
extern bool fuzz_keeps_memory, fuzz_is_right;

#endif
