#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The batch scripts on a real Slurm: the bytes of a plain run, after everything that a cluster does to a job. scripts/check-slurm
# runs this file. Jobs that wait for Slurm's clocks (time limit, lost node) are submitted first and looked at last.

load slurm

setup_file()
{
	export VC_DIR=${VC_DIR:?run scripts/check-slurm}
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -o in --samples 160 --shard-samples 40 --size 180 --seed 5 >/dev/null
	cat >r.yaml <<-'END'
	name: batch
	seed: 42
	sources:
	  - {name: pairs, shards: "in/pairs/*.tar", kind: pairs, weight: 0.6, columns: [similarity], where: "width >= 64 and height >= 64"}
	  - {name: docs, shards: "in/interleaved/*.tar", kind: interleaved, weight: 0.3}
	dedup:   {hash: pdq-aa, threshold: 16, against: ["in/eval/*.tar"]}
	balance: {unit: samples, max_epochs: 2}
	image:   {policy: center_crop, size: 160, format: webp, quality: 85}
	output:  {stage: align, shard_samples: 12, frame_size: 64KiB, dir: out, work: work}
	END
	plait run -q -j1 r.yaml -o ref --work ref.work >/dev/null
	# On nodes 4 to 6: a time limit that comes, and a node that goes. Their ranks stand still meanwhile.
	limited=$(KEEP_OFF='' submit -w n4 --time=1 --signal=B:USR1@50 "$SLURM_SCRIPTS/run.sbatch" r.yaml -o limited --work limited.work)
	orphan=$(KEEP_OFF='' submit -N2 -w n5,n6 --ntasks-per-node=1 "$SLURM_SCRIPTS/run.sbatch" r.yaml -o orphan --work orphan.work)
	export limited orphan
	hold limited/000001.tar.zst n4
	hold orphan/000001.tar.zst n5 n6
	vc down n6
	(wait_line "$(log_of "$limited")" 'SIGUSR1: asking' 100 && signal_ranks CONT n4) >/dev/null 2>&1 3>&- &
}

setup()
{
	cd "$BATS_FILE_TMPDIR" || return 1
}

run_job() { completes "$@" "$SLURM_SCRIPTS/run.sbatch" r.yaml -o "$out" --work "$out.work"; }

# ---- launchers ---------------------------------------------------------------------------------

@test "plait run by srun over PMIx on one node" {
	local job out=one
	run_job -N1 --ntasks-per-node=3
	grep -q 'with     srun' "$(log_of "$job")"
	same_as_reference one
}

@test "plait run by srun over PMIx on three nodes" {
	local job out=three
	run_job -N3 --ntasks-per-node=2
	grep -q 'nodes    3: n1 n2 n3' "$(log_of "$job")"
	same_as_reference three
	nothing_left_on n1 n2 n3
}

@test "plait run by mpirun inside an allocation of three nodes" {
	local job out=mpi
	LAUNCHER=mpirun run_job -N3 --ntasks-per-node=2
	grep -q 'with     mpirun' "$(log_of "$job")"
	same_as_reference mpi
	nothing_left_on n1 n2 n3
}

@test "one tool, by srun and by mpirun, and a second time: nothing is made again" {
	local job sums launcher
	plait resize -q -j1 -s 96 -f webp -o small in/pairs/*.tar >/dev/null
	sums=$(cd small && sha256sum ./*.tar)
	for launcher in srun mpirun srun; do
		LAUNCHER=$launcher completes -N2 "$SLURM_SCRIPTS/tool.sbatch" resize -s 96 -f webp -o small.slurm 'in/pairs/*.tar'
		[ "$sums" = "$(cd small.slurm && sha256sum ./*.tar)" ]
	done
	! grep -q '^small.slurm/' "$(log_of "$job")" || grep -q 'done before' "$(log_of "$job")"
}

@test "names on standard input, which srun copies to every rank" {
	plait ingest -q -j1 -o stdin.ref in/pairs/*.tar >/dev/null
	ls in/pairs/*.tar | head_node timeout 60 srun -x 'n[4-6]' -N3 -n3 "$PLAIT_BIN/plait-ingest" -q -j1 -o stdin.all >names
	[ "$(cat names)" = stdin.all ]
	for f in stdin.ref/*.npy; do cmp "$f" "stdin.all/${f##*/}"; done
}

@test "a launcher that does not fit: ranks that do not see each other refuse to make N jobs of one" {
	local kind
	for kind in none pmi2; do
		run head_node srun --mpi=$kind -x 'n[4-6]' -n2 "$PLAIT_BIN/plait-ingest" -q -o never in/pairs/00000.tar
		[ "$status" -ne 0 ]
		[[ $output == *"MPI sees one rank"* ]] || [[ $output == *"PMI"* ]] || { show_run; false; }
		[ ! -e never ]
	done
}

@test "wrong usage and unreadable input: the log says so, and the job has failed" {
	local job
	job=$(submit -N1 "$SLURM_SCRIPTS/tool.sbatch" ingest --nonsense -o never in/pairs/00000.tar)
	wait_state "$job" FAILED
	grep -q 'wrong usage: exit code 2' "$(log_of "$job")"
	job=$(submit -N1 "$SLURM_SCRIPTS/tool.sbatch" ingest -o never missing.tar)
	wait_state "$job" FAILED
	[ "$(job_field "$job" ExitCode)" = 3:0 ]
	grep -q 'failed: exit code 3' "$(log_of "$job")"
}

@test "a step that a signal ends at its start is started once more, and once only" {
	local job
	mkdir -p fake
	ln -sf "$PLAIT_BIN/plait" fake/plait
	cat >fake/plait-resize <<-'END'
	#!/bin/sh
	shift 2     # -j 1
	echo started >>"$1"
	[ "$(wc -l <"$1")" -gt "$2" ] || kill -SEGV $$
	END
	chmod +x fake/plait-resize
	job=$(PLAIT_BIN=$PWD/fake submit -N1 -n1 "$SLURM_SCRIPTS/tool.sbatch" resize "$PWD/once" 1)
	wait_state "$job" COMPLETED
	grep -q '(once more)' "$(log_of "$job")"
	job=$(PLAIT_BIN=$PWD/fake submit -N1 -n1 "$SLURM_SCRIPTS/tool.sbatch" resize "$PWD/twice" 5)
	wait_state "$job" FAILED
	[ "$(wc -l <twice)" -eq 2 ]
	grep -q 'failed: exit code 139' "$(log_of "$job")"
}

@test "a start that hangs is ended and made once more" {
	local job
	mkdir -p late
	ln -sf "$PLAIT_BIN/plait" late/plait
	cat >late/plait-resize <<-END
	#!/bin/sh
	# Rank 1 does not come the first time.
	if [ "\$SLURM_PROCID" = 1 ] && mkdir came 2>/dev/null; then sleep 8; exit 1; fi
	exec "$PLAIT_BIN/plait-resize" "\$@"
	END
	chmod +x late/plait-resize
	job=$(PLAIT_START_SECONDS=3 PLAIT_BIN=$PWD/late submit -N2 --ntasks-per-node=1 "$SLURM_SCRIPTS/tool.sbatch" resize -s 96 -f webp -o late.small in/pairs/00000.tar)
	wait_state "$job" COMPLETED
	grep -q 'exit code 142 after' "$(log_of "$job")"
	grep -q '(once more)' "$(log_of "$job")"
	[ -s late.small/00000.tar ]
}

# ---- chains and arrays -------------------------------------------------------------------------

@test "a chain by afterok makes what plait run makes" {
	cat >steps <<-'END'
	# name  after       sbatch options       : tool
	pairs   -           -N1 -x n[4-6]        : ingest 'in/pairs/*.tar' -o chain.work/pairs -c similarity
	docs    -           -N1 -x n[4-6]        : ingest 'in/interleaved/*.tar' -o chain.work/docs
	evals   -           -N1 -n1 -x n[4-6]    : ingest 'in/eval/*.tar' -o chain.work/against.0
	filter  pairs       -N1 -n1 -x n[4-6]    : filter chain.work/pairs -w "width >= 64 and height >= 64"
	dedup   filter,docs,evals -N2 -x n[4-6]  : dedup -d 16 chain.work/pairs chain.work/docs -a chain.work/against.0
	balance dedup       -N1 -n1 -x n[4-6]    : balance -c r.yaml --work chain.work
	pack    balance     -N2 -x n[4-6]        : pack chain.work/plan.json -o chain
	verify  pack        -N1 -x n[4-6]        : verify chain
	END
	head_node env SBATCH_OUTPUT=jobs/%j.log "$SLURM_SCRIPTS/chain" steps >ids
	cat ids >&2
	[ "$(cut -f1 ids | tr '\n' ' ')" = "pairs docs evals filter dedup balance pack verify " ]
	wait_state "$(awk '$1 == "verify" { print $2 }' ids)" COMPLETED
	same_as_reference_shards chain
}

same_as_reference_shards()     # DIR: the description also holds the recipe's options
{
	[ "$(cd "$1" && sha256sum ./*.tar.zst)" = "$(cd ref && sha256sum ./*.tar.zst)" ] || fail "other shards"
	diff "$1/dataset.json" ref/dataset.json
}

@test "a chain whose first step fails takes the others with it" {
	printf '%s\n' 'first - -N1 -n1 : ingest missing.tar -o broken' 'then first -N1 -n1 : filter broken -w "width > 1"' >broken.steps
	head_node env SBATCH_OUTPUT=jobs/%j.log "$SLURM_SCRIPTS/chain" broken.steps >broken.ids
	wait_state "$(awk '$1 == "first" { print $2 }' broken.ids)" FAILED
	wait_state "$(awk '$1 == "then" { print $2 }' broken.ids)" CANCELLED
	run -2 head_node "$SLURM_SCRIPTS/chain" -n <(echo 'late early -N1 : verify x')
	[[ $output == *"'early' is no earlier step"* ]]
}

@test "an array over slices of the shards: resize and ingest; tasks submitted again keep their slices" {
	local job f
	ls in/pairs/*.tar >list
	plait resize -q -j1 -s 96 -f webp -o whole.small in/pairs/*.tar >/dev/null
	completes_array 0-2 3 list slices.small resize -s 96 -f webp
	for f in whole.small/*.tar; do cmp "$f" slices.small/*/"${f##*/}"; done
	[ "$(find slices.small -name '*.tar' | wc -l)" -eq 4 ]
	completes_array 0-2 3 list slices.c ingest -c similarity
	rm -rf slices.c/0001
	completes_array 1 3 list slices.c ingest -c similarity
	plait ingest -q -j1 -c similarity -o whole.c in/pairs/*.tar >/dev/null
	for f in whole.c/*.npy; do cmp "$f" slices.c/*/"${f##*/}"; done
}

# completes_array TASKS N LIST OUT TOOL...
completes_array()
{
	local tasks=$1 job k
	shift
	job=$(head_node sbatch --parsable --output=jobs/%A_%a.log --exclude='n[4-6]' --array="$tasks" "$SLURM_SCRIPTS/array.sbatch" "$@")
	for k in $(eval "echo {${tasks/-/..}}" | tr -d '{}'); do wait_state "${job}_$k" COMPLETED; done
}

# ---- stops -------------------------------------------------------------------------------------

# Slurm lets some seconds go by before it starts a job again: those that were interrupted are looked at together, further down.

requeued()     # JOB OUT PATTERN: log, restart count, bytes
{
	wait_line "$(log_of "$1")" "$3"
	wait_state "$1" COMPLETED
	[ "$(job_field "$1" Restarts)" = 1 ]
	grep -q 'restart  1 of at most' "$(log_of "$1")"
	same_as_reference "$2"
}

# start_and_hold OUT: plait run on two nodes stands still in the middle of pack; its id in OUT.job.
start_and_hold()
{
	submit -N2 "$SLURM_SCRIPTS/run.sbatch" r.yaml -o "$1" --work "$1.work" >"$1.job"
	hold "$1/000001.tar.zst" n1 n2 n3
}

# stopped OUT: its ranks go on, stop as asked, and leave nothing half done.
stopped()
{
	local log
	log=$(log_of "$(cat "$1.job")")
	signal_ranks CONT n1 n2 n3
	wait_line "$log" 'stopped as asked: exit code 75'
	[ ! -e "$1/dataset.json" ]
	no_leftovers "$1" "$1.work"
}

@test "a warning signal by srun: exit code 75, no partial files, requeued by the script" {
	start_and_hold warned
	head_node scancel --signal=USR1 --batch "$(cat warned.job)"
	wait_line "$(log_of "$(cat warned.job)")" 'SIGUSR1: asking'
	stopped warned
	wait_line "$(log_of "$(cat warned.job)")" 'requeued: Slurm starts this job again'
}

@test "a warning signal by mpirun: the same" {
	LAUNCHER=mpirun start_and_hold mwarned
	head_node scancel --signal=USR1 --batch "$(cat mwarned.job)"
	wait_line "$(log_of "$(cat mwarned.job)")" 'SIGUSR1: asking'
	stopped mwarned
	wait_line "$(log_of "$(cat mwarned.job)")" 'requeued: Slurm starts this job again'
}

@test "a signal to all ranks of the step (--signal without B:): the same" {
	start_and_hold ranks
	head_node scancel --signal=USR1 "$(cat ranks.job)"
	stopped ranks
}

@test "scontrol requeue in the middle: the script does not requeue a second time" {
	start_and_hold again
	head_node scontrol requeue "$(cat again.job)"
	stopped again
	wait_line "$(log_of "$(cat again.job)")" 'not requeued: the job is'
}

@test "all of these have gone on after SLURM_RESTART_COUNT became 1, to the same bytes" {
	local name
	for name in warned mwarned ranks again; do
		requeued "$(cat $name.job)" $name 'stopped as asked: exit code 75'
	done
}

@test "scancel: no partial files, not requeued, nothing left on the nodes; the same command completes" {
	local job out=cancelled launcher
	for launcher in srun mpirun; do
		rm -rf cancelled cancelled.work
		job=$(LAUNCHER=$launcher submit -N2 "$SLURM_SCRIPTS/run.sbatch" r.yaml -o cancelled --work cancelled.work)
		hold cancelled/000001.tar.zst n1 n2 n3
		head_node scancel "$job"
		signal_ranks CONT n1 n2 n3
		wait_state "$job" CANCELLED
		wait_gone_from_queue "$job"
		nothing_left_on n1 n2 n3
		[ ! -e cancelled/dataset.json ]
		# Under mpirun a rank may have had 10 ms: what it was writing then goes when the next run begins.
		[ $launcher = mpirun ] || no_leftovers cancelled cancelled.work
		[ "$(state_of "$job")" = CANCELLED ]
		if [ $launcher = srun ]; then run_job -N2; else plait run -q -j1 r.yaml -o cancelled --work cancelled.work >/dev/null; fi
		same_as_reference cancelled
	done
}

wait_gone_from_queue()     # JOB: until its last process has ended
{
	local tries=0
	while [ -n "$(head_node squeue -h -j "$1" 2>/dev/null)" ]; do
		sleep 0.1
		[ $((tries++)) -lt 200 ] || fail "job $1 is still in the queue"
	done
}

@test "preemption by a partition of higher priority: requeued, the same bytes" {
	local job high
	job=$(submit -N3 --exclusive --ntasks-per-node=1 "$SLURM_SCRIPTS/run.sbatch" r.yaml -o preempted --work preempted.work)
	hold preempted/000001.tar.zst n1 n2 n3
	high=$(submit -p high -N3 --exclusive --wrap 'sleep 0.1')
	wait_line "$(log_of "$job")" 'SIG(USR1|TERM): asking'
	signal_ranks CONT n1 n2 n3
	wait_state "$high" COMPLETED
	requeued "$job" preempted 'exit code 75'
}

# ---- how long a stop takes ---------------------------------------------------------------------

# stop_time NAME MOMENT TOOL ARGS...: TERM to all ranks when MOMENT is there and half a second has gone; until the job has left.
stop_time()
{
	local name=$1 moment=$2 job began took
	shift 2
	job=$(MAX_RESTARTS=0 submit -N2 --ntasks-per-node=1 "$SLURM_SCRIPTS/tool.sbatch" "$@")
	wait_for "$moment"
	sleep 0.5
	began=$(date +%s%N)
	head_node scancel --signal=TERM "$job"
	wait_state "$job" FAILED
	took=$((($(date +%s%N) - began) / 1000000))
	grep -q 'not requeued: it was 0 times' "$(log_of "$job")"
	[ "$(job_field "$job" ExitCode)" = 75:0 ] || lost_job "$job" "exit code 75" "has $(job_field "$job" ExitCode)"
	note "$name: $took ms from SIGTERM to the end of the job with exit code 75"
	[ $took -lt 5000 ] || fail "$name: took $took ms to stop"
}

@test "SIGTERM to exit code 75 with one large shard: resize, ingest, pack" {
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.path.insert(0, sys.argv[1])
		sys.dont_write_bytecode = True
		import corpora
		bytes_of = [corpora.encoded(corpora.picture(900 + i, 1400, 1000), "JPEG") for i in range(4)]
		shard = corpora.Shard("large.tar")
		for i in range(2000):
		    shard.add(f"{i:06d}.jpg", bytes_of[i % 4] + b"\0" * 8 + str(i).encode())
		    shard.add(f"{i:06d}.txt", corpora.caption(i))
		shard.close()
	PY
	note "the shard: $(stat -c %s large.tar) bytes, 2000 samples"
	stop_time resize large.small/.plait/lock resize -s 512 -f webp --effort 6 -o large.small large.tar
	no_leftovers large.small
	stop_time ingest large.c/.plait/lock ingest -o large.c large.tar
	no_leftovers large.c
	sed -e 's/shard_samples: 12/shard_samples: 100000/' -e 's/size: 160/size: 900/' -e 's/quality: 85/quality: 85, effort: 6/' r.yaml >large.yaml
	stop_time pack large.out/.plait/lock run large.yaml -o large.out --work large.work
	no_leftovers large.out large.work
	rm large.tar
}

# ---- what waited for Slurm's clocks ------------------------------------------------------------

@test "a node that is lost: Slurm requeues the job, and it ends with the same bytes" {
	wait_state "$orphan" PENDING 60
	signal_ranks CONT n5
	vc boot n6
	requeued "$orphan" orphan 'restart  1'
}

@test "a time limit with --signal=B:USR1: warned in time, exit code 75, requeued, the same bytes" {
	wait_line "$(log_of "$limited")" 'SIGUSR1: asking' 100
	requeued "$limited" limited 'stopped as asked: exit code 75'
	note "the warning came $(awk '/starts:/ && !a { a = $2 } /SIGUSR1/ && !b { b = $2 } END { split(substr(a, 1, 8), x, ":"); split(substr(b, 1, 8), y, ":"); print (y[1] - x[1]) * 3600 + (y[2] - x[2]) * 60 + y[3] - x[3] }' "$(log_of "$limited")") s after the start of a job of 60 s"
}
