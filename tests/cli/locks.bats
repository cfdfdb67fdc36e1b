#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two jobs on one output by mistake: every tool that writes into a directory says who is there and leaves it alone.

load common

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	make_recipe r.yaml out
	plait run -q -j1 r.yaml >/dev/null
}

setup()
{
	work_here
	cp -r "$BATS_FILE_TMPDIR"/{out,out.work,r.yaml} .
	ln -s "$SET" in
}

# Another process locks the directories, and has itself written there; it ends when its input does.
hold()     # DIR...
{
	coproc HOLDER { exec /usr/bin/python3 -c '
import fcntl, os, struct, sys
held = []
for d in sys.argv[1:]:
    os.makedirs(d + "/.plait", exist_ok=True)
    f = open(d + "/.plait/lock", "w")
    fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))     # F_OFD_SETLK
    f.write("n9 77 123 0 2026-11-22T01:02:03Z 0000000001\n")
    f.flush()
    held.append(f)
print("held", flush=True)
sys.stdin.read()' "$@"; }
	read -r _ <&"${HOLDER[0]}"
}

@test "a directory that another job writes to is left alone by every tool that writes" {
	local before
	hold out out.work/pairs new
	before=$(find out out.work new -type f -exec sha256sum {} + | sort)
	local said="process 77 on host n9 (Slurm job 123) writes to this directory since 2026-11-22T01:02:03Z; wait for it"
	expect 3 "'new': $said" -- plait ingest -q -j1 -o new in/pairs/00000.tar
	expect 3 "'new': $said" -- plait resize -q -j1 -s 64 -o new in/pairs/00000.tar
	expect 3 "'new': $said" -- plait synth -q -o new --samples 3
	expect 3 "'out.work/pairs': $said" -- plait filter -q -w "similarity > 0.3" out.work/pairs
	expect 3 "'out.work/pairs': $said" -- plait dedup -q out.work/pairs
	expect 3 "'out': $said" -- plait pack -q -j1 -o out out.work/plan.json
	expect 3 "output: 'out' $said" -- plait run -q -j1 r.yaml
	expect 3 "'out': $said" -- plait verify -q -j1 --repair out
	[ "$(find out out.work new -type f -exec sha256sum {} + | sort)" = "$before" ]
	# Reading is no trouble.
	expect 0 -- plait verify -q -j1 out
	expect 0 -- plait stat out
}

@test "the lock of a job that died is taken over, and that is said" {
	printf 'n9 77 123 0 2026-11-22T01:02:03Z 0000000001\n' >out.work/pairs/.plait/lock
	expect 0 "'out.work/pairs': process 77 on host n9 (Slurm job 123) is gone; its lock is taken over" -- \
	    plait filter -w "similarity > 0.3" out.work/pairs
	[ ! -s out.work/pairs/.plait/lock ]
}
