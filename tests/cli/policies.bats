#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Resolution policies from recipe to shard: sizes, grids and tokens as the published Python has them, pixels as Pillow makes them.

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
		for i, (w, h) in enumerate([(640, 480), (333, 500), (1201, 307), (200, 150), (512, 512), (97, 640), (800, 801), (61, 44)]):
		    shard.add(f"{i:03d}.png", corpora.encoded(corpora.picture(i, w, h), "PNG"))
		    shard.add(f"{i:03d}.txt", f"{w}x{h}")
		shard.close()
	PY
	# What the publications say, and a reader of samples.
	cat >published.py <<-'PY'
		import io, json, math, sys, tarfile
		from PIL import Image, ImageChops

		def select_best_resolution(size, candidates):               # llava/mm_utils.py
		    W, H = size
		    best, most, least = None, 0, float("inf")
		    for w, h in candidates:
		        s = min(w / W, h / H)
		        effective = min(int(W * s) * int(H * s), W * H)
		        wasted = w * h - effective
		        if effective > most or (effective == most and wasted < least):
		            best, most, least = (w, h), effective, wasted
		    return best

		def resize_and_pad_image(image, target):                    # llava/mm_utils.py
		    (W, H), (tw, th) = image.size, target
		    sw, sh = tw / W, th / H
		    w, h = (tw, min(math.ceil(H * sw), th)) if sw < sh else (min(math.ceil(W * sh), tw), th)
		    out = Image.new("RGB", target, (0, 0, 0))
		    out.paste(image.resize((w, h), Image.BICUBIC), ((tw - w) // 2, (th - h) // 2))
		    return out

		def next_tokens(size, best, tile, patch):                   # transformers, processing_llava_next.py
		    w, h = size
		    side = tile // patch
		    ch, cw = side * (best[1] // tile), side * (best[0] // tile)
		    if w / h > cw / ch:
		        ch -= (ch - int(round(h * (cw / w), 7))) // 2 * 2
		    else:
		        cw -= (cw - int(round(w * (ch / h), 7))) // 2 * 2
		    return ch * cw + ch + side * side

		def smart_resize(h, w, factor, least, most):                # qwen_vl_utils/vision_process.py
		    hb, wb = max(factor, round(h / factor) * factor), max(factor, round(w / factor) * factor)
		    if hb * wb > most:
		        beta = math.sqrt(h * w / most)
		        hb, wb = math.floor(h / beta / factor) * factor, math.floor(w / beta / factor) * factor
		    elif hb * wb < least:
		        beta = math.sqrt(least / (h * w))
		        hb, wb = math.ceil(h * beta / factor) * factor, math.ceil(w * beta / factor) * factor
		    return wb, hb

		def cal_num_of_slices(w, h):                                # llava_uhd/slice_logic.py
		    n = min(math.ceil(w * h / (336 * 336)), 6)
		    least, best = 1000, None
		    for k in [n, n + 1] if n <= 2 else [n - 1, n, n + 1]:
		        for i in range(1, k + 1):
		            if k % i == 0 and least > abs(math.log(i / (k / i)) - math.log(w / h)):
		                least, best = abs(math.log(i / (k / i)) - math.log(w / h)), (i, k // i)
		    return best

		def adapt_size(w, h):                                       # llava_uhd/slice_logic.py
		    scale = math.sqrt(576 * (14 / h) * (14 / w))
		    return tuple(max(min(math.floor(scale * side / 14), 576), 1) * 14 for side in (w, h))

		originals = {}
		with tarfile.open("a.tar") as tar:
		    for m in tar:
		        if m.name.endswith(".png"):
		            originals[m.name[:-4]] = Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")

		def samples(folder):
		    """(image segment, original, parts by name) of each sample"""
		    found = {}
		    with tarfile.open(folder + "/000000.tar") as tar:
		        for m in tar:
		            key, _, suffix = m.name.partition(".")
		            found.setdefault(key, {})[suffix] = tar.extractfile(m).read()
		    assert len(found) == len(originals)
		    for parts in found.values():
		        doc = json.loads(parts.pop("json"))
		        images = [s for s in doc["segments"] if s["type"] == "image"]
		        assert len(images) == doc["images"] == 1
		        named = [images[0][k] for k in ("part",) if k in images[0]] + images[0].get("tiles", [])
		        assert sorted(named) == sorted(parts), (named, sorted(parts))
		        pictures = {k: Image.open(io.BytesIO(v)).convert("RGB") for k, v in parts.items()}
		        yield images[0], originals[doc["origin"]["key"]], pictures

		# Pillow filters rows before columns and rounds between: where a picture grows a lot, that is 3 off at most.
		def near(a, b, most, what):
		    assert a.size == b.size, (what, a.size, b.size)
		    worst = max(hi for lo, hi in ImageChops.difference(a, b).getextrema())
		    assert worst <= most, (what, worst)

		def tiles(whole, columns, rows):
		    w, h = whole.size[0] // columns, whole.size[1] // rows
		    return [whole.crop((x * w, y * h, x * w + w, y * h + h)) for y in range(rows) for x in range(columns)]
	PY
}

# packed IMAGE [FORMAT [BALANCE]]: the shard under these keys of 'image', in out
packed()
{
	cat >r.yaml <<-YAML
		name: t
		sources: [{name: a, shards: a.tar, kind: pairs}]
		dedup: {enabled: false}
		balance: {${3:-}}
		image: {format: ${2:-png}, filter: bicubic, $1}
		output: {dir: out, work: work, container: tar}
	YAML
	rm -rf out work
	plait run -q -j1 r.yaml >/dev/null
	plait verify --deep -q -j1 out >/dev/null
}

@test "anyres: grid, tiles, overview and tokens of LLaVA-NeXT" {
	packed "policy: anyres"
	/usr/bin/python3 - <<-'PY'
		from published import *
		grids = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]
		total = 0
		for image, original, parts in samples("out"):
		    best = select_best_resolution(original.size, grids)
		    assert image["original"] == list(original.size) and image["tile"] == [336, 336], image
		    assert image["grid"] == [best[0] // 336, best[1] // 336], (original.size, image["grid"], best)
		    assert image["tokens"] == next_tokens(original.size, best, 336, 14), (original.size, image["tokens"])
		    total += image["tokens"]
		    near(parts[image["part"]], original.resize((336, 336), Image.BICUBIC), 3, "overview")
		    for name, want in zip(image["tiles"], tiles(resize_and_pad_image(original, best), *image["grid"])):
		        near(parts[name], want, 3, (original.size, name))
		text = sum(-(-len(f"{w}x{h}") // 4) for w, h in (o.size for o in originals.values()))
		assert json.load(open("out/dataset.json"))["tokens"] == total + text
	PY
	plait show out/000000.tar >shown
	grep -F "[image 0.png 336x336 and 2x2 tiles of 336x336 0.t0.png..., 2340 tokens]" shown
	plait stat --html r.html out >/dev/null
}

@test "anyres: OneVision's grids, tiles alone, and the whole alone" {
	packed "policy: anyres, tile: 96, grids: [1x1..6x6], write: tiles"
	cp -r out tiles
	packed "policy: anyres, tile: 96, grids: [1x1..6x6], write: whole"
	plait show -H 1 out/000000.tar | grep " of .*tiles of 96x96"
	/usr/bin/python3 - <<-'PY'
		from published import *
		grids = [(96 * i, 96 * j) for i in range(1, 7) for j in range(1, 7)]
		wholes = {}
		for image, original, parts in samples("out"):
		    best = select_best_resolution(original.size, grids)
		    assert image["grid"] == [best[0] // 96, best[1] // 96] and "tiles" not in image
		    assert (image["width"], image["height"]) == best
		    near(parts[image["part"]], resize_and_pad_image(original, best), 3, original.size)
		    wholes[original.size] = parts[image["part"]], image["tokens"]
		for image, original, parts in samples("tiles"):
		    whole, tokens = wholes[original.size]
		    assert "part" not in image and "width" not in image and image["tokens"] == tokens
		    for name, want in zip(image["tiles"], tiles(whole, *image["grid"])):
		        near(parts[name], want, 0, (original.size, name))
	PY
}

@test "smart_resize: sizes and tokens of Qwen2-VL" {
	packed "policy: smart_resize, max_pixels: 200704"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    w, h = smart_resize(original.size[1], original.size[0], 28, 56 * 56, 200704)
		    assert (image["width"], image["height"]) == (w, h), (original.size, image)
		    assert image["tokens"] == w // 28 * (h // 28)
		    near(parts["0.png"], original.resize((w, h), Image.BICUBIC), 3, original.size)
	PY
}

@test "uhd_slices: LLaVA-UHD's slices" {
	packed "policy: uhd_slices"
	/usr/bin/python3 - <<-'PY'
		from published import *
		alone = 0
		for image, original, parts in samples("out"):
		    columns, rows = cal_num_of_slices(*original.size)
		    w, h = adapt_size(*original.size)
		    near(parts["0.png"], original.resize((w, h), Image.BICUBIC), 3, original.size)
		    if columns * rows == 1:
		        assert "grid" not in image and image["tokens"] == 64
		        alone += 1
		        continue
		    assert image["grid"] == [columns, rows] and image["tokens"] == 64 * (1 + columns * rows)
		    w, h = adapt_size(original.size[0] // columns, original.size[1] // rows)
		    assert image["tile"] == [w, h]
		    whole = original.resize((w * columns, h * rows), Image.BICUBIC)
		    for name, want in zip(image["tiles"], tiles(whole, columns, rows)):
		        near(parts[name], want, 3, (original.size, name))
		assert alone > 0
	PY
}

@test "windows: Monkey's six of 448, and its overview" {
	packed "policy: windows"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    assert image["grid"] == [3, 2] and image["tokens"] == 1792
		    whole = original.resize((1344, 896), Image.BICUBIC)
		    for name, want in zip(image["tiles"], tiles(whole, 3, 2)):
		        near(parts[name], want, 3, (original.size, name))
		    near(parts["0.png"], original.resize((448, 448), Image.BICUBIC), 3, original.size)
	PY
}

@test "pad_mean, clip, square and patch_multiple, with their tokens" {
	packed "policy: pad_mean, size: 336"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    side = max(original.size)
		    padded = Image.new("RGB", (side, side), (122, 116, 104))
		    padded.paste(original, ((side - original.size[0]) // 2, (side - original.size[1]) // 2))
		    want, got = padded.resize((336, 336), Image.BICUBIC), parts["0.png"]
		    assert got.size == (336, 336) and image["tokens"] == 576
		    # Beyond the filter's reach from its border the ground is the same.
		    band = (336 - min(original.size) * 336 // side) // 2 - 3 - 3 * 336 // side
		    if band > 0:
		        box = (0, 0, band, 336) if original.size[0] < original.size[1] else (0, 0, 336, band)
		        near(got.crop(box), want.crop(box), 0, original.size)
	PY
	packed "policy: clip, size: 224, tokens: 77"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    w, h = original.size
		    w, h = (224, int(224 * h / w)) if w <= h else (int(224 * w / h), 224)
		    x, y = int(round((w - 224) / 2.0)), int(round((h - 224) / 2.0))
		    near(parts["0.png"], original.resize((w, h), Image.BICUBIC).crop((x, y, x + 224, y + 224)), 3, original.size)
		    assert image["tokens"] == 77
	PY
	packed "policy: square, size: 224, patch: 16"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    near(parts["0.png"], original.resize((224, 224), Image.BICUBIC), 3, original.size)
		    assert image["tokens"] == 196
	PY
	packed "policy: patch_multiple, target: 600x600" png "image_tokens: 5"
	/usr/bin/python3 - <<-'PY'
		from published import *
		for image, original, parts in samples("out"):
		    w, h = original.size
		    if w > 600 or h > 600:
		        s = min(600 / h, 600 / w)
		        w, h = int(w * s), int(h * s)
		    want = Image.new("RGB", (-(-w // 30) * 30, -(-h // 30) * 30), (1, 1, 1))
		    want.paste(original.resize((w, h), Image.BICUBIC), (0, 0))
		    near(parts["0.png"], want, 3, original.size)
		    assert image["tokens"] == 5          # balance.image_tokens overrules
	PY
	[ "$(jq .tokens out/dataset.json)" -lt 100 ]
}

@test "the same bytes at any number of ranks and workers; JPEG and WebP tiles verify" {
	packed "policy: anyres, quality: 80" webp
	mv out one
	rm -rf work
	plait run -q -j3 r.yaml >/dev/null
	cmp one/000000.tar out/000000.tar
	cmp one/dataset.json out/dataset.json
	tar tf out/000000.tar | grep -c '\.t0\.webp' >count
	[ "$(cat count)" -eq 8 ]
}

@test "verify sees a grid that its tiles do not fill, a tile named twice, and one that is not there" {
	packed "policy: windows, tile: 64, target: 128x128"
	/usr/bin/python3 - <<-'PY'
		# In three documents, without a byte more or less.
		data = open("out/000000.tar", "rb").read().split(b'"segments":')
		assert all(b'"grid":[2,2]' in d and b'"0.t3.png"]' in d for d in data[1:])
		data[1] = data[1].replace(b'"grid":[2,2]', b'"grid":[2,3]', 1)
		data[2] = data[2].replace(b'"0.t3.png"]', b'"0.t2.png"]', 1)
		data[3] = data[3].replace(b'"0.t3.png"]', b'"0.t9.png"]', 1)
		open("out/000000.tar", "wb").write(b'"segments":'.join(data))
	PY
	run --separate-stderr plait verify --deep -j1 out
	[[ $stderr =~ 'its XXH3-128 is '([0-9a-f]{32}) ]] || { show_run; fail "no hash is told"; }
	jq --arg h "${BASH_REMATCH[1]}" '.shards[0].xxh3_128 = $h' out/dataset.json >d.json
	cp d.json out/dataset.json
	expect 3 "not as many tiles as its grid" "two segments name one image" "names an image that is not there" -- plait verify --deep -j1 out
}

@test "plait resize takes the policies that make one picture" {
	plait resize -q -j1 -f png --filter bicubic -p smart_resize --max-pixels 200704 -o out a.tar >/dev/null
	plait resize -q -j1 -f png --filter bicubic -p patch_multiple --target native --patch 14 --pad-color 9,8,7 -o patches a.tar >/dev/null
	/usr/bin/python3 - <<-'PY'
		from published import *
		for folder in "out", "patches":
		    with tarfile.open(folder + "/a.tar") as tar:
		        for m in tar:
		            if not m.name.endswith(".png"):
		                continue
		            got, original = Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB"), originals[m.name[:-4]]
		            w, h = original.size
		            if folder == "out":
		                near(got, original.resize(smart_resize(h, w, 28, 3136, 200704), Image.BICUBIC), 3, m.name)
		            else:
		                want = Image.new("RGB", (-(-w // 14) * 14, -(-h // 14) * 14), (9, 8, 7))
		                want.paste(original, (0, 0))
		                near(got, want, 0, m.name)
	PY
	expect 2 "anyres makes tiles" -- plait resize -j1 -p anyres -o x a.tar
	expect 2 "--factor does nothing with policy square" -- plait resize -j1 -p square --factor 3 -o x a.tar
	expect 2 "multiples of the patch" -- plait resize -j1 -p patch_multiple --target 100x100 -o x a.tar
	expect 2 "--pad-color" -- plait resize -j1 -p pad_mean --pad-color 1,2 -o x a.tar
	[ ! -e x ]
}
