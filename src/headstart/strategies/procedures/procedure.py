"""How one update runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from headstart.data.batch import Batch
from headstart.strategies.terms.term import Penalty, Seen, Start
from headstart.tasks.task import Model, Task


class Procedure:
    """How the parameters are found.

    ``needs`` is checked by the handshake; ``by_steps`` says whether a loop runs it; ``reads`` which layers the head may
    read: the ``"last"``, any ``"one"``, or ``"all"``; ``words`` describe what is not the usual update.
    """

    name = "procedure"
    needs: frozenset[str] = frozenset()
    by_steps = True
    reads = "last"
    words = ""

    def losses(
        self, model: Model, task: Task, batch: Batch, penalties: Mapping[str, Penalty], start: Start, progress: float
    ) -> dict[str, torch.Tensor]:
        """The named parts whose sum one step descends: the task's loss, and each term's weighted value."""
        features = model.backbone(batch.images)
        outputs = model.head(model.dropout(features))
        seen = Seen(model, batch, features, outputs, progress, start)
        assert batch.targets is not None
        parts = {"loss": task.loss(outputs, batch.targets)}
        parts.update({name: penalty(seen) for name, penalty in penalties.items()})
        return parts
