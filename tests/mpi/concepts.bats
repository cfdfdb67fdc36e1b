#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Balance of concepts: counts and verdicts against a plain reading of the captions in Python, at several numbers of ranks, and what
# happens when the list, the rule or what was kept before changes.

load ../cli/common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -o in -k pairs -n 600 --shard-samples 150 --size 64 --duplicates 0 --broken 0 --seed 5 >/dev/null
	printf '%s\n' a the dog red "a red" and sky with zebra >entries.txt
	recipe metaclip "cap: 30"
	plait ingest -q -j2 -o out/work/pairs 'in/pairs/*.tar' >/dev/null
}

recipe()     # RULE MORE
{
	cat >r.yaml <<YAML
name: concepts
seed: 11
sources:
  - {name: pairs, shards: "in/pairs/*.tar", kind: pairs, concepts: {rule: $1, entries: entries.txt, $2}}
dedup: {enabled: false}
image: {policy: keep_ratio, size: 32, format: webp}
output: {dir: out, shard_samples: 100}
YAML
}

setup()
{
	work_here
	cp -a "$BATS_FILE_TMPDIR"/. .
}

# COUNT<TAB>ENTRY, as concepts.tsv has it.
counts_by_python()
{
	/usr/bin/python3 - <<-'PY'
		import glob, tarfile
		entries = open("entries.txt").read().split("\n")[:-1]
		counts = dict.fromkeys(entries, 0)
		for path in sorted(glob.glob("in/pairs/*.tar")):
		    with tarfile.open(path) as tar:
		        for m in tar:
		            if not m.name.endswith(".txt"):
		                continue
		            text = " " + tar.extractfile(m).read().decode().strip() + " "
		            for c in ",.;:?!`":
		                text = text.replace(c, " " + c + " ")
		            text = text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
		            for e in entries:
		                counts[e] += " " + e + " " in text
		for e in entries:
		    if counts[e]:
		        print(counts[e], e, sep="\t")
	PY
}

tables()
{
	(cd out/work/pairs && sha256sum ./*.concepts.npy ./*.concept-matches.npy concepts.tsv)
}

@test "counts are those of a plain search, and the tables the same at 1, 2, 3 and 5 ranks" {
	local n
	plait balance -q -c r.yaml >/dev/null
	tables >one
	[ "$(number out/work/pairs "select count(*) from samples where status = 'keep'")" -eq 600 ]
	diff <(counts_by_python) out/work/pairs/concepts.tsv
	for n in 2 3 5; do
		mpirun --oversubscribe -n "$n" plait-balance -q --force -c r.yaml >/dev/null
		tables | diff one -
	done
}

@test "metaclip: frequent entries are thinned, rare ones stay, and the account has both reasons" {
	plait balance -q -c r.yaml --report r.json
	local rare capped none kept
	none=$(number out/work/pairs "select count(*) from samples where verdict = 'no_concept'")
	capped=$(number out/work/pairs "select count(*) from samples where verdict = 'concept_capped'")
	kept=$(number out/work/pairs "select count(*) from samples where verdict = 'keep'")
	[ "$none" -gt 0 ] && [ "$capped" -gt 0 ] && [ "$kept" -gt 0 ]
	jq -e --argjson n "$none" --argjson c "$capped" '.steps[0].account.samples.dropped | .no_concept == $n and .concept_capped == $c' r.json
	plait run -q -j2 r.yaml >/dev/null
	[ "$(jq .samples out/dataset.json)" -eq "$kept" ] || fail "$(jq .samples out/dataset.json) samples, $kept kept"
}

@test "llava: of an entry with more samples than the cap exactly the cap stays; of others all" {
	echo red >entries.txt
	recipe llava "cap: 20"
	plait balance -q -c r.yaml >/dev/null
	[ "$(cut -f 1 out/work/pairs/concepts.tsv)" -gt 20 ]
	[ "$(number out/work/pairs "select count(*) from samples where verdict = 'keep'")" -eq 20 ]
	tables >one
	mpirun --oversubscribe -n 3 plait-balance -q --force -c r.yaml >/dev/null
	tables | diff one -
	recipe llava "cap: 100000"
	plait balance -q -c r.yaml >/dev/null
	[ "$(number out/work/pairs "select count(*) from samples where verdict = 'keep'")" -eq "$(cut -f 1 out/work/pairs/concepts.tsv)" ]
	recipe llava "cap: 100000, least: 100000"
	expect 2 "no sample is left to draw" -- plait balance -q -c r.yaml
}

@test "a mined list has the frequent words and pairs of words, the same at 1, 2 and 3 ranks" {
	local n
	sed -i 's/entries: entries.txt, cap: 30/mine: {unigrams: 40, bigrams: 40, pmi: 2}, cap: 30/' r.yaml
	plait balance -q -c r.yaml >/dev/null
	tables >one
	for n in 2 3; do
		mpirun --oversubscribe -n "$n" plait-balance -q --force -c r.yaml >/dev/null
		tables | diff one -
	done
	/usr/bin/python3 - <<-'PY' >wanted.txt
		import glob, tarfile
		from collections import Counter
		words, pairs = Counter(), Counter()
		for path in glob.glob("in/pairs/*.tar"):
		    with tarfile.open(path) as tar:
		        for m in tar:
		            if not m.name.endswith(".txt"):
		                continue
		            text = tar.extractfile(m).read().decode().strip()
		            for c in ",.;:?!`":
		                text = text.replace(c, " " + c + " ")
		            tokens = text.split(" ")
		            good = [any(ch.isalnum() or ord(ch) > 127 for ch in t) for t in tokens]
		            words.update(t for t, g in zip(tokens, good) if g)
		            pairs.update(a + " " + b for a, b, g, h in zip(tokens, tokens[1:], good, good[1:]) if g and h)
		n = sum(words.values())
		entries = [w for w in words if words[w] >= 40]
		entries += [p for p in pairs if pairs[p] >= 40 and pairs[p] * n >= 4 * words[p.split(" ")[0]] * words[p.split(" ")[1]]]
		print("\n".join(sorted(entries, key=lambda e: e.encode())))
	PY
	diff wanted.txt <(cut -f 2 out/work/pairs/concepts.tsv)
	grep -q " " wanted.txt
	sed -i 's/unigrams: 40, bigrams: 40/unigrams: 1M/' r.yaml
	expect 2 "no word of its" "ask for less" -- plait balance -q -c r.yaml
}

@test "what is finished is not done again; another list, seed or filter begins anew; a recipe without concepts takes verdicts away" {
	plait balance -q -c r.yaml >/dev/null
	local before
	before=$(stat -c %Y.%i out/work/pairs/concepts.tsv)
	plait balance -q -c r.yaml >/dev/null
	[ "$(stat -c %Y.%i out/work/pairs/concepts.tsv)" = "$before" ]
	tables >one
	plait balance -q -c r.yaml --seed 12
	! tables | diff -q one - >/dev/null
	plait filter -q -w "width > 1" out/work/pairs >/dev/null
	[ -z "$(find out/work/pairs -name '*.concepts.npy')" ]
	plait balance -q -c r.yaml >/dev/null
	[ -n "$(find out/work/pairs -name '*.concepts.npy')" ]
	sed -i 's/, concepts: {[^}]*}//' r.yaml
	plait balance -q -c r.yaml >/dev/null
	[ -z "$(find out/work/pairs -name '*.concept*')" ]
}

@test "plait why tells which rule dropped a sample" {
	plait balance -q -c r.yaml >/dev/null
	local key
	for key in $(plait ls in/pairs/*.tar | head -n 40); do
		plait why "${key##*$'\t'}" out/work/pairs >told 2>/dev/null || continue
		if grep -q ": concept_capped" told; then
			grep -q "concepts: concept_capped (its concepts are frequent" told
			return 0
		fi
	done
	cat told >&2
	fail "no capped sample among the first"
}

@test "wrong lists and keys are refused with what would be right" {
	: >entries.txt
	expect 2 "entries.txt" "is empty" -- plait balance -q -c r.yaml
	rm entries.txt
	expect 3 "entries.txt" -- plait balance -q -c r.yaml
	recipe metaclip "least: 2"
	expect 2 "'least' in concepts does nothing without 'rule: llava'" "'r.yaml':4:" -- plait balance -q -c r.yaml
	sed -i 's/entries: entries.txt, least: 2/cap: 2/' r.yaml
	expect 2 "need either 'entries'" "'r.yaml':4:" -- plait balance -q -c r.yaml
	recipe metaclop "cap: 2"
	expect 2 "metaclop" "metaclip" -- plait balance -q -c r.yaml
}
