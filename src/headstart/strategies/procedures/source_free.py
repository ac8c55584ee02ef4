"""Source training, then adaptation without the source (SHOT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from headstart.data.batch import Batch
from headstart.functional.shot import information_maximisation
from headstart.strategies.procedures.procedure import Procedure, Step
from headstart.strategies.terms.term import Penalty, Seen, Start
from headstart.tasks.task import Model, Task

if TYPE_CHECKING:
    from headstart.strategies.terms.shot import Pseudo


@dataclass(frozen=True)
class SourceFree(Procedure):
    """Up to the share ``source`` of the training the usual update; from then on the target alone, with the head frozen.

    The other terms act in the first part. In the second one no labelled batch is read.
    """

    source: float = 0.5

    name = "source_free"
    words = "source training, then the target alone"

    def steps(self, progress: float) -> tuple[Step, ...]:
        return (Step(),) if progress < self.source else (Step("target", frozenset({"backbone"})),)

    def labelled(self, progress: float) -> bool:
        return progress < self.source

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
        """In the second part ``loss`` is the information maximisation, ``shot`` the cross-entropy of the labels of the epoch."""
        pseudo = cast("Pseudo", penalties["shot"])
        if step != "target":
            others = {name: penalty for name, penalty in penalties.items() if penalty is not pseudo}
            return super().losses(model, task, batch, others, start, progress, step)
        assert batch.target is not None
        features = model.backbone(batch.target)
        outputs = model.head(model.dropout(features))
        seen = Seen(
            model, batch, features[:0], outputs[:0], progress, start, target_features=features, target_outputs=outputs
        )
        return {"loss": information_maximisation(outputs), "shot": pseudo(seen)}
