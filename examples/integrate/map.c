/* map.c - integration: for each range of steps on standard input, the sum of
 * exp over their middles, times the width of a step.
 *
 * Build: cc -O2 -o map map.c -lm
 *
 * Step i reaches from 1 + i/STEPS to 1 + (i + 1)/STEPS.  The small terms are
 * added with their errors kept (Kahan), so that millions of them lose no
 * digit. */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define STEPS 1e6		/* in a unit */

int
main(void)
{
	int64_t begin, end;
	int got;

	while ((got = scanf("%" SCNd64 "\t%" SCNd64, &begin, &end)) == 2) {
		double sum = 0, error = 0;

		for (int64_t i = begin; i < end; i++) {
			double term = exp(1 + ((double)i + 0.5) / STEPS) -
			    error;
			double next = sum + term;

			error = (next - sum) - term;
			sum = next;
		}
		printf("integral\t%.17g\n", sum / STEPS);
	}
	if (got != EOF) {
		fprintf(stderr, "map: a record is no range\n");
		return 1;
	}
	return ferror(stdin) || fflush(stdout) == EOF;
}
