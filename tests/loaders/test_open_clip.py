# SPDX-License-Identifier: Apache-2.0
"""open_clip's own data pipeline over the export."""

import glob
from types import SimpleNamespace

import numpy
import own
import torch
import torch_stub  # noqa: F401  before open_clip
from open_clip_train.data import get_wds_dataset


def test_pairs(work):
    """open_clip's get_wds_dataset yields every pair: pixels and caption"""
    truth = {s.caption() + own.pixels(s.images[0]): s for s in own.samples(work + "/pairs")}
    tars = sorted(glob.glob(work + "/pairs.webdataset/*.tar"))
    args = SimpleNamespace(train_data=None, val_data="::".join(tars), val_num_samples=len(truth), batch_size=8, workers=0, world_size=1, seed=0,
                           dataset_resampled=False, train_num_samples=None, train_data_upsampling_factors=None)
    info = get_wds_dataset(args, lambda image: torch.from_numpy(numpy.array(image)), is_train=False,
                           tokenizer=lambda text: [torch.tensor(list(text.encode()) + [0] * (2000 - len(text.encode())))])
    found = []
    for images, texts in info.dataloader:
        for image, text in zip(images, texts):
            text = bytes(text.tolist()).rstrip(b"\0").decode()
            found.append(text + own.hashlib.sha256(image.numpy().tobytes()).hexdigest())
    assert found == list(truth), (len(found), len(truth))


own.main(test_pairs)
