#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Near-duplicate texts: the verdicts against a comparison of all texts with all, the same bytes at any number of ranks,
# the story that plait why tells, and what is refused.

load ../cli/common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	mkdir in
	/usr/bin/python3 "$BATS_TEST_DIRNAME/near_text.py" make in
	plait ingest -q -j1 --kind text -o c in/0000?.jsonl >/dev/null
}

setup()
{
	work_here
	ln -s "$BATS_FILE_TMPDIR/in" in
	cp -r "$BATS_FILE_TMPDIR/c" c
}

check()     # JACCARD: "texts kept near missed"
{
	/usr/bin/python3 "$BATS_TEST_DIRNAME/near_text.py" check "$1" c in/0000?.jsonl
}

sums() { (cd "$1" && sha256sum ./*.dedup*.npy); }

@test "with bands enough, nobody who stays is near another, and everybody who goes is near one who stays" {
	local texts kept near missed
	plait dedup -q --text-near --text-bands 300 --text-rows 2 c
	read -r texts kept near missed <<<"$(check 0.8)"
	[ "$missed" = 0 ] && [ "$near" -gt 30 ] && [ "$kept" -gt 60 ] || fail "$texts texts, $kept kept, $near near, $missed missed"
	plait dedup -q --text-near --text-bands 300 --text-rows 2 --text-jaccard 0.6 c
	read -r texts kept2 near2 missed <<<"$(check 0.6)"
	[ "$missed" = 0 ] && [ "$near2" -gt "$near" ] && [ "$kept2" -lt "$kept" ] || fail "$texts texts, $kept2 kept, $near2 near, $missed missed"
}

@test "the defaults find nearly all, and never a wrong one" {
	local texts kept near missed
	plait dedup -q --text-near c
	read -r texts kept near missed <<<"$(check 0.8)"
	[ "$missed" -le 3 ] && [ "$near" -gt 30 ] || fail "$texts texts, $kept kept, $near near, $missed missed"
}

@test "without --text-near only equal texts go" {
	plait dedup -q c
	[ "$(number c "select count(*) from samples where verdict = 'near_duplicate_text'")" = 0 ]
	[ "$(number c "select count(*) from samples where verdict = 'duplicate_text'")" -gt 5 ]
}

@test "the same bytes at 1, 2, 3 and 5 ranks, corpora of both kinds, in any order" {
	local n
	plait ingest -q -j1 --kind interleaved -o d in/docs.jsonl >/dev/null
	plait dedup -q --text-near c d
	sums c >one
	sums d >two
	# documents have an image more, so they stay and the texts go; of two of them one may go, with its image
	[ "$(number d "select count(*) from samples where verdict = 'near_duplicate_text'")" -gt 0 ]
	[ "$(number d "select count(*) from samples where verdict = 'keep'")" -gt 10 ]
	[ "$(number c "select count(*) from samples where verdict = 'near_duplicate_text'")" -gt 60 ]
	for n in 2 3 5; do
		mpirun --oversubscribe -n "$n" plait-dedup -q --force --text-near c d
		sums c | diff one -
		sums d | diff two -
	done
}

@test "the second run does nothing; other parameters do" {
	plait dedup -q --text-near --report r.json c
	plait dedup -q --text-near --report again.json c
	[ "$(jq '.steps[0].account.units.resumed' again.json)" = 4 ]
	plait dedup -q --text-near --text-jaccard 0.9 --report other.json c
	[ "$(jq '.steps[0].account.units.resumed' other.json)" = 0 ]
	[ "$(jq '.steps[0].account.units.done' other.json)" = 4 ]
	[ "$(jq '.steps[0].text_pairs' other.json)" -lt "$(jq '.steps[0].text_pairs' r.json)" ]
	[ "$(jq '.text_near.jaccard' c/dedup.json)" = 0.9 ]
}

@test "why names the survivor and the Jaccard index" {
	mkdir t
	printf '%s\n' '{"id": "long", "text": "a b c d e f g h i j k l m n o p q r s t u v"}' \
	    '{"id": "short", "text": "a b c d e f g h i j k l m n o p q r s t u"}' '{"id": "else", "text": "x y z"}' >t/00000.jsonl
	plait ingest -q -j1 --kind text -o e t/00000.jsonl >/dev/null
	plait dedup -q --text-near e
	run -0 plait why 'short#1' e
	[[ $output == *"dropped: near_duplicate_text, Jaccard 0.944; kept instead: 'long#0'"* ]] || { show_run; false; }
	run -0 plait why 'else#2' e
	[[ $output == *"dedup: kept"* ]]
}

@test "an evaluation set drops what is near it" {
	mkdir t
	printf '%s\n' '{"id": "e", "text": "a b c d e f g h i j k l m n o p q r s t u"}' >t/eval.jsonl
	printf '%s\n' '{"id": "s", "text": "a b c d e f g h i j k l m n o p q r s t u v"}' '{"id": "s", "text": "x"}' >t/00000.jsonl
	plait ingest -q -j1 --kind text -o e t/eval.jsonl >/dev/null
	plait ingest -q -j1 --kind text -o s t/00000.jsonl >/dev/null
	plait dedup -q --text-near -a e s
	[ "$(number s "select verdict from samples")" = $'evaluation\nkeep' ]
	run -0 plait why 's#0' s e
	[[ $output == *"dropped: evaluation, Jaccard 0.944; kept instead: 'e#0'"* ]] || { show_run; false; }
}

@test "within-only leaves the other corpus alone" {
	plait ingest -q -j1 --kind text -n second -o c2 in/0000?.jsonl >/dev/null
	plait dedup -q --text-near --within-only c c2
	[ "$(number c "select count(*) from samples where verdict = 'keep'")" = "$(number c2 "select count(*) from samples where verdict = 'keep'")" ]
	[ "$(number c "select count(*) from samples where verdict = 'near_duplicate_text'")" -gt 20 ]
}

@test "more candidates than allowed is an error with advice, not a shorter list" {
	expect 3 'candidate pairs' '--text-max-pairs' '--text-rows' -- plait dedup --text-near --text-max-pairs 5 c
	[ ! -e c/00000.dedup.npy ]
	run mpirun --oversubscribe -n 3 plait-dedup --text-near --text-max-pairs 1 c
	[ "$status" -eq 3 ] && [[ $output == *"--text-max-pairs"* ]] || { show_run; false; }
	plait dedup -q --text-near c
}

@test "parameters that do not fit are refused" {
	expect 2 'add --text-near' -- plait dedup --text-jaccard 0.7 c
	expect 2 '--no-text' -- plait dedup --text-near --no-text c
	expect 2 '4096' -- plait dedup --text-near --text-bands 100 --text-rows 100 c
	expect 2 'text-jaccard' -- plait dedup --text-near --text-jaccard 1.5 c
	expect 2 'text-ngram' -- plait dedup --text-near --text-ngram 0 c
}

@test "a text that changed since ingest is noticed" {
	mkdir t
	printf '%s\n' '{"id": "a", "text": "one two"}' '{"id": "b", "text": "six ten"}' >t/00000.jsonl
	touch -d '2020-01-01' t/00000.jsonl
	plait ingest -q -j1 --kind text -o e t/00000.jsonl >/dev/null
	sed -i 's/six/six /;s/ten"/te"/' t/00000.jsonl
	touch -d '2020-01-01' t/00000.jsonl
	expect 3 'ingest again' -- plait dedup --text-near e
}

@test "a recipe has the same keys" {
	cat >r.yaml <<-END
	name: near
	sources:
	  - {name: texts, shards: "in/0000?.jsonl", kind: text}
	dedup: {text_near: true, text_bands: 300, text_rows: 2, text_jaccard: 0.6}
	output: {stage: align, dir: out}
	END
	plait run -q -j1 r.yaml >/dev/null
	plait dedup -q --text-near --text-bands 300 --text-rows 2 --text-jaccard 0.6 c
	(cd c && sha256sum ./*.dedup.npy) >sums
	(cd out/work/texts && sha256sum -c --quiet "$OLDPWD/sums")
	sed -i 's/text_near: true/text_near: true, text: false/' r.yaml
	expect 2 "'r.yaml':4" "'text_near' needs 'text'" -- plait run -j1 r.yaml
	sed -i 's/text: false, text_bands: 300, text_rows: 2/text_bands: 300, text_rows: 200/' r.yaml
	expect 2 "'r.yaml':4" '4096' -- plait run -j1 r.yaml
}
