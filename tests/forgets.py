"""A backbone that knows the label early and forgets it: red decides the class, and the last layer sees blue only."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.preprocessing import Preprocessing
from headstart.sources.source import Layer, LoadReport, Source


class Forgets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 12, 3)
        self.out = nn.Conv2d(12, 16, 1)
        with torch.no_grad():
            # channels 0..7 read red, 8..15 green, 16..23 blue; what comes later reads blue's alone
            for colour in range(3):
                mask = torch.zeros(3, 1, 1)
                mask[colour] = 1
                self.early.weight[8 * colour : 8 * colour + 8] *= mask
            self.late.weight[:, :16] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.late(self.early(x)))).relu().mean((2, 3))


def forgets() -> Source:
    torch.manual_seed(1)
    layers = [Layer(name, (name,)) for name in ("early", "late", "out")]
    return Source(
        "test/forgets", "none", "forgets", {}, Forgets().eval(), Preprocessing(size=8), layers, 16, "head", "CC0-1.0",
        "forgets", LoadReport(0, (), (), 0), Forgets,
    )  # fmt: skip


def reds(n: int, seed: int = 0, classes: int = 2) -> Dataset:
    """Noise pictures whose mean red tells the class; green and blue tell nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    pictures = []
    for label in labels:
        picture = rng.normal(120, 30, (8, 8, 3)) + rng.normal(0, 25, 3)
        picture[..., 0] = rng.normal(60 + 40 * label, 20, (8, 8))
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    digests = np.array([hashlib.sha256(p.tobytes()).hexdigest()[:24] for p in pictures])
    names = tuple("abcdef"[:classes])
    return Dataset(pictures, labels, names, np.array(["train"] * n), digests=digests)
