#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What plait resize can be told: how far a JPEG is reduced while it is decoded, Huffman tables, cut off pictures.

load common

setup()
{
	work_here
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		shard = corpora.Shard("a.tar")
		for i, (w, h) in enumerate([(400, 300), (330, 302), (500, 460)]):
		    shard.add(f"{i:03d}.jpg", corpora.encoded(corpora.picture(i, w, h), "JPEG", quality=90))
		    shard.add(f"{i:03d}.txt", "a caption")
		shard.close()
		whole = corpora.encoded(corpora.picture(9, 320, 320), "JPEG", quality=90)
		cut = corpora.Shard("cut.tar")
		for name, share in (("a", 1), ("b", 0.7)):
		    cut.add(f"{name}.jpg", whole[:int(len(whole) * share)])
		    cut.add(f"{name}.txt", "a caption")
		cut.close()
	PY
}

resized()     # DIR FLAG...
{
	plait resize -q -j1 -p keep_ratio -s 150 -o "$@" a.tar
}

pictures()    # DIR
{
	tar -xOf "$1/a.tar" --wildcards '*.jpg' | sha256sum
}

@test "--decode-scale lets the decoder go further down, and a finished shard knows the one it was made with" {
	# Half of 300 and 302 is enough for 1, half of 460 for 1.5, none for 2.
	local scale
	for scale in 2 1.5 1; do
		resized "s$scale" --decode-scale "$scale"
		pictures "s$scale"
	done >sums
	[ "$(grep -c -- - sums)" = 3 ]
	[ "$(grep -- - sums | sort -u | wc -l)" = 3 ] || { cat sums >&2; fail "scales make equal pictures"; }
	resized default
	[ "$(pictures default)" = "$(pictures s2)" ]
	resized default --decode-scale=1
	[ "$(pictures default)" = "$(pictures s1)" ] || fail "the shard of another scale was taken for finished"
	expect 2 "'--decode-scale': '3' is not one of 2, 1.5, 1" -- plait resize --decode-scale 3 -o d a.tar
}

@test "--optimize makes fewer bytes of the same pixels" {
	resized plain
	resized small --optimize
	/usr/bin/python3 - <<-'PY'
		import io, tarfile
		from PIL import Image
		a, b = ({m.name: t.extractfile(m).read() for m in t if m.name.endswith("jpg")} for t in map(tarfile.open, ("plain/a.tar", "small/a.tar")))
		assert len(a) == 3 and a.keys() == b.keys()
		for name in a:
		    assert len(b[name]) < len(a[name]), (name, len(a[name]), len(b[name]))
		    assert Image.open(io.BytesIO(a[name])).tobytes() == Image.open(io.BytesIO(b[name])).tobytes()
	PY
}

@test "--max-missing decides which cut off JPEGs are kept, at resize and at ingest" {
	local share kept
	for share in '' 0 5% 0.5 50% 100%; do
		case $share in '' | 0 | 5%) kept=1 ;; *) kept=2 ;; esac
		rm -rf o c
		expect 0 -- plait resize -j1 -s 100 ${share:+--max-missing "$share"} --report r.json -o o cut.tar
		[ "$(jq .steps[0].account.samples.out r.json)" = $kept ] || fail "resize, '$share': not $kept kept"
		[ $kept = 2 ] || [ "$(jq -c .steps[0].account.images.dropped r.json)" = '{"truncated":1}' ]
		expect 0 -- plait ingest -q -j1 --kind pairs ${share:+--max-missing "$share"} -o c cut.tar
		[ "$(number c "select count(*) from images where status = 'keep'")" = $kept ] || fail "ingest, '$share': not $kept kept"
		[ $kept = 2 ] || [ "$(number c "select status from images where status <> 'keep'")" = truncated ]
	done
	# What is kept is seen; what is missing is grey.
	expect 0 -- plait resize -q -j1 -s 100 -f png --max-missing 50% -o p cut.tar
	tar -xf p/cut.tar
	/usr/bin/python3 - <<-'PY'
		import numpy as np
		from PIL import Image
		a, b = (np.asarray(Image.open(f).convert("RGB"), float) for f in ("a.png", "b.png"))
		assert np.abs(a - b)[:50].max() < 3, "the first half differs"
		assert np.abs(a - b)[90:].max() > 20, "nothing is missing"
	PY
	expect 2 "'101%'" "from 0 to 1" -- plait ingest --max-missing 101% -o d cut.tar
}

@test "a shard resized with another --max-missing is made anew" {
	plait resize -q -j1 -s 100 -o o cut.tar
	expect 0 -- plait resize -j1 -s 100 --max-missing 60% --report r.json -o o cut.tar
	[ "$(jq .steps[0].account.samples.out r.json)" = 2 ]
}
