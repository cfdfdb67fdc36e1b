#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Image statistics: columns that filter, sql and stat know by name.

load common

setup()
{
	work_here
	# 0 a picture, 1 black, 2 faint noise on white, 3 the first as PNG, 4 three frames.
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import io, sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		import numpy as np
		from PIL import Image
		def add(name, data):
		    shard.add(name, data)
		    shard.add(name.split(".")[0] + ".txt", "a caption")
		shard, photo = corpora.Shard("a.tar"), corpora.picture(1, 320, 240)
		faint = Image.fromarray((240 + np.random.RandomState(1).randint(0, 12, (240, 320, 3))).astype(np.uint8))
		frames = io.BytesIO()
		photo.save(frames, "GIF", save_all=True, append_images=[corpora.picture(k, 320, 240) for k in (2, 3)])
		add("0.jpg", corpora.encoded(photo, "JPEG", quality=77))
		add("1.png", corpora.encoded(Image.new("RGB", (320, 240)), "PNG"))
		add("2.png", corpora.encoded(faint, "PNG"))
		add("3.png", corpora.encoded(photo, "PNG"))
		add("4.gif", frames.getvalue())
		shard.close()
	PY
	plait ingest -q -j1 --kind pairs -o c a.tar >/dev/null
}

# The rows that a filter keeps.
kept()     # FLAG CONDITION
{
	plait filter -q c "$1" "$2" >/dev/null
	number c "select row from samples where verdict = 'keep' order by row" | xargs
}

@test "filter knows every statistic by its name, of samples and of images" {
	local line column condition keys
	while IFS='|' read -r condition keys; do
		[ "$(kept -w "$condition")" = "$keys" ] || fail "-w '$condition' keeps $(kept -w "$condition"), not $keys"
		[ "$(kept --image-where "$condition")" = "$keys" ] || fail "--image-where '$condition' keeps $(kept --image-where "$condition"), not $keys"
	done <<-END
		mean < 10|1
		mean > 200|2
		contrast > 15|0 3 4
		entropy > 5|0 3 4
		edges < 1|1 2
		edges > 10 and edges < 20|0 3 4
		blur > 50|0 3 4
		blank = 1|1 2
		blank = 0 and blur < 100|0 3
		jpeg_quality = 77|0
		jpeg_quality is null|1 2 3 4
		bits_per_pixel < 1|1
		frames = 3 and contrast > 15|4
	END
	for column in mean contrast entropy edges blur blank jpeg_quality bits_per_pixel frames; do
		[ "$(number c "select count(distinct typeof($column)) from images where $column is not null")" = 1 ] || fail "$column"
	done
	expect 2 "blurr" "contrast" -- plait filter c -w "blurr > 3"
}

@test "stat shows each statistic with its range, and says what is blank and animated" {
	plait stat c >numbers
	local name
	for name in mean contrast entropy edges blur bits/pixel 'jpeg quality'; do
		grep -q "^  $name  *[0-9.e+]" numbers || { cat numbers >&2; fail "stat lacks $name"; }
	done
	grep -q 'images: 2 blank, 1 animated' numbers
	# min, 5 %, median, 95 %, max never fall; those of one JPEG are one number.
	awk '/^  (mean|contrast|entropy|edges|blur|bits.pixel|width|height) / { for (i = NF - 3; i <= NF; i++) if ($i + 0 < $(i - 1) + 0) exit 1 }' numbers
	[ "$(awk '/^  jpeg quality/ { print $3, $5, $7 }' numbers)" = "77 77 77" ] || { cat numbers >&2; fail "quality"; }
	[ "$(awk '/^  mean / { print ($2 < 10 && $6 > 200) }' numbers)" = 1 ]
}
