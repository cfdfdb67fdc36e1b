#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Whatever reads tar, zstd and .npy reads what plait writes; and plait's own readers read one frame only.

load common

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	make_recipe r.yaml out
	plait run -q -j1 r.yaml >/dev/null
	for shard in out/*.tar.zst; do plait ls "$shard" | cut -f5; done >keys
}

setup()
{
	work_here
	OUT=$BATS_FILE_TMPDIR/out
}

members()     # the number of members that dataset.json promises: a document and its images each
{
	jq '.samples + .images' "$OUT/dataset.json"
}

@test "zstd -t and the standard frames of every shard" {
	zstd -tq "$OUT"/*.tar.zst
	zstd -lv "$OUT/000000.tar.zst" | grep -qi 'skippable'
}

@test "GNU tar and bsdtar list and extract every member" {
	local n=0 shard
	for shard in "$OUT"/*.tar.zst; do
		tar --zstd -tf "$shard" >gnu
		bsdtar -tf "$shard" >bsd
		diff gnu bsd
		n=$((n + $(wc -l <gnu)))
	done
	[ "$n" = "$(members)" ]
	mkdir x
	tar --zstd -xf "$OUT/000000.tar.zst" -C x
	local image
	for image in x/*.webp; do
		/usr/bin/python3 -c 'import sys; from PIL import Image; i = Image.open(sys.argv[1]); i.load(); assert i.size == (96, 96)' "$image"
	done
	[ "$(stat -c '%Y %a' x/*.json | sort -u | wc -l)" = 1 ]
}

@test "python's tarfile over zstd -dc: every document names exactly its parts" {
	/usr/bin/python3 - "$OUT" <<-'PY'
		import io, json, subprocess, sys, tarfile, glob
		samples = images = 0
		for path in sorted(glob.glob(sys.argv[1] + "/*.tar.zst")):
		    tar = tarfile.open(fileobj=io.BytesIO(subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout))
		    parts = {}
		    for member in tar:
		        key, suffix = member.name.split(".", 1)
		        parts.setdefault(key, {})[suffix] = tar.extractfile(member).read()
		    for key, sample in parts.items():
		        assert list(sample)[0] == "json", key
		        document = json.loads(sample["json"])
		        named = [s["part"] for s in document["segments"] if s["type"] == "image"]
		        assert named == list(sample)[1:], (key, named, list(sample))
		        assert document["key"] == key and document["images"] == len(named)
		        samples += 1
		        images += len(named)
		said = json.load(open(sys.argv[1] + "/dataset.json"))
		assert (samples, images) == (said["samples"], said["images"]), (samples, images)
	PY
}

# A virtual environment with webdataset, kept in the build folder between runs. Prints its python, or skips.
webdataset_python()
{
	local venv=$PLAIT_BIN/../../venv
	if ! "$venv/bin/python" -c 'import webdataset' 2>/dev/null; then
		rm -rf "$venv"
		python3 -m venv "$venv" >pip.log 2>&1 &&
		    "$venv/bin/pip" install -q --disable-pip-version-check numpy pyyaml braceexpand >>pip.log 2>&1 &&
		    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps webdataset >>pip.log 2>&1 &&
		    "$venv/bin/python" -c 'import webdataset' >>pip.log 2>&1 || { rm -rf "$venv"; return 1; }
	fi
	echo "$venv/bin/python"
}

@test "PyPI's webdataset streams the shards through pipe:zstd -dc" {
	local python
	python=$(webdataset_python) || skip "pip cannot install webdataset here: $(tail -n 1 pip.log)"
	"$python" - "$OUT" <<-'PY'
		import glob, json, sys
		import webdataset as wds
		urls = ["pipe:zstd -dc " + path for path in sorted(glob.glob(sys.argv[1] + "/*.tar.zst"))]
		keys, images = [], 0
		for sample in wds.WebDataset(urls, shardshuffle=False):
		    document = json.loads(sample["json"])
		    keys.append(sample["__key__"])
		    assert document["key"] == sample["__key__"]
		    for segment in document["segments"]:
		        if segment["type"] == "image":
		            assert sample[segment["part"]][:4] == b"RIFF"
		            images += 1
		said = json.load(open(sys.argv[1] + "/dataset.json"))
		assert (len(keys), len(set(keys)), images) == (said["samples"], said["samples"], said["images"])
		open("keys", "w").write("".join(k + "\n" for k in keys))
	PY
	diff keys "$BATS_FILE_TMPDIR/keys"
}

@test "numpy maps the tables" {
	/usr/bin/python3 - "$BATS_FILE_TMPDIR/out.work/pairs" <<-'PY'
		import sys, numpy
		samples = numpy.load(sys.argv[1] + "/00000.samples.npy", mmap_mode="r")
		images = numpy.load(sys.argv[1] + "/00000.images.npy", mmap_mode="r")
		assert samples.shape == (24,) and images.shape == (24,)
		assert (images["width"] == 160).all() and (images["height"] == 120).all()
		assert abs(samples["similarity"][5] - 0.25) < 1e-6
		assert (numpy.asarray(images["sample"]) == numpy.arange(24)).all()
	PY
}

@test "cat by key reads one frame of the shard only" {
	local shard=$OUT/000000.tar.zst key size read_bytes
	# One large shard of many frames.
	sed 's/shard_samples: 12/shard_size: 100MiB/; s/format: webp/format: png/; s|out\b|big|g' "$BATS_FILE_TMPDIR/r.yaml" >big.yaml
	ln -sfn "$SET" in
	plait run -q -j1 big.yaml >/dev/null
	shard=big/000000.tar.zst
	size=$(stat -c %s "$shard")
	key=$(plait ls "$shard" | cut -f5 | sed -n 100p)
	run -0 --separate-stderr plait cat -v --key "$key" "$shard"
	[ "$(jq -r .key <<<"$output")" = "$key" ]
	read_bytes=$(grep -o '[0-9]* bytes read' <<<"$stderr" | cut -d' ' -f1)
	[ -n "$read_bytes" ]
	# The index (16 to 64 bytes a sample) and a frame of 16 KiB of tar plus one sample.
	[ "$read_bytes" -lt 120000 ] && [ "$read_bytes" -lt $((size / 20)) ] || fail "$read_bytes of $size bytes read"
	# What it gives is what tar gives.
	zstd -dcq "$shard" | tar -xO "$key.json" >with_tar
	plait cat --key "$key" "$shard" | cmp - with_tar
	plait cat --number 99 "$shard" | cmp - with_tar
}

@test "cat and ls of plain, compressed and streamed shards give the same" {
	gzip -k <"$SET/pairs/00001.tar" >a.tar.gz
	zstd -q <"$SET/pairs/00001.tar" >a.tar.zst
	xz -0 <"$SET/pairs/00001.tar" >a.tar.xz
	local shard
	plait ls "$SET/pairs/00001.tar" | cut -f5 >want
	[ "$(wc -l <want)" = 24 ]
	for shard in a.tar.gz a.tar.zst a.tar.xz; do
		plait ls "$shard" | cut -f5 | diff - want
		plait cat -k 000030 -p txt "$shard" >got
		[ "$(cat got)" = "$(tar -xOf "$SET/pairs/00001.tar" 000030.txt)" ]
	done
	plait ls - <a.tar.gz | cut -f5 | diff - want
}

@test "ingest reads every compression to the same tables" {
	local shard
	mkdir gz zst xz bz2
	gzip <"$SET/pairs/00001.tar" >gz/a.tar.gz
	zstd -q <"$SET/pairs/00001.tar" >zst/a.tar.zst
	xz -0 <"$SET/pairs/00001.tar" >xz/a.tar.xz
	bzip2 <"$SET/pairs/00001.tar" >bz2/a.tar.bz2
	for shard in gz/a.tar.gz zst/a.tar.zst xz/a.tar.xz bz2/a.tar.bz2; do
		plait ingest -q -j1 -n same -o "${shard%/*}/c" "$shard" >/dev/null
		cmp "${shard%/*}/c/a.images.npy" gz/c/a.images.npy
	done
}

@test "cat of a key that is not there fails and names shard and key" {
	expect 3 "000000.tar.zst" -- plait cat --key none "$OUT/000000.tar.zst"
	expect 3 "000000.tar.zst" "0 to" -- plait cat --number 5000 "$OUT/000000.tar.zst"
	expect 3 "9.webp" -- plait cat --number 0 -p 9.webp "$OUT/000000.tar.zst"
}
