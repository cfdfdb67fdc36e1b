#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Recipes that are wrong are refused whole, with file, line and what would be right, before any work starts.

load common

setup_file()
{
	make_set_once
}

setup()
{
	work_here
	make_recipe r.yaml out
}

refused()     # PHRASE...: r.yaml is refused with exit code 2 and nothing is written
{
	expect 2 r.yaml "$@" -- plait run -j1 r.yaml
	[ ! -e out ] && [ ! -e out.work ] || fail "work was started"
}

@test "the recipe as it stands is right" {
	expect 0 -- plait run -j1 --dry-run r.yaml
	[ ! -e out/dataset.json ]
	[ ! -e out.work/plan.json ]
}

@test "an unknown key is named with its line and the nearest key" {
	sed -i 's/max_epochs:/max_epoch:/' r.yaml
	refused "max_epoch" "did you mean 'max_epochs'" "'r.yaml':8:"
}

@test "an unknown key of a source" {
	sed -i 's/, where:/, wehre:/' r.yaml
	refused "wehre" "did you mean 'where'" "'r.yaml':4:"
}

@test "a wrong type" {
	sed -i 's/seed: 7/seed: seven/' r.yaml
	refused "seed" "seven" "'r.yaml':2:"
}

@test "a number out of range" {
	sed -i 's/threshold: 24/threshold: 240/' r.yaml
	refused "threshold" "240" "'r.yaml':7:"
}

@test "an unknown choice" {
	sed -i 's/center_crop/centre_crop/' r.yaml
	refused "centre_crop" "center_crop" "'r.yaml':9:"
}

@test "a key given twice" {
	sed -i 's/^seed: 7/seed: 7\nseed: 8/' r.yaml
	refused "seed" "'r.yaml':3:"
}

@test "a fan-in that cannot be kept" {
	sed -i 's/^output: {/output: {fan_in: 1, /' r.yaml
	refused "fan_in" "at least 2"
}

@test "a required key that is missing" {
	sed -i '/^output:/d' r.yaml
	refused "output"
}

@test "two sources of one name" {
	sed -i 's/name: docs/name: pairs/' r.yaml
	refused "two sources" "pairs"
}

@test "what is no YAML" {
	echo 'name: [unclosed' >r.yaml
	refused "r.yaml"
}

@test "aliases are not expanded without end" {
	{
		echo 'name: &a [x, x, x, x, x, x, x, x, x]'
		local i
		for i in b c d e f g h i; do
			echo "$i: &$i [*a, *a, *a, *a, *a, *a, *a, *a, *a]"
		done
	} >r.yaml
	refused "r.yaml"
}

# SQL is tried on the columns that the tables will have, with what the recipe adds to them.

@test "a condition with a column that is not there" {
	sed -i 's/similarity > 0.22/similarty > 0.22/' r.yaml
	refused "'r.yaml':4:" "source 'pairs'" "where" "did you mean 'similarity'"
}

@test "a condition that is no SQL" {
	sed -i 's/weight: 0.2}/weight: 0.2, where: "text_words >"}/' r.yaml
	refused "'r.yaml':5:" "source 'docs'" 'condition "text_words >"'
}

@test "a condition on images" {
	sed -i 's/kind: interleaved,/kind: interleaved, image_where: "width >= 10 and heigth >= 10",/' r.yaml
	refused "'r.yaml':5:" "image_where" "did you mean 'height'"
}

@test "an expression of groups" {
	sed -i 's/kind: interleaved,/kind: interleaved, groups: {by: "max(width)", strategy: equal},/' r.yaml
	refused "'r.yaml':5:" "groups" "source 'docs'" "max(width)"
}

@test "a preset whose score no column brings" {
	sed -i 's/kind: pairs,/kind: pairs, filter: coyo,/' r.yaml
	refused "'r.yaml':4:" "filter" "preset coyo, rule nsfw needs a column"
}

@test "columns of metadata and of scores are known before they are there" {
	sed -i 's/where: "similarity > 0.22"/scores: in\/none.csv, score_columns: [nsfw], where: "similarity > 0.22 and nsfw < 1"/' r.yaml
	run --separate-stderr plait run -j1 r.yaml
	[[ $stderr != *"no such column"* ]]
}

@test "a quota that cannot be met says by how much" {
	sed -i 's/max_epochs: 2/max_epochs: 1, total: 1000/' r.yaml
	expect 2 "source 'docs'" "200 samples" "has 20" "largest total possible is" -- plait run -j1 r.yaml
	[ ! -e out.work/plan.json ]
	[ ! -e out/dataset.json ]
	# The total it names as the largest is right: it can be made, one more cannot.
	local largest
	largest=$(grep -o 'largest total possible is [0-9]*' <<<"$stderr" | grep -o '[0-9]*$')
	sed "s/total: 1000/total: $largest/" r.yaml >most.yaml
	expect 0 -- plait run -j1 --dry-run most.yaml
	sed "s/total: 1000/total: $((largest + 1))/" r.yaml >more.yaml
	expect 2 "largest total possible is $largest" -- plait run -j1 --dry-run more.yaml
}

@test "a weighted source with nothing left is named" {
	sed -i 's/similarity > 0.22/similarity > 99/' r.yaml
	expect 2 "source 'pairs'" "weight" -- plait run -j1 r.yaml
}

@test "shards of a source that match nothing fail before any output" {
	sed -i 's|in/docs.tar|in/none-*.tar|' r.yaml
	run --separate-stderr plait run -j1 r.yaml
	[ "$status" -ne 0 ]
	[[ $stderr == *"in/none-*.tar"* ]]
	[ ! -e out/dataset.json ]
}
