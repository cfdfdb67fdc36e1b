#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Interruptions: asked for (SIGTERM, SIGUSR1) and not (SIGKILL), of the whole job, of one rank, of a codec worker.

load ../cli/common

# The recipe of the made set with pictures that take longer to encode, so that there is a middle to be hit.
slow_recipe()
{
	make_recipe r.yaml out
	sed -i 's/size: 96, format: webp/size: 160, format: webp, effort: 4/' r.yaml
}

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	slow_recipe
	plait run -q -j1 r.yaml >/dev/null
	bytes_of out >reference
	# Pictures that take a while, for what must be hit in the middle.
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.path.insert(0, sys.argv[1])
		sys.dont_write_bytecode = True
		import corpora
		bytes_of = [corpora.encoded(corpora.picture(900 + i, 1400, 1000), "PNG") for i in range(4)]
		for k in range(4):
		    shard = corpora.Shard(f"large{k}.tar")
		    for i in range(12):
		        shard.add(f"{i:04d}.png", bytes_of[i % 4])
		        shard.add(f"{i:04d}.txt", corpora.caption(12 * k + i))
		    shard.close()
	PY
}

setup()
{
	work_here
	slow_recipe
}

descendants()     # PID: it and all below it
{
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do descendants "$child"; done
}

wait_gone()     # PID...
{
	local pid
	for pid in "$@"; do
		while kill -0 "$pid" 2>/dev/null && [ "$(ps -o stat= -p "$pid")" != Z ]; do sleep 0.02; done
	done
}

kill_all()     # SIGNAL PID...: at once; and wait until nothing is left of them
{
	local signal=$1
	shift
	kill -"$signal" "$@" 2>/dev/null || true
	wait_gone "$@"
}

kill_a_rank()     # JOB: SIGKILL to the last rank, which ends the job with an error and leaves no process
{
	local code=0 all
	all=$(descendants "$1")
	kill -KILL "$(pgrep -P "$1" | tail -n 1)"
	wait "$1" || code=$?
	[ "$code" -ne 0 ]
	[ "$code" -ne 75 ]
	# shellcheck disable=SC2086  # a list
	wait_gone $all
}

# Kill a job of ours with everything below it.
kill_tree()     # SIGNAL PID
{
	# shellcheck disable=SC2046  # a list
	kill_all "$1" $(descendants "$2")
	wait "$2" 2>/dev/null || true
}

wait_for()     # PATH [PID]: until it is there, 20 s at most
{
	local tries=0
	while [ ! -e "$1" ]; do
		sleep 0.01
		[ $((tries++)) -lt 2000 ] || fail "'$1' did not come"
	done
}

only_the_data_set()     # DIR: no strays besides what a data set is
{
	local stray
	stray=$(cd "$1" && find . -type f ! -path './.plait/*' ! -name '??????.tar.zst' ! -name dataset.json)
	[ -z "$stray" ] || fail "stray files: $stray"
	no_leftovers . "$1"
}

same_as_reference()
{
	[ "$(bytes_of out)" = "$(cat "$BATS_FILE_TMPDIR/reference")" ] || fail "not the bytes of the undisturbed run"
	only_the_data_set out
}

# stopped SIGNAL FILE: a lone plait run gets SIGNAL when FILE is there; it must leave with 75 in time and go on later.
stopped()
{
	plait run -j1 r.yaml >/dev/null 2>err &
	local job=$! code=0 began
	wait_for "$2"
	began=$(date +%s%N)
	kill -"$1" "$job"
	wait "$job" || code=$?
	[ $((($(date +%s%N) - began) / 1000000)) -lt 5000 ] || fail "took more than 5 s to stop"
	[ "$code" = 75 ] || { cat err >&2; fail "exit code $code, expected 75"; }
	grep -q "run the same command again" err || { cat err >&2; false; }
	[ ! -e out/dataset.json ]
	no_leftovers .
	plait run -q -j1 r.yaml >/dev/null
	same_as_reference
}

@test "SIGTERM while ingesting: exit code 75, and the rerun has the same bytes" {
	stopped TERM out.work/pairs/00000.samples.npy
}

@test "SIGTERM while packing" {
	stopped TERM out/000002.tar.zst
}

@test "SIGINT and SIGUSR1 are the same" {
	stopped INT out/000004.tar.zst
	rm -rf out out.work
	stopped USR1 out/000001.tar.zst
}

@test "SIGUSR1 through mpirun stops all ranks with 75" {
	mpirun --oversubscribe -n 3 plait-run -q -j1 r.yaml >/dev/null 2>err &
	local job=$! code=0
	wait_for out/000001.tar.zst
	kill -USR1 "$job"
	wait "$job" || code=$?
	[ "$code" = 75 ] || { cat err >&2; fail "exit code $code, expected 75"; }
	no_leftovers .
	mpirun --oversubscribe -n 2 plait-run -q -j1 r.yaml >/dev/null
	same_as_reference
}

@test "SIGTERM to one rank only: the others agree and leave with 75" {
	mpirun --oversubscribe -n 3 plait-run -q -j1 r.yaml >/dev/null 2>err &
	local job=$! code=0
	wait_for out/000001.tar.zst
	kill -TERM "$(pgrep -P "$job" | tail -n 1)"
	wait "$job" || code=$?
	[ "$code" = 75 ] || { cat err >&2; fail "exit code $code, expected 75"; }
	no_leftovers .
	plait run -q -j1 r.yaml >/dev/null
	same_as_reference
}

# bats test_tags=slow
@test "SIGKILL of the whole job at ten moments, each followed by a rerun" {
	local moment job all cut=0
	for moment in out/.plait/lock out.work/pairs/00002.images.npy out.work/docs/manifest.json out.work/text/text.samples.npy \
	    out.work/pairs/00001.filter.npy out.work/plan.json out/000000.tar.zst out/000005.tar.zst out/000011.tar.zst out/000016.tar.zst; do
		rm -rf out out.work
		mpirun --oversubscribe -n 3 plait-run -q -j1 r.yaml >/dev/null 2>&1 &
		job=$!
		wait_for out/.plait/lock
		all=$(descendants "$job")
		wait_for "$moment"
		# shellcheck disable=SC2086  # a list
		kill_all KILL $all
		wait "$job" 2>/dev/null || true
		[ -e out/dataset.json ] || cut=$((cut + 1))
		plait run -q -j2 r.yaml >/dev/null 2>err || { cat err >&2; fail "the rerun after the kill at $moment failed"; }
		same_as_reference
	done
	[ "$cut" -ge 5 ] || fail "only $cut of the kills came while the job worked"
}

# bats test_tags=slow
@test "SIGKILL again and again on the same directory, at changing rank counts" {
	local i job
	for i in 4 5 6 7 8 9; do
		mpirun --oversubscribe -n $((1 + i % 3)) plait-run -q -j1 r.yaml >/dev/null 2>&1 &
		job=$!
		sleep 0.$((i + 1))
		kill_tree KILL "$job"
	done
	mpirun --oversubscribe -n 2 plait-run -q -j1 r.yaml >/dev/null
	same_as_reference
	expect 0 -- plait verify --deep -j1 out
}

@test "SIGKILL of one rank ends the job with an error, and the rerun goes on" {
	mpirun --oversubscribe -n 3 plait-run -q -j1 r.yaml >/dev/null 2>&1 &
	local job=$!
	wait_for out/000001.tar.zst
	kill_a_rank "$job"
	plait run -q -j1 r.yaml >/dev/null
	same_as_reference
}

@test "a killed codec worker costs at most its image" {
	plait ingest -q -j2 --report r.json -o c "$BATS_FILE_TMPDIR"/large?.tar >/dev/null 2>err &
	local job=$! code=0 kills=0 worker
	wait_for c/.plait/lock
	while kill -0 "$job" 2>/dev/null && [ "$kills" -lt 5 ]; do
		sleep 0.1
		# The workers are the grandchildren: a nursery stands between.
		worker=$(for nursery in $(pgrep -P "$job"); do pgrep -P "$nursery"; done | tail -n 1)
		[ -n "$worker" ] && kill -KILL "$worker" 2>/dev/null && kills=$((kills + 1))
	done
	wait "$job" || code=$?
	[ "$kills" -ge 1 ] || skip "the job was done before a worker could be killed"
	[ "$code" = 0 ] || { cat err >&2; fail "exit code $code"; }
	jq -e --argjson kills "$kills" '.steps[0].account | .samples.in == 48 and (.images.dropped | ((.crash // 0) <= $kills
	    and (keys - ["crash"] == []))) and .images.in == .images.out + (.images.dropped.crash // 0)' r.json ||
	    { jq . r.json >&2; fail "more lost than $kills images"; }
	no_leftovers c
}

@test "workers die with their rank" {
	plait ingest -q -j2 -o c "$BATS_FILE_TMPDIR"/large?.tar >/dev/null 2>&1 &
	local job=$! all pid tries=0
	wait_for c/.plait/lock
	sleep 0.1
	all=$(descendants "$job")
	[ "$(wc -w <<<"$all")" -ge 3 ]
	kill -KILL "$job"
	wait "$job" || true
	for pid in $all; do
		while kill -0 "$pid" 2>/dev/null && [ "$(ps -o stat= -p "$pid")" != Z ]; do
			sleep 0.05
			[ $((tries++)) -lt 60 ] || fail "process $pid outlived its rank"
		done
	done
	plait ingest -q -j2 -o c "$BATS_FILE_TMPDIR"/large?.tar >/dev/null
	[ "$(number c "select count(*) from samples where status = 'keep'")" = 48 ]
}

@test "resize that was killed leaves no half shard and goes on" {
	local i job
	plait resize -q -j2 -s 300 -f webp -o whole "$BATS_FILE_TMPDIR"/large?.tar >/dev/null
	(cd whole && sha256sum ./*.tar) >sums
	for i in 2 4 6; do
		plait resize -q -j2 -s 300 -f webp -o small "$BATS_FILE_TMPDIR"/large?.tar >/dev/null 2>&1 &
		job=$!
		sleep 0.$i
		kill_tree KILL "$job"
	done
	plait resize -q -j2 -s 300 -f webp -o small "$BATS_FILE_TMPDIR"/large?.tar >/dev/null
	(cd small && sha256sum -c --quiet ../sums)
	no_leftovers small
}

# A corpus of tables whose join takes seconds on one core.
large_join()
{
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$BATS_TEST_DIRNAME/../mpi/tables.py" make large 200000 8 5
	cp -r large whole
	plait dedup -q -d 44 whole >/dev/null
	(cd whole && sha256sum ./*.npy) >sums
}

same_tables()
{
	(cd large && sha256sum -c --quiet ../sums)
	no_leftovers large
	[ -z "$(ls -A scratch)" ] || fail "left in scratch: $(ls -A scratch)"
}

# start_dedup PLAN: three ranks on two nodes join, with files for what memory does not hold; returns when they are at it: some
# tenths of a second after what comes before the join, which takes seconds.
start_dedup()
{
	local tries=0
	PLAIT_RANKS_PER_NODE=2 mpirun --oversubscribe -n 3 plait-dedup -d 44 --plan "$1" --memory 1M --scratch scratch --progress json large \
		>/dev/null 2>err &
	job=$!
	until grep -q '"stage":"dedup".*"end":true' err; do
		sleep 0.01
		[ $((tries++)) -lt 2000 ] || { cat err >&2; fail "the join did not begin"; }
	done
	sleep 0.3
}

killed_dedup()     # PLAN
{
	local job
	mkdir scratch
	large_join
	start_dedup "$1"
	kill_a_rank "$job"
	[ ! -e large/dedup.clusters.npy ]
	mpirun --oversubscribe -n 2 plait-dedup -q -d 44 --plan "$1" --memory 1M --scratch scratch large >/dev/null
	same_tables
}

stopped_dedup()     # PLAN
{
	local job code=0 began
	mkdir scratch
	large_join
	start_dedup "$1"
	began=$(date +%s%N)
	kill -TERM "$(pgrep -P "$job" | tail -n 1)"
	wait "$job" || code=$?
	[ $((($(date +%s%N) - began) / 1000000)) -lt 5000 ] || fail "took more than 5 s to stop"
	[ "$code" = 75 ] || { cat err >&2; fail "exit code $code, expected 75"; }
	plait dedup -q -d 44 large >/dev/null
	same_tables
}

@test "dedup: SIGKILL of one rank in the middle of the join, and the rerun has the same bytes" {
	killed_dedup replicated
}

@test "dedup: SIGKILL of one rank where no node has all hashes" {
	killed_dedup partitioned
}

@test "dedup: SIGTERM to one rank in the middle of the join stops all with 75 in time" {
	stopped_dedup replicated
}

@test "dedup: SIGTERM to one rank where no node has all hashes" {
	stopped_dedup partitioned
}
