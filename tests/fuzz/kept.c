/* kept.c - any file as the manifest of what --append keeps: it is refused, or
 * it is the same when it has been written and read again.  Whatever it knows
 * of the inputs that are here, what is new in them is in them, and not new
 * the next time.
 *
 * An input is a byte and a body, which is sealed here; or, if the byte is
 * odd, the whole file. */

#include "../../kept.c"
#include "fuzz.h"

static char *words[] = { "--reduce=cat", "--field-separator=," };
static const struct {
	const char *name, *lines;
	size_t n;		/* of them */
} inputs[] = {
	{ "log", "a line of the log\n", 80 },
	{ "log.1", "a line of the log\n", 79 },	/* a copy of its beginning */
	{ "other", "key\tvalue\n", 3 },
	{ "more", "key\tvalue\nand what is not complete", 1 },
	{ "empty", "", 0 },
};
enum { NINPUTS = sizeof inputs / sizeof *inputs };
static struct jobdir here;
static struct file files[NINPUTS];
static struct job job;

static void
write_input(size_t i, size_t n)
{
	struct buf b = {0};
	struct stat st;

	while (n-- > 0)
		buf_str(&b, inputs[i].lines);
	fuzz_write(inputs[i].name, b.p, b.len);
	buf_free(&b);
	if (stat(inputs[i].name, &st) == -1)
		abort();
	files[i] = (struct file){ .name = inputs[i].name,
	    .size = (uint64_t)st.st_size, .ino = st.st_ino,
	    .dev = st.st_dev };
}

void
fuzz_begin(void)
{
	static char path[] = ".";
	const struct format fmt = { .delim = '\n' };

	mkdir("tmp", 0700);
	here = (struct jobdir){ .path = path, .fd = open(path, O_RDONLY) };
	for (size_t i = 0; i < NINPUTS; i++)
		write_input(i, inputs[i].n);
	job = (struct job){ .form = form_of(&fmt),
	    .input = { .files = files, .n = NINPUTS } };
}

static struct kept
new_kept(void)
{
	return (struct kept){ .outpath = "out", .dir = here };
}

/* What the manifest with this state holds. */
static struct buf
body_of(const struct kept *k)
{
	struct buf b = {0};

	put_manifest(k, &here, k->runs, k->nruns);
	if (jobdir_get(&here, "manifest", &b, manifest_kind) != 1)
		abort();
	return b;
}

static void
seed(unsigned char how, const struct buf *body)
{
	struct buf b = {0};

	buf_put(&b, &how, 1);
	buf_put(&b, body->p, body->len);
	fuzz_seed(b.p, b.len);
	buf_free(&b);
}

/* One input after the other comes, of which there is more by now; and the
 * first of them is elsewhere. */
void
fuzz_seeds(void)
{
	struct kept k = new_kept();
	struct run runs[NINPUTS];
	struct buf b;

	k.known.key = digest_key();
	k.dir.map_key = UINT64_MAX;
	k.runs = runs;
	kept_compare(&k, &run_cmd, words, 2, 7);
	for (size_t n = 0; n <= NINPUTS; n++) {
		job.input.n = n;
		if (n > 0) {
			write_input(n - 1, (inputs[n - 1].n + 1) / 2);
			runs[n - 1].seq = k.next++;
		}
		known_find(&job, &k.known, "out", &k.news);
		if (n == NINPUTS)
			k.known.v[0].name = xstrdup("/moved");
		k.nruns = n;
		b = body_of(&k);
		seed(0, &b);
	}
	seal(&b, 0, manifest_kind);
	seed(1, &b);
	k.words = (char *[]){ "-" };	/* is no option */
	k.nwords = 1;
	b = body_of(&k);
	seed(0, &b);
}

/* It is not longer than what it was read from.  Returns it as it is now. */
static struct kept
written(const struct kept *k, size_t len)
{
	struct kept again = new_kept();
	struct buf b, c;

	b = body_of(k);
	fuzz_check(b.len <= len);
	fuzz_check(get_manifest(&again));
	c = body_of(&again);
	fuzz_check(b.len == c.len && memcmp(b.p, c.p, b.len) == 0);
	return again;
}

static void
check_news(const struct kept *k)
{
	for (size_t i = 0; i < k->news.n; i++) {
		const struct piece *p = k->news.v + i;

		fuzz_check(p->from < p->end && p->end <= p->file.size);
		fuzz_check(p->all == (p->end == p->file.size));
		fuzz_check(known_is_same(&job, &k->known, p));
	}
}

void
fuzz_one(const unsigned char *data, size_t len)
{
	struct kept k = new_kept(), again;
	struct buf b = {0};

	if (len == 0)
		return;
	buf_put(&b, data + 1, len - 1);
	if (data[0] & 1)
		fuzz_write("manifest", b.p, b.len);
	else
		jobdir_put(&here, "manifest", &b, manifest_kind, true);
	if (!get_manifest(&k))
		return;
	fuzz_is_right = true;
	again = written(&k, len);
	fuzz_is_right = false;	/* an input may be another one */
	known_find(&job, &k.known, "out", &k.news);
	check_news(&k);
	fuzz_is_right = true;
	again = written(&k, SIZE_MAX);
	known_find(&job, &again.known, "out", &again.news);
	fuzz_check(again.news.n == 0);
	fuzz_is_right = false;
	kept_compare(&again, &run_cmd, words, 2, 7);
}
