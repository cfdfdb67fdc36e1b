# SPDX-License-Identifier: Apache-2.0
# What the tests of batch jobs share: a Slurm of six nodes (scripts/vcluster), jobs and their states, what is left behind.

load ../cli/common

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
SLURM_SCRIPTS=$ROOT/scripts/slurm
export PLAIT_BIN VC_NODES=6

vc() { "$ROOT/scripts/vcluster" "$@"; }
head_node() { vc on head "$@"; }

note() { echo "# note: $*" >&3; }

# submit OPTION... SCRIPT ARGS...: prints the id of the job. Its log is jobs/ID.log. Nodes 4 to 6 are for those who ask for them.
submit()
{
	mkdir -p jobs
	head_node sbatch --parsable --output=jobs/%j.log --exclude="${KEEP_OFF-n[4-6]}" "$@"
}

log_of() { echo "jobs/$1.log"; }

job_field()     # JOB FIELD
{
	head_node scontrol -o show job "$1" | grep -oE " $2=[^ ]*" | head -n 1 | cut -d= -f2
}

state_of() { job_field "$1" JobState; }

# wait_state JOB STATE [SECONDS]: a job that ends in another way fails the test at once.
wait_state()
{
	local tries=0 limit=${3:-90} state
	until state=$(state_of "$1") && [ "$state" = "$2" ]; do
		case $state in
		COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) lost_job "$1" "$2" "is $state" ;;
		esac
		sleep 0.1
		[ $((tries++)) -lt $((limit * 8)) ] || lost_job "$1" "$2" "is still $state"
	done
}

lost_job()     # JOB WANTED WHAT
{
	cat "$(log_of "$1")" >&2
	fail "job $1 $3, expected $2"
}

# completes ARGS...: run "submit ARGS" and wait for its end; a start by srun over several nodes that hangs
# (one in some hundred with this PMIx) is cancelled and made once more. Sets job.
completes()     # SUBMIT ARGS...
{
	local again=''
	while :; do
		job=$(submit "$@")
		if [ -z "$again" ] && hangs_at_start "$job"; then
			note "job $job did not start its ranks within 20 s: once more"
			head_node scancel "$job"
			wait_state "$job" CANCELLED 30
			again=1
			continue
		fi
		wait_state "$job" COMPLETED
		return 0
	done
}

# Until a rank has said something, the job has ended, or 20 s have gone by (true).
hangs_at_start()     # JOB
{
	local tries=0
	while [ $((tries++)) -lt 160 ]; do
		grep -qsE '^plait-[a-z]+(\[|:)|exit code' "$(log_of "$1")" && return 1
		case $(state_of "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 1 ;; esac
		sleep 0.1
	done
	return 0
}

# The processes of tools on some nodes, workers too. Quick, for the job goes on meanwhile: one look at all processes.
ranks_on()     # NODE...
{
	local n of=' ' ns dir name
	for n in "$@"; do of+="$(<"$VC_DIR/run/$n.net") "; done
	while read -r ns dir; do
		[[ $of == *" $ns "* ]] || continue
		read -r name 2>/dev/null <"${dir%/ns}/comm" || continue
		case $name in plait-*) dir=${dir%/ns} && echo "${dir#/proc/}" ;; esac
	done < <(find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%l %h\n' 2>/dev/null)
}

signal_ranks()     # SIGNAL NODE...
{
	local signal=$1
	shift
	ranks_on "$@" | xargs -r kill -"$signal" 2>/dev/null || true
}

wait_for()     # PATH [SECONDS]
{
	local tries=0
	while [ ! -e "$1" ]; do
		sleep 0.02
		[ $((tries++)) -lt $((${2:-60} * 50)) ] || fail "'$1' did not come"
	done
}

wait_line()     # FILE PATTERN [SECONDS]
{
	local tries=0
	until grep -qsE "$2" "$1"; do
		sleep 0.1
		[ $((tries++)) -lt $((${3:-60} * 10)) ] || { cat "$1" >&2; fail "'$1' has no line '$2'"; }
	done
}

# hold MOMENT NODE...: stop all ranks on the nodes when the file MOMENT is there, so that what comes next finds the job at work.
hold()
{
	local moment=$1
	shift
	wait_for "$moment"
	signal_ranks STOP "$@"
}

same_as_reference()     # DIR
{
	[ "$(bytes_of "$1")" = "$(bytes_of "$BATS_FILE_TMPDIR/ref")" ] || fail "'$1' has not the bytes of the plain run"
	local stray
	stray=$(cd "$1" && find . -type f ! -path './.plait/*' ! -name '??????.tar.zst' ! -name dataset.json)
	[ -z "$stray" ] || fail "stray files in '$1': $stray"
	no_leftovers "$1" "$1.work"
}

# Nothing of a job is left on a node: no process of a tool, nothing in its /dev/shm.
nothing_left_on()     # NODE...
{
	local n tries=0 left
	for n in "$@"; do
		while left=$(ranks_on "$n" && vc on "$n" ls -A /dev/shm) && [ -n "$left" ]; do
			sleep 0.1
			[ $((tries++)) -lt 50 ] || fail "left on $n: $left"
		done
	done
}
