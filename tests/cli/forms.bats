#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every form of document from its file to shards: what plait synth writes of each, through ingest and pack, with texts and images
# where they belong; and the small files below, whose every output is known.

load common

setup_file()
{
	export SYNTH=$BATS_FILE_TMPDIR/corpora
	plait synth -q -o "$SYNTH" --samples 24 --shard-samples 12 --size 80 --duplicates 0 --broken 0.2 --seed 5 >/dev/null
}

# The JSON of the samples of a data set, one a line, by what it came from.
samples_of()     # DIR
{
	/usr/bin/python3 - "$1" <<'PY'
import glob, io, json, sys, tarfile
out = []
for path in sorted(glob.glob(sys.argv[1] + '/*.tar')):
    with tarfile.open(path) as tar:
        members = {m.name: m.size for m in tar}
        for name in members:
            if name.endswith('.json'):
                doc = json.load(tar.extractfile(name))
                parts = [s for s in doc['segments'] if s['type'] == 'image']
                assert doc['images'] == len(parts), doc
                for n, s in enumerate(parts):
                    assert s['part'].split('.')[0] == str(n), doc
                    assert members[doc['key'] + '.' + s['part']] > 100
                out.append((doc['source'], doc['origin']['key'], json.dumps(doc, ensure_ascii=False)))
print('\n'.join(line for _, _, line in sorted(out)))
PY
}

# check DIR PYTHON: d is each sample in turn.
check()
{
	samples_of "$1" >lines
	[ -s lines ] || fail "no samples in $1"
	/usr/bin/python3 -c "
import json, re, sys
for line in open('lines'):
    d = json.loads(line)
    s = d['segments']
    kinds = ''.join('I' if x['type'] == 'image' else 'T' for x in s)
    words = [x['text'] for x in s if x['type'] == 'text']
    assert $2, d
"
}

count() { wc -l <lines; }
sound() { awk -F'\t' -v k="$1" '$1 == k && $4 == "ok"' "$SYNTH/truth.tsv" | wc -l; }

recipe()     # SOURCES OUTPUTS
{
	printf 'name: forms\nseed: 3\nsources:\n%s\ndedup: {enabled: false}\nimage: {policy: center_crop, size: 48, format: webp}\noutputs:\n%s\n' "$1" "$2" >r.yaml
}

all_forms()
{
	ln -sfn "$SYNTH" in
	recipe '  - {name: preference, shards: "in/preference/*.jsonl", images: "in/preference/images-*.tar"}
  - {name: in-context, shards: "in/in-context/*.json", images: "in/in-context/images-*.tar", shots: 2}
  - {name: coco, shards: "in/coco/*.json", images: "in/coco/images-*.tar", captions_per_image: draw}
  - {name: vqa, shards: "in/vqa/*.json", images: "in/vqa/images-*.tar"}
  - {name: obelics, shards: "in/obelics/*.jsonl", images: "in/obelics/images-*.tar"}
  - {name: mmc4, shards: "in/interleaved/*.tar"}' \
	"  - {dir: out/preference, sources: [preference], template: preference, container: tar, shard_samples: 7, tokens: {image: '<image>', user: 'USER: ', assistant: 'BOT: ', end: '</s>'}}
  - {dir: out/in-context, sources: [in-context], template: in-context, container: tar, shard_samples: 7, system: Be brief.}
  - {dir: out/coco, sources: [coco], template: pair-caption, container: tar, shard_samples: 7, image_first: 0.5, instructions: [Describe it., What is this?]}
  - {dir: out/vqa, sources: [vqa], template: conversation, stage: instruct, container: tar, shard_samples: 7}
  - {dir: out/web, sources: [obelics, mmc4], template: interleaved, container: tar, shard_samples: 7, assignment: linear, min_similarity: 0.2, image_place: after, trailing_image: drop, max_images: 3, tokens: {image: '<image>', end_of_chunk: '<|endofchunk|>'}}
  - {dir: out/words, sources: [obelics, coco], template: text, container: tar, shard_samples: 20}"
}

@test "every form that plait synth writes becomes shards, the same at 1, 2 and 3 ranks" {
	all_forms
	plait run -q -j1 r.yaml
	mv out one
	for n in 2 3; do
		mpirun --oversubscribe -n $n plait-run -q -j1 r.yaml
		diff -r -x work one out || fail "not the same at $n ranks"
		rm -rf out
	done
	check one/preference "d['kind'] == 'preference' and kinds == 'ITTT' and [x.get('branch') for x in s] == [None, None, 'chosen', 'rejected'] \
	    and [x.get('loss', False) for x in s] == [False, False, True, True] and words[1] != words[2] \
	    and d['text'] == 'USER: <image>' + words[0] and d['text_chosen'] == 'BOT: ' + words[1] + '</s>' and '< image>' in d['text_rejected']"
	[ "$(count)" = "$(sound preference)" ]
	check one/in-context "d['kind'] == 'in-context' and re.fullmatch('T(ITT){1,3}', kinds) and words[0] == 'Be brief.' \
	    and [x['loss'] for x in s if x['type'] == 'text'][:-1] == [False] * (len(words) - 1) and s[-1]['loss'] and s[-1]['role'] == 'assistant'"
	[ "$(count)" = "$(sound in-context)" ]
	grep -q '"images": 3' lines
	check one/coco "d['kind'] == 'pairs' and kinds in ('ITT', 'TIT') and words[0] in ('Describe it.', 'What is this?') and s[-1]['role'] == 'assistant'"
	[ "$(count)" = "$(sound coco)" ]
	[ "$(/usr/bin/python3 -c 'import json; print(len({json.loads(l)["segments"][0]["type"] for l in open("lines")}))')" = 2 ]
	check one/vqa "d['kind'] == 'chat' and kinds == 'ITT' and s[1]['role'] == 'user' and s[2]['loss']"
	[ "$(count)" = "$(sound vqa)" ]
	check one/web "d['kind'] == 'interleaved' and 0 < kinds.count('I') <= 3 and kinds[0] == 'T' and d['text'].count('<image>') == d['images'] \
	    and d['text'].count('<|endofchunk|>') == d['images'] and not (d['images'] == 1 and kinds[-1] == 'I')"
	grep -q '"source": "obelics"' lines && grep -q '"source": "mmc4"' lines
	check one/words "kinds.count('I') == 0 and words"
	for n in one/*; do
		expect 0 -- plait verify --deep -q -j1 "$n"
	done
}

@test "statuses are those of the truth" {
	local kind
	ln -sfn "$SYNTH" in
	for kind in preference in-context vqa; do
		plait ingest -q -j1 -o "c/$kind" --images "in/$kind/images-*.tar" "in/$kind"/*.json* >/dev/null
		[ "$(number "c/$kind" "select count(*) from samples where status = 'keep'")" = "$(sound "$kind")" ] || fail "$kind"
		[ "$(number "c/$kind" "select count(*) from samples where status = 'missing_image'")" = "$(grep -c "^$kind	.*	missing_image	" in/truth.tsv)" ] || fail "$kind"
		[ "$(number "c/$kind" 'select distinct kind from samples')" = "$([ "$kind" = vqa ] && echo chat || echo "$kind")" ]
	done
	plait ingest -q -j1 -o c/each --images 'in/coco/images-*.tar' in/coco/*.json >/dev/null
	plait ingest -q -j1 -o c/first --images 'in/coco/images-*.tar' --captions-per-image first in/coco/*.json >/dev/null
	[ "$(number c/each 'select count(*) from samples')" = 48 ]
	[ "$(number c/first 'select count(*) from samples')" = 24 ]
	[ "$(number c/each "select count(*) from samples where status = 'keep'")" = $((2 * $(sound coco))) ]
}

# The five examples that MIMIC-IT's text names in turn, and what is not there.
small_files()
{
	ln -sfn "$SYNTH" in
	mkdir img
	tar xf in/coco/images-00000.tar -C img
	local i=0 f
	for f in img/*; do
		cp "$f" "img/p$i.${f##*.}"
		i=$((i + 1))
		[ $i -lt 4 ] || break
	done
	/usr/bin/python3 - <<'PY'
import base64, glob, json
names = sorted(glob.glob('img/p?.*'))
json.dump({'I%d' % n: base64.b64encode(open(f, 'rb').read()).decode() for n, f in enumerate(names)}, open('LA.json', 'w'))
data = {'A%d' % n: {'instruction': 'q%d' % n, 'answer': 'a%d' % n, 'image_ids': ['I%d' % n], 'rel_ins_ids': ['A%d' % ((n + 1) % 4), 'A%d' % n, 'none']}
        for n in range(4)}
json.dump({'meta': {}, 'data': data}, open('LA_instructions.json', 'w'))
names = [n[4:] for n in names]
json.dump({'questions': [{'image_id': n, 'question': 'q%d' % n, 'question_id': 10 + n} for n in range(4)], 'data_subtype': 'val2014'}, open('q.json', 'w'))
json.dump({'annotations': [{'question_id': 13 - n, 'multiple_choice_answer': 'a%d' % (3 - n)} for n in range(4)]}, open('a.json', 'w'))
for n in range(4):
    open('img/COCO_val2014_%012d.jpg' % n, 'wb').write(open('img/' + names[n], 'rb').read())
json.dump([{'image': names[n], 'question': 'q%d' % n, 'answer': 'a%d' % n} for n in range(4)], open('flat.json', 'w'))
PY
}

@test "images as a JSON of base64, questions with answers in another file, flat questions" {
	small_files
	recipe '  - {name: mimic, shards: LA_instructions.json, images: LA.json, shots: 2}
  - {name: vqa, shards: q.json, answers: a.json, images: img}
  - {name: flat, shards: flat.json, images: img}' \
	"  - {dir: out/mimic, sources: [mimic], context_loss: all, container: tar}
  - {dir: out/vqa, sources: [vqa, flat], container: tar}"
	expect 0 "4 examples that instructions refer to are not there" -- plait run -j1 r.yaml
	check out/mimic "kinds == 'ITTITT' and words[2][1] == words[3][1] and (int(words[0][1]) - 1) % 4 == int(words[2][1]) and all(x['loss'] for x in s if x.get('role') == 'assistant')"
	[ "$(count)" = 4 ]
	check out/vqa "kinds == 'ITT' and words[0][1] == words[1][1]"
	[ "$(count)" = 8 ]
	# The answers are part of what is held to be unchanged.
	sed -i 's/"a1"/"b1"/' a.json
	touch -d '2001-01-01' a.json
	rm -r out/vqa
	expect 0 -- plait run -q -j1 r.yaml
	samples_of out/vqa | grep -q '"b1"'
}

@test "questions without their answers are told of" {
	small_files
	expect 3 "'q.json'" "--answers" -- plait ingest -q -j1 -o c --images img q.json
	expect 3 "no-such.json" -- plait ingest -q -j1 -o c --images img --answers no-such.json q.json
}

@test "a changed file of answers is an error, and never other data" {
	small_files
	recipe '  - {name: c, shards: q.json, answers: a.json, images: img}' '  - {dir: out, container: tar}'
	plait ingest -q -j1 -o w/c --answers a.json --images img q.json >/dev/null
	plait balance -q -c r.yaml --work w -o plan.json
	printf ' ' >>a.json
	expect 3 "'a.json'" "changed since" -- plait pack -q -j1 plan.json -o out
	truncate -s -1 a.json
	touch -d '2001-01-01' a.json
	expect 3 "'a.json'" "changed since" -- plait pack -q -j1 plan.json -o out
	rm a.json
	expect 3 "'a.json'" -- plait pack -q -j1 plan.json -o out
}

@test "plait show prints branches, turns and what is found" {
	small_files
	plait show -n 0 "$SYNTH/preference/00000.jsonl" >shown
	grep -q '^ \*assistant (chosen): ' shown
	grep -q '^ \*assistant (rejected): ' shown
	plait show -n 1 LA_instructions.json >shown
	diff - shown <<-'END'
	record 1
	  [image 0 'I2' 0 bytes missing_image]
	  user: q2
	  assistant: a2
	  [image 1 'I1' 0 bytes missing_image]
	  user: q1
	 *assistant: a1
	END
	plait show -n 3 --answers a.json q.json >shown
	diff - shown <<-'END'
	record 3
	  [image 0 'COCO_val2014_000000000003.jpg' 0 bytes missing_image]
	  user: q3
	 *assistant: a3
	END
	all_forms
	plait run -q -j1 r.yaml >/dev/null
	plait show -n 0 out/preference/000000.tar | grep -q '^ \*assistant (chosen): '
}
