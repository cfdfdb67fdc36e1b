#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A few faults of each kind of the fault drill (drill.py); all of them: make check-fault.

load ../cli/common

drill()
{
	[ "${PLAIT_VARIANT:-release}" = release ] || skip "faults are injected into release builds only"
	/usr/bin/python3 "$BATS_TEST_DIRNAME/drill.py" --short --only "$1" "$PLAIT_BIN/.."
}

# bats test_tags=slow
@test "drill: jobs that are killed again and again" {
	drill kills
}

# bats test_tags=slow
@test "drill: calls that fail" {
	drill calls
}

# bats test_tags=slow
@test "drill: memory that ends" {
	drill memory
}

# bats test_tags=slow
@test "drill: files and directories that change, clocks that jump, two jobs at once" {
	drill truncated,removed,clocks,two-jobs
}
