# SPDX-License-Identifier: Apache-2.0
"""LLaVA in small: conversations about pictures, a loss on the assistant's words alone.

usage: llava.py DATASET [--steps N] [--batch N] [--workers N]
Reads through torch's DataLoader: each item is this rank's part of a global batch, whatever the number of workers.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import plait

PATCHES, LENGTH, IGNORE = 16, 192, -100
ROLES = {"none": 256, "system": 257, "user": 258, "assistant": 259, "tool": 260}
IMAGE, PAD, VOCABULARY = 261, 262, 263


class Model(nn.Module):
    """Patches of the picture take the place of IMAGE tokens; what comes next is told from what came before."""

    def __init__(self, width=48):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.past = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, VOCABULARY)

    def forward(self, ids, pixels):
        x = self.tokens(ids)
        if len(pixels):
            seen = self.patches(pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)).flatten(2).transpose(1, 2)
            x = x.masked_scatter((ids == IMAGE)[..., None], seen)
        return self.out(self.past(x)[0])


def sequence(sample, first_picture):
    """Token ids, labels, and which of the batch's pictures are in them: bytes of the texts behind a token of their role, PATCHES places
    for each picture, labels where the document says loss."""
    ids, labels, pictures = [], [], []
    for segment in sample.document:
        if isinstance(segment, plait.Image):
            if len(ids) + PATCHES > LENGTH:
                break
            ids += [IMAGE] * PATCHES
            labels += [IGNORE] * PATCHES
            pictures.append(first_picture + segment.number)
        else:
            words = list(segment.text.encode())
            ids += [ROLES[segment.role], *words]
            labels += [IGNORE, *(words if segment.loss else [IGNORE] * len(words))]
    ids, labels = ids[:LENGTH], labels[:LENGTH]
    return ids + [PAD] * (LENGTH - len(ids)), labels + [IGNORE] * (LENGTH - len(labels)), pictures


def tensors_of(batch):
    firsts = {}
    for picture, sample in reversed(list(enumerate(batch.sample_of))):
        firsts[sample] = picture
    rows = [sequence(s, firsts.get(i, 0)) for i, s in enumerate(batch)]
    pictures = [p for row in rows for p in row[2]]
    return torch.tensor([r[0] for r in rows]), torch.tensor([r[1] for r in rows]), torch.from_numpy(batch.pixels[pictures])


def train(path, steps=20, batch=8, workers=0):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    stream = plait.Stream(path, batch_size=batch, batches=True, seed=1, decode=plait.Decode(64, images="all"))
    loader = DataLoader(stream, batch_size=None, num_workers=workers)
    losses = []
    while len(losses) < steps:
        for samples in loader:
            ids, labels, pixels = tensors_of(samples)
            scores = model(ids, pixels)
            loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
        stream.set_epoch(stream.epoch + 1)
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    a = parser.parse_args()
    losses = train(a.dataset, a.steps, a.batch, a.workers)
    print(f"{len(losses)} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}")
