#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The start of a parallel job: ranks that do not come.

load ../cli/common

@test "a start in which one rank does not come ends after PLAIT_START_SECONDS, with the others" {
	local code=0 began=$SECONDS
	# shellcheck disable=SC2016  # the launched shell's own
	PLAIT_START_SECONDS=1 timeout 60 mpirun --oversubscribe -n 3 sh -c '
		[ "$OMPI_COMM_WORLD_RANK" != 1 ] || sleep 50
		exec plait-ingest -q -o never missing.tar' >/dev/null 2>err || code=$?
	[ "$code" = 142 ] || { cat err >&2; fail "exit code $code"; }
	[ $((SECONDS - began)) -lt 40 ]
	[ ! -e never ]
}

@test "the limit is for the start alone: a job that waits for names goes on" {
	make_corpora pairs a.tar 4
	(sleep 6; echo a.tar) | PLAIT_START_SECONDS=5 mpirun --oversubscribe -n 2 plait-ingest -q -j1 -o c >names
	[ "$(cat names)" = c ] || fail "$(cat names)"
}
