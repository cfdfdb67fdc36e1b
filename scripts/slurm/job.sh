# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the batch scripts share: a log that tells what ran where, the launcher, signals, and the end. README.md tells the rules.
# Its settings (environment of sbatch, or the top of a batch script):
#   PLAIT_BIN      directory of the tools; empty: found on PATH
#   LAUNCHER       srun, mpirun, or auto: srun where it knows SRUN_MPI, else mpirun
#   SRUN_MPI       srun's --mpi: pmix for Open MPI
#   MAX_RESTARTS   a job that was requeued this often is not requeued again
#   WORKERS        image workers of a rank (-j); empty: --cpus-per-task, else the tool's default
: "${PLAIT_BIN:=}" "${LAUNCHER:=auto}" "${SRUN_MPI:=pmix}" "${MAX_RESTARTS:=20}" "${WORKERS:=${SLURM_CPUS_PER_TASK:-}}"
job_launcher=   # process id of the launcher at work
job_asked=      # what asked the job to stop, if anything has
job_steps=0

# srun and PMIx: with the default fence a start over several nodes crashes now and then (Slurm 22.05 with Open MPI 4).
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
# Since Slurm 22.05 srun does not take --cpus-per-task over from sbatch.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

say() { printf '[%(%F %T)T] %s\n' -1 "$*"; }

# The launcher hands one USR1 on to all ranks: mpirun would take TERM for an order to kill them.
job_stop()
{
	job_asked=$1
	[ -n "$job_launcher" ] || return 0
	say "SIG$1: asking the tool to stop where it can go on later"
	kill -USR1 "$job_launcher" 2>/dev/null
}
trap 'job_stop USR1' USR1
trap 'job_stop TERM' TERM

# RUNNING unless the job is being cancelled, requeued, or out of time.
job_state() { squeue -h -j "$SLURM_JOB_ID" -o %T 2>/dev/null; }

# start WHAT: the head of the log.
start()
{
	local mpi
	[ -z "$PLAIT_BIN" ] || PATH=$PLAIT_BIN:$PATH
	if [ "$LAUNCHER" = auto ]; then
		LAUNCHER=mpirun
		srun --mpi=list 2>&1 | grep -qw "$SRUN_MPI" && LAUNCHER=srun
	fi
	mpi=$(mpirun --version 2>/dev/null | head -n 1)
	say "job $SLURM_JOB_ID${SLURM_ARRAY_JOB_ID:+ (${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID)} '$SLURM_JOB_NAME' starts: $1"
	[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || say "  restart  $SLURM_RESTART_COUNT of at most $MAX_RESTARTS: what is done stays done"
	say "  nodes    $SLURM_JOB_NUM_NODES: $(scontrol show hostnames "$SLURM_JOB_NODELIST" | tr '\n' ' ')"
	say "  ranks    ${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}, CPUs each: ${SLURM_CPUS_PER_TASK:-1}${SLURM_MEM_PER_NODE:+, MB a node: $SLURM_MEM_PER_NODE}${SLURM_MEM_PER_CPU:+, MB a CPU: $SLURM_MEM_PER_CPU}"
	say "  ends by  $(squeue -h -j "$SLURM_JOB_ID" -o %e 2>/dev/null | tr T ' ')"
	say "  with     $LAUNCHER, $(srun --version 2>/dev/null), ${mpi:-no mpirun here}"
	if ! command -v plait >/dev/null; then
		say "plait is not on PATH of $(hostname -s): load its module, or set PLAIT_BIN"
		exit 127
	fi
	say "  version  $(plait --version), $(command -v plait)"
	say "  in       $PWD"
}

# Commands as they could be typed.
job_quoted() { local q; printf -v q ' %q' "$@"; printf '%s\n' "${q# }"; }

job_launch()     # COMMAND...: returns its exit code; signals that come meanwhile are passed on
{
	local rc
	if [ "$LAUNCHER" = srun ]; then
		srun --mpi="$SRUN_MPI" -i 0 "$@" &
	else
		# Not bound: a rank forks WORKERS of its own, and Open MPI would put them all on one core.
		mpirun -n "${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}" --bind-to none "$@" &
	fi
	job_launcher=$!
	# A signal to this shell ends wait with more than 128 while the launcher works on.
	while :; do
		wait "$job_launcher"
		rc=$?
		kill -0 "$job_launcher" 2>/dev/null || break
	done
	job_launcher=
	return $rc
}

# step TOOL ARGS...: runs plait-TOOL on all ranks of the job; returns its exit code. A step that a signal ended within its
# first seconds, or whose ranks did not find each other (142), is started once more: starts over several nodes fail now and
# then, and a tool that runs again goes on.
step()
{
	local tool=$1 rc began again=''
	shift
	case $tool in
	ingest | resize | pack | verify | run) [ -z "$WORKERS" ] || set -- -j "$WORKERS" "$@" ;;
	esac
	job_steps=$((job_steps + 1))
	while :; do
		say "step $job_steps: plait-$tool $(job_quoted "$@")$again"
		began=$SECONDS
		job_launch "$(command -v "plait-$tool" || echo "plait-$tool")" "$@"
		rc=$?
		say "step $job_steps: exit code $rc after $((SECONDS - began)) s"
		[ -z "$again$job_asked" ] && [ $rc -gt 128 ] && [ $rc -ne 205 ] || return $rc
		[ $rc -eq 142 ] || [ $((SECONDS - began)) -lt 20 ] || return $rc
		again=' (once more)'
	done
}

job_requeue()
{
	local state
	state=$(job_state)
	if [ "$state" != RUNNING ]; then
		say "not requeued: the job is ${state:-gone}. The same sbatch command goes on where it stopped"
	elif [ "${SLURM_RESTART_COUNT:-0}" -ge "$MAX_RESTARTS" ]; then
		say "not requeued: it was ${SLURM_RESTART_COUNT:-0} times, as often as MAX_RESTARTS allows. The same sbatch command goes on where it stopped"
	elif say "requeued: Slurm starts this job again, and it goes on where it stopped" && scontrol requeue "$SLURM_JOB_ID"; then
		sleep 60 &     # in which Slurm ends this shell
		wait
	else
		say "could not requeue: the same sbatch command goes on where it stopped"
	fi
}

# finish CODE: the last line of the log says what to do; ends with CODE.
finish()
{
	local rc=$1
	case $rc in
	0) say "done: exit code 0" ;;
	1) say "more samples were rejected than --max-reject allows: exit code 1. See the account above" ;;
	2) say "wrong usage: exit code 2. The message above says what is wrong; nothing was made" ;;
	3) say "failed: exit code 3. When the error above is mended, the same sbatch command goes on where it stopped" ;;
	75) say "stopped as asked: exit code 75. What is finished stays"; job_requeue ;;
	126 | 127) say "could not be started: exit code $rc. Is plait on PATH on every node, and are its libraries?" ;;
	137) say "killed: exit code 137. Out of memory? Ask for more (--mem), or fewer workers (WORKERS), or --memory for dedup; then the same sbatch command goes on" ;;
	142) say "the ranks did not find each other in time (PLAIT_START_SECONDS), twice: exit code 142" ;;
	205) say "mpirun lost a node: exit code 205"; job_requeue ;;
	*) say "failed: exit code $rc. The same sbatch command goes on where it stopped" ;;
	esac
	exit "$rc"
}
