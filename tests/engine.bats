#!/usr/bin/env bats
# What is refused of a job for a cluster before there is a cluster: tests/slurm
# has one.
load helper
load failure


# sbatch ERE OPTS...: each of these is refused.
sbatch() {
	local ere=$1 opts
	shift
	for opts; do
		refused "$ere" env MR_ON=slurm mr run --job-dir jd \
			--sbatch "$opts" -m 'touch ran' in
		[ "$(wc -l <../err)" -eq 1 ]
		[ ! -e jd ]
	done
}

@test "--sbatch takes no option that is mr's to give, however it is written" {
	echo x >in
	for c in a d e h i M o Q V W; do
		sbatch " -$c is mr's to give" "-$c 3" "-${c}3" "-H$c 3" \
			"-Hsv${c}3" "-c 2 -O -$c 3"
	done
	for word in array dependency error output wrap input clusters \
	    open-mode; do
		sbatch " --$word is mr's to give" "--$word 3" "--$word=3" \
			"--${word%?} 3" "--${word%?}=3" "-H '--$word' 3"
	done
	sbatch "is mr's to give" --parsable --test-only --wait --quiet
}

@test "--sbatch takes nothing but options and their values" {
	echo x >in
	sbatch 'nothing is no option' nothing '-H nothing' '-pmain nothing' \
		'-c 2 nothing' '--exclusive nothing' '--mem=1G nothing' \
		'-Hc 2 nothing'
	sbatch '-- is no option' '-H -- x'
	sbatch ' - is no option' -
	sbatch 'a quote is not closed' "-J 'a b" '-J "a b'
}
