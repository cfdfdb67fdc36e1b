#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What goes wrong in practice, and what the tools say and do about it: the exit code of the house, a message that
# names what and where and what would be right, and nothing half written.

load common

setup_file()
{
	make_set_once
}

@test "a shard that is missing is named; with --keep-going the others make the corpus" {
	expect 3 "'gone.tar'" "No such file" "--keep-going" -- plait ingest -j1 -o c "$SET/pairs/00000.tar" gone.tar
	[ ! -e c/manifest.json ]
	expect 0 "'gone.tar'" "No such file" -- plait ingest -j1 -o c --keep-going "$SET/pairs/00000.tar" gone.tar
	[ "$(jq -r '.shards[].unit' c/manifest.json)" = 00000 ]
	[ "$(number c 'select count(*) from samples')" = 24 ]
}

@test "the missing shards of a brace list are named one by one" {
	expect 3 "'none/00000.tar'" "'none/00001.tar'" "2 shards failed" -- plait ingest -j1 -o c 'none/{00000..00001}.tar'
}

@test "a pattern that matches nothing is an error" {
	expect 3 "'none/*.tar'" -- plait ingest -j1 -o c 'none/*.tar'
	mkdir none
	run --separate-stderr plait ingest -j1 -o c 'none/*.tar'
	[ "$status" -ne 0 ]
	[[ $stderr == *"none/*.tar"* ]]
}

@test "a directory given as a shard is refused by name" {
	expect 3 "'$SET/pairs'" "Is a directory" -- plait ingest -j1 -o c "$SET/pairs"
}

@test "an output directory that is a file is refused by name" {
	echo kept >c
	expect 3 "'c'" "Not a directory" -- plait ingest -j1 -o c "$SET/pairs/00000.tar"
	[ "$(cat c)" = kept ]
}

@test "a directory without permission is named" {
	mkdir locked
	cp "$SET/pairs/00000.tar" locked/
	chmod 000 locked
	local as=()
	if [ "$(id -u)" = 0 ]; then
		chmod 755 "$BATS_RUN_TMPDIR" 2>/dev/null
		as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
		"${as[@]}" test -x "$PLAIT_BIN/plait-ls" || skip "an ordinary user cannot reach the tools here"
		"${as[@]}" test -x . || skip "an ordinary user cannot reach the tests' directory here"
	fi
	run --separate-stderr "${as[@]}" "$PLAIT_BIN/plait-ls" locked/00000.tar
	chmod 755 locked
	[ "$status" -eq 3 ]
	[[ $stderr == *"'locked/00000.tar'"*"Permission denied"* ]]
}

@test "a tar of no bytes is no shard" {
	: >empty.tar
	expect 3 "'empty.tar'" -- plait ingest -j1 -o c --kind pairs empty.tar
	[ ! -e c/manifest.json ]
	[ -z "$(ls c)" ]
}

@test "a tar of two empty blocks has no samples: its kind must be given" {
	head -c 10240 /dev/zero >none.tar
	expect 3 "'none.tar'" "no samples" "--kind" -- plait ingest -j1 -o c none.tar
	expect 0 -- plait ingest -j1 -o d --kind pairs none.tar
	[ "$(jq .samples d/manifest.json)" = 0 ]
}

@test "a tar cut in the middle keeps its whole samples and names the damage" {
	head -c 150000 "$SET/pairs/00000.tar" >cut.tar
	expect 0 "'cut.tar'" "150000" -- plait ingest -j1 --report r.json -o c cut.tar
	local whole
	whole=$(tar -tf cut.tar 2>/dev/null | grep -c txt) || true
	[ "$whole" -ge 10 ]
	[ "$(number c "select count(*) from samples where status = 'keep'")" -ge $((whole - 1)) ]
	jq -e '.steps[0].account.samples | .in == .out + ([.dropped[]] | add // 0)' r.json
	# The next tools live with it.
	expect 0 -- plait dedup c
}

@test "what is no tar is refused by name and leaves nothing" {
	head -c 30000 /dev/urandom >noise.tar
	expect 3 "'noise.tar'" "tar" -- plait ingest -j1 -o c --kind pairs noise.tar
	[ ! -e c/manifest.json ]
	expect 3 "'noise.tar'" -- plait resize -j1 -o small noise.tar
	[ -z "$(ls small)" ]
	expect 3 "'noise.tar'" -- plait ls noise.tar
}

@test "two shards of one name cannot share a corpus" {
	mkdir a b
	cp "$SET/pairs/00000.tar" a/
	cp "$SET/pairs/00001.tar" b/00000.tar
	expect 2 "'00000'" -- plait ingest -j1 -o c a/00000.tar b/00000.tar
	[ -z "$(ls c 2>/dev/null)" ]
}

@test "broken samples get a row with the reason, and the good ones stay" {
	printf 'caf\xe9' >latin
	printf 'a caption' >good
	printf 'other' >other
	tar -xf "$SET/pairs/00000.tar" 000000.jpg 000001.jpg
	make_corpora sample odd.tar a.jpg=000000.jpg a.txt=good b.jpg=000000.jpg b.txt=latin c.txt=good d.jpg=000001.jpg \
	    a.jpg=000001.jpg a.txt=other e.jpg=000001.jpg e.txt=other
	expect 0 -- plait ingest -j1 --report r.json -o c odd.tar
	run -0 jq -c '.steps[0].account.samples' r.json
	[ "$(jq -c '.steps[0].account.samples | [.in, .out, .dropped.bad_utf8, .dropped.no_image, .dropped.no_text,
	    .dropped.duplicate_key]' r.json)" = '[6,2,1,1,1,1]' ]
	[ "$(number c "select count(*) from samples where status <> 'keep'")" = 4 ]
}

@test "--max-reject turns too many rejects into exit code 1" {
	printf 'a caption' >good
	make_corpora sample odd.tar a.txt=good b.txt=good
	expect 1 "--max-reject" -- plait ingest -j1 --kind pairs --max-reject 0.5 -o c odd.tar
	expect 0 -- plait ingest -j1 --kind pairs --max-reject 1 -o c odd.tar
}

@test "a shard of another kind in the corpus is named" {
	expect 2 "--kind" -- plait ingest -j1 -o c "$SET/pairs/00000.tar" "$SET/docs.tar"
	[ ! -e c/manifest.json ]
}

@test "a step without its corpus says how to make one" {
	mkdir c
	expect 3 "'c'" "plait ingest" -- plait filter -w 'width > 1' c
	expect 3 "'c'" "plait ingest" -- plait dedup c
	expect 3 "'c'" "plait ingest" -- plait sql c -e 'select 1'
}

@test "a condition with an error names the column" {
	plait ingest -q -j1 -o c "$SET/pairs/00000.tar"
	run --separate-stderr plait filter -w 'widht > 1' c
	[ "$status" -eq 2 ] || [ "$status" -eq 3 ]
	[[ $stderr == *widht* ]]
	no_leftovers c
	[ -z "$(ls c | grep filter)" ]
}

@test "an image folder or pattern that is not there is named" {
	run --separate-stderr plait ingest -j1 -o c --images 'none/*.tar' "$SET/chat.json"
	[ "$status" -eq 3 ]
	[[ $stderr == *"none/*.tar"* ]]
}

@test "documents whose images are nowhere are kept and accounted" {
	expect 0 -- plait ingest -j1 --report r.json -o c "$SET/chat.json"
	[ "$(jq -c '.steps[0].account.images | [.in, .out, .dropped.missing_image]' r.json)" = '[20,0,20]' ]
}

@test "data on a full stdout is a failure, of every kind of tool" {
	plait ingest -q -j1 -o c "$SET/pairs/00000.tar" >/dev/null
	local command
	for command in "plait ls $SET/docs.tar" "plait cat $SET/docs.tar -n 0" "plait show $SET/docs.tar" "plait stat c" \
	    "plait sql c -e 'select * from samples'" "plait why 000001 c" "plait -h" "plait ls -h" "plait ingest --version" \
	    "plait dedup --help-man" "plait ingest -q -j1 -o d $SET/pairs/00001.tar"; do
		run --separate-stderr bash -c "$command >/dev/full"
		[ "$status" -eq 3 ] || { show_run; fail "exit code $status: $command >/dev/full"; }
		[[ $stderr == *"No space left"* ]] || { show_run; fail "says nothing of it: $command"; }
	done
}

@test "a reader of stdout that goes away ends the tool, not the machine" {
	run bash -c "plait ls $SET/pairs/*.tar | head -n 1"
	[ "$status" -eq 0 ]
	[ -n "$output" ]
}

# ---- no room ----

small_disk()     # mounts ./disk of the given size, or skips
{
	[ "$(id -u)" = 0 ] || skip "mounting a small disk needs root"
	mkdir disk
	mount -t tmpfs -o "size=$1" none disk 2>/dev/null || skip "no mount permission here"
}

teardown()
{
	mountpoint -q "$BATS_TEST_TMPDIR/disk" && umount "$BATS_TEST_TMPDIR/disk"
	return 0
}

@test "a full disk is one clear failure that leaves no half shard, and the rerun with room goes on" {
	small_disk 200k
	make_recipe r.yaml disk/out
	sed -i 's|work: disk/out.work|work: work|' r.yaml
	expect 3 "No space left" "disk/out" -- plait run -j1 r.yaml
	[ ! -e disk/out/dataset.json ]
	local shard
	for shard in disk/out/*.tar.zst; do
		[ ! -e "$shard" ] || zstd -tq "$shard"
	done
	mount -o remount,size=20M disk
	expect 0 -- plait run -j1 r.yaml
	expect 0 -- plait verify --deep -j1 disk/out
}

@test "a full disk under ingest and resize" {
	small_disk 16k
	expect 3 "No space left" "disk" -- plait resize -j1 -o disk/small "$SET/pairs/00000.tar"
	[ -z "$(ls disk/small 2>/dev/null)" ]
	head -c 16k /dev/zero >disk/filler || true
	expect 3 "No space left" "disk" -- plait ingest -j1 -o disk/c "$SET/pairs/00000.tar"
	[ -z "$(ls disk/c 2>/dev/null)" ]
}

@test "a file size limit is a failure, not a killed process" {
	run --separate-stderr bash -c "ulimit -f 16; plait resize -j1 -o small $SET/pairs/00000.tar"
	[ "$status" -eq 3 ] || { show_run; fail "exit code $status"; }
	[[ $stderr == *"File too large"* ]] || { show_run; false; }
	no_leftovers small
	[ -z "$(ls small)" ]
}

# ---- two jobs, two data sets ----

@test "two jobs on one directory: the second says who holds it" {
	mkdir -p c/.plait
	exec 8>c/.plait/lock
	/usr/bin/python3 - c/.plait/lock <<-'PY' &
		import fcntl, struct, sys, time
		f = open(sys.argv[1], "r+")
		fcntl.fcntl(f, 37, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))   # F_OFD_SETLK
		f.write("elsewhere 12345 - 0 2026-11-22T01:02:03Z 0000000001\n"); f.flush()
		open("held", "w").close()
		time.sleep(60)
	PY
	local holder=$!
	while [ ! -e held ]; do sleep 0.05; done
	run --separate-stderr plait ingest -j1 -o c "$SET/pairs/00000.tar"
	kill "$holder"
	[ "$status" -eq 3 ] || { show_run; fail "exit code $status"; }
	[[ $stderr == *"process 12345 on host elsewhere"* ]] || { show_run; false; }
	[ -z "$(ls c)" ]
	wait "$holder" || true
	expect 0 -- plait ingest -j1 -o c "$SET/pairs/00000.tar"
}

@test "a directory of another recipe is not overwritten; --force replaces it" {
	make_recipe a.yaml out 7
	make_recipe b.yaml out 8
	expect 0 -- plait run -j1 a.yaml
	local before after
	before=$(bytes_of out)
	expect 3 "'out'" "--force" -- plait run -j1 b.yaml
	[ "$(bytes_of out)" = "$before" ]
	expect 0 -- plait run -j1 --force b.yaml
	after=$(bytes_of out)
	[ "$after" != "$before" ]
	expect 0 -- plait verify --deep -j1 out
	expect 0 -- plait run -j1 --force a.yaml
	[ "$(bytes_of out)" = "$before" ]
}

@test "a plan whose corpus has changed is refused" {
	make_recipe a.yaml out
	plait run -q -j1 a.yaml >/dev/null
	plait filter -q out.work/pairs -w 'similarity > 0.3' >/dev/null
	expect 3 "out.work/pairs" "run balance again" -- plait pack -j1 --force out.work/plan.json -o other
	[ -z "$(ls other 2>/dev/null)" ]
}

@test "verify names what was damaged after the fact" {
	make_recipe a.yaml out
	plait run -q -j1 a.yaml >/dev/null
	printf 'x' | dd of=out/000002.tar.zst bs=1 seek=5000 conv=notrunc status=none
	expect 3 "out/000002.tar.zst" -- plait verify --deep -j1 out
	rm out/000003.tar.zst
	expect 3 "out/000003.tar.zst" -- plait verify --deep -j1 out
}
