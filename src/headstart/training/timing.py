"""How long training will take, from a few real steps."""

from __future__ import annotations

import copy
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, batches
from headstart.sources.source import Source
from headstart.strategies.strategy import Strategy
from headstart.tasks.task import Task
from headstart.training import checkpoint, loop, lr_range
from headstart.training.device import accelerator
from headstart.training.finetune import DECODED_BYTES, EVAL_BATCH, Course, Feeding, set_up
from headstart.training.memory_use import peak_memory, used_bytes
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups
from headstart.training.randomness import untouched_randomness
from headstart.training.update import Pieces, update

STEPS = 5
"""Batches that are timed, after one that warms up."""


SWEPT = 0.75
"""Share of a range test's steps that is counted: its runs end where they diverge."""


@dataclass(frozen=True)
class Loading:
    """Seconds to load an image: ``first`` decodes it, ``again`` finds it decoded; ``bytes`` is what it takes of the room."""

    first: float
    again: float
    bytes: float

    def epochs(self, n: int, room: float) -> tuple[float, float]:
        """Seconds of the first epoch and of each later one for ``n`` images, where ``room`` bytes are left for them."""
        kept = min(1.0, room / max(1.0, n * self.bytes))
        return n * self.first, n * (kept * self.again + (1 - kept) * self.first)


@dataclass(frozen=True)
class StepTimes:
    """Seconds of each part of training; the parts run one after the other, so that they add up.

    Attributes:
        update: one update on ``batch_size`` images: forward, backward, optimiser.
        evaluate: the forward pass of one image in an evaluation.
        train, valid: loading of training images (decoding, augmentation) and of validation images.
        save: the checkpoint of an epoch.
        batch_size: images an update.
        peak_bytes: what updates and evaluation took at their peak, beyond what was held before.
        repeats: how often an epoch shows each training image.
    """

    update: float
    evaluate: float
    train: Loading
    valid: Loading
    save: float
    batch_size: int
    peak_bytes: int
    repeats: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _epochs(self, n_train: int, n_valid: int) -> tuple[float, float]:
        """Seconds of the first epoch and of each later one, checkpoints apart. Training images take the room first."""
        shown = n_train * self.repeats
        first, later = self.train.epochs(shown, DECODED_BYTES)
        left = max(0.0, DECODED_BYTES - n_train * self.train.bytes)
        valid_first, valid_later = self.valid.epochs(n_valid, left)
        updates = shown / self.batch_size  # a last batch that is not full counts as its share
        work = updates * self.update + n_valid * self.evaluate
        return work + first + valid_first, work + later + valid_later

    def training(self, epochs: int, n_train: int, n_valid: int = 0, *, find_lr: bool = False) -> float:
        """Seconds of a whole training that is not stopped early.

        Args:
            epochs: >= 1.
            n_train, n_valid: images.
            find_lr: whether a range test goes before it; three quarters of its steps are counted, as its runs end early.
        """
        first, later = self._epochs(n_train, n_valid)
        _, loading = self.train.epochs(n_train, DECODED_BYTES)
        sweep = SWEPT * lr_range.RUNS * lr_range.STEPS * (self.update + self.batch_size * loading / n_train)
        every = max(
            1, math.ceil(self.save / (loop.SAVE_SHARE * max(later, 1e-9)))
        )  # epochs from one checkpoint to the next
        saves = 1 + -(-(epochs - 1) // every)
        return first + (epochs - 1) * later + saves * self.save + (sweep if find_lr else 0.0)

    def epochs_within(self, seconds: float, n_train: int, n_valid: int = 0, *, find_lr: bool = False) -> int:
        """The most epochs that ``seconds`` allow; 0 where one does not fit."""
        one = self.training(1, n_train, n_valid, find_lr=find_lr)
        if one > seconds:
            return 0
        epochs = 1 + int((seconds - one) / max(self._epochs(n_train, n_valid)[1], 1e-9))
        while self.training(epochs, n_train, n_valid, find_lr=find_lr) > seconds:
            epochs -= 1
        return epochs


def measure_times(
    source: Source,
    strategy: Strategy,
    task: Task,
    train_set: Dataset,
    valid_set: Dataset | None,
    feeding: Feeding,
    options: Optimisation,
    *,
    pretrained: bool,
    device: torch.device,
    seed: int,
    precision: str = "auto",
    micro_batch: int | None = None,
    steps: int = STEPS,
) -> StepTimes:
    """Time a few real batches of what :func:`headstart.training.finetune.finetune` would do with the same arguments.

    Each part is timed by itself: loading with an empty cache and again with a filled one, updates and evaluation on the
    loaded batches, the writing of a checkpoint. The value of a part is its **mean** over ``steps`` repetitions after one
    that warms up, since the total is a sum. The backbone is copied; random states are put back.

    Args:
        strategy: one that takes gradient steps.
        steps: >= 1, batches that are timed.
        micro_batch: as for :func:`headstart.training.loop.train`.

    Raises:
        HandshakeError: parts of the strategy that cannot act.
        OutOfMemory: one image at a time does not fit.
    """
    before = used_bytes(device)
    with untouched_randomness(device), peak_memory(device) as peak:
        course = set_up(
            source, copy.deepcopy(source.backbone), strategy, task, train_set, feeding, pretrained=pretrained,
            device=device, seed=seed,
        )  # fmt: skip
        train, window = _loading(course.cache, lambda: itertools.islice(course.batches(0), steps))
        update, save = _updates(course, options, window, device, precision, micro_batch, steps)
        valid, evaluate = Loading(0.0, 0.0, 0.0), 0.0
        if valid_set is not None and len(valid_set):
            some, cache = valid_set.subset(np.arange(min(len(valid_set), EVAL_BATCH))), DecodedCache(DECODED_BYTES)
            valid, shown = _loading(
                cache,
                lambda: batches(
                    some, source.preprocessing, batch_size=EVAL_BATCH, workers=feeding.workers, cache=cache
                ),
            )
            evaluate = _evaluation(course, shown[0].inputs[: micro_batch or EVAL_BATCH], device)
    return StepTimes(update, evaluate, train, valid, save, course.size, max(0, peak.bytes - before), feeding.repeats)


def _loading(cache: DecodedCache, load: Callable[[], Iterable[Batch]]) -> tuple[Loading, list[Batch]]:
    """How long the same batches take twice, with an empty cache and with what is then in it; and the batches."""
    seconds, room = [], cache.room
    for _ in range(2):
        start = time.perf_counter()
        found = list(load())
        seconds.append(time.perf_counter() - start)
    n = sum(map(len, found))
    return Loading(seconds[0] / n, min(seconds) / n, (room - cache.room) / n), found


def _updates(
    course: Course, options: Optimisation, window: list[Batch], device: torch.device, precision: str,
    micro_batch: int | None, steps: int,
) -> tuple[float, float]:  # fmt: skip
    engine, objective = accelerator(device, precision, course.objective.model), course.objective
    model = objective.model
    model.to(device=engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = engine.prepare(make_optimizer(parameter_groups(objective, options), options))
    objective.begin(1.0)
    pieces = Pieces(micro_batch, lambda line: None, "timing")
    turns: Iterator[Batch] = itertools.cycle(window)

    def one() -> None:
        update(objective, [next(turns)], pieces, engine, optimizer, options, "timing")

    def save() -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save_last(Path(folder), {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
            checkpoint.save_best(Path(folder), copy.deepcopy(model.state_dict()))

    return _mean(one, steps, device), _mean(save, 1, device)


@torch.inference_mode()
def _evaluation(course: Course, images: torch.Tensor, device: torch.device) -> float:
    model, task = course.objective.model.eval(), course.objective.task

    def once() -> None:
        task.decode(model(images.to(device, memory_format=torch.channels_last))).cpu()

    return _mean(once, 2, device) / len(images)


def _mean(work: Callable[[], None], times: int, device: torch.device) -> float:
    """Seconds of ``work``, the mean of ``times`` after one that warms up."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / times
