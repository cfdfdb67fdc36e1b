# SPDX-License-Identifier: Apache-2.0
"""faiss' exact binary range searches, on one thread: what the near-duplicate join is measured against.

usage: bench_dedup_peer.py flat|multihash HASHES DISTANCE
HASHES: 32 bytes each. Prints queries measured, queries in all, and CPU seconds for all of them, from the least of the rounds. The two
ways must give the same neighbours of the same queries; and faiss leaves out what is exactly at the radius, so it is given one more.
"""
import os
import sys
import time

import faiss
import numpy as np

BANDS, BITS = 16, 16


def search(index, queries, distance):
    begun = time.process_time()
    limits, _, neighbours = index.range_search(queries, distance + 1)
    return time.process_time() - begun, [set(neighbours[a:b]) for a, b in zip(limits, limits[1:])]


way, path, distance = sys.argv[1], sys.argv[2], int(sys.argv[3])
rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
faiss.omp_set_num_threads(1)
hashes = np.fromfile(path, dtype=np.uint8).reshape(-1, 32)
n = len(hashes)
if way == "flat":
    index, count = faiss.IndexBinaryFlat(256), 64
else:
    # no pair is missed when some band differs in no more than nflip bits
    index, count = faiss.IndexBinaryMultiHash(256, BANDS, BITS), 512
    index.nflip = distance // BANDS
index.add(hashes)
# every 10th is a near copy: a stride that has no part in that
queries = np.ascontiguousarray(hashes[np.arange(count) * (n // count) // 7 * 7 % n])
best, found = min((search(index, queries, distance) for _ in range(rounds)), key=lambda r: r[0])
if way != "flat":
    reference = faiss.IndexBinaryFlat(256)
    reference.add(hashes)
    if search(reference, queries[:64], distance)[1] != found[:64]:
        sys.exit("the two indexes find different neighbours")
print(count, n, best * n / count)
