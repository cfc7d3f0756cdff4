# make [CC= CFLAGS= CPPFLAGS= LDFLAGS=]   build ./mr
# make PORTABLE=1                         build it from plain POSIX alone
# make check | check-long | check-slurm   build and run the tests
# make fuzz [SECONDS=4]                   random bytes for what reads files
# make soak [SECONDS=600]                 all of this at every point, for hours
# make coverage                           lines that the tests execute
# make install [DESTDIR= PREFIX= PROGRAM=]
# make bench [BENCH_SIZE=1G]              measure against other programs
.POSIX:

CC      = cc
CFLAGS  = -O2 -g
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
DATADIR = $(PREFIX)/share
PROGRAM = mr

# What the code needs is kept apart from what the builder chooses, so that
# CFLAGS on the command line replaces only the latter.
STD  = -std=c11 -D_POSIX_C_SOURCE=200809L
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes \
       -Wstrict-prototypes -Wwrite-strings

OBJS = mr.o run.o reduce.o shuffle.o sort.o map.o convert.o setup.o given.o \
       driver.o handover.o follow.o submit.o queue.o slurm.o capture.o element.o \
       again.o badlist.o phases.o passes.o loop.o outcome.o hand.o report.o parts.o \
       deal.o divide.o plan.o crew.o output.o agg.o fold.o cell.o tally.o aggspec.o exact.o \
       wide.o num.o progress.o cuts.o stream.o check.o trial.o lines.o \
       unpack.o worker.o redtask.o mergetask.o maptask.o hunt.o made.o \
       taskcmd.o harvest.o pool.o reply.o sorted.o combine.o taskenv.o named.o \
       reader.o perkey.o attempt.o chatter.o feed.o claim.o scratch.o collect.o \
       radix.o bucket.o replay.o merge.o partcmd.o runio.o feeder.o store.o generate.o \
       sample.o ship.o shell.o input.o files.o codec.o ikey.o keyenc.o keyver.o \
       keydef.o partition.o recfile.o form.o record.o proc.o opt.o resume.o \
       status.o append.o kept.o known.o content.o digest.o jobstate.o \
       jobplan.o jobdir.o commit.o counters.o seal.o buf.o util.o diag.o

all: mr

mr: $(OBJS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJS)

$(OBJS): mr.h Makefile

.c.o:
	$(CC) $(STD) $(WARN) $${PORTABLE:+-DPORTABLE} $(CPPFLAGS) $(CFLAGS) -c $<

TOOLS = tests/tools/killat tests/tools/faultshim.so

tools: $(TOOLS)

# By the machine's own compiler, whatever mr is built with.
TOOL_CC = cc

tests/tools/killat: tests/tools/killat.c
	$(TOOL_CC) -O2 -g -o $@ tests/tools/killat.c

tests/tools/faultshim.so: tests/tools/faultshim.c
	$(TOOL_CC) -O2 -fPIC -shared -o $@ tests/tools/faultshim.c -ldl

# Over the POSIX fallbacks it is the data that must be right: there is no
# subreaper, for one, so what a task leaves behind is not all found.
DATA_TESTS = tests/contract.bats tests/examples.bats tests/partition.bats

# The random jobs take longest, so they come first.
check: mr tools
	if [ -n "$$PORTABLE" ]; then tests/tools/abreast $(DATA_TESTS); \
	    else tests/tools/abreast tests/contract.bats tests; fi
	cd man && mandoc -T lint -W warning *.1 *.7

check-long: mr tools
	tests/tools/abreast tests/long

check-slurm: mr
	tests/tools/abreast tests/slurm

fuzz:
	tests/fuzz/fuzz $(SECONDS:%=-s %)

soak: mr tools
	tests/soak $(SECONDS:%=-s %)

coverage:
	tests/tools/coverage

bench: mr
	tests/bench/bench

# Manual pages and completions carry the name that the program is given.
install: mr
	mkdir -p $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 \
	    $(DESTDIR)$(MANDIR)/man7 \
	    $(DESTDIR)$(DATADIR)/bash-completion/completions \
	    $(DESTDIR)$(DATADIR)/zsh/site-functions
	cp mr $(DESTDIR)$(BINDIR)/$(PROGRAM)
	chmod 755 $(DESTDIR)$(BINDIR)/$(PROGRAM)
	for page in man/*.[17]; do \
		to=$$(basename $$page | sed 's/^mr/$(PROGRAM)/'); \
		cp $$page $(DESTDIR)$(MANDIR)/man$${to##*.}/$$to && \
		chmod 644 $(DESTDIR)$(MANDIR)/man$${to##*.}/$$to || exit 1; \
	done
	./mr completion bash | sed 's/ mr$$/ $(PROGRAM)/' \
	    >$(DESTDIR)$(DATADIR)/bash-completion/completions/$(PROGRAM)
	./mr completion zsh | sed -e 's/^#compdef mr$$/#compdef $(PROGRAM)/' \
	    -e 's/_mr/_$(PROGRAM)/g' -e 's/ mr;/ $(PROGRAM);/' \
	    >$(DESTDIR)$(DATADIR)/zsh/site-functions/_$(PROGRAM)
	chmod 644 \
	    $(DESTDIR)$(DATADIR)/bash-completion/completions/$(PROGRAM) \
	    $(DESTDIR)$(DATADIR)/zsh/site-functions/_$(PROGRAM)

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/$(PROGRAM) \
	    $(DESTDIR)$(DATADIR)/bash-completion/completions/$(PROGRAM) \
	    $(DESTDIR)$(DATADIR)/zsh/site-functions/_$(PROGRAM)
	for page in man/*.[17]; do \
		to=$$(basename $$page | sed 's/^mr/$(PROGRAM)/'); \
		rm -f $(DESTDIR)$(MANDIR)/man$${to##*.}/$$to; \
	done

dist: mr
	git archive --prefix=mr-$$(./mr --version | cut -d' ' -f2)/ HEAD | \
	    gzip -n >mr-$$(./mr --version | cut -d' ' -f2).tar.gz

clean:
	rm -f mr $(OBJS) $(TOOLS) mr-*.tar.gz

.PHONY: all tools check check-long check-slurm fuzz soak coverage bench install uninstall dist clean
