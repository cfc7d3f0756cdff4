#!/usr/bin/env bats
# mr on a terminal, with a shell that controls jobs: Ctrl-Z and fg, Ctrl-C, &.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

# on_terminal STATUS CMD [ARG]... <SCRIPT: see tools/terminal.  What the
# terminal showed is in ../out.
on_terminal() {
	local want=$1 got=0

	shift
	"$TOOLS/terminal" "$@" >../out 2>../err 3>&- || got=$?
	[ "$got" -eq "$want" ] || {
		echo "status $got instead of $want: $*"
		cat ../err
		head -c 3000 ../out | cat -v
		return 1
	}
}

# in_shell STATUS <SCRIPT: the same with a shell that controls jobs.
in_shell() {
	on_terminal "$1" env 'PS1=$ ' bash --norc --noediting -i
}

# For `until` lines, which another shell obeys.
mr_stopped() {
	for p in $(mr_processes); do
		[ "$(state_of "$p")" = T ] || return 1
	done
}

none_stopped() {
	for p in $(test_processes); do
		[ "$(state_of "$p")" != T ] || return 1
	done
}

no_sleep() {
	for p in $(test_processes); do
		[ "$(cat "/proc/$p/comm")" != sleep ] || return 1
	done
}
export -f test_processes mr_processes parent_of state_of mr_stopped none_stopped no_sleep

started='touch started; while ! test -e go; do sleep 0.02; done; cat'

# ------------------------------------------------------------ what is read

@test "reading the terminal is announced with one line, and done" {
	needs python3
	on_terminal 0 mr run -r cat <<'END'
see reading.*standard input|standard input.*read
type b
type a
press ^D
see a\r\nb\r\n
END
	[ "$(grep -c 'standard input' ../out)" -eq 1 ]
}

@test "the filters announce it as well" {
	needs python3
	for c in 'mr sort' 'mr map cat' 'mr reduce cat'; do
		# shellcheck disable=SC2086 # several words
		on_terminal 0 $c <<'END'
see standard input
type a
press ^D
see a\r\na\r\n
END
	done
}

@test "nothing is announced where files are named or input is piped" {
	needs python3
	echo a >in
	for c in 'run -m cat in' 'sort in' 'map cat <in' 'run -m cat <in'; do
		on_terminal 0 sh -c "mr $c" </dev/null
		run -1 grep 'standard input' ../out
	done
}

@test "a task never has the terminal as its standard input" {
	needs python3
	echo a >in
	on_terminal 0 mr run -m 'test ! -t 0 && cat' -r 'test ! -t 0 && cat' in </dev/null
	grep -q '^a' ../out
}

# ------------------------------------------------------- tasks and terminal

@test "a task that reads the terminal fails at once and is told so" {
	needs python3
	echo a >in
	in_shell 0 <<'END'
see \$ $
type mr run -m 'cat; read line </dev/tty' in
see map task 0 failed after 1 attempt: .*tried to use the terminal
see \$ $
type echo status=$?
see status=125
type exit 0
END
}

@test "a task that may not write to the terminal fails at once and is told so" {
	needs python3
	echo a >in
	in_shell 0 <<'END'
see \$ $
type stty tostop
see \$ $
type mr run -m 'cat; echo x >/dev/tty' in
see tried to use the terminal
see \$ $
type echo status=$?
see status=125
type exit 0
END
}

# ------------------------------------------------------------- the keyboard

@test "Ctrl-C ends mr and its tasks, with status 130" {
	needs python3
	echo a >in
	in_shell 0 <<'END'
see \$ $
type mr run -m 'touch started; sleep 1000 | sleep 1001' -r cat -o out in
until test -e started
press ^C
see \$ $
type echo status=$?
see status=130
until no_sleep
type exit 0
END
	[ ! -e out ]
}

@test "Ctrl-C in a pipeline of filters ends all of it" {
	needs python3
	seq 10 >in
	in_shell 0 <<'END'
see \$ $
type mr map -c 'touch started; sleep 1000 | sleep 1001' <in | mr sort | mr reduce cat
until test -e started
press ^C
see \$ $
type echo status=$?
see status=130
type exit 0
END
}

@test "Ctrl-\\ ends mr with status 131" {
	needs python3
	echo a >in
	ulimit -c 0
	in_shell 0 <<'END'
see \$ $
type mr run -m 'touch started; sleep 1000 | sleep 1001' in
until test -e started
press ^\
see \$ $
type echo status=$?
see status=131
type exit 0
END
}

@test "a terminal that goes away ends mr and its tasks" {
	needs python3
	echo a >in
	in_shell 129 <<'END'
see \$ $
type mr run -m 'touch started; sleep 1000 | sleep 1001' -o out in
until test -e started
hangup
END
	no_process_left() { [ -z "$(test_processes)" ]; }
	wait_until no_process_left
	[ ! -e out ]
}

@test "Ctrl-Z stops all, fg continues, and the result is whole" {
	needs python3
	seq 1000 >in
	in_shell 0 <<END
see \\$ $
type mr run -j 2 -m '$started' -r cat -o out in
until test -e started
press ^Z
see Stopped
until mr_stopped
type touch go
see \\$ $
unseen Stopped
type fg
see mr run
see \\$ $
type echo status=\$?
see status=0
type exit 0
END
	reference in >want
	cmp want out
}

@test "Ctrl-Z twice, and bg, and the result is whole" {
	needs python3
	seq 1000 >in
	in_shell 0 <<END
see \\$ $
type mr run -j 2 -m '$started' -r cat -o out in
until test -e started
press ^Z
see Stopped
type fg
see mr run
until none_stopped
press ^Z
see Stopped
type bg
until none_stopped
type touch go
type wait %1
type echo status=\$?
see status=0
type exit 0
END
	reference in >want
	cmp want out
}

@test "Ctrl-Z does not make --timeout pass" {
	needs python3
	needs_option --timeout
	seq 1000 >in
	in_shell 0 <<END
see \\$ $
type mr run -j 2 --timeout 3 -m '$started' -r cat -o out in
until test -e started
press ^Z
see Stopped
for 3.5
type touch go; fg
see \\$ $
type echo status=\$?
see status=0
type exit 0
END
	reference in >want
	cmp want out
}

@test "Ctrl-Z in a pipeline of filters, and fg" {
	needs python3
	seq 1000 >in
	in_shell 0 <<END
see \\$ $
type mr map -c '$started' <in | mr sort | mr reduce cat >out
until test -e started
press ^Z
see Stopped
type touch go; fg
see \\$ $
type echo status=\$?
see status=0
type exit 0
END
	reference in >want
	cmp want out
}

@test "a stopped job that is killed leaves nothing" {
	needs python3
	seq 1000 >in
	in_shell 0 <<'END'
see \$ $
type mr run -j 2 -m 'touch started; sleep 1000 | sleep 1001' -o out in
until test -e started
press ^Z
see Stopped
type kill %1; fg
see Terminated
type exit 0
END
	[ "$(ls -A)" = "$(printf 'in\nstarted')" ]
}

# -------------------------------------------------------------- background

@test "mr runs in the background, also where the terminal stops writers" {
	needs python3
	seq 1000 >in
	in_shell 0 <<'END'
see \$ $
type stty tostop
see \$ $
type mr run -j 2 -m cat -r cat -o out in &
type wait %1; echo status=$?
see status=0
type exit 0
END
	reference in >want
	cmp want out
}

@test "the progress line is there only while mr is in the foreground" {
	needs python3
	seq 1000 >in
	in_shell 0 <<END
see \\$ $
type mr run -j 1 --block-size 100 -m '$started' -r cat -o out in &
until test -e started
see \\$ $
for 1.5
unseen \\r[^\\n\\r]*map
type fg
see \\r[^\\n\\r]*map [^\\n\\r]*[0-9]
type touch go
until touch go
see \\$ $
type exit 0
END
	reference in >want
	cmp want out
}

@test "the progress line is on the terminal of stderr, not where stderr is a file" {
	needs python3
	seq 1000 >in
	on_terminal 0 sh -c "mr run -m '$started' -o out in 2>messages" <<'END'
until test -e started
for 1.5
unseen map
until touch go
END
	[ ! -s messages ]
}
