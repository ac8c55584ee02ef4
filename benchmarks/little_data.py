"""Does it help? Wrong labels (elr, smallloss) and unlabelled images (fixmatch, pseudo) on one small real target.

    python benchmarks/little_data.py --data ../shared/data --study noise
    python benchmarks/little_data.py --data ../shared/data --study unlabelled

Of each class 40 training images at 48 px are used; half of all images are for the test. ``noise``: 40 % of the training
labels are replaced by another class, drawn evenly (symmetric noise); the test labels stay right. ``unlabelled``: four labelled images a class, the other training images without their labels. Every arm starts from
the same source, sees the same images and takes the same number of epochs; the accuracy is that of the last epoch, since a
validation split of so few, or of wrong, labels would choose by chance.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.evaluation.metrics import point_metrics
from headstart.folder import cache_root
from headstart.progress import SILENT
from headstart.sources import load_source
from headstart.strategies.grammar import parse_strategy
from headstart.training.finetune import Feeding
from headstart.training.transfer import Settings, probabilities, transfer
from headstart.verbs.prepare import Prepared, prepare

TARGETS = {
    "rsscn7-satellite": "vision/rsscn7-satellite/rsscn7-satellite.zip",
    "apple-leaf-disease": "vision/apple-leaf-disease/apple-leaf-disease.zip",
}
ARMS = {
    "noise": ("probe", "finetune", "finetune+elr", "finetune+smallloss(0.4)"),
    "unlabelled": ("probe", "finetune", "finetune+fixmatch(threshold=0.8)", "finetune+pseudo(threshold=0.8)"),
}
EPOCHS = {"noise": 24, "unlabelled": 60}
PER_CLASS, SHARE, LABELS = 40, 0.4, 4
SIZE = 48
"""Training images a class; share of wrong labels; labels a class in the study of unlabelled images; side in pixels."""


def with_noise(labels: np.ndarray, k: int, share: float, seed: int) -> np.ndarray:
    """``share`` of the labels replaced by another class, each of the other ``k - 1`` with the same chance."""
    rng = np.random.default_rng([seed, 40])
    wrong = rng.permutation(len(labels))[: round(share * len(labels))]
    changed = labels.copy()
    changed[wrong] = (labels[wrong] + rng.integers(1, k, len(wrong))) % k
    return changed


def sets(study: str, target: Prepared, seed: int) -> tuple[Dataset, Dataset | None]:
    """Training images as the study has them, and the unlabelled ones."""
    train = target.split("train")
    assert train.labels is not None
    if study == "noise":
        return replace(train, labels=with_noise(train.labels, len(target.classes), SHARE, seed)), None
    rng = np.random.default_rng([seed, 4])
    few = np.concatenate([
        rng.permutation(np.flatnonzero(train.labels == label))[:LABELS] for label in range(len(target.classes))
    ])  # fmt: skip
    rest = np.setdiff1d(np.arange(len(train)), few)
    return train.subset(few), replace(train.subset(rest), labels=None)


def run(
    study: str, arm: str, target: Prepared, source: Any, seed: int, epochs: int
) -> tuple[float, float, dict[str, Any]]:
    """Test accuracy, seconds and the last row of the history of one arm."""
    train, unlabelled = sets(study, target, seed)
    strategy = parse_strategy(arm)
    uses = any("unlabelled_target" in term.needs for term in strategy.terms)
    feeding = Feeding(
        batch_size=32 if study == "noise" else 16, augment="light", unlabelled=unlabelled if uses else None
    )
    start = time.perf_counter()
    where = {"device": torch.device("cpu"), "cache_dir": cache_root(), "progress": SILENT}
    moved = transfer(
        source, strategy, target.classes, train, None, Settings(feeding, {"epochs": epochs}), seed=seed, score=point_metrics, **where
    )  # fmt: skip
    test = target.split("test")
    found = probabilities(moved, source, target.classes, test, **where)
    row = moved.history[-1] if moved.history else {}
    return float((found.argmax(1) == test.labels).mean()), time.perf_counter() - start, row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--study", choices=list(ARMS), required=True)
    parser.add_argument("--target", choices=list(TARGETS), default="rsscn7-satellite")
    parser.add_argument("--source", default="bundled/objects")
    parser.add_argument("--arm", action="append", help="a strategy; default: those of the study")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = load_source(given.source, image_size=SIZE)
    epochs = given.epochs or EPOCHS[given.study]
    arms = given.arm or ARMS[given.study]
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for seed in range(given.seed, given.seed + given.seeds):
        target = prepare(
            str(given.data / TARGETS[given.target]), valid_fraction=0.0, test_fraction=0.5, labels_per_class=PER_CLASS, seed=seed, progress=SILENT
        )  # fmt: skip
        for arm in arms:
            accuracy, seconds, row = run(given.study, arm, target, source, seed, epochs)
            found[arm].append(accuracy)
            parts = {
                k: round(v, 3)
                for k, v in row.items()
                if isinstance(v, float) and k not in ("lr", "seconds", "images_per_second")
            }
            print(f"seed {seed}  {arm:28s} {accuracy:.3f}  {seconds:5.1f} s  {parts}", flush=True)
    print(f"\n{given.study}, {given.target}, {given.source}, {epochs} epochs, {given.seeds} seeds from {given.seed}")
    for arm, values in found.items():
        print(f"{arm:28s} {np.mean(values):.3f}  {' '.join(f'{v:.3f}' for v in values)}")


if __name__ == "__main__":
    main()
