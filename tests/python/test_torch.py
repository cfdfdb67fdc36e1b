# SPDX-License-Identifier: Apache-2.0
"""plait.Stream and plait.Dataset under torch: DataLoader, StatefulDataLoader, ranks of torch.distributed."""
import json
import os
import subprocess
import sys
import unittest

import plait
import sets

try:
    import torch
    import torch.utils.data
except ImportError as e:
    torch, WHY = None, f"no torch: {e}"
try:
    from torchdata.stateful_dataloader import StatefulDataLoader
except ImportError as e:
    StatefulDataLoader, WHY_STATEFUL = None, f"no torchdata: {e}"

BATCH = 40


def stream(**more):
    return plait.Stream(sets.texts(), BATCH, **{"batches": True, "seed": 5, "block": 64, "window": 3, "threads": 1, **more})


def indexes(batch):
    return [s.index for s in batch]


def want():
    return [indexes(b) for b in stream()]


class TestWithoutTorch(unittest.TestCase):
    def test_torch_and_numpy_are_not_imported(self):
        code = ("import sys, plait; d = plait.Dataset(sys.argv[1]); d[0].document; n = sum(1 for _ in plait.Stream(d, 8)); "
                "assert n == len(d); assert not {'torch', 'numpy'} & set(sys.modules), 1")
        subprocess.run([sys.executable, "-c", code, sets.pairs()], check=True)


@unittest.skipIf(torch is None, "" if torch else WHY)
class TestDataLoader(unittest.TestCase):
    def test_is_an_iterable_dataset(self):
        s = stream()
        self.assertIsInstance(s, torch.utils.data.IterableDataset)
        self.assertIsInstance(s, plait.Stream)
        self.assertNotIsInstance(plait.Dataset(sets.texts()), torch.utils.data.IterableDataset)

    def test_batches_for_any_number_of_workers(self):
        for workers in (0, 1, 3):
            loader = torch.utils.data.DataLoader(stream(), batch_size=None, num_workers=workers)
            self.assertEqual([indexes(b) for b in loader], want())
            self.assertEqual(len(loader), 50)

    def test_samples_for_any_number_of_workers(self):
        for workers in (0, 1, 3):
            s = stream(batches=False)
            loader = torch.utils.data.DataLoader(s, batch_size=s.local_batch_size, num_workers=workers, collate_fn=plait.collate)
            self.assertEqual([indexes(b) for b in loader], want())

    def test_spawned_workers(self):
        loader = torch.utils.data.DataLoader(stream(), batch_size=None, num_workers=2, multiprocessing_context="spawn")
        self.assertEqual([indexes(b) for b in loader], want())

    def test_ranks_with_workers(self):
        loaders = [torch.utils.data.DataLoader(stream(rank=r, world=2), batch_size=None, num_workers=2) for r in range(2)]
        self.assertEqual([indexes(a) + indexes(b) for a, b in zip(*loaders)], want())

    def test_set_epoch_reaches_workers_that_live_on(self):
        s = stream()
        loader = torch.utils.data.DataLoader(s, batch_size=None, num_workers=2, persistent_workers=True)
        for epoch in (0, 3):
            s.set_epoch(epoch)
            self.assertEqual([indexes(b) for b in loader], [indexes(b) for b in stream(epoch=epoch)])

    def test_resumes_with_other_workers(self):
        s = stream()
        it = iter(torch.utils.data.DataLoader(s, batch_size=None, num_workers=3))
        done = [indexes(next(it)) for _ in range(17)]
        again = stream()
        again.load_state_dict(s.state_after(17))
        loader = torch.utils.data.DataLoader(again, batch_size=None, num_workers=2)
        self.assertEqual(done + [indexes(b) for b in loader], want())

    def test_pixels(self):
        decode = plait.Decode(48, tensors=True)
        seen = []
        for workers in (0, 2):
            s = plait.Stream(sets.pairs(), 20, batches=True, seed=1, decode=decode)
            batches = list(torch.utils.data.DataLoader(s, batch_size=None, num_workers=workers))
            self.assertEqual([tuple(b.pixels.shape) for b in batches], [(20, 48, 48, 3)] * 10)
            self.assertEqual(batches[0].pixels.dtype, torch.uint8)
            self.assertTrue(all(b.ok.all() for b in batches))
            seen.append(torch.cat([b.pixels for b in batches]))
        self.assertTrue(bool((seen[0] == seen[1]).all()))
        data = plait.Dataset(sets.pairs(), decode=decode)
        s = plait.Stream(data, 20, seed=1, decode=decode)
        for sample, pixels in zip(s, seen[0]):
            self.assertTrue(bool((sample.pixels == pixels).all()))
            self.assertTrue(bool((data[sample.index].pixels == pixels).all()))

    def test_all_pixels_of_pages(self):
        s = plait.Stream(sets.pages(), 10, batches=True, seed=1, decode=plait.Decode(32, images="all"))
        for batch in s:
            self.assertEqual(len(batch.pixels), sum(len(x.document.images) for x in batch))
            for i, sample in enumerate(batch):
                self.assertTrue((batch.pixels[batch.sample_of == i] == sample.pixels).all())

    def test_collate_stacks(self):
        s = plait.Stream(sets.pairs(), 20, seed=1, decode=plait.Decode(32))
        batch = plait.collate([x for _, x in zip(range(7), s)])
        self.assertEqual(batch.pixels.shape, (7, 32, 32, 3))

    def test_map_style(self):
        data = plait.Dataset(sets.texts())
        for context in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(data, batch_size=100, shuffle=True, num_workers=2, collate_fn=indexes,
                                                 multiprocessing_context=context)
            self.assertEqual(sorted(sum(loader, [])), list(range(2000)))


@unittest.skipIf(StatefulDataLoader is None, "" if StatefulDataLoader else WHY_STATEFUL)
class TestStatefulDataLoader(unittest.TestCase):
    def loader(self, workers, batches=True, state=None, **more):
        s = stream(batches=batches, **more)
        if state is not None:
            s.load_state_dict(state)
        if batches:
            return StatefulDataLoader(s, batch_size=None, num_workers=workers)
        return StatefulDataLoader(s, batch_size=s.local_batch_size, num_workers=workers, collate_fn=plait.collate)

    def test_its_own_state(self):
        for workers in (0, 1, 3):
            for batches in (True, False):
                one = self.loader(workers, batches)
                it = iter(one)
                done = [indexes(next(it)) for _ in range(23)]
                again = self.loader(workers, batches)
                again.load_state_dict(one.state_dict())
                self.assertEqual(done + [indexes(b) for b in again], want(), (workers, batches))

    def test_its_state_for_other_workers_and_worlds(self):
        for workers, at in ((0, 11), (2, 7), (3, 22), (3, 1), (3, 49)):
            one = self.loader(workers, rank=0, world=2), self.loader(workers, rank=1, world=2)
            its = [iter(o) for o in one]
            done = [sum((indexes(next(i)) for i in its), []) for _ in range(at)]
            state = json.loads(json.dumps(plait.global_state(one[0].state_dict())))
            self.assertEqual(state["position"], at * BATCH)
            for later, world in ((0, 1), (2, 4)):
                rest = [self.loader(later, rank=r, world=world, state=state) for r in range(world)]
                rest = [sum((indexes(p) for p in parts), []) for parts in zip(*rest)]
                self.assertEqual(done + rest, want())

    def test_its_state_between_snapshots(self):
        one = StatefulDataLoader(stream(), batch_size=None, num_workers=3, snapshot_every_n_steps=5)
        it = iter(one)
        done = [indexes(next(it)) for _ in range(23)]
        again = stream()
        again.load_state_dict(plait.global_state(one.state_dict()))
        self.assertEqual(done + [indexes(b) for b in again], want())

    def test_no_plait_stream(self):
        with self.assertRaises(ValueError):
            plait.global_state({"_snapshot": {}})


RANK = """
import json, os, sys, torch.distributed as dist, plait
sys.path.insert(0, "tests/python")
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=int(sys.argv[3]), world_size=2)
s = plait.Stream(sys.argv[1], 40, batches=True, seed=5, block=64, window=3, threads=1)
assert (s.rank, s.world) == (dist.get_rank(), 2)
mine = [[x.index for x in b] for b in s]
every = [None, None]
dist.all_gather_object(every, mine)
if dist.get_rank() == 0:
    print(json.dumps([a + b for a, b in zip(*every)]))
"""


@unittest.skipIf(torch is None or not torch.distributed.is_available(), "no torch.distributed")
class TestDistributed(unittest.TestCase):
    def test_ranks_of_a_process_group(self):
        path = os.path.join(sets.work(), "rendezvous")
        env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
        ranks = [subprocess.Popen([sys.executable, "-c", RANK, sets.texts(), path, str(r)], stdout=subprocess.PIPE, text=True, env=env)
                 for r in range(2)]
        out = [r.communicate(timeout=120)[0] for r in ranks]
        self.assertEqual([r.returncode for r in ranks], [0, 0])
        self.assertEqual(json.loads(out[0]), want())
