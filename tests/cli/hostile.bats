#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files that broke decoders and archive readers before: one sample or one shard is lost, with a reason, and nothing else.

load common

setup()
{
	work_here
	shared_data
	HOSTILE=$PLAIT_SHARED_DATA/hostile
}

@test "every hostile picture is kept or dropped as its index says, within memory and time" {
	/usr/bin/python3 - "$HOSTILE" "$CLI_DIR" <<-'PY'
		import csv, sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[2])
		import corpora
		shard, expected = corpora.Shard("h.tar"), open("expected", "w")
		for i, row in enumerate(csv.DictReader(open(sys.argv[1] + "/index.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE)):
		    path = row["path"]
		    if path.startswith(("tar/", "zstd/")):
		        continue
		    data = open(sys.argv[1] + "/" + path, "rb").read()
		    # A name of a picture, so that it is taken for one whatever is inside.
		    shard.add(f"{i:06d}.jpg", data)
		    shard.add(f"{i:06d}.txt", path)
		    expected.write(f"{i:06d}\t{row['expect']}\t{path}\n")
		shard.close()
	PY
	local began=$SECONDS
	expect 0 -- plait ingest -j2 --kind pairs --report r.json -o c h.tar
	[ $((SECONDS - began)) -lt 60 ]
	# The largest process of all, codec workers included.
	[ "${PLAIT_VARIANT:-release}" != release ] || /usr/bin/python3 - plait-ingest -q -j2 --kind pairs -o again h.tar <<-'PY'
		import resource, subprocess, sys
		subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
		peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		assert peak < 512 * 1024, f"{peak} KiB"
	PY
	[ "$(jq '.steps[0].account.samples.in' r.json)" = "$(wc -l <expected)" ]
	jq -e '.steps[0].account | (.samples | .in == .out + ([.dropped[]] | add)) and (.images | .in == .out + ([.dropped[]] | add))' r.json
	if [ "${PLAIT_VARIANT:-release}" = release ]; then
		jq -e '.steps[0].account.peak_rss | . > 0 and . < 536870912' r.json || { jq .steps[0].account r.json >&2; false; }
	fi
	# The rows are in the order of the shard.
	number c "select i.status from images i join samples s on i.unit = s.unit and i.sample = s.row order by i.sample" >statuses
	[ "$(wc -l <statuses)" = "$(wc -l <expected)" ] || fail "$(wc -l <statuses) rows for $(wc -l <expected) pictures"
	# Three are fine as far as anybody looks: only the second frame of the first is huge, the text chunks of the second
	# and the colour profile of the third are never inflated. The AVIF one decodes where libavif was there at build.
	grep -v -e /avif_hopper.avif -e /decompression_bomb_extents.gif -e /png_decompression_dos.png -e /unknown_compression_method.png <(paste expected statuses) >judged
	[ "$(wc -l <judged)" = $(($(wc -l <expected) - 4)) ]
	awk -F'\t' '
		$2 == "valid" && $4 != "keep" || ($2 == "bomb" || $2 == "reject" || $2 == "unsupported") && $4 == "keep" { print; bad = 1 }
		END { exit bad }' judged >wrong || { cat wrong >&2; fail "$(wc -l <wrong) pictures were judged otherwise than index.tsv"; }
}

@test "no worker crashes and none hangs on the hostile pictures" {
	local files=()
	mapfile -t files < <(cut -f1 "$HOSTILE/index.tsv" | tail -n +2 | grep -v -e ^tar/ -e ^zstd/)
	cd "$HOSTILE"
	run --separate-stderr timeout 60 plait hash -j2 "${files[@]}"
	[ "$status" -eq 3 ]
	[ "$(wc -l <<<"$output")" -ge 300 ]
	[[ $stderr != *": crash:"* ]] || { grep ': crash:' <<<"$stderr" >&2; false; }
	[[ $stderr != *": timeout:"* ]] || { grep ': timeout:' <<<"$stderr" >&2; false; }
}

@test "every hostile tar is read or refused: no crash, no hang" {
	local tar code
	for tar in "$HOSTILE"/tar/* "$HOSTILE"/zstd/*; do
		code=0
		rm -rf c
		timeout 20 plait ingest -q -j1 --kind pairs --keep-going -o c "$tar" >/dev/null 2>err || code=$?
		[ "$code" = 0 ] || [ "$code" = 3 ] || { cat err >&2; fail "exit code $code: $tar"; }
		[ "$code" = 0 ] || grep -q error err || fail "failed without a word: $tar"
		code=0
		timeout 20 plait ls "$tar" >/dev/null 2>err || code=$?
		[ "$code" = 0 ] || [ "$code" = 3 ] || { cat err >&2; fail "exit code $code: plait ls $tar"; }
	done
}

@test "a tar with a huge sparse member or a huge claimed size costs no memory" {
	make_corpora pairs a.tar 2
	# A header that promises 8 GiB - 1 and then ends.
	/usr/bin/python3 - <<-'PY'
		import tarfile
		info = tarfile.TarInfo("huge.jpg")
		info.size = 8589934591
		good = open("a.tar", "rb").read().rstrip(b"\0")
		good += b"\0" * (-len(good) % 512)
		open("h.tar", "wb").write(good + info.tobuf(tarfile.USTAR_FORMAT) + b"x" * 100000)
	PY
	expect 0 "h.tar" -- plait ingest -j1 --kind pairs --report r.json -o c h.tar
	[ "$(number c "select count(*) from samples where status = 'keep'")" = 2 ]
	[ "${PLAIT_VARIANT:-release}" != release ] || jq -e '.steps[0].account.peak_rss | . > 0 and . < 268435456' r.json
}

@test "a bomb is refused by its header, quickly" {
	/usr/bin/python3 - <<-'PY'
		import struct, zlib
		def chunk(kind, data):
		    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
		ihdr = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
		open("bomb.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(bytes(10 ** 6))) + chunk(b"IEND", b""))
		open("bomb.txt", "w").write("a bomb")
	PY
	make_corpora sample b.tar a.png=bomb.png a.txt=bomb.txt
	local began=$SECONDS
	expect 0 -- plait ingest -j1 --report r.json -o c b.tar
	[ $((SECONDS - began)) -lt 5 ]
	[ "$(jq -c '.steps[0].account.images.dropped' r.json)" = '{"bomb":1}' ]
}

@test "a JSON of endless depth costs its sample" {
	/usr/bin/python3 -c 'open("deep.json", "w").write("{\"text_list\":" + "[" * 200000)'
	make_corpora sample d.tar a.json=deep.json
	expect 0 -- plait ingest -j1 --kind interleaved --report r.json -o c d.tar
	[ "$(jq -c '.steps[0].account.samples | [.in, .out]' r.json)" = '[1,0]' ]
}
