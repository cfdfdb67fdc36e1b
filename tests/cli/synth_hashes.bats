#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait synth --hashes: tables without pixels, with near pairs at known distances; and what dedup makes of them.

load common

sums()     # DIR
{
	(cd "$1" && find . -path ./.plait -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}

tables()
{
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$BATS_TEST_DIRNAME/../mpi/tables.py" "$@"
}

setup_file()
{
	export TRIAL=$BATS_FILE_TMPDIR/trial
	plait synth -q --hashes 6000 --shard-samples 1000 --seed 5 --duplicates 0.3 --blank 0.1 --near-blank 0.1 -o "$TRIAL" >"$BATS_FILE_TMPDIR/announced"
}

@test "the same bytes with 1 and with 3 ranks, others with another seed, and a rerun makes what is missing" {
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	local more=(--hashes 6000 --shard-samples 1000 --duplicates 0.3 --blank 0.1 --near-blank 0.1)
	[ "$(cat "$BATS_FILE_TMPDIR/announced")" = "$TRIAL/hashes" ]
	mpirun --oversubscribe -n 3 plait-synth -q "${more[@]}" --seed 5 -o three >/dev/null
	diff <(sums "$TRIAL") <(sums three)
	no_leftovers three
	plait synth -q "${more[@]}" --seed 6 -o other >/dev/null
	[ "$(comm -12 <(sums "$TRIAL" | sort) <(sums other | sort))" = "" ]
	rm three/hashes/00002.images.npy three/hashes/manifest.json
	plait synth -q "${more[@]}" --seed 5 -o three >/dev/null
	diff <(sums "$TRIAL") <(sums three)
	expect 3 "other options" -- plait synth --hashes 6000 -o three
}

@test "128 bits are set, copies lie as far from their originals as truth.tsv says, blank ones are alike" {
	tables truth "$TRIAL"
}

@test "the corpus is one for every tool that needs no pixels" {
	[ "$(number "$TRIAL/hashes" 'select count(*) from samples')" = 6000 ]
	[ "$(number "$TRIAL/hashes" "select count(*) from images where status = 'keep' and width >= 224 and format = 'jpeg'")" = 6000 ]
	[ "$(number "$TRIAL/hashes" 'select count(*) from images where pdq_quality = 0 and blank = 1')" -ge 500 ]
}

@test "dedup of hashes: every planted pair within the distance is decided, low quality is counted" {
	local near low d
	low=$(awk -F'\t' '$4 ~ /blank/' "$TRIAL/truth.tsv" | wc -l)
	for d in 0 16 30; do
		cp -r "$TRIAL/hashes" .
		plait dedup -q -d $d --report r.json hashes >/dev/null
		# copies that were planted within the distance, and those that only meet through their original
		near=$(awk -F'\t' -v d=$d '$4 == "near_duplicate" && $6 <= d' "$TRIAL/truth.tsv" | wc -l)
		jq -e --argjson low "$low" --argjson near "$near" '.steps[0] | .low_quality == $low and
		    .images == 6000 and (.account.images | .in - .out) > $near * 0.9' r.json || { jq . r.json >&2; false; }
		tables stars $d hashes
		rm -r hashes
	done
}

@test "near blank pictures of a good quality column: nothing is truncated" {
	plait synth -q --hashes 6000 --duplicates 0.1 --near-blank 0.4 --near-blank-quality 100 --near-blank-bits 24 -o nasty >/dev/null
	plait dedup -q -d 31 --report r.json nasty/hashes >/dev/null
	jq -e '.steps[0] | .low_quality == 0 and .pairs > 1000000' r.json || { jq . r.json >&2; false; }
	tables stars 31 nasty/hashes
}

@test "near blank pictures of a good quality column: their bucket is predicted, and seen to the end" {
	local low=(--duplicates 0.1 --near-blank 0.2 --near-blank-bits 64)
	plait synth -q --hashes 60K "${low[@]}" --near-blank-quality 100 -o nasty >/dev/null
	plait dedup -q --report r.json nasty/hashes >/dev/null
	jq -e '.steps[0] | .low_quality == 0 and .pairs > 500000 and .join.largest_bucket > 300 and .join.predicted_candidates > 5000000' r.json ||
	    { jq . r.json >&2; false; }
	# with the true quality they never enter the join
	plait synth -q --hashes 60K "${low[@]}" -o fine >/dev/null
	plait dedup -q --report r.json fine/hashes >/dev/null
	jq -e '.steps[0] | .low_quality > 11000 and .join.largest_bucket < 100 and .join.predicted_candidates < 5000000' r.json ||
	    { jq . r.json >&2; false; }
}

@test "pairs that memory does not hold are refused with advice, or go to a scratch file" {
	plait synth -q --hashes 8K --near-blank 0.5 --near-blank-quality 100 --near-blank-bits 24 -o nasty >/dev/null
	expect 3 "pairs are to be expected" "--memory" "--scratch" "smaller distance" -- plait dedup -d 31 --memory 20M nasty/hashes
	[ ! -e nasty/hashes/dedup.clusters.npy ]
	mkdir scratch
	plait dedup -q -d 31 --memory 20M --scratch scratch --report r.json nasty/hashes >/dev/null
	jq -e '.steps[0].pairs > 4000000' r.json || { jq . r.json >&2; false; }
	tables stars 31 nasty/hashes
	[ -z "$(ls -A scratch)" ]
}

@test "what the join will cost is said before it, and more than the budget is refused" {
	plait synth -q --hashes 8K --near-blank 0.5 --near-blank-quality 100 --near-blank-bits 24 -o nasty >/dev/null
	expect 0 "candidate pairs to look at, about" "pairs to find" "core seconds expected" -- plait dedup -d 31 --report r.json nasty/hashes
	jq -e '.steps[0] | .join.predicted_pairs > .pairs / 1.2 and .join.predicted_pairs < .pairs * 1.2' r.json || { jq . r.json >&2; false; }
	expect 3 "pairs of hashes would have to be looked at" "budget is 1e+06" "--budget" "--min-quality" -- \
	    plait dedup --force -d 31 --budget 1e6 nasty/hashes
	expect 0 "1 found" -- plait dedup -d 31 --budget 1e6 nasty/hashes      # no other work
	expect 2 "--budget" -- plait dedup --budget 0 nasty/hashes
}

@test "usage errors are named" {
	expect 2 "--kind" -- plait synth --hashes 10 --kind pairs -o d
	expect 2 "--hashes" -- plait synth --blank 0.1 -o d
	expect 2 "a tenth" -- plait synth --hashes 10 --blank 0.5 --near-blank 0.5 -o d
	[ ! -e d ]
}

@test "shards that are links: as many samples as asked for, in little room, and a plan of them" {
	plait synth -q --hashes 12K --shard-samples 1000 --distinct-shards 2 -o d >/dev/null
	[ "$(find d/hashes -name '*.samples.npy' -links +1 | wc -l)" -eq 12 ]
	jq -e '.samples == 12000 and (.shards | length) == 12' d/hashes/manifest.json >/dev/null
	printf 'name: t\nseed: 3\nsources: [{name: hashes, shards: x, weight: 1}]\nbalance: {total: 5000, unit: tokens}\noutput: {dir: o, fan_in: 4, shard_samples: 20}\n' >r.yaml
	local n
	for n in 1 2 3 5; do
		mpirun -n $n plait-balance -q -c r.yaml --work d -o plan.$n >/dev/null
		cmp plan.1 plan.$n
	done
	jq -e '.fan_in == 4 and .sources[0].fan_in <= 4 and .sources[0].tokens >= 5000' plan.1 || { jq . plan.1 >&2; false; }
	expect 2 "multiple of" -- plait synth --hashes 1500 --shard-samples 1000 --distinct-shards 1 -o e
	expect 2 "at least 2" -- plait balance -c r.yaml --work d --fan-in 1
	plait balance -q -c r.yaml --work d --fan-in 0 -o plan.free >/dev/null
	jq -e '.fan_in == 0 and .sources[0].fan_in == 12' plan.free
}
