#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Data sets in other loaders' formats, and back: MDS and plait's own shards as sources. What the loaders themselves make of it:
# scripts/check-loaders.

load common

FORMATS='webdataset energon dali mds llava openflamingo'

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -n 16 --shard-samples 8 --size 80 -o in >/dev/null
	mix_recipe out "$(sources)" >r.yaml
	plait run -q -j1 r.yaml >/dev/null
}

setup()
{
	work_here
	OUT=$BATS_FILE_TMPDIR/out
	ln -sfn "$BATS_FILE_TMPDIR/in" in
}

sources()
{
	cat <<-'YAML'
	  - {name: pairs, shards: "in/pairs/*.tar", kind: pairs}
	  - {name: docs, shards: "in/interleaved/*.tar", kind: interleaved}
	  - {name: chat, shards: "in/chat/*.jsonl", kind: chat, images: "in/chat/images-*.tar"}
	  - {name: preference, shards: "in/preference/*.jsonl", kind: preference, images: "in/preference/images-*.tar"}
	  - {name: text, shards: "in/text/*.jsonl*", kind: text}
	YAML
}

mix_recipe()     # DIR SOURCES
{
	printf 'name: mix\nseed: 5\nsources:\n%s\n' "$2"
	printf 'image: {policy: center_crop, size: 48, format: webp}\noutput: {stage: align, dir: %s, work: %s.work, shard_samples: 20}\n' "$1" "$1"
}

all_bytes()     # DIR: all that the export is, without its content records
{
	(cd "$1" && find . -path ./.plait -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum)
}

@test "wrong options say what would be right" {
	expect 2 "--to FORMAT is missing" -- plait export -o x "$OUT"
	expect 2 "-o DIR is missing" -- plait export --to mds "$OUT"
	expect 2 "one DATASET is wanted" -- plait export --to mds -o x
	expect 2 "webdataset" -- plait export --to webdatasets -o x "$OUT"
	expect 2 "--compression does nothing with --to dali" -- plait export --to dali --compression zstd -o x "$OUT"
	expect 2 "--sample-type does nothing with --to mds" -- plait export --to mds --sample-type crude -o x "$OUT"
	expect 3 "dataset.json" -- plait export --to mds -o x in/pairs
	echo '{"format":"plait-dataset-1","shards":[{"name":"../x","xxh3_128":"0"}]}' >dataset.json
	expect 3 "no proper name" -- plait export --to mds -o x .
	expect 2 "--images list" -- plait export --to mds --images one -o x "$OUT"
}

@test "the same bytes from one, two and three ranks; the names of all outputs" {
	local to n
	for to in $FORMATS; do
		plait export -q --to "$to" -o "1.$to" "$OUT" >names
		for n in 2 3; do
			mpirun --oversubscribe -n $n plait-export -q --to "$to" -o "$n.$to" "$OUT" >"names.$n"
			[ "$(all_bytes "1.$to")" = "$(all_bytes "$n.$to")" ] || fail "$to differs at $n ranks"
			diff <(sed 's/^1/n/' names | sort) <(sed "s/^$n/n/" "names.$n" | sort)
		done
		while read -r name; do [ -e "$name" ] || fail "'$name' is named but not there"; done <names
		no_leftovers "1.$to"
	done
}

@test "a rerun finds what is done, makes what is lost, and another export is not mixed in" {
	local to lost before
	for to in $FORMATS; do
		plait export -q --to "$to" -o "$to" "$OUT" >first
		before=$(all_bytes "$to")
		expect 0 "found done before, 0 failed" "0 done," -- plait export --to "$to" -o "$to" "$OUT"
		[ "$output" = "$(cat first)" ]
		lost=$(find "$to" -path "$to/.plait" -prune -o -type f -name '*000001*' -print | head -n 1)
		rm "$lost"
		expect 0 "1 done" -- plait export --to "$to" -o "$to" "$OUT"
		[ "$(all_bytes "$to")" = "$before" ]
		expect 0 "0 found done before" -- plait export --force --to "$to" -o "$to" "$OUT"
		[ "$(all_bytes "$to")" = "$before" ]
	done
	expect 3 "choose another directory" -- plait export --to mds --compression zstd -o mds "$OUT"
	mkdir full
	touch full/mine
	expect 3 "holds 'mine'" -- plait export --to dali -o full "$OUT"
}

@test "killed at any time, the same command completes it" {
	plait export -q --to llava -o want "$OUT" >/dev/null
	local i
	for i in 1 2 3 4 5 6; do
		timeout -s KILL "0.0$((i * 9 % 10))" plait-export -q --to llava -o got "$OUT" >/dev/null 2>&1 || true
	done
	# what was killed last may hold the directory's lock for a moment yet
	for i in 1 2 3 4 5 6 7 8 9; do
		plait export -q --to llava -o got "$OUT" >/dev/null 2>err && break
		grep -q 'writes to this directory' err
		sleep 0.5
	done
	[ "$(all_bytes want)" = "$(all_bytes got)" ]
	no_leftovers got
}

@test "the account: what a format has no place for is dropped with its reason" {
	local all text
	all=$(jq .samples "$OUT/dataset.json")
	text=$(plait ls "$OUT"/*.tar.zst | cut -f5 | while read -r k; do plait cat -k "$k" "$OUT/${k%-*}.tar.zst" | jq -r .kind; done |
		grep -c -e text -e interleaved)
	plait export -q --to llava --report report.json -o llava "$OUT" >/dev/null
	[ "$(jq '.steps[0].account.samples.in' report.json)" = "$all" ]
	[ "$(jq '.steps[0].account.samples.dropped.bad_document' report.json)" = "$text" ]
	[ "$(jq length llava/llava.json)" = $((all - text)) ]
	plait export -q --to webdataset --report report.json -o wds "$OUT" >/dev/null
	[ "$(jq '.steps[0].account.samples.out' report.json)" = "$all" ]
	[ "$(jq 'add' wds/sizes.json)" = "$all" ]
}

@test "a damaged shard is named, and no index describes what is not there" {
	cp -r "$OUT" broken
	printf 'x' | dd of=broken/000001.tar.zst bs=1 seek=3000 conv=notrunc status=none
	expect 3 "000001.tar.zst" "1 shards failed" -- plait export --to mds -o mds broken
	[ ! -e mds/index.json ]
	cp "$OUT/000001.tar.zst" broken/
	plait export -q --to mds -o mds broken >/dev/null
	plait export -q --to mds -o want "$OUT" >/dev/null
	[ "$(all_bytes mds)" = "$(all_bytes want)" ]
}

@test "DALI's index leads to the bytes of each member" {
	plait export -q --to dali -o dali "$OUT" >/dev/null
	/usr/bin/python3 - <<-'PY'
		import glob, tarfile
		n = 0
		for path in sorted(glob.glob("dali/*.tar")):
		    data = open(path, "rb").read()
		    lines = open(path[:-4] + ".idx").read().splitlines()
		    version, count = lines[0].split()
		    assert version == "v1.2" and int(count) == len(lines) - 1
		    members = {m.name: tarfile.open(path).extractfile(m).read() for m in tarfile.open(path)}
		    for line in lines[1:]:
		        f = line.split()
		        for suffix, offset, size, name in zip(f[0::4], f[1::4], f[2::4], f[3::4]):
		            assert name.endswith("." + suffix)
		            assert data[int(offset):int(offset) + int(size)] == members.pop(name)
		            n += 1
		    assert not members
		assert n > 50
	PY
}

# Documents by the key they had first: kind, segments, bytes of their images.
compare_sets()     # DIR DIR
{
	/usr/bin/python3 - "$@" <<-'PY'
		import glob, io, json, subprocess, sys, tarfile
		def documents(path):
		    for shard in sorted(glob.glob(path + "/*.tar.zst")):
		        tar = tarfile.open(fileobj=io.BytesIO(subprocess.run(["zstd", "-dcq", shard], stdout=subprocess.PIPE, check=True).stdout))
		        parts = {}
		        for m in tar:
		            key, suffix = m.name.split(".", 1)
		            parts.setdefault(key, {})[suffix] = tar.extractfile(m).read()
		        for key, p in parts.items():
		            d = json.loads(p["json"])
		            yield key, d["origin"]["key"], [d["kind"], d["images"], d.get("meta"), [{**s, "part": p[s["part"]]} if "part" in s else s for s in d["segments"]]]
		first = {key: d for key, _, d in documents(sys.argv[1])}
		again = {origin: d for _, origin, d in documents(sys.argv[2])}
		assert len(first) > 50 and first.keys() == again.keys(), (len(first), len(again))
		for key in first:
		    assert first[key] == again[key], (key, first[key], again[key])
		assert {d[0] for d in first.values()} == {"pairs", "interleaved", "chat", "preference", "text"}
	PY
}

@test "a data set as a source again: every document comes back as it was, by whichever way" {
	plait export -q --to mds -o mds "$OUT" >/dev/null
	plait export -q --to mds --compression zstd --size-limit 64KiB -o mdsz "$OUT" >/dev/null
	plait export -q --to webdataset -o wds "$OUT" >/dev/null
	local shards
	for shards in "$OUT" mds mdsz 'wds/*.tar'; do
		rm -rf again again.work
		mix_recipe again "  - {name: again, shards: \"$shards\", kind: document}" >again.yaml
		plait run -q -j1 again.yaml >/dev/null
		compare_sets "$OUT" again
	done
	plait ingest -q -j1 -o c "$OUT" >/dev/null
	[ "$(number c 'select count(*) from samples')" = "$(jq .samples "$OUT/dataset.json")" ]
	[ "$(number c 'select count(distinct kind) from samples')" = 5 ]
}
