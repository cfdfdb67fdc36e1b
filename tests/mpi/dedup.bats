#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Dedup over ranks and nodes: the same bytes at any number of either, with little memory, with scratch files, in any order.

load ../cli/common
load dedup_tables

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	make_tables
	cp -r in one
	(cd one && plait dedup -q -d 31 --report r.json a b --against eval >/dev/null)
	sums one >reference
}

setup()
{
	work_here
	cp -r "$BATS_FILE_TMPDIR/in/"* .
}

same_as_reference()
{
	sums . | diff "$BATS_FILE_TMPDIR/reference" - || fail "not the bytes of one rank alone"
	no_leftovers .
}

@test "what is kept is kept for a reason, and what is dropped, too" {
	cd "$BATS_FILE_TMPDIR/one"
	run tables stars 31 a b eval
	[ "$status" -eq 0 ] || { show_run; false; }
	jq -e '.steps[0] | .images == 17500 and .low_quality > 3000 and .pairs > 1000 and .rounds >= 1 and .join.units > 0 and
	    .join.predicted_candidates > 0 and .memory.rank > 0 and .memory.node > 0' r.json || { jq . r.json >&2; false; }
}

@test "the same bytes at 2, 3 and 5 ranks, on one node and on several" {
	local n per
	for n in 2 3 5; do
		for per in 1 2 8; do
			PLAIT_RANKS_PER_NODE=$per mpirun --oversubscribe -n "$n" plait-dedup -q --force -d 31 a b --against eval >/dev/null
			same_as_reference
		done
	done
}

@test "the same bytes with little memory and scratch files, of which none stays" {
	local n
	mkdir scratch
	for n in 1 3; do
		rm -f ./*/dedup.clusters.npy
		PLAIT_RANKS_PER_NODE=2 mpirun --oversubscribe -n "$n" plait-dedup -q --force -d 31 --plan replicated --memory 1M --scratch scratch \
			--report r.json a b --against eval >/dev/null
		same_as_reference
		[ -z "$(ls -A scratch)" ]
		jq -e '.steps[0].memory.scratch_file > 400000' r.json || { jq . r.json >&2; false; }
	done
}

@test "memory that does not hold the hashes is an error that says what would" {
	expect 3 "--memory" "--scratch" "hashes" -- plait dedup -d 31 --memory 1M a b --against eval
	expect 2 "--scratch" -- plait dedup --scratch nowhere a
	[ ! -e a/dedup.clusters.npy ]
}

@test "the order of corpora changes no verdict" {
	mpirun --oversubscribe -n 3 plait-dedup -q -d 31 b a --against eval >/dev/null
	tables verdicts a b >swapped
	(cd "$BATS_FILE_TMPDIR/one" && tables verdicts a b) | diff - swapped
}

@test "the order of shards in the manifest changes no verdict" {
	# they stand by path there: other paths, the same tables
	jq '.shards |= (to_entries | map(.value.path = "a/\(9 - .key).tar" | .value) | sort_by(.path))' a/manifest.json >m
	mv m a/manifest.json
	mpirun --oversubscribe -n 2 plait-dedup -q -d 31 a b --against eval >/dev/null
	tables verdicts a b | sed 's/ [0-9]* \([0-9]* [0-9]*\)$/ \1/' >shuffled
	(cd "$BATS_FILE_TMPDIR/one" && tables verdicts a b) | sed 's/ [0-9]* \([0-9]* [0-9]*\)$/ \1/' | diff - shuffled
}

@test "components drop what chains to a kept image, at any number of ranks" {
	local n want
	plait dedup -q -d 31 --cluster components a b >/dev/null
	want=$(sums .)
	for n in 2 5; do
		PLAIT_RANKS_PER_NODE=2 mpirun --oversubscribe -n "$n" plait-dedup -q --force -d 31 --cluster components a b >/dev/null
		[ "$(sums .)" = "$want" ]
	done
	jq -e '.cluster == "components"' a/dedup.json
	plait dedup -q -d 31 --cluster stars a b >/dev/null
	[ "$(sums .)" != "$want" ]
}

@test "a filter that changes takes the clusters away with the verdicts" {
	plait dedup -q a >/dev/null
	[ -e a/dedup.clusters.npy ]
	plait filter -q -w 'images > 0' a >/dev/null
	[ ! -e a/dedup.clusters.npy ]
	[ ! -e a/00000.dedup.npy ]
}

@test "why counts what went in favour of a kept image" {
	local key want sum=0 n
	plait synth -q -k pairs -n 60 --shard-samples 30 --size 64 --duplicates 0.4 --broken 0 -o syn >/dev/null
	plait ingest -q -j1 -o c syn/pairs/*.tar >/dev/null
	plait dedup -q --report r.json c >/dev/null
	want=$(jq '.steps[0].account.images | .in - .out' r.json)
	[ "$want" -gt 5 ]
	for key in $(cut -f 3 syn/truth.tsv | sed -n '2,61p'); do
		n=$(plait why "$key" c | sed -n 's/.*image 0: dedup: kept in place of \([0-9]*\) other.*/\1/p')
		sum=$((sum + ${n:-0}))
	done
	[ "$sum" = "$want" ] || fail "$sum told of, $want dropped"
}
