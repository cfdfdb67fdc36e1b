#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait synth: corpora that are the same at any number of ranks, and a table of truth that tells the truth.

load common

# Small, but with several shards of every set.
synth()     # DIR [OPTION...]
{
	local dir=$1
	shift
	plait synth -q -o "$dir" --samples 60 --shard-samples 20 --size 96 --duplicates 0.25 --broken 0.25 --hostile "$@"
}

setup_file()
{
	export SYNTH=$BATS_FILE_TMPDIR/corpora
	synth "$SYNTH" --seed 11 >"$BATS_FILE_TMPDIR/announced"
}

# Every file with its hash, but for plait's own records.
files_of()     # DIR
{
	(cd "$1" && find . -path ./.plait -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}

truth()     # COLUMN-PATTERN: lines of the truth of $SYNTH
{
	grep -cP "$1" "$SYNTH/truth.tsv"
}

@test "the same seed gives the same bytes with 1 and with 3 ranks" {
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	mpirun --oversubscribe -n 3 plait-synth -q -o three --samples 60 --shard-samples 20 --size 96 --duplicates 0.25 \
	    --broken 0.25 --hostile --seed 11 >announced
	diff <(files_of "$SYNTH") <(files_of three)
	diff <(sed "s|^$SYNTH/||" "$BATS_FILE_TMPDIR/announced" | sort) <(sed 's|^three/||' announced | sort)
	no_leftovers three
}

@test "another seed gives other bytes in every shard" {
	synth other --seed 12 >/dev/null
	[ -z "$(comm -12 <(files_of "$SYNTH" | sort) <(files_of other | sort))" ]
}

@test "every shard of every set is there and announced" {
	local set
	for set in pairs/00002.tar interleaved/00002.tar interleaved-lines/00002.jsonl chat/00002.jsonl text/00002.jsonl.zst \
	    preference/00002.jsonl in-context/00002.json coco/00002.json vqa/00002.json obelics/00002.jsonl; do
		[ -s "$SYNTH/$set" ]
		grep -qx "$SYNTH/$set" "$BATS_FILE_TMPDIR/announced"
	done
	[ -s "$SYNTH/interleaved-lines/images-00002.tar" ] && [ -s "$SYNTH/chat/images-00002.tar" ]
	[ -s "$SYNTH/eval/00000.tar" ] && [ -s "$SYNTH/hostile/00000.tar" ]
	[ "$(find "$SYNTH" -name '*.tar' -path '*pairs*' | wc -l)" = 3 ]
	[ "$(wc -l <"$BATS_FILE_TMPDIR/announced")" = 30 ]
}

@test "truth.tsv has a line for every sample" {
	[ "$(head -n1 "$SYNTH/truth.tsv")" = "$(printf 'kind\tshard\tkey\twhat\tof\tnote')" ]
	local kind
	for kind in pairs interleaved interleaved-lines chat text preference in-context coco vqa obelics; do
		[ "$(truth "^$kind\t")" = 60 ] || fail "$kind"
		[ "$(truth "^$kind\t00001\t")" = 20 ] || fail "$kind"
	done
	[ "$(truth '^eval\t')" = 10 ]
	[ "$(truth '^hostile\t')" = 9 ]
	[ -z "$(cut -f1,2,3 "$SYNTH/truth.tsv" | grep -v '^hostile' | sort | uniq -d)" ]
	[ "$(cat "$SYNTH"/chat/*.jsonl | wc -l)" = 60 ]
	[ "$(zstd -dc "$SYNTH"/text/*.zst | wc -l)" = 60 ]
	# Pairs whose image is missing still have their text.
	[ "$(for t in "$SYNTH"/pairs/*.tar; do tar tf "$t"; done | cut -d. -f1 | sort -u | wc -l)" = 60 ]
	# At these shares there are some of each.
	local what
	for what in ok duplicate near_duplicate evaluation no_text missing_image 'broken:[a-z_0-9]+'; do
		[ "$(truth "\t$what\t")" -gt 0 ] || fail "$what"
	done
}

@test "an original named in truth.tsv is a sound sample" {
	local kind key what of
	while read -r kind key what of; do
		[ "$what" = evaluation ] && kind=eval
		[ "$(truth "^$kind\t\d+\t$of\tok\t")" = 1 ] || fail "$key: $what of $of"
	done < <(awk -F'\t' 'NR > 1 && $5 != "" { print $1, $3, $4, $5 }' "$SYNTH/truth.tsv")
}

@test "an exact duplicate has its original's bytes and another caption" {
	local key of
	mkdir x
	for t in "$SYNTH"/pairs/*.tar; do tar xf "$t" -C x; done
	while read -r key of; do
		cmp x/"$key".[jpgw]*[gpf] x/"$of".[jpgw]*[gpf]
		run ! cmp -s x/"$key".txt x/"$of".txt
	done < <(awk -F'\t' '$1 == "pairs" && $4 == "duplicate" { print $3, $5 }' "$SYNTH/truth.tsv")
}

@test "near duplicates hash alike, others do not" {
	local key of distance
	mkdir x
	plait synth -q -o near --kind pairs --samples 80 --size 200 --duplicates 0.5 --broken 0 >/dev/null
	tar xf near/pairs/00000.tar -C x
	bits() { plait hash -r pdq-aa "$(ls x/"$1".[jpgw]*[gpf])" | cut -c1-64; }
	distance() { /usr/bin/python3 -c 'import sys; print(bin(int(sys.argv[1], 16) ^ int(sys.argv[2], 16)).count("1"))' "$(bits "$1")" "$(bits "$2")"; }
	while read -r key of; do
		[ "$(distance "$key" "$of")" -le 16 ] || fail "$key and $of"
		[ "$key" = 000000000 ] || [ "$of" = 000000000 ] || [ "$(distance "$key" 000000000)" -gt 70 ] || fail "$key and the first"
	done < <(awk -F'\t' '$4 == "near_duplicate" { print $3, $5 }' near/truth.tsv)
}

@test "ingest finds what truth.tsv says is wrong" {
	local reason
	plait ingest -q -j1 --kind pairs -o c "$SYNTH"/pairs/*.tar >/dev/null
	[ "$(number c 'select count(*) from samples')" = 60 ]
	for reason in truncated empty unsupported bomb bad_utf8 no_image bad_json; do
		[ "$(number c "select count(*) from samples where status = '$reason'")" = "$(truth "^pairs\t.*\tbroken:$reason\t")" ] || fail "$reason"
	done
	[ "$(number c "select count(*) from samples where status = 'no_text'")" = "$(truth '^pairs\t.*\tno_text\t')" ]
}

@test "the odd members are read by the rules of WebDataset" {
	plait ingest -q -j1 --kind pairs -o c "$SYNTH/hostile/00000.tar" >/dev/null
	[ "$(number c 'select count(*) from samples')" = 9 ]
	[ "$(number c "select count(*) from samples where status = 'keep'")" = "$(truth '^hostile\t.*\tok\t')" ]
}

@test "a rerun makes what is missing and nothing else" {
	synth again --seed 11 >/dev/null
	rm again/pairs/00001.tar again/chat/images-00002.tar
	synth again --seed 11 >made
	[ "$(cat made)" = "$(printf '%s\n' again/chat/00002.jsonl again/pairs/00001.tar)" ] ||
	    [ "$(cat made)" = "$(printf '%s\n' again/pairs/00001.tar again/chat/00002.jsonl)" ]
	diff <(files_of "$SYNTH") <(files_of again)
	# A file is a shard only when it is whole: a temporary of a killed run goes.
	touch again/pairs/.tmp-00002.tar-1
	synth again --seed 11
	no_leftovers again
}

@test "a directory made with other options is refused" {
	synth made --seed 11 >/dev/null
	expect 3 "'made/synth.json'" "other options" -- plait synth -o made --samples 60 --seed 12
	diff <(files_of "$SYNTH") <(files_of made)
}

@test "usage errors are named" {
	expect 2 "-o DIR" -- plait synth
	expect 2 "'more'" -- plait synth -o d more
	expect 2 "'pears'" "did you mean 'pairs'" -- plait synth -o d --kind pears
	expect 2 "at least a tenth" -- plait synth -o d --duplicates 0.6 --broken 0.6
	expect 2 "'0'" -- plait synth -o d --samples 0
	[ ! -e d ]
}
