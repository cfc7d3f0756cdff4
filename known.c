/* known.c - which inputs are known by their content, and what follows in
 * them.
 *
 * An input is its content, whatever it is called and however it is
 * compressed.  What was taken of one is known by its length and a digest, so
 * a file that begins with just that is this input, and only what follows,
 * up to the last complete record, is new.  A file that has nothing but what
 * another named file holds too, or the beginning of it, is a copy: while
 * logs are rotated there may be two of one for a moment.
 *
 * Files are matched in this order: with the input that had the same name,
 * inode, size and times, without being read; with one that begins as it was
 * taken, and had the same inode or at least the same name; copies; with any
 * other that begins so, the longest.  The rest is new.
 *
 * Digests of the first 512 bytes, of 1024 and so on tell files apart that only
 * begin alike, so that none is read again that is no copy. */

#define _GNU_SOURCE		/* st_mtim, st_ctim */
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mr.h"

#define TICK 20000000		/* ns that file times may be late by */

/* ---- looking at a file that is named */

struct seen {
	struct file file;	/* as it was named, and is now */
	char *name;		/* absolute */
	bool same;		/* it is that known one, and was not read */
	bool twice, copy;	/* it does not count */
	int64_t is;		/* the known one that it is, or -1 */
	uint64_t end, sum;	/* up to the last complete record; digest */
	uint64_t total;		/* bytes in all */
	unsigned char head[KNOWN_HEAD];	/* the first of them, up to end */
	uint64_t powers[KNOWN_POWERS];	/* as in struct known, up to end */
	uint64_t *sums;		/* of the first so many bytes, by scan->len */
	size_t nsums;
};
struct scan {
	const struct job *job;
	struct knowns *known;
	struct seen *v;
	size_t n;
	uint64_t *len;		/* lengths of interest, ascending */
	size_t nlen;
};
struct look {			/* at one file */
	struct scan *scan;
	struct seen *seen;
	struct digest digest;
	struct cutter cutter;
	bool headed;		/* the header has been seen, if there is one */
	const uint64_t *len;	/* at which sums are taken */
	size_t nlen;
};

/* Digests the bytes up to an offset; p are those that follow the last. */
static const unsigned char *
digest_to(struct look *l, const unsigned char *p, uint64_t to)
{
	struct seen *s = l->seen;

	for (;;) {
		uint64_t next = s->nsums < l->nlen &&
		    l->len[s->nsums] <= to ? l->len[s->nsums] : to;
		size_t n = (size_t)(next - l->digest.len);

		digest_add(&l->digest, p, n);
		p += n;
		if (s->nsums == l->nlen || l->len[s->nsums] > to)
			return p;
		s->sums[s->nsums++] = digest_value(&l->digest);
	}
}

/* Where the last complete record ends in bytes that begin at an offset;
 * 0 if none does. */
static uint64_t
last_end(struct look *l, const unsigned char *p, size_t len, uint64_t at)
{
	const struct form *form = &l->scan->job->form;
	size_t head = 0;
	struct buf why = {0};

	if (!l->headed) {
		const unsigned char *nl = memchr(p, form->delim, len);

		if (nl == NULL)
			return 0;
		head = (size_t)(nl + 1 - p);
		l->headed = true;
		cutter_begin(&l->cutter, form, at + head);
	}
	if (form->kind == FORM_LINES && form->lines == 1) {
		while (len > head && p[len - 1] != form->delim)
			len--;
		return len > head ? at + len : 0;
	}
	cutter_look(&l->cutter, p + head, len - head, UINT64_MAX, UINT64_MAX);
	if (cutter_failed(&l->cutter, &why))
		die("%s: %.*s", l->seen->file.name, (int)why.len, why.p);
	return l->cutter.records > 0 ? l->cutter.end : 0;
}

static void
look_at(void *arg, const unsigned char *p, size_t len)
{
	struct look *l = arg;
	struct seen *s = l->seen;
	uint64_t at = l->digest.len, end = last_end(l, p, len, at);

	if (at < KNOWN_HEAD)
		memcpy(s->head + at, p, KNOWN_HEAD - at < len ?
		    (size_t)(KNOWN_HEAD - at) : len);
	if (end > at) {
		p = digest_to(l, p, end);
		s->end = end;
		s->sum = digest_value(&l->digest);
	}
	digest_to(l, p, at + len);
	s->total = at + len;
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The digest of the first so many bytes, a length of interest, of a file
 * that was looked at; NULL if it has fewer. */
static const uint64_t *
sum_at(const struct scan *scan, const struct seen *s, uint64_t len)
{
	const uint64_t *at = bsearch(&len, scan->len, scan->nlen,
	    sizeof *scan->len, by_number);

	return at != NULL && (size_t)(at - scan->len) < s->nsums ?
	    s->sums + (at - scan->len) : NULL;
}

static void
look(struct scan *scan, struct seen *s)
{
	struct look l = { .scan = scan, .seen = s, .len = scan->len,
	    .nlen = scan->nlen };

	digest_begin(&l.digest, scan->known->key);
	l.headed = scan->job->form.header == HEADER_NONE;
	cutter_begin(&l.cutter, &scan->job->form, 0);
	s->sums = xzalloc(scan->nlen, sizeof *s->sums);
	content_read(scan->job, &s->file, UINT64_MAX, look_at, &l);
	for (int i = 0; i < KNOWN_POWERS && KNOWN_POWER(i) <= s->end; i++) {
		const uint64_t *sum = sum_at(scan, s, KNOWN_POWER(i));

		if (sum != NULL)
			s->powers[i] = *sum;
	}
}

static void
add_prefix(void *arg, const unsigned char *p, size_t len)
{
	digest_add(arg, p, len);
}

/* The digest of the first bytes of a file, of which it has so many. */
static uint64_t
prefix_sum(const struct scan *scan, const struct file *f, uint64_t len)
{
	struct digest d;

	digest_begin(&d, scan->known->key);
	content_read(scan->job, f, len, add_prefix, &d);
	if (d.len != len)
		content_changed(f->name);
	return digest_value(&d);
}

/* ---- which is which */

/* The lengths of what is known, and powers of two. */
static void
find_lengths(struct scan *scan)
{
	const struct knowns *k = scan->known;
	size_t n = k->n + KNOWN_POWERS;

	scan->len = xzalloc(n, sizeof *scan->len);
	for (size_t i = 0; i < k->n; i++)
		scan->len[i] = k->v[i].len;
	for (int i = 0; i < KNOWN_POWERS; i++)
		scan->len[k->n + (size_t)i] = KNOWN_POWER(i);
	qsort(scan->len, n, sizeof *scan->len, by_number);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || scan->len[i] != scan->len[scan->nlen - 1])
			scan->len[scan->nlen++] = scan->len[i];
}

static bool
same_file(const struct known *k, const struct seen *s)
{
	const struct file *f = &s->file;

	return k->ino == f->ino && k->size == f->size &&
	    k->mtime_ns == f->mtime_ns && k->ctime_ns == f->ctime_ns &&
	    strcmp(k->name, s->name) == 0;
}

/* Whether a file begins with what was taken of a known input. */
static bool
begins_with(const struct scan *scan, const struct seen *s,
    const struct known *k)
{
	const uint64_t *sum = sum_at(scan, s, k->len);

	return sum != NULL && *sum == k->sum && s->end >= k->len;
}

enum claim { CLAIM_BOTH, CLAIM_INODE, CLAIM_NAME, CLAIM_ANY };

/* Lets files that are none yet be the longest known ones that they begin
 * with. */
static void
claim(struct scan *scan, enum claim how)
{
	for (size_t i = 0; i < scan->n; i++) {
		struct seen *s = scan->v + i;
		int64_t best = -1;

		if (s->is != -1 || s->twice || s->copy || s->end == 0)
			continue;
		for (size_t j = 0; j < scan->known->n; j++) {
			const struct known *k = scan->known->v + j;
			bool name = strcmp(k->name, s->name) == 0;
			bool inode = k->ino == s->file.ino;

			if (k->taken || (how == CLAIM_BOTH && !name) ||
			    (how == CLAIM_NAME && !name) ||
			    (how <= CLAIM_INODE && !inode) ||
			    (best != -1 && k->len <=
			    scan->known->v[best].len) ||
			    !begins_with(scan, s, k))
				continue;
			best = (int64_t)j;
		}
		s->is = best;
		if (best != -1)
			scan->known->v[best].taken = true;
	}
}

/* ---- copies */

static bool
counts(const struct seen *s)
{
	return !s->twice && s->end > 0;
}

/* Bytes of its head that are content. */
static size_t
head_length(const struct seen *s)
{
	return s->end < KNOWN_HEAD ? (size_t)s->end : KNOWN_HEAD;
}

/* By their first bytes; a beginning comes before what goes on. */
static int
by_head(const void *a, const void *b)
{
	const struct seen *x = *(struct seen *const *)a;
	const struct seen *y = *(struct seen *const *)b;
	int c = key_compare(x->head, head_length(x), y->head,
	    head_length(y));

	return c != 0 ? c : (x->end > y->end) - (x->end < y->end);
}

/* Whether the head of one is what the other begins with. */
static bool
may_begin(const struct seen *s, const struct seen *other)
{
	return s->end <= other->end &&
	    memcmp(s->head, other->head, head_length(s)) == 0;
}

/* Whether all of one is what the other, which is not shorter, begins with. */
static bool
begins(const struct scan *scan, const struct seen *s,
    const struct seen *other)
{
	if (!may_begin(s, other))
		return false;
	for (int i = 0; i < KNOWN_POWERS && KNOWN_POWER(i) <= s->end; i++)
		if (s->powers[i] != other->powers[i])
			return false;
	return s->end <= KNOWN_HEAD || s->sum == (s->end == other->end ?
	    other->sum : prefix_sum(scan, &other->file, s->end));
}

/* Of two with the same content the one that is known already counts, or the
 * one that was named first. */
static bool
precedes(const struct seen *a, const struct seen *b)
{
	return (a->is != -1) != (b->is != -1) ? a->is != -1 : a < b;
}

/* Whether all of one is what the other begins with. */
static bool
is_copy(const struct scan *scan, const struct seen *s,
    const struct seen *of)
{
	return s != of && !of->copy && begins(scan, s, of) &&
	    (s->end < of->end || precedes(of, s));
}

/* Files that are none yet, and of which all is in another. */
static void
find_copies(struct scan *scan)
{
	struct seen **v = xzalloc(scan->n, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; i < scan->n; i++)
		if (counts(scan->v + i))
			v[n++] = scan->v + i;
	if (n > 0)
		qsort(v, n, sizeof *v, by_head);
	/* The longest first, which is no copy. */
	for (size_t i = n; i-- > 0; ) {
		for (size_t j = i + 1; j < n && v[i]->is == -1 &&
		    !v[i]->copy && may_begin(v[i], v[j]); j++)
			v[i]->copy = is_copy(scan, v[i], v[j]);
		for (size_t j = i; j-- > 0 && v[i]->is == -1 &&
		    !v[i]->copy && v[j]->end == v[i]->end &&
		    may_begin(v[j], v[i]); )
			v[i]->copy = is_copy(scan, v[i], v[j]);
	}
	free(v);
}

/* ---- the state of files */

static bool
stat_file(struct file *f)
{
	struct stat st;

	if (stat(f->name, &st) == -1)
		return false;
	f->size = (uint64_t)st.st_size;
	f->ino = st.st_ino;
	f->dev = st.st_dev;
	f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
	    st.st_mtim.tv_nsec;
	f->ctime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 +
	    st.st_ctim.tv_nsec;
	return true;
}

static void
begin_file(struct seen *s, const struct file *f)
{
	*s = (struct seen){ .file = *f, .is = -1,
	    .name = path_absolute(f->name) };
	if (!stat_file(&s->file) || s->file.ino != f->ino ||
	    s->file.dev != f->dev || s->file.size < f->size)
		content_changed(f->name);
}

static int
by_inode(const void *a, const void *b)
{
	const struct seen *x = *(struct seen *const *)a;
	const struct seen *y = *(struct seen *const *)b;

	if (x->file.dev != y->file.dev)
		return x->file.dev < y->file.dev ? -1 : 1;
	if (x->file.ino != y->file.ino)
		return x->file.ino < y->file.ino ? -1 : 1;
	return (x > y) - (x < y);
}

/* A file that has been named twice, or has two names, is read once. */
static void
find_twice(struct scan *scan)
{
	struct seen **v = xzalloc(scan->n, sizeof *v);

	for (size_t i = 0; i < scan->n; i++)
		v[i] = scan->v + i;
	if (scan->n > 0)
		qsort(v, scan->n, sizeof *v, by_inode);
	for (size_t i = 1; i < scan->n; i++)
		v[i]->twice = v[i]->file.dev == v[i - 1]->file.dev &&
		    v[i]->file.ino == v[i - 1]->file.ino;
	free(v);
}

static void
find_same(struct scan *scan)
{
	struct knowns *known = scan->known;

	for (size_t i = 0; i < scan->n; i++) {
		struct seen *s = scan->v + i;

		for (size_t j = 0; j < known->n && !s->twice && !s->same;
		    j++) {
			struct known *k = known->v + j;

			if (k->taken || !same_file(k, s))
				continue;
			s->same = k->taken = true;
			s->is = (int64_t)j;
			s->end = k->len;
			s->sum = k->sum;
			memcpy(s->head, k->head, sizeof s->head);
			memcpy(s->powers, k->powers, sizeof s->powers);
		}
	}
}

/* While others were read a file may have grown, and a copy been made of it
 * that looks like more than a copy. */
static void
check_grown(const struct scan *scan)
{
	for (size_t i = 0; i < scan->n; i++) {
		const struct seen *s = scan->v + i;
		struct file now = s->file;

		if (!counts(s) || (stat_file(&now) &&
		    now.size == s->file.size && now.ino == s->file.ino &&
		    now.ctime_ns == s->file.ctime_ns))
			continue;
		for (size_t j = 0; j < scan->n; j++) {
			const struct seen *t = scan->v + j;

			if (t != s && counts(t) && t->is == -1 && !t->copy &&
			    begins(scan, s, t))
				content_changed(s->file.name);
		}
	}
}

/* The content that a name had must still be there under some name, unless
 * it had been moved there out of the way of what is written to, or what is
 * there now has been: by that name it will not be asked for again. */
static void
check_replaced(const struct scan *scan, const char *dir)
{
	for (size_t i = 0; i < scan->n; i++) {
		const struct seen *s = scan->v + i;
		bool came = s->is != -1 &&
		    strcmp(scan->known->v[s->is].name, s->name) != 0;

		if (s->twice)
			continue;
		for (size_t j = 0; j < scan->known->n; j++) {
			struct known *k = scan->known->v + j;

			if (k->taken || strcmp(k->name, s->name) != 0)
				continue;
			k->moved |= came;
			if (!k->moved)
				refuse("%s: it does not begin any more with "
				    "what %s knows of it, and no input does: "
				    "name the file that it was moved to, as "
				    "there may be more in it", s->file.name,
				    dir);
		}
	}
}

/* ---- what is new */

/* Notes where a known input is now.  Whether that is anything new. */
static bool
note(struct known *k, const struct seen *s, int64_t now)
{
	const struct file *f = &s->file;
	bool moved = k->name != NULL && strcmp(k->name, s->name) != 0;
	int64_t ctime = f->ctime_ns;

	/* Another change in the same moment would not show. */
	if (now - f->ctime_ns < TICK || now - f->mtime_ns < TICK)
		ctime = 0;
	if (!moved && k->name != NULL && k->ino == f->ino && k->size ==
	    f->size && k->mtime_ns == f->mtime_ns && k->ctime_ns == ctime)
		return false;
	k->moved |= moved;
	k->name = s->name;
	k->ino = f->ino;
	k->size = f->size;
	k->mtime_ns = f->mtime_ns;
	k->ctime_ns = ctime;
	return true;
}

static void
take_content(struct known *k, const struct seen *s)
{
	k->len = s->end;
	k->sum = s->sum;
	memcpy(k->head, s->head, head_length(s));
	memcpy(k->powers, s->powers, sizeof k->powers);
}

static void
add_news(struct news *news, const struct seen *s, uint64_t from)
{
	news->v = xrealloc(news->v, news->n + 1, sizeof *news->v);
	news->v[news->n++] = (struct piece){ .file = s->file, .from = from,
	    .end = s->end, .sum = s->sum, .all = s->end == s->total };
}

static void
take_known(struct scan *scan, struct news *news, int64_t now)
{
	for (size_t i = 0; i < scan->n; i++) {
		struct seen *s = scan->v + i;
		struct known *k = scan->known->v + s->is;
		const char *was;

		if (s->is == -1 || s->same)
			continue;
		was = k->name;
		news->moved |= note(k, s, now);
		if (s->end == k->len)
			continue;
		k->moved &= strcmp(was, s->name) != 0;	/* it grows here */
		add_news(news, s, k->len);
		take_content(k, s);
	}
}

static void
take_new(struct scan *scan, struct news *news, int64_t now)
{
	struct knowns *known = scan->known;

	for (size_t i = 0; i < scan->n; i++) {
		struct seen *s = scan->v + i;
		struct known k = {0};

		if (s->is != -1 || s->copy || !counts(s))
			continue;
		note(&k, s, now);
		take_content(&k, s);
		add_news(news, s, 0);
		known->v = xrealloc(known->v, known->n + 1, sizeof k);
		known->v[known->n++] = k;
	}
}

/* Looks at the files of a job and says what is new in them: first what
 * follows in those that are known, then those that are not, each in the order
 * in which they are named.  Notes all of it as known.  dir is named in
 * messages. */
void
known_find(const struct job *job, struct knowns *known, const char *dir,
    struct news *news)
{
	struct scan scan = { .job = job, .known = known,
	    .n = job->input.n };
	struct timespec t;
	int64_t now;

	*news = (struct news){0};
	clock_gettime(CLOCK_REALTIME, &t);
	now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	scan.v = xzalloc(scan.n, sizeof *scan.v);
	for (size_t i = 0; i < scan.n; i++)
		begin_file(scan.v + i, job->input.files + i);
	find_twice(&scan);
	find_same(&scan);
	find_lengths(&scan);
	for (size_t i = 0; i < scan.n; i++)
		if (!scan.v[i].same && !scan.v[i].twice)
			look(&scan, scan.v + i);
	for (enum claim how = CLAIM_BOTH; how < CLAIM_ANY; how++)
		claim(&scan, how);
	find_copies(&scan);
	claim(&scan, CLAIM_ANY);
	check_grown(&scan);
	check_replaced(&scan, dir);
	take_known(&scan, news, now);
	take_new(&scan, news, now);
	for (size_t i = 0; i < scan.n; i++)
		free(scan.v[i].sums);
	free(scan.v);
	free(scan.len);
}

/* Whether a piece is still what was found when it was looked at: a file may
 * have been emptied and filled anew while it was read. */
bool
known_is_same(const struct job *job, const struct knowns *known,
    const struct piece *piece)
{
	struct scan scan = { .job = job, .known = (struct knowns *)known };
	struct file now = piece->file;

	if (!stat_file(&now))
		return false;
	if (now.ino == piece->file.ino && now.size == piece->file.size &&
	    now.mtime_ns == piece->file.mtime_ns &&
	    now.ctime_ns == piece->file.ctime_ns)
		return true;
	return now.ino == piece->file.ino && now.size >= piece->file.size &&
	    prefix_sum(&scan, &piece->file, piece->end) == piece->sum;
}
