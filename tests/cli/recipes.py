# SPDX-License-Identifier: Apache-2.0
"""The published systems' recipes on small data: makes what a recipe reads, and holds what came out against what it says.

usage: recipes.py make RECIPE [SHARED]   the recipe's sources under the working directory, by plait synth or from the shared data, and the recipe
                                         as r.yaml with small shards; exit code 3: the shared data lack a kind of it
       recipes.py check                  the data sets of r.yaml: shares, epochs, repeats, and what stands in the samples
"""
import glob
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter

import yaml

SAMPLES = 72
SIZE = 360
# plait synth's name of a kind, and of the set it makes
SYNTH = {"pairs": ("pairs", "pairs"), "chat": ("chat", "chat"), "text": ("text", "text"), "preference": ("preference", "preference"),
         "in-context": ("in-context", "in-context")}


def load(path):
    with open(path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def outputs_of(recipe):
    return recipe.get("outputs") or [recipe["output"]]


# ---- making ----

def synth_kind(source):
    """The synth set whose files have the form that the source's pattern asks for."""
    kind, shards = source["kind"], source["shards"]
    if kind == "interleaved":
        return ("obelics", "obelics") if "obelics" in shards else ("interleaved", "interleaved-lines")
    if kind == "pairs" and shards.endswith(".json"):
        return "coco", "coco"
    if kind == "chat" and shards.endswith(".json"):
        return "vqa", "vqa"
    return SYNTH[kind]


def place(made, pattern, source, number):
    """Move one file of a set to where the pattern finds it, unless another source has put one there."""
    target = pattern.replace("*", f"{source}-{number:05d}")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.move(made, target)
    return target


def split_answers(path, answers):
    """Questions and annotations of one file become the two files of VQAv2."""
    with open(path, encoding="utf-8") as f:
        both = json.load(f)
    with open(answers, "w", encoding="utf-8") as f:
        json.dump({"annotations": both.pop("annotations")}, f)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(both, f)


def without_images(path):
    """Conversations without pictures: those of the file that have none."""
    with open(path, encoding="utf-8") as f:
        lines = [line for line in f if "image" not in json.loads(line)]
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(lines)


def shorten(path, words):
    """Captions of a tar cut to so many words."""
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for m, data in members:
            if m.name.endswith(".txt"):
                data = " ".join(data.decode().split()[:words]).encode()
            m.size = len(data)
            tar.addfile(m, io.BytesIO(data))


def make_source(source, seed):
    if glob.glob(source["shards"]):
        return
    kind, name = synth_kind(source)
    answers = source.get("answers")
    subprocess.run(["plait", "synth", "-q", "-o", "made", "-k", kind, "-n", str(SAMPLES), "--shard-samples", str(SAMPLES if answers else SAMPLES // 2),
                    "--size", str(SIZE), "--duplicates", "0", "--broken", "0", "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL)
    for number, path in enumerate(sorted(p for p in glob.glob(f"made/{name}/*") if "images" not in os.path.basename(p))):
        target = place(path, source["shards"], source["name"], number)
        if answers:
            split_answers(target, answers)
        elif source["kind"] == "chat" and "images" not in source:
            without_images(target)
        elif "align" in source.get("filter", ""):
            shorten(target, 12)
    for number, path in enumerate(sorted(glob.glob(f"made/{name}/images*")) if "images" in source else []):
        place(path, source["images"], source["name"], number)
    shutil.rmtree("made")


def make(recipe):
    for number, source in enumerate(recipe["sources"]):
        make_source(source, 100 + number)
    if not glob.glob("data/evals/*.tar"):
        make_source({"name": "evals", "kind": "pairs", "shards": "data/evals/*.tar"}, 99)
    lists(recipe)


def lists(recipe):
    if any("metadata.json" in (s.get("concepts") or {}).get("entries", "") for s in recipe["sources"]):
        os.makedirs("data/metaclip", exist_ok=True)
        with open("data/metaclip/metadata.json", "w", encoding="utf-8") as f:
            json.dump(["a", "red", "blue", "circle", "a red", "picture", "zebra"], f)


def put(path, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        os.symlink(path, target)


def take_shared(source, number, shared):
    """One file of the source's form; False: there is none."""
    kind, shards = source["kind"], source["shards"]
    if source.get("filter") in ("laion", "coyo", "mmc4"):   # these data have no scores
        return False
    if kind == "pairs" and shards.endswith(".tar"):
        put(f"{shared}/cc3m/0000{1 + number % 3}.tar", shards.replace("*", f"{source['name']}-0"))
    elif kind == "interleaved" and "mmc4" in shards:
        put(f"{shared}/mmc4/docs_no_face_shard_151_v3.sample.jsonl", shards.replace("*", "docs"))
        put(f"{shared}/mmc4/standin-00000.tar", source["images"].replace("*", "standin"))
    elif kind == "text":
        put(f"{shared}/llava/text/c4_demo.jsonl.zst", shards.replace("*", "c4"))
    elif kind == "chat" and shards.endswith(".jsonl") and "images" in source:
        os.makedirs(os.path.dirname(shards), exist_ok=True)
        with open(f"{shared}/llava/owleval.json", encoding="utf-8") as f, open(shards.replace("*", "owleval"), "w", encoding="utf-8") as to:
            to.writelines(json.dumps(record) + "\n" for record in json.load(f))
        put(f"{shared}/llava/images.tar", source["images"].replace("*", "images"))
    elif kind == "chat" and shards.endswith(".jsonl"):
        subprocess.run(f"mkdir -p {os.path.dirname(shards)} && zstd -qdc {shared}/llava/text/xtuner-openai_sft.jsonl.zst >{shards.replace('*', 'text')}",
                       shell=True, check=True)
    else:
        return False
    return True


def make_shared(recipe, shared):
    for number, source in enumerate(recipe["sources"]):
        if not take_shared(source, number, shared):
            raise SystemExit(3)
    put(f"{shared}/cc3m/00000.tar", "data/evals/00000.tar")
    lists(recipe)


# ---- checking ----

def expect(holds, *what):
    if not holds:
        raise SystemExit("recipes.py: " + " ".join(str(w) for w in what))


def weight_of(source, sources, balance):
    """As README.md has it: not given is 1, or 0 where neither a weight nor a total is."""
    if "repeat" in source or balance.get("strategy") == "all":
        return 0
    any_given = "total" in balance or "strategy" in balance or any("weight" in s for s in sources)
    return source.get("weight", 1 if any_given else 0)


def check_groups(entry, balance):
    """UniMax inside a source: equal draws, but what has no more gives all it has."""
    cap = balance.get("max_epochs", 1)
    most = max(g["drawn"] for g in entry["groups"])
    for g in entry["groups"]:
        full = g["drawn"] >= int(cap * g["kept"])
        expect(full or most - g["drawn"] <= 1, entry["name"], g)
    expect(sum(g["drawn"] for g in entry["groups"]) == entry["drawn"], entry)


def check_shares(plan, sources, balance):
    """Draws against weights, by the definitions; in tokens to within some samples, since a sample is never cut."""
    entries = {e["name"]: e for e in plan["sources"]}
    expect(sorted(entries) == sorted(s["name"] for s in sources), "sources", sorted(entries))
    unit = balance.get("unit", "samples")
    shares = {}
    for s in sources:
        e = entries[s["name"]]
        weight = weight_of(s, sources, balance)
        if "groups" in e:
            check_groups(e, balance)
        if weight > 0:
            n = e["kept"] if unit == "samples" else e[unit] / max(e["epochs"], 1e-9)
            shares[s["name"]] = weight * (n ** balance["alpha"] if balance.get("strategy") == "temperature" else 1)
        else:
            expect(abs(e["drawn"] - s.get("repeat", 1) * e["kept"]) < 1, "passes", e)
    what = "drawn" if unit == "samples" else unit
    total, weights = sum(entries[n][what] for n in shares), sum(shares.values())
    for name, share in shares.items():
        e = entries[name]
        slack = 1 if unit == "samples" else 8 * e[unit] / max(e["drawn"], 1)
        expect(abs(e[what] - total * share / weights) <= slack, name, what, e[what], "wanted", total * share / weights)
        expect(e["epochs"] <= balance.get("max_epochs", 1) + 1e-9 or "groups" in e, "epochs", e)
    if shares:   # as much as there is: somebody cannot give more
        expect(any(entries[n]["drawn"] >= balance.get("max_epochs", 1) * entries[n]["kept"] - weights / share - 8 for n, share in shares.items()), "more was possible")


def read_samples(path):
    """(JSON, members' suffixes) of each sample."""
    raw = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    samples, names = {}, {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for m in tar:
            key, suffix = m.name.split(".", 1)
            names.setdefault(key, []).append(suffix)
            if suffix == "json":
                samples[key] = json.load(tar.extractfile(m))
    return [(samples[k], names[k]) for k in samples]


def check_sample(sample, parts, output):
    images = [x for x in sample["segments"] if x["type"] == "image"]
    texts = [x for x in sample["segments"] if x["type"] == "text"]
    named = [p for x in images for p in ([x["part"]] if "part" in x else []) + x.get("tiles", [])]
    expect(sorted(named) == sorted(p for p in parts if p != "json"), "parts", sample["key"], parts)
    expect(sample["images"] == len(images) if "images" in sample else True, "images", sample["key"])
    expect(texts and all(x["text"].strip() for x in texts), "texts", sample["key"])
    expect(any(x["loss"] for x in texts), "nothing is learnt", sample["key"])
    token = output.get("tokens", {}).get("image")
    if token and "text" in sample:
        expect(sample["text"].count(token) == len(images), "markers", sample["key"], sample["text"])
    if output["stage"] == "instruct":
        roles = [x.get("role", "none") for x in texts]
        expect(roles[-1] == "assistant" and not any(x["loss"] for x in texts if x.get("role") in ("user", "system")), "roles", sample["key"], roles)


def check_draws(dataset, shards, names):
    """Each shard has its part of every source; nothing is drawn twice while another is not drawn at all."""
    drawn = {e["name"]: e for e in dataset["plan"]["sources"]}
    whole = all(not s["dropped_at_packing"] for s in dataset["sources"])
    times = {n: Counter() for n in names}
    for k, shard in enumerate(shards):
        here = Counter()
        for sample, _ in shard:
            for document in sample.get("documents", [sample]):
                here[document["source"]] += 1
                times[document["source"]][document["origin"]["shard"], document["origin"]["key"]] += 1
        for n in names:
            if whole and "groups" not in drawn[n]:
                expect(abs(here[n] - drawn[n]["drawn"] / len(shards)) < 1, "shard", k, "has", here[n], "of", n, "which gives", drawn[n]["drawn"])
    for n in names:
        e, got = drawn[n], times[n]
        if not whole or "groups" in e or not e["kept"]:
            continue
        expect(sum(got.values()) == e["drawn"], n, sum(got.values()), e["drawn"])
        floor = e["drawn"] // e["kept"]
        expect(all(floor <= t <= floor + 1 for t in got.values()), n, "repeats", got.most_common(1))
        expect(len(got) == min(e["kept"], e["drawn"]), n, "has", len(got), "of", e["kept"])


def check_output(recipe, output):
    with open(os.path.join(output["dir"], "dataset.json"), encoding="utf-8") as f:
        dataset = json.load(f)
    names = output.get("sources") or [s["name"] for s in recipe["sources"]]
    sources = [s for s in recipe["sources"] if s["name"] in names]
    check_shares(dataset["plan"], sources, output.get("balance") or recipe.get("balance") or {})
    shards = [read_samples(os.path.join(output["dir"], s["name"])) for s in dataset["shards"]]
    expect(sum(map(len, shards)) == dataset["samples"] > 0, "samples", dataset["samples"])
    for sample, parts in (x for shard in shards for x in shard):
        check_sample(sample, parts, output)
        if "pack" in output:
            expect(sample["tokens"] <= output["pack"]["tokens"] or len(sample["documents"]) == 1, "budget", sample["key"])
    check_draws(dataset, shards, names)


def main():
    if sys.argv[1:2] == ["make"] and len(sys.argv) in (3, 4):
        make(load(sys.argv[2])) if len(sys.argv) == 3 else make_shared(load(sys.argv[2]), sys.argv[3])
        with open(sys.argv[2], encoding="utf-8") as f, open("r.yaml", "w", encoding="utf-8") as to:
            to.write(f.read().replace("shard_size: 256MiB", "shard_samples: 40"))
    elif sys.argv[1:] == ["check"]:
        recipe = load("r.yaml")
        for output in outputs_of(recipe):
            check_output(recipe, output)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
