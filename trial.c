/* trial.c - the commands of a job, run one at a time over bytes in memory.
 *
 * From file to file, in this process, with the environment of a task and
 * nothing else of the machinery of a job: so what is seen of a command is
 * its own doing.
 *
 * Life: trial_begin, once in a process; trial_run; trial_end. */

#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mr.h"

static struct trial *the_trial;	/* for clean-up at death */

/* Leaves nothing behind. */
void
trial_end(void)
{
	struct trial *t = the_trial;

	the_trial = NULL;
	if (t == NULL)
		return;
	proc_kill_strays(t->job->id);
	scratch_remove(t->job->scratch, t->lock);
}

/* Waits for a command.  Its group is killed before it is reaped. */
static void
wait_for(pid_t pid, int *status)
{
	siginfo_t si = { .si_pid = 0 };
	int sig = 0;

	while (si.si_pid == 0 && (sig = proc_signal()) == 0) {
		proc_poll(NULL, 0, 100000000);
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG |
		    WNOWAIT) == -1 && errno != EINTR)
			die_errno("waiting for a command");
	}
	proc_kill_group(pid, SIGKILL);
	proc_wait(pid, status, 0);
	if (sig != 0) {
		trial_end();
		proc_end_by(sig < 0 ? -sig : sig);
	}
}

/* The command does not work on the sample as it is: no more can be said. */
static _Noreturn void
cannot_run(struct trial *t, const struct command *cmd, const char *phase,
    int status)
{
	struct buf b = {0};
	off_t end = lseek(t->err, 0, SEEK_END);
	char name[32];

	buf_printf(&b, "%s: %s command ", diag_name, phase);
	buf_escaped(&b, cmd->shown, strlen(cmd->shown));
	if (WIFSIGNALED(status))
		buf_printf(&b, ": killed by %s on the sample\n",
		    signal_name(WTERMSIG(status), name, sizeof name));
	else
		buf_printf(&b, ": exit status %d on the sample\n",
		    WEXITSTATUS(status));
	if (end > 0 && end < 64 * KiB) {
		unsigned char *p = buf_reserve(&b, (size_t)end);
		ssize_t n = pread_full(t->err, p, (size_t)end, 0);

		b.len += n > 0 ? (size_t)n : 0;
	}
	diag_write(b.p, b.len);
	trial_end();
	exit(WIFSIGNALED(status) ? EXIT_KILLED : EXIT_TASK);
}

/* Runs a command over bytes and adds what it prints to *out.  key as for
 * taskenv_key, or NULL.  A command that fails ends the process. */
void
trial_run(struct trial *t, const struct command *cmd, const char *phase,
    uint32_t attempt, const void *key, size_t klen, const void *in,
    size_t len, struct buf *out)
{
	const struct task_name who = { .phase = phase, .task = t->task,
	    .attempt = attempt, .later = strcmp(phase, "map") != 0 };
	struct spawn sp = { .argv = cmd->argv, .words = cmd->words,
	    .in = t->in, .out = t->out, .err = t->err,
	    .as_limit = t->job->limits.task_memory };
	int status = 0;
	off_t end;
	pid_t pid;

	if (ftruncate(t->in, 0) == -1 || ftruncate(t->out, 0) == -1 ||
	    ftruncate(t->err, 0) == -1 ||
	    pwrite_full(t->in, in, len, 0) == -1 ||
	    lseek(t->in, 0, SEEK_SET) == -1 ||
	    lseek(t->out, 0, SEEK_SET) == -1 ||
	    lseek(t->err, 0, SEEK_SET) == -1)
		die_errno("temporary data");
	sp.envp = taskenv_set(&t->env, &who, &t->split);
	sp.dir = t->env.workdir;
	if (key != NULL)
		sp.envp = taskenv_key(&t->env, key, klen);
	errno = proc_spawn(&sp, &pid);
	if (errno != 0)
		die_errno("%s", cmd->shown);
	wait_for(pid, &status);
	t->runs++;
	if (WIFSIGNALED(status) || !t->job->limits.ok[WEXITSTATUS(status)])
		cannot_run(t, cmd, phase, status);
	end = lseek(t->out, 0, SEEK_END);
	if (end > 0 && pread_full(t->out, buf_reserve(out, (size_t)end),
	    (size_t)end, 0) != end)
		die_errno("temporary data");
	out->len += (size_t)end;
	if (end > 0 && out->p[out->len - 1] != t->job->shape.fmt.delim)
		buf_put(out, &t->job->shape.fmt.delim, 1);
}

/* Makes a place for the commands of a job to run in. */
void
trial_begin(struct trial *t, struct job *job)
{
	*t = (struct trial){ .job = job, .lock = -1 };
	proc_driver_signals();
	snprintf(job->id, sizeof job->id, "check-%ld-%04x", (long)getpid(),
	    (unsigned)(random_seed() & 0xffff));
	scratch_sweep(job->tmpdirs[0]);
	job->scratch = scratch_name(job->tmpdirs[0]);
	if (scratch_make(job->scratch, &t->lock) == -1)
		die_errno("cannot write in %s (-T DIR chooses another)",
		    job->tmpdirs[0]);
	the_trial = t;
	diag_at_death = trial_end;
	taskenv_begin(&t->env, job, 0);
	t->in = store_open_temp(job->tmpdirs[0]);
	t->out = store_open_temp(job->tmpdirs[0]);
	t->err = store_open_temp(job->tmpdirs[0]);
	if (t->in == -1 || t->out == -1 || t->err == -1)
		die_errno("%s: cannot make a temporary file",
		    job->tmpdirs[0]);
}
