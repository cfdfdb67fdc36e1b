#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait dedup's rules beyond one copy of each, lists of hashes as evaluation sets, corpora known before; as a user meets them.

load common

# old.tar: 8 pictures. new.tar: the same pictures and 4 more; of the first 4 the captions are others.
setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	make_corpora pairs old.tar 8
	make_corpora pairs more.tar 12
	mkdir x && tar xf more.tar -C x
	for i in 0 1 2 3; do
		echo "another caption $i" >"x/00000$i.txt"
	done
	(cd x && tar cf ../new.tar -- *)
	plait ingest -q -j1 -o old --kind pairs old.tar >/dev/null
	plait ingest -q -j1 -o new --kind pairs new.tar >/dev/null
	plait hash -r pdq-aa x/000001.jpg x/000005.jpg >list.pdq
}

setup()
{
	work_here
	cp -a "$BATS_FILE_TMPDIR"/{old,new,old.tar,new.tar,list.pdq} .
}

kept()     # CORPUS
{
	number "$1" "select count(*) from samples where verdict = 'keep'"
}

sums()     # DIR
{
	(cd "$1" && sha256sum ./*.npy)
}

@test "captions: one image in two corpora stays for another caption" {
	plait dedup -q old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 12 ]
	plait dedup -q --captions 2 --report r.json old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 16 ]
	jq -e '.steps[0].kept_captions == 4' r.json
	plait dedup -q --captions all old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 16 ]
	jq -e '.rules.captions == "all"' old/dedup.json
}

@test "images and captions that stand too often are dropped everywhere, and why says so" {
	plait dedup -q --max-documents 1 old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 4 ]
	run plait why 000001 old
	[[ $output == *"repeated_image"*"in more samples"* ]] || { show_run; false; }
	plait dedup -q --max-texts-per-image 1 old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 8 ]
	plait dedup -q --max-captions 1 old new >/dev/null
	[ "$(($(kept old) + $(kept new)))" -eq 8 ]
	run plait why 000005 old
	[[ $output == *"repeated_caption"* ]] || { show_run; false; }
}

@test "rules that cannot be are refused before anything is written" {
	expect 2 "--captions" "'many'" "'all'" -- plait dedup --captions many old
	expect 2 "--captions" "'-1'" -- plait dedup --captions=-1 old
	expect 2 "--captions" "'2x'" -- plait dedup --captions 2x old
	expect 2 "'0'" -- plait dedup --max-documents 0 old
	expect 2 "'sample'" "image, document" -- plait dedup --document sample old
	expect 2 "share" "document" -- plait dedup --document-share 0.5 old
	expect 2 "'1.5'" -- plait dedup --document document --document-share 1.5 old
	[ ! -e old/dedup.json ]
}

@test "a list of hashes is an evaluation set: what matches is dropped and listed by line and name" {
	expect 0 -- plait dedup new --against list.pdq
	[ "$(kept new)" -eq 10 ]
	run plait why 000005 new
	[[ $output == *"evaluation, distance 0; line 2 ('x/000005.jpg') of 'list.pdq'"* ]] || { show_run; false; }
	jq -e '.corpora[1] | .name == "list.pdq" and .hashes and .against' new/dedup.json
	(echo "# a comment"; cut -c1-64 list.pdq) >plain
	expect 0 -- plait dedup new --against plain
	[ "$(kept new)" -eq 10 ]
	run plait why 000005 new
	[[ $output == *"line 3 of 'plain'"* ]] || { show_run; false; }
	/usr/bin/python3 - <<'PY'
import numpy as np
rows = np.load("new/dedup.clusters.npy")
assert sorted(rows["survivor_row"]) == [2, 3] and set(rows["survivor_corpus"]) == {1}, rows
PY
	# another list is other work; the same list is none
	expect 0 "0 done, 1 found" -- plait dedup new --against plain
	expect 0 -- plait dedup new --against list.pdq
	run plait why 000005 new
	[[ $output == *"of 'list.pdq'"* ]] || { show_run; false; }
}

@test "a bad list is an error with file and line, and says what a line is" {
	sed '2s/ .*/,x/' list.pdq >bad
	expect 3 "'bad':2:" "character 65" "64 hexadecimal digits" -- plait dedup new --against bad
	head -c 100 /dev/urandom | base64 -w0 | tr 'a-fA-F0-9' 'z' >noise
	expect 3 "'noise':1:" -- plait dedup new --against noise
	: >empty
	expect 3 "'empty'" "holds none" -- plait dedup new --against empty
	expect 3 "'nowhere'" -- plait dedup new --against nowhere
	expect 2 "'list.pdq'" "near images" -- plait dedup new --exact-only --against list.pdq
	expect 2 "'list.pdq'" "its hashes are pdq," "pdq-aa" -- plait dedup new --against list.pdq --against-hash pdq
	expect 0 -- plait dedup new --against list.pdq --against-hash pdq-aa
	expect 2 "no list is given" -- plait dedup new --force --against-hash pdq-aa
}

@test "a list says how its hashes were made, and is believed; of one that does not a warning tells" {
	expect 0 "warning: 'list.pdq': nothing says how its hashes were made" "--against-hash" -- plait dedup new --against list.pdq
	(cd "$BATS_FILE_TMPDIR" && plait hash -r pdq-aa --list x/000001.jpg x/000005.jpg) >told
	diff <(tail -n +2 told) list.pdq
	expect 0 -- plait dedup --force new --against told
	[[ $output != *warning* ]] || { show_run; false; }
	[ "$(kept new)" -eq 10 ]
	plait hash --list "$BATS_FILE_TMPDIR/x/000001.jpg" >other
	[ "$(head -n 1 other)" = "# hash: pdq" ]
	expect 2 "'other'" "its hashes are pdq," "pdq-aa" -- plait dedup new --against other
	expect 2 "'other'" "the list itself says pdq" -- plait dedup new --against other --against-hash pdq-aa
	sed '1s/pdq/phash/' other >bad
	expect 3 "'bad':1:" "phash" -- plait dedup new --against bad
	(cat told; echo "# hash: pdq") >both
	expect 3 "'both':4:" "one kind" -- plait dedup new --against both
}

@test "with a corpus known before, it stays as it is and drops what is the same in the new one" {
	expect 2 "'old'" "run plait dedup" -- plait dedup new --known old
	plait dedup -q old >/dev/null
	sums old >before
	expect 0 -- plait dedup new --known old
	[ "$(kept new)" -eq 4 ]
	[ "$(kept old)" -eq 8 ]
	sums old | diff before -
	run plait why 000005 new old
	[[ $output == *"kept instead: '000005' of old"* ]] || { show_run; false; }
	sums new >first
	expect 0 "0 done, 1 found" -- plait dedup new --known old
	expect 0 -- plait dedup --force new --known old
	sums new | diff first -
	# other verdicts of the known corpus are other work
	plait dedup -q old --against list.pdq >/dev/null
	expect 0 -- plait dedup new --known old
	[ "$(kept new)" -eq 6 ]
	expect 2 "'old'" "name it once" -- plait dedup new old --known old
}

@test "the keys of a recipe do what the options do" {
	cat >r.yaml <<YAML
name: rules
sources:
  - {name: new, shards: new.tar, kind: pairs}
dedup: {captions: 0, max_documents: 7, max_texts_per_image: 9, max_captions: 8, document: document, document_share: 0.5, same_images: true,
        against_hashes: list.pdq, against_hash: pdq-aa, known: old}
output: {stage: align, dir: out, work: w}
YAML
	plait dedup -q old >/dev/null
	plait run -q -j1 --dry-run r.yaml >/dev/null
	[ "$(kept w/new)" -eq 7 ]
	jq -e '.rules == {captions: "all", max_documents: 7, max_texts_per_image: 9, max_captions: 8, document_share: 0.5, same_images: true}' \
	    w/new/dedup.json
	jq -e '[.corpora[].name] == ["new", "list.pdq", "old"]' w/new/dedup.json
	sed -i 's/against_hash: pdq-aa/against_hash: pdq/' r.yaml
	expect 2 "'list.pdq'" "its hashes are pdq," -- plait run -j1 r.yaml
	sed -i 's/against_hash: pdq/against_hash: phash/' r.yaml
	expect 2 "'r.yaml':5:" "phash" -- plait run -j1 r.yaml
	sed -i 's/against_hash: phash, //' r.yaml
	sed -i 's/document: document, //' r.yaml
	expect 2 "'r.yaml':4:" "share" -- plait run -j1 r.yaml
	sed -i 's/document_share: 0.5, //; s/captions: 0/captions: some/' r.yaml
	expect 2 "'r.yaml':4:" "some" -- plait run -j1 r.yaml
}

@test "the same bytes at 1 and 3 ranks with all of it" {
	local rules="--captions 2 --max-documents 3 --max-texts-per-image 3 --max-captions 2 --document document --same-images"
	plait dedup -q old >/dev/null
	cp -r new new2
	sed -i 's/"name": "new"/"name": "new2"/' new2/manifest.json
	cp -r new three
	cp -r new2 three2
	# shellcheck disable=SC2086
	plait dedup -q $rules new new2 --known old --against list.pdq >/dev/null
	# shellcheck disable=SC2086
	mpirun --oversubscribe -n 3 plait-dedup -q $rules three three2 --known old --against list.pdq >/dev/null
	diff <(sums new) <(sums three)
	diff <(sums new2) <(sums three2)
	[ "$(kept new)" -gt 0 ]
	[ "$(kept new)" -lt 12 ]
}
