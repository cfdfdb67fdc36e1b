#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The bytes of a data set depend on inputs, recipe and seed: not on the number of ranks, not on whether one job or a
# shell runs the steps, not on interruptions.

load ../cli/common

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	make_recipe r.yaml out
	plait run -q -j1 r.yaml >names
	bytes_of out >reference
}

setup()
{
	work_here
	REFERENCE=$(cat "$BATS_FILE_TMPDIR/reference")
	make_recipe r.yaml out
}

same_as_reference()     # DIR
{
	[ "$(bytes_of "$1")" = "$REFERENCE" ] || {
		diff <(cd "$BATS_FILE_TMPDIR/out" && sha256sum ./*.tar.zst dataset.json) <(cd "$1" && sha256sum ./*.tar.zst dataset.json) >&2
		fail "$1 is not the reference data set"
	}
	no_leftovers "$1" .
}

@test "stdout of plait run names the shards and dataset.json" {
	[ "$(sort "$BATS_FILE_TMPDIR/names")" = "$(cd "$BATS_FILE_TMPDIR" && ls out/*.tar.zst out/dataset.json | sort)" ]
	[ "$(wc -l <"$BATS_FILE_TMPDIR/names")" -ge 10 ]
}

@test "the same bytes at 2, 3 and 5 ranks, with one or two workers" {
	local n
	for n in 2 3 5; do
		rm -rf out out.work
		mpirun --oversubscribe -n "$n" plait-run -q -j $((n == 2 ? 2 : 1)) r.yaml >names
		same_as_reference out
		[ "$(sort names)" = "$(sort "$BATS_FILE_TMPDIR/names")" ]
	done
}

@test "the tables are the same at 1 and 3 ranks, byte for byte" {
	mpirun --oversubscribe -n 3 plait-run -q -j1 --work three --dry-run r.yaml
	plait run -q -j1 --work one --dry-run r.yaml
	(cd one && find . -name '*.npy' -exec sha256sum {} + | sort -k 2) >one.sums
	(cd three && find . -name '*.npy' -exec sha256sum {} + | sort -k 2) >three.sums
	[ "$(wc -l <one.sums)" -ge 12 ]
	diff one.sums three.sums
}

@test "the tools one by one in a shell give the bytes of plait run" {
	plait ingest -q -j1 -o w/pairs --kind pairs -c similarity 'in/pairs/{00000..00003}.tar'
	mpirun --oversubscribe -n 2 plait-ingest -q -j1 -o w/docs --kind interleaved in/docs.tar
	plait ingest -q -j1 -o w/text --kind text in/text.jsonl
	plait filter -q w/pairs -w 'similarity > 0.22'
	plait dedup -q -d 24 w/pairs w/docs w/text
	plait balance -q -c r.yaml --work w -o plan.json
	mpirun --oversubscribe -n 3 plait-pack -q -j1 plan.json -o out
	same_as_reference out
	expect 0 -- plait verify --deep -j1 out
}

@test "another seed, another order of the same samples" {
	make_recipe other.yaml other 8
	plait run -q -j1 other.yaml
	[ "$(bytes_of other)" != "$REFERENCE" ]
	[ "$(jq -c '[.sources[] | [.in, .kept, .out]]' other/dataset.json)" = \
	    "$(jq -c '[.sources[] | [.in, .kept, .out]]' "$BATS_FILE_TMPDIR/out/dataset.json")" ]
}

@test "the order of the arguments and of the directory changes nothing" {
	plait ingest -q -j1 -n same -o a in/pairs/00000.tar in/pairs/00001.tar in/pairs/00002.tar
	plait ingest -q -j1 -n same -o b in/pairs/00002.tar in/pairs/00000.tar in/pairs/00001.tar
	plait dedup -q a
	plait dedup -q b
	(cd a && sha256sum ./*.npy) >a.sums
	(cd b && sha256sum -c --quiet ../a.sums)
	[ "$(jq -c '[.digest, .shards]' a/manifest.json)" = "$(jq -c '[.digest, .shards]' b/manifest.json)" ]
}

@test "a second run makes nothing and says the same names" {
	plait run -q -j1 r.yaml >/dev/null
	local before
	before=$(find out out.work -name '*.npy' -o -name '*.tar.zst' | sort | xargs stat -c '%n %Y %i')
	plait run -q -j1 --report again.json r.yaml >/dev/null
	[ "$(find out out.work -name '*.npy' -o -name '*.tar.zst' | sort | xargs stat -c '%n %Y %i')" = "$before" ]
	jq -e '[.steps[] | select(.step == "pack") | .account.units.done] == [0]' again.json || { jq . again.json >&2; false; }
	same_as_reference out
}

@test "resize and ingest in a pipe work shard by shard, and as one after the other" {
	ls in/pairs/*.tar | plait resize -q -j1 -s 64 -f jpeg -o small | plait ingest -q -j1 -o piped
	plait resize -q -j1 -s 64 -f jpeg -o small2 in/pairs/*.tar >/dev/null
	(cd small && sha256sum ./*.tar) >sums
	[ "$(wc -l <sums)" = 4 ]
	(cd small2 && sha256sum -c --quiet ../sums)
	[ "$(number piped 'select count(*) from samples')" = 96 ]
	[ "$(number piped 'select max(width) from images')" -le 86 ]
	ls in/pairs/*.tar | mpirun --oversubscribe -n 3 plait-resize -q -j1 -s 64 -f jpeg -o small3 |
	    mpirun --oversubscribe -n 2 plait-ingest -q -j1 -o piped3
	(cd small3 && sha256sum -c --quiet ../sums)
	[ "$(number piped3 'select count(*) from samples')" = 96 ]
}

@test "a pipe streams: the first shard is ingested while the list is still open" {
	mkfifo list
	plait ingest -q -j1 -o c <list >announced &
	local job=$! tries=0
	exec 7>list
	echo in/pairs/00000.tar >&7
	while [ ! -e c/00000.samples.npy ] && [ $((tries++)) -lt 100 ]; do sleep 0.1; done
	[ -e c/00000.samples.npy ]
	echo in/pairs/00001.tar >&7
	exec 7>&-
	wait "$job"
	[ "$(number c 'select count(*) from samples')" = 48 ]
}

@test "plain tar output is deterministic too" {
	sed -i 's/stage: align,/stage: align, container: tar,/' r.yaml
	plait run -q -j1 r.yaml >/dev/null
	local one
	one=$(bytes_of out)
	rm -rf out out.work
	mpirun --oversubscribe -n 3 plait-run -q -j1 r.yaml >/dev/null
	[ "$(bytes_of out)" = "$one" ]
	tar -tf out/000000.tar >/dev/null
	expect 0 -- plait verify --deep -j1 out
}

@test "several tasks of a step that do not see each other are refused" {
	# Open MPI leaks; scripts/check tells the leak checker for what mpirun starts, and this is not.
	SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 run --separate-stderr env -u OMPI_COMM_WORLD_SIZE \
	    ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" plait ingest -j1 -o c in/pairs/00000.tar
	[ "$status" -eq 2 ] || [ "$status" -eq 3 ] || { show_run; false; }
	[[ $stderr == *"4"* ]]
	[ ! -e c/manifest.json ]
}
