#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tokens of texts: as SentencePiece's own spm_encode cuts them, as awk counts words, and the same in tables, plan and shards.

load common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -o synth -n 60 --shard-samples 20 --size 64 --broken 0.15 --seed 5 >/dev/null
	# The texts of every sample, those of a sample on one line: UNIT:ROW, text.
	/usr/bin/python3 - <<-'PY'
		import glob, json, os, subprocess, tarfile
		def line(out, path, row, text):
		    out.write(f"{os.path.basename(path).split('.')[0]}:{row}\t{' '.join(text.split())}\n")
		with open("pairs.tsv", "w") as out:
		    for path in sorted(glob.glob("synth/pairs/*.tar")):
		        rows = {}
		        with tarfile.open(path) as tar:
		            for m in tar:
		                key, _, suffix = m.name.partition(".")
		                rows.setdefault(key, "")
		                if suffix == "txt":
		                    rows[key] = tar.extractfile(m).read().decode("utf-8", "replace")
		        for row, text in enumerate(rows.values()):
		            line(out, path, row, text)
		with open("text.tsv", "w") as out:
		    for path in sorted(glob.glob("synth/text/*.zst")):
		        for row, record in enumerate(subprocess.check_output(["zstd", "-qdc", path]).splitlines()):
		            try:
		                line(out, path, row, json.loads(record)["text"])
		            except (ValueError, KeyError, TypeError, AttributeError):
		                pass
	PY
	cut -f2 pairs.tsv >captions.txt
	command -v spm_train >/dev/null || return 0
	train small captions.txt unigram 300
	train other captions.txt bpe 240
}

setup()
{
	work_here
	ln -s "$BATS_FILE_TMPDIR"/{synth,pairs.tsv,text.tsv,captions.txt} .
	cp "$BATS_FILE_TMPDIR"/*.model . 2>/dev/null || true
}

train()     # NAME FILE TYPE PIECES
{
	spm_train --input="$2" --model_prefix="$1" --model_type="$3" --vocab_size="$4" --hard_vocab_limit=false --character_coverage=0.99 \
	    --minloglevel=2 >/dev/null 2>&1
}

need_models()
{
	[ -s small.model ] && [ -s other.model ] || skip "no spm_train (Debian: sentencepiece)"
	run plait ingest -q -j1 --tokenizer small.model -o try synth/eval/00000.tar
	[[ $output != *"built without SentencePiece"* ]] || skip "this build has no SentencePiece"
	rm -rf try
}

shards_of()     # pairs|text
{
	ls synth/"$1"/*.tar synth/"$1"/*.zst 2>/dev/null
}

ingest()     # CORPUS pairs|text [OPTION...]
{
	local corpus=$1 kind=$2
	shift 2
	# shellcheck disable=SC2046
	plait ingest -q -j1 -k "$kind" -o "$corpus" "$@" $(shards_of "$kind") >/dev/null
}

# UNIT:ROW and tokens of every kept sample: as the corpus has them, and as a command finds that gives a number for each line of text.
tokens_in()     # CORPUS
{
	plait sql --no-header "$1" -e "select shard || ':' || row, text_tokens from samples where verdict = 'keep'" | sort -k1,1
}

tokens_of()     # CORPUS TSV COMMAND...
{
	local corpus=$1 tsv=$2
	shift 2
	paste <(cut -f1 "$tsv") <(cut -f2 "$tsv" | "$@") | sort -k1,1 >all
	join -t $'\t' <(tokens_in "$corpus" | cut -f1) all
}

pieces()     # MODEL
{
	spm_encode --model="$1" --output_format=id --minloglevel=2 | awk '{print NF}'
}

words()
{
	awk '{print int((4 * NF + 2) / 3)}'
}

agree()     # CORPUS TSV COMMAND...
{
	tokens_in "$1" >have
	tokens_of "$@" >want
	[ "$(wc -l <have)" -gt 40 ]
	diff have want
}

@test "the texts are what they are meant to be" {
	[ "$(wc -l <pairs.tsv)" = 60 ]
	ingest p pairs
	[ "$(number p "select count(*) from samples where verdict = 'keep' and language = 'zh'")" -gt 2 ]
	[ "$(number p "select count(*) from samples where verdict = 'keep' and language = 'ar'")" -gt 2 ]
	[ "$(number p "select count(*) from samples where verdict = 'keep'")" -lt 58 ]
}

@test "tokens of captions are the pieces that spm_encode writes" {
	need_models
	ingest p pairs --tokenizer small.model
	agree p pairs.tsv pieces small.model
	# One text after another, as the tool is used by hand.
	local at text n
	while IFS=$'\t' read -r at text; do
		n=$(printf '%s\n' "$text" | spm_encode --model=small.model --output_format=id --minloglevel=2 | wc -w)
		[ "$(number p "select text_tokens from samples where shard || ':' || row = '$at'")" = "$n" ]
	done < <(grep -m2 '：' pairs.tsv; grep -m2 '،' pairs.tsv; grep -m2 'hexagon' pairs.tsv; grep -m1 'Bild' pairs.tsv)
	ingest other pairs --tokenizer other.model --tokens-by sentencepiece
	agree other pairs.tsv pieces other.model
	! diff -q <(tokens_in p) <(tokens_in other) >/dev/null
}

@test "tokens of texts are the pieces that spm_encode writes" {
	need_models
	ingest t text --tokenizer small.model
	agree t text.tsv pieces small.model
}

@test "a text that is cut for its length has the pieces of the whole" {
	need_models
	# By BPE: a unigram model's sums of scores are single precision, which tells over texts as long as these.
	/usr/bin/python3 - <<-'PY'
		import json
		whole = " ".join(line.split("\t")[1].strip() for line in open("text.tsv")) * 9
		with open("long.jsonl", "w") as out, open("long.tsv", "w") as tsv:
		    for row, text in enumerate([whole, whole[:300000], whole.replace(" ", "")[:300000]]):
		        out.write(json.dumps({"text": text}) + "\n")
		        tsv.write(f"long:{row}\t{text}\n")
	PY
	[ "$(wc -c <long.tsv)" -gt 800000 ]
	plait ingest -q -j1 -k text -o long --tokenizer other.model long.jsonl >/dev/null
	tokens_in long | head -n 2 >have
	tokens_of long long.tsv pieces other.model >all.want
	head -n 2 all.want >want
	diff have want
	# Without white space, a cut may fall inside a piece: one more at each.
	local gap
	gap=$(($(tokens_in long | tail -n 1 | cut -f2) - $(tail -n 1 all.want | cut -f2)))
	[ "$gap" -ge 0 ]
	[ "$gap" -le 10 ]
}

@test "tokens by words are four thirds of those that awk counts" {
	local kind
	for kind in pairs text; do
		ingest "$kind" "$kind" --tokens-by words
		agree "$kind" "$kind.tsv" words
		jq -e '.source.tokens == {"by": "words"}' "$kind/manifest.json"
	done
}

@test "tokens by bytes are the default and leave nothing in the manifest" {
	ingest a pairs
	ingest b pairs --tokens-by bytes
	cmp a/00000.samples.npy b/00000.samples.npy
	jq -e '.source | has("tokens") | not' a/manifest.json
}

@test "the same tables at 1 and 3 ranks" {
	need_models
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
	ingest one pairs --tokenizer small.model
	# shellcheck disable=SC2046
	mpirun --oversubscribe -n 3 plait-ingest -q -j1 -k pairs -n one -o three --tokenizer small.model $(shards_of pairs) >/dev/null
	(cd one && sha256sum ./*.npy manifest.json) >one.sums
	(cd three && sha256sum -c --quiet ../one.sums)
}

@test "another model makes other tables, the same one elsewhere does not" {
	need_models
	# shellcheck disable=SC2046
	again() { plait ingest -j1 -k pairs -o p --report report.json "$@" $(shards_of pairs) >/dev/null 2>&1; }
	again
	again --tokenizer small.model
	jq -e '.steps[0].account.units.done == 3 and .steps[0].account.units.resumed == 0' report.json
	cp p/manifest.json before.json
	mkdir elsewhere
	cp small.model elsewhere/copy.model
	again --tokenizer elsewhere/copy.model
	jq -e '.steps[0].account.units.done == 0 and .steps[0].account.units.resumed == 3' report.json
	[ "$(jq -r .digest p/manifest.json)" = "$(jq -r .digest before.json)" ]
	[ "$(jq -r .source.tokens.model p/manifest.json)" = elsewhere/copy.model ]
	cp other.model small.model          # the path is the same, the model is not
	again --tokenizer small.model
	jq -e '.steps[0].account.units.done == 3' report.json
	[ "$(jq -r .digest p/manifest.json)" != "$(jq -r .digest before.json)" ]
	agree p pairs.tsv pieces other.model
}

recipe()     # FILE TOKENIZER BALANCE
{
	cat >"$1" <<-YAML
		name: tokens
		sources:
		  - {name: pairs, shards: "synth/pairs/*.tar", kind: pairs}
		  - {name: text, shards: "synth/text/*.jsonl.zst", kind: text}
		$2
		balance: $3
		image: {policy: center_crop, size: 64, format: webp}
		output: {dir: out, shard_samples: 40}
	YAML
}

# Tokens of all kept samples of the run's corpora.
kept_tokens()
{
	echo $(($(number out/work/pairs "select sum(text_tokens) from samples where verdict = 'keep'") +
	    $(number out/work/text "select sum(text_tokens) from samples where verdict = 'keep'")))
}

written_as_planned()
{
	jq -e '.tokens == .plan.total.tokens and .tokens == ([.shards[].tokens] | add) and .tokens > 0' out/dataset.json
}

@test "a recipe's tokenizer counts in tables, plan and shards" {
	need_models
	recipe r.yaml "tokenizer: {model: small.model}" "{image_tokens: 0}"
	plait run -q -j1 r.yaml >/dev/null
	written_as_planned
	[ "$(jq .tokens out/dataset.json)" = "$(kept_tokens)" ]
	tokens_in out/work/text >have
	tokens_of out/work/text text.tsv pieces small.model >want
	diff have want
	# The same command again has nothing to do; another model makes it another data set.
	expect 0 -- plait run -q -j1 r.yaml
	cp other.model small.model
	expect 3 "another recipe" -- plait run -q -j1 r.yaml
	plait run -q -j1 --force r.yaml >/dev/null
	written_as_planned
	[ "$(jq .tokens out/dataset.json)" = "$(kept_tokens)" ]
}

@test "a recipe counts by words, and without a tokenizer by bytes" {
	recipe r.yaml "tokenizer: {by: words}" "{image_tokens: 0}"
	plait run -q -j1 r.yaml >/dev/null
	written_as_planned
	[ "$(jq .tokens out/dataset.json)" = "$(kept_tokens)" ]
	jq .tokens out/dataset.json >words
	rm -r out
	recipe r.yaml "" "{image_tokens: 0}"
	plait run -q -j1 r.yaml >/dev/null
	written_as_planned
	[ "$(jq .tokens out/dataset.json)" = "$(kept_tokens)" ]
	[ "$(jq .tokens out/dataset.json)" != "$(cat words)" ]
}

@test "a target in tokens is one of the model's" {
	need_models
	recipe r.yaml "tokenizer: {model: small.model}" "{unit: tokens, total: 12000, image_tokens: 0, max_epochs: 0}"
	plait run -q -j1 r.yaml >/dev/null
	written_as_planned
	local kind most
	for kind in pairs text; do
		most=$(number "out/work/$kind" "select max(text_tokens) from samples where verdict = 'keep'")
		jq -e --arg name "$kind" --argjson most "$most" \
		    '.plan.sources[] | select(.name == $name) | .tokens >= 6000 and .tokens < 6000 + $most' out/dataset.json
	done
}

@test "corpora that were counted otherwise are not planned with" {
	recipe r.yaml "tokenizer: {by: words}" "{image_tokens: 0}"
	ingest out/work/pairs pairs --tokens-by words
	ingest out/work/text text
	expect 3 out/work/text "counted by bytes" "by words" -- plait balance -n -c r.yaml
	ingest out/work/text text --tokens-by words
	expect 0 -- plait balance -n -c r.yaml
}

@test "corpora of two models, and a plan whose model is gone" {
	need_models
	recipe r.yaml "tokenizer: {model: small.model}" "{image_tokens: 0}"
	ingest out/work/pairs pairs --tokenizer small.model
	ingest out/work/text text --tokenizer other.model
	expect 3 out/work/text "with another model" -- plait balance -n -c r.yaml
	ingest out/work/text text --tokenizer small.model
	plait balance -q -c r.yaml >/dev/null
	mv small.model gone
	expect 2 small.model "no such model" -- plait pack -j1 -o out out/work/plan.json
	cp other.model small.model
	expect 3 "with another model" -- plait pack -j1 -o out out/work/plan.json
	mv gone small.model
	expect 0 -- plait pack -j1 -o out out/work/plan.json
	written_as_planned
}

@test "options that do not go together" {
	expect 2 "need the file of a model" -- plait ingest -j1 -o x --tokens-by sentencepiece synth/eval/00000.tar
	expect 2 "does nothing unless" -- plait ingest -j1 -o x --tokens-by words --tokenizer captions.txt synth/eval/00000.tar
	expect 2 "does nothing unless" -- plait ingest -j1 -o x --tokens-by bytes --tokenizer captions.txt synth/eval/00000.tar
	expect 2 "pieces" "sentencepiece" -- plait ingest -j1 -o x --tokens-by pieces synth/eval/00000.tar
	# Without SentencePiece no model is read, whatever it is.
	expect 2 captions.txt -- plait ingest -j1 -o x --tokenizer captions.txt synth/eval/00000.tar
	[ ! -e x ]
}

@test "what is no model is refused before anything is made" {
	need_models
	expect 2 captions.txt "is no SentencePiece model" -- plait ingest -j1 -o x --tokenizer captions.txt synth/eval/00000.tar
	head -c 1000 small.model >cut.model
	expect 2 cut.model "is no SentencePiece model" -- plait ingest -j1 -o x --tokenizer cut.model synth/eval/00000.tar
	: >empty.model
	expect 2 empty.model "is no SentencePiece model" -- plait ingest -j1 -o x --tokenizer empty.model synth/eval/00000.tar
	expect 2 nowhere.model "no such model" -- plait ingest -j1 -o x --tokenizer nowhere.model synth/eval/00000.tar
	[ ! -e x ]
	recipe r.yaml "tokenizer: {model: nowhere.model}" "{unit: tokens}"
	expect 2 nowhere.model "no such model" -- plait run -j1 r.yaml
}

@test "wrong tokenizers of recipes" {
	wrong() { recipe r.yaml "$1" "{unit: samples}"; shift; expect 2 "'r.yaml':5:" "$@" -- plait run -j1 r.yaml; [ ! -e out ]; }
	wrong "tokenizer: {by: pieces}" pieces sentencepiece
	wrong "tokenizer: {by: words, model: captions.txt}" "does nothing with 'by: words'"
	wrong "tokenizer: {by: sentencepiece}" "needs 'model'"
	wrong "tokenizer: {model: ''}" "'model' in tokenizer is empty"
	wrong "tokenizer: {}" "'tokenizer' is empty"
	wrong "tokenizer: {modle: captions.txt}" "did you mean 'model'"
	wrong "tokenizer: words" tokenizer
}
