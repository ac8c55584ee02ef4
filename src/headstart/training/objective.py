"""What the steps descend: a model, its task, and a strategy bound to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.strategies.procedures.procedure import Procedure, Step
from headstart.strategies.strategy import Strategy
from headstart.strategies.terms.term import Penalty, Start
from headstart.strategies.tuning.tuning import Stage, frozen_to_eval, set_trainable
from headstart.tasks.task import Model, Task


@dataclass
class Objective:
    """Everything an update needs besides the optimiser. ``copy.deepcopy`` gives an independent one.

    Attributes:
        model: backbone and head.
        task: gives the loss.
        stages: which layers move, when and how fast.
        procedure: how one update runs.
        penalties: the bound terms, by name.
        start: what they were bound to.
    """

    model: Model
    task: Task
    stages: list[Stage]
    procedure: Procedure
    penalties: nn.ModuleDict
    start: Start

    def begin(self, progress: float) -> None:
        """Train mode and ``requires_grad`` as the stages say at the share ``progress`` of the epochs."""
        set_trainable(self.model.backbone, self.stages, progress)
        self.model.train()
        self.penalties.train()
        frozen_to_eval(self.model.backbone, self.stages, progress)
        for penalty in self.terms.values():
            penalty.begin(self.model, progress)

    @property
    def terms(self) -> dict[str, Penalty]:
        """The bound terms by name."""
        return dict(self.penalties.items())  # type: ignore[arg-type]

    def losses(self, batch: Batch, progress: float, step: str = "") -> dict[str, torch.Tensor]:
        """The named parts of the loss of one batch in a step of the procedure, each a scalar."""
        return self.procedure.losses(self.model, self.task, batch, self.terms, self.start, progress, step)

    def hold(self, step: Step) -> None:
        """Drop the gradients of what a step does not move: an optimiser passes by what has none."""
        parts = {"backbone": self.model.backbone, "head": self.model.head, "terms": self.penalties}
        for name, module in parts.items():
            if name not in step.moves:
                module.zero_grad(set_to_none=True)

    def mass(self, batch: Batch) -> float:
        """What a batch counts for in a mean over several."""
        return float(len(batch)) if batch.targets is None else self.task.mass(batch.targets)

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """Of the model and of the bound terms; they stay the same while it is trained."""
        return [*self.model.parameters(), *self.penalties.parameters()]


def bind(strategy: Strategy, stages: Sequence[Stage], start: Start) -> Objective:
    """Rewire the backbone, mark what moves, and bind every term to the starting point."""
    model = start.model
    strategy.tuning.rewire(model.backbone, start.layers, start.size)
    for term in strategy.terms:
        term.rewire(model.backbone)
    model.to(start.device)
    set_trainable(model.backbone, stages)
    start.stages = list(stages)
    bound = {term.name: term.bind(start) for term in strategy.terms}
    penalties = nn.ModuleDict({name: p for name, p in bound.items() if p is not None}).to(start.device)
    return Objective(model, start.task, list(stages), strategy.procedure, penalties, start)


def unbind(strategy: Strategy, model: Model) -> None:
    """The backbone in its plain form again, with what was learned."""
    for term in reversed(strategy.terms):
        term.restore(model.backbone)
    strategy.tuning.restore(model.backbone)
