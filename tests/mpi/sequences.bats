#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Documents packed into sequences: the same bytes at any number of ranks, every document once, budgets and borders kept.

load ../cli/common

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR"
	recipes
	plait run -q -j1 plain.yaml >/dev/null
	plait run -q -j1 packed.yaml >/dev/null
}

# plain.yaml, and packed.yaml: the same with sequences of 400 tokens, an image of 50.
recipes()
{
	make_recipe plain.yaml plain
	sed -i 's/max_epochs: 2/max_epochs: 2, image_tokens: 50/; s/shard_samples: 12/shard_samples: 40, fan_in: 2/' plain.yaml
	sed 's/dir: plain, work: plain.work/dir: packed, work: packed.work, pack: {tokens: 400, window: 16}/' plain.yaml >packed.yaml
}

setup()
{
	work_here
	ln -s "$BATS_FILE_TMPDIR/plain" "$BATS_FILE_TMPDIR/packed" .
	ln -s "$SET" in
}

samples() { for f in "$1"/*.tar.zst; do zstd -dcq "$f" | tar -xO --wildcards '*.json'; done; }     # DIR: their JSON

@test "the same bytes at 1, 2, 3 and 5 ranks, and they verify" {
	local n
	recipes
	for n in 2 3 5; do
		rm -rf packed packed.work
		mpirun --oversubscribe -n "$n" plait-run -q -j1 packed.yaml >/dev/null
		[ "$(bytes_of packed)" = "$(bytes_of "$BATS_FILE_TMPDIR/packed")" ]
	done
	expect 0 -- plait verify --deep -j1 packed
}

@test "every document of the plain data set once, as it is there" {
	samples plain | jq -cS '[.key, .source, .origin, .pass, .images, [.segments[] | .text // [.width, .height]]]' | sort >documents
	samples packed | jq -cS '. as $s | .documents[] | [.key, .source, .origin, .pass, .images,
	    [$s.segments[.first_segment:.first_segment + .segments][] | .text // [.width, .height]]]' | sort >packed.documents
	[ "$(wc -l <documents)" -gt 100 ]
	diff documents packed.documents >&2
	samples packed | jq -e '.tokens <= .budget or (.documents | length) == 1' >wrong
	! grep -v true wrong
	# the pictures, byte by byte, whatever they are called
	(for f in plain/*.tar.zst; do zstd -dcq "$f" | tar -x --to-command 'case $TAR_FILENAME in *.json) ;; *) sha256sum ;; esac'; done) | sort >plain.pictures
	(for f in packed/*.tar.zst; do zstd -dcq "$f" | tar -x --to-command 'case $TAR_FILENAME in *.json) ;; *) sha256sum ;; esac'; done) | sort >packed.pictures
	[ "$(wc -l <plain.pictures)" -gt 50 ]
	cmp plain.pictures packed.pictures
}

@test "dataset.json and the report tell how full the sequences are" {
	local sequences
	sequences=$(samples packed | jq -s '[length, (map(.documents | length) | add), (map([.tokens, .budget] | min) | add)]')
	jq -e --argjson s "$sequences" '.packing | .tokens == 400 and .window == 16 and [.sequences, .documents, .filled] == $s and
	    .efficiency == (.filled / (.sequences * 400)) and .efficiency > 0.7' packed/dataset.json || { jq .packing packed/dataset.json >&2; false; }
	jq -e '.samples == .packing.sequences and ([.sources[].out] | add) == .packing.documents' packed/dataset.json
	recipes
	plait run -q -j1 --report r.json packed.yaml >/dev/null
	jq -e --slurpfile d packed/dataset.json '[.steps[] | select(.step == "pack").packing] == [$d[0].packing]' r.json
	[ "$(jq -c '[.tokens, .images]' packed/dataset.json)" = "$(jq -c '[.tokens, .images]' plain/dataset.json)" ]
}

@test "what is too long is kept alone, or dropped and counted" {
	recipes
	sed 's/tokens: 400/tokens: 60/; s/packed/kept/g' packed.yaml >kept.yaml
	sed 's/tokens: 400/tokens: 60, long: drop/; s/packed/short/g' packed.yaml >short.yaml
	plait run -q -j1 kept.yaml >/dev/null
	plait run -q -j1 short.yaml >/dev/null
	local longer
	longer=$(jq .packing.longer kept/dataset.json)
	[ "$longer" -gt 5 ]
	[ "$(samples kept | jq -s '[.[] | select(.tokens > .budget and (.documents | length) == 1)] | length')" = "$longer" ]
	jq -e --argjson n "$longer" '.packing.longer == 0 and ([.sources[].dropped_at_packing.too_long // 0] | add) == $n' short/dataset.json ||
	    { jq .sources short/dataset.json >&2; false; }
	plait verify --deep -q -j1 short
}

@test "show tells documents apart, ls lists sequences" {
	plait show -n 0 packed/000000.tar.zst >shown
	[ "$(grep -c '^  -- ' shown)" = "$(samples packed | jq -s '.[0].documents | length')" ]
	[ "$(plait ls packed/*.tar.zst | wc -l)" -ge "$(jq .samples packed/dataset.json)" ]
}

@test "pack without a length is refused" {
	recipes
	sed -i 's/pack: {tokens: 400, window: 16}/pack: {window: 16}/' packed.yaml
	expect 2 "'pack' in output needs 'tokens'" -- plait run -j1 packed.yaml
	sed -i 's/pack: {window: 16}/pack: {tokens: 400, window: 0}/' packed.yaml
	expect 2 "window" -- plait run -j1 packed.yaml
	sed -i 's/window: 0}/long: split}/' packed.yaml
	expect 2 "long" "keep" -- plait run -j1 packed.yaml
}
