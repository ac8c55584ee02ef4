"""Train one backbone for several tasks, each with a head, a loss and images of its own."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import ImageDataset
from headstart.errors import HandshakeError, sentence
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.strategies.strategy import Strategy
from headstart.strategies.tuning.tuning import Tuning, refuse_unopened
from headstart.tasks.task import Model, Task
from headstart.training.balance import BALANCES, Balance, Together
from headstart.training.finetune import Course, Feeding, predict_batches, set_up
from headstart.training.loop import Fitted, train
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation


@dataclass(frozen=True)
class Member:
    """One task of several.

    Attributes:
        name: as the user calls it.
        task: head, loss, decoding.
        train: its training images.
        valid: images that choose the epoch; none of them where it has no say in that.
        feeding: how its images come.
        score: (decoded predictions (n, M), labels) -> scores by name with ``loss``, on which epochs are chosen.
    """

    name: str
    task: Task
    train: ImageDataset
    valid: ImageDataset
    feeding: Feeding
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]]


@dataclass
class Joint:
    """What training together leaves behind.

    Attributes:
        models: for each task the shared backbone, with batch-norm statistics of its own, and its head; in eval mode.
        fitted: history, criterion, and in ``extra["terms"]["balance"]`` the factors of the last update.
    """

    models: dict[str, Model]
    fitted: Fitted


class Stream:
    """The batches of a task without end: pass after pass, each in an order of its own.

    Args:
        passes: number of the pass -> its batches, the same every time.
        steps: batches of a pass.
    """

    def __init__(self, passes: Callable[[int], Iterable[Batch]], steps: int) -> None:
        self.passes, self.steps, self.place = passes, steps, -1
        self.rest: Iterator[Batch] = iter(())

    def __call__(self, place: int) -> Batch:
        """The batch at ``place``, counted from the first step: what it is depends on nothing that came before."""
        if place != self.place + 1 or place % self.steps == 0:
            self.rest = itertools.islice(iter(self.passes(place // self.steps)), place % self.steps, None)
        self.place = place
        return next(self.rest)


def check_shared(strategy: Strategy) -> None:
    """Refuse a strategy by which the tasks would share nothing that learns, or that names what only one task has.

    Raises:
        HandshakeError: in one sentence.
    """
    where, fix = f"strategy {strategy.name!r}", "--strategy finetune, last(2) or gradual"
    if not strategy.procedure.by_steps or strategy.solved_head:
        raise HandshakeError(
            sentence("several tasks are trained by gradient steps from heads that start at zero", where=where, fix=fix)
        )
    if strategy.terms:
        raise HandshakeError(
            sentence("terms speak of one task, and there are several", where=where, got=strategy.terms[0].name, fix=fix)
        )
    if type(strategy.tuning).rewire is not Tuning.rewire:
        raise HandshakeError(
            sentence("adapters beside the weights are not shared between tasks", where=where, fix=fix)
        )


def train_together(
    source: Source,
    strategy: Strategy,
    members: Sequence[Member],
    options: Optimisation,
    *,
    updates: int,
    balance: str = "equal",
    weights: dict[str, float] | None = None,
    device: torch.device,
    seed: int,
    precision: str = "auto",
    folder: Path | None = None,
    progress: Progress,
    name: str = "together",
) -> Joint:
    """Train one backbone on the images of all ``members``, a batch of each an update; one member alone is plain fine-tuning.

    Every task sees the same batches in the same order whoever is trained beside it. The backbones are one in every parameter and
    differ in their batch norms' running statistics: those of a task come from its own images. The best epoch is the one with the
    lowest validation loss, of each task in units of the loss before the first step, averaged over the tasks that have validation
    images; without any it is the last one.

    Args:
        source: where the weights come from; its own backbone is not touched.
        strategy: which layers move, see :func:`check_shared`.
        options: as for one task, ``options.epochs`` of ``updates`` updates each.
        balance: ``"equal"``, ``"uncertainty"``, ``"gradnorm"`` or ``"pcgrad"``.
        weights: of tasks by name, for ``"equal"``; 1 where none is given.
        folder: checkpoints; training goes on from those that are there.

    Raises:
        HandshakeError: nothing of the backbone moves, or a layer would not open within the epochs.
        Diverged: a loss is not finite.
        OutOfMemory: one image at a time does not fit.
    """
    check_shared(strategy)
    torch.manual_seed(seed)
    first = copy.deepcopy(source.backbone) if source.pretrained else source.build()
    first.to(device)
    courses = [
        set_up(
            source, first if k == 0 else beside(first), strategy, member.task, member.train, member.feeding,
            pretrained=source.pretrained, device=device, seed=seed,
        )
        for k, member in enumerate(members)
    ]  # fmt: skip
    parts = [course.objective for course in courses]
    refuse_unopened(parts[0].stages, options.epochs)
    names = [member.name for member in members]
    bound = BALANCES[balance](names, parts, [member.task.likelihood for member in members], weights or {})
    if not bound.shared:
        raise HandshakeError(
            sentence("the backbone is frozen, so that the tasks would share nothing that learns", where=f"strategy {strategy.name!r}",
                     fix="--strategy finetune")
        )  # fmt: skip
    fitted = train(
        one_objective(parts, bound), interleaved(courses, updates), updates * len(parts),
        replace(options, accumulate=len(parts)), device=device, seed=seed, validate=validation(members, courses, source, device),
        metric="minus_relative_loss", precision=precision, folder=folder, progress=progress, name=name,
    )  # fmt: skip
    return Joint({member.name: part.model.eval() for member, part in zip(members, parts, strict=True)}, fitted)


def beside(backbone: nn.Module) -> nn.Module:
    """A backbone that shares every parameter with another and has buffers (batch-norm statistics) of its own."""
    return copy.deepcopy(backbone, {id(parameter): parameter for parameter in backbone.parameters()})


class Buffers(nn.Module):
    """The buffers of another module, the same tensors under their names, so that a checkpoint holds them."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        for name, value in of.named_buffers():
            self.register_buffer(name.replace(".", "/"), value)


def one_objective(parts: Sequence[Objective], balance: Balance) -> Objective:
    """What the loop trains: the first backbone, the heads of all, the statistics of the others."""
    head = nn.ModuleDict(
        {f"head{k}": part.model.head for k, part in enumerate(parts)}
        | {f"buffers{k}": Buffers(part.model.backbone) for k, part in enumerate(parts) if k}
    )
    start = parts[0].start
    penalties = nn.ModuleDict({"balance": balance}).to(start.device)
    model = Model(parts[0].model.backbone, head)
    return Objective(model, parts[0].task, parts[0].stages, Together(balance), penalties, start)


def interleaved(courses: Sequence[Course], updates: int) -> Callable[[int], Iterator[Batch]]:
    """epoch -> one batch of each task in turn, ``updates`` times."""
    streams = [Stream(course.batches, course.steps) for course in courses]

    def batches(epoch: int) -> Iterator[Batch]:
        for place in range(epoch * updates, (epoch + 1) * updates):
            for stream in streams:
                yield stream(place)

    return batches


def validation(
    members: Sequence[Member], courses: Sequence[Course], source: Source, device: torch.device
) -> Callable[[Any], dict[str, float]] | None:
    """Scores of the tasks that have validation images; ``None`` where none has."""
    judges = [(m, c) for m, c in zip(members, courses, strict=True) if len(m.valid)]
    if not judges:
        return None

    def validate(_: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        relative = []
        for member, course in judges:
            assert member.valid.labels is not None
            said = predict_batches(
                course.objective.model, member.task, member.valid, source.preprocessing, device, cache=course.cache,
                workers=member.feeding.workers,
            )  # fmt: skip
            scores = member.score(said, member.valid.labels)
            nothing = member.task.decode(torch.zeros(len(member.valid), member.task.rows)).numpy()
            at_start = member.score(nothing, member.valid.labels)["loss"]
            relative.append(scores["loss"] / max(at_start, 1e-12))
            found |= {f"{key}_{member.name}": value for key, value in scores.items() if not key.startswith("minus_")}
        mean = float(np.mean(relative))
        return found | {"relative_loss": mean, "minus_relative_loss": -mean, "loss": mean}

    return validate


def predicted(joint: Joint, member: Member, dataset: ImageDataset, source: Source, device: torch.device) -> np.ndarray:
    """What a task decodes of images, float32 (n, M), by its head on the shared backbone."""
    return predict_batches(
        joint.models[member.name], member.task, dataset, source.preprocessing, device, workers=member.feeding.workers
    )
