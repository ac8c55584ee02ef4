"""One experiment: a prepared target, a source, a strategy, its baselines, and what they score on the locked test set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import ImageDataset
from headstart.evaluation.gain import paired_gain
from headstart.evaluation.metrics import classification_metrics
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.features.raw_pixels import raw_pixels
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.strategy import Strategy
from headstart.tasks.task import Task
from headstart.training.transfer import Settings, Transferred, probabilities, transfer
from headstart.verbs.prepare import Prepared


@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


@dataclass
class Outcome:
    """What an experiment found. Predictions are float32 (n_test, M), as the task decodes them; each model decodes with its own."""

    moved: Transferred
    target: np.ndarray
    baselines: dict[str, np.ndarray]
    tasks: dict[str, Task]
    history: list[dict[str, Any]]


def experiment(
    target: Prepared,
    source: Source,
    strategy: Strategy,
    settings: Settings,
    baselines: list[str],
    *,
    metric: str,
    device: torch.device,
    seed: int,
    cache_dir: Path,
    folder: Path,
    pretrained: bool = True,
    head: tuple[torch.Tensor, torch.Tensor] | None = None,
    layer: str = "last",
    workers: int | None = None,
    clock: Clock,
    progress: Progress,
) -> Outcome:
    """Transfer, then train each baseline under the same budget, and predict the test images with all of them.

    ``scratch`` is the same architecture from random weights, trained whole with the same epochs, batches and
    augmentation (its own learning rate, see :func:`headstart.training.transfer.resolve`). ``probe`` is the solved head on
    the last layer of the frozen source. ``raw_pixels`` is the same solver on 16 x 16 raw pixels: no source and no network.
    """
    train_set, valid_set, test_set = (target.split(name) for name in ("train", "valid", "test"))
    history: list[dict[str, Any]] = []
    tasks: dict[str, Task] = {}
    scoring = SCORING[target.dataset.task]

    def judge(found: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return scoring.watch(found, labels, target.classes)

    def run(
        name: str, start: Source, how: Strategy, *, pretrained: bool = True, first_head: Any = None, layer: str = "last"
    ) -> tuple[Transferred, np.ndarray]:
        with clock(name):
            moved = transfer(
                start, how, target.classes, train_set, valid_set, settings, device=device, seed=seed, score=judge,
                metric=scoring.watched(metric, target.classes), cache_dir=cache_dir, folder=folder / name, pretrained=pretrained, head=first_head,
                layer=layer, progress=progress, name=name,
            )  # fmt: skip
        with clock("evaluation"):
            found = probabilities(
                moved,
                start,
                target.classes,
                test_set,
                device=device,
                cache_dir=cache_dir,
                workers=workers,
                progress=progress,
            )
        history.extend({"model": name} | row for row in moved.history)
        tasks[name] = moved.task
        return moved, found

    moved, found = run("transfer", source, strategy, pretrained=pretrained, first_head=head, layer=layer)
    others: dict[str, np.ndarray] = {}
    if "scratch" in baselines:
        others["scratch"] = run("scratch", source, parse_strategy("finetune"), pretrained=False)[1]
    if "probe" in baselines and (strategy.procedure.by_steps or moved.reads is not source):
        others["probe"] = run("probe", source, parse_strategy("probe"))[1]
    if "raw_pixels" in baselines:
        others["raw_pixels"] = run("raw_pixels", raw_pixels(), parse_strategy("probe"))[1]
    return Outcome(moved, found, others, tasks, history)


NO_TRANSFER = ("scratch", "raw_pixels")
"""Baselines that use no source: what transfer has to beat."""


def score(outcome: Outcome, labels: np.ndarray, metric: str) -> dict[str, Any]:
    """Scores with intervals, gains over each baseline, and the gain over the strongest one that uses no source."""
    task = outcome.moved.task
    scoring = SCORING[task.name]
    result: dict[str, Any] = {"target": scoring.scores(outcome.target, labels, task), "baselines": {}, "gains": {}}
    for name, found in outcome.baselines.items():
        result["baselines"][name] = scoring.scores(found, labels, outcome.tasks[name])
        result["gains"][name] = scoring.gain(outcome.target, found, labels, metric, (task, outcome.tasks[name]))
    rivals = [name for name in NO_TRANSFER if name in outcome.baselines]
    if rivals:
        sign = 1 if scoring.metrics(task.classes)[metric].larger else -1
        best = max(rivals, key=lambda name: sign * result["baselines"][name][metric]["value"])
        result["transfer_gain"] = {"versus": best, "metric": metric, **result["gains"][best]}
    else:
        result["transfer_gain"] = None
    return result


def source_scores(
    source: Source,
    moved: Transferred,
    data: ImageDataset,
    *,
    device: torch.device,
    cache_dir: Path,
    seed: int,
    workers: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores on the source's own data before and after the transfer: how much was forgotten.

    With a source head whose classes include those of ``data`` (matched by name), that head reads the features before
    and after. Otherwise a fresh solved head is trained on a share of the data, on the features before and after; it
    tells how much of what the features knew is still in them.
    """
    from dataclasses import replace

    from headstart.features.extract import extract
    from headstart.training.probe import fit_probe

    assert data.labels is not None
    after = replace(source, backbone=moved.backbone, digest="moved")
    features = [extract(source, data, cache_dir=cache_dir, device=str(device), progress=progress).X]
    features.append(
        extract(after, data, cache_dir=None, device=str(device), progress=progress).X if moved.moved else features[0]
    )
    if source.head is not None and set(data.classes) <= set(source.classes):
        labels = np.array([source.classes.index(name) for name in data.classes])[data.labels]
        weight, bias = source.head
        found = [torch.softmax(torch.as_tensor(x) @ weight.T.float() + bias.float(), 1).numpy() for x in features]
        how, names = "the source's own head", source.classes
    else:
        pick = np.random.default_rng(seed).permutation(len(data))
        learn, test = pick[: len(data) // 2], pick[len(data) // 2 :]
        labels, found = data.labels[test], []
        for x in features:
            probe = fit_probe(x[learn], data.labels[learn], len(data.classes), seed=seed)
            found.append(torch.softmax(torch.as_tensor(x[test] @ probe.weight.T + probe.bias), 1).numpy())
        how, names = "a new head solved on half of the source data, tested on the other half", data.classes
    return {
        "before": classification_metrics(found[0], labels, names),
        "after": classification_metrics(found[1], labels, names),
        "change": paired_gain(found[1], found[0], labels, metric="accuracy"),
        "read_by": how,
        "n": len(labels),
    }
