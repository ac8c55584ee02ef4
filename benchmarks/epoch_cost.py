"""What one more epoch of fine-tuning costs beside a plain PyTorch loop: same model, images, augmentation, optimiser, precision.

    python benchmarks/epoch_cost.py --data ../shared/data

The plain loop is what a person would write: a DataLoader over decoded images, forward, loss, backward, clip, step, schedule. Ours
is `training/finetune.py` with everything on that `headstart fit` uses (checkpoints included, validation left out on both sides).
The two take turns, epoch for epoch as they come; a ratio is ours over plain, of the median epoch after the first.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from headstart.data.augment import augmentation
from headstart.data.images import read_image
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.tasks.classification import Classification
from headstart.training.finetune import Feeding, finetune
from headstart.training.transfer import resolve
from headstart.verbs.prepare import prepare

CPU = torch.device("cpu")


class Decoded(Dataset[Any]):
    """Images decoded once, augmented and normalised on each visit."""

    def __init__(self, images: list[torch.Tensor], labels: np.ndarray, preprocessing: Any) -> None:
        self.images, self.labels, self.preprocessing = images, labels, preprocessing
        self.augment = augmentation("light")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = self.augment.image(self.images[i], self.preprocessing)
        return self.preprocessing.normalize(image[None])[0], int(self.labels[i])


def plain(source: Any, train_set: Any, epochs: int, batch: int) -> list[float]:
    """Seconds of each epoch of the plain loop."""
    torch.manual_seed(0)
    net = nn.Sequential(copy.deepcopy(source.backbone), nn.Linear(source.width, len(train_set.classes)))
    net.to(memory_format=torch.channels_last)
    data = Decoded([read_image(ref) for ref in train_set.inputs], train_set.labels, source.preprocessing)
    loader = DataLoader(data, batch_size=batch, shuffle=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.01)
    total = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: (1 + math.cos(math.pi * i / total)) / 2)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        net.train()
        for images, labels in loader:
            loss = nn.functional.cross_entropy(net(images.contiguous(memory_format=torch.channels_last)), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def ours(source: Any, train_set: Any, strategy: str, epochs: int, batch: int) -> list[float]:
    """Seconds of each epoch of ours, from the end of one to the end of the next, so that checkpoints count."""
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        finetune(
            source, copy.deepcopy(source.backbone), parse_strategy(strategy), Classification(train_set.classes), train_set, None,
            Feeding(batch_size=batch), resolve({"epochs": epochs}, len(train_set), batch, pretrained=True), pretrained=True,
            device=CPU, seed=0, score=lambda p, y: {}, metric="accuracy", precision="fp32", folder=Path(folder), progress=SILENT,
            on_epoch=lambda row: ends.append(time.perf_counter()),
        )  # fmt: skip
    return list(np.diff(ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="random/timm/resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    prepared = prepare(
        str(options.data / "vision/rsscn7-satellite/rsscn7-satellite.zip"), valid_fraction=0.0, progress=SILENT
    )
    train_set = prepared.split("train")
    train_set = train_set.subset(np.arange(min(options.images, len(train_set))))
    source = load_source(options.source, image_size=options.size)
    source.name = "the benchmark's source"  # l2sp asks for a pretrained start; its cost does not depend on the weights
    found: dict[str, list[float]] = {"plain": [], "finetune": [], "l2sp": []}
    for _ in range(options.turns):
        found["plain"] += plain(source, train_set, 3, options.batch)[1:]
        for strategy in ("finetune", "l2sp"):
            found[strategy] += ours(source, train_set, strategy, 3, options.batch)
    middle = {name: float(np.median(values)) for name, values in found.items()}
    print(
        f"{options.source} at {options.size} px, {len(train_set)} images, batches of {options.batch}, fp32, {torch.get_num_threads()} threads"
    )
    for name, value in middle.items():
        print(
            f"{name:9s} {value:6.2f} s an epoch, {value / middle['plain']:.3f} times plain  (of {len(found[name])}, {min(found[name]):.2f} to {max(found[name]):.2f})"
        )


if __name__ == "__main__":
    main()
