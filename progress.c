/* progress.c - what a person sees while a job runs: one line, drawn again
 * and again on the terminal and removed at the end, or a plain line every
 * few seconds where standard error is no terminal. */

#include <sys/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

#define REDRAW ((int64_t)200000000)		/* ns */
#define LINES_EVERY ((int64_t)5000000000)

/* Whether the terminal that is our standard error is ours to draw on: not
 * while we are a background job. */
static bool
owns_terminal(void)
{
	return isatty(STDERR_FILENO) && tcgetpgrp(STDERR_FILENO) == getpgrp();
}

/* Progress is shown if it is asked for (force), and on a terminal. */
void
progress_begin(struct progress *p, bool force, bool quiet)
{
	bool tty = isatty(STDERR_FILENO);

	*p = (struct progress){ .start = now_ns(), .phase = "" };
	p->on = !quiet && (force || tty);
	p->lines = !tty;
	p->next = p->start + (p->lines ? LINES_EVERY : 2 * REDRAW);
	if (p->on && !p->lines)
		diag_bar(true);
}

static unsigned
columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
		return w.ws_col;
	return 80;
}

/* What fits into width columns: the less important parts go first. */
static void
compose(const struct progress *p, int64_t now, struct buf *b, unsigned width)
{
	int64_t spent = now - p->start - p->paused;
	double ns = (double)(now - p->phase_start - p->paused +
	    p->phase_paused + 1);
	uint64_t at = p->bytes + p->moving;
	char t[24], bytes[16], rate[16], left[24];
	size_t keep;

	buf_printf(b, "%s %llu", p->phase, (unsigned long long)p->done);
	if (p->total > 0)
		buf_printf(b, "/%llu", (unsigned long long)p->total);
	buf_str(b, p->total == 1 ? " task" : " tasks");
	keep = b->len;
	buf_printf(b, "  %s", human_bytes(at, bytes, sizeof bytes));
	if (p->bytes_total > 0)
		buf_printf(b, " of %s", human_bytes(p->bytes_total, bytes,
		    sizeof bytes));
	if (b->len > width)
		b->len = keep;
	keep = b->len;
	buf_printf(b, "  %s/s", human_bytes((uint64_t)((double)at /
	    (ns / 1e9)), rate, sizeof rate));
	if (b->len > width)
		b->len = keep;
	keep = b->len;
	if (p->bytes_total > at && at > 0)
		buf_printf(b, "  %s left", human_time((int64_t)(ns *
		    (double)(p->bytes_total - at) / (double)at), left,
		    sizeof left));
	if (b->len > width)
		b->len = keep;
	keep = b->len;
	buf_printf(b, "  %s", human_time(spent, t, sizeof t));
	if (p->stopped > 0)
		buf_printf(b, "  (%u stopped)", p->stopped);
	if (b->len > width)
		b->len = keep;
	if (b->len > width)
		b->len = width;
}

/* Another phase begins; rates count from here. */
void
progress_phase(struct progress *p, const char *phase, uint64_t total,
    uint64_t bytes_total)
{
	p->phase = phase;
	p->done = 0;
	p->total = total;
	p->bytes = p->moving = 0;
	p->bytes_total = bytes_total;
	p->phase_start = now_ns();
	p->phase_paused = p->paused;
}

/* A whole line, whatever else is shown: for SIGUSR1. */
void
progress_print(struct progress *p, int64_t now)
{
	struct buf b = {0};

	buf_str(&b, diag_name);
	buf_str(&b, ": ");
	compose(p, now, &b, 500);
	buf_str(&b, "\n");
	diag_write(b.p, b.len);
	buf_free(&b);
}

/* Draws the line if it is time to.  Returns when to call again, or -1. */
int64_t
progress_tick(struct progress *p, int64_t now)
{
	struct buf b = {0};

	if (!p->on)
		return -1;
	if (now < p->next)
		return p->next;
	p->next = now + (p->lines ? LINES_EVERY : REDRAW);
	if (p->lines) {
		progress_print(p, now);
		return p->next;
	}
	if (!owns_terminal())
		return p->next;
	buf_str(&b, "\r");
	{
		struct buf text = {0};

		compose(p, now, &text, columns() - 1);
		buf_put(&b, text.p, text.len);
		buf_free(&text);
	}
	buf_str(&b, "\033[K");
	write_full(STDERR_FILENO, b.p, b.len);
	buf_free(&b);
	p->shown = true;
	return p->next;
}

/* Takes the line away until the next tick. */
void
progress_erase(struct progress *p)
{
	if (p->shown && owns_terminal())
		write_full(STDERR_FILENO, "\r\033[K", 4);
	p->shown = false;
}

void
progress_end(struct progress *p)
{
	progress_erase(p);
	p->on = false;
	diag_bar(false);
}
