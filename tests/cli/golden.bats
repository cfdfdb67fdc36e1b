#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pixels of odd pictures against Pillow's, which stands on the same libraries but turns, flattens and converts in code of its own.
# The largest difference of any sample, of 255 (golden.py yields it with each picture):
#   EXIF orientation 1 to 8          1      16 bits                           0, the nearest of 256 levels
#   CMYK and YCCK                    1      alpha, on white                   1
#   4:4:4 to 4:2:0, 4:4:0, 4:1:1     1      first frame of an animation       1, and the exact number of frames
#   Display P3 patches               1, against the standards' matrices; with pictures against lcms2
#   photographs with any profile     2, against lcms2

load common

# The pictures of a kind through plait resize; each within its tolerance of what is expected.
check_all()     # KIND
{
	/usr/bin/python3 "$CLI_DIR/golden.py" make "$1" g.tar
	plait resize -q -j1 -p none --reencode -f png -o out g.tar >/dev/null
	/usr/bin/python3 "$CLI_DIR/golden.py" check "$1" out/g.tar
}

has_lcms2()
{
	ldd "$(command -v plait-resize)" | grep -q liblcms2 || skip "built without lcms2"
}

@test "every EXIF orientation is turned as Pillow turns it" { check_all exif; }

@test "CMYK, YCCK, grey, progressive, 4:4:4 to 4:1:1 and 4:4:0 decode as in Pillow" { check_all jpeg; }

@test "PNG: 1 to 16 bits, palettes and transparency come out as Pillow has them" { check_all png; }

@test "PNG: gAMA is honoured unless sRGB is said" { check_all gamma; }

@test "alpha goes on white in PNG, WebP and GIF" { check_all alpha; }

@test "the first frame of GIF, WebP and PNG animations is what Pillow shows first" { check_all frames; }

@test "Display P3 patches, pictures with P3 and grey profiles are converted as they should; sRGB's changes nothing" {
	has_lcms2
	check_all icc
}

@test "valid pictures from other projects' collections look as in Pillow" {
	shared_data
	check_all shared
}

@test "photographs with profiles are converted as Pillow does it through lcms2" {
	has_lcms2
	shared_data
	check_all cameras
}

@test "the table counts frames" {
	/usr/bin/python3 "$CLI_DIR/golden.py" make frames g.tar
	mkdir x && tar -xf g.tar -C x
	local members=() f
	for f in x/*.gif x/*.webp x/*.png; do
		members+=("$(basename "$f")=$f")
		echo caption >"${f%.*}.txt"
		members+=("$(basename "${f%.*}").txt=${f%.*}.txt")
	done
	make_corpora sample t.tar "${members[@]}"
	plait ingest -q -j1 --kind pairs -o c t.tar >/dev/null
	number c "select frames from images order by sample" >counts
	/usr/bin/python3 "$CLI_DIR/golden.py" counts | diff - counts
}
