/* cuts.c - any body as the cut points of a job: they are thrown away, or are
 * the same when they have been recorded and taken again. */

#include <sys/stat.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

static struct jobdir dir;
static struct job job = { .jobdir = &dir };

void
fuzz_begin(void)
{
	static char here[] = ".";

	mkdir("tmp", 0700);
	dir = (struct jobdir){ .path = here, .map_key = 5,
	    .reduce_key = 6, .fd = open(here, O_RDONLY) };
}

void
fuzz_seeds(void)
{
	static const struct { const char *lo, *hi; } some[] = {
		{ NULL, "a" }, { "a", "a longer key" },
		{ "a longer key", "" }, { "", NULL },
	};
	struct bounds cuts[4];
	struct driver d = { .job = &job, .cuts = cuts };
	struct buf b = {0};

	for (d.nparts = 1; d.nparts <= 4; d.nparts++) {
		for (size_t i = 0; i < 4; i++)
			cuts[i] = (struct bounds){ (const void *)some[i].lo,
			    (const void *)some[i].hi,
			    some[i].lo == NULL ? 0 : strlen(some[i].lo),
			    some[i].hi == NULL ? 0 : strlen(some[i].hi) };
		unlink("cuts");
		d.cuts = xzalloc(4, sizeof *d.cuts);
		memcpy(d.cuts, cuts, sizeof cuts);
		jobstate_put_cuts(&d);
		if (jobdir_get(&dir, "cuts", &b, jobplan_cuts_kind) != 1)
			return;
		fuzz_seed(b.p, b.len);
	}
}

static void
check_same(const unsigned char *a, size_t alen, const unsigned char *b,
    size_t blen)
{
	fuzz_check((a == NULL) == (b == NULL));
	fuzz_check(a == NULL || key_compare(a, alen, b, blen) == 0);
}

void
fuzz_one(const unsigned char *data, size_t len)
{
	struct driver d = { .job = &job }, again = { .job = &job };
	struct buf b = {0};
	bool known;
	uint64_t n;

	buf_put(&b, data, len);
	jobdir_put(&dir, "cuts", &b, jobplan_cuts_kind, true);
	n = jobplan_parts(&dir, &known);
	if (!jobstate_cuts(&d))
		return;
	fuzz_check(known && n == d.nparts && n > 0);
	unlink("cuts");
	again.nparts = d.nparts;
	again.cuts = xzalloc(d.nparts, sizeof *d.cuts);
	memcpy(again.cuts, d.cuts, d.nparts * sizeof *d.cuts);
	jobstate_put_cuts(&again);
	fuzz_check(again.nparts == d.nparts);
	for (size_t i = 0; i < d.nparts; i++) {
		check_same(d.cuts[i].lo, d.cuts[i].lolen, again.cuts[i].lo,
		    again.cuts[i].lolen);
		check_same(d.cuts[i].hi, d.cuts[i].hilen, again.cuts[i].hi,
		    again.cuts[i].hilen);
	}
}
