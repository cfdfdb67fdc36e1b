# SPDX-License-Identifier: Apache-2.0
"""CLIP in small: pictures and captions, a contrastive loss, a checkpoint that resumes in mid-epoch.

usage: clip.py DATASET [--steps N] [--batch N] [--size PIXELS] [--checkpoint FILE]
Under torchrun each rank takes its part of the global batch; start again with another number of ranks and the order goes on.
"""
import argparse
import os

import torch
import torch.nn.functional as F
from torch import nn

import plait


class Pictures(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.GELU(), nn.Conv2d(16, width, 4, 4), nn.GELU())

    def forward(self, pixels):     # uint8 [n, height, width, 3], as the reader gives it
        return self.net(pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)).mean((2, 3))


class Clip(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.pictures = Pictures(width)
        self.words = nn.EmbeddingBag(4096, width)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixels, captions):
        ids = [[hash_word(w) for w in c.lower().split()] or [0] for c in captions]
        offsets = torch.tensor([0] + [len(i) for i in ids[:-1]]).cumsum(0)
        text = self.words(torch.tensor(sum(ids, [])), offsets)
        return self.scale.exp() * F.normalize(self.pictures(pixels), dim=-1) @ F.normalize(text, dim=-1).T


def hash_word(word):
    out = 0
    for byte in word.encode():
        out = (out * 31 + byte) % 4093
    return out


def train(path, steps=20, batch=32, size=64, checkpoint=None):
    torch.manual_seed(0)
    model = Clip()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    stream = plait.Stream(path, batch_size=batch, batches=True, seed=1, drop_last=True, threads=2,
                          decode=plait.Decode(size, tensors=True))
    step = 0
    if checkpoint and os.path.exists(checkpoint):
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        stream.load_state_dict(saved["stream"])
        step = saved["step"]
    losses = []
    while step < steps:
        for samples in stream:
            scores = model(samples.pixels, [s.text for s in samples])
            target = torch.arange(len(samples))
            loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
            if step == steps:
                break
        else:
            stream.set_epoch(stream.epoch + 1)
    if checkpoint:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "stream": stream.state_dict(), "step": step},
                   checkpoint)
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--checkpoint")
    a = parser.parse_args()
    losses = train(a.dataset, a.steps, a.batch, a.size, a.checkpoint)
    if losses:
        print(f"{len(losses)} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}")
