# SPDX-License-Identifier: Apache-2.0
"""Flamingo in small: pages of text with pictures between, text that sees the pictures before it.

usage: interleaved.py DATASET [--steps N] [--batch N]
Decodes by itself, picture by picture, where the document has its place: no shape is forced on a page.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn

import plait

LENGTH, PAD, PICTURE = 256, 256, 257


class Model(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.bytes = nn.Embedding(258, width)
        self.see = nn.Sequential(nn.Conv2d(3, width, 16, 16), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.past = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 258)

    def forward(self, ids, pictures):
        x = self.bytes(ids)
        if pictures:
            pixels = torch.stack(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)
            x = x.masked_scatter((ids == PICTURE)[..., None], self.see(pixels))
        return self.out(self.past(x)[0])


def page(sample, decode):
    """The bytes of the texts, one PICTURE for each image, and the pictures that fit, in the order of the document."""
    ids, pictures = [], []
    for segment in sample.document:
        if isinstance(segment, plait.Text):
            ids += segment.text.encode()
        elif segment.part is not None and len(ids) < LENGTH:
            pictures.append(plait.decode_image(sample[segment.part], decode))
            ids.append(PICTURE)
    return ids[:LENGTH] + [PAD] * (LENGTH - len(ids)), pictures


def train(path, steps=20, batch=8):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    decode = plait.Decode(64, fit="squash", tensors=True)
    stream = plait.Stream(path, batch_size=batch, batches=True, seed=1)
    losses = []
    while len(losses) < steps:
        for samples in stream:
            pages = [page(s, decode) for s in samples]
            ids = torch.tensor([p[0] for p in pages])
            scores = model(ids, [picture for p in pages for picture in p[1]])
            target = ids[:, 1:].masked_fill(ids[:, 1:] >= PAD, -100)
            loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), target.flatten(), ignore_index=-100)
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
    a = parser.parse_args()
    losses = train(a.dataset, a.steps, a.batch)
    print(f"{len(losses)} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}")
