# SPDX-License-Identifier: Apache-2.0
"""plait.Stream: the order is one, whoever reads it, and goes on where it stopped."""
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import unittest

import plait
import sets

try:
    import numpy
except ImportError:
    numpy = None

BATCH = 40
SETTINGS = dict(seed=5, block=64, window=3)


def stream(**more):
    return plait.Stream(sets.texts(), BATCH, **{"rank": 0, "world": 1, "batches": True, "threads": 1, **SETTINGS, **more})


def indexes(batch):
    return [s.index for s in batch]


def turns(passes):
    """What DataLoader does with its workers: one item of each in turn, until each has said that there are no more."""
    passes = list(passes)
    while passes:
        for p in list(passes):
            item = next(p, None)
            if item is None:
                passes.remove(p)
            else:
                yield item


def global_batches(world, workers, state=None, take=None, **more):
    """The global batches of `world` ranks with `workers` workers each, as lists of numbers; after take of them, the state of rank 0."""
    ranks, states = [], []
    for r in range(world):
        own = []
        for w in range(max(1, workers)):
            s = stream(rank=r, world=world, _workers=(w, max(1, workers)), **more)
            if state is not None:
                s.load_state_dict(state)
            own.append(iter(s))
            states.append(s)
        ranks.append(turns(own))
    out = []
    for parts in zip(*ranks):
        assert len({p.number for p in parts}) == 1
        out.append(sum((indexes(p) for p in parts), []))
        if len(out) == take:
            break
    return out, plait.global_state({"workers": [s.state_dict() for s in states[:max(1, workers)]]})


class TestOrder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.want = [indexes(b) for b in stream()]

    def test_each_sample_once(self):
        self.assertEqual(len(self.want), 50)
        self.assertEqual(sorted(sum(self.want, [])), list(range(2000)))
        self.assertNotEqual(sum(self.want, []), list(range(2000)))
        self.assertNotEqual([indexes(b) for b in stream(seed=6)], self.want)
        other = stream()
        other.set_epoch(1)
        self.assertNotEqual([indexes(b) for b in other], self.want)
        self.assertEqual([indexes(b) for b in stream(shuffle=False)], [list(range(i, i + BATCH)) for i in range(0, 2000, BATCH)])

    def test_worlds_and_workers(self):
        for world in (1, 2, 4, 8):
            for workers in (0, 1, 3):
                with self.subTest(world=world, workers=workers):
                    self.assertEqual(global_batches(world, workers)[0], self.want)

    def test_lanes_worlds_and_workers(self):
        want = global_batches(1, 0, lanes=4)[0]
        self.assertEqual(sorted(sum(want, [])), list(range(2000)))
        for world, workers in ((2, 0), (4, 3), (8, 1)):
            self.assertEqual(global_batches(world, workers, lanes=4)[0], want)

    def test_a_short_last_batch(self):
        def uneven(**more):
            return plait.Stream(sets.texts(), 48, **{"rank": 0, "world": 1, "batches": True, "threads": 0, **SETTINGS, **more})
        want = [indexes(b) for b in uneven()]
        self.assertEqual([len(b) for b in want], [48] * 41 + [32])
        whole = [indexes(b) for b in uneven(drop_last=True)]
        self.assertEqual(whole, want[:-1])
        self.assertEqual((len(uneven()), len(uneven(drop_last=True))), (42, 41))
        for world in (2, 3, 16):
            parts = [[indexes(b) for b in uneven(rank=r, world=world)] for r in range(world)]
            self.assertEqual([sum(p, []) for p in zip(*parts)], want)
            singles = [[s.index for s in uneven(rank=r, world=world, batches=False)] for r in range(world)]
            self.assertEqual([len(uneven(rank=r, world=world, batches=False)) for r in range(world)], [len(s) for s in singles])
            self.assertEqual(singles, [sum(p, []) for p in parts])

    def test_threads_and_memory_change_nothing(self):
        for more in (dict(threads=0), dict(threads=2), dict(threads=5), dict(threads=2, memory=1), dict(threads=None)):
            self.assertEqual([indexes(b) for b in stream(**more)], self.want)

    def test_positions(self):
        at = 0
        for k, batch in enumerate(stream()):
            self.assertEqual((batch.number, batch.position, batch.end), (k, at, at + BATCH))
            self.assertEqual([s.position for s in batch], list(range(at, at + BATCH)))
            at += BATCH
        order = plait._plait.order(2000, 64, 3, 1, BATCH, 5, 0, 0, 2000)
        self.assertEqual(order, sum(self.want, []))

    def test_samples_are_the_batches(self):
        self.assertEqual([s.index for s in stream(batches=False)], sum(self.want, []))

    def test_several_passes_at_once(self):
        one = stream()
        a, b = iter(one), iter(one)
        self.assertEqual([(indexes(x), indexes(y)) for x, y in zip(a, b)], [(w, w) for w in self.want])

    def test_threads_share_a_pass(self):
        one = stream(batches=False)
        source, seen = iter(one), []
        threads = [threading.Thread(target=lambda: seen.extend(s.index for s in source)) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(seen), list(range(2000)))
        self.assertEqual(one.state_dict()["position"], 2000)


class TestResume(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.want = [indexes(b) for b in stream()]

    def test_stopped_at_50_positions(self):
        draw = random.Random(3)
        for _ in range(50):
            at = draw.randrange(1, 50)
            before, after = draw.choice((1, 2, 4, 8)), draw.choice((1, 2, 4, 8))
            done, state = global_batches(before, draw.choice((0, 1, 3)), take=at)
            state = json.loads(json.dumps(state))
            self.assertEqual(state["position"], at * BATCH)
            rest, state = global_batches(after, draw.choice((0, 1, 3)), state=state)
            self.assertEqual(done + rest, self.want)
            self.assertEqual(state["position"], 2000)

    def test_killed_at_50_positions(self):
        """Each process reads, writes down what it read and its state, and is killed; the next one has another world size."""
        draw = random.Random(4)
        log = os.path.join(sets.work(), "log")
        for _ in range(50):
            at, world = draw.randrange(1, 50), draw.choice((1, 2, 4, 8))
            pid = os.fork()
            if pid == 0:
                try:
                    one = stream(threads=2)
                    with open(log, "w") as f:
                        for k, batch in enumerate(one):
                            print(json.dumps([indexes(batch), one.state_dict()]), file=f, flush=True)
                            if k + 1 == at:
                                os.kill(os.getpid(), signal.SIGKILL)
                finally:
                    os._exit(1)
            self.assertEqual(os.WTERMSIG(os.waitpid(pid, 0)[1]), signal.SIGKILL)
            with open(log) as f:
                lines = [json.loads(line) for line in f]
            rest = global_batches(world, 0, state=lines[-1][1])[0]
            self.assertEqual([line[0] for line in lines] + rest, self.want)

    def test_inside_a_batch(self):
        want = sum(self.want, [])
        for at in (1, 39, 40, 41, 79, 1234, 1999, 2000):
            one = stream(batches=False)
            source = iter(one)
            done = [next(source).index for _ in range(at)]
            state = json.loads(json.dumps(one.state_dict()))
            self.assertEqual(state["position"] + state["offset"], at)
            again = stream(batches=False, threads=0)
            again.load_state_dict(state)
            self.assertEqual(done + [s.index for s in again], want)
        one = stream(batches=False, rank=1, world=2)
        source = iter(one)
        for _ in range(25):
            next(source)
        state = one.state_dict()
        self.assertEqual((state["position"], state["offset"]), (40, 5))
        same = stream(batches=False, rank=1, world=2)
        same.load_state_dict(state)
        self.assertEqual([s.index for s in same], [s.index for s in source])
        with self.assertRaisesRegex(ValueError, "inside a global batch of 2 ranks"):
            stream(batches=False).load_state_dict(state)

    def test_state_after(self):
        one = stream()
        self.assertEqual(one.state_after(7)["position"], 280)
        self.assertEqual(one.state_after(3, start=280)["position"], 400)
        self.assertEqual(one.state_after(1000)["position"], 2000)
        again = stream()
        again.load_state_dict(one.state_after(7))
        self.assertEqual([indexes(b) for b in again], self.want[7:])

    def test_epochs(self):
        one = stream()
        one.set_epoch(4)
        source = iter(one)
        for _ in range(10):
            next(source)
        state = one.state_dict()
        self.assertEqual((state["epoch"], state["position"]), (4, 400))
        again = stream()
        again.load_state_dict(state)
        again.set_epoch(4)      # as a loop over epochs does
        self.assertEqual(again.epoch, 4)
        self.assertEqual(next(iter(again)).position, 400)
        again.set_epoch(5)
        self.assertEqual(again.state_dict()["position"], 0)
        self.assertEqual(next(iter(again)).position, 0)

    def test_a_finished_epoch_stays_finished(self):
        one = stream()
        for _ in one:
            pass
        again = stream()
        again.load_state_dict(one.state_dict())
        self.assertEqual(list(again), [])
        self.assertEqual(len(list(again)), 50)

    def test_refuses_another_order(self):
        state = stream().state_dict()
        for more, text in ((dict(seed=6), "seed was 5, is 6"), (dict(block=32), "block was 64, is 32"), (dict(window=4), "window"),
                           (dict(lanes=2), "lanes"), (dict(shuffle=False), "shuffle")):
            with self.assertRaisesRegex(ValueError, text):
                stream(**more).load_state_dict(state)
        with self.assertRaisesRegex(ValueError, "batch_size was 40, is 80"):
            plait.Stream(sets.texts(), 80, **SETTINGS).load_state_dict(state)
        with self.assertRaisesRegex(ValueError, "another data set"):
            plait.Stream(sets.shards(sets.texts()), BATCH, **SETTINGS).load_state_dict(state)
        with self.assertRaisesRegex(ValueError, "not the state"):
            stream().load_state_dict({"epoch": 0})

    def test_refuses_odd_worlds(self):
        for wrong in (dict(rank=0, world=3), dict(rank=2, world=2), dict(rank=-1, world=2), dict(rank=0, world=None)):
            with self.assertRaises(ValueError):
                stream(**wrong)
        with self.assertRaises(ValueError):
            plait.Stream(sets.texts(), 0)
        with self.assertRaises(ValueError):
            plait.Stream(sets.texts(), 8, on_damage="ignore")

    def test_pickled_and_forked(self):
        one = stream()
        source = iter(one)
        next(source)
        again = pickle.loads(pickle.dumps(one))
        self.assertEqual([indexes(b) for b in again], self.want)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                same = [indexes(b) for b in one] == self.want
                try:
                    next(source)
                except RuntimeError as e:
                    code = 0 if same and "process" in str(e) else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual([indexes(b) for b in source], self.want[1:])

    def test_rank_from_the_environment(self):
        code = "import plait, sys; s = plait.Stream(sys.argv[1], 8); print(s.rank, s.world, s.local_batch_size)"
        out = subprocess.run([sys.executable, "-c", code, sets.texts()], env=dict(os.environ, RANK="3", WORLD_SIZE="4"), check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(out.split(), ["3", "4", "2"])


MEMORY = """
import sys, plait
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
decode = plait.Decode(224) if sys.argv[2] == "decode" else None
if decode:
    import numpy
before = kib("VmRSS")
s = plait.Stream(sys.argv[1], 256, seed=1, batches=True, decode=decode)
n = sum(len(b) for b in s)
assert n == len(s.dataset)
print((kib("VmHWM") - before) / 1024, s.stats()["frame_bytes"] / 2**20)
"""


def linked(path, names):
    """A data set of one shard under many names."""
    shard = sets.shards(path)[0]
    out = os.path.join(sets.work(), f"linked-{names}")
    os.makedirs(out)
    with open(os.path.join(path, "dataset.json")) as f:
        said = json.load(f)
    row = said["shards"][0]
    said["shards"] = []
    for k in range(names):
        name = f"{k:06d}.tar.zst"
        os.link(shard, os.path.join(out, name))
        said["shards"].append(dict(row, name=name))
    said["samples"] = names * row["samples"]
    with open(os.path.join(out, "dataset.json"), "w") as f:
        json.dump(said, f)
    return out


class TestMemory(unittest.TestCase):
    def test_under_200_mib_at_default_windows(self):
        path = sets.synth("pairs", 200)
        large = sets.run("large", f"""
name: large
seed: 1
sources: [{{name: p, shards: "{path}/pairs/*.tar", kind: pairs, weight: 0}}]
dedup: {{enabled: false}}
image: {{policy: center_crop, size: 96, format: png, quality: 0}}
output: {{stage: align, shard_samples: 400, dir: DIR/out}}
""")
        data = linked(large, 60)
        for how in ("bytes", "decode") if numpy else ("bytes",):
            out = subprocess.run([sys.executable, "-c", MEMORY, data, how], check=True, stdout=subprocess.PIPE, text=True).stdout
            used, read = map(float, out.split())
            self.assertGreater(read, 300)      # several windows
            self.assertLess(used, 200, how)
