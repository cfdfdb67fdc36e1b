#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Strategies, groups inside a source, what is missing, and the report: through the tools, held to their definitions by the tables.

load ../cli/common

setup_file()
{
	cd "$BATS_FILE_TMPDIR" || return 1
	plait synth -q -n 300 --shard-samples 75 --size 64 --broken 0.1 -o s >/dev/null
}

setup()
{
	work_here
	ln -s "$BATS_FILE_TMPDIR/s" s
}

BY="case when text_bytes < 170 then 'short' when text_bytes < 180 then 'middle' else 'long' end"

recipe()     # FILE BALANCE [PAIRS_KEYS [DOCS_KEYS [TEXT_KEYS]]]: three sources
{
	cat >"$1" <<-YAML
	name: test
	seed: ${SEED:-7}
	sources:
	  - {name: p, shards: s/pairs/*.tar, kind: pairs${3:-}}
	  - {name: d, shards: s/interleaved/*.tar, kind: interleaved${4:-}}
	  - {name: t, shards: s/text/*, kind: text${5:-}}
	balance: {$2}
	image: {policy: center_crop, size: 32, format: webp}
	output: {dir: out, work: w, shard_samples: 29}
	YAML
}

plan_of()     # RECIPE: the plan's member of the report, as --dry-run gives it
{
	plait run -q -j1 --dry-run --report report.json "$1" && jq '.steps[-1].plan' report.json
}

@test "temperature and UniMax give what their definitions say, in each unit" {
	local unit
	for unit in samples images tokens; do
		recipe r.yaml "unit: $unit, strategy: temperature, alpha: 0.3, total: 700" ", weight: 2" "" ", weight: 0"
		[ $unit != images ] || sed -i 's/, weight: 0}/, repeat: 0.5}/' r.yaml
		plan_of r.yaml >t.json
		recipe u.yaml "unit: $unit, strategy: unimax, max_epochs: 2, total: 900" "" "" ", repeat: 3"
		plan_of u.yaml >u.json
		/usr/bin/python3 - $unit w/plan.json <<-'PY'
			import json, sys
			unit = sys.argv[1]
			t, u = (json.load(open(f)) for f in ("t.json", "u.json"))
			assert [s["name"] for s in t["sources"]] == ["p", "d", "t"]
			per = {"samples": "drawn", "images": "images", "tokens": "tokens"}[unit]
			def size(s):      # units of one pass, from what a plan of whole passes holds
			    return {"samples": s["kept"]}.get(unit) or s[per] / s["epochs"]
			slack = {"samples": 1, "images": 6, "tokens": 6000}[unit]
			a, b, c = t["sources"]
			assert abs(c["epochs"] - (0.5 if unit == "images" else 1)) < 0.01, c
			assert 700 <= a[per] + b[per] + 1e-9 < 700 + 2 * slack
			if unit == "samples":
			    w = [2 * size(a) ** 0.3, size(b) ** 0.3]
			    assert abs(a[per] - 700 * w[0] / sum(w)) < 1, (a, b)
			a, b, c = u["sources"]
			assert c["epochs"] == 3 and c["drawn"] == 3 * c["kept"]
			if unit == "samples":
			    small, large = sorted([a, b], key=size)
			    first = min(450, 2 * size(small))
			    assert small["drawn"] == first and large["drawn"] == 900 - first, (small, large)
			for s in t["sources"] + u["sources"]:
			    assert s["available"] == 300 >= s["after_filter"] >= s["after_dedup"] >= s["kept"] > 0
			for plan in t, u:
			    for what, key in (("samples", "drawn"), ("images", "images"), ("tokens", "tokens")):
			        total = plan["total"][key]
			        assert total == sum(s[key] for s in plan["sources"])
			        for s in plan["sources"]:
			            assert abs(s["share"][what] - s[key] / total) < 1e-12
		PY
	done
	recipe all.yaml "strategy: all" ", repeat: 2.5"
	plan_of all.yaml | jq -e '[.sources[] | .epochs] == [2.5, 1, 1] or ([.sources[1:][] | .epochs] == [1, 1] and (.sources[0].epochs - 2.5 | fabs) < 0.01)'
}

@test "a total that UniMax cannot give is refused, with how much is lacking" {
	recipe r.yaml "strategy: unimax, max_epochs: 2, total: 1M"
	run --separate-stderr plait run -q -j1 --dry-run r.yaml
	[ "$status" -eq 2 ]
	local most
	most=$(grep -o 'largest total possible is [0-9]*' <<<"$stderr" | grep -o '[0-9]*$')
	[[ $stderr == *"give $most within their epochs, $((1000000 - most)) too few"* ]] || fail "$stderr"
	sed -i "s/1M/$most/" r.yaml
	plan_of r.yaml | jq -e '[.sources[].epochs] == [2, 2, 2]'
	sed -i "s/total: $most/total: $((most + 1))/" r.yaml
	expect 2 "1 too few" -- plait run -q -j1 --dry-run r.yaml
}

@test "groups: each output shard holds the mixture, each sample its passes, at any number of ranks" {
	recipe r.yaml "total: 900, max_epochs: 4" \
	    ", weight: 2, groups: {by: \"$BY\", weights: {short: 3, long: 1}, other: keep}" ", weight: 1, groups: {by: images, strategy: temperature, alpha: 0.5}" ", repeat: 1.5"
	local n reference
	for n in 1 2 3 5; do
		rm -rf out w
		mpirun --oversubscribe -n $n plait-run -q -j1 r.yaml >/dev/null
		[ $n -gt 1 ] || reference=$(bytes_of out; cat w/*/*.groups.npy w/*/groups.json | sha256sum; sha256sum <w/plan.json)
		[ "$(bytes_of out; cat w/*/*.groups.npy w/*/groups.json | sha256sum; sha256sum <w/plan.json)" = "$reference" ] || fail "other bytes at $n ranks"
	done
	expect 0 -- plait verify --deep -q -j1 out
	/usr/bin/python3 - <<-'PY'
		import collections, glob, io, json, subprocess, tarfile
		data = json.load(open("out/dataset.json"))
		plan = {(s["name"], g["group"]): g for s in data["plan"]["sources"] for g in s.get("groups", [dict(s, group="")])}
		def group(sample):
		    if sample["source"] == "p":
		        text = sum(len(s["text"].encode()) for s in sample["segments"] if s["type"] == "text")
		        return "short" if text < 170 else "(other)" if text < 180 else "long"
		    return str(GROUPS[sample["origin"]["shard"], sample["origin"]["key"]]) if sample["source"] == "d" else ""
		# the documents' groups by their shards: images that the JSON names, in whatever state
		GROUPS = {}
		for path in sorted(glob.glob("s/interleaved/*.tar")):
		    for member in (tar := tarfile.open(path)):
		        if member.name.endswith(".json"):
		            try:
		                doc = json.load(tar.extractfile(member))
		                n = len(doc["image_info"]) if "text_list" in doc else sum(i is not None for i in doc["images"])
		            except Exception:
		                n = 0
		            GROUPS[path.split("/")[-1].split(".")[0], member.name.rsplit(".", 1)[0]] = n
		drawn, passes, shards = collections.Counter(), collections.Counter(), sorted(glob.glob("out/*.tar.zst"))
		for k, path in enumerate(shards):
		    here, tar = collections.Counter(), tarfile.open(fileobj=io.BytesIO(subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout))
		    for member in tar:
		        if member.name.endswith(".json"):
		            sample = json.load(tar.extractfile(member))
		            here[sample["source"], group(sample)] += 1
		            passes[sample["source"], group(sample), sample["origin"]["shard"], sample["origin"]["key"]] += 1
		    for entry, g in plan.items():
		        share = g["drawn"] / len(shards)
		        assert share - 1 < here[entry] < share + 1, (path, entry, here[entry], share)
		    drawn += here
		assert {e: n for e, n in drawn.items()} == {e: g["drawn"] for e, g in plan.items() if g["drawn"]}, (drawn, plan)
		for (source, name, *_), times in passes.items():
		    assert plan[source, name]["drawn"] // plan[source, name]["kept"] <= times <= -(-plan[source, name]["drawn"] // plan[source, name]["kept"])
		p, d, t = data["plan"]["sources"]
		assert p["drawn"] == 600 and d["drawn"] == 300 and abs(t["drawn"] - 1.5 * t["kept"]) < 1, (p, d, t)
		short, long_, other = (plan["p", n]["drawn"] for n in ("short", "long", "(other)"))
		assert abs(short - 3 * long_) <= 3, (short, long_)
		kept = {n: plan["p", n]["kept"] for n in ("short", "long", "(other)")}
		assert abs(other / 600 - kept["(other)"] / sum(kept.values())) < 0.01, (other, kept)
		groups = [g for g in d["groups"] if g["kept"]]
		roots = sum(g["kept"] ** 0.5 for g in groups)
		assert len(groups) >= 3 and all(abs(g["drawn"] - 300 * g["kept"] ** 0.5 / roots) < 1 for g in groups), groups
		for s in data["sources"]:
		    for g in s.get("groups", []):
		        assert g["in"] == sum(g["dropped"].values()) + g["kept"] and g["drawn"] == g["out"] + sum(g["dropped_at_packing"].values())
		    for key in ("in", "kept", "drawn", "out", "not_drawn", "repeated", "images_out") if "groups" in s else ():
		        assert s[key] == sum(g[key] for g in s["groups"]), (key, s)
	PY
}

@test "only the seed changes: the same numbers, another order" {
	recipe a.yaml "total: 500, max_epochs: 3" ", groups: {by: \"$BY\", strategy: equal}"
	SEED=8 recipe b.yaml "total: 500, max_epochs: 3" ", groups: {by: \"$BY\", strategy: equal}"
	sed -i 's/dir: out/dir: out2/' b.yaml
	plait run -q -j1 a.yaml >/dev/null
	plait run -q -j1 b.yaml >/dev/null
	local numbers='[.plan.sources[] | ., .groups[]? | [.name, .group, .available, .after_filter, .kept, .drawn, .epochs, .share.samples]]'
	[ "$(jq -c "$numbers" out/dataset.json)" = "$(jq -c "$numbers" out2/dataset.json)" ]
	[ "$(bytes_of out)" != "$(bytes_of out2)" ]
	[ "$(jq -c '[.shards[].samples]' out/dataset.json)" = "$(jq -c '[.shards[].samples]' out2/dataset.json)" ]
}

@test "tables of groups are made once, again for another expression, and a plan of others is refused" {
	recipe r.yaml "max_epochs: 1" ", groups: {by: \"$BY\", strategy: equal}"
	plait run -q -j1 --dry-run r.yaml
	plait balance -q -c r.yaml >/dev/null
	local before
	before=$(stat -c '%n %y %i' w/p/*.groups.npy w/p/groups.json)
	plait balance -q -c r.yaml >/dev/null
	[ "$(stat -c '%n %y %i' w/p/*.groups.npy w/p/groups.json)" = "$before" ]
	rm w/p/00001.groups.npy
	expect 3 "00001.groups.npy" -- plait pack -q -j1 w/plan.json -o out
	plait balance -q -c r.yaml >/dev/null
	[ -e w/p/00001.groups.npy ]
	cp w/plan.json old.json
	sed -i 's/text_bytes < 170/text_bytes < 172/' r.yaml
	plait balance -q -c r.yaml >/dev/null
	expect 3 "have changed since the plan was made" -- plait pack -q -j1 old.json -o out
	expect 0 -- plait pack -q -j1 w/plan.json -o out
}

@test "expressions of groups that are wrong are refused before anything is made" {
	local by
	for by in "text_byte" "count(*)" "select 1" "text_bytes)"; do
		recipe r.yaml "max_epochs: 1" ", groups: {by: \"$by\", strategy: equal}"
		expect 2 "expression" -- plait run -q -j1 --dry-run r.yaml
		[ ! -e w/p/groups.json ]
	done
	recipe r.yaml "max_epochs: 1" ", groups: {by: \"printf('%0200d', row)\", strategy: equal}"
	expect 2 "at most 128 bytes" -- plait run -q -j1 --dry-run r.yaml
	recipe r.yaml "max_epochs: 1" ", groups: {by: \"iif(row > 3, null, 'few')\", weights: {few: 1, none: 1}}"
	expect 2 "group 'p/none' is asked for a share of 50% but has no samples left" -- plait run -q -j1 --dry-run r.yaml
	recipe r.yaml "max_epochs: 1" ", groups: {by: \"iif(row > 3, null, 'few')\", weights: {few: 1, (null): 1}}"
	plan_of r.yaml | jq -e '.sources[0].groups | map(.group) == ["few", "(null)"]'
}

@test "pairs without their image or caption: dropped, kept or texts, and counted" {
	mkdir in
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		shard = corpora.Shard("in/a.tar")
		for i in range(40):
		    if i % 4 != 1:
		        data = corpora.encoded(corpora.picture(i))
		        shard.add(f"k{i:02d}.jpg", data[:300] if i % 4 == 2 else data)
		    if i % 4 != 3 or i > 35:
		        shard.add(f"k{i:02d}.txt", f"caption number {i}, of its own")
		    if i % 4 == 1:
		        shard.add(f"k{i:02d}.json", "{}")
		shard.close()
	PY
	local rules kept
	for rules in ",11,0" ", missing_image: text,31,20" ", missing_image: keep,31,0" ", missing_text: keep,20,0" \
	    ", missing_image: text, missing_text: keep,40,20" ", missing_image: text, where: \"text_bytes > 28\",23,15"; do
		IFS=, read -r -a kept <<<"$(rev <<<"$rules" | cut -d, -f1,2 | rev)"
		rules=${rules%,*,*}
		cat >r.yaml <<-YAML
		name: t
		sources: [{name: a, shards: in/a.tar, kind: pairs$rules}]
		dedup: {near: false}
		output: {dir: out, work: w}
		YAML
		rm -rf out
		plait run -q -j1 --report report.json r.yaml >/dev/null
		[ "$(jq -c '.sources[0] | [.out, .demoted_to_text]' out/dataset.json)" = "[${kept[0]},${kept[1]}]" ] || { jq .sources out/dataset.json >&2; fail "$rules"; }
		[ "$(jq -c '.plan.total | [.kept, .demoted_to_text]' out/dataset.json)" = "[${kept[0]},${kept[1]}]" ]
		zstd -dcq out/000000.tar.zst | tar xO --wildcards '*.json' | jq -s -c 'group_by([.kind, .images]) | map([.[0].kind, .[0].images, length])' >kinds
		case $rules in
		*"image: text, missing_text"*) [ "$(cat kinds)" = '[["pairs",1,20],["text",0,20]]' ] ;;
		*"image: text"*) [ "$(jq -c 'map(select(.[0] == "text"))' kinds)" = "[[\"text\",0,${kept[1]}]]" ] ;;
		*"image: keep"*) [ "$(cat kinds)" = '[["pairs",0,20],["pairs",1,11]]' ] ;;
		*) [ "$(cat kinds)" = "[[\"pairs\",1,${kept[0]}]]" ] ;;
		esac
		expect 0 -- plait verify --deep -q -j1 out
	done
}

@test "dry runs print the table and write neither plan nor data set" {
	recipe r.yaml "strategy: unimax, max_epochs: 2" ", groups: {by: \"$BY\", strategy: unimax}"
	expect 0 "after filter" "after dedup" "  short " "total " -- plait run -j1 --dry-run r.yaml
	[ ! -e out ] && [ ! -e w/plan.json ]
	expect 0 "  middle " -- plait balance --dry-run -c r.yaml --report b.json
	[ ! -e out ] && [ ! -e w/plan.json ]
	[ "$(jq '.steps[-1].plan.total.drawn' b.json)" -gt 500 ]
	# What a dry run says is what a run does.
	plait run -q -j1 --report run.json r.yaml >/dev/null
	[ "$(jq -cS '.plan' out/dataset.json)" = "$(jq -cS '.steps[-1].plan' b.json)" ]
}
