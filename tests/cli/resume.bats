#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What counts as done on a rerun, and what must not: changed inputs and settings, lost verdicts, foreign files.

load common

setup_file()
{
	make_set_once
}

setup()
{
	work_here
	make_recipe r.yaml out
}

kept()     # CORPUS
{
	number "$1" "select count(*) from samples where verdict = 'keep'"
}

@test "a second run does nothing again, and announces the same files" {
	plait run -j1 r.yaml >first
	before=$(bytes_of out)
	expect 0 "done before" -- plait run -j1 r.yaml
	[ "$output" = "$(cat first)" ]
	[ "$(bytes_of out)" = "$before" ]
}

@test "verdicts that went with a new ingest are made again" {
	plait ingest -q -j1 -o c in/pairs/*.tar >/dev/null
	plait filter -q c -w 'images_ok > 0 and width < 10' >/dev/null
	[ "$(kept c)" = 0 ]
	plait ingest -q -j1 --force -o c in/pairs/*.tar >/dev/null
	plait filter -q c -w 'images_ok > 0 and width < 10' >/dev/null
	[ "$(kept c)" = 0 ]
}

@test "a wrong condition leaves the old verdicts and the record" {
	plait ingest -q -j1 -o c in/pairs/*.tar >/dev/null
	plait filter -q c -w 'width < 10' >/dev/null
	expect 2 "widht" -- plait filter c -w 'widht < 10'
	[ "$(kept c)" = 0 ]
	expect 0 "4 found done before" -- plait filter c -w 'width < 10'
}

@test "dedup with other options is not taken for done, nor is a half of it" {
	plait ingest -q -j1 -o c in/pairs/*.tar >/dev/null
	plait dedup -q -d 31 c >/dev/null
	near=$(kept c)
	plait dedup -q --exact-only c >/dev/null
	[ "$(kept c)" -gt "$near" ]
	expect 0 "4 done" -- plait dedup -d 31 c
	[ "$(kept c)" = "$near" ]
	rm c/00002.dedup.npy
	expect 0 "4 done" -- plait dedup -d 31 c
	[ "$(kept c)" = "$near" ]
}

@test "another image tar under the same name makes other tables" {
	cp in/chat.json in/chat-images.tar .
	plait ingest -q -j1 -o c --images chat-images.tar chat.json >/dev/null
	usable=$(number c "select sum(images_ok) from samples")
	[ "$usable" -gt 0 ]
	make_corpora pairs chat-images.tar 2 900
	plait ingest -q -j1 -o c --images chat-images.tar chat.json >/dev/null
	[ "$(number c "select sum(images_ok) from samples")" = 0 ]
}

@test "a corpus whose shards failed anew has no manifest of the old tables" {
	mkdir s && cp in/pairs/*.tar s
	plait ingest -q -j1 -o c s/*.tar >/dev/null
	printf 'no tar at all, by no means' >s/00001.tar
	expect 3 "00001.tar" -- plait ingest -j1 -o c --hash pdq s/*.tar
	expect 3 "no manifest.json" -- plait dedup c
}

@test "resize: two shards of one stem are refused, and so is writing over the input" {
	mkdir a b && cp in/pairs/00000.tar a && cp in/pairs/00001.tar b/00000.tar
	expect 2 "'00000'" -- plait resize -j1 -o r a/00000.tar b/00000.tar
	sum=$(sha256sum <a/00000.tar)
	expect 2 "replaced by its own result" -- plait resize -j1 -s 32 -o a a/00000.tar
	[ "$(sha256sum <a/00000.tar)" = "$sum" ]
	run -0 bash -c 'ls a/*.tar b/*.tar | plait resize -q -j1 -o r2 || echo "code $?"'
	[[ $output == *"code 2"* ]]
}

@test "resize keeps every byte of the JSON but the two sizes" {
	printf '{"id": 123456789012345678901, "width":160,\n "note": {"width": 5}, "height" : 120, "x": "a\\"width\\": 1"}' >k.json
	tar xf in/pairs/00000.tar --wildcards --to-stdout "$(tar tf in/pairs/00000.tar | grep jpg | head -n 1)" >k.jpg
	make_corpora sample t.tar k.jpg=k.jpg k.json=k.json
	plait resize -q -j1 -s 60 -o r t.tar >/dev/null
	tar xf r/t.tar
	[ "$(cat k.json)" = "$(printf '{"id": 123456789012345678901, "width":80,\n "note": {"width": 5}, "height" : 60, "x": "a\\"width\\": 1"}')" ]
}

@test "pack refuses a directory with foreign shards; --force clears what a killed run left" {
	mkdir out && echo mine >out/000077.tar
	expect 3 "holds shards of another" -- plait run -j1 r.yaml
	[ "$(cat out/000077.tar)" = mine ]
	rm -r out out.work
	plait run -q -j1 r.yaml >/dev/null
	rm out/dataset.json
	sed -i 's/shard_samples: 12/shard_samples: 1000/' r.yaml
	expect 3 "holds shards of another" -- plait run -j1 r.yaml
	expect 0 -- plait run -j1 --force r.yaml
	[ "$(ls out/*.tar.zst)" = out/000000.tar.zst ]
	plait verify --deep -q -j1 out >/dev/null
}

@test "verify sees a shard that the description does not name" {
	plait run -q -j1 r.yaml >/dev/null
	cp out/000000.tar.zst out/000099.tar.zst
	expect 3 "000099.tar.zst" "does not name" -- plait verify --deep -j1 out
}

@test "names on standard input that cannot be read are a failure" {
	run --separate-stderr bash -c 'plait resize -j1 -o r <.'
	[ "$status" -eq 3 ]
	run --separate-stderr bash -c 'plait ingest -j1 -o c </dev/null'
	[ "$status" -eq 2 ]
	[[ $stderr == *"no names came on standard input"* ]]
	run --separate-stderr bash -c "{ ls in/pairs/00000.tar; head -c 70000 /dev/zero | tr '\\0' x; } | plait ingest -j1 -o c"
	[ "$status" -eq 2 ]
	[[ $stderr == *"no file name"* ]]
}
