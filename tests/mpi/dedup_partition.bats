#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plan in which no node has all hashes writes the bytes of the one in which each has: any ranks, nodes, memory; tests/fault/kill.bats
# kills it.

load ../cli/common
load dedup_tables

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	make_tables
}

setup()
{
	work_here
	cp -r "$BATS_FILE_TMPDIR/in/"* .
}

ranks()     # N PER_NODE ARGUMENT...
{
	local n=$1 per=$2
	shift 2
	PLAIT_RANKS_PER_NODE=$per mpirun --oversubscribe -n "$n" plait-dedup -q --force --report r.json "$@" >/dev/null
}

# both_plans ARGUMENT...: the same bytes by either, at 1, 2, 3, 5 ranks
both_plans()
{
	local n want
	ranks 1 1 --plan replicated "$@"
	jq -e '.steps[0].join.plan == "replicated"' r.json
	want=$(sums .)
	for n in 1 2 3 5; do
		rm -f a/*dedup*.npy
		ranks "$n" $((n / 2 + 1)) --plan partitioned "$@"
		jq -e '.steps[0] | .join.plan == "partitioned" and .memory.node <= .images and .memory.peak > 0' r.json ||
			{ jq . r.json >&2; false; }
		[ "$(sums .)" = "$want" ] || fail "other bytes at $n ranks"
	done
	no_leftovers .
}

@test "the same bytes at distance 16, against an evaluation set" {
	both_plans -d 16 a b --against eval
}

@test "the same bytes at distance 31, corpora apart" {
	both_plans -d 31 --within-only a b --against eval
}

@test "the same bytes of components" {
	both_plans -d 31 --cluster components a b
}

@test "the same bytes at distance 0, and by bytes only" {
	both_plans -d 0 a b
	both_plans --exact-only a b
}

@test "the same bytes with a corpus that was known before" {
	plait dedup -q -d 31 b >/dev/null
	both_plans -d 31 a --known b
}

@test "memory chooses the plan where there are several nodes; what does not fit goes to files, of which none stays" {
	local want
	ranks 2 1 -d 31 a b
	jq -e '.steps[0].join | .plan == "replicated" and .sent > 0' r.json
	want=$(sums .)
	mkdir scratch
	ranks 3 1 -d 31 --memory 1M --scratch scratch a b
	jq -e '.steps[0].join.plan == "partitioned"' r.json
	[ "$(sums .)" = "$want" ]
	[ -z "$(ls -A scratch)" ]
	ranks 2 2 -d 31 --memory 1M --scratch scratch a b
	jq -e '.steps[0].join.plan == "replicated"' r.json
	[ "$(sums .)" = "$want" ]
	expect 2 "--plan" -- plait dedup --plan both a
}
