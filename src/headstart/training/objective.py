"""What the steps descend: a model, its task, and a strategy bound to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.strategies.procedures.procedure import Procedure
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

    def losses(self, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        """The named parts of the loss of one batch, each a scalar."""
        found: dict[str, Penalty] = dict(self.penalties.items())  # type: ignore[arg-type]
        return self.procedure.losses(self.model, self.task, batch, found, self.start, progress)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of the model and of the bound terms."""
        return [*self.model.parameters(), *self.penalties.parameters()]


def bind(strategy: Strategy, stages: Sequence[Stage], start: Start) -> Objective:
    """Rewire the backbone, mark what moves, and bind every term to the starting point."""
    model = start.model
    strategy.tuning.rewire(model.backbone, start.layers)
    for term in strategy.terms:
        term.rewire(model.backbone)
    model.to(start.device)
    set_trainable(model.backbone, stages)
    penalties = nn.ModuleDict({term.name: term.bind(start) for term in strategy.terms}).to(start.device)
    return Objective(model, start.task, list(stages), strategy.procedure, penalties, start)


def unbind(strategy: Strategy, model: Model) -> None:
    """The backbone in its plain form again, with what was learned."""
    for term in reversed(strategy.terms):
        term.restore(model.backbone)
    strategy.tuning.restore(model.backbone)
