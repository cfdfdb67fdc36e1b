#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Text statistics as columns, published filters by name, rules in the report, and scores from side files.

load common

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	plait ingest -q -j1 -c similarity -o pairs set/pairs/0000{0..3}.tar >/dev/null
	plait ingest -q -j1 -o docs set/docs.tar >/dev/null
	# A score for every sample of pairs, and one for nobody; the first key comes again.
	/usr/bin/python3 - <<-'PY'
		import glob, tarfile
		rows = ["key,clip,punsafe"]
		for shard in sorted(glob.glob("set/pairs/*.tar")):
		    for i, name in enumerate(n for n in tarfile.open(shard).getnames() if n.endswith(".json")):
		        rows.append(f"{name[:-5]},{i % 10 / 20},{i % 4 / 4}")
		open("scores.csv", "w").write("\n".join(rows + ["nobody,1,1", rows[1].split(",")[0] + ",9,9", "short"]) + "\n")
	PY
	gzip -k scores.csv
}

setup()
{
	work_here
	cp -r "$BATS_FILE_TMPDIR/pairs" "$BATS_FILE_TMPDIR/docs" .
	cp "$BATS_FILE_TMPDIR"/scores.csv* .
	ln -s "$SET" set
}

@test "text statistics are columns" {
	/usr/bin/python3 - <<-'PY'
		import json
		texts = ["see http://a.b and www.c.d", "na na na na na na na na na na na na na na na na", "Ein brauner Hund läuft am Strand entlang, "
		         "während zwei Kinder ihm vom Wasser aus zusehen.", "一只狗", "1234 5678"]
		open("t.jsonl", "w").write("".join(json.dumps({"text": t}) + "\n" for t in texts))
	PY
	plait ingest -q -j1 -k text -o t t.jsonl >/dev/null
	[ "$(number t "select group_concat(text_chars, ' ') from samples" | xargs)" = "26 47 89 3 9" ]
	[ "$(number t "select group_concat(urls, ' ') from samples")" = "2 0 0 0 0" ]
	[ "$(number t "select round(char_repetition, 4), word_repetition from samples where row = 1")" = "$(printf '0.3421\t1.0')" ]
	[ "$(number t "select digit_ratio = 1.0 * 8 / 9 from samples where row = 4")" = 0 ]     # single precision, to seven places
	[ "$(number t "select digit_ratio = 0.8888889 and alnum_ratio = 0.8888889 and special_ratio = 1 from samples where row = 4")" = 1 ]
	[ "$(number t "select group_concat(script, ' ') from samples")" = "Latn Latn Latn Hani" ]
	[ "$(number t "select script is null and language is null from samples where row = 4")" = 1 ]
	[ "$(number t "select language, language_margin > 0 from samples where row = 2")" = "$(printf 'de\t1')" ]
	[ "$(number t "select count(*) from samples where language is null")" = 4 ]
	jq -e '.source.language | startswith("libexttextcat")' t/manifest.json
	jq -e '.source.script | startswith("libunistring")' t/manifest.json
}

@test "fingerprints of languages are looked for where one says" {
	PLAIT_LANGUAGES=/nonexistent expect 3 "/nonexistent" "fingerprints" -- plait ingest -j1 -o new set/docs.tar
	mkdir some
	cp /usr/share/libexttextcat/{en,de}.lm some/ || skip "no fingerprints"
	PLAIT_LANGUAGES=some plait ingest -q -j1 -o new set/docs.tar >/dev/null
	jq -e '.source.language | contains(" 2 languages")' new/manifest.json
	# Other fingerprints make other tables.
	expect 0 "1 done, 0 found done" -- plait ingest -j1 -o new set/docs.tar
}

@test "presets are listed with their rules, and what is not applied" {
	run --separate-stderr plait filter --list-presets
	[ "$status" -eq 0 ]
	local name
	for name in datacomp-basic laion coyo align mmc4 obelics omnicorpus m3w; do
		grep -q "^$name: " <<<"$output"
	done
	[ "$(grep -c '  not applied: ' <<<"$output")" -eq 8 ]
	expect 2 "no filter preset 'koyo'" "did you mean 'coyo'" -- plait filter pairs -p koyo
}

@test "the first rule that does not hold drops; counts add up in the text, the report, SQL and why" {
	run --separate-stderr plait filter pairs -p align -w 'row % 2 = 0' --report r.json
	[ "$status" -eq 0 ]
	jq '.steps[0]' r.json
	local n dropped
	n=$(number pairs "select count(*) from samples where status = 'keep'")
	jq -e --argjson n "$n" '.steps[0].filters[0].rules | .[0].tested == $n and ([range(1; length) as $i | .[$i].tested == .[$i-1].tested - .[$i-1].dropped] | all)' r.json
	jq -e '.steps[0] | (.filters[0].rules | map(.dropped) | add) == .account.samples.dropped.filtered' r.json ||
	    jq -e '.steps[0] | (.filters[0].rules | map(.dropped) | add) as $d | .account | tostring | contains("\"filtered\":" + ($d | tostring))' r.json
	# What holds regardless of the rules before.
	jq -e --argjson n "$(number pairs "select count(*) from samples where status = 'keep' and row % 2 = 0")" '.steps[0].filters[0].rules[-1] |
	    .rule == "where" and .holds == $n and (has("preset") | not)' r.json
	jq -e '.steps[0].filters[0].not_applied[0].preset == "align"' r.json
	jq -r '.steps[0].filters[0].rules[] | select(.dropped > 0) | "\(if .preset then .preset + "/" else "" end)\(.rule) \(.dropped)"' r.json | sort >want
	plait sql --no-header pairs -e "select rule || ' ' || count(*) from samples where rule is not null group by rule" | sort | diff - want
	grep -q "align/min_side: [0-9]* samples tested, [0-9]* passed, [0-9]* dropped: min(width, height) > 200" <<<"$stderr"
	grep -q "of align is not applied: " <<<"$stderr"
	# Done before: the same report.
	plait filter -q pairs -p align -w 'row % 2 = 0' --report again.json >/dev/null
	diff <(jq '.steps[0].filters' r.json) <(jq '.steps[0].filters' again.json)
	# why has the name.
	local key
	key=$(tar tf set/pairs/00000.tar | sed -n 's/\.txt$//p' | head -n 1)
	plait filter -q pairs -w 'width > 5000' >/dev/null
	plait why "$key" pairs | grep "filter: dropped by the rule where"
	plait filter -q pairs -p align >/dev/null
	plait why "$key" pairs | grep "filter: dropped by the rule align/min_side"
	plait filter -q pairs >/dev/null
	plait why "$key" pairs | grep "filter: has not judged"
	[ ! -e pairs/filter.json ]
}

@test "rules for images come before those for samples" {
	plait filter -q docs -i 'position < 1' -w 'images_kept = 1 and images > 1' --report r.json >/dev/null
	jq -e '.steps[0].filters[0].rules | map(.on) == ["images", "samples"]' r.json
	[ "$(number docs "select count(*) from samples where verdict = 'keep'")" = "$(number docs "select count(*) from samples where images > 1 and images_ok > 0 and status = 'keep'")" ]
	[ "$(number docs "select count(*) from images where rule = 'image_where'")" = "$(number docs "select count(*) from images where position > 0 and status = 'keep'")" ]
}

@test "a score that is not there is an error that says what to give, or a rule that is left out loudly" {
	expect 2 "preset coyo, rule nsfw needs a column with the NSFW score" "nsfw_score_opennsfw2" "--scores" "--missing skip" -- plait filter pairs -p coyo
	[ ! -e pairs/filter.json ]
	run --separate-stderr plait filter pairs -p coyo --missing skip --report r.json
	[ "$status" -eq 0 ]
	grep -q "warning: 'pairs': coyo/nsfw is skipped: the corpus has no NSFW score" <<<"$stderr"
	jq -e '.steps[0].filters[0].skipped == [{"rule": "nsfw", "needs": "NSFW score", "preset": "coyo"}]' r.json
	# A metadata column of the samples' JSON is a score as well as any.
	plait filter -q pairs -p laion >/dev/null
	jq -e '.rules[] | select(.rule == "clip") | .where | startswith("\"similarity\" >= case")' pairs/filter.json
}

@test "a language that was not told is a score that is not there" {
	plait ingest -q -j1 -o told set/docs.tar >/dev/null
	jq '.source.language = null' told/manifest.json >m && mv m told/manifest.json
	expect 2 "languages were not told" -- plait filter told -p m3w
	expect 0 "m3w/english is skipped" -- plait filter told -p m3w --missing skip
}

@test "scores are joined by key, and counted on both sides" {
	run --separate-stderr plait filter pairs --scores scores.csv.gz --score-column punsafe --score-column clip -p coyo -w 'clip >= 0.2' --report r.json
	[ "$status" -eq 0 ] || { show_run; false; }
	local n
	n=$(number pairs "select count(*) from samples")
	jq -e --argjson n "$n" '.steps[0].scores | .rows == $n + 2 and .bad_rows == 1 and .repeated_rows == 1 and .unmatched_rows == 1 and
	    .matched_samples == $n and .unmatched_samples == 0 and .columns == ["punsafe", "clip"]' r.json
	jq -e '.steps[1].filters[0].rules[] | select(.rule == "nsfw").where == "\"punsafe\" <= 0.5"' r.json
	[ "$(number pairs "select count(*) from samples where clip = 9")" = 0 ]     # the first row of a key counts
	[ "$(number pairs "select count(*) from samples where clip is null or punsafe is null")" = 0 ]
	jq -e --argjson n "$(number pairs "select count(*) from samples where punsafe <= 0.5")" '.steps[1].filters[0].rules[] | select(.rule == "nsfw").holds == $n' r.json
	[ -z "$(ls pairs | grep -E 'scores-|tmp')" ]
	# Known again, and not joined again.
	touch -d '2020-01-01' pairs/00000.scores.npy
	plait filter -q pairs --scores scores.csv.gz --score-column punsafe --score-column clip -w 'clip >= 0.2' >/dev/null
	[ pairs/00000.scores.npy -ot scores.csv ]
	# Another ingest has other rows: the scores are gone, and a rule that needs them says so.
	plait ingest -q -j1 -c similarity --force -o pairs set/pairs/0000{0..3}.tar >/dev/null
	expect 2 "no such column: clip" -- plait filter pairs -w 'clip > 0'
}

@test "a sample without a score does not pass a rule about it" {
	head -n 5 scores.csv >few.csv
	plait filter -q pairs --scores few.csv --score-column clip -w 'clip >= 0' --report r.json >/dev/null
	jq -e '.steps[0].scores.matched_samples == 4' r.json
	[ "$(number pairs "select count(*) from samples where verdict = 'keep'")" = 4 ]
	[ "$(number pairs "select count(*) from samples where clip is null")" = "$(($(number pairs "select count(*) from samples") - 4))" ]
}

@test "scores by another field of the samples, in JSON lines" {
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import json, sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		shard = corpora.Shard("u.tar")
		for i in range(4):
		    shard.add(f"{i}.jpg", corpora.encoded(corpora.picture(i)))
		    shard.add(f"{i}.json", json.dumps({"caption": "a", "uid": f"id{i}" if i < 3 else i}))
		shard.close()
		open("s.jsonl", "w").write("".join(json.dumps({"uid": u, "clip": c}) + "\n" for u, c in [("id2", 0.2), ("id0", 0.1), (3, 0.5), ("0", 1)]))
	PY
	plait ingest -q -j1 -k pairs --id uid --scores s.jsonl --score-key uid --score-column clip -o u u.tar >/dev/null
	[ "$(number u "select group_concat(ifnull(clip, 'none'), ' ') from samples")" = "0.1 none 0.2 0.5" ]
}

@test "files of scores that are wrong cost nothing that was there" {
	plait filter -q pairs --scores scores.csv --score-column clip -w 'clip >= 0.2' >/dev/null
	sha256sum pairs/*.npy pairs/*.json >before
	expect 3 "no column 'klip'" "key, clip, punsafe" -- plait filter pairs --scores scores.csv --score-column klip
	expect 2 "which columns" -- plait filter pairs --scores scores.csv
	expect 2 "no file of scores" -- plait filter pairs --score-column clip
	expect 2 "metadata column" -- plait filter pairs --scores scores.csv --score-column similarity
	cp scores.csv scores.parquet
	expect 3 "no file of scores by its name" -- plait filter pairs --scores scores.parquet --score-column clip
	head -c 200 scores.csv.gz >cut.csv.gz
	expect 3 "cut.csv.gz" -- plait filter pairs --scores cut.csv.gz --score-column clip
	sha256sum -c --quiet before
	# Damage that shows later: no half of the scores stays.
	{ head -n 50 scores.csv; printf '"open,1,1\n'; } >open.csv
	expect 3 "'open.csv':51:" "quoted field" -- plait filter pairs --scores open.csv --score-column clip
	[ ! -e pairs/scores.json ]
	[ -z "$(ls pairs | grep scores.npy)" ]
}

@test "the same scores and verdicts at any number of ranks" {
	split -n l/5 --additional-suffix=.csv scores.csv part.
	local f
	for f in part.a[b-e].csv; do
		{ head -n 1 scores.csv; cat "$f"; } >x && mv x "$f"
	done
	cp -r pairs three
	plait filter -q pairs --scores 'part.*.csv' --score-column clip -p align -w 'clip >= 0.2' --report one.json >/dev/null
	mpirun -n 3 plait-filter -q three --scores 'part.*.csv' --score-column clip -p align -w 'clip >= 0.2' --report three.json >/dev/null
	(cd pairs && sha256sum ./*.npy *.json) | (cd three && sed 's/"pairs"/"three"/' | sha256sum -c --quiet)
	diff <(jq '.steps[1].filters' one.json) <(jq '.steps[1].filters' three.json)
	diff <(jq '.steps[0].scores' one.json) <(jq '.steps[0].scores' three.json)
}

recipe()     # KEYS...: of the source
{
	cat >r.yaml <<-YAML
		name: t
		sources:
		  - {name: pairs, shards: "set/pairs/*.tar", kind: pairs, $1}
		output: {stage: align, dir: out}
	YAML
}

@test "a recipe names presets and files of scores" {
	recipe 'filter: m3w, scores: scores.csv, score_columns: [clip, punsafe], where: "clip < 0.4", image_where: "width > 1"'
	expect 0 "m3w/english" "where: " -- plait run -j1 -n r.yaml
	[ "$(number out/work/pairs "select count(*) = count(clip >= 0.4) from samples where rule = 'where'")" = 1 ]
	[ "$(number out/work/pairs "select count(*) from samples where rule = 'where'")" -gt 0 ]
	recipe 'where: "clip < 0.4"'
	expect 2 "'r.yaml':3:" "no such column: clip" -- plait run -j1 -n r.yaml
	recipe 'filter: coyo'
	expect 2 "preset coyo, rule nsfw" "filter_missing: skip" -- plait run -j1 -n r.yaml
	recipe 'filter: omnicorpus, filter_missing: skip, where: "width > 1"'
	expect 2 "omnicorpus/nsfw is skipped" "omnicorpus/aesthetic is skipped" "no sample is left" -- plait run -j1 -n r.yaml
	[ ! -e out/work/pairs/scores.json ]
}

@test "wrong values of these keys are refused with their line" {
	recipe 'filter: koyo'
	expect 2 "'r.yaml':3:" "koyo" "did you mean 'coyo'" -- plait run -j1 r.yaml
	recipe 'filter: [coyo, coyo]'
	expect 2 "'r.yaml':3:" "names filter 'coyo' twice" -- plait run -j1 r.yaml
	recipe 'filter: coyo, filter_missing: ignore'
	expect 2 "'r.yaml':3:" "filter_missing" "error" "skip" -- plait run -j1 r.yaml
	recipe 'scores: s.csv'
	expect 2 "'r.yaml':3:" "score_columns" -- plait run -j1 r.yaml
	recipe 'score_columns: [clip]'
	expect 2 "'r.yaml':3:" "no 'scores'" -- plait run -j1 r.yaml
	recipe 'scores: s.csv, score_columns: [clip, Clip]'
	expect 2 "'r.yaml':3:" "named twice" -- plait run -j1 r.yaml
	recipe 'scores: s.csv, score_columns: [status]'
	expect 2 "'r.yaml':3:" "status" -- plait run -j1 r.yaml
	[ ! -e out ]
}

@test "real documents in English and Chinese are told apart" {
	shared_data
	plait ingest -q -j1 -o web "$PLAIT_SHARED_DATA"/mmc4/webdocs-*.tar >/dev/null
	[ "$(number web "select count(*) from samples where shard like '%18f%' and language = 'en' and script = 'Latn'")" = 74 ]
	[ "$(number web "select count(*) from samples where shard like '%howto%' and script = 'Hani'")" = 68 ]
	[ "$(number web "select count(*) >= 62 from samples where shard like '%howto%' and language = 'zh'")" = 1 ]
	plait filter -q web -p m3w >/dev/null
	[ "$(number web "select count(*) from samples where shard like '%howto%' and verdict = 'keep'")" = 0 ]
}
