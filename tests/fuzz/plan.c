/* plan.c - any file as the plan of a job: it is refused, or it is a plan that
 * is the same when it has been written and read again, and in which files
 * that have changed can be cut anew.
 *
 * An input is a byte and a body, which is sealed here; or, if the byte is
 * odd, the whole file. */

#include "../../jobplan.c"
#include "fuzz.h"

static struct jobdir here;

void
fuzz_begin(void)
{
	static char path[] = ".";

	mkdir("tmp", 0700);
	here = (struct jobdir){ .path = path, .fd = open(path, O_RDONLY) };
}

static void
body_of_plan(struct buf *b)
{
	struct buf was = {0};

	if (jobdir_get(&here, "plan", &was, plan_kind) != 1)
		abort();
	buf_reset(b);
	buf_put(b, "", 1);
	buf_put(b, was.p, was.len);
	buf_free(&was);
}

void
fuzz_seeds(void)
{
	static char *words[] = { "--map=cat", "--reduce=sort -n", "--sample=9" };
	static struct file files[] = {
		{ .name = "one", .size = 5000, .ino = 77, .mtime_ns = 1234567 },
		{ .name = "two", .path = "input/1", .size = 10, .copied = 10 },
		{ .name = "-", .path = "input/2", .codec = 1 },
	};
	static struct split splits[] = {
		{ .file = 0, .nfiles = 1, .len = 2500 },
		{ .file = 0, .nfiles = 1, .off = 2500, .len = 2500, .exact = 1 },
		{ .file = 1, .nfiles = 2, .len = 10, .whole = 1 },
		{ .len = 40, .head = 3, .generated = 1 },
	};
	struct jobplan p = { .id = "job-1", .cwd = "/tmp", .map_key = 1,
	    .reduce_key = UINT64_MAX, .block = 65536, .sorts = true,
	    .words = words, .files = files, .splits = splits };
	struct buf b = {0};

	for (size_t i = 1; i <= 4; i++) {
		p.nwords = p.nfiles = i < 3 ? i : 3;
		p.nsplits = i;
		write_plan(&here, &p);
		body_of_plan(&b);
		fuzz_seed(b.p, b.len);
	}
	b.p[0] = 1;
	fuzz_seed(b.p, b.len);
}

void
fuzz_one(const unsigned char *data, size_t len)
{
	struct jobplan p, again;
	struct buf b = {0}, c = {0};
	bool *done;

	if (len == 0)
		return;
	buf_put(&b, data + 1, len - 1);
	if (data[0] & 1)
		fuzz_write("plan", b.p, b.len);
	else
		jobdir_put(&here, "plan", &b, plan_kind, true);
	jobplan_read(&here, &p);
	fuzz_is_right = true;
	write_plan(&here, &p);
	body_of_plan(&b);
	fuzz_check(jobplan_read(&here, &again));
	write_plan(&here, &again);
	body_of_plan(&c);
	fuzz_check(b.len == c.len && memcmp(b.p, c.p, b.len) == 0);
	fuzz_is_right = false;	/* it may be too much of a change */
	done = xzalloc(p.nsplits, 1);
	for (size_t i = 0; i < p.nfiles; i++) {
		p.files[i].size /= 2;
		cut_again(&here, &p, i, done);
	}
}
