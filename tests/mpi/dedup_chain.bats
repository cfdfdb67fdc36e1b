#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nothing chains: with A near B near C and A far from C, B goes and A and C stay, at any number of ranks and in any order of shards.

load ../cli/common

tables()
{
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$BATS_TEST_DIRNAME/tables.py" "$@"
}

sums()
{
	(cd c && find . -name '*.dedup*.npy' -o -name dedup.clusters.npy | sort | xargs sha256sum)
}

chains_hold()     # N: this many chains
{
	local n want=''
	tables chains c "$1" 7 3
	for n in 1 2 3 5; do
		PLAIT_RANKS_PER_NODE=2 mpirun --oversubscribe -n $n plait-dedup -q --force -d 30 c >/dev/null
		tables links c
		[ "${want:=$(sums)}" = "$(sums)" ] || fail "other bytes at $n ranks"
	done
	# the paths of the shards decide their order in the manifest
	jq '.shards |= (to_entries | map(.value.path = "c/\((.key * 3 + 2) % 7).tar" | .value) | sort_by(.path))' c/manifest.json >m
	tables verdicts c | sed 's/ [0-9]* \([0-9]* [0-9]*\)$/ \1/' >before
	mv m c/manifest.json
	for n in 1 3; do
		mpirun --oversubscribe -n $n plait-dedup -q --force -d 30 c >/dev/null
		tables links c
		tables verdicts c | sed 's/ [0-9]* \([0-9]* [0-9]*\)$/ \1/' | diff before -
	done
}

@test "few chains, where all hashes are compared" {
	chains_hold 40
}

@test "many chains, where they are joined by a cover" {
	chains_hold 8000
}
