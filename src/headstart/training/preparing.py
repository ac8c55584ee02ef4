"""The phases before a strategy: the source takes steps on something else than the task, and a new source comes out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.progress import Progress
from headstart.sources.fingerprint import source_digest, weights_digest
from headstart.sources.source import Source
from headstart.strategies.preparation.language_model import LanguageModel
from headstart.strategies.preparation.preparation import Preparation
from headstart.strategies.preparation.setfit import SetFit
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Start
from headstart.strategies.tuning.tuning import Stage
from headstart.tasks.task import Model, Task
from headstart.training.loop import train
from headstart.training.objective import Objective
from headstart.training.optim import Optimisation


@dataclass(frozen=True)
class Course:
    """What one such phase descends.

    Attributes:
        head: beside the backbone, dropped afterwards.
        task: gives the mass of a batch; nothing else of it is read.
        procedure: gives the loss of a batch.
        batches: epoch -> batches, ``steps`` of them.
        said: what is worth telling, in words.
    """

    head: nn.Module
    task: Task
    procedure: Procedure
    batches: Callable[[int], Iterable[Batch]]
    steps: int
    epochs: int
    said: str


def prepared(
    source: Source,
    phase: Preparation,
    train_set: Dataset,
    unlabelled: Dataset | None,
    *,
    device: torch.device,
    seed: int,
    precision: str = "auto",
    folder: Path | None = None,
    progress: Progress,
) -> tuple[Source, dict[str, Any]]:
    """The source as a phase leaves it, and what the phase did (``phase``, ``steps``, ``epochs``, ``loss`` of the first and the last epoch, ``seconds``, ``said``).

    Every layer moves at one rate, AdamW with a cosine schedule and a warm-up of a tenth; batch norms keep the source's statistics.

    Args:
        train_set: the training inputs; labels are read by a phase that says so.
        unlabelled: read by a phase that says so.
        folder: checkpoints; a phase that was finished there is not run again.

    Raises:
        HandshakeError: the data give the phase nothing to learn.
    """
    course = course_of(source, phase, train_set, unlabelled, seed=seed)
    torch.manual_seed(seed)
    progress.say(f"{phase.name}: {course.said}")
    fitted = train(
        objective_of(source, course, device, seed), course.batches, course.steps, Optimisation(course.epochs, phase.lr), device=device, seed=seed, precision=precision, folder=folder, progress=progress, name=phase.name,
    )  # fmt: skip
    backbone = fitted.model.backbone.cpu().eval()
    found = {
        "phase": phase.describe(), "steps": course.steps * course.epochs, "epochs": course.epochs,
        "loss": [round(fitted.history[i]["train_loss"], 6) for i in (0, -1)], "seconds": round(fitted.seconds, 3), "said": course.said,
    }  # fmt: skip
    return moved_source(source, backbone), found


def course_of(
    source: Source, phase: Preparation, train_set: Dataset, unlabelled: Dataset | None, *, seed: int
) -> Course:
    """What a phase descends; arguments and errors as for :func:`prepared`."""
    from headstart.training.contrast import contrast_course
    from headstart.training.language import language_course

    if isinstance(phase, SetFit):
        return contrast_course(source, phase, train_set, seed=seed)
    assert isinstance(phase, LanguageModel)
    return language_course(source, phase, train_set, unlabelled, seed=seed)


def objective_of(source: Source, course: Course, device: torch.device, seed: int) -> Objective:
    """A copy of the source, all of whose layers move, under the course's loss."""
    model = Model(copy.deepcopy(source.backbone), course.head).to(device)
    stages = [Stage(layer, True, bn="frozen") for layer in source.layers]
    start = Start(model, source.layers, course.task, lambda: (), device, seed, stages=stages)
    return Objective(model, course.task, stages, course.procedure, nn.ModuleDict(), start)


def moved_source(source: Source, backbone: nn.Module) -> Source:
    """The source with other weights of the same architecture: a key of its own in the cache of features, and no head; ``opened`` is as it was."""
    digest = source_digest(weights_digest(backbone), source.library, source.architecture, source.model_args)
    return replace(
        source,
        backbone=backbone,
        digest=digest,
        head=None,
        classes=(),
        extra={**source.extra, "opened": source.extra.get("opened", source)},
    )


def whole_steps(n: int, size: int) -> tuple[int, int]:
    """Batches of ``size`` in a pass over ``n`` inputs and their size: a last one of a single input is left out."""
    size = min(size, n)
    return max(1, n // size if n % size == 1 else math.ceil(n / size)), size
