#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One job over several hosts: virtual ones, each with its own network, name and shared memory (scripts/vcluster). What may happen
# to hosts and links happens, and the job goes on, or ends in time with a message, and the rerun has the same bytes.

load ../cli/common

vcluster() { "$CLI_DIR/../../scripts/vcluster" "$@"; }

# A source of each kind; pictures that take a while, so that there is a middle to be hit.
slow_recipe()
{
	make_recipe r.yaml out
	sed -i 's/size: 96, format: webp/size: 300, format: webp, effort: 6/' r.yaml
}

setup_file()
{
	local why
	export VC_DIR VC_SLURM=0 VC_NODES=3
	VC_DIR=/tmp/plvc.$$
	why=$(vcluster check) || { export NO_HOSTS="${why:-namespaces are not allowed here}"; return 0; }
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	slow_recipe
	plait run -q -j1 r.yaml >/dev/null
	bytes_of out >reference
	vcluster start
}

teardown_file()
{
	[ -n "${NO_HOSTS:-}" ] || vcluster stop
}

setup()
{
	[ -z "${NO_HOSTS:-}" ] || skip "$NO_HOSTS"
	work_here
	slow_recipe
}

# Start a job over the hosts; its process is $job. SECONDS of silence end it.
start_over()     # HOSTS SECONDS [ARGUMENT-OF-MPIRUN...]
{
	local hosts=$1
	export PLAIT_HOST_TIMEOUT=$2
	shift 2
	vcluster mpirun -x PLAIT_HOST_TIMEOUT "$@" -H "$hosts" plait-run -q -j1 r.yaml >/dev/null 2>err &
	job=$! began=$SECONDS
}

wait_for()     # PATH
{
	local tries=0
	while [ ! -e "$1" ]; do
		sleep 0.01
		[ $((tries++)) -lt 3000 ] || { cat err >&2; fail "'$1' did not come"; }
	done
}

# The job must end by itself within so many seconds of now; its code is $code.
ends_within()     # SECONDS
{
	local until=$((SECONDS + $1))
	while kill -0 "$job" 2>/dev/null; do
		[ $SECONDS -lt "$until" ] || { kill -9 "$job"; cat err >&2; fail "the job still runs after $1 s"; }
		sleep 0.1
	done
	code=0
	wait "$job" || code=$?
}

same_as_reference()
{
	[ "$(bytes_of out)" = "$(cat "$BATS_FILE_TMPDIR/reference")" ] || fail "not the bytes of one host"
	no_leftovers .
}

goes_well()
{
	ends_within 100
	[ "$code" = 0 ] || { cat err >&2; fail "exit code $code"; }
	same_as_reference
}

rerun()     # HOSTS
{
	PLAIT_HOST_TIMEOUT=20 vcluster mpirun -x PLAIT_HOST_TIMEOUT -H "$1" plait-run -q -j1 r.yaml >/dev/null
	same_as_reference
}

ranks_on()     # HOST
{
	local pid
	for pid in $(vcluster pids "$1"); do
		if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = plait-run ]; then echo "$pid"; fi
	done
}

none_on()     # HOST: its ranks and daemons end by themselves
{
	local tries=0
	while vcluster pids "$1" | grep -q .; do
		sleep 0.1
		[ $((tries++)) -lt 100 ] || fail "still on $1: $(vcluster pids "$1" | xargs ps -o pid,args)"
	done
}

@test "a job over four hosts has the bytes of one" {
	start_over head:1,n1:1,n2:1,n3:1 20
	goes_well
}

@test "a link that is cut for three seconds: the job goes on" {
	start_over head:1,n1:2 20
	wait_for out/000001.tar.zst
	vcluster cut n1
	sleep 3
	vcluster heal n1
	goes_well
}

@test "a link that is cut for good: the job ends in time and says who is lost, and the rerun has the same bytes" {
	start_over head:1,n1:2 6
	wait_for out/000001.tar.zst
	vcluster cut n1
	ends_within 12
	none_on n1
	vcluster heal n1
	[ "$code" = 137 ] || { cat err >&2; fail "exit code $code, expected 137"; }
	grep -q "error: no word from host 'n1' (ranks 1-2) for 6 s: .*run the same command again" err || { cat err >&2; false; }
	[ ! -e out/dataset.json ]
	rerun head:1,n1:2
}

# bats test_tags=long
@test "a host that dies: the job ends in time, and those that are left complete the same bytes" {
	start_over head:1,n1:1,n2:1 6
	wait_for out/000001.tar.zst
	vcluster down n2
	ends_within 12
	[ "$code" != 0 ]
	[ -s err ]
	vcluster boot n2
	rerun head:1,n1:1
}

# bats test_tags=long
@test "mpirun elsewhere than the ranks: keepalive makes it see the cut, too" {
	start_over n1:1,n2:1 20 --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3
	wait_for out/000001.tar.zst
	vcluster cut n2
	ends_within 25
	vcluster heal n2
	[ "$code" != 0 ]
	grep -q "lost communication with a remote daemon\|no word from host 'n2'" err || { cat err >&2; false; }
	none_on n1
	vcluster pids n2 | xargs -r kill -9
	rerun n1:1,n2:1
}

# bats test_tags=long
@test "a rank that is stopped for four seconds: the others wait, and the job finishes" {
	local pid
	start_over head:1,n1:1 8
	wait_for out/000001.tar.zst
	pid=$(ranks_on n1 | head -n 1)
	kill -STOP "$pid"
	sleep 4
	kill -CONT "$pid"
	goes_well
}

# bats test_tags=long
@test "a job that is suspended as a whole for longer than a host may be silent goes on" {
	start_over head:1,n1:1 4
	wait_for out/000001.tar.zst
	vcluster freeze n1
	vcluster freeze head
	sleep 7
	vcluster thaw head
	vcluster thaw n1
	goes_well
}

# bats test_tags=long
@test "a slow link delays the job and changes nothing" {
	vcluster rate n1 2mbit
	start_over head:1,n1:2 8
	goes_well
	vcluster rate n1 full
}
