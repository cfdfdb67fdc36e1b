#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# plait stat --html: one page with plots and small pictures, made of untrusted shards.

load common

setup_file()
{
	make_set_once
}

setup()
{
	work_here
}

# Reads pages: no tag without its end, nothing loaded, no script; gives sections and tiles.
reader='
import base64, io, re, sys
from html.parser import HTMLParser
from PIL import Image

class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.open, self.sections, self.tiles, self.wrong = [], [], [], []
        text = open(path, "rb").read().decode()
        self.feed(text)
        self.wrong += self.open
        assert not self.wrong, self.wrong
        assert "default-src \x27none\x27; img-src data:" in text

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag in ("script", "iframe", "object", "link", "a", "form") or any(k.startswith("on") for k in a):
            self.wrong.append((tag, a))
        if tag not in ("meta", "img", "br", "rect", "tr", "td", "th", "html"):
            self.open.append(tag)
        if tag == "h2":
            self.sections.append("")
        if tag == "figcaption" and self.sections and re.search(r" \d+ of \d+", self.sections[-1]):
            self.tiles.append({"section": self.sections[-1], "text": "", "image": self.image})
        if tag == "figure":
            self.image = None
        if tag == "img":
            assert a["src"].startswith("data:image/jpeg;base64,"), a["src"][:50]
            self.image = Image.open(io.BytesIO(base64.b64decode(a["src"].split(",")[1], validate=True)))
            self.image.load()
            assert max(self.image.size) <= 176, self.image.size

    def handle_endtag(self, tag):
        if tag not in ("html", "rect") and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_data(self, data):
        if "h2" in self.open:
            self.sections[-1] += data
        if "figcaption" in self.open and self.tiles:
            self.tiles[-1]["text"] += data
'

@test "the page of a corpus has its numbers, and pictures of what is kept and of what was dropped" {
	plait ingest -q -j1 --kind pairs -o c "$SET"/pairs/*.tar >/dev/null
	plait filter -q -w "row % 5 <> 1" c >/dev/null
	plait dedup -q c >/dev/null
	plait stat c >without
	expect 0 -- plait stat --html r.html --thumbnails 7 c
	[ "$output" = "$(cat without)" ]
	number c "select verdict, count(*) from samples group by verdict" >verdicts
	number c "select key, shard from samples limit 1" >/dev/null
	[ "$(wc -l <verdicts)" -ge 3 ]
	/usr/bin/python3 - "$SET" "$CLI_DIR" <<-PY
		$reader
		import glob, tarfile
		import numpy as np
		page = Page("r.html")
		verdicts = dict(line.split("\t") for line in open("verdicts"))
		text = open("r.html").read()
		for name, count in verdicts.items():
		    assert f"<tr><td>{name}<td class=\"n\">{int(count)}<" in text, (name, count)
		sections = {s.split()[0]: [int(v) for v in re.search(r"(\d+) of (\d+)", s).groups()] for s in page.sections if " of " in s}
		for name, (shown, total) in sections.items():
		    assert shown == min(7, total) == sum(t["section"].split()[0] == name for t in page.tiles), (name, shown, total)
		assert sections["keep"][0] == 7 and sections["filtered"][0] == 7 and len(sections) >= 3, sections
		assert text.count("<svg") >= 10
		# Each is its own picture and has its own caption.
		parts = {m.name: tar.extractfile(m).read() for path in glob.glob(sys.argv[1] + "/pairs/*.tar") for tar in [tarfile.open(path)] for m in tar}
		for tile in page.tiles:
		    key = tile["text"].split()[0]
		    whole = Image.open(io.BytesIO(next(parts[f"{key}.{e}"] for e in ("jpg", "png", "webp") if f"{key}.{e}" in parts))).convert("RGB")
		    assert "%d × %d" % whole.size in tile["text"], (whole.size, tile["text"])
		    small = np.asarray(tile["image"].convert("RGB"), float)
		    error = np.abs(small - np.asarray(whole.resize(tile["image"].size, Image.LANCZOS), float)).mean()
		    assert error < 8, (key, error)
		    caption = parts.get(f"{key}.txt", b"").decode()
		    assert not caption or caption[:60] in tile["text"], (caption, tile["text"])
	PY
	plait stat --html again.html --thumbnails 7 c >/dev/null
	cmp r.html again.html
}

@test "images that were dropped from documents are shown, each with the text behind it" {
	plait ingest -q -j1 --kind interleaved -o c "$SET"/docs.tar >/dev/null
	plait filter -q -i "position < 1" c >/dev/null
	plait stat --html r.html --thumbnails 1000 c >/dev/null
	plait show --head 1000 "$SET"/docs.tar >shown
	number c "select verdict, count(*) from images group by verdict" >verdicts
	/usr/bin/python3 - <<-PY
		$reader
		page, behind, key, pending = Page("r.html"), {}, "", 0
		for line in open("shown"):
		    if " (number" in line:
		        key, pending = line.split(" (number")[0], 0
		    elif line.startswith("  [image"):
		        pending += 1
		    else:
		        behind.setdefault(key, []).extend([line.strip(" *\n")[:50]] * pending)
		        pending = 0
		for name, count in (line.split("\t") for line in open("verdicts")):
		    mine = [t for t in page.tiles if t["section"].split()[0] == name]
		    assert len(mine) == int(count) > 2 and all(t["image"] for t in mine), (name, count, len(mine))
		found = sum(any(text in t["text"] for text in behind.get(t["text"].split()[0], ())) for t in page.tiles)
		assert found > 0.8 * len(page.tiles), (found, len(page.tiles))
		several = {}
		for t in page.tiles:
		    several.setdefault(t["text"].split()[0], set()).add(t["text"].split("×")[1])
		assert max(map(len, several.values())) > 1, "each picture of a document has the same text"
	PY
	# The same where images lie in tars of their own.
	plait ingest -q -j1 --kind chat --images "$SET/chat-images.tar" -o chat "$SET/chat.json" >/dev/null
	plait filter -q -i "sample % 2 = 0" chat >/dev/null
	plait stat --html chat.html --thumbnails 1000 chat >/dev/null
	number chat "select count(*) from images where verdict = 'filtered'" >filtered
	/usr/bin/python3 - <<-PY
		$reader
		page = Page("chat.html")
		mine = [t for t in page.tiles if t["section"].startswith("filtered")]
		assert len(mine) == int(open("filtered").read()) > 2 and all(t["image"] for t in mine), len(mine)
	PY
}

@test "names and texts from shards cannot become markup" {
	/usr/bin/python3 - "$CLI_DIR" <<-'PY'
		import sys
		sys.dont_write_bytecode = True
		sys.path.insert(0, sys.argv[1])
		import corpora
		shard = corpora.Shard("a.tar")
		for i, (key, text) in enumerate([("k<img src=x onerror=alert(1)>", "</bdi><script>alert('1')</script>"), ("k'\"&amp;", "\"><iframe src=http://x> & co\u202e\x07"),
		                                 ("plain", "ünïcode " * 60)]):
		    shard.add(f"{key}.jpg", corpora.encoded(corpora.picture(i, 300, 200)))
		    shard.add(f"{key}.txt", text)
		shard.close()
	PY
	plait ingest -q -j1 --kind pairs -o c a.tar >/dev/null
	plait stat --html r.html c >/dev/null
	/usr/bin/python3 - <<-PY
		$reader
		page = Page("r.html")
		texts = [t["text"] for t in page.tiles]
		assert len(texts) == 3 and all(t["image"] for t in page.tiles)
		assert texts[0].startswith("k<img src=x onerror=alert(1)>") and "</bdi><script>alert('1')</script>" in texts[0], texts[0]
		assert "&amp;" in texts[1] and "\"><iframe src=http://x> & co" in texts[1] and "\x07" not in texts[1], texts[1]
		assert "ünïcode" in texts[2] and len(texts[2]) < 300
	PY
}

@test "a data set and a shard show their samples' pictures and texts" {
	make_recipe r.yaml out
	plait-run -q -j1 r.yaml >/dev/null 2>&1
	plait stat --html d.html --thumbnails 30 out out/000000.tar.zst >/dev/null
	/usr/bin/python3 - "$(jq .samples out/dataset.json)" <<-PY
		$reader
		page = Page("d.html")
		shown = [re.search(r"(\d+) of (\d+)", s).groups() for s in page.sections if " of " in s]
		assert shown[0] == (str(min(30, int(sys.argv[1]))), sys.argv[1]), shown
		assert len(page.tiles) == sum(int(n) for n, _ in shown)
		assert sum(t["image"] is not None for t in page.tiles) > 10 and sum(t["image"] is None for t in page.tiles) > 1
		assert all("cannot be shown" not in t["text"] for t in page.tiles)
		assert "pairs" in open("d.html").read()
	PY
}

@test "a shard that is gone costs its pictures, with a warning; the numbers stay" {
	make_corpora pairs a.tar 3
	plait ingest -q -j1 --kind pairs -o c a.tar >/dev/null
	mv a.tar b.tar
	expect 0 "warning" "a.tar" -- plait stat --html r.html c
	[ "$(grep -c 'cannot be shown' r.html)" = 3 ]
	grep -q '<tr><td>keep<td class="n">3<' r.html
}

@test "decoding for a report happens in the sandbox, and without pictures there is none" {
	make_corpora pairs a.tar 3
	plait ingest -q -j1 --kind pairs -o c a.tar >/dev/null
	local refuse=(/usr/bin/python3 "$CLI_DIR/no_seccomp.py")
	if "${refuse[@]}" true; then
		expect 3 seccomp -- "${refuse[@]}" plait stat --sandbox=require --html r.html c
		[ ! -e r.html ]
		expect 0 "warning: no seccomp here" -- "${refuse[@]}" plait stat --html auto.html c
		expect 0 -- "${refuse[@]}" plait stat --sandbox=require --html none.html --thumbnails 0 c
		[[ $stderr != *seccomp* ]]
	fi
	plait stat --html none.html --thumbnails 0 c >/dev/null
	! grep -q '<img' none.html
	grep -q '<svg' none.html
	expect 3 "no/such" -- plait stat --html no/such/r.html c
	expect 2 "from 0 to 1000" -- plait stat --html r.html --thumbnails 1001 c
}
