#!/usr/bin/env bats
# The manual, --help, the completions and README.md: each says what the
# program does, and their examples run.
load helper
load failure

top=$BATS_TEST_DIRNAME/..
licenses=/usr/share/common-licenses

subcommands() {
	mr --help | sed -nE 's/^  mr (run|map|sort|shuffle|reduce|agg|convert) .*/\1/p' |
		sort -u
}

# Options that share a line stand alone.
unjoin=':a; s/(^|\n)(      --[^ ]+( [A-Z:|%]+)?), --/\1\2\n      --/; ta'

# of_help SUB: the options that --help lists, as lines "-j --jobs ARG" or
# "- --pack -".
of_help() {
	mr "$1" --help | sed -E "$unjoin" | awk '/^  (-|    --)/ {
		letter = "-"
		if ($1 ~ /^-.,$/) {
			letter = substr($1, 1, 2)
			$1 = ""
			$0 = $0
		}
		n = split($1, name, "[")
		print letter, name[1],
		    (n > 1 || $2 ~ /^[A-Z][][A-Z=:|%]*$/ ? "ARG" : "-")
	}'
}

# of_manual SUB: the same of the items of a page.
of_manual() {
	awk '$1 == ".It" && $2 == "Fl" {
		letter = "-"; name = "none"; arg = "-"
		for (i = 2; i <= NF; i++) {
			if ($i == "Ar")
				arg = "ARG"
			if ($i != "Fl")
				continue
			i++
			if ($i ~ /^-/)
				name = "-" $i
			else
				letter = "-" $i
		}
		print letter, name, arg
	}' "$top/man/mr-$1.1"
}

# --------------------------------------------------------------- options

@test "every option in --help is in the manual, and the other way round" {
	[ "$(subcommands | wc -l)" -eq 7 ]
	for sub in $(subcommands); do
		of_help "$sub" | sort >help
		[ "$(wc -l <help)" -gt 3 ]
		of_manual "$sub" | sort | diff help -
	done
}

@test "every option that a page speaks of exists" {
	for page in "$top"/man/*.[17]; do
		sub=${page##*/}
		sub=${sub%.[17]}
		sub=${sub#mr-}
		[ "$sub" != job ] || sub='run status wait logs resume task'
		[ "$sub" != slurm ] || sub=run
		[ "$sub" != mr ] || sub='run map sort shuffle reduce agg convert'
		awk '/^\./ { for (i = 1; i < NF; i++)
			if ($i ~ /^\.?Fl$/) print "-" $(i + 1) }' "$page" |
			sort -u >mentioned
		[ -s mentioned ]
		while read -r option; do
			case $option in --help | --version | -h) continue ;; esac
			found=
			for one in $sub; do
				# Refused for its empty value, or what follows is.
				mr "$one" "$option=" --xyzzy 2>&1 </dev/null |
					grep -qE -- "$option (is no option|is an option of)" ||
					found=$one
			done
			[ -n "$found" ] || { echo "$page: $option"; return 1; }
		done <mentioned
	done
}

@test "every subcommand has a page, and every page is referred to" {
	for sub in $(subcommands); do
		[ -e "$top/man/mr-$sub.1" ]
		for page in mr.1 mr.7; do
			grep -qE "^\.Xr mr-$sub 1( ,)?\$" "$top/man/$page"
		done
	done
	grep -h '^.Xr mr' "$top"/man/*.[17] | sort -u |
		while read -r _ name section _; do
			[ -e "$top/man/$name.$section" ] ||
				{ echo "$name($section)"; return 1; }
		done
}

@test "what the manual says of the environment is what tasks find" {
	sed -n '/^\.Ss Environment of tasks/,/^\.Ss Parts/p' "$top/man/mr.7" |
		tr -s ' ' '\n' | grep -E '^(MR_|mapred|map_|TMPDIR)' |
		sort -u >manual
	echo record >in
	mr run -m 'env >&3; env >map' -r 'env >reduce' in 3>/dev/null
	mr run --per-key -r 'env >key' --finish 'env >finish' \
		--combine 'env >combine; cat' in
	mr run --range 0:1 -m 'env >range'
	mr run --source 'echo 1;:' -m 'env >source'
	unset MR_TEST_MARK MR TMPDIR
	cat map combine reduce key finish range source | sed 's/=.*//' | sort -u |
		comm -23 - <(env | sed 's/=.*//' | sort) |
		grep -vxE 'MR|MR_TEST_MARK|PWD|OLDPWD|SHLVL|_' | diff manual -
}

# --------------------------------------------------------------- its form

@test "the pages are good mdoc" {
	needs mandoc
	run -0 mandoc -T lint -W warning "$top"/man/*.[17]
	[ -z "$output" ]
}

@test "mr --help fits a terminal, mr run --help the first page of one" {
	[ "$(mr --help | wc -l)" -le 24 ]
	[ "$(mr run --help | wc -l)" -le 60 ]
	for sub in '' $(subcommands); do
		# shellcheck disable=SC2086
		mr $sub --help | awk -v name="$sub" 'length > 80 {
			print "mr " name " --help: " length ": " $0
			bad = 1
		} END { exit bad }'
	done
	grep -q 'mr COMMAND --help' <(mr --help)
}

@test "README.md is a screen and a half" {
	[ "$(wc -l <"$top/README.md")" -le 50 ]
}

# ----------------------------------------------------------- completions

# complete_bash WORD...: what bash would offer for the last word.
complete_bash() {
	mr completion bash >script
	# shellcheck disable=SC2016 # expanded in there
	bash -uc '
		. ./script
		[[ $(complete -p mr) == *" -F "*" mr" ]] || exit
		function=$(complete -p mr | sed "s/.* -F \([^ ]*\) .*/\1/")
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		COMP_LINE=$* COMP_POINT=${#COMP_LINE}
		"$function" mr "${COMP_WORDS[COMP_CWORD]}" \
			"${COMP_WORDS[COMP_CWORD - 1]}"
		[ "${#COMPREPLY[@]}" -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"
	' bash "$@"
}

@test "bash completes the subcommands" {
	{
		subcommands
		printf '%s\n' status wait logs resume cancel rm task \
			help completion --help --version
	} | sort >want
	complete_bash mr '' | sort | diff want -
	[ "$(complete_bash mr shu)" = shuffle ]
	[ "$(complete_bash mr --v)" = --version ]
	complete_bash mr completion '' | sort | diff <(printf '%s\n' bash zsh) -
}

@test "bash completes exactly the options in --help" {
	for sub in $(subcommands); do
		of_help "$sub" | cut -d ' ' -f 2 >options
		echo --help >>options
		sort options >want
		complete_bash mr "$sub" -- | sort | diff want -
		complete_bash mr "$sub" file -q --o | sort |
			diff <(grep '^--o' want) -
	done
	[ "$(complete_bash mr run --retr)" = --retries ]
	# Anything else is a file's name, which bash completes itself.
	[ -z "$(complete_bash mr run '')" ]
	[ -z "$(complete_bash mr sort -o re)" ]
}

@test "zsh completes exactly the options in --help" {
	mr completion zsh >script
	[ "$(head -n 1 script)" = '#compdef mr' ]
	# The file is the function: it must call what it defines.
	grep -qE '(^|[ 	])_mr "\$@"' script
	for sub in $(subcommands); do
		of_help "$sub" | cut -d ' ' -f 2 >options
		echo --help >>options
		sed -nE "s/^[[:space:]]*$sub\\) compadd -- (.*) ;;\$/\\1/p" script |
			tr ' ' '\n' | sort | diff <(sort options) -
	done
}

@test "zsh runs the completion" {
	needs zsh
	mr completion zsh >_mr
	cat >try <<-'EOF'
		# What zsh itself gives to a completion function.
		compdef() { :; }
		compadd() { shift; print -l -- $@; }
		_files() { print FILES; }
		words=("$@") CURRENT=$# PREFIX=${@[-1]}
		fpath=($PWD $fpath)
		autoload -Uz _mr
		_mr
	EOF
	for sub in $(subcommands); do
		of_help "$sub" | cut -d ' ' -f 2 >options
		echo --help >>options
		zsh -f try mr "$sub" -- | sort | diff <(sort options) -
	done
	zsh -f try mr '' | grep -qx shuffle
	[ "$(zsh -f try mr run "fi")" = FILES ]
}

# -------------------------------------------------------------- examples

# make_examples PAGE: its examples as scripts 1.sh, 2.sh ..., as they come
# out on a terminal, since that is what people paste.
make_examples() {
	mandoc -T utf8 -O width=300 "$1" | sed 's/.\x08//g' | awk '
		/^[A-Z]/ { on = $1 == "EXAMPLES"; next }
		!on { next }
		/^           / { print substr($0, 12) > (n + !inside) ".sh"
			n += !inside; inside = 1; next }
		{ inside = 0 }
	'
}

# run_example FILE: runs it in a directory of its own.  It must succeed,
# complain of nothing, and print something or leave a file.
run_example() {
	local status=0 dir

	dir=$(mktemp -d -p .)
	(cd "$dir" && ../bash_or_sh "../$1") </dev/null >out 2>err || status=$?
	if [ "$status" -ne 0 ] || [ -s err ] ||
	    { [ ! -s out ] && [ -z "$(ls "$dir")" ]; }; then
		echo "status $status of"
		cat "$1" err
		return 1
	fi
}

# What the examples read.
prepare_for_examples() {
	[ -e "$licenses/GPL-3" ] || skip "there is no $licenses"
	printf '#!/bin/sh\nexec sh -e "$@"\n' >bash_or_sh
	chmod +x bash_or_sh
}

@test "the examples of the manual run when they are pasted" {
	needs mandoc find awk
	prepare_for_examples
	for page in "$top"/man/*.[17]; do
		case $page in */mr-slurm.7) continue ;; esac	# tests/slurm
		rm -f ./*.sh
		make_examples "$page"
		[ -e 1.sh ] || { echo "no examples in $page"; return 1; }
		for example in *.sh; do
			run_example "$example"
		done
	done
}

@test "the examples of --help run when they are pasted" {
	prepare_for_examples
	n=0
	for sub in '' $(subcommands); do
		# shellcheck disable=SC2086
		mr $sub --help | sed -n '
			s/^example: *//p
			/^examples:/,$ s/^  //p
		' >examples
		[ -s examples ]
		while IFS= read -r line; do
			n=$((n + 1))
			rm -rf out parts
			sh -ec "$line" >out 2>err </dev/null ||
				{ echo "$line"; cat err; return 1; }
			[ ! -s err ]
			case $line in
			*'>'* | *' -'[oO]' '*) ;;
			*) [ -s out ] ;;
			esac
		done <examples
	done
	[ "$n" -ge 10 ]
}

# The indented lines of README.md from one that matches on, up to one that
# does not go on.
of_readme() {
	sed -n "/^    $1/,/^\$/s/^    //p" "$top/README.md"
}

@test "README.md: the job in three lines counts words" {
	prepare_for_examples
	of_readme 'mr run -m "' >job
	[ "$(wc -l <job)" -eq 3 ]
	cat "$licenses"/* | tr -c A-Za-z '\n' | sed '/^$/d' | sort | uniq -c >want
	sh -e job >out 2>err </dev/null
	cmp want out
	[ ! -s err ]
}

@test "README.md: the command for a fresh machine counts words" {
	prepare_for_examples
	[ "$(of_readme 'apt-get update' | grep -c '&& \./mr run ')" -eq 1 ]
	of_readme 'apt-get update' | sed -n 's/.* && make && \(\.\/mr run .*\)/\1/p' \
		>line
	[ "$(wc -l <line)" -eq 1 ]
	ln -s "$MR" mr
	ln -s "$top/examples" .
	sh -e line >out
	cat "$licenses"/* | tr -cs A-Za-z0-9 '\n' | tr '[:upper:]' '[:lower:]' |
		sed '/^$/d' | sort | uniq -c | sort -k1,1nr -k2,2 | head |
		awk '{ print $2 "\t" $1 }' >want
	cmp want out
}

@test "README.md: the sentence about what mr prints is true" {
	printf 'b\t1\na\t2\n\tx\nb\t3\nno tab\n' >one
	printf 'a\t1\nb' >two
	of_readme 'cat FILE' | sed "s/FILE\.\.\./one two/; s/MAP/sed s,a,c,/
		s/REDUCE/uniq -c/" >pipeline
	echo >>two
	sh -e pipeline >want
	grep -q . want
	printf 'a\t1\nb' >two
	mr run -m 'sed s,a,c,' -r 'uniq -c' one two | cmp want -
}
