# SPDX-License-Identifier: Apache-2.0
"""A data set as Parquet files for Hugging Face datasets, in the shape of OBELICS.

    python -m plait.parquet DATASET -o DIR

One file per shard. A row is a sample: ``texts`` and ``images`` are lists of one length, each place holds a text or an image and null in
the other; ``metadata`` (a place's role, loss flag, branch, size) and ``general_metadata`` (key, source, kind, ...) are JSON. Images are
structs of bytes and path with the feature Image, so ``load_dataset("parquet", data_files="DIR/*.parquet")`` decodes them. Files that are
there and belong to the same shard are kept. Needs pyarrow.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Dict, Iterator, List, Optional, Tuple

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    if __name__ == "__main__":
        sys.exit("plait.parquet: error: needs pyarrow: pip install pyarrow")
    raise ImportError("plait.parquet needs pyarrow: pip install pyarrow") from missing

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"images": {"feature": {"_type": "Image"}, "_type": "Sequence"},
            "texts": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
            "metadata": {"dtype": "string", "_type": "Value"},
            "general_metadata": {"dtype": "string", "_type": "Value"}}
ROWS = 64   # of a row group: some megabytes of pictures


def _samples(path: str) -> Iterator[Tuple[str, Dict[str, bytes]]]:
    """Key and parts of each sample of a shard, in order."""
    from plait import Dataset
    data = Dataset(path)
    for i in range(len(data)):
        sample = data[i]
        yield sample.key, sample.parts


def _schema(digest: str) -> pa.Schema:
    """What is written; digest tells which shard a file is of."""
    about = {"huggingface": json.dumps({"info": {"features": FEATURES}}), "plait.xxh3_128": digest}
    return pa.schema([("images", pa.list_(IMAGE)), ("texts", pa.list_(pa.string())), ("metadata", pa.string()),
                      ("general_metadata", pa.string())], metadata=about)


def _places(key: str, document: Dict[str, Any], parts: Dict[str, bytes]) -> Iterator[Tuple[Optional[Dict[str, Any]], Optional[str], Any]]:
    """Image, text and what else is said of each place. A picture of which there are tiles only is its tiles."""
    for segment in document["segments"]:
        about = {k: v for k, v in segment.items() if k not in ("type", "text", "part", "tiles")}
        if segment["type"] == "text":
            yield None, segment["text"], about
            continue
        for name in [segment["part"]] if "part" in segment else segment["tiles"]:
            yield {"bytes": parts[name], "path": f"{key}.{name}"}, None, about


def _row(key: str, parts: Dict[str, bytes]) -> Dict[str, Any]:
    document = json.loads(parts["json"])
    places = list(_places(key, document, parts))
    general = {k: v for k, v in document.items() if k not in ("segments", "images")}
    return {"images": [image for image, _, _ in places], "texts": [text for _, text, _ in places],
            "metadata": json.dumps([about for _, _, about in places], ensure_ascii=False),
            "general_metadata": json.dumps(general, ensure_ascii=False)}


def _is_done(path: str, digest: str, samples: int) -> bool:
    try:
        found = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return found.num_rows == samples and (found.metadata or {}).get(b"plait.xxh3_128") == digest.encode()


def export(dataset: str, out: str) -> Iterator[str]:
    """Write what is missing; the path of each file when it is there."""
    with open(os.path.join(dataset, "dataset.json"), encoding="utf-8") as f:
        said = json.load(f)
    if said.get("format") != "plait-dataset-1":
        raise ValueError(f"'{dataset}' has no dataset.json of format plait-dataset-1")
    os.makedirs(out, exist_ok=True)
    for shard in said["shards"]:
        path = os.path.join(out, shard["name"].split(".")[0] + ".parquet")
        if not _is_done(path, shard["xxh3_128"], shard["samples"]):
            _write(os.path.join(dataset, shard["name"]), path, shard)
        yield path


def _write(source: str, path: str, shard: Dict[str, Any]) -> None:
    schema, rows, count = _schema(shard["xxh3_128"]), [], 0
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=False) as writer:
            def flush(rows: List[Dict[str, Any]]) -> None:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=ROWS)

            for key, parts in _samples(source):
                rows.append(_row(key, parts))
                count += 1
                if len(rows) == ROWS:
                    flush(rows)
                    rows = []
            if rows:
                flush(rows)
        if count != shard["samples"]:
            raise ValueError(f"'{source}' holds {count} samples, dataset.json says {shard['samples']}")
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m plait.parquet", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("dataset", metavar="DATASET", help="directory with dataset.json")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="directory of the Parquet files")
    options = parser.parse_args(argv)
    try:
        for path in export(options.dataset, options.output):
            print(path, flush=True)
    except (OSError, ValueError, KeyError) as e:
        print(f"plait.parquet: error: {e}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
