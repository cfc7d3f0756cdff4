#!/usr/bin/env -S LC_ALL=C awk -f
# Integration: for each range of steps on standard input, the sum of exp over
# their middles, times the width of a step.  Step i reaches from 1 + i/steps to
# 1 + (i + 1)/steps.

BEGIN { FS = "\t"; steps = 1000000 }
{
	sum = 0
	for (i = $1; i < $2; i++)
		sum += exp(1 + (i + 0.5) / steps)
	printf "integral\t%.17g\n", sum / steps
}
