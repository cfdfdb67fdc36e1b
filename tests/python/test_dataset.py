# SPDX-License-Identifier: Apache-2.0
"""plait.Dataset: any sample by number and key, against what tarfile over zstd -dc says."""
import gc
import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import unittest

import plait
import sets

try:
    import numpy
except ImportError:
    numpy = None


def by_tarfile(shard):
    data = subprocess.run(["zstd", "-dcq", shard], check=True, stdout=subprocess.PIPE).stdout
    out = {}
    for member in (tar := tarfile.open(fileobj=io.BytesIO(data))):
        key, suffix = member.name.split(".", 1)
        out.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    return out


def digest_of(data, numbers):
    return [(data[i].key, len(data[i].parts["json"])) for i in numbers]


def in_child(queue, data, numbers):
    queue.put(digest_of(data, numbers))


class TestDataset(unittest.TestCase):
    def test_every_sample_as_tar_has_it(self):
        for path in (sets.texts(), sets.pairs(), sets.pages()):
            data = plait.Dataset(path)
            want = [item for shard in sets.shards(path) for item in by_tarfile(shard).items()]
            self.assertEqual(len(data), len(want))
            for i, (key, parts) in enumerate(want):
                sample = data[i]
                self.assertEqual((sample.key, sample.parts, list(sample.parts)), (key, parts, list(parts)))
                self.assertEqual(sample.index, i)
            self.assertEqual([s.key for s in data], [key for key, _ in want])

    def test_numbers_slices_keys(self):
        data = plait.Dataset(sets.texts())
        self.assertEqual(data[-1].index, len(data) - 1)
        self.assertEqual([s.index for s in data[10:40:7]], [10, 17, 24, 31, 38])
        self.assertEqual([s.index for s in data.__getitems__([1999, 3, 3, 700])], [1999, 3, 3, 700])
        for i in (0, 999, 1999):
            self.assertEqual(data.find(data[i].key), i)
        self.assertEqual(data[data[77].key].index, 77)
        for bad in (len(data), -len(data) - 1):
            with self.assertRaises(IndexError):
                data[bad]
        with self.assertRaises(KeyError):
            data.find("no such key")
        with self.assertRaises(TypeError):
            data[1.5]

    def test_shards_and_info(self):
        path = sets.texts()
        data = plait.Dataset(path)
        with open(os.path.join(path, "dataset.json")) as f:
            self.assertEqual(data.info, json.load(f))
        self.assertEqual(sum(s.samples for s in data.shards), len(data))
        self.assertEqual(data[data.shards[3].first].shard, 3)
        some = plait.Dataset(sets.shards(path)[2:4])
        self.assertEqual(some[0].key, data[data.shards[2].first].key)
        self.assertEqual(len(plait.Dataset(sets.shards(path)[0])), data.shards[0].samples)
        self.assertNotEqual(some.digest, data.digest)
        self.assertEqual(plait.Dataset(path).digest, data.digest)

    def test_documents(self):
        data = plait.Dataset(sets.pages())
        images = 0
        for sample in data:
            document = sample.document
            self.assertEqual(document.raw["key"], sample.key)
            self.assertEqual(len(document), len(document.raw["segments"]))
            self.assertEqual([i.part for i in document.images], sample.image_names)
            self.assertEqual([i.number for i in document.images], list(range(len(document.images))))
            self.assertEqual([t.text for t in document.texts], [s["text"] for s in document.raw["segments"] if s["type"] == "text"])
            for image, data_ in zip(document.images, sample.images):
                self.assertEqual(data_[:4], b"RIFF")
                self.assertEqual((image.width, image.height), (64, 64))
            images += len(document.images)
        self.assertEqual(images, data.info["images"])
        pair = plait.Dataset(sets.pairs())[0]
        self.assertTrue(pair.document.texts[0].loss)
        self.assertEqual(pair.text, pair.document.texts[0].text)
        self.assertIn("json", pair)

    def test_foreign_shards_are_captions_and_images(self):
        path = os.path.join(sets.work(), "foreign.tar")
        with tarfile.open(path, "w") as tar:
            for name, data in (("a.jpg", b"jpeg"), ("a.txt", b"caption of a"), ("b.png", b"png"), ("b.json", b'{"caption": "b"}')):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        data = plait.Dataset([path])
        self.assertEqual([[i.part for i in s.document.images] for s in data], [["jpg"], ["png"]])
        self.assertEqual([s.text for s in data], ["caption of a", "b"])

    def test_pickle_reopens(self):
        data = plait.Dataset(sets.pairs())
        again = pickle.loads(pickle.dumps(data))
        self.assertEqual(digest_of(again, range(0, 200, 13)), digest_of(data, range(0, 200, 13)))
        sample = pickle.loads(pickle.dumps(data[5]))
        self.assertEqual((sample.key, sample.parts, sample.index), (data[5].key, data[5].parts, 5))

    def test_pickle_refuses_another_data_set(self):
        copy = os.path.join(sets.work(), "copy")
        shutil.copytree(sets.texts(), copy, ignore=shutil.ignore_patterns("work", ".plait"))
        text = pickle.dumps(plait.Dataset(copy))
        with open(os.path.join(copy, "dataset.json")) as f:
            said = json.load(f)
        said["shards"].pop()
        with open(os.path.join(copy, "dataset.json"), "w") as f:
            json.dump(said, f)
        with self.assertRaisesRegex(plait.DamagedError, "not the data set"):
            pickle.loads(text)

    def test_fork_and_spawn(self):
        data = plait.Dataset(sets.texts())
        numbers = list(range(0, 2000, 37))
        want = digest_of(data, numbers)     # cursors are open before the fork
        data.find(data[3].key)
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            queue = context.Queue()
            children = [context.Process(target=in_child, args=(queue, data, numbers)) for _ in range(2)]
            for c in children:
                c.start()
            for _ in children:
                self.assertEqual(queue.get(timeout=120), want)
            for c in children:
                c.join(120)
                self.assertEqual(c.exitcode, 0)
        self.assertEqual(digest_of(data, numbers), want)

    def test_threads_share_it(self):
        data = plait.Dataset(sets.texts())
        want = digest_of(data, range(2000))
        got, bad = [None] * 6, []

        def read(k):
            try:
                numbers = [(i * 7 + k * 331) % 2000 for i in range(2000)]
                got[k] = dict(zip(numbers, digest_of(data, numbers)))
                if data.find(want[k * 300][0]) != k * 300:
                    bad.append(k)
            except Exception as e:
                bad.append(e)
        threads = [threading.Thread(target=read, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])
        for g in got:
            self.assertEqual([g[i] for i in range(2000)], want)

    def test_context_manager(self):
        with plait.Dataset(sets.pairs()) as data:
            data[0]
        with self.assertRaisesRegex(ValueError, "closed"):
            data[0]

    def test_files_do_not_leak(self):
        def opened():
            return len(os.listdir("/proc/self/fd"))
        before = opened()
        for _ in range(20):
            data = plait.Dataset(sets.texts(), max_open=4)
            for i in range(0, 2000, 50):
                data[i]
            self.assertLess(opened(), before + 8)
            del data
        self.assertLessEqual(opened(), before + 1)

    def test_what_is_not_there(self):
        with self.assertRaises(FileNotFoundError):
            plait.Dataset(os.path.join(sets.work(), "nothing"))
        with self.assertRaises(ValueError):
            plait.Dataset([])
        with self.assertRaises(TypeError):
            plait.Dataset([3])

    def test_damage_is_told_and_passes(self):
        copy = os.path.join(sets.work(), "damaged")
        shutil.copytree(sets.texts(), copy, ignore=shutil.ignore_patterns("work", ".plait"))
        data = plait.Dataset(copy)
        want = digest_of(data, range(2000))
        victim = sets.shards(copy)[1]
        with open(victim, "r+b") as f:
            f.seek(os.path.getsize(victim) // 3)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 0x10]))
        data = plait.Dataset(copy)
        lost = []
        for i in range(2000):
            try:
                self.assertEqual(digest_of(data, [i])[0], want[i])
            except plait.DamagedError as e:
                self.assertIn("000001.tar.zst", str(e))
                lost.append(i)
        self.assertTrue(0 < len(lost) < 60, lost)
        self.assertEqual(lost, list(range(lost[0], lost[-1] + 1)))
        with self.assertRaises(plait.DamagedError):
            list(plait.Stream(data, 10, seed=3))
        stream = plait.Stream(data, 10, seed=3, on_damage="skip")
        self.assertEqual(sorted(s.index for s in stream), sorted(set(range(2000)) - set(lost)))
        self.assertEqual(stream.stats()["skipped_samples"], len(lost))
        self.assertIn("000001.tar.zst", stream.damage)


@unittest.skipIf(numpy is None, "no numpy")
class TestDecode(unittest.TestCase):
    def test_against_pillow(self):
        try:
            from PIL import Image
        except ImportError:
            self.skipTest("no Pillow")
        data = plait.Dataset(sets.pairs())
        for i in range(0, 200, 20):
            raw = data[i].images[0]
            got = plait.decode_image(raw).astype(int)
            want = numpy.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).astype(int)
            self.assertEqual(got.shape, want.shape)
            self.assertLessEqual(abs(got - want).max(), 1)
            # Chroma is scaled as it is stored, so brightness is what can be compared.
            small = plait.decode_image(raw, plait.Decode((40, 56), fit="squash", scale=1000000))
            want = Image.open(io.BytesIO(raw)).convert("RGB").resize((56, 40), Image.BICUBIC)
            self.assertEqual(small.shape, (40, 56, 3))
            brightness = [numpy.asarray(x.convert("L"), float) for x in (Image.fromarray(small), want)]
            self.assertLess(abs(brightness[0] - brightness[1]).mean(), 0.5)

    def test_pixels_of_samples(self):
        first = plait.Dataset(sets.pairs(), decode=plait.Decode(48))
        self.assertEqual(first[3].pixels.shape, (48, 48, 3))
        self.assertEqual(list(first[3].parts), ["json"])
        kept = plait.Dataset(sets.pairs(), decode=plait.Decode(48, keep_bytes=True))
        self.assertEqual(len(kept[3].images), 1)
        every = plait.Dataset(sets.pages(), decode=plait.Decode(32, images="all"))
        for sample in every:
            self.assertEqual(sample.pixels.shape, (len(sample.document.images), 32, 32, 3))
        own = plait.Dataset(sets.pages(), decode=plait.Decode(fit="none", images="all"))
        self.assertEqual({p.shape for s in own for p in s.pixels}, {(64, 64, 3)})
        self.assertTrue((first[7].pixels == next(s for s in first if s.index == 7).pixels).all())
        text = plait.Dataset(sets.texts(), decode=plait.Decode(32))
        self.assertIsNone(text[0].pixels)
        again = pickle.loads(pickle.dumps(first))
        self.assertTrue((again[9].pixels == first[9].pixels).all())

    def test_pixels_of_a_batch_stay(self):
        """They are the reader's own memory: later batches, and the end of the pass, leave them alone."""
        def batches(threads):
            return plait.Stream(sets.pairs(), 20, seed=1, threads=threads, batches=True, decode=plait.Decode(64))
        for threads in (0, 2):
            kept = [b.pixels for b in batches(threads)]
            copies = [b.pixels.copy() for b in batches(threads)]
            self.assertTrue(all((k == c).all() for k, c in zip(kept, copies)))
            self.assertTrue(all(k.flags.writeable for k in kept))
            source = iter(batches(threads))
            early = next(source)
            del source
            gc.collect()
            self.assertTrue((early.pixels == copies[0]).all())
            self.assertTrue((early[3].pixels == copies[0][3]).all())

    def test_lets_go_of_the_interpreter(self):
        """With turns of 1000 s another thread runs only when the one that decodes lets it."""
        raw = plait.Dataset(sets.pairs())[0].images[0]
        large = plait.Decode(5000, fit="squash")
        stream = plait.Stream(sets.pairs(), 4, seed=1, threads=0, batches=True, decode=plait.Decode(3000))
        turn = sys.getswitchinterval()
        for work in (lambda: plait.decode_image(raw, large), lambda: next(iter(stream))):
            begun, done = threading.Event(), []

            def run():
                begun.set()
                work()
                done.append(True)
            sys.setswitchinterval(1000)
            try:
                thread = threading.Thread(target=run)
                thread.start()
                begun.wait()
                self.assertEqual(done, [])
            finally:
                sys.setswitchinterval(turn)
                thread.join()

    def test_refuses_what_is_no_image(self):
        for bad in (b"", b"no image", b"\xff\xd8\xff\xe0 and no more"):
            with self.assertRaises((plait.Error, ValueError)):
                plait.decode_image(bad)
        for wrong in (dict(fit="fill"), dict(filter="nearest"), dict(images="last"), dict(size=0)):
            with self.assertRaises(ValueError):
                plait.Decode(**wrong)
