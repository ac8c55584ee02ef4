"""One experiment: a prepared target, a source, a strategy, its baselines, and what they score on the locked test set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.deploy.held_out import HeldOut
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.evaluation.verdict import NO_TRANSFER
from headstart.features.raw_pixels import raw_pixels
from headstart.features.zero_shot import why_not, zero_shot
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.sources.taps import taps_read
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.strategy import Strategy
from headstart.tasks.task import Task
from headstart.training.after import PLAIN, After
from headstart.training.classical import fit_classical
from headstart.training.transfer import Settings, Transferred, for_scratch, probabilities, task_of, transfer
from headstart.verbs.calibrate import calibrate, held_out
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
    """What an experiment found. Predictions are float32 (n_test, M), as the task decodes them; each model decodes with its own.

    ``held`` are predictions of held-out images by the same model; ``calibrated`` says how its temperature was found.
    """

    moved: Transferred
    target: np.ndarray
    baselines: dict[str, np.ndarray]
    tasks: dict[str, Task]
    history: list[dict[str, Any]]
    held: HeldOut | None = None
    calibrated: dict[str, Any] | None = None


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
    after: After = PLAIN,
    calibration: str = "none",
    clock: Clock,
    progress: Progress,
) -> Outcome:
    """Transfer (with what comes ``after`` it, which the baselines do without), calibrate the head where ``calibration`` is ``"temperature"``, then train each baseline under the same budget, and predict the test images with all of them.

    ``scratch`` is the same architecture from random weights, trained whole with the same epochs, batches and
    augmentation, at the default rate of random weights whatever the source's is (:func:`headstart.training.transfer.for_scratch`). ``probe`` is the solved head on
    the last layer of the frozen source (trained by steps where it reads tokens). ``raw_pixels`` (of images) is the same solver on 16 x 16 raw pixels: no source and
    no network. ``classical`` (of texts) is a linear model on TF-IDF of words and letters (:mod:`headstart.training.classical`).
    ``zeroshot`` (of texts) reads no label (:mod:`headstart.features.zero_shot`).
    """
    train_set, valid_set, test_set = (target.split(name) for name in ("train", "valid", "test"))
    history: list[dict[str, Any]] = []
    tasks: dict[str, Task] = {}
    scoring = SCORING[target.dataset.task]

    def judge(found: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return scoring.watch(found, labels, target.classes)

    def trained(
        name: str,
        start: Source,
        how: Strategy,
        *,
        options: Settings = settings,
        pretrained: bool = True,
        first_head: Any = None,
        layer: str = "last",
        after: After = PLAIN,
    ) -> Transferred:
        with clock(name):
            moved = transfer(
                start, how, target.classes, train_set, valid_set, options, device=device, seed=seed, score=judge,
                metric=scoring.watched(metric, target.classes), cache_dir=cache_dir, folder=folder / name, pretrained=pretrained, head=first_head,
                layer=layer, progress=progress, name=name, after=after,
            )  # fmt: skip
        history.extend({"model": name} | row for row in moved.history)
        tasks[name] = moved.task
        return moved

    where: dict[str, Any] = {"device": device, "cache_dir": cache_dir, "workers": workers, "progress": progress}

    def tested(moved: Transferred, start: Source) -> np.ndarray:
        with clock("evaluation"):
            return probabilities(moved, start, target.classes, test_set, **where)

    moved = trained("transfer", source, strategy, pretrained=pretrained, first_head=head, layer=layer, after=after)
    calibrated = None
    with clock("evaluation"):
        knows = "calibration" in moved.task.obeys
        held = held_out(moved, source, target.classes, train_set, valid_set, **where) if knows else None
        if calibration == "temperature":
            moved, held, calibrated = calibrate(moved, held)
    found = tested(moved, source)
    others: dict[str, np.ndarray] = {}
    if "scratch" in baselines:
        own = for_scratch(settings) if pretrained else settings
        twin = trained("scratch", source, parse_strategy("finetune"), options=own, pretrained=False)
        others["scratch"] = tested(twin, source)
    frozen = "head" if moved.task.by_token else "probe"  # a head that reads tokens is not solved but trained
    other = strategy.procedure.by_steps or moved.moved or taps_read(moved.reads) != taps_read(source)
    if "probe" in baselines and other and not (moved.task.by_token and strategy.name == frozen):
        others["probe"] = tested(trained("probe", source, parse_strategy(frozen)), source)
    if "raw_pixels" in baselines and target.dataset.modality == "image":
        pixels = raw_pixels()
        others["raw_pixels"] = tested(trained("raw_pixels", pixels, parse_strategy("probe")), pixels)
    if "classical" in baselines and moved.task.by_token:
        progress.say("classical is left out: words of a whole text say nothing of a place in it")
    elif "classical" in baselines and target.dataset.modality == "text":
        with clock("classical"):
            task = task_of(replace(train_set, classes=target.classes), settings, by_steps=False)
            both = [part for part in (train_set, valid_set) if len(part)]
            labels = np.concatenate([part.labels for part in both if part.labels is not None])
            groups = (
                np.concatenate([part.groups for part in both if part.groups is not None])
                if train_set.groups is not None
                else None
            )
            classical = fit_classical(
                [text for part in both for text in part.inputs], labels, task, groups=groups, seed=seed
            )
            tasks["classical"], others["classical"] = classical.task, classical.predict(test_set.inputs)
        progress.say(f"classical: {classical.criterion}")
    if "zeroshot" in baselines and target.dataset.modality == "text":
        if why := why_not(source, target.dataset):
            progress.say(f"zeroshot is left out: {why}")
        else:
            with clock("zeroshot"):
                others["zeroshot"] = zero_shot(
                    source, target.classes, test_set, cache_dir=cache_dir, device=str(device), progress=progress
                )
                tasks["zeroshot"] = task_of(replace(train_set, classes=target.classes), settings, by_steps=False)
    return Outcome(moved, found, others, tasks, history, held, calibrated)


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
