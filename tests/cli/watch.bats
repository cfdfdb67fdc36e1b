#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a job says of itself while it runs: --status, --prometheus, --progress json, SIGUSR2, who is behind.
# A job that reads names from a pipe goes on for as long as a test needs it to.

load common

setup_file()
{
	make_set_once
}

setup()
{
	work_here
	ln -s "$SET" in
	mkfifo names
}

teardown()
{
	exec 7>&- 2>/dev/null
	[ -z "${writer:-}" ] || kill "$writer" 2>/dev/null || true
	[ -z "${job:-}" ] || kill -KILL "$job" 2>/dev/null || true
}

start()     # COMMAND...: in the background, reading names; "send NAME" gives it one, "finish" lets it end
{
	"$@" <names >out.txt 2>err.txt &
	job=$!
	exec 7>names
}

send()
{
	echo "$1" >&7
}

finish()
{
	local rc=0
	exec 7>&-
	wait "$job" || rc=$?
	job=
	[ "$rc" -eq "${1:-0}" ] || { cat err.txt; fail "exit code $rc"; }
}

await()     # COMMAND...: true within some seconds
{
	local i
	for i in {1..200}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	cat err.txt
	fail "never true: $*"
}

is()     # FILTER: holds for the status file
{
	jq -e "$1" status.json
}

@test "the status file is whole at every moment, and tells where the job is" {
	start plait ingest -j1 -o c --kind pairs --status status.json
	await is '.state == "running" and .tool == "plait-ingest" and .ranks == 1 and .exit_code == null'
	is ".pid == $job"
	/usr/bin/python3 -c '
import json, time
end, reads, seen = time.time() + 2.5, 0, set()
while time.time() < end:
    seen.add(json.load(open("status.json"))["updated"])
    reads += 1
assert reads > 100 and len(seen) >= 2, (reads, seen)' &
	local reader=$!
	send in/pairs/00000.tar
	await is '.stage.units_done == 1 and .stage.samples > 0 and .stage.bytes > 0'
	send in/pairs/00001.tar
	wait "$reader"
	finish
	is '.state == "done" and .exit_code == 0 and .stage == null'
	is '.steps | length == 1 and .[0].step == "ingest" and .[0].units_done == 2 and .[0].samples_in == 48'
	no_leftovers .
}

@test "a job that fails, and one that is stopped, say so last" {
	echo broken >bad.tar
	run plait ingest -j1 -o c --kind pairs --status status.json bad.tar
	is '.state == "failed" and .exit_code == 3'
	start plait ingest -j1 -o d --kind pairs --status status.json
	await is '.state == "running"'
	kill -TERM "$job"
	finish 75
	is '.state == "interrupted" and .exit_code == 75'
}

@test "a status file that cannot be written is refused before any work" {
	expect 3 "nowhere" -- plait ingest -j1 -o c --status nowhere/status.json in/pairs/00000.tar
	expect 3 "nowhere" -- mpirun -n 2 plait-ingest -j1 -o c --prometheus nowhere/x.prom in/pairs/00000.tar
	[ ! -e c ]
}

@test "metrics are in Prometheus' text format, with what a recipe's steps dropped" {
	make_recipe r.yaml out
	expect 0 -- mpirun -n 2 plait-run -q -j1 --prometheus plait.prom r.yaml
	/usr/bin/python3 - <<-'PY'
		import re
		line = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*\{([a-z_]+="[^"\\\n]*")(,[a-z_]+="[^"\\\n]*")*\} [0-9.e+-]+$')
		typed, seen = set(), set()
		for l in open("plait.prom"):
		    l = l.rstrip("\n")
		    if l.startswith("# TYPE "):
		        name = l.split()[2]
		        assert l.split()[3] == "gauge" and name not in typed, l
		        typed.add(name)
		    elif not l.startswith("# HELP "):
		        assert line.match(l), l
		        assert l.split("{")[0] in typed, l
		        assert l not in seen, l
		        seen.add(l)
		text = "\n".join(seen)
		assert 'plait_running{tool="plait-run"} 0' in text
		assert 'plait_exit_code{tool="plait-run"} 0' in text
		assert 'step="filter",number="3",reason="filtered"' in text, text
	PY
}

@test "progress as JSON lines, of rank 0 alone" {
	run --separate-stderr mpirun -n 3 plait-ingest -q -j1 --progress json -o c in/pairs/0000{0..3}.tar
	[ "$status" -eq 0 ]
	[ -n "$stderr" ]
	jq -es 'all(has("stage") and has("eta_seconds") and .tool == "plait-ingest") and (map(select(.end and .units_done == 4)) | length) == 1' <<<"$stderr"
}

@test "SIGUSR2: every rank tells its state, and the outputs are what they are" {
	start mpirun -n 3 plait-ingest -j1 -o c --kind pairs --status status.json
	await is '.ranks == 3'
	send in/pairs/00000.tar
	send in/pairs/00001.tar
	await is '.stage.units_done == 2'
	kill -USR2 "$job"
	await grep -q '\[0\]: state: 2 of' err.txt
	await eval '[ "$(grep -c "\]: state: step ingest, ingest, .* memory .* workers" err.txt)" -eq 3 ]'
	grep -q '\[2\]: state: rank 2: at nothing; finished' err.txt
	send in/pairs/00002.tar
	finish
	expect 0 -- plait ingest -j1 -q -o alone --kind pairs in/pairs/0000{0..2}.tar
	diff <(cd c && sha256sum ./*.npy) <(cd alone && sha256sum ./*.npy)
}

@test "rank 0 names the rank that is far behind, and its shard" {
	mkfifo slow.jsonl
	start mpirun -n 2 plait-ingest -j1 -o c --kind text --status status.json
	await is '.ranks == 2'
	sleep 0.3
	send in/text.jsonl
	await is '.stage.units_done == 1'
	# Ranks that wait are served before rank 0 serves itself, so this one is rank 1's.
	send slow.jsonl
	await is '.slowest.rank == 1 and .slowest.unit == "slow.jsonl" and (.slowest.lags | not)'
	await is '.slowest.lags'
	grep -q "ingest: rank 1 is at 'slow.jsonl' for .* far longer than the others" err.txt
	# Whoever opens it again finds a line and its end again.
	while :; do echo '{"text": "a line"}' >slow.jsonl; done 7>&- &
	writer=$!
	finish
	kill "$writer"
	writer=
	is '.state == "done" and .steps[0].units_done == 2'
}
