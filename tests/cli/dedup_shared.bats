#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Dedup of real pictures whose copies are known, from the shards to the clusters.

load common

setup()
{
	shared_data
	work_here
	ln -s "$PLAIT_SHARED_DATA" data
}

# clusters CORPUS: "survivor member distance" by key, tab separated; the pairs that stars are made of.
clusters()
{
	/usr/bin/python3 - "$1" <<-'PY'
		import json, struct, sys, tarfile
		corpus, keys = sys.argv[1], []
		for shard in json.load(open(f"{corpus}/manifest.json"))["shards"]:
		    names = [m.name.split(".")[0] for m in tarfile.open(shard["path"]) if m.isfile()]
		    keys.append(list(dict.fromkeys(names)))
		data = open(f"{corpus}/dedup.clusters.npy", "rb").read()
		start = 10 + struct.unpack_from("<H", data, 8)[0]
		for _, kept, _, gone, _, shard, gone_shard, distance, _, text in struct.iter_unpack("<4Q3IH2B", data[start:]):
		    assert text == 0
		    print(keys[shard][kept], keys[gone_shard][gone], distance, sep="\t")
	PY
}

pack()     # TAR KEY=FILE...
{
	/usr/bin/python3 - "$@" <<-'PY'
		import io, sys, tarfile
		with tarfile.open(sys.argv[1], "w", format=tarfile.USTAR_FORMAT) as tar:
		    for key, path in (x.split("=", 1) for x in sys.argv[2:]):
		        for name, data in ((key + "." + path.rsplit(".", 1)[-1], open(path, "rb").read()), (key + ".txt", b"words")):
		            info = tarfile.TarInfo(name)
		            info.size = len(data)
		            tar.addfile(info, io.BytesIO(data))
	PY
}

dedup_of()     # CORPUS: its clusters
{
	plait dedup -q --no-text "$1" >/dev/null
	clusters "$1"
}

@test "cc3m: every known copy goes for its photo, and nothing else goes" {
	plait ingest -q -j2 -o cc3m data/cc3m/*.tar >/dev/null
	dedup_of cc3m >found
	/usr/bin/python3 - <<-'PY'
		import csv
		photo = {}
		for r in csv.DictReader(open("data/cc3m/duplicates.tsv"), delimiter="\t"):
		    photo[r["key_a"]] = photo[r["key_b"]] = r["photo"]
		found = [line.split() for line in open("found")]
		star = {key: key for key in photo}
		for kept, gone, _ in found:
		    assert photo.get(kept, kept) == photo.get(gone), ("no copies of each other", kept, gone)
		    star[gone] = kept
		pairs = [(r["key_a"], r["key_b"]) for r in csv.DictReader(open("data/cc3m/duplicates.tsv"), delimiter="\t")]
		together = sum(star[a] == star[b] for a, b in pairs)
		assert len(pairs) == 166 and together >= 0.99 * len(pairs), (together, len(pairs))
	PY
}

@test "near_duplicates.csv: stars stay within a cluster, and hold what is no more than blurred, shrunk or recoloured" {
	local list=()
	mapfile -t list < <(/usr/bin/python3 - <<-'PY'
		import csv
		for i, r in enumerate(csv.DictReader(open("data/pdq/near_duplicates.csv"))):
		    if not r["image"].endswith("corrupt.jpg"):
		        print(f"{r['cluster']}-{i:02d}={'data/pdq/' + r['image']}")
	PY
	)
	pack near.tar "${list[@]}"
	plait ingest -q -j2 -o near near.tar >/dev/null
	dedup_of near >found
	awk -F'\t' '{ a = $1; b = $2; sub(/-.*/, "", a); sub(/-.*/, "", b); if (a != b) { print; bad = 1 } } END { exit bad }' found
	[ "$(grep -c ^bridge found)" -ge 12 ] || { cat found >&2; false; }
	[ "$(grep -c ^ukbench00120 found)" -ge 2 ] || { cat found >&2; false; }
}

@test "other photos of the same thing stay apart: two of one castle, and pictures of UKBench" {
	local list=() f
	for f in data/photos/large/sceaux-*.jpg data/pdq/ukbench/*.jpg; do
		case $f in *_*resize* | *_gray* | *_hflip* | *_rotation* | *corrupt*) continue ;; esac
		f=${f##*/}
		list+=("${f%.jpg}=$(echo data/*/*/"$f")")
	done
	[ "${#list[@]}" -ge 12 ]
	pack apart.tar "${list[@]}"
	plait ingest -q -j2 -o apart apart.tar >/dev/null
	dedup_of apart >found
	[ ! -s found ] || { cat found >&2; false; }
}
