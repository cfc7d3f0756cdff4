/* mr.h - everything one file of mr may know about another.
 *
 * The banners stand in call order: a file calls only what is declared
 * above its own banner and in its own section.  A test holds this with nm. */
#ifndef MR_H
#define MR_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* LINUX: use memfd, O_TMPFILE, splice, PDEATHSIG and their like.  `make
 * PORTABLE=1` leaves it unset, and plain POSIX takes their place. */
#if defined(__linux__) && !defined(PORTABLE)
#define LINUX 1
#else
#define LINUX 0
#endif

#define MR_VERSION "0.1"

enum {
	EXIT_OK        = 0,
	EXIT_TROUBLE   = 1,	/* mr's own trouble, or bad data */
	EXIT_USAGE     = 2,	/* wrong use, or refused: nothing was run */
	EXIT_TOLERATED = 3,	/* complete, with failures that were allowed */
	EXIT_BUSY      = 75,	/* another mr is at work there */
	EXIT_TASK      = 123,	/* a task's command failed */
	EXIT_TIMEOUT   = 124,
	EXIT_KILLED    = 125,	/* a task's command was killed by a signal */
	EXIT_NOEXEC    = 126,
	EXIT_NOCMD     = 127,
};

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

enum {
	KiB = 1024,
	MiB = 1024 * 1024,
	PATH_ROOM = 4096,	/* bytes that a path of ours may have */
};

/* ------------------------------------------------------------ diag.c */
extern const char *diag_name;		/* "mr" or "mr sort": begins messages */
extern void (*diag_at_death)(void);	/* run by die before it exits, or NULL */
extern bool (*diag_unheard)(void);	/* die says nothing then, or NULL */
void diag_bar(bool on);			/* a progress line may stand on stderr */
void diag_write(const void *, size_t);	/* whole lines to stderr, at once */
void diag_copy(int fd);			/* and to fd as well */
void say(const char *, ...) __attribute__((format(printf, 1, 2)));
void say_errno(const char *, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die(const char *, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die_errno(const char *, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void refuse(const char *, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void give_way(const char *, ...)
    __attribute__((format(printf, 1, 2)));

/* ------------------------------------------------------------ util.c */
void memory_note(const char *, ...) __attribute__((format(printf, 1, 2)));
void *xrealloc(void *, size_t nmemb, size_t size);
void *xzalloc(size_t nmemb, size_t size);
void *xlarge(size_t size);
char *xstrdup(const char *);
char *path_absolute(const char *);
char *path_parent(const char *);
char *xasprintf(const char *, ...)
    __attribute__((format(printf, 1, 2), nonnull(1)));
size_t grown(size_t cap, size_t want);
int parse_number(const char *, uint64_t *);
int parse_size(const char *, uint64_t *);
int parse_duration(const char *, int64_t *ns);
char *human_bytes(uint64_t, char *, size_t);
char *human_time(int64_t ns, char *, size_t);
int64_t now_ns(void);
uint64_t random_seed(void);
int write_full(int fd, const void *, size_t);
int open_file(const char *, int flags, mode_t);
ssize_t read_some(int fd, void *, size_t);
ssize_t pread_full(int fd, void *, size_t, uint64_t off);
int pwrite_full(int fd, const void *, size_t, uint64_t off);
char *first_line(const char *path, char *, size_t);
unsigned usable_cores(void);
uint64_t usable_memory(void);
unsigned varint_put(unsigned char *, uint64_t);
unsigned varint_get_long(const unsigned char *, const unsigned char *end,
    uint64_t *);
bool debug_word(const char *);

/* Returns how many bytes the number has, or 0 if it does not end before
 * end or is too large. */
static inline unsigned
varint_get(const unsigned char *p, const unsigned char *end, uint64_t *x)
{
	if (p >= end || *p >= 0x80)
		return varint_get_long(p, end, x);
	*x = *p;
	return 1;
}

static inline uint64_t
load_be64(const unsigned char *p)
{
	uint64_t x;

	__builtin_memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

static inline uint32_t
load_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static inline void
store_be32(unsigned char *p, uint32_t x)
{
	p[0] = (unsigned char)(x >> 24);
	p[1] = (unsigned char)(x >> 16);
	p[2] = (unsigned char)(x >> 8);
	p[3] = (unsigned char)x;
}

/* The first eight bytes of a key as a number that orders as they do.
 * Bytes beyond the key count as NUL: equal prefixes say nothing of length. */
static inline uint64_t
prefix8(const unsigned char *p, size_t len)
{
	uint64_t x = 0;

	if (len >= 8)
		return load_be64(p);
	for (size_t i = 0; i < len; i++)
		x |= (uint64_t)p[i] << (56 - 8 * i);
	return x;
}

/* The same of a key with 8 readable bytes, whatever its length. */
static inline uint64_t
prefix8_ahead(const unsigned char *p, size_t len)
{
	uint64_t x = load_be64(p);

	return len >= 8 ? x : len == 0 ? 0 : x >> (64 - 8 * len) <<
	    (64 - 8 * len);
}

struct place {			/* a range of bytes in some store */
	uint64_t off, len;
	uint64_t room;		/* bytes it may take; 0: it has no end */
	uint32_t store;
	bool disk;
};

/* ------------------------------------------------------------- buf.c */
struct buf {
	unsigned char *p;
	size_t len, cap;
};
unsigned char *buf_reserve(struct buf *, size_t extra);
void buf_put(struct buf *, const void *, size_t);
void buf_str(struct buf *, const char *);
void buf_printf(struct buf *, const char *, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
void buf_number(struct buf *, uint64_t);
void buf_escaped(struct buf *, const void *, size_t);
size_t buf_unescaped(struct buf *, const void *, size_t);
void buf_reset(struct buf *);
void buf_free(struct buf *);

/* ------------------------------------------------------------- num.c */
enum { NUM_DIGITS = 5000 };	/* at most, before or behind the point */
enum num_form {
	NUM_SMALL,	/* m / 10^scale */
	NUM_TEXT,	/* the n bytes at p are digits and points */
	NUM_LIMBS,	/* the n limbs at p, of any alignment */
};
struct num {
	int64_t m;
	const unsigned char *p;
	size_t n;
	uint32_t scale;		/* digits behind the point */
	uint32_t zeros;		/* NUM_TEXT: that follow the digits */
	enum num_form form;
	bool neg;		/* unless it is NUM_SMALL */
	bool whole;		/* written without point and exponent */
};
extern const uint64_t num_power[];	/* of ten, up to 10^18 */
bool num_read(const unsigned char *, size_t, struct num *);

/* ------------------------------------------------------------ wide.c */
struct wide {
	uint64_t *d;		/* limbs, the lowest first */
	size_t n, cap;
	uint32_t scale;		/* it is the limbs / 10^scale */
	bool neg;
};
void wide_set(struct wide *, int128, uint32_t scale);
void wide_limbs(struct wide *, const void *, size_t n, bool neg,
    uint32_t scale);
void wide_num(struct wide *, const struct num *);
void wide_shift10(struct wide *, uint32_t zeros);
uint64_t wide_divide1(struct wide *, uint64_t);
int wide_compare(struct wide *, struct wide *);
void wide_add(struct wide *, struct wide *, bool minus);
void wide_multiply(struct wide *to, const struct wide *, const struct wide *);
size_t wide_bits(const struct wide *);
uint128 wide_low(const struct wide *);

/* ----------------------------------------------------------- exact.c */
struct heap {			/* what structs hold that has no fixed size */
	unsigned char *base;
	size_t used, end;
	bool grows;		/* base is memory of its own */
};
enum { EXACT_WIDE = 1, EXACT_NEGATIVE = 2, EXACT_DECIMAL = 4 };
struct exact {			/* zeroed: 0 */
	uint64_t low;		/* EXACT_WIDE: where its limbs are in a heap */
	int64_t high;		/* and how many; else both are the number */
	uint32_t cap;		/* limbs that have room there */
	uint16_t scale;		/* digits behind the point */
	uint8_t flags;		/* EXACT_DECIMAL: not all were integers */
};
uint32_t heap_take(struct heap *, size_t);
void exact_add(struct exact *, const struct num *, struct heap *);
void exact_add_square(struct exact *, const struct num *, struct heap *);
void exact_set(struct exact *, const struct num *, struct heap *);
int exact_compare(const struct exact *, const struct num *,
    const struct heap *);
int exact_order(const struct exact *, const struct exact *,
    const struct heap *);
enum { EXACT_MOST = 64 * KiB };	/* heap bytes, more than are ever needed */
size_t exact_need(const struct exact *, const struct num *);
void exact_save(const struct exact *, const struct heap *, struct buf *);
const unsigned char *exact_load(const unsigned char *,
    const unsigned char *end, struct num *);
void exact_print(const struct exact *, const struct heap *, struct buf *);
bool exact_print_sum(const struct exact *, const struct exact *minus,
    const struct heap *, struct buf *);
void exact_print_mean(const struct exact *sum, uint64_t n,
    const struct heap *, struct buf *);
void exact_print_variance(const struct exact *sum,
    const struct exact *squares, uint64_t n, uint64_t divisor, bool root,
    const struct heap *, struct buf *);
/* ------------------------------------------------------------ seal.c */
struct unseal {
	const unsigned char *p, *end;
	bool bad;		/* something was not there */
};
struct draft {			/* a file that has no name yet */
	int fd, at;		/* at: of the job directory */
	char name[96];		/* "", or a name of its own below tmp/ */
};
uint32_t checksum(uint32_t, const void *, size_t);
void seal_number(struct buf *, uint64_t);
void seal_bytes(struct buf *, const void *, size_t);
uint64_t unseal_number(struct unseal *, uint64_t most);
const unsigned char *unseal_bytes(struct unseal *, size_t *);
char *unseal_string(struct unseal *);
void seal(struct buf *, uint64_t data, const char kind[8]);
int seal_read(int fd, const char kind[8], struct buf *, uint64_t *data);
int draft_open(struct draft *, int at);
int draft_link(struct draft *, const char *name);
int draft_replace(struct draft *, const char *name);
void draft_close(struct draft *);

/* ------------------------------------------------------------- opt.c */
enum {
	OPT_OPTIONAL = 1, OPT_HIDDEN = 2,

	/* When a job in a job directory goes on, it may be another one: */
	OPT_FREE = 4,		/* always */
	OPT_FREE_MAP = 8,	/* as long as no map is committed */
	OPT_FREE_REDUCE = 16,	/* as long as no part is */
	OPT_JOINED = 32,	/* the next one shares its line of --help */
	/* From one mr run --append to the next it may be another one: */
	OPT_FREE_APPEND = 64,	/* always, as with OPT_FREE */
	OPT_SAME_APPEND = 128,	/* never, in spite of OPT_FREE */
};
struct opt {
	int id;			/* not 0; what opt_next returns */
	char letter;		/* 0: none */
	const char *name;	/* NULL: none */
	const char *arg;	/* its name in --help; NULL: a flag */
	const char *help;	/* one line; NULL with OPT_HIDDEN: an alias */
	unsigned flags;
};
struct cmd {
	const char *name;
	int (*main)(const struct cmd *, int, char *[]);
	const char *operands;
	const char *summary;	/* NULL: the options say it all */
	const char *brief;	/* for mr --help */
	const struct opt *opts;		/* ends with id 0 */
	const char *examples;
	bool command_operand;	/* options end at the first operand */
};
struct optscan {
	const struct cmd *cmd;
	char **argv;
	int argc, i;
	const char *cluster;	/* the rest of -abc, or NULL */
	char **operands;
	int noperands;
	const char *value;	/* of the last option, or NULL */
	char **words;		/* all options so far, as --name=value */
	size_t nwords;
	char shown[64];		/* the last option as it was typed */
};
extern const struct cmd *const *opt_commands;	/* ends with NULL */
void opt_begin(struct optscan *, const struct cmd *, int, char *[]);
int opt_next(struct optscan *);
unsigned opt_flags(const struct cmd *, const char *word);
struct opt_diff {		/* of two command lines */
	struct opt_words {
		const char **v;
		size_t n, at;
	} a, b;
	const char *x, *y;	/* as --name=value; NULL: it is not there */
};
void opt_diff_begin(struct opt_diff *, const struct cmd *,
    bool (*matters)(unsigned flags), char *const *a, size_t na,
    char *const *b, size_t nb);
bool opt_diff_next(struct opt_diff *);
void opt_diff_end(struct opt_diff *);
void opt_words_seal(struct buf *, char *const *words, size_t n);
char **opt_words_unseal(struct unseal *, size_t *n);
bool opt_same(const char *word, const char *other);
bool opt_among(char *const *words, size_t n, const char *word);
const struct cmd *opt_command(const char *name);
void opt_help(const struct cmd *, FILE *);
void opt_completion(const char *shell, FILE *);
uint64_t opt_size(const struct optscan *);
uint64_t opt_count(const struct optscan *, uint64_t min, uint64_t max);
int64_t opt_duration(const struct optscan *);
unsigned char opt_byte(const struct optscan *);
bool opt_format(const struct optscan *);
const char *nearest(const char *word, const char *const *words);

/* ------------------------------------------------------------ ship.c */
void ship_add(const char *arg);
bool ship_any(void);
char *ship_path(const char *);
void ship_links(const char *dir);

/* ------------------------------------------------------------ proc.c */
struct command {
	char **argv;		/* NULL: no command */
	char **words;		/* that do the same without the shell, or NULL */
	const char *shown;	/* as the user gave it */
};
enum { GROUP_TASK, GROUP_FEEDER, GROUP_COMBINER, NGROUPS };
struct spawn {
	char *const *argv, *const *envp;
	int group;		/* of a worker's two, which this one leads */
	char *const *words;	/* as of a command, tried first; or NULL */
	const char *path;	/* argv[0] looked up by proc_lookup, or NULL */
	const char *dir;	/* to run it in, or NULL */
	int in, out, err;
	uint64_t as_limit;	/* RLIMIT_AS, or 0 */
};
void proc_driver_signals(void);
void proc_worker_begin(volatile int32_t group[NGROUPS]);
int proc_spawn(const struct spawn *, pid_t *);
pid_t proc_wait(pid_t, int *status, int flags);
void proc_kill_group(pid_t, int sig);
void proc_kill_children(void);
void proc_kill_children_but(pid_t);
int proc_end_feeder(pid_t, int64_t limit_ns);
void proc_kill_strays(const char *job_id);
bool proc_started_ignored(int sig);
bool proc_dying(void);
bool proc_is_dead(pid_t);
int proc_signal(void);
bool proc_take_child(void);
bool proc_take_stop(void);
bool proc_take_info(void);
int proc_poll(void *pollfds, size_t n, int64_t timeout_ns);
void proc_stop_self(void);
_Noreturn void proc_end_by(int sig);
void proc_exec(const char *path, char *const argv[]);
const char *signal_name(int sig, char *, size_t);
const char *proc_lookup(const char *, char *, size_t);
int command_check(const struct command *, const char *what, bool shell);
int proc_filter(const char *prog, bool decompress, int in, int out);

/* ----------------------------------------------------------- shell.c */
void shell_command(struct command *, const char *line);

/* -------------------------------------------------------- capture.c */
int capture(char *const argv[], int64_t limit_ns, struct buf *out,
    struct buf *err);

/* ---------------------------------------------------------- slurm.c */
/* A queueing system.  What it does not do leaves -1 or NULL, in *why a line
 * that the caller owns, and in errno ENOENT where it is not installed, EAGAIN
 * where it did not answer, EINVAL where it refused. */
struct engine_limits {
	uint64_t array;		/* elements of an array */
	uint64_t jobs;		/* elements of all jobs */
	uint64_t slots;		/* processors that it has */
};
struct engine_job {
	const char *name;
	const char *logs;	/* directory for what the engine itself says */
	char *const *argv;	/* a script and its arguments */
	char *const *options;	/* the user's, for the submitter */
	size_t noptions;
	uint32_t n;		/* elements of an array; 0: it is none */
	uint32_t most;		/* of them at once; 0: any number */
	const char *after;	/* a job that must be over, or NULL */
	const char *success;	/* one that must have succeeded, or NULL */
	bool hold;		/* until it is released */
};
enum engine_state {		/* of several jobs, the greatest of theirs */
	ENGINE_GONE, ENGINE_WAITS, ENGINE_RUNS, ENGINE_STUCK, ENGINE_UNKNOWN,
};
enum engine_end {
	ENGINE_SUCCEEDED, ENGINE_NOT_OVER, ENGINE_FAILED, ENGINE_NO_JOB,
};
struct engine_place {		/* what an element has */
	uint64_t element, elements, restarts, cpus;
	uint64_t memory;	/* bytes, or 0 */
	const char *node;
};
struct engine_option {		/* of the submitter */
	const char *name;	/* -x or --long */
	enum { ENGINE_OURS, ENGINE_HOLD, ENGINE_FLAG } kind;
};
struct engine {
	const char *name, *submitter;
	/* Those that are not the user's, those that hold a job until it is
	 * released, and those that take no value; up to one without a name. */
	const struct engine_option *options;
	int (*limits)(struct engine_limits *, char **why);
	char *(*submit)(const struct engine_job *, char **why);
	int (*release)(const char *id, char **why);
	int (*cancel)(char *const ids[], size_t n, char **why);
	enum engine_state (*state)(char *const ids[], size_t n, char **why);
	size_t (*find)(const char *script, char ***ids);
	enum engine_end (*end)(const char *id, char **why);
	void (*here)(struct engine_place *);
};
extern const struct engine slurm_engine;

/* ---------------------------------------------------------- record.c */
struct format {
	unsigned char delim, sep;
	bool pairs;		/* --io rawbytes: no delimiters, but lengths */
	uint32_t fields;	/* the key is the first so many fields; 0: all */
};
struct record {
	const unsigned char *key, *val;
	uint32_t klen, vlen;
	bool noval;		/* no separator at all, not an empty value */
};
enum key_shape {
	KEY_PLAIN,	/* sorted by the key; the value follows it */
	KEY_PART,	/* by partition, then key */
	KEY_PART_ONLY,	/* by partition; the value is the whole record */
	KEY_DEFS,	/* by -k, behind the partition if there are any; the
			 * value is the whole record */
};
struct shape {
	struct format fmt;
	enum key_shape key;
	uint32_t nparts;	/* 0: the ikey begins with no partition */
	const char *part_cmd;	/* which numbers it; NULL: the hash does */
	struct keys *keys;	/* KEY_DEFS */
};
enum { RECORD_BATCH = 64, PAIR_HEAD = 4, KEY_AHEAD = 16 };
#define RECORD_MOST ((uint64_t)INT32_MAX)	/* bytes of a record */
uint64_t record_most(void);
size_t record_batch(const struct format *, const unsigned char *, size_t len,
    struct record *, size_t max, size_t *used);
size_t record_end(const struct format *, const unsigned char *, size_t len);
void record_parse(const struct format *, const unsigned char *, size_t len,
    struct record *);
void record_part(const struct format *, const void *, size_t,
    unsigned char end, struct buf *);
void record_put(const struct format *, const char *key, const char *value,
    struct buf *);
bool record_may_end(const struct format *, const unsigned char *, size_t len);
size_t record_frame(const struct format *);
void record_whole(const struct format *, struct record *);
const unsigned char *record_key(const struct format *, const unsigned char *,
    size_t *len);
size_t key_length(const struct format *, const unsigned char *, size_t len);
size_t key_length_ahead(const struct format *, const unsigned char *,
    size_t len);
int key_compare(const void *, size_t, const void *, size_t);

/* ------------------------------------------------------------ form.c */
enum form_kind { FORM_LINES, FORM_PATTERN, FORM_PAIRS };
enum form_header { HEADER_NONE, HEADER_SKIP, HEADER_REPEAT };
enum { FORM_MOST = 4096 };	/* bytes that --recend may have */
struct form {
	enum form_kind kind;
	unsigned char delim;	/* of lines */
	uint32_t lines;		/* in a record */
	struct buf end;		/* FORM_PATTERN: what ends a record; */
	struct buf pattern;	/* with what must begin the next */
	uint32_t *border;
	uint64_t records;	/* of a task; 0: by bytes */
	enum form_header header;
};
struct cutter {
	const struct form *form;
	uint64_t at;		/* the next byte to look at */
	uint64_t end;		/* where the last whole record ends */
	uint64_t records;	/* whole ones */
	uint32_t lines;		/* whole ones of the present record */
	uint32_t matched;	/* bytes of the pattern that end before at */
	uint64_t place;		/* where the pattern stood last */
	bool begun;		/* a line is not whole */
	/* FORM_PAIRS: */
	enum { PAIR_KEY, PAIR_VALUE, PAIR_END } next;	/* behind left bytes */
	uint64_t left;		/* bytes that need not be looked at */
	unsigned char head[PAIR_HEAD];
	uint32_t have;		/* bytes of a length in head */
	bool bad;		/* a length is none; the end is where it is */
};
struct form form_of(const struct format *);
void form_set_pattern(struct form *, struct buf end, struct buf start);
bool form_is_serial(const struct form *);
bool form_is_plain(const struct form *);
size_t form_ending(const struct form *);
size_t form_missing(const struct form *, const unsigned char *, size_t,
    const unsigned char **);
size_t form_lacks(const struct form *, int fd, uint64_t begin, uint64_t end,
    const unsigned char **);
void cutter_begin(struct cutter *, const struct form *, uint64_t at);
bool cutter_look(struct cutter *, const unsigned char *, size_t len,
    uint64_t upto, uint64_t records);
bool cutter_failed(const struct cutter *, struct buf *why);
bool cutter_whole(const struct cutter *, struct buf *why);

/* --------------------------------------------------------- recfile.c */
struct recfile {
	const char *name;	/* as it is told */
	const struct format *fmt;
	int fd;
	unsigned char *win;
	size_t at, n, cap;	/* win[at..n) is not behind us */
	uint64_t off;		/* of win in the file */
	bool ended;
	struct form form;
	struct cutter cut;	/* of pairs, of all that has been read */
	struct buf why;		/* what is wrong farther on, a string */
	struct record rec;	/* the present record, */
	size_t len;		/* its bytes with the delimiter, */
	uint64_t number;	/* and its number, from 1 */
};
void recfile_open(struct recfile *, const struct format *, const char *name);
int recfile_next(struct recfile *);
const unsigned char *recfile_bytes(const struct recfile *);
void recfile_close(struct recfile *);

/* --------------------------------------------------------- aggspec.c */
enum agg_op {
	AGG_COUNT, AGG_SUM, AGG_MIN, AGG_MAX, AGG_RANGE, AGG_MEAN, AGG_PVAR,
	AGG_SVAR, AGG_PSTDEV, AGG_SSTDEV, AGG_FIRST, AGG_LAST, AGG_UNIQUE,
	AGG_COUNTUNIQUE, AGG_COLLAPSE, AGG_TOP,
};
enum agg_keep {
	KEEP_NOTHING, KEEP_SUM, KEEP_SQUARES, KEEP_MIN, KEEP_MAX, KEEP_FIRST,
	KEEP_LAST, KEEP_ALL, KEEP_SET, KEEP_TOP,
};
struct agg_field {
	uint32_t number;	/* from 1 on, in the whole record */
	bool numeric;		/* some operation wants a number */
	const unsigned char *p;	/* in the present record: */
	size_t len;
	struct num x;
};
struct agg_slot {
	enum agg_keep keep;
	uint32_t field;		/* index */
	uint32_t most;		/* KEEP_TOP: numbers */
	size_t at;		/* in the cells of a key */
};
struct agg_out {
	enum agg_op op;
	uint32_t slot, second, most;
};
struct aggspec {
	struct format fmt;
	struct agg_out *outs;		/* as they are printed */
	struct agg_slot *slots;
	struct agg_field *fields, **order;	/* order: by number */
	uint32_t nouts, nslots, nfields;
	size_t size;		/* bytes of the cells of a key */
	size_t plenty;		/* heap bytes, enough for any record */
	bool tallies;		/* keys begin with a tally (tally.c) */
	bool lone_sum;		/* of the field behind the key, and no more */
};
enum { TALLY_MOST = 8 };	/* fields and slots that have a tally */
struct aggspec *aggspec_parse(const char *words, const struct format *);

/* ----------------------------------------------------------- tally.c */
/* v: the number of records, then a number for each slot. */
bool tally_add(const struct aggspec *, int64_t *v, const struct record *);
bool tally_merge(const struct aggspec *, int64_t *v, const int64_t *more);
void tally_since(const struct aggspec *, int64_t *v, const int64_t *before);
void tally_save(const struct aggspec *, const int64_t *v, struct buf *);
bool tally_load(const struct aggspec *, int64_t *v, const unsigned char *,
    size_t);
bool tally_print(const struct aggspec *, const int64_t *v, struct buf *);

/* ------------------------------------------------------------ cell.c */
struct cell_list {		/* bytes in a heap */
	uint32_t off, len, cap, unused;
};
enum cells_result { CELLS_ADDED, CELLS_FULL, CELLS_BAD };
void cells_begin(const struct aggspec *, unsigned char *cells);
enum cells_result cells_add(const struct aggspec *, unsigned char *cells,
    struct heap *, const struct record *, struct buf *why);
void cells_save(const struct aggspec *, unsigned char *cells, const struct heap *,
    struct buf *);
void cells_merge(const struct aggspec *, unsigned char *cells, struct heap *,
    const unsigned char *, size_t);
bool cells_print(const struct aggspec *, unsigned char *cells, const struct heap *,
    struct buf *);

/* -------------------------------------------------------- counters.c */
struct counter {
	unsigned char *name;	/* group, comma, name */
	size_t len;
	int64_t value;
};
struct counters {
	struct counter *v;	/* by name */
	size_t n;
	struct buf status;	/* the last text */
};
bool counters_take(struct counters *, const unsigned char *line, size_t);
void counters_save(const struct counters *, struct buf *);
bool counters_load(struct counters *, const unsigned char *, size_t);
void counters_reset(struct counters *);
void counters_print(const struct counters *, const char *before,
    struct buf *);
void counters_json(const struct counters *, struct buf *);

/* ------------------------------------------------------- partition.c */
uint64_t partition_hash(const void *key, size_t len);
uint32_t partition_of(const void *key, size_t len, uint32_t n);

/* ---------------------------------------------------------- keydef.c */
#define KEY_FAR ((uint32_t)1 << 30)	/* a field behind all others */
enum {				/* how a definition compares */
	KEY_BLANK_FROM = 1 << 0, KEY_BLANK_TO = 1 << 1,
	KEY_DICTIONARY = 1 << 2, KEY_FOLD = 1 << 3, KEY_FLOAT = 1 << 4,
	KEY_HUMAN = 1 << 5, KEY_PRINTABLE = 1 << 6, KEY_MONTH = 1 << 7,
	KEY_NUMBER = 1 << 8, KEY_REVERSE = 1 << 9, KEY_VERSION = 1 << 10,
};
struct keydef {
	const char *text;	/* as it was given */
	uint32_t from, from_char;	/* both from 0 */
	uint32_t to;		/* KEY_FAR: to the end of the record */
	uint32_t to_char;	/* so many from its begin; 0: all of it */
	unsigned bits;
};
struct keys {
	struct keydef *v;
	size_t n;
	unsigned global;	/* of those without bits of their own */
	bool grouped;		/* the bytes of the key follow those that lead */
	size_t leading;
	bool telling;		/* leading tell keys apart: no bytes follow */
	uint64_t seen;		/* of the first 63: not always empty */
};
#define KEYS_ANY ((uint64_t)1 << 63)	/* in seen: there was a record */
/* Whether records have an order within their group. */
static inline bool
keys_inner(const struct keys *k)
{
	return k->grouped && k->leading < k->n;
}
unsigned key_letter(char);
void keys_add(struct keys *, const char *);
void keys_add_fields(struct keys *, uint32_t);
void keys_resolve(struct keys *);
void keys_lead(struct keys *, uint32_t fields);
bool keys_plain(const struct keys *, uint32_t *fields);
void keys_complain(const struct keys *, const struct format *);

/* ---------------------------------------------------------- keyver.c */
void keyver_put(struct buf *, const unsigned char *, size_t);

/* ---------------------------------------------------------- keyenc.c */
void keys_encode(struct keys *, unsigned char sep, const unsigned char *rec,
    size_t len, size_t klen, struct buf *);

/* ------------------------------------------------------------ ikey.c */
bool ikey_has_key(const struct shape *);
void ikey_build(const struct shape *, struct record *, struct buf *,
    size_t slack);
const unsigned char *ikey_of(const struct shape *, const unsigned char *rec,
    size_t len, struct buf *, size_t *n);
size_t ikey_group(const struct shape *, const unsigned char *, size_t);
size_t ikey_shown(const struct shape *, size_t);

/* ----------------------------------------------------------- codec.c */
enum { CODEC_LOOK = 10 };	/* bytes that are enough to know one */
struct decoder {
	struct command command;
	bool strict;		/* what it says is a failure */
	bool own;		/* the user's command */
};
unsigned codec_of(const unsigned char *, size_t);
const struct decoder *codec_decoder(unsigned codec);
void codec_missing(unsigned codec, struct buf *why);

/* ----------------------------------------------------------- files.c */
struct file {
	const char *name;	/* as it was given; "-" is standard input */
	const char *path;	/* of its copy in a job directory, or NULL */
	uint64_t size;
	uint64_t copied;	/* size of what was copied, if a plain file */
	uint64_t dev, ino;	/* 0: not known */
	int64_t mtime_ns, ctime_ns;
	uint64_t front;		/* bytes of it that its copy lacks */
	uint64_t from;		/* bytes of it that were taken before */
	bool stream;		/* size unknown: read to its end */
	bool standard;		/* a plain file that is standard input */
	uint8_t codec;		/* that made it; 0: none, or not known */
};
enum { CODEC_OWN = 255 };	/* it goes through input->decoder */
enum decompress {
	DECOMPRESS_NONE, DECOMPRESS_AUTO,
	DECOMPRESS_ASKED,	/* of standard input, too */
	DECOMPRESS_OWN,
};
struct input {
	struct file *files;
	size_t n, cap;
	uint64_t bytes;		/* of the files whose size is known */
	size_t nstreams;
	size_t ndirs;		/* that were named */
	struct buf errors;	/* what could not be read, a line each */
	size_t nerrors;
	bool recursive;
	bool names;		/* names of files are in the records */
	bool unread;		/* and nothing else: none is opened */
	enum decompress decompress;
	struct decoder decoder;	/* of DECOMPRESS_OWN */
	bool as_streams;	/* plain files are read like pipes */
};
void files_add(struct input *, const char *name);
void files_list(struct input *, const char *option, const char *path,
    char end);
void files_check(struct input *);
void files_check_names(struct input *, const struct format *);
void files_unpack_in_order(struct input *);
void files_open_stdin(struct input *, bool take);
const char *file_shown(const struct file *);
const struct decoder *file_decoder(const struct input *, const struct file *);
bool file_is_looked_at(const struct input *, const struct file *);
int file_unchanged(const struct file *, int fd, char *why, size_t whylen);
int file_open(const struct file *, char *why, size_t whylen);

/* ----------------------------------------------------------- input.c */
struct split {
	uint32_t file, nfiles;	/* nfiles over 1: small files packed together */
	uint64_t off, len;	/* nominal; records begin within them */
	uint64_t head;		/* bytes of the file's header, with --header */
	struct place spool;	/* where a stream's block is */
	struct place head_spool;	/* and its header, to be repeated */
	bool stream;		/* in the spool; exact */
	bool reused;		/* another block will have its memory */
	bool exact;		/* off and len are on records already */
	bool empty;		/* the one task of an empty input */
	bool whole;		/* an empty file that is a task all the same */
	bool generated;		/* off and len count indices or records */
};
uint64_t input_header(const struct form *, int fd, uint64_t size);
int split_align(const struct form *, int fd, struct split *, uint64_t size);
uint64_t group_boundary(const struct format *, int fd, uint64_t off,
    uint64_t size);
bool record_ending(const struct format *, int fd, uint64_t off, struct buf *);

/* -------------------------------------------------------- generate.c */
enum generate_kind {
	GENERATE_NONE, GENERATE_RANGE, GENERATE_SOURCE, GENERATE_NAMES,
};
struct generate {
	enum generate_kind kind;
	int64_t from;		/* of a range: its first index */
	uint64_t n;		/* indices or records; of a source: counted */
	const char *source;
	const struct input *input;	/* whose names are the records */
};
bool generate_range(struct generate *, const char *text);
void generate_command(const struct generate *, struct command *,
    const struct split *);
void generate_free(struct command *);
uint64_t generate_each(const struct generate *, uint64_t records);
bool generate_count(struct generate *, const char *text, size_t len);
long long generate_index(const struct generate *, uint64_t off);
void generate_records(const struct generate *, const struct split *,
    const struct format *, struct buf *);
void generate_describe(const struct generate *, const struct split *,
    struct buf *);

/* ---------------------------------------------------------- sample.c */
enum sample_kind { SAMPLE_ALL, SAMPLE_PART, SAMPLE_NUMBER };
struct lot {			/* that a record has drawn */
	uint64_t hash, off;
	uint32_t file;
};
struct lots {			/* the smallest of those that were added */
	struct lot *v;
	size_t n, cap, most;
};
struct sample {
	enum sample_kind kind;
	uint64_t n, seed;
	struct lot last;	/* records with lots up to it are taken */
	const char *text;	/* as it was given */
};
struct lot lot_draw(uint64_t seed, uint32_t file, uint64_t off);
struct lot lot_last(void);
bool lot_after(const struct lot *, const struct lot *);
void lots_add(struct lots *, const struct lot *);
bool sample_set(struct sample *, const char *text, double *percent);

/* ----------------------------------------------------------- store.c */
struct store {
	int mem, disk;		/* -1: none */
	uint64_t memlen, memmax;	/* bytes in use and allowed in mem */
	uint64_t disklen;
	uint64_t unpaced;	/* bytes on disk that the kernel writes when it
				   likes, or never, if they are soon gone */
	uint64_t synced;	/* how far write-back was started */
	bool ahead;		/* blocks are allocated before they are */
	uint64_t allocated;	/* written: up to here */
	const char *dir;
	/* A file that a task has committed, read and not written: */
	char *path;		/* NULL: none */
	const char *cure;	/* when it is damaged, or there is no room */
	uint32_t *sums;		/* of each SUM_EVERY bytes up to disklen */
	unsigned char *checked;	/* a bit each: it was right */
};
enum { SUM_EVERY = 64 * KiB };
int store_open_temp(const char *dir);
int store_memfd(void);
void store_open(struct store *, const char *dir, uint64_t memmax);
void store_pick(struct store *, uint64_t expect, struct place *);
void store_reuse(struct store *, uint64_t expect, const struct place *free,
    struct place *);
void store_append(struct store *, struct place *, const void *, size_t);
void store_grow(struct store *, struct place *, const void *, size_t);
void store_keep(struct store *, const struct place *);
int store_fd(const struct store *, const struct place *);
void store_check(const struct store *, uint64_t off, uint64_t len);
int store_pack(const struct store *, const char *prog, bool unpack,
    const void *, size_t, struct buf *);
void store_use(struct store *);
void store_leave(struct store *);
void store_empty(struct store *);
void store_close(struct store *);
void store_free(const struct store *, const struct place *);
void store_punch(const struct store *, const struct place *, uint64_t off,
    uint64_t len);

/* ---------------------------------------------------------- feeder.c */
struct feeder {
	const struct decoder *decoder;	/* NULL: there is none */
	pid_t pid;		/* 0: it has ended */
	int fd;			/* of its output, does not block */
	int err;		/* where it complains */
};
#define FEEDER_GRACE ((int64_t)2000000000)	/* ns from the end of its
					 * output to its exit */
int feeder_start(struct feeder *, const struct decoder *, char *const *envp,
    int in, const char *dir, struct buf *why);
int feeder_wait(struct feeder *, int abort_fd, int64_t limit_ns,
    struct buf *why);
bool feeder_is_empty(const struct feeder *);
int feeder_end(struct feeder *, struct buf *why);
void feeder_stop(struct feeder *);

/* ----------------------------------------------------------- runio.c */
struct run {
	struct place at;	/* data, then index */
	uint64_t data;		/* bytes of data before the index */
	uint64_t nblocks;
	uint64_t records, weight;	/* weight: bytes when replayed */
	uint32_t first, last, seq;	/* the tasks in it; order within a task */
};
struct run_writer;
/* A record that is alone with its key stands as text, if it is short. */
enum { SINGLE_HEAD = 3, SINGLE_KEY = 127, SINGLE_VALUE = 0x7ffe };
enum { ITEM_SHORT = 30 };	/* values up to here have a head of one byte */
struct run_writer *runw_new(struct store *, uint16_t store_id,
    const char *compress, const struct format *);
void runw_begin(struct run_writer *, uint64_t expect);
bool runw_key(struct run_writer *, const unsigned char *, size_t,
    size_t group, size_t shown);
void runw_item(struct run_writer *, const unsigned char *, size_t, bool noval,
    uint64_t count);
const unsigned char *runw_encoded(struct run_writer *, const unsigned char *,
    const unsigned char *end);
void runw_single(struct run_writer *, const unsigned char *key, size_t klen,
    size_t group, size_t shown, const unsigned char *v, size_t vlen, bool noval);
void runw_big(struct run_writer *, uint64_t vlen, const void *, size_t);
void runw_more(struct run_writer *, const void *, size_t);
bool runw_follows(const struct run_writer *, const unsigned char *key, size_t,
    uint64_t more);
void runw_end(struct run_writer *, struct run *);
void runw_free(struct run_writer *);

struct run_index {		/* one entry a block */
	uint64_t *off;		/* n + 1; where the block begins */
	uint64_t *weight;	/* bytes of it when replayed */
	uint32_t *keyoff;	/* n + 1; its first key, or less, in keys */
	struct buf keys;
	size_t n;
};
void run_index_read(const struct store *, const struct run *,
    struct run_index *);
void run_index_free(struct run_index *);
size_t run_index_find(const struct run_index *, const void *, size_t);

/* --------------------------------------------------------- partcmd.c */
struct partcmd;
struct partcmd *partcmd_new(const struct store *, const char *line,
    uint32_t nparts, const struct format *);
void partcmd_key(struct partcmd *, const void *, size_t);
void partcmd_run(struct partcmd *);
uint32_t partcmd_next(struct partcmd *, const void *, size_t);
void partcmd_end(struct partcmd *);

/* ----------------------------------------------------------- merge.c */
struct item {
	uint64_t vlen, count;
	bool noval;
	bool text;		/* key, separator, value, delimiter in one */
	const unsigned char *p;	/* the first n bytes of the value */
	size_t n;
};
struct merge_input {
	const struct store *stores;	/* all of them, by run->at.store */
	const struct run *run;
	uint64_t begin, end;	/* blocks begin at begin; stop at end */
};
struct bounds {			/* lo <= key < hi; NULL: open */
	const unsigned char *lo, *hi;
	size_t lolen, hilen;
};
enum { MERGE_WINDOW = 16 * KiB };	/* bytes a run takes at the least */
struct merge;
struct merge *merge_new(const struct merge_input *, size_t n,
    const struct bounds *, size_t memory, const char *compress);
bool merge_is_empty(const struct merge *);
bool merge_group(struct merge *);
const unsigned char *merge_key(const struct merge *, size_t *);
bool merge_item(struct merge *, struct item *);
size_t merge_items(struct merge *, struct item *, size_t max);
struct text {			/* a record as it stands */
	uint64_t prefix;	/* of its key */
	const unsigned char *p;
	size_t len, klen;
};
size_t merge_texts(struct merge *, struct text *, size_t max, size_t room);
const unsigned char *merge_next(struct merge *, size_t *);
size_t merge_piece(struct merge *, const unsigned char **);
void merge_free(struct merge *);

/* ---------------------------------------------------------- replay.c */
struct replay;
struct replay *replay_new(struct merge *, const struct shape *, bool unique);
size_t replay_fill(struct replay *, unsigned char *, size_t);
ssize_t replay_read(void *, unsigned char *, size_t, struct buf *);
uint64_t replay_records(const struct replay *);
uint64_t replay_hot(struct replay *, struct buf *key);
void replay_free(struct replay *);

/* ------------------------------------------------------------ fold.c */
struct fold;
struct fold *fold_new(const struct aggspec *, bool named, uint64_t most);
void fold_begin(struct fold *, const unsigned char *key, size_t);
void fold_name(struct buf *, const void *key, size_t);
bool fold_record(struct fold *, const struct record *, struct buf *why);
void fold_take(struct fold *, const unsigned char *, size_t);
bool fold_group(struct fold *, struct merge *);
void fold_complain(const struct fold *, struct buf *why);
const unsigned char *fold_saved(struct fold *, size_t *len);
bool fold_print(struct fold *, struct buf *out, struct buf *why);
bool fold_text(struct fold *, const unsigned char *, size_t, struct buf *out,
    struct buf *why);
bool fold_text_end(struct fold *, struct buf *out, struct buf *why);
void fold_free(struct fold *);

/* ----------------------------------------------------------- radix.c */
struct entry {
	uint64_t prefix;	/* prefix8 of the key */
	uint32_t off;		/* of the record or group in the arena */
	uint32_t klen;		/* ENTRY_GROUP: off is a struct group's */
};
enum { GROUP_KEY_AT = 24 };	/* a group's key lies so far behind its off */
#define ENTRY_GROUP 0x80000000u
static inline uint32_t
entry_klen(const struct entry *e)
{
	return e->klen & ~ENTRY_GROUP;
}
static inline const unsigned char *
entry_key(const unsigned char *arena, const struct entry *e)
{
	return arena + e->off + (e->klen & ENTRY_GROUP ? GROUP_KEY_AT : 0);
}
struct entry *radix_sort(struct entry *, size_t n, struct entry *tmp,
    size_t room, const unsigned char *arena);

/* --------------------------------------------------------- collect.c */
struct collect;
struct collect *collect_new(const struct shape *, struct store *,
    uint16_t store_id, size_t memory, const char *compress,
    void (*emit)(void *, const struct run *, bool committed), void *arg);
void collect_aggregate(struct collect *, const struct aggspec *);
void collect_into(struct collect *, struct store *, uint16_t store_id,
    const char *compress);
#define COLLECT_OUTPUT UINT64_MAX	/* at: what a command prints */
void collect_begin(struct collect *, uint32_t task, const char *input,
    uint64_t at);
unsigned char *collect_room(struct collect *, size_t *);
void collect_filled(struct collect *, size_t);
void collect_end(struct collect *);
void collect_commit(struct collect *);
void collect_rollback(struct collect *);
void collect_flush(struct collect *);
bool collect_holds(const struct collect *);
uint64_t collect_records(const struct collect *);
const struct buf *collect_complaint(const struct collect *);
void collect_free(struct collect *);

/* --------------------------------------------------------- scratch.c */
void scratch_sweep(const char *dir);
char *scratch_name(const char *dir);
int scratch_make(const char *path, int *lock);
void scratch_remove(const char *path, int lock);
bool scratch_is_empty(const char *path);
char *scratch_find_reserved(const char *path);

/* ----------------------------------------------------------- claim.c */
int claim_take(const char *path, pid_t *who);
void claim_sign(int fd);

/* ------------------------------------------------------------ feed.c */
struct pause_clock {		/* ns; the driver's to write */
	int64_t paused;		/* that the job has been stopped, all together */
	int64_t since;		/* 0, or when it was stopped this time */
};
enum source_kind {
	SOURCE_EMPTY, SOURCE_FD, SOURCE_SEGMENTS, SOURCE_FILL,
};
struct segment {
	int fd;
	uint64_t off, end;
	bool complete;		/* what it lacks at its end is supplied */
	uint64_t begin;		/* then: where its file's records begin */
	bool pipe;		/* read it to its end; off and end count */
	bool reused;		/* its memory will have other bytes: no pipe
				 * may refer to it */
};
struct source {
	enum source_kind kind;
	int fd;			/* SOURCE_FD: becomes standard input */
	/* SOURCE_SEGMENTS: 1 and the next, 0 at the end, -1 and failure->text. */
	int (*segment)(void *, struct segment *, struct buf *why);
	/* SOURCE_FILL: bytes put there; 0 at the end, -1 as above. */
	ssize_t (*fill)(void *, unsigned char *, size_t, struct buf *why);
	void *arg;
};
struct sink {
	struct collect *collect;	/* or, where NULL: */
	struct store *store;
	struct place *place;
	int fd;			/* -1, or a file that is written instead */
	const char *name;	/* of the output that it is part of */
};
enum failure_kind {
	FAIL_NONE, FAIL_STATUS, FAIL_SIGNAL, FAIL_TIMEOUT, FAIL_STALL,
	FAIL_HELD, FAIL_TTY, FAIL_EXEC, FAIL_INPUT, FAIL_ORDER, FAIL_LOST,
	FAIL_UNREAD, FAIL_OUTPUT,
};
struct failure {
	enum failure_kind kind;
	bool source;		/* it is the source's, not the command's */
	int code;		/* exit status, signal or errno */
	int exit;		/* what mr's exit status would be for it */
	bool final;		/* another attempt is of no use */
	bool silent;		/* exit 1 with no output and no message */
	uint64_t peak;		/* bytes of memory that its largest process
				 * had, or 0: not known */
	struct buf text;	/* what was found, for FAIL_INPUT and alike */
	struct buf tail;	/* last lines of its stderr */
};
struct limits {
	int64_t timeout, stall;	/* ns, or 0 */
	uint64_t task_memory;
	bool ok[256];		/* exit statuses that are success */
	bool strict_input;
	uint64_t retries;	/* of combiners; the driver counts those of tasks */
	size_t pipe_size;
};
#define SKIP_DEFAULT 100
struct attempt_stats {
	uint64_t in, out, unread;	/* bytes */
	bool partial;		/* the output lacked its last delimiter */
};
struct attempt {
	const struct command *cmd;
	char *const *envp;
	const char *dir;	/* that it runs in, or NULL: ours */
	const char *tag;	/* put before each line of its stderr, or NULL */
	int log;		/* stderr is copied there as well, or -1 */
	bool quiet;		/* stderr is not passed on */
	struct counters *counters;	/* what it counts, or NULL */
	const struct limits *limits;
	struct source src;
	struct sink sink;
	const struct form *form;	/* of the input */
	const struct format *fmt;	/* of the output */
	int abort_fd;		/* readable: the driver wants us to stop */
	volatile int32_t *group;	/* the task's process group, for others */
	const volatile int32_t *outer;	/* that of a task that waits for this
					 * attempt, or NULL */
	int64_t away;		/* ns that this attempt has waited for others */
	const volatile struct pause_clock *clock;
	volatile uint64_t *moved;	/* bytes read so far, for progress */
	volatile bool *stopped;	/* whether it is, for the same; or NULL */
	/* Called now and then; ns until it wants to be, or -1: */
	int64_t (*tick)(void *);
	void *tick_arg;
	struct attempt_stats stats;
	struct failure fail;
	bool aborted;
};
struct feed {
	struct attempt *a;
	int fd;			/* -1: closed, or not by us */
	struct segment seg;
	bool have_seg, ended;
	bool copy;		/* splice does not work on this input */
	unsigned char *buf;
	size_t at, n;		/* of buf, to be written */
	bool waiting;		/* for the segment, which is a pipe */
	unsigned char last;	/* byte of such a segment, so far */
	bool moved;		/* some bytes, since that was last asked */
};
size_t segment_lacks(const struct segment *, const struct form *,
    const unsigned char **);
void feed_fail(struct attempt *, enum failure_kind, int code, int exit);
void feed_begin(struct feed *, struct attempt *);
void feed_task(struct feed *);
void feed_unread(struct feed *);
void feed_end(struct feed *);

/* --------------------------------------------------------- chatter.c */
struct chatter {
	struct attempt *a;
	int fd;			/* -1: closed */
	struct buf line;	/* not yet whole */
	struct buf tail;	/* the last lines */
};
void chatter_drain(struct chatter *, size_t limit);
void chatter_end(struct chatter *);

/* --------------------------------------------------------- attempt.c */
void sink_put(const struct sink *, const void *, size_t);
void attempt_run(struct attempt *);
void attempt_describe(const struct failure *, const struct limits *,
    struct buf *);

/* ---------------------------------------------------------- perkey.c */
struct perkey;
struct perkey *perkey_new(const struct format *, const struct source *,
    bool key_first);
int perkey_next(struct perkey *, struct buf *why);
const unsigned char *perkey_key(const struct perkey *, size_t *len);
ssize_t perkey_fill(void *, unsigned char *, size_t, struct buf *why);
void perkey_free(struct perkey *);

/* ---------------------------------------------------------- commit.c */
struct jobdir {
	char *path;		/* absolute */
	char *mine;		/* this driver's own directory below tmp/ */
	int fd;			/* of it */
	bool sync;
	uint64_t map_key, reduce_key;	/* of the plan */
	uint64_t part_key;	/* and of the cuts; commits name theirs */
	uint32_t base;		/* in job->stores: of map task 0 */
	uint32_t nmaps;
	bool reduces;		/* the output is made by reduce tasks */
	int lock;		/* 0: not opened */
	char host[64];		/* of the driver that has it */
	pid_t pid;
	bool made;		/* by this process */
	struct waiting {	/* files that have no name yet */
		struct draft draft;
		uint32_t task;
		bool reduce;
	} *waiting;
	size_t nwaiting, waiting_most;
	int64_t since;		/* that the first of them waits, ns */
};
struct commit {
	uint32_t task, attempt;
	bool reduce;
	uint64_t data;		/* bytes of its output or its runs */
	uint64_t split;		/* bytes of input */
	struct attempt_stats stats;
	uint64_t records;
	bool nothing;		/* there was no input after all */
	bool forgone;		/* it was given up, and that was allowed */
	struct buf counters;	/* as saved */
	uint64_t skipped;	/* bad records, */
	struct buf bad;		/* and their lines */
	struct run *runs;
	size_t nruns;
	uint32_t *sums;		/* of the data, each SUM_EVERY bytes */
	size_t nsums;
};
void commit_put(struct jobdir *, struct draft *, const struct commit *);
void commit_sync(struct jobdir *);
int commit_read(const struct jobdir *, bool reduce, uint32_t task,
    struct commit *);
int commit_result(const struct jobdir *, uint32_t store);
struct store *commit_stores(struct jobdir *, struct store *, uint32_t base,
    uint32_t nmaps);
void commit_free(struct commit *);
void commit_remove(const struct jobdir *, bool reduce, uint32_t task);
void commit_counters(const struct jobdir *, bool reduce, uint32_t task,
    struct counters *);
bool commit_is_sound(int fd, const struct commit *);
void commit_open(const struct jobdir *, struct store *, bool reduce,
    uint32_t task);
char *commit_path(const struct jobdir *, bool reduce, uint32_t task);

/* ---------------------------------------------------------- reader.c */
enum job_kind {
	JOB_MAP,	/* records through a command, order kept */
	JOB_SORT,	/* map, sort, reduce */
};
enum output_kind { OUT_STDOUT, OUT_FILE, OUT_DIR, OUT_NONE };
struct job {
	enum job_kind kind;
	struct command map, combine, reduce, finish;
	struct shape shape;
	struct form form;
	struct keys keys;		/* -k; see setup_keys */
	struct input input;
	struct generate made;		/* input that is in no file */
	struct sample sample;		/* which records of the input */
	struct limits limits;
	struct store *stores;		/* nworkers, then the spool, then those
					 * of a job directory's tasks */
	struct jobdir *jobdir;		/* or NULL */
	struct kept *kept;		/* with --append, or NULL */
	size_t batch;			/* runs that are merged at once */
	unsigned nworkers;
	uint64_t worker_memory;		/* bytes each worker may use of its own */
	size_t hand_room;		/* bytes of a part that it may keep */
	uint64_t key_memory;		/* and a built-in reducer for a key */
	const char **tmpdirs;
	size_t ntmpdirs;
	const char *compress;
	char *scratch;			/* our 0700 directory under -T */
	char *outscratch;		/* and beside the output, or NULL */
	char *outmade;			/* what becomes the file of -o, or NULL */
	char *listscratch;	/* and, when all is done, beside the list of bad
				 * records, or NULL */
	char *extradir;			/* for MR_OUTPUT_DIR's files, or NULL */
	char *logdir;			/* for tasks' standard error, or NULL */
	char id[40];
	bool grouped, check_order;	/* mr reduce */
	const struct aggspec *agg;	/* the built-in reducer, or NULL */
	bool per_key, key_on_stdin;
	uint64_t skip_most;		/* bad records that may be skipped */
	bool whole_file, pack;
	bool file_pairs;		/* records are files, name and bytes */
	bool unique;
	bool tag;
	struct buckets *buckets;	/* instead of runs, or NULL */
	unsigned reducers;		/* 0: not known yet */
	uint64_t ntasks;		/* 0: not known yet, or streaming */
	unsigned cpus_per_task;
	enum output_kind out;
	const char *outpath;		/* as given */
	char *outdir;			/* where the parts are made, or NULL */
	int outdigits;			/* digits in part-NNNNN */
	struct shared *shared;
	const char *phase_name;		/* of JOB_MAP: "map" or "reduce" */
};
struct shared_worker {
	/* Process groups: of its task, of what feeds that, and of its
	 * combiner while the task waits; or 0. */
	volatile int32_t group[NGROUPS];
	volatile uint64_t moved;	/* input bytes of its present task */
	volatile bool stopped;	/* which somebody has stopped by a signal */
};
struct shared {
	volatile struct pause_clock clock;
	volatile int32_t stream;	/* process group that feeds the driver */
	struct shared_worker worker[];
};
enum task_kind {
	TASK_MAP, TASK_FLUSH, TASK_MERGE, TASK_REDUCE, TASK_PRINT, TASK_FINISH,
	TASK_COUNT,	/* before the maps: how many records a source has */
	TASK_SAMPLE,	/* before the maps: the smallest lots */
};
struct found {			/* a record */
	const unsigned char *p;
	size_t len;		/* with what ends it */
	uint32_t file;
	uint64_t off;		/* in the file or stream: where it begins */
	bool header;		/* it is none, but stands before them */
};
struct reader {
	const struct job *job;
	struct split split;	/* aligned */
	uint32_t next;		/* file, when several are packed */
	int fd;			/* -1, or of the file that is open: */
	const struct file *file;
	bool headed, begun;	/* the header, the rest has been given */
	uint32_t at_file;	/* of the segment: its number, and what to */
	uint64_t shift;		/* add to an offset in fd for one in it */
	bool piped;		/* some of the split is compressed */
	struct feeder feeder;	/* of the file that is open */
	char *const *envp;	/* of feeders */
	int abort_fd;		/* readable: the driver wants us to stop */
	struct segment first;	/* which has bytes, if primed */
	bool primed;
	bool nothing;		/* all that is compressed is empty */
	bool late;		/* a limit of time has passed */
	struct segment seg;	/* for reader_read */
	bool in_segment;
	struct buf tail;	/* its last bytes so far, if it is a pipe */
	const unsigned char *lacks;	/* what the last segment still lacks */
	size_t nlacks;
	/* For sorted input: */
	unsigned char *win;		/* for reader_record too */
	size_t given, checked, n, cap;	/* given <= checked <= n */
	struct cutter cutter;	/* of reader_record, in the segment */
	bool drained;		/* a segment that is a pipe has ended */
	/* For a sample: */
	struct lot limit;	/* the last that is taken */
	struct found held;	/* of a record, what is not given yet */
	struct buf header;	/* the same of what stands before records */
	struct buf key;		/* by which the last record was checked */
	struct buf key_before;	/* -k: the same of the one before it */
	bool have_key, disorder;
	uint64_t records;	/* checked, the one out of order too */
};
bool reader_is_piped(const struct job *, const struct split *);
int reader_open(struct reader *, const struct job *, const struct split *,
    char *const *envp, int abort_fd, struct buf *why);
int reader_check(struct reader *, struct buf *why);
int reader_segment(void *, struct segment *, struct buf *why);
ssize_t reader_piece(struct reader *, unsigned char *, size_t,
    struct buf *why);
ssize_t reader_read(struct reader *, unsigned char *, size_t,
    struct buf *why);
ssize_t reader_checked(void *, unsigned char *, size_t, struct buf *why);
int reader_hold(struct reader *, struct buf *why);
ssize_t reader_sampled(void *, unsigned char *, size_t, struct buf *why);
int reader_record(struct reader *, struct found *, struct buf *why);
void reader_after(struct reader *, const void *, size_t);
void reader_close(struct reader *);

/* ----------------------------------------------------------- named.c */
struct named {
	struct reader *r;
	struct buf head;	/* of the present pair, up to its value; */
	size_t given;		/* so much of it is given already */
	uint64_t left;		/* bytes of the value that are not */
	bool spooled;		/* they are in a place of spool */
	struct store spool;
	struct place at;
};
void named_begin(struct named *, struct reader *);
ssize_t named_fill(void *, unsigned char *, size_t, struct buf *why);

/* --------------------------------------------------------- taskenv.c */
struct task_name {
	const char *phase;	/* "map", "reduce" and the like */
	uint32_t task, attempt;
	uint64_t tasks;		/* of the phase; 0: not known yet */
	bool later;		/* its input is none of the job's splits */
};
struct taskenv {
	const struct job *job;
	uint64_t nrecords;	/* that a source has */
	char *tmpdir, *outdir;	/* empty when an attempt starts */
	char *workdir;		/* with --ship: what tasks run in */
	char *logdir;		/* for its standard error, or NULL */
	char **env;		/* with free places at its end for ours */
	size_t nenv;
};
const char *phase_name(const struct job *, enum task_kind);
void taskenv_begin(struct taskenv *, const struct job *, unsigned worker);
char *const *taskenv_set(struct taskenv *, const struct task_name *,
    const struct split *);
int taskenv_log(const struct taskenv *, const struct task_name *);
char *const *taskenv_key(struct taskenv *, const void *key, size_t);
bool taskenv_keep(struct taskenv *, const struct task_name *,
    struct buf *why);

/* ---------------------------------------------------------- sorted.c */
int sorted_check(const struct job *, bool quiet);
int sorted_merge(const struct job *);

/* --------------------------------------------------------- combine.c */
struct combining {		/* one use of the combiner */
	bool amid;		/* a map task waits; so does its command: */
	struct attempt *outer;	/* or NULL */
	struct store *to;	/* where it goes, */
	uint16_t to_id;		/* as its runs say, */
	const char *compress;	/* and by which program, or NULL */
	const struct run *runs;	/* what came out */
	size_t n;
	uint64_t in, out;	/* records */
	uint32_t attempts;
	struct failure fail;
	bool aborted;		/* the driver wants us to stop */
};
struct combiner;
struct combiner *combine_new(const struct job *, unsigned worker, int sock,
    size_t memory);
bool combine_runs(struct combiner *, const struct merge_input *, size_t n,
    const char *compress, struct combining *);

/* ----------------------------------------------------------- reply.c */
#define NO_BOUND UINT32_MAX
struct run_range {		/* a part of a run */
	struct run run;
	uint64_t begin, end;	/* bytes of its data, and of these */
	uint64_t own, own_end;	/* those that no other task needs, if any */
};
struct part {			/* of the output, before TASK_FINISH */
	struct place at;
	bool partial;		/* it lacks a last delimiter that it needs */
};
struct task_msg {
	uint32_t kind, task, attempt;
	uint32_t payload;	/* bytes that follow: n struct run_range and
				 * two bounds, or the key before the split,
				 * or n struct part */
	uint64_t n;		/* runs, or parts, or map tasks */
	uint32_t lolen, hilen;	/* of the bounds, or NO_BOUND */
	uint64_t ntasks;	/* of the phase, or 0: not known */
	uint64_t expect;	/* bytes of output */
	uint64_t nrecords;	/* that a source has */
	struct lot limit;	/* of a sample */
	bool forgo;		/* the task is given up: its output is empty */
	bool hunt;		/* bad records are to be found and left out, */
	uint64_t skip_most;	/* so many at most */
	/* Of a job directory: */
	uint64_t map_key, part_key;
	uint32_t nmaps;
	struct split split;
	struct place free;	/* of this worker's store: for its output */
	bool hand;		/* its part may stay in the worker's hand */
	bool buckets;		/* not by runs */
};
enum reply_kind {
	REPLY_RUN, REPLY_DONE, REPLY_FAILED, REPLY_FLUSHED,
	REPLY_KEPT,		/* what was held is committed */
	REPLY_PRINTED,		/* what was in hand is out, or some of it */
};
struct reply_msg {
	uint32_t kind, task;
	uint32_t payload;	/* bytes that follow: textlen and taillen */
	bool committed;		/* REPLY_RUN: no DONE is waited for */
	bool partial;		/* the output lacks its last delimiter */
	bool held;		/* some of it is in this worker's memory only */
	bool in_hand;		/* all of its output is */
	int error;		/* REPLY_PRINTED: errno, or 0 */
	uint64_t missing;	/* and how many bytes were not written */
	struct run run;		/* REPLY_RUN */
	struct place part;	/* the task's output, if it has any */
	struct attempt_stats stats;
	struct split split;	/* as it was aligned */
	uint64_t input;		/* bytes of it that were read */
	bool nothing;		/* there were none, though it is not empty */
	uint64_t records, read;
	uint64_t peak_kb;	/* of the worker's memory */
	uint64_t hot_weight;	/* of the heaviest key, which follows too */
	uint64_t keys_seen;	/* of job->keys */
	uint64_t combine_in, combine_out;	/* records, since the last */
	uint64_t spilled;	/* bytes of runs that were not told, the same */
	uint32_t combine_attempts;	/* the failure is the combiner's, of
					 * the tasks of run; else 0 */
	struct failure fail;	/* its text and tail follow */
	uint64_t skipped;	/* bad records; their lines follow, too */
	uint32_t textlen, taillen, counterlen, badlen;
};
struct pool {			/* runs that wait to be combined */
	struct store store;
	struct run *runs;	/* neighbours in the input */
	size_t cap;
	struct pool_part {
		size_t n;	/* of them, of which so many */
		size_t raw;	/* come from the collector, and the first */
		size_t made;	/* have come out of the combiner together */
	} done, rest;		/* rest: of the attempt that is under way */
	uint64_t bytes;		/* of all of them */
	unsigned raw_left;	/* of 16 bytes so many were left by combining
				 * them the last time; */
	unsigned more_left;	/* by combining them with what was made of
				 * others */
};
struct worker {
	struct job *job;
	unsigned me;
	int sock;
	pid_t driver;
	struct store *store;	/* ours of job->stores */
	struct store *out;	/* where output goes: that, or file */
	struct store file;	/* with a job directory: behind draft */
	struct draft draft;
	int64_t begun;		/* the present task */
	struct collect *collect;
	struct combiner *combiner;	/* NULL: none */
	struct pool pool;	/* of what is collected for it */
	bool mapping;		/* amid a map task; that runs a command: */
	struct attempt *map_attempt;	/* or NULL */
	uint64_t combine_in, combine_out, spilled;	/* to be told */
	uint32_t newest;	/* the last task in the collector */
	struct run *pending;	/* runs of the attempt that is under way */
	size_t npending, cap_pending;
	struct buf hot;		/* the heaviest key of the last reduce task */
	struct counters counters;	/* of the present attempt */
	uint64_t skipped;	/* bad records of the present task, */
	struct buf bad;		/* and their lines */
	struct taskenv env;
	unsigned char *hand;	/* hand_room bytes for a part, or NULL; */
	size_t in_hand;		/* so many are of one that is not printed */
	struct looking *looking;	/* at a split, or NULL */
	struct gathered *gathered;	/* the last bucket, or NULL */
	struct buf spent;	/* struct run_range of the last reduce task */
	struct store made;	/* input that was generated, of one task */
	struct named named;	/* or files, as pairs */
};
int message_send(int fd, const void *, size_t, const void *payload, size_t);
int message_recv(int fd, void *, size_t);
void reply_begin(struct worker *);
_Noreturn void reply_orphaned(void);
void reply_send(struct worker *, struct reply_msg *);
void reply_run(struct worker *, const struct run *, bool committed);

/* --------------------------------------------------------- harvest.c */
void harvest_combine(struct worker *, const struct merge_input *, size_t n,
    const char *compress, struct combining *);
void harvest_run(void *worker, const struct run *, bool committed);
void harvest_keys(struct worker *, const struct task_msg *);
int64_t harvest_tick(void *worker);
void harvest_alive(struct worker *);
void harvest_before(struct worker *, const struct task_msg *);
void harvest_open(struct worker *);
void harvest_commit(struct worker *, const struct task_msg *, bool ok,
    struct reply_msg *);

/* ------------------------------------------------------------ pool.c */
void pool_begin(struct worker *);
void pool_settle(struct worker *, bool ok);
void pool_flush(struct worker *);
bool pool_holds(const struct worker *);

/* --------------------------------------------------------- taskcmd.c */
struct task_name taskcmd_name(const struct worker *, const struct task_msg *);
void taskcmd_prepare(struct worker *, struct attempt *,
    const struct command *, const struct task_msg *, const struct split *);
bool taskcmd_each_key(const struct job *, uint32_t kind);
void taskcmd_run(struct worker *, struct attempt *, uint32_t kind);
bool taskcmd_end(struct attempt *, struct reply_msg *);
bool taskcmd_close(struct worker *, struct attempt *, const struct task_msg *,
    struct reply_msg *);

/* ------------------------------------------------------------ made.c */
int made_open(struct worker *, const struct task_msg *, struct reader *,
    struct reply_msg *);
void made_count(struct worker *, const struct task_msg *);

/* ------------------------------------------------------------ hunt.c */
struct hunt;
struct hunt *hunt_new(struct worker *, const struct task_msg *);
bool hunt_find(struct hunt *, struct reader *, struct failure *);
bool hunt_leaves_some(const struct hunt *);
void hunt_source(struct hunt *, struct source *);
void hunt_failed(const struct hunt *, struct failure *);
void hunt_tell(struct hunt *);
void hunt_free(struct hunt *);

/* ---------------------------------------------------------- bucket.c */
enum {
	HUGE_PAGE = 2 * MiB,	/* of which a page table has one entry */
	HELD_GROW = 16 * MiB,	/* of a stream that is held, at most at once */
};
struct bound {			/* the first key of a bucket */
	const unsigned char *key;
	size_t len;
};
struct looked {			/* what a map task has found */
	uint64_t from;		/* what offsets count from, in the input */
	struct place at;	/* what it has put out, bucket by bucket */
	bool sized;		/* these are records with their length, a byte,
				 * before them and no delimiter behind */
};
enum bucket_mode {
	BUCKET_DIRECT,		/* entries, by which records are sorted where
				 * they are */
	BUCKET_REFS,		/* entries, by which they are brought together */
	BUCKET_COPIES,		/* the records themselves */
};
struct buckets {
	uint32_t n;
	struct bound *bound;	/* of all but the first */
	uint64_t *prefix;	/* the first bytes of these keys; */
	size_t width;		/* a power of 2: so many, at the end MAX */
	struct buf keys;
	void *mapped;		/* room bytes, with a whole input: */
	uint64_t room;
	const unsigned char *input;	/* where it begins, */
	uint64_t *file_at;	/* and each file behind that */
	uint64_t *end;		/* of the file that has each HUGE_PAGE */
	enum bucket_mode mode;
	/* Of a stream: */
	const unsigned char *ring;	/* where its blocks are, or NULL */
	struct dealing *dealing;
	bool sounded;		/* whether that pays has been looked at */
	uint64_t held, held_most;	/* so many bytes have come, may come, */
	uint64_t memory;	/* have their pages */
	int64_t least_cost[2];	/* of small pages, and of large ones; */
	bool large_failed;	/* and for so many times there are small */
	unsigned small_left;	/* ones (see populate) */
	/* Shared by all processes: */
	volatile bool *unfit;	/* it is to be done with runs */
	struct looked *looked;	/* of each task, */
	uint32_t *ends;		/* where each bucket ends in its output, */
	uint32_t *bytes;	/* and how many bytes its records have, where
				 * these are not the output */
	size_t ntasks, table_size;	/* ntasks: there is room for */
};
struct looking;
struct gathered;
void bucket_look(struct worker *, const struct task_msg *,
    const struct reader *, struct sink *, struct reply_msg *);
uint32_t bucket_find(const struct buckets *, const unsigned char *key,
    size_t len, uint32_t lo, uint32_t hi);
uint32_t bucket_bytes(const struct buckets *, size_t task, uint32_t number);
void bucket_delimit(unsigned char *, size_t len, unsigned char delim);
struct gathered *bucket_gather(struct worker *, const struct task_msg *);
size_t bucket_fill(struct gathered *, const struct job *, unsigned char *,
    size_t cap);

/* --------------------------------------------------------- maptask.c */
void maptask_sample(struct worker *, const struct task_msg *);
void maptask_run(struct worker *, const struct task_msg *, struct buf *payload);

/* ------------------------------------------------------- mergetask.c */
struct merge_input *mergetask_inputs(struct worker *, const struct task_msg *,
    struct buf *payload);
void mergetask_open(struct worker *, const struct merge_input *, size_t n,
    bool open);
size_t mergetask_narrow(struct worker *, struct merge_input *, size_t n,
    const struct bounds *, struct run **);
void mergetask_run(struct worker *, const struct task_msg *,
    struct buf *payload);

/* --------------------------------------------------------- redtask.c */
void redtask_run(struct worker *, const struct task_msg *, struct buf *payload);
void redtask_bucket(struct worker *, const struct task_msg *);
void redtask_print(struct worker *, const struct task_msg *);
void redtask_forgo(struct worker *, const struct task_msg *);
void redtask_finish(struct worker *, const struct task_msg *,
    struct buf *payload);

/* ---------------------------------------------------------- worker.c */
_Noreturn void worker_main(struct job *, unsigned me, int sock, pid_t driver);

/* ---------------------------------------------------------- unpack.c */
struct unpack {
	int fd;
	const struct decoder *decoder;
	bool look, settled;
	unsigned char head[CODEC_LOOK];	/* what was read to look at it */
	size_t have, given;	/* of head */
	struct feeder feeder;
	pid_t cat;		/* which gives it the rest, or 0 */
	const char *dir;	/* for temporary files */
};
void unpack_begin(struct unpack *, int fd, const struct decoder *, bool look,
    const char *dir);
int unpack_fd(const struct unpack *);
ssize_t unpack_read(struct unpack *, void *, size_t, struct buf *why);
void unpack_end(struct unpack *);

/* ----------------------------------------------------------- lines.c */
struct lines {			/* bytes, and where their records end */
	struct buf b;
	size_t *end, n, cap;
};
void lines_add(struct lines *, size_t end);
size_t lines_at(const struct lines *, size_t);
void lines_free(struct lines *);
void lines_copy(struct lines *, const struct lines *from, size_t);
void lines_find(struct lines *, unsigned char delim);
bool lines_begin_group(const struct lines *, const struct format *, size_t);
void lines_show(const struct lines *, size_t, struct buf *);
void lines_show_difference(const struct buf *, const struct buf *,
    unsigned char delim, const char *, const char *, struct buf *what);
void lines_sort(struct lines *, const struct shape *);
size_t lines_sample(struct lines *, const struct job *, const struct file *,
    size_t most, struct buf *header);

/* ----------------------------------------------------------- trial.c */
struct trial {
	struct job *job;
	struct taskenv env;
	int in, out, err;	/* files without a name */
	int lock;		/* of the scratch directory */
	struct split split;	/* what the map command is told of */
	uint32_t task;		/* the number that a command is told */
	uint64_t runs;
};
void trial_begin(struct trial *, struct job *);
void trial_run(struct trial *, const struct command *, const char *phase,
    uint32_t attempt, const void *key, size_t klen, const void *in,
    size_t len, struct buf *out);
void trial_end(void);

/* ----------------------------------------------------------- check.c */
int check_run(struct job *, bool cut);

/* ---------------------------------------------------------- stream.c */
struct stream;
struct stream *stream_open(const char *name, const struct format *,
    const struct form *, struct store *spool, uint16_t spool_id, size_t block,
    bool groups, bool uncut, bool reuses);
void stream_unpack(struct stream *, const struct decoder *, bool look,
    const char *dir);
int stream_fd(const struct stream *);
void stream_widen(struct stream *, size_t bytes);
void stream_put_back(struct stream *, const unsigned char *, size_t, bool all);
bool stream_is_ready(const struct stream *);
pid_t stream_group(const struct stream *);
void stream_set_block(struct stream *, size_t);
ssize_t stream_bytes(struct stream *, unsigned char *, size_t, struct buf *why);
void stream_begin_at(struct stream *, uint64_t off, const unsigned char *,
    size_t);
int stream_read(struct stream *, struct split *, struct buf *before,
    struct buf *why);
bool stream_next(struct stream *, struct split *);
void stream_done(struct stream *, const struct place *);
void stream_close(struct stream *);

/* ------------------------------------------------------------ cuts.c */
struct cuts;
struct cuts *cuts_open(const struct form *, const struct file *,
    uint32_t number, uint64_t head, uint64_t block);
int cuts_next(struct cuts *, struct split *);
void cuts_close(struct cuts *);

/* -------------------------------------------------------- progress.c */
struct progress {
	bool on, lines;		/* lines: not a terminal, a line now and then */
	bool shown;
	int64_t start, next, paused;	/* ns */
	int64_t phase_start, phase_paused;
	uint64_t done, total;	/* tasks; total 0: unknown */
	uint64_t bytes, moving;	/* of tasks that are done; of others */
	uint64_t bytes_total;
	unsigned stopped;	/* tasks that have been stopped */
	const char *phase;
};
void progress_begin(struct progress *, bool force, bool quiet);
void progress_phase(struct progress *, const char *, uint64_t total,
    uint64_t bytes_total);
int64_t progress_tick(struct progress *, int64_t now);
void progress_print(struct progress *, int64_t now);
void progress_erase(struct progress *);
void progress_end(struct progress *);

/* ---------------------------------------------------------- output.c */
struct output;
struct output *output_new(struct job *, bool overwrite);
bool output_made_by(const char *dir, const char *job_id);
void output_begin(struct output *);
void output_sign(const struct output *);
int output_fd(const struct output *);
void output_by_hand(struct output *);
void output_add(struct output *, const struct place *, bool partial);
bool output_ready(const struct output *);
void output_take_free(struct output *, uint16_t store, struct place *);
int output_pump(struct output *);
uint64_t output_waiting(const struct output *);
bool output_begun(const struct output *);
bool output_amid(const struct output *);
void output_cut(struct output *, uint64_t parts);
void output_files(struct output *);
void output_logs(struct output *);
void output_parts(struct output *, const bool *partial, uint64_t n);
FILE *output_file(struct output *, const char *name);
char *output_aside(const char *dir);
int output_finish(struct output *);
void output_free(struct output *);

/* ------------------------------------------------------------ crew.c */
struct plan_options {
	uint64_t jobs, memory, block;	/* block 0: by the input */
	uint64_t reducers, batch;
	uint64_t retries;
	int64_t deadline;	/* ns */
	bool nonempty, dry_run, quiet, verbose, progress;
	bool keep_going;
	uint64_t max_failures;	/* tasks that may fail */
	const char *bad_records;	/* the file that lists them, or NULL */
	bool overwrite, append, filter, unordered, check;
	const char *job_dir;	/* or NULL */
	bool detach, no_sync;
	const struct engine *engine;	/* that runs it, or NULL: we do */
	const char *after;	/* a job directory, or a job of the engine's */
	char **engine_words;	/* options for its submitter */
	size_t nengine_words;
	bool hold;		/* the user releases the job */
	uint64_t elements;	/* 0: by the engine's limits: */
	struct engine_limits limits;
	uint64_t most;		/* elements at once; 0: any number */
	const struct cmd *cmd;	/* for a job directory: the options */
	char **words;		/* as --name=value */
	size_t nwords;
};
#define NO_TASK (-1)
enum task_state { PENDING, RUNNING, DONE, KEPT, GIVEN_UP };

struct task {
	struct split split;
	struct place part;
	uint32_t attempts;
	uint8_t state;
	bool partial;
	uint32_t hand;		/* DONE: 1 + the worker that has its part in
				 * hand; or 0 */
	struct buf before;	/* sorted input: the record before */
	bool hunt;		/* bad records are looked for */
	bool forgo;		/* it is given up, and its output is empty */
	uint64_t records;	/* that it read, where that is known */
	struct buf counters;	/* as saved, until it is kept */
	struct buf bad;		/* lines of bad records */
	struct buf history;	/* lines of attempts that have failed, */
	struct buf last;	/* and of the last of them */
	int64_t begun;
};

struct span {			/* tasks that nobody has taken yet */
	uint32_t lo, hi;
	int owner;		/* worker that walks it from below, or -1 */
};

struct worker_state {
	pid_t pid;		/* 0: not there */
	int sock;
	int64_t task;		/* NO_TASK: idle */
	uint32_t kind;
	int64_t last;		/* the last map task it was given */
	int64_t hand;		/* the task whose part it has, or NO_TASK */
	bool holds;		/* map output in its memory: */
	uint32_t held_from, held_to;
	bool flushed;
	struct run *pending;	/* of tasks that are not kept yet */
	size_t npending;
	struct run *inputs;	/* of its present merge */
	size_t ninputs;
	uint64_t peak_kb;
};

struct driver {
	struct job *job;
	struct plan_options *po;
	struct output *out;
	struct worker_state *w;
	unsigned nw, alive;
	struct task *tasks;	/* of the present phase */
	size_t n, cap;
	size_t unfinished;
	struct span *spans;
	size_t nspans, cap_spans;
	size_t file;		/* the next operand to plan */
	struct stream *stream;
	struct cuts *cutting;	/* of a file that is cut from its front */
	size_t stream_blocks;	/* handed out or waiting */
	size_t stream_block_size;
	uint64_t stream_bytes;
	struct buf before;
	bool planned;		/* all tasks of the phase are known */
	bool fed;		/* a map task had some input */
	struct jobplan *plan;	/* in a job directory, or NULL */
	struct lots lots;	/* the smallest that were drawn */
	bool in_order;
	uint64_t block;
	struct run *runs;	/* in input order */
	size_t nruns, cap_runs;
	size_t batch;
	struct run_index *index;
	struct bounds *cuts;	/* of the parts */
	uint64_t nparts;
	size_t added;		/* parts added to the output */
	enum task_kind phase;	/* _COUNT, _SAMPLE, _MAP, _REDUCE, _FINISH */
	int64_t disorder;	/* the first task out of order, or NO_TASK */
	uint64_t disorder_record;	/* in it */
	bool hold;		/* nothing is printed before all is right */
	bool holding;		/* a stream is read into memory */
	bool by_buckets;	/* see divide.c */
	bool by_hand;		/* workers may keep their parts and print them; */
	off_t print_at;		/* where one began to, the last time */
	int print_error;	/* that failed: errno, */
	uint64_t print_missing;	/* and how many bytes were not written */
	struct progress bar;
	int64_t deadline;
	int lock;		/* of the scratch directory */
	int list_lock;		/* of that beside the list of bad records */
	/* What ends the job early: */
	bool failed;
	int status;
	uint64_t failures;
	/* Sums, for -v and the report: */
	uint64_t in, outbytes, records, unread, retries;
	uint64_t given_up;	/* tasks, of all phases */
	bool trouble;		/* one of them was no command's failure */
	struct buf failed_input;	/* lines that name what they were to read */
	uint64_t skipped;	/* bad records, */
	struct buf bad;		/* a line of each in order of input */
	uint64_t combine_in, combine_out;
	uint64_t was_done;	/* tasks that were committed before */
	bool begun_dir;		/* a job directory waits for our verdict */
	bool new_dir;		/* it was planned by us */
	bool undo_dir;		/* that is taken back if we end now */
	int ending;		/* exit status, for that */
	uint64_t runs_written, merges, passes, spilled, lost_workers;
	uint64_t map_out, peak_kb;
	int64_t t0, t_map, t_merge, t_reduce, t_finish, t_end;
	uint64_t map_tasks;
	int64_t looked;		/* whether another element has failed */
	struct counters counters;	/* of tasks that are kept */
	struct buf hot;		/* keys with much of the weight, as text */
	uint64_t weight;
	FILE *joblog;
};
void crew_new(struct driver *);
bool crew_start(struct driver *, unsigned who);
void crew_forget(struct driver *, struct worker_state *);
void crew_signal(struct driver *, unsigned who, int sig);
void crew_stop(struct driver *);
void crew_give(struct driver *, unsigned who, struct task_msg *,
    const struct buf *payload);
int crew_idle(struct driver *);
void crew_renew(struct driver *);

/* ------------------------------------------------------------ plan.c */
uint64_t plan_block_size(const struct driver *);
void plan_advise(const struct driver *);
struct task *plan_add(struct driver *, const struct split *);
void plan_keep(struct driver *, const struct split *, bool done);
void plan_more(struct driver *);
void plan_cut(struct driver *);
bool plan_empty(struct driver *);
bool plan_wants(const struct driver *, bool *now);
void plan_read(struct driver *);
void plan_ended(struct driver *);
int64_t plan_next(struct driver *, unsigned who);
void plan_again(struct driver *, uint32_t lo, uint32_t hi, int owner);

/* ---------------------------------------------------------- divide.c */
bool divide_has_room(struct driver *, uint64_t bytes, uint64_t *size);
void divide_note_ends(struct buckets *, size_t file, uint64_t size);
bool divide_choose(const struct job *, uint64_t input, size_t n);
uint64_t divide_most(const struct driver *);
bool divide_drifts(const struct driver *);
bool divide_share_table(struct buckets *);
void divide_free_bounds(struct buckets *);
void divide_forget(struct driver *);
void divide_give_up(struct driver *, bool all);
void divide_begin(struct driver *);
bool divide_settle(struct driver *);
void divide_give(struct driver *, unsigned who, uint32_t number);

/* ------------------------------------------------------------ deal.c */
bool deal_wants(const struct driver *, bool *now);
void deal_read(struct driver *);
void deal_done(struct driver *, const struct split *);
bool deal_falters(struct driver *);

/* ---------------------------------------------------------- jobdir.c */
struct jobdir *jobdir_open(const char *path, bool make);
int jobdir_try_lock(struct jobdir *);
void jobdir_unlock(struct jobdir *);
void jobdir_sign_lock(struct jobdir *);
void jobdir_lock(struct jobdir *);
void jobdir_sweep(const struct jobdir *);
bool jobdir_put(const struct jobdir *, const char *name, struct buf *,
    const char kind[8], bool replace);
int jobdir_get(const struct jobdir *, const char *name, struct buf *,
    const char kind[8]);
void jobdir_begin(struct jobdir *);
void jobdir_end(const struct jobdir *, int status);
int jobdir_verdict(const struct jobdir *);
void jobdir_fail(const struct jobdir *, int status, const struct buf *lines);
int jobdir_failure(const struct jobdir *, struct buf *lines);
uint64_t jobdir_count(const struct jobdir *, const char *name);
void jobdir_drop(const struct jobdir *, const char *name);
void jobdir_remove(struct jobdir *);
void jobdir_undo(struct jobdir *);

/* --------------------------------------------------------- jobplan.c */
enum ask_kind {
	ASK_RUN,		/* make a job, or go on with one */
	ASK_RESUME,		/* go on */
	ASK_TASKS,		/* run some tasks of it */
	ASK_RESULT,		/* print what it has made */
};
struct ask {			/* what is wanted of the job in a directory */
	enum ask_kind kind;
	bool reduce;		/* ASK_TASKS: which */
	uint32_t lo, hi;
	/* In a queue, by an engine (queue.c): */
	bool element;
	bool sweep;		/* every task whose number leaves... */
	uint64_t share, of;	/* ...share by of; else such a stretch */
	const char *node;	/* where we are */
};
extern struct ask jobplan_ask;
extern const char jobplan_cuts_kind[8];
struct jobplan {
	char *id, *cwd;
	uint64_t map_key, reduce_key;
	char **words;		/* options, as --name=value */
	size_t nwords;
	uint64_t block;		/* bytes of a task's input */
	uint64_t nrecords;	/* that a source has */
	bool drawn;		/* the sample is known: */
	struct lot last;
	bool sorts;		/* there are reduce tasks */
	struct file *files;
	size_t nfiles;
	struct split *splits;	/* of the map tasks */
	size_t nsplits;
};
bool jobplan_read(struct jobdir *, struct jobplan *);
uint64_t jobplan_parts(struct jobdir *, bool *known);
void jobplan_same(const struct driver *, const struct jobplan *);
void jobplan_make(struct driver *, struct jobplan *);
void jobplan_drawn(struct driver *);
void jobplan_compare(struct driver *, struct jobplan *, const bool *done,
    bool maps, bool parts);

/* -------------------------------------------------------- jobstate.c */
void jobstate_begin(struct driver *);
void jobstate_plan(struct driver *);
void jobstate_stores(struct driver *);
void jobstate_extra(struct driver *);
bool jobstate_has(struct driver *, uint32_t task);
bool jobstate_adopt(struct driver *, uint32_t task);
bool jobstate_is_complete(struct driver *);
uint64_t jobstate_forgone(struct driver *);
void jobstate_runs(struct driver *);
bool jobstate_cuts(struct driver *);
void jobstate_put_cuts(struct driver *);
void jobstate_parts(struct driver *);
void jobstate_results(struct driver *);

/* ---------------------------------------------------------- digest.c */
struct digest {
	uint64_t key, key2;	/* the point, and its square */
	uint64_t value, len;
	unsigned char part[8];	/* len % 8 bytes that are not in value */
};
uint64_t digest_key(void);
void digest_begin(struct digest *, uint64_t key);
void digest_add(struct digest *, const unsigned char *, size_t);
uint64_t digest_value(const struct digest *);

/* --------------------------------------------------------- content.c */
void content_read(const struct job *, const struct file *, uint64_t limit,
    void (*take)(void *, const unsigned char *, size_t), void *);
_Noreturn void content_changed(const char *name);

/* ----------------------------------------------------------- known.c */
enum { KNOWN_HEAD = 256, KNOWN_POWERS = 40 };
#define KNOWN_POWER(i) (UINT64_C(512) << (i))
struct known {			/* an input that something was taken of */
	char *name;		/* absolute, where it was last */
	uint64_t ino, size;	/* of that file, then */
	int64_t mtime_ns, ctime_ns;	/* 0: it may have changed since */
	uint64_t len, sum;	/* bytes that were taken, and their digest */
	unsigned char head[KNOWN_HEAD];	/* the first of them */
	uint64_t powers[KNOWN_POWERS];	/* digests of the first KNOWN_POWER(i)
				 * of them, as far as there are so many */
	bool moved;		/* it had another name when it grew last, or
				 * another one has come to its name */
	bool taken;		/* a named file is it */
};
struct knowns {
	uint64_t key;		/* of digests */
	struct known *v;
	size_t n;
};
struct news {			/* what is new */
	struct piece {
		struct file file;
		uint64_t from, end;	/* bytes of it, decompressed */
		uint64_t sum;	/* digest of all up to end */
		bool all;	/* that is the end of the file */
	} *v;
	size_t n;
	bool moved;		/* files that are known are elsewhere */
};
void known_find(const struct job *, struct knowns *, const char *dir,
    struct news *);
bool known_is_same(const struct job *, const struct knowns *,
    const struct piece *);

/* ------------------------------------------------------------ kept.c */
struct kept {
	const char *outpath;	/* the output directory, as given */
	struct jobdir dir;	/* its _mr; fd -1: there is none */
	bool made;		/* there is a state, so there is a result */
	struct knowns known;
	struct news news;
	char **words;		/* options, as --name=value */
	size_t nwords;
	uint32_t nparts;	/* that keys are dealt into, or 0 */
	uint32_t next;		/* number of the next run */
	struct run *runs;	/* seq: their numbers */
	size_t nruns;
	uint32_t base;		/* in job->stores: of the first of them */
};
struct kept *kept_open(const char *outpath);
void kept_compare(struct kept *, const struct cmd *, char **words, size_t n,
    uint32_t nparts);
void kept_stores(struct kept *, struct job *, uint32_t base);
void kept_save(struct kept *, const struct job *, const char *outdir,
    struct run *, size_t n);
void kept_note(struct kept *);

/* ---------------------------------------------------------- append.c */
bool append_begin(struct driver *);
void append_stores(struct driver *);
void append_unpack(struct driver *);
void append_runs(struct driver *);
void append_keep(struct driver *);

/* ----------------------------------------------------------- queue.c */
enum { QUEUE_JOBS = 5 };
struct queue {			/* what runs a job in a job directory */
	const struct engine *engine;
	char *ids[QUEUE_JOBS];	/* in the order in which they run */
	size_t n;
	bool after;		/* another job has to succeed before */
	uint64_t begun;		/* time(2) of its submission */
};
const struct engine *queue_engine(const char *name);
const char *queue_names(void);
bool queue_read(const struct jobdir *, struct queue *);
enum engine_state queue_state(const struct jobdir *, const struct queue *);
char **queue_options(const struct engine *, const char *text, size_t *n,
    bool *hold);
void queue_write(const struct jobdir *, const struct queue *);
void queue_cancel(const struct jobdir *, const struct queue *);

/* ---------------------------------------------------------- submit.c */
void submit_prepare(struct plan_options *);
void submit_job(struct driver *, struct queue *);

/* ---------------------------------------------------------- follow.c */
void follow_cancel(struct jobdir *, const struct queue *, int sig);
void follow_job(struct jobdir *, const struct queue *, bool progress,
    bool quiet, bool cancels);

/* ----------------------------------------------------------- again.c */
int again_run(struct jobdir *, char *const *more, size_t n);

/* ----------------------------------------------------------- parts.c */
void parts_choose(struct driver *);
void parts_give(struct driver *, unsigned who, uint32_t part);

/* ---------------------------------------------------------- report.c */
void report_plan(const struct driver *);
void report_failure(struct driver *, const struct task *,
    const struct reply_msg *);
void report_task(struct driver *, const struct task *,
    const struct reply_msg *, const char *result);
void report_attempt(struct driver *, struct task *, const struct reply_msg *);
void report_given_up(struct driver *, const struct task *,
    const struct reply_msg *);
void report_tolerated(const struct driver *);
void report_summary(const struct driver *);
void report_write(const struct driver *, FILE *);

/* ------------------------------------------------------------ hand.c */
bool hand_possible(const struct driver *);
void hand_took(struct driver *, struct worker_state *, uint32_t task);
void hand_lost(struct driver *, struct worker_state *);
void hand_next(struct driver *);
void hand_printed(struct driver *);
bool hand_waits(const struct driver *);

/* --------------------------------------------------------- outcome.c */
void outcome_fails(struct driver *, int status);
bool outcome_elsewhere(struct driver *);
bool outcome_settle(struct driver *);
void outcome_take(struct driver *, unsigned who);

/* ------------------------------------------------------------ loop.c */
void loop_begin(struct driver *);
void loop_clean_up(void);
_Noreturn void loop_output_died(const struct driver *);
void loop_step(struct driver *);

/* ---------------------------------------------------------- passes.c */
void passes_run(struct driver *);

/* ---------------------------------------------------------- phases.c */
void phases_again(struct driver *);
void phases_count(struct driver *);
void phases_sample(struct driver *);
void phases_map(struct driver *);
void phases_flush(struct driver *);
void phases_reduce(struct driver *);
void phases_finish(struct driver *);

/* -------------------------------------------------------- handover.c */
bool handover_join(struct driver *);
void handover_begin(struct driver *);
bool handover_is_due(struct driver *);
int handover_run(struct driver *);
/* --------------------------------------------------------- badlist.c */
void badlist_check(const char *path);
void badlist_begin(struct driver *);
void badlist_gather(struct driver *);
void badlist_write(struct driver *);
void badlist_commit(struct driver *);

/* ---------------------------------------------------------- driver.c */
int driver_run(struct job *, struct plan_options *);

/* ----------------------------------------------------------- given.c */
enum {				/* ids of options that several share */
	O_JOBS = 1, O_MEMORY, O_TMPDIR, O_BATCH, O_COMPRESS, O_SEP, O_FIELDS,
	O_ZERO, O_BLOCK, O_OUTPUT, O_OUTDIR, O_OVERWRITE, O_ADD, O_REDUCERS,
	O_QUIET, O_VERBOSE, O_PROGRESS, O_DRY_RUN, O_OK_EXIT, O_NONEMPTY,
	O_RETRIES, O_TIMEOUT, O_STALL, O_DEADLINE, O_TASK_MEMORY, O_STRICT,
	O_KEY, O_PARTITION,
	O_KEEP_GOING, O_MAX_FAILURES, O_SKIP_BAD, O_BAD_RECORDS,
	O_TAG, O_ENV, O_SHIP, O_INPUT, O_COMMAND, O_UNORDERED, O_WHOLE, O_PACK,
	O_JOB_DIR, O_DETACH, O_NO_SYNC,
	O_ON, O_AFTER, O_SBATCH, O_ELEMENTS,
	O_PER_KEY, O_KEY_STDIN,
	O_RECURSIVE, O_FILES_FROM, O_FILES0_FROM, O_DECOMPRESS,
	O_LINES, O_RECORDS, O_RECSTART, O_RECEND, O_HEADER, O_IO,
	O_AGG,
	O_OWN,			/* from here on: a subcommand's own */
};
#define OPT_JOBS { O_JOBS, 'j', "jobs", "N", \
    "tasks at once; 50% of the cores (default: all)", OPT_FREE }, \
    { O_JOBS, 'P', NULL, "N", NULL, OPT_HIDDEN }
#define OPT_MEMORY { O_MEMORY, 'S', "buffer-size", "SIZE", \
    "mr's own memory, all together (default 25%)", OPT_FREE }
#define OPT_TMPDIR { O_TMPDIR, 'T', "temporary-directory", "DIR", \
    "for what exceeds it; may be repeated", OPT_FREE }
#define OPT_SORTING \
    { O_BATCH, 0, "batch-size", "N", "runs merged at once", OPT_FREE }, \
    { O_COMPRESS, 0, "compress-program", "PROG", \
    "compress temporary files; PROG -d undoes it", 0 }
#define OPT_ZERO { O_ZERO, 'z', "zero-terminated", NULL, \
    "records end with NUL, not with a newline", 0 }, \
    { O_ZERO, '0', NULL, NULL, NULL, OPT_HIDDEN }
#define OPT_FORM { O_LINES, 'L', "lines", "N", \
    "a record of the input is N lines (FASTQ: 4)", 0 }, \
    { O_RECSTART, 0, "recstart", "STRING", \
    "one begins with a line that begins so (FASTA: '>')", 0 }, \
    { O_RECEND, 0, "recend", "STRING", \
    "one ends with STRING (paragraphs: '\\n\\n')", 0 }, \
    { O_HEADER, 0, "header", "HOW", \
    "the first line of a file: skip, or repeat it", 0 }, \
    { O_RECORDS, 'N', "records", "N", "records of a task", \
    OPT_FREE_APPEND }
#define OPT_IO { O_IO, 0, "io", "FORMAT", \
    "text, or rawbytes: keys and values of any bytes", 0 }
#define OPT_KEYS { O_SEP, 't', "field-separator", "C", \
    "one byte between fields (default TAB)", 0 }, \
    { O_FIELDS, 0, "key-fields", "N", \
    "the key is the first N fields (default 1)", 0 }
#define OPT_PER_KEY \
    { O_PER_KEY, 0, "per-key", NULL, \
    "reduce once per key: values on stdin, MR_KEY set", 0 }, \
    { O_KEY_STDIN, 0, "key-on-stdin", NULL, \
    "with --per-key: the key as the first record", 0 }
#define OPT_KEYDEF { O_KEY, 'k', "key", "KEYDEF", \
    "order of keys, then of their records: 1,1n or 2,2r", 0 }
#define OPT_PARTITION { O_PARTITION, 0, "partition", "HOW", \
    "range, hash, or a CMD that numbers keys", 0 }
#define OPT_DECOMPRESS { O_DECOMPRESS, 0, "decompress", "HOW", \
    "by auto(matic choice), none, or a command", 0 }
#define OPT_BLOCK { O_BLOCK, 0, "block-size", "SIZE", \
    "input bytes of a task (default: by the input)", OPT_FREE_APPEND }, \
    { O_BLOCK, 0, "block", "SIZE", NULL, OPT_HIDDEN }
#define OPT_DEADLINE { O_DEADLINE, 0, "deadline", "TIME", \
    "limit of the whole job", OPT_FREE }
#define OPT_JOB_DIR { O_JOB_DIR, 0, "job-dir", "DIR", \
    "keep the job's state there; again: go on", OPT_FREE }, \
    { O_DETACH, 0, "detach", NULL, "go on in the background (mr wait)", \
    OPT_FREE }, \
    { O_NO_SYNC, 0, "no-sync", NULL, NULL, OPT_HIDDEN | OPT_FREE }
#define OPT_ENGINE \
    { O_ON, 0, "on", "WHERE", \
    "", OPT_FREE | OPT_JOINED }, \
    { O_AFTER, 0, "after", "JOB", "", OPT_FREE | OPT_JOINED }, \
    { O_ELEMENTS, 0, "elements", "N", "", OPT_FREE | OPT_JOINED }, \
    { O_SBATCH, 0, "sbatch", "OPTS", "or slurm (mr-slurm)", OPT_FREE }
#define OPT_TASKS \
    { O_OK_EXIT, 0, "ok-exit", "LIST", \
    "exit statuses that are success too, e.g. 1", 0 }, \
    { O_RETRIES, 0, "retries", "N", \
    "attempts of a task after the first (default 0)", OPT_FREE }, \
    { O_TIMEOUT, 0, "timeout", "TIME", "", OPT_FREE | OPT_JOINED }, \
    { O_STALL, 0, "stall", "TIME", \
    "limits of an attempt (10m), of its silence", OPT_FREE }, \
    OPT_DEADLINE, \
    { O_TASK_MEMORY, 0, "task-memory", "SIZE", \
    "memory limit of each process of a task", OPT_FREE }, \
    { O_STRICT, 0, "strict-input", NULL, \
    "input that a task leaves unread is a failure", 0 }, \
    { O_ENV, 0, "env", "NAME=VALUE", "set a variable for the tasks", 0 }, \
    { O_SHIP, 0, "ship", "PATH[=NAME]", \
    "tasks run in a directory with such files only", 0 }, \
    { O_TAG, 0, "tag", NULL, \
    "begin lines of tasks' stderr with their task", OPT_FREE }
/* mr map cannot keep on: what it has printed must be a prefix. */
#define OPT_TOLERATE \
    { O_MAX_FAILURES, 0, "max-failures", "N", \
    "run the others; do without N failed", OPT_FREE }, \
    { O_SKIP_BAD, 0, "skip-bad-records", "N", "", \
    OPT_FREE | OPT_OPTIONAL | OPT_JOINED }, \
    { O_BAD_RECORDS, 0, "bad-records", "FILE", "and list them", OPT_FREE }
#define OPT_TALK \
    { O_PROGRESS, 0, "progress", NULL, \
    "show progress on stderr, terminal or not", OPT_FREE }, \
    { O_QUIET, 'q', "quiet", NULL, "show no progress", OPT_FREE }, \
    { O_VERBOSE, 'v', "verbose", NULL, "say what was done, at the end", OPT_FREE }, \
    { O_DRY_RUN, 0, "dry-run", NULL, "print the plan and do nothing", OPT_FREE }
#define OPT_AGG { O_AGG, 0, "agg", "OPS", \
    "built-in reducer: 'count sum 2 top:3 2' ...", 0 }
struct setup {
	struct job job;
	const char *agg;	/* words of the built-in reducer, or NULL */
	struct plan_options po;
	const char **inputs;	/* of -i, in order */
	size_t ninputs;
	const char *list;	/* of --files-from or --files0-from */
	bool given[O_OWN];	/* options, by id */
	struct buf recstart, recend;
	const char *partition;		/* as given, or NULL */
	const char *on, *sbatch;	/* as given, or NULL */
	const struct optscan *scan;	/* that they are from */
};
bool given_option(struct setup *, int id, const struct optscan *);

/* ----------------------------------------------------------- setup.c */
void setup_begin(struct setup *, const char *what);
void setup_needs(const struct setup *, int id, const char *name,
    const char *lacks);
void setup_io(struct setup *);
void setup_form(struct setup *);
void setup_keys(struct setup *);
void setup_aggregate(struct setup *);
void setup_engine(struct setup *);
void setup_tolerance(struct setup *);
void setup_no_command(const struct setup *, const char *lacks);
void setup_partition(struct setup *);
void setup_input(struct setup *, char *const *names, int n);
void setup_argv(struct command *, char **argv);
int setup_decoder(const struct setup *);
int setup_command(struct setup *, const char *line, const struct optscan *);
int setup_run(struct setup *);
int setup_run_groups(struct setup *);

/* ----------------------------------------------------- the subcommands */
extern const struct cmd map_cmd, sort_cmd, shuffle_cmd, reduce_cmd, agg_cmd,
    run_cmd, convert_cmd;
extern const struct cmd resume_cmd, task_cmd, wait_cmd, status_cmd, logs_cmd,
    cancel_cmd, rm_cmd, element_cmd;

#endif
