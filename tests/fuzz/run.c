/* run.c - any file as what a map task has committed: the runs in it are
 * merged and printed, or are found to be damaged.
 *
 * An input is the length of a body in two bytes, the body of the file
 * without what it begins with (the keys and the task) and its checksums at
 * the end, and the data.  Both are put in, so that what is read is what
 * stands behind them. */

#include <sys/stat.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { PREFIX = 3, STEPS = 20000 };

static const char kind[8] = "mrmap02\n";
static struct jobdir dir;

void
fuzz_begin(void)
{
	static char here[] = ".";

	mkdir("map", 0700);
	dir = (struct jobdir){ .path = here, .waiting_most = 2,
	    .fd = open(here, O_RDONLY) };
}

/* Writes a run with so many keys, of every form that there is. */
static void
write_run(struct store *s, size_t nkeys, struct run *run)
{
	const struct format fmt = { .delim = '\n', .sep = '\t', .fields = 1 };
	struct run_writer *w = runw_new(s, 0, NULL, &fmt);
	static unsigned char big[150];	/* too long to be counted */

	runw_begin(w, 100);
	for (size_t i = 0; i < nkeys; i++) {
		unsigned char key[] = { 'k', (unsigned char)('a' + i / 26),
		    (unsigned char)('a' + i % 26) };

		if (i % 3 == 0) {
			runw_single(w, key, 3, 3, 5, key, 2, i % 2);
			continue;
		}
		runw_key(w, key, 3, 3, 5);
		for (size_t j = 0; j < i % 5; j++)
			runw_item(w, key, j, j == 0, j / 2 + 1);
		if (i % 7 == 1)
			runw_item(w, big, sizeof big, false, 1);
		runw_item(w, key, 1, false, 2);
	}
	runw_end(w, run);
	runw_free(w);
}

static void
seed(size_t nruns, size_t nkeys)
{
	struct run runs[4];
	struct commit c = { .runs = runs, .nruns = nruns, .attempt = 1,
	    .split = 9, .records = 3 };
	struct draft d;
	struct store s;
	struct buf body = {0}, out = {0};
	uint64_t data;
	int fd;

	unlink("map/000000");
	if (draft_open(&d, dir.fd) == -1)
		return;
	s = (struct store){ .mem = -1, .disk = d.fd, .dir = ".",
	    .synced = UINT64_MAX };
	for (size_t i = 0; i < nruns; i++)
		write_run(&s, nkeys + i, runs + i);
	c.data = s.disklen;
	commit_put(&dir, &d, &c);
	commit_sync(&dir);
	fd = open("map/000000", O_RDONLY);
	if (seal_read(fd, kind, &body, &data) == -1)
		return;
	body.len -= 4 * (size_t)((data + SUM_EVERY - 1) / SUM_EVERY) + PREFIX;
	buf_put(&out, (unsigned char[]){ (unsigned char)(body.len >> 8),
	    (unsigned char)body.len }, 2);
	buf_put(&out, body.p + PREFIX, body.len);
	buf_reserve(&out, (size_t)data);
	if (pread_full(fd, out.p + out.len, (size_t)data, 0) == (ssize_t)data)
		fuzz_seed(out.p, out.len + (size_t)data);
	close(fd);
}

void
fuzz_seeds(void)
{
	seed(1, 3);
	seed(1, 8);
	seed(2, 4);
	seed(3, 20);
}

static void
write_file(const unsigned char *body, size_t blen, const unsigned char *data,
    size_t len)
{
	struct buf b = {0}, file = {0};
	unsigned char be[4];

	buf_put(&b, "\0\0\0", PREFIX);
	buf_put(&b, body, blen);
	for (size_t off = 0; off < len; off += SUM_EVERY) {
		store_be32(be, checksum(0, data + off,
		    len - off < SUM_EVERY ? len - off : SUM_EVERY));
		buf_put(&b, be, 4);
	}
	seal(&b, len, kind);
	buf_put(&file, data, len);
	buf_put(&file, b.p, b.len);
	fuzz_write("map/000000", file.p, file.len);
}

static void
merge_all(const struct merge_input *in, size_t n, const struct bounds *bounds)
{
	struct merge *m = merge_new(in, n, bounds, 1, NULL);
	const unsigned char *p;
	struct item it;
	size_t len, steps = 0;

	while (merge_group(m) && steps++ < STEPS) {
		p = merge_key(m, &len);
		fuzz_use(p, len);
		while (steps++ < STEPS && merge_item(m, &it)) {
			fuzz_use(it.p, it.n);
			while ((len = merge_piece(m, &p)) > 0)
				fuzz_use(p, len);
		}
	}
	merge_free(m);
}

static void
replay_all(const struct merge_input *in, size_t n)
{
	const struct shape shape = { .fmt = { .delim = '\n', .sep = '\t',
	    .fields = 1 } };
	struct merge *m = merge_new(in, n, NULL, 1, NULL);
	struct replay *r = replay_new(m, &shape, false);
	unsigned char out[3000];
	struct buf hot = {0};
	size_t got;

	for (int i = 0; i < 100 && (got = replay_fill(r, out, sizeof out)) > 0;
	    i++)
		fuzz_use(out, got);
	replay_hot(r, &hot);
	fuzz_use(hot.p, hot.len);
	replay_free(r);
	merge_free(m);
}

void
fuzz_one(const unsigned char *p, size_t len)
{
	size_t blen = len < 2 ? 0 : (size_t)p[0] << 8 | p[1];
	struct merge_input in[8];
	struct run_index ix;
	struct store s = { .mem = -1, .disk = -1 };
	struct bounds bounds = { (const void *)"kab", (const void *)"kb", 3, 2 };
	struct commit c;
	size_t n = 0;

	if (len < 2 || blen > len - 2)
		return;
	write_file(p + 2, blen, p + 2 + blen, len - 2 - blen);
	s.disk = commit_read(&dir, false, 0, &c);
	if (s.disk < 0)
		return;
	fuzz_check(commit_is_sound(s.disk, &c));
	close(s.disk);
	s.disk = -1;
	commit_open(&dir, &s, false, 0);
	for (; n < c.nruns && n < 8; n++) {
		struct run *r = c.runs + n;

		r->at.store = 0;
		run_index_read(&s, r, &ix);
		in[n] = (struct merge_input){ &s, r, 0, r->data };
		if (ix.n > 1)
			in[n].begin = ix.off[1];
		if (ix.n > 2)
			in[n].end = ix.off[2];
		run_index_find(&ix, "kb", 2);
	}
	merge_all(in, n, NULL);
	merge_all(in, n, &bounds);
	replay_all(in, n);
}
