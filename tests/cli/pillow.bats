#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Resized pictures against Pillow's, and the sizes of img2dataset's modes.

load common

setup()
{
	work_here
	# Sizes that are odd, wide, tall, small and square.
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		shard = corpora.Shard("a.tar")
		for i, (w, h) in enumerate([(640, 480), (333, 500), (1201, 307), (200, 150), (512, 512), (97, 640), (257, 256)]):
		    shard.add(f"{i:03d}.png", corpora.encoded(corpora.picture(i, w, h), "PNG"))
		    shard.add(f"{i:03d}.txt", f"{w}x{h}")
		shard.close()
	PY
}

# sizes POLICY SIZE FLAG...: the sizes that plait resize makes, against img2dataset's arithmetic.
sizes()
{
	local policy=$1 size=$2
	shift 2
	rm -rf out
	plait resize -q -j1 -f png -p "$policy" -s "$size" "$@" -o out a.tar >/dev/null
	/usr/bin/python3 - "$policy" "$size" "$*" <<-'PY'
		import io, sys, tarfile
		from PIL import Image
		policy, size, only_if_bigger = sys.argv[1], int(sys.argv[2]), "--only-if-bigger" in sys.argv[3]

		def want(w, h):
		    if policy == "keep_ratio":              # the short side becomes size
		        if only_if_bigger and min(w, h) <= size:
		            return w, h
		        s = size / min(w, h)
		    elif policy == "keep_ratio_largest":    # the long side becomes size
		        if only_if_bigger and max(w, h) <= size:
		            return w, h
		        s = size / max(w, h)
		    else:                                   # center_crop and border give squares
		        if only_if_bigger and (min(w, h) if policy == "center_crop" else max(w, h)) <= size:
		            return w, h                     # left as it is, neither cut nor padded
		        return size, size
		    return max(1, round(w * s)), max(1, round(h * s))

		tar, n = tarfile.open("out/a.tar"), 0
		for m in tar:
		    if m.name.endswith(".txt"):
		        w, h = map(int, tar.extractfile(m).read().split(b"x"))
		        expected = want(w, h)
		        assert image.size == expected, (policy, size, (w, h), image.size, expected)
		        n += 1
		    else:
		        image = Image.open(io.BytesIO(tar.extractfile(m).read()))
		        image.load()
		assert n == 7, n
	PY
}

@test "sizes of keep_ratio" {
	sizes keep_ratio 256
	sizes keep_ratio 100
	sizes keep_ratio 256 --only-if-bigger
}

@test "sizes of keep_ratio_largest" {
	sizes keep_ratio_largest 256
	sizes keep_ratio_largest 300 --only-if-bigger
}

@test "sizes of center_crop and border" {
	sizes center_crop 224
	sizes border 224
	sizes center_crop 224 --only-if-bigger
	sizes border 224 --only-if-bigger
}

@test "policy none leaves every byte as it was" {
	plait resize -q -j1 -p none -o out a.tar >/dev/null
	/usr/bin/python3 -c '
import tarfile
a, b = ({m.name: t.extractfile(m).read() for m in t} for t in map(tarfile.open, ("a.tar", "out/a.tar")))
assert a == b and len(a) == 14'
}

# psnr TAR SIZE FILTER LEAST: of each picture in TAR, plait's PNG against Pillow with the same filter.
psnr()
{
	rm -rf out
	plait resize -q -j2 -f png -p keep_ratio -s "$2" --filter "$3" --reencode -o out "$1" >/dev/null
	/usr/bin/python3 - "$1" "out/$(basename "$1")" "$3" "$4" <<-'PY'
		import io, sys, tarfile
		import numpy as np
		from PIL import Image, ImageOps
		filters = {"lanczos": Image.LANCZOS, "bicubic": Image.BICUBIC, "triangle": Image.BILINEAR, "box": Image.BOX}

		def pictures(path):
		    tar = tarfile.open(path)
		    return {m.name.rsplit(".", 1)[0]: tar.extractfile(m).read() for m in tar
		            if m.name.lower().endswith((".png", ".jpg", ".jpeg"))}

		def rgb(data):
		    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
		    return image.convert("RGB")

		before, after = pictures(sys.argv[1]), pictures(sys.argv[2])
		worst, n = (99, ""), 0
		for key, data in after.items():
		    image = Image.open(io.BytesIO(before[key]))
		    # Profiles are converted, which golden.bats looks at.
		    if image.mode not in ("RGB", "L") or "icc_profile" in image.info:
		        continue
		    ours = Image.open(io.BytesIO(data)).convert("RGB")
		    theirs = rgb(before[key]).resize(ours.size, filters[sys.argv[3]])
		    error = np.asarray(ours, float) - np.asarray(theirs, float)
		    mse = (error ** 2).mean()
		    worst = min(worst, (99 if mse == 0 else 10 * np.log10(255 ** 2 / mse), key))
		    n += 1
		assert n >= 5, n
		assert worst[0] >= float(sys.argv[4]), worst
	PY
}

@test "resized made pictures are within 45 dB of Pillow's with each filter" {
	local filter
	for filter in lanczos bicubic triangle box; do psnr a.tar 128 "$filter" 45; done
}

@test "resized photographs are within 45 dB of Pillow's" {
	shared_data
	# Files whose size is far above the target are decoded at a reduced DCT scale, which is not Pillow's way: see the next test.
	/usr/bin/python3 - "$PLAIT_SHARED_DATA" "$CLI_DIR" <<-'PY'
		import io, sys, tarfile
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[2])
		import corpora
		from PIL import Image, ImageOps
		shard, n = corpora.Shard("p.tar"), 0
		tar = tarfile.open(sys.argv[1] + "/photos/imagenet-sample.tar")
		for m in tar:
		    if m.name.lower().endswith((".jpg", ".jpeg")) and n < 30:
		        image = Image.open(io.BytesIO(tar.extractfile(m).read()))
		        if image.mode == "RGB" and min(image.size) >= 250:
		            shard.add(f"{n:03d}.png", corpora.encoded(image, "PNG"))
		            n += 1
		shard.close()
	PY
	psnr p.tar 224 lanczos 45
	psnr p.tar 100 bicubic 45
}

@test "JPEG photographs decoded at a reduced scale are within 45 dB of Pillow's full decode" {
	shared_data
	mkdir j
	tar -xf "$PLAIT_SHARED_DATA/photos/imagenet-sample.tar" -C j
	tar -xf "$PLAIT_SHARED_DATA/photos/cameras-exif.tar" -C j
	local members=() f
	for f in $(find j -iname '*.jp*g' -size +60k | sort); do members+=("$(printf %03d ${#members[@]}).jpg=$f"); done
	make_corpora sample j.tar "${members[@]}"
	psnr j.tar 100 lanczos 45
	psnr j.tar 224 lanczos 45
}

@test "alpha goes on white, orientation is applied, grey stays readable" {
	/usr/bin/python3 - <<-'PY'
		from PIL import Image
		Image.new("RGBA", (100, 80), (255, 0, 0, 0)).save("alpha.png")
		exif = Image.Exif()
		exif[0x112] = 6
		Image.new("RGB", (100, 60), (10, 200, 30)).save("turned.jpg", exif=exif, quality=95)
		Image.new("L", (90, 70), 77).save("grey.png")
	PY
	make_corpora sample o.tar a.png=alpha.png b.jpg=turned.jpg c.png=grey.png
	plait resize -q -j1 -f png -p keep_ratio -s 50 -o out o.tar >/dev/null
	tar -xf out/o.tar
	/usr/bin/python3 - <<-'PY'
		from PIL import Image
		assert Image.open("a.png").convert("RGB").getpixel((20, 20)) == (255, 255, 255)
		turned = Image.open("b.png").convert("RGB")
		assert turned.size == (50, 83), turned.size
		assert max(abs(p - q) for p, q in zip(turned.getpixel((20, 20)), (10, 200, 30))) <= 4
		assert Image.open("c.png").convert("L").getpixel((9, 9)) in (76, 77, 78)
	PY
}
