#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait run --check: each trouble that is planted here is found before any work, by its place, with what to do about it.

load common

setup_file()
{
	make_set_once
}

setup()
{
	work_here
	make_recipe r.yaml out
	cp -r in/ own
	sed -i 's|in/|own/|g' r.yaml
}

teardown()
{
	mountpoint -q "$BATS_TEST_TMPDIR/disk" && umount "$BATS_TEST_TMPDIR/disk"
	[ -z "${job:-}" ] || { exec 7>&-; wait "$job"; } || true
}

nothing_made()
{
	[ ! -e out ] && [ ! -e out.work ] || fail "something was made"
	no_leftovers .
}

finds()     # PHRASE... [-- COMMAND...]: an error; the place and the remedy are phrases
{
	local phrases=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		phrases+=("$1")
		shift
	done
	[ "${1:-}" = -- ] && shift
	[ $# -gt 0 ] || set -- plait run -j1 --check r.yaml
	expect 3 "error: " "${phrases[@]}" "before the start" -- "$@"
	nothing_made
}

warns()     # the same for what does not stop a job
{
	local phrases=()
	while [ "$1" != -- ]; do
		phrases+=("$1")
		shift
	done
	shift
	expect 0 "warning: " "${phrases[@]}" "check: ok" -- "$@"
	nothing_made
}

@test "a recipe that can be made is ok, on one rank and on three, and nothing is left behind" {
	expect 0 "check: ok" "3 sources in 6 files" -- plait run -j1 --check r.yaml
	nothing_made
	expect 0 "check: ok" "3 ranks" -- mpirun -n 3 plait-run -j1 --check --report rep.json r.yaml
	nothing_made
	jq -e '.steps[0] | .step == "check" and .ok and .inputs == 6 and (.findings | map(.level) | all(. == "warning"))' rep.json
	expect 0 -- plait run -q -j1 r.yaml
	expect 0 "check: ok" -- plait run -j1 --check r.yaml
}

@test "1: a pattern that matches nothing" {
	sed -i 's|own/docs.tar|own/none-*.tar|' r.yaml
	finds "inputs: 'own/none-*.tar'" "no file matches" "mend the pattern"
}

@test "2: shards that are not there, empty, or something else" {
	rm own/pairs/00001.tar
	: >own/pairs/00002.tar
	yes 'no tar at all' | head -c 4096 >own/pairs/00003.tar
	finds "'own/pairs/00001.tar' cannot be read" "is the file system mounted" "'own/pairs/00002.tar' is empty" "copy it again" \
	    "'own/pairs/00003.tar' is no shard" "3 troubles"
	warns "'own/pairs/00002.tar' is empty" -- plait run -j1 --check --keep-going r.yaml
}

@test "3: a shard that was cut off" {
	truncate -s $(($(stat -c %s own/docs.tar) * 6 / 10)) own/docs.tar
	warns "'own/docs.tar' ends without the end of a tar" "copy it again" -- plait run -j1 --check r.yaml
}

@test "4: an output directory that holds another recipe's data set" {
	expect 0 -- plait run -q -j1 r.yaml
	sed -i 's/size: 96/size: 64/' r.yaml
	expect 3 "output: 'out' holds shards of another recipe" "--force" -- plait run -j1 --check r.yaml
	expect 0 "check: ok" -- plait run -j1 --check --force r.yaml
	# Without --check this is found before any step, too.
	expect 3 "output: 'out' holds shards of another recipe" -- plait run -j1 r.yaml
	[[ $stderr != *ingest* ]]
}

@test "5: a directory that cannot be written to" {
	echo >file
	finds "output: 'file/out'" "cannot be written" "choose another directory with output.dir or -o" -- plait run -j1 --check -o file/out r.yaml
	finds "output: 'file'" "is no directory" -- plait run -j1 --check -o file r.yaml
	finds "scratch: '/none/here' is no directory" "choose another with --scratch" -- plait run -j1 --check --scratch /none/here r.yaml
}

@test "6: a directory that is not the same one on every rank" {
	mkdir a b
	cp r.yaml a
	cp r.yaml b
	sed 's|own/|../own/|g' -i a/r.yaml b/r.yaml
	finds "output: 'out' is not what rank 0 sees by that name" "work: 'out.work' is not" "(rank 1 on " "file system that all nodes share" -- \
	    mpirun -n 1 -wdir "$PWD/a" plait-run -j1 --check r.yaml : -n 1 -wdir "$PWD/b" plait-run -j1 --check r.yaml
	[ -z "$(ls a b | grep -v -e r.yaml -e : -e '^$')" ]
	# The job itself refuses, too.
	finds "work: 'out.work' is not what rank 0 sees" -- \
	    mpirun -n 1 -wdir "$PWD/a" plait-run -j1 r.yaml : -n 1 -wdir "$PWD/b" plait-run -j1 r.yaml
}

@test "7: a recipe or a program that is not the same on every rank" {
	mkdir a
	sed 's|own/|../own/|g' r.yaml >a/r.yaml
	finds "recipe: 'r.yaml'" "not what rank 0 has read" "put the same recipe everywhere" -- \
	    mpirun -n 1 plait-run -j1 --check r.yaml : -n 1 -wdir "$PWD/a" plait-run -j1 --check r.yaml
	cp "$PLAIT_BIN/plait-run" other-run
	echo >>other-run
	finds "versions: " "another build than rank 0 runs" "install the same plait on every node" -- \
	    mpirun -n 2 plait-run -j1 --check r.yaml : -n 1 ./other-run -j1 --check r.yaml
}

@test "8: limits of the shell" {
	finds "limits: " "RLIMIT_NOFILE" "ulimit -n" -- bash -c "ulimit -n 100; plait run -j1 --check r.yaml"
	finds "limits: " "RLIMIT_FSIZE" "ulimit -f" "output.shard_size" -- bash -c "ulimit -f 2000; plait run -j1 --check r.yaml"
	[ "$PLAIT_VARIANT" = asan ] || finds "limits: " "RLIMIT_AS" "ulimit -v" -- bash -c "ulimit -v 1500000; plait run -j1 --check r.yaml"
}

@test "9: files beside the shards: scores without the column, a model, sets of evaluation" {
	printf 'key,clip\nx,0.3\n' >scores.csv
	sed -i 's|kind: pairs,|kind: pairs, scores: scores.csv, score_columns: [nsfw],|' r.yaml
	sed -i 's|dedup: {|dedup: {against: "evals/*.tar", against_hashes: evals.txt, known: old, |' r.yaml
	sed -i 's|kind: interleaved,|kind: interleaved, images: "images/*.tar",|' r.yaml
	echo 'tokenizer: {by: sentencepiece, model: none.model}' >>r.yaml
	finds "scores: 'scores.csv'" "nsfw" "score_columns" "inputs: 'evals/*.tar'" "dedup: 'evals.txt' cannot be read" "dedup: 'old'" "mend 'known'" \
	    "tokenizer: 'none.model'" "inputs: 'images/*.tar'"
}

@test "10: a full disk" {
	[ "$(id -u)" = 0 ] || skip "mounting a small disk needs root"
	mkdir disk
	mount -t tmpfs -o size=512k none disk 2>/dev/null || skip "no mount permission here"
	finds "space: 'disk/out' has" "free" "make room" -- plait run -j1 --check -o disk/out r.yaml
}

@test "11: a temporary directory that is not there" {
	finds "TMPDIR: '/none/there' is no directory" "choose another with TMPDIR" -- env TMPDIR=/none/there plait run -j1 --check r.yaml
}

@test "12: SQL of the recipe, with its line" {
	sed -i 's/similarity > 0.22/similarty > 0.22/' r.yaml
	expect 2 "'r.yaml':4:" "did you mean 'similarity'" -- plait run -j1 --check r.yaml
	nothing_made
}

@test "13: a source whose kind cannot be told" {
	sed -i 's/kind: text, //; s|own/text.jsonl|own/odd.jsonl|' r.yaml
	echo '{"nothing": "known"}' >own/odd.jsonl
	finds "inputs: 'own/odd.jsonl'" "cannot tell the kind" "give the source its kind"
}

@test "14: more workers than cores, more memory than there is" {
	warns "cores: 99 workers share" "lower -j" -- plait run -j99 --check r.yaml
	finds "memory: " "--memory" "ask for more" -- plait run -j1 --check --memory 900T r.yaml
}

@test "15: a directory that another job works in" {
	mkfifo names
	plait ingest -q -j1 -o out.work <names >/dev/null 2>&1 &
	job=$!
	exec 7>names
	for i in {1..100}; do [ ! -e out.work/.plait/lock ] || break; sleep 0.05; done
	sleep 0.2
	expect 3 "work: 'out.work'" "wait for that job" -- plait run -j1 --check r.yaml
}

@test "16: no seccomp where it is required" {
	finds "sandbox: " "seccomp" "--sandbox off" -- /usr/bin/python3 "$CLI_DIR/no_seccomp.py" plait run -j1 --check --sandbox require r.yaml
	warns "sandbox: there is no seccomp" -- /usr/bin/python3 "$CLI_DIR/no_seccomp.py" plait run -j1 --check r.yaml
}

@test "17: quotas that the tables of an earlier run do not give" {
	expect 0 -- plait run -q -j1 -n r.yaml
	sed -i 's/max_epochs: 2/max_epochs: 1, total: 1000/' r.yaml
	expect 0 "warning: quotas: " "source 'docs'" "largest total possible is" -- plait run -j1 --check r.yaml
}

@test "18: copies of a program that do not see each other" {
	# Open MPI leaks; scripts/check tells the leak checker for what mpirun starts, and this is not.
	expect 2 "MPI sees one rank" "mpirun" -- env OMPI_COMM_WORLD_SIZE=2 SLURM_STEP_NUM_TASKS=2 \
	    ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" plait run -j1 --check r.yaml
	nothing_made
}

@test "a job looks for what is missing before it begins" {
	sed -i 's|own/text.jsonl|own/none-*.jsonl|' r.yaml
	expect 3 "inputs: 'own/none-*.jsonl'" -- plait run -j1 r.yaml
	nothing_made
}
