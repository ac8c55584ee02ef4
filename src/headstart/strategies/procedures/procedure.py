"""How one update runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from headstart.data.batch import Batch
from headstart.data.text_preprocessing import padded
from headstart.functional.weighted import weighted_mean
from headstart.strategies.terms.term import Penalty, Seen, Start
from headstart.tasks.task import Model, Task


@dataclass(frozen=True)
class Step:
    """A forward, a backward and an optimiser step.

    Attributes:
        name: for the procedure, which gives the losses of the step by it.
        moves: which of ``"backbone"``, ``"head"`` and ``"terms"`` (what the terms learn, a discriminator say) it changes.
    """

    name: str = ""
    moves: frozenset[str] = frozenset({"backbone", "head", "terms"})


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

    def steps(self, progress: float) -> tuple[Step, ...]:
        """The steps of one update, at the share ``progress`` of the training."""
        return (Step(),)

    def labelled(self, progress: float) -> bool:
        """Whether an epoch that begins at the share ``progress`` of the training reads labelled inputs; else the target's alone."""
        return True

    def gradient(
        self, objective: Any, window: Sequence[Batch], run: Callable[..., dict[str, float]]
    ) -> dict[str, float]:
        """Leave the gradient of one step in ``.grad``, and give the parts of the loss by name.

        ``run(objective, batches)`` does so for the mean loss over batches; a procedure for several objectives joins theirs.
        """
        return run(objective, window)

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
        """The named parts whose sum one step descends: the task's loss, and each term's weighted value.

        The steps of one update give parts of different names.
        """
        seen = self.forward(model, batch, penalties, start, progress)
        added = {name: penalty(seen) for name, penalty in penalties.items() if penalty.adds}
        return {"loss": task_loss(task, seen), **added}

    def forward(
        self, model: Model, batch: Batch, penalties: Mapping[str, Penalty], start: Start, progress: float
    ) -> Seen:
        """One pass of the labelled inputs and those of the target together, so that batch norms see both."""
        inputs = batch.inputs if batch.target is None else padded([batch.inputs, batch.target])
        with ExitStack() as watching:
            for penalty in penalties.values():
                watching.enter_context(penalty.watching(model, batch))
            features = model.backbone(inputs)
        if batch.mixing is not None:
            features, batch = mixed_features(features, batch)
        outputs = model.head(model.dropout(features))
        n = len(batch)
        seen = Seen(model, batch, features[:n], outputs[:n], progress, start, weights=batch.weights)
        if batch.target is not None:
            seen.target_features, seen.target_outputs = features[n:], outputs[n:]
        return weigh(seen, penalties)


def mixed_features(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, Batch]:
    """Mixup of sentence vectors: ``lam f_i + (1 - lam) f_j`` and the targets alike, j the input before i in the batch.

    Guo, Mao, Zhang, *Augmenting Data with Mixup for Sentence Classification*, 2019 (senMixup: the vector that the head reads). What
    stands behind the labelled inputs stays as it is. A piece of a batch that is cut to fit into memory mixes among itself.
    """
    assert batch.mixing is not None and batch.targets is not None
    n = len(batch)
    share = batch.mixing.to(features.dtype).unsqueeze(1)
    mine = share * features[:n] + (1 - share) * features[:n].roll(1, 0)
    lam = batch.mixing.view(-1, *[1] * (batch.targets.ndim - 1))
    targets = lam * batch.targets + (1 - lam) * batch.targets.roll(1, 0)
    return torch.cat([mine, features[n:]]), replace(batch, targets=targets, mixing=None)


def weigh(seen: Seen, penalties: Mapping[str, Penalty]) -> Seen:
    """``seen`` with its weights times what the terms weigh."""
    for penalty in penalties.values():
        factors = penalty.weigh(seen)
        if factors is not None:
            seen.weights = factors if seen.weights is None else seen.weights * factors
    return seen


def task_loss(task: Task, seen: Seen) -> torch.Tensor:
    """The task's loss of the labelled inputs, each counted as ``seen.weights`` say."""
    assert seen.batch.targets is not None
    if seen.weights is None:
        return task.loss(seen.outputs, seen.batch.targets)
    return weighted_mean(task.each(seen.outputs, seen.batch.targets), seen.weights)
