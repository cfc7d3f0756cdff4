/* gen.c - prints a data set of a given size: the same bytes every time.
 *
 *	gen U|Z|L BYTES
 *
 * U	unique keys: 10 random printable bytes, TAB, 88 bytes, as the sort
 *	benchmark of gensort -a has them
 * Z	a number for each of a million keys, which occur as Zipf's law has it
 *	(the second half as often as the first, and so on): short records,
 *	of which most differ
 * L	a web server's log, of 200,000 addresses that occur as Zipf has it
 *
 * The last record goes over BYTES rather than under. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	Z_KEYS = 1000000,
	L_URLS = 200000,
	GUIDE = 65536,
	RECORD = 1024			/* room for any of them */
};

/* xorshift128+, from a fixed seed. */
static uint64_t state[2] = { 0x243f6a8885a308d3, 0x13198a2e03707344 };

static uint64_t
random64(void)
{
	uint64_t a = state[0], b = state[1];

	state[0] = b;
	a ^= a << 23;
	state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
	return state[1] + b;
}

static unsigned
random_below(unsigned n)
{
	return (unsigned)(random64() % n);
}

/* Makes a number that looks random of one that is a rank. */
static uint64_t
scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccd;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53;
	return x ^ x >> 33;
}

/* The share of all draws that ranks 0 to i have together, and for each of
 * GUIDE equal steps of that share the first rank to look at. */
static double *zipf_sum;
static uint32_t zipf_guide[GUIDE + 1];

static void
zipf_init(uint32_t ranks)
{
	double total = 0;
	uint32_t rank = 0;

	zipf_sum = malloc(ranks * sizeof *zipf_sum);
	if (zipf_sum == NULL) {
		perror("gen");
		exit(1);
	}
	for (uint32_t i = 0; i < ranks; i++)
		zipf_sum[i] = total += 1.0 / (i + 1);
	for (uint32_t i = 0; i < ranks; i++)
		zipf_sum[i] /= total;
	for (uint32_t g = 0; g <= GUIDE; g++) {
		while (rank < ranks - 1 && zipf_sum[rank] < (double)g / GUIDE)
			rank++;
		zipf_guide[g] = rank;
	}
}

static uint32_t
zipf(void)
{
	double u = (double)(random64() >> 11) / 9007199254740992.0;
	uint32_t step = (uint32_t)(u * GUIDE);
	uint32_t low = zipf_guide[step], high = zipf_guide[step + 1];

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (zipf_sum[mid] < u)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Each of these puts the next record at p and returns its length. */
static int
unique_record(char *p)
{
	static uint64_t n;
	char *start = p;

	for (int i = 0; i < 10; i++)
		*p++ = (char)('!' + random_below('~' - '!' + 1));
	p += sprintf(p, "\t%032" PRIX64, n++);
	for (int i = 0; i < 56; i++)
		*p++ = (char)('A' + random_below(26));
	*p++ = '\n';
	return (int)(p - start);
}

static int
zipf_record(char *p)
{
	static const char digit[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t h = scramble(zipf() + 12345);
	int len = 7 + (int)((h >> 60) % 5);

	for (int i = 0; i < len; i++, h /= 36)
		p[i] = digit[h % 36];
	return len + sprintf(p + len, "\t%u\n", random_below(1000));
}

static int
log_record(char *p)
{
	static const char *const agent[] = {
		"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
		"Mozilla/5.0 (Macintosh) AppleWebKit/605.1 Safari/605",
		"Mozilla/5.0 (Windows NT 10.0) Chrome/126.0",
		"curl/8.4.0", "ExampleBot/2.1 (+http://www.example.org/bot)",
	};
	static const char *const place[] = {
		"articles", "images", "api/v2", "static/js",
		"users", "search", "blog/2024", "tag",
	};
	static unsigned now;
	uint32_t host = (uint32_t)scramble(zipf()), url = zipf();
	uint64_t h = scramble(url + 999);
	unsigned luck = random_below(100);

	now += random_below(3);
	return sprintf(p, "%u.%u.%u.%u - - [%02u/Mar/2024:%02u:%02u:%02u +0000]"
	    " \"GET /%s/%" PRIx64 "/%u HTTP/1.1\" %d %u \"-\" \"%s\"\n",
	    host >> 24, host >> 16 & 255, host >> 8 & 255, host & 255,
	    1 + now / 86400 % 28, now / 3600 % 24, now / 60 % 60, now % 60,
	    place[h & 7], h >> 40, url,
	    luck < 88 ? 200 : luck < 93 ? 304 : luck < 98 ? 404 : 500,
	    random_below(60000), agent[random_below(5)]);
}

static void
generate(int (*record)(char *), uint64_t bytes)
{
	char p[RECORD];

	for (uint64_t done = 0; done < bytes;) {
		int len = record(p);

		fwrite(p, 1, (size_t)len, stdout);
		done += (uint64_t)len;
	}
}

int
main(int argc, char *argv[])
{
	uint64_t bytes;

	if (argc != 3 || strlen(argv[1]) != 1) {
		fputs("usage: gen U|Z|L BYTES\n", stderr);
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 10);
	switch (argv[1][0]) {
	case 'U':
		generate(unique_record, bytes);
		break;
	case 'Z':
		zipf_init(Z_KEYS);
		generate(zipf_record, bytes);
		break;
	case 'L':
		zipf_init(L_URLS);
		generate(log_record, bytes);
		break;
	default:
		fprintf(stderr, "gen: no such set: %s\n", argv[1]);
		return 2;
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		perror("gen: write");
		return 1;
	}
	return 0;
}
