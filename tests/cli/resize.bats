#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What plait resize can be told: how far a JPEG is reduced while it is decoded, Huffman tables, cut off pictures, hashes.

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

# The lines of plait hash for the originals of a.tar, as the list beside a resized shard names them.
originals()
{
	mkdir -p x
	tar -xf a.tar -C x
	(cd x && plait hash -j1 -r pdq-aa ./*.jpg) | sed 's|\./||'
}

@test "--hash: beside each shard the lines of plait hash, some bits off; without it no list, and the same pictures" {
	resized plain
	[ ! -e plain/a.pdq-aa ]
	resized o --hash
	cmp plain/a.tar o/a.tar
	originals >want
	[ "$(cut -c65- o/a.pdq-aa)" = "$(cut -c65- want)" ] || { diff o/a.pdq-aa want >&2; fail "other qualities or names"; }
	/usr/bin/python3 - <<-'PY'
		bits = lambda name: [int(line[:64], 16) for line in open(name)]
		off = [bin(a ^ b).count("1") for a, b in zip(bits("o/a.pdq-aa"), bits("want"))]
		# These shapes have few frequencies, and so many bits that hang on little; photographs are below.
		assert len(off) == 3 and max(off) <= 16, off
	PY
	# What passes through is looked at as the scan does.
	expect 0 -- plait resize -q -j1 -p none --hash -o same a.tar
	diff want same/a.pdq-aa
}

@test "--hash: names are those in the new shard, and what is not written is not listed" {
	tar -xf a.tar
	/usr/bin/python3 -c 'from PIL import Image; Image.open("000.jpg").save("p.png")'
	head -c 3000 001.jpg >broken.jpg
	make_corpora sample b.tar k1.jpg=000.jpg k1.txt=000.txt k2.jpg=broken.jpg k3.seg.png=p.png k4.txt=000.txt k1.jpg=002.jpg
	expect 0 "k1" -- plait resize -j1 -s 100 -f webp --hash --report r.json -o o b.tar
	[ "$(cut -c70- o/b.pdq-aa)" = $'k1.webp\nk3.seg.webp' ] || { cat o/b.pdq-aa >&2; fail "other names"; }
	[ "$(tar -tf o/b.tar | grep webp)" = "$(cut -c70- o/b.pdq-aa)" ]
	[ "$(jq -c .steps[0].account.images r.json)" = '{"in":4,"out":2,"dropped":{"truncated":1,"duplicate_key":1}}' ] ||
	    { jq .steps[0].account.images r.json >&2; fail "another account"; }
}

@test "--hash: a finished shard has its list; one that lacks it, or was made without, is made anew" {
	local resumed
	resumed() { plait resize -q -j1 -s 100 --report r.json -o o "$@" a.tar >/dev/null && jq .steps[0].account.units.resumed r.json; }
	[ "$(resumed)" = 0 ]
	[ "$(resumed --hash)" = 0 ]
	cp o/a.pdq-aa kept
	[ "$(resumed --hash)" = 1 ]
	rm o/a.pdq-aa
	[ "$(resumed --hash)" = 0 ]
	cmp o/a.pdq-aa kept
	head -n 1 kept >o/a.pdq-aa
	[ "$(resumed --hash)" = 0 ]
	cmp o/a.pdq-aa kept
	# A list that the shard beside it was not made with would pass for its own.
	[ "$(resumed)" = 0 ]
	[ ! -e o/a.pdq-aa ]
	no_leftovers o
}

@test "--hash: the same lists at 1 and 3 ranks" {
	make_corpora pairs '00000.tar' 30
	make_corpora pairs '00001.tar' 20 40
	make_corpora pairs '00002.tar' 25 80
	plait resize -q -j1 -s 60 --hash -o one 0000?.tar
	mpirun --oversubscribe -n 3 plait-resize -q -j1 -s 60 --hash -o three 0000?.tar
	[ "$(cat one/*.pdq-aa | wc -l)" = 75 ]
	diff <(cd one && sha256sum ./*.*) <(cd three && sha256sum ./*.*)
}

@test "--hash: of photographs within two bits of the scan's on average, within 10 always" {
	shared_data
	local t=$PLAIT_SHARED_DATA/photos/imagenet-sample.tar
	[ -r "$t" ] || skip "no '$t'"
	expect 0 -- plait resize -q -j2 -s 256 -f jpeg --reencode --hash -o o "$t"
	mkdir x
	tar -xf "$t" -C x
	(cd x && find . -iname '*.jp*g' -exec plait hash -j2 -r pdq-aa {} +) >scan
	/usr/bin/python3 - <<-'PY'
		def read(name):
		    return {line[69:-1].removeprefix("./").rsplit(".", 1)[0]: int(line[:64], 16) for line in open(name)}
		ours, scan = read("o/imagenet-sample.pdq-aa"), read("scan")
		assert len(ours) > 100 and ours.keys() == scan.keys()
		off = [bin(ours[k] ^ scan[k]).count("1") for k in ours]
		assert max(off) <= 10 and sum(off) <= 2 * len(off), (max(off), sum(off) / len(off))
	PY
}
