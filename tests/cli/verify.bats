#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait verify: what it finds, what it repairs, what it says. And shards/SPEC.md: a reader written from it alone reads all.
load common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -o s --kind pairs --samples 200 --shard-samples 100 --duplicates 0 --broken 0 >/dev/null
	cat >r.yaml <<-EOF
		name: t
		seed: 1
		sources: [{name: pairs, shards: "s/pairs/*.tar", kind: pairs}]
		image: {policy: center_crop, size: 48, format: jpeg}
		output: {stage: align, shard_samples: 50, dir: zst}
	EOF
	sed 's/dir: zst/dir: tar, container: tar/' r.yaml >t.yaml
	plait run -q -j2 r.yaml >/dev/null
	plait run -q -j2 t.yaml >/dev/null
	rm -rf zst/work tar/work
}

setup()
{
	work_here
	cp -r "$BATS_FILE_TMPDIR/zst" "$BATS_FILE_TMPDIR/tar" .
}

report()     # EXPRESSION over r, the step of rep.json
{
	/usr/bin/python3 -c "import json; r = json.load(open('rep.json'))['steps'][0]; print($1)"
}

@test "a good data set: every shard is named, with and without --deep, as a directory and as shards" {
	expect 0 -- plait verify --deep -j1 zst
	[ "${#lines[@]}" = 4 ]
	expect 0 -- plait verify tar
	expect 0 -- plait verify --deep -j1 zst/*.tar.zst tar/*.tar
	[ "${#lines[@]}" = 8 ]
	ls zst/*.zst | plait verify -q >names
	[ "$(wc -l <names)" = 4 ]
}

@test "lost, cut and damaged indexes are made again, to the same bytes" {
	local size n=0 cut
	size=$(stat -c %s zst/000000.tar.zst)
	for cut in 1 9 40 100 1050; do
		truncate -s $((size - cut)) zst/000000.tar.zst
		expect 3 "000000.tar.zst" -- plait verify zst
		expect 0 "000000.tar.zst" "repaired from its data" -- plait verify --repair --report rep.json zst
		[ "$(report "r['repaired']")" = 1 ]
		cmp zst/000000.tar.zst "$BATS_FILE_TMPDIR/zst/000000.tar.zst"
		n=$((n + 1))
	done
	[ $n = 5 ]
	# a byte of the index; bytes behind the table
	printf x | dd of=zst/000001.tar.zst bs=1 seek=$(($(stat -c %s zst/000001.tar.zst) - 300)) conv=notrunc status=none
	echo more >>zst/000002.tar.zst
	expect 0 "000001.tar.zst" "000002.tar.zst" -- plait verify --repair zst
	diff -r zst "$BATS_FILE_TMPDIR/zst"
}

@test "the index files of plain tars are made again" {
	rm tar/000000.idx tar/000001.tar.idx
	echo 1 >>tar/000002.idx
	expect 3 "000000.idx" "000001.tar.idx" "000002.idx" -- plait verify tar
	expect 0 -- plait verify --repair tar
	diff -r tar "$BATS_FILE_TMPDIR/tar"
}

@test "damaged data is told by key, not repaired, and left as it is" {
	printf x | dd of=zst/000003.tar.zst bs=1 seek=2000 conv=notrunc status=none
	truncate -s 3000 zst/000002.tar.zst
	cp -r zst before
	expect 3 "'zst/000003.tar.zst' at byte 0: frame 0 is damaged: samples 0 to 49, keys '000003-000000'" "data frame 0 is lost" \
	    "remove them and run plait pack again" -- plait verify --repair --report rep.json zst
	[ "${#lines[@]}" = 2 ]
	[ "$(report "[d['sample'] for d in r['damaged']] == list(range(50))")" = True ]
	[ "$(report "r['damaged'][49]['shard'], r['damaged'][49]['key']")" = "zst/000003.tar.zst 000003-000049" ]
	diff -r zst before
	# whole, but of other data: an index would hide that
	cp "$BATS_FILE_TMPDIR/zst/000001.tar.zst" zst/000000.tar.zst
	truncate -s -20 zst/000000.tar.zst
	expect 3 "is not what the shard held" -- plait verify --repair zst
	rm zst/000001.tar.zst
	expect 3 "'zst/000001.tar.zst': cannot open" -- plait verify --repair zst
}

@test "only --deep decodes pictures, and names the samples of those that do not decode" {
	local at
	at=$(grep -abo 'JFIF' tar/000001.tar | sed -n '3{s/:.*//p}')
	dd if=/dev/zero of=tar/000001.tar bs=1 seek=$((at - 6)) count=200 conv=notrunc status=none
	expect 0 -- plait verify tar/000001.tar
	expect 3 "sample 2 '000001-000002': an image does not decode" -- plait verify --deep -j1 --report rep.json tar/000001.tar
	[ "$(report "r['damaged'][0]['key'], len(r['damaged'])")" = "000001-000002 1" ]
	expect 3 "XXH3-128" -- plait verify tar
}

@test "shards/SPEC.md is enough: a reader written from it alone reads every sample" {
	[ "$(wc -l <"$CLI_DIR/spec_reader.py")" -le 70 ]
	PYTHONPATH=$CLI_DIR /usr/bin/python3 - <<-'EOF'
		import io, json, subprocess, tarfile
		import spec_reader
		for directory in ("zst", "tar"):
		    total = 0
		    for said, shard in spec_reader.shards(directory):
		        tar = open(shard.path, "rb").read() if directory == "tar" else subprocess.check_output(["zstd", "-dcq", shard.path])
		        want = {}
		        for m in tarfile.open(fileobj=io.BytesIO(tar)):
		            key, _, suffix = m.name.partition(".")
		            want.setdefault(key, {})[suffix] = tarfile.open(fileobj=io.BytesIO(tar)).extractfile(m.name).read()
		        got = dict(shard[i] for i in range(len(shard.entries)))
		        assert got == want and len(got) == said["samples"], shard.path
		        images = sum(json.loads(parts["json"])["images"] for parts in got.values())
		        assert images == said["images"]
		        total += len(got)
		    assert total == 200, total
	EOF
}
