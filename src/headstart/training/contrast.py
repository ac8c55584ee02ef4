"""The steps of a contrastive phase: batches that hold pairs of a label, and the loss of all their pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor, nn

from headstart.data.batch import Batch
from headstart.data.dataset import Dataset
from headstart.data.loader import batches
from headstart.errors import HandshakeError, sentence
from headstart.functional.pair_contrast import pair_contrast
from headstart.sources.source import Source
from headstart.strategies.preparation.setfit import SetFit
from headstart.strategies.procedures.procedure import Procedure
from headstart.strategies.terms.term import Penalty, Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model, Task
from headstart.training.finetune import together
from headstart.training.preparing import Course, whole_steps


@dataclass(frozen=True)
class Pairs(Procedure):
    """The loss of all pairs of a batch, or of the piece of it that fits into memory."""

    name = "pairs"

    def losses(
        self, model: Model, task: Task, batch: Batch, penalties: Mapping[str, Penalty], start: Start, progress: float, step: str = ""
    ) -> dict[str, Tensor]:  # fmt: skip
        assert batch.targets is not None
        return {"loss": pair_contrast(model.backbone(batch.inputs), batch.targets)}


def contrast_course(source: Source, phase: SetFit, train_set: Dataset, *, seed: int) -> Course:
    """Every input once an epoch, inputs of a label two by two; few inputs take more epochs.

    Raises:
        HandshakeError: no label has two inputs, so that there is no pair to draw together.
    """
    labels = train_set.labels
    assert labels is not None
    if _most_of_a_label(labels) < 2:
        raise HandshakeError(
            sentence("setfit draws two inputs of a label together, and no label has two", got="1 input a label", fix="--strategy probe")
        )  # fmt: skip
    steps, size = whole_steps(len(train_set), int(phase.batch_size))
    epochs = phase.passes(steps)

    def passing(epoch: int) -> Iterator[Batch]:
        order = int(np.random.SeedSequence([seed, 1 + epoch]).generate_state(1)[0])
        rows = together(one_label(labels, order), 2, order)
        yield from islice(batches(train_set, source.preprocessing, batch_size=size, order=rows), steps)

    said = (
        f"{epochs} passes over {len(train_set)} labelled {train_set.modality}s, {steps} steps each, all pairs of {size}"
    )
    return Course(nn.Identity(), Classification(train_set.classes), Pairs(), passing, steps, epochs, said)


def one_label(labels: np.ndarray, seed: int) -> np.ndarray:
    """Labels int (n,) as they are; of several an input, bool (n, K), one of its own drawn at random, K where it has none."""
    if labels.ndim == 1:
        return labels
    chance = np.random.default_rng([seed, 3]).random(labels.shape)
    return np.where(labels.any(1), np.where(labels > 0, chance, -1.0).argmax(1), labels.shape[1])


def _most_of_a_label(labels: np.ndarray) -> int:
    return int((np.bincount(labels) if labels.ndim == 1 else (labels > 0).sum(0)).max(initial=0))
