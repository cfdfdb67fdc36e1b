#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One shard a hundred times as long as the others: it is shared in pieces, with the bytes of the shard in one piece.

load ../cli/common

# Forty shards of ten samples, and one of a thousand in which keys come back, far from where they were.
setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -k pairs -n 1000 --shard-samples 1000 --size 200 --seed 3 -o large >/dev/null
	plait synth -q -k pairs -n 400 --shard-samples 10 --size 200 --seed 4 -o small >/dev/null
	mkdir in
	local f
	for f in small/pairs/*.tar; do ln "$f" "in/s${f##*/}"; done
	/usr/bin/python3 - <<-'PY'
		import io, tarfile
		source = tarfile.open("large/pairs/00000.tar")
		members = [(m, source.extractfile(m).read()) for m in source.getmembers()]
		with tarfile.open("in/large.tar", "w", format=tarfile.USTAR_FORMAT) as out:
		    for m, data in members + members[300:330] + members[600:612]:
		        out.addfile(m, io.BytesIO(data))
	PY
	PLAIT_SPLIT=off plait ingest -q -j1 -n x -o c in/*.tar >/dev/null
	tables_of c >tables
	PLAIT_SPLIT=off plait resize -q -j1 -s 128 --hash -o r in/*.tar >/dev/null
	(cd r && sha256sum ./*) >shards
}

setup() { work_here; ln -s "$BATS_FILE_TMPDIR/in" in; }

tables_of()     # CORPUS
{
	(cd "$1" && sha256sum ./*.npy && jq -S 'del(.created)' manifest.json)
}

same_tables()     # CORPUS: those of the shards in one piece
{
	tables_of "$1" | diff - "$BATS_FILE_TMPDIR/tables" || fail "not the tables of the shards in one piece"
	[ ! -e "$1/.plait/pieces" ] || fail "pieces are left"
	no_leftovers "$1"
}

same_shards()     # DIR
{
	(cd "$1" && sha256sum ./*) | diff - "$BATS_FILE_TMPDIR/shards" || fail "not the shards made in one piece"
	[ ! -e "$1/.plait/pieces" ] || fail "pieces are left"
	no_leftovers "$1"
}

ranks()     # N COMMAND...
{
	local n=$1
	shift
	if [ "$n" = 1 ]; then "$@"; else mpirun --oversubscribe -n "$n" "$@"; fi
}

@test "ingest: the same tables at 1, 2 and 4 ranks, with pieces of several sizes and without" {
	local n piece
	for n in 1 2 4; do
		piece=$((n * 256))K
		PLAIT_SPLIT=$piece ranks "$n" plait-ingest -j1 -n x -o "c$n" in/*.tar >/dev/null 2>err
		grep -q '1 large shard is done in [1-9][0-9]* pieces' err || { cat err >&2; false; }
		same_tables "c$n"
	done
	PLAIT_SPLIT=off mpirun --oversubscribe -n 2 plait-ingest -q -j1 -n x -o none in/*.tar >/dev/null
	same_tables none
}

@test "resize: the same shards and hashes at 1 and 4 ranks" {
	local n
	for n in 1 4; do
		PLAIT_SPLIT=256K ranks "$n" plait-resize -q -j1 -s 128 --hash -o "r$n" --report "$n.json" in/*.tar >/dev/null
		same_shards "r$n"
	done
	[ "$(jq -c '.steps[0].account | [.samples, .images, .bytes, .units]' 1.json)" = \
	    "$(jq -c '.steps[0].account | [.samples, .images, .bytes, .units]' 4.json)" ]
	jq -e '.steps[0].account.samples.dropped.duplicate_key == 14' 1.json
}

@test "what is too large for a rank is split without being asked for, and the tail is short" {
	mpirun --oversubscribe -n 4 plait-ingest -j1 -n x -o c in/*.tar >/dev/null 2>err
	grep -q '1 large shard is done in' err || { cat err >&2; false; }
	same_tables c
	# By work counted: pieces of a fiftieth of what a rank has to do.
	PLAIT_SPLIT=128K mpirun --oversubscribe -n 4 plait-ingest -j1 -n x -o d --report r.json in/*.tar >/dev/null 2>err
	jq -e '.steps[0].account.tail | .share < 0.05 and .seconds >= 0 and (.last | endswith(".tar"))' r.json || { jq . r.json >&2; false; }
	grep -q 'tail: .* of a rank.s work; last was ' err || { cat err >&2; false; }
}

@test "our own .tar.zst is cut at frames; a tar that is compressed as a whole is named" {
	plait resize -q -j1 -s 128 -o r in/large.tar >/dev/null
	zstd -q r/large.tar -o whole.tar.zst
	plait ingest -q -j1 -n x -o w r/large.tar >/dev/null
	cat >r.yaml <<-'YAML'
		name: packed
		sources: [{name: x, shards: r/large.tar, kind: pairs}]
		output: {stage: align, dir: packed, shard_samples: 2000, frame_size: 64KiB}
	YAML
	plait run -q -j1 r.yaml >/dev/null
	PLAIT_SPLIT=off plait ingest -q -j1 -n x -k pairs -o one packed/000000.tar.zst >/dev/null
	PLAIT_SPLIT=100K plait ingest -j1 -n x -k pairs -o two packed/000000.tar.zst >/dev/null 2>err
	grep -q 'done in' err || { cat err >&2; false; }
	diff <(tables_of one) <(tables_of two)
	PLAIT_SPLIT=100K plait ingest -j1 -n x -o three whole.tar.zst >/dev/null 2>err
	grep -q "'whole.tar.zst' is large and compressed as a whole" err || { cat err >&2; false; }
	diff <(cd w && sha256sum <large.samples.npy) <(cd three && sha256sum <whole.samples.npy)
}

@test "a damaged shard is done whole, to the same rows" {
	head -c 3000000 in/large.tar >cut.tar
	# Behind the last header all is there: what is cut is found by the walk. Here the middle is overwritten.
	cp in/large.tar middle.tar
	head -c 4096 /dev/urandom | dd of=middle.tar bs=512 seek=9000 conv=notrunc status=none
	PLAIT_SPLIT=off plait ingest -q -j1 -n x -o one cut.tar middle.tar >/dev/null 2>&1
	PLAIT_SPLIT=100K mpirun --oversubscribe -n 2 plait-ingest -q -j1 -n x -o two cut.tar middle.tar >/dev/null 2>&1
	diff <(tables_of one) <(tables_of two)
}

descendants()     # PID: it and all below it
{
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do descendants "$child"; done
}

# interrupted SIGNAL PIECES COMMAND...: four ranks get SIGNAL once so many pieces are there.
interrupted()
{
	local signal=$1 pieces=$2 job all tries=0 pid
	shift 2
	mpirun --oversubscribe -n 4 "$@" in/*.tar >/dev/null 2>&1 &
	job=$!
	while [ "$(find . -path './o/.plait/pieces/.plait/*.json' | wc -l)" -lt "$pieces" ]; do
		sleep 0.01
		[ $((tries++)) -lt 2000 ] || fail "no pieces came"
	done
	all=$(descendants "$job")
	# shellcheck disable=SC2086  # a list
	kill -"$signal" $all 2>/dev/null || true
	wait "$job" || true
	for pid in $all; do
		while kill -0 "$pid" 2>/dev/null && [ "$(ps -o stat= -p "$pid")" != Z ]; do sleep 0.02; done
	done
	[ -e o/.plait/pieces ] || fail "the job was done before it was hit"
}

@test "killed in the middle of a large shard: pieces that are done are not done again" {
	export PLAIT_SPLIT=256K
	interrupted KILL 10 plait-ingest -j1 -n x -o o
	local kept before
	kept=$(cd o/.plait/pieces && find . -name '*-*.samples.npy' | wc -l)
	[ "$kept" -ge 5 ]
	ln "$(find o/.plait/pieces -name '*-*.samples.npy' | head -n 1)" kept
	before=$(stat -c %Y%Z kept)
	mpirun --oversubscribe -n 2 plait-ingest -q -j1 -n x -o o in/*.tar >/dev/null
	[ "$(stat -c %h kept)" = 1 ] || fail "the piece was not taken away at the end"
	[ "${before:0:10}" = "$(stat -c %Y kept)" ]
	same_tables o
}

@test "killed, and gone on with other ranks, other pieces or none" {
	PLAIT_SPLIT=256K interrupted KILL 12 plait-ingest -j1 -n x -o o
	PLAIT_SPLIT=off plait ingest -q -j1 -n x -o o in/*.tar >/dev/null
	same_tables o
	rm -rf o
	PLAIT_SPLIT=256K interrupted TERM 8 plait-resize -j1 -s 128 --hash -o o
	PLAIT_SPLIT=300K mpirun --oversubscribe -n 3 plait-resize -q -j1 -s 128 --hash -o o in/*.tar >/dev/null
	same_shards o
}
