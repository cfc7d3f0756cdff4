#!/usr/bin/env bats
# The command line: what is understood, and what is refused and how.
# shellcheck disable=SC2016 # the commands expand their variables themselves
load helper
load failure

subcommands='run map sort shuffle reduce agg convert'

# names_of SUB: its long options, without their dashes.
names_of() {
	mr "$1" --help |
		sed -E ':a; s/(^|\n)(      --[^ ]+( [A-Z:|%]+)?), --/\1\2\n      --/; ta' |
		sed -nE 's/^  (-.,|   ) --([a-z0-9-]+).*/\2/p'
}

letters_of() {
	mr "$1" --help | sed -nE 's/^  -(.),? .*/\1/p'
}

records() {
	printf 'b\t1\na\t2\nb\t3\n' >in
	printf 'a\t2\nb\t1\nb\t3\n' >sorted
}

# --------------------------------------------------------- subcommands

@test "no subcommand: the usage goes to stderr, and the status is 2" {
	expect 2 mr
	prints_nothing
	says '^usage: mr '
}

@test "an unknown subcommand is refused, with the name that was meant" {
	refused '^mr: rnu is no command.*mr run' mr rnu
	refused '^mr: suffle is no command.*mr shuffle' mr suffle in
	refused '^mr: somethingelse is no command; see mr --help$' \
		mr somethingelse
	refused 'mr run' mr -m 'touch ran' in
}

@test "--help, -h and mr help say the same, and succeed" {
	expect 0 mr --help
	cp ../out want
	grep -q '^usage: mr ' want
	[ ! -s ../err ]
	for word in -h help; do
		expect 0 mr "$word"
		prints want
	done
	for sub in $subcommands; do
		expect 0 mr "$sub" --help
		cp ../out want
		grep -q "^usage: mr $sub " want
		[ ! -s ../err ]
		if [ "$sub" != sort ]; then	# where -h is an order
			expect 0 mr "$sub" -h
			prints want
		fi
		expect 0 mr "$sub" --hel
		prints want
		expect 0 mr help "$sub"
		prints want
	done
	refused 'none is no command' mr help none
}

@test "--help wins over what follows, and nothing is run" {
	expect 0 mr run -m 'touch ran' --help --nonsense none
	[ ! -e ran ]
	expect 0 mr map -qh touch ran
	[ ! -e ran ]
}

@test "help that cannot be printed is an error" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	for args in --help '--version' 'run --help' 'help sort' \
	    'completion bash'; do
		run -1 bash -c "mr $args 2>&1 >/dev/full"
		[[ $output == *'No space left'* ]]
	done
}

@test "--version prints a name and a version" {
	expect 0 mr --version
	grep -qE '^mr [0-9]+(\.[0-9]+)*$' ../out
}

@test "completion wants the name of a shell that it knows" {
	refused 'bash or zsh' mr completion
	refused 'bash or zsh' mr completion fish
}

# ------------------------------------------------------ forms of options

@test "a value may be joined to a letter, follow it, or follow a = or a name" {
	records
	for args in '-R2 -r cat' '-R 2 -rcat' '--reducers=2 --reduce=cat' \
	    '--reducers 2 --reduce cat' '-qR2 -r cat' '-zR2 -r cat -q'; do
		[[ $args == *z* ]] && z=-z || z=
		# shellcheck disable=SC2086
		mr run $z -R 2 -r cat in >want
		# shellcheck disable=SC2086
		expect 0 mr run $args in
		prints want
	done
	# What follows = is the value, whatever it begins with.
	refused '^mr: --env =x: must be' mr run -m 'touch ran' --env==x in
}

@test "an unambiguous prefix of a long option is that option" {
	records
	expect 0 mr run --jobs 2 --buf=16M --qui --non --reduce cat in
	prints sorted
	expect 0 mr sort --uni --zero --parallel 1 </dev/null
	expect 0 mr run --fini cat --finis cat in
	prints in
}

@test "an exact name is that option though others begin with it" {
	records
	expect 0 mr run --output=file in
	cmp file in
	expect 0 mr run -r cat --reduce=cat in
	prints sorted
	expect 0 mr sort --check sorted
	expect 1 mr sort --check in
	says disorder
}

@test "an ambiguous prefix is refused, with two that begin so" {
	refused '^mr: --re could be --re[a-z]+ or --re[a-z]+$' \
		mr run -m 'touch ran' --re 1 in
	refused '^mr: --b could be --b[a-z-]+ or --b[a-z-]+$' \
		mr run -m 'touch ran' --b 1M in
	refused 'could be --output or --output-dir' \
		mr run -m 'touch ran' --outp x in
	refused '^mr map: --t could be' mr map --t touch ran
}

@test "options may follow operands, whatever POSIXLY_CORRECT says" {
	records
	expect 0 mr run in -r cat
	prints sorted
	expect 0 mr sort in -q
	prints sorted
	POSIXLY_CORRECT=1 expect 0 mr run in -r cat
	prints sorted
	POSIXLY_CORRECT=1 expect 0 mr sort in -o out
	cmp out sorted
	expect 0 mr shuffle in -R 1 -O parts
	cmp parts/part-00000 in
}

@test "options of map and reduce end at the command: the rest is its own" {
	records
	printf '%s\n' -v --help -j >want
	expect 0 mr map -q printf '%s\n' -v --help -j <in
	prints want
	expect 0 mr reduce -q printf '%s\n' -v --help -j <sorted
	prints want
	expect 0 mr map printf '%s\n' -- x <in
	printf '%s\n' -- x | cmp - ../out
}

@test "-- ends the options" {
	records
	cp in ./-r
	expect 0 mr run -r cat -- -r
	prints sorted
	expect 0 mr sort -- -r
	prints sorted
	refused '^mr: -q: No such file' mr run -m 'touch ran' -- -q
	cp in ./--
	expect 0 mr run -r cat -- --
	prints sorted
	expect 0 mr map -q -- cat <in
	prints in
	printf '#!/bin/sh\nexec cat\n' >-cat
	chmod +x ./-cat
	PATH=$PWD:$PATH expect 0 mr reduce -- -cat <sorted
	prints sorted
}

@test "a single dash is an operand: standard input" {
	records
	expect 0 mr run -r cat - <in
	prints sorted
	expect 0 mr sort - sorted <in
	sort -s -k1,1 in sorted >want
	prints want
}

@test "the last of contradicting options counts" {
	records
	expect 0 mr run -r 'touch ran' -r cat -j 4 -j 1 -R 7 -R 1 in
	prints sorted
	[ ! -e ran ]
}

@test "other spellings do what the options do that they stand for" {
	records
	tr '\n' '\0' <in >in.nul
	tr '\n' '\0' <sorted >sorted.nul
	expect 0 mr run --mapper cat --reducer cat -P 1 --block 5 in
	prints sorted
	expect 0 mr run -0 -r cat in.nul
	prints sorted.nul
	expect 0 mr sort -0 --parallel 1 in.nul
	prints sorted.nul
}

# ------------------------------------------------------------- refusals

@test "an option that does not exist is refused, with the one that was meant" {
	while read -r typo meant; do
		refused "^mr: --$typo is no option; did you mean --$meant" \
			mr run -m 'touch ran' "--$typo" 1 in
		refused "did you mean --$meant" mr run -m 'touch ran' \
			"--$typo=1" in
	done <<-EOF
		redcue reduce
		bufer-size buffer-size
		jbos jobs
		retrys retries
		timeuot timeout
		blocksize block-size
		ok-exits ok-exit
		verbos3 verbose
	EOF
	refused '^mr: --xyzzy is no option; see mr run --help$' \
		mr run -m 'touch ran' --xyzzy in
	refused '^mr: -X is no option; see mr run --help$' \
		mr run -m 'touch ran' -X in
	refused '^mr sort: -X is no option; see mr sort --help$' mr sort -qX
}

@test "a missing value is refused, and so is one where none belongs" {
	for sub in run map sort shuffle reduce; do
		refused "^mr.*: -j needs a value: N$" mr "$sub" -j
		refused "^mr.*: --jobs needs a value: N$" mr "$sub" --jobs
		refused "^mr.*: --quiet takes no value$" mr "$sub" --quiet=yes
	done
}

@test "options of another subcommand are refused with its name, which has it" {
	for sub in $subcommands; do
		names_of "$sub" | sort >"$sub.names"
		letters_of "$sub" | sort >"$sub.letters"
	done
	sort -u ./*.names >all
	sort -u ./*.letters >all.letters
	for sub in $subcommands; do
		for name in $(comm -13 "$sub.names" all); do
			# What one of its own begins with is that one.
			! grep -q "^$name" "$sub.names" || continue
			belongs "$sub" "--$name" names
		done
		for letter in $(comm -13 "$sub.letters" all.letters); do
			# -h is --help where it is nothing else, and mr sort
			# says who does what -R does in sort(1).
			[ "$letter" != h ] && [ "$sub$letter" != sortR ] ||
				continue
			belongs "$sub" "-$letter" letters
		done
	done
	[ "$(wc -l <checked)" -gt 50 ]
}

# belongs SUB OPTION KIND: SUB refuses it and names a subcommand that has it.
belongs() {
	local said status=0

	said=$(mr "$1" "$2" touch ran 2>&1) || status=$?
	[ "$status" -eq 2 ] && [ ! -e ran ]
	[[ $said =~ ^mr.*:\ $2\ is\ an\ option\ of\ mr\ ([a-z]+)\;\ see\ mr\ $1\ --help$ ]] ||
		{ echo "mr $1 $2: $said"; return 1; }
	grep -qx -e "${2##*-}" "${BASH_REMATCH[1]}.$3" ||
		grep -qx -e "${2#--}" "${BASH_REMATCH[1]}.$3"
	echo "$2" >>checked
}

@test "Hadoop's words are refused with mr's own" {
	records
	while read -r word mine; do
		refused "^mr: $word is Hadoop's; in mr it is .*$mine" \
			mr run -m 'touch ran' "$word" x in
		refused "^mr: $word is Hadoop's" mr run in "$word" x
	done <<-'EOF'
		-mapper -m CMD
		-reducer -r CMD
		-input files, as operands
		-output -O DIR
		-numReduceTasks -R N
	EOF
	for word in -combiner -file -files -partitioner -inputformat \
	    -outputformat -cmdenv -jobconf; do
		refused "^mr: $word is Hadoop's; in mr it is " \
			mr run -m 'touch ran' "$word" x in
	done
	cp in ./-input
	expect 0 mr run -r cat -- -input
	prints sorted
}

@test "options without effect are refused, and what they lack is said" {
	records
	while IFS='|' read -r lacks args; do
		option=${args%% *}
		eval "refused '^mr.*: $option has no effect with(out)? .*$lacks' \
			mr run $args in"
	done <<-'EOF'
		-r CMD|--batch-size 3 -m 'touch ran'
		-r CMD|--compress-program gzip -m 'touch ran'
		-r CMD|-t , -m 'touch ran'
		-r CMD|--key-fields 2 -m 'touch ran'
		-r CMD|-k 1,1 -m 'touch ran'
		-r CMD|--partition hash -m 'touch ran'
		-r CMD or -O DIR|-R 2 -m 'touch ran'
		-O DIR|--overwrite -m 'touch ran'
		-O DIR|--overwrite -m 'touch ran' -o out
		-O DIR|--unordered -m 'touch ran' -O out
		-m CMD|--whole-file -r 'touch ran'
		--whole-file|--block-size 1K --whole-file -m 'touch ran'
		-m CMD or -r CMD|--ok-exit 1
		-m CMD or -r CMD|--retries 1
		-m CMD or -r CMD|--timeout 1
		-m CMD or -r CMD|--stall 1
		-m CMD or -r CMD|--task-memory 1G
		-m CMD or -r CMD|--strict-input
		-m CMD or -r CMD|--env A=b
		-m CMD or -r CMD|--tag
		-m CMD or -r CMD|--ship in
	EOF
	refused '^mr: --ok-exit has no effect without -m CMD or -r CMD' \
		mr run --ok-exit 1 --source 'touch ran;'
	refused '^mr sort: -o has no effect with -c' mr sort -c -o out in
	cmp in <(printf 'b\t1\na\t2\nb\t3\n')
	[ ! -e out ]
}

@test "options that exclude each other are refused" {
	records
	refused '^mr: -o FILE and -O DIR exclude each other$' \
		mr run -m 'touch ran' -o a -O b in
	refused '^mr: --whole-file and --pack exclude each other$' \
		mr run -m 'touch ran' --whole-file --pack in
	refused '^mr: --progress and --quiet exclude each other$' \
		mr run -m 'touch ran' -q --progress in
	refused '^mr sort: -c and -m exclude each other$' mr sort -c -m in
	for sub in map reduce; do
		refused "^mr $sub: -c STRING and CMD exclude each other$" \
			mr "$sub" -c 'touch ran' touch ran
	done
}

@test "what a subcommand cannot do without is asked for" {
	records
	refused '^mr map: which command\?' mr map
	refused '^mr reduce: which command\?' mr reduce -q
	refused '^mr shuffle: -O DIR is needed.*mr sort' mr shuffle -R 2 in
	refused '^mr shuffle: -R N is needed' mr shuffle -O parts in
	[ ! -e parts ]
	refused 'only one file can be checked' mr sort -c in in
}

@test "a bare {} as an argument is refused, with the cure" {
	for sub in map reduce; do
		refused '\{\}.*standard input' mr "$sub" touch ran {}
		refused 'MR_INPUT_FILE' mr "$sub" touch {} ran
	done
	# Anywhere else it is nothing special.
	expect 0 mr map printf '%s\n' 'a{}' '{' '{ }' </dev/null
	printf '%s\n' 'a{}' '{' '{ }' | cmp - ../out
	expect 0 mr map -c 'echo {}' </dev/null
	[ "$(cat ../out)" = '{}' ]
}

# --------------------------------------------------------------- values

@test "bad values are refused with what is wrong with them" {
	records
	while IFS='|' read -r why args; do
		eval "refused '^mr: (-.|--[a-z-]+) .*$why' \
			mr run -m 'touch ran' -r 'touch ran' $args in"
	done <<-'EOF'
		must be 1 to|-j 0
		not a number|-j x
		not a number|-j -1
		not a number|-j 1.5
		not a number|-j ''
		not a number|-j 18446744073709551617
		must be 1 to|-j 99999
		not a percentage|-j 0%
		not a percentage|-j x%
		not a percentage|-j %
		must be 1 to|-R 0
		not a number|-R 2K
		must be 1 to|-R 4000000000
		not a size|-S 1Q
		not a size|-S K
		not a size|-S -1
		not a size|-S ''
		not a size|-S 1KK
		not a size|-S 99999999999T
		not a percentage|-S 0%
		not a size|--block-size x
		at least 1|--block-size 0
		one byte|-t ab
		one byte|-t ''
		one byte|-t '\\x'
		must be 1 to|--key-fields 0
		must be 2 to|--batch-size 1
		exit statuses|--ok-exit ''
		exit statuses|--ok-exit x
		exit statuses|--ok-exit 1,
		exit statuses|--ok-exit 1,,2
		exit statuses|--ok-exit 256
		not a number|--retries -1
		not a duration|--timeout x
		not a duration|--timeout 1x
		not a duration|--timeout -1
		not a duration|--stall ''
		not a duration|--deadline inf
		NAME=VALUE|--env A
		NAME=VALUE|--env =b
		set by mr|--env MR_TASK=1
		set by mr|--env TMPDIR=/tmp
	EOF
	refused '-O needs' mr run -m 'touch ran' -O '' in
	refused '^mr sort: -S 1Q: not a size' mr sort -S 1Q in
}

@test "good values are understood in all their forms" {
	records
	for args in '-j 1' '-j 50%' '-j 1000%' '-S 16777216' '-S 16384K' '-S 16M' \
	    '-S 16k' '-S 1G' '-S 10%' '--block-size 1' '--block-size 1K' \
	    '--block-size 18446744073709551615' \
	    '--timeout 60' '--timeout 60s' '--stall 1.5m' '--deadline 1h' \
	    '--timeout 1d' '--timeout 0' '--ok-exit 0' '--ok-exit 1,2,255' \
	    '--task-memory 1G' '--retries 0' '--key-fields 1' '-t \t' \
	    '--env A=b' '--env A=' '--env A=b=c' '--batch-size 2'; do
		# shellcheck disable=SC2086
		expect 0 mr run -r cat $args in
		prints sorted
	done
	printf 'b\0001\na\0002\n' >nul
	expect 0 mr run -r cat -t '\0' nul
	printf 'a\0002\nb\0001\n' | cmp - ../out
	printf 'b\\1\na\\2\n' >backslash
	expect 0 mr run -r cat -t "\\\\" backslash
	printf 'a\\2\nb\\1\n' | cmp - ../out
}

@test "a temporary directory that cannot be used is refused" {
	records
	: >file
	refused 'No such file' mr run -m 'touch ran' -T none in
	refused 'Not a directory' mr run -m 'touch ran' -T file in
	refused 'No such file' mr sort -T . -T none in
	TMPDIR=/none refused 'No such file' mr run -m 'touch ran' in
}

@test "--dry-run shows commands and tasks and runs nothing" {
	records
	expect 0 mr run --dry-run -m 'touch ran; echo $HOME' -r 'touch ran' \
		-O out in in
	[ ! -e ran ]
	[ ! -e out ]
	grep -qF 'touch ran; echo $HOME' ../out
	[ "$(grep -c '^map task [01]: in, ' ../out)" -eq 2 ]
	expect 0 mr map --dry-run touch ran <in
	expect 0 mr sort --dry-run in
	expect 0 mr shuffle --dry-run -R 2 -O out in
	[ ! -e ran ]
	[ ! -e out ]
}

@test "each worker gets four tasks of a large file, whatever its size" {
	for size in 16777216 16777217 16777223; do
		truncate -s $size large
		expect 0 mr run --dry-run -j 2 -m cat -r cat large
		grep -q '^map tasks: 8,' ../out
	done
}
