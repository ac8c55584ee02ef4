"""MCD: two classifiers that the backbone may not let disagree about the target (Saito, Watanabe, Ushiku, Harada, CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.functional.classifier_discrepancy import classifier_discrepancy
from headstart.strategies.procedures.procedure import Procedure, Step, task_loss
from headstart.strategies.terms.adversary import at_least_two_classes, linear_head, nothing
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.strategies.terms.unlabelled import statistics_kept
from headstart.tasks.task import Model, Task


@dataclass(frozen=True)
class MCD(Term):
    """*Maximum Classifier Discrepancy for Unsupervised Domain Adaptation*: each update has the three steps of section 3.3.

    :class:`ClassifierDiscrepancy` runs them. The model keeps the first classifier, its head; the second is dropped.

    Args:
        weight: > 0, default 1: on the discrepancy, in the second and the third step.
        steps: how often the third step is taken, a whole number >= 1, default 4 (the paper's largest n). The cost of an update is
            about ``1.3 + steps`` times that of one pass of both streams forward and back.

    Raises:
        RecipeError: ``steps`` out of range. HandshakeError: from :meth:`bind`, a head of one class.
    """

    weight: float = 1.0
    steps: float = 4

    name = "mcd"
    needs = frozenset({"trainable_backbone", "target_stream", "class_probabilities"})

    def __post_init__(self) -> None:
        good = self.steps >= 1 and self.steps == int(self.steps)
        check_argument(self.name, "steps", self.steps, good, "a whole number from 1 on")

    @property
    def procedure(self) -> Procedure:  # type: ignore[override]
        return ClassifierDiscrepancy(int(self.steps))

    def bind(self, start: Start) -> Penalty:
        at_least_two_classes(self.name, start, "with one the classifiers always agree", "dann")
        return Second(self, start)

    def describe(self) -> str:
        return f"classifier discrepancy (weight {self.weight:g}, {self.steps:g} steps of the backbone)"


class Second(Penalty):
    """The second classifier. It starts from a random draw, since two that are equal have no discrepancy to raise."""

    def __init__(self, term: MCD, start: Start) -> None:
        super().__init__()
        self.term = term
        head = linear_head(start)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start.seed)
            self.head = nn.Linear(head.in_features, head.out_features)

    def source_loss(self, task: Task, seen: Seen) -> torch.Tensor:
        """The task's loss of the second classifier on the labelled inputs, counted as ``seen.weights`` say."""
        return task_loss(task, replace(seen, outputs=self.head(seen.model.dropout(seen.features))))

    def forward(self, seen: Seen) -> torch.Tensor:
        """``weight`` times the discrepancy of the two on the target."""
        if seen.target_features is None or not len(seen.target_features):
            return nothing(seen)
        assert seen.target_outputs is not None
        second = self.head(seen.model.dropout(seen.target_features))
        return self.term.weight * classifier_discrepancy(seen.target_outputs.float(), second.float())


@dataclass(frozen=True)
class ClassifierDiscrepancy(Procedure):
    """One update of MCD, on one batch.

    1. Backbone and both classifiers descend the task's loss on the source; other terms of the strategy stand beside it (equation 4).
    2. The classifiers descend that loss minus the discrepancy on the target; the backbone is held (equation 5).
    3. The backbone descends the discrepancy, the classifiers are held; ``steps`` times (equation 7).

    The running statistics of batch norms follow the first step alone: they move once an update, as in every other procedure, and
    the second step leaves the whole backbone as it was.
    """

    again: int = 4

    name = "mcd"
    words = "classifiers and backbone in turn"

    def steps(self, progress: float) -> tuple[Step, ...]:
        closer = Step("closer", frozenset({"backbone"}))
        return (Step(), Step("apart", frozenset({"head", "terms"})), *[closer] * self.again)

    def losses(
        self,
        model: Model,
        task: Task,
        batch: Batch,
        penalties: Mapping[str, Penalty],
        start: Start,
        progress: float,
        step: str = "",
    ) -> dict[str, torch.Tensor]:
        second = cast(Second, penalties["mcd"])
        if step == "":
            seen = self.forward(model, batch, penalties, start, progress)
            others = {name: penalty(seen) for name, penalty in penalties.items() if name != "mcd"}
            return {"loss": task_loss(task, seen), "mcd_second": second.source_loss(task, seen), **others}
        with statistics_kept(model.backbone):
            if step == "closer":
                return {"mcd": second(self.forward(model, batch, penalties, start, progress))}
            with torch.no_grad():
                seen = self.forward(model, batch, penalties, start, progress)
        seen.outputs = model.head(model.dropout(seen.features))
        if seen.target_features is not None:
            seen.target_outputs = model.head(model.dropout(seen.target_features))
        return {"mcd_apart": task_loss(task, seen) + second.source_loss(task, seen) - second(seen)}
