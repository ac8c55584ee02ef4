"""The head is solved on cached features instead of being crawled to by gradient steps."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.strategies.procedures.procedure import Procedure


@dataclass(frozen=True)
class Solve(Procedure):
    """Multinomial logistic regression on frozen features, its strength chosen by cross-validation.

    The objective is convex, so the optimum is reached (:func:`headstart.training.probe.fit_probe`) and no learning
    rate, epoch count or augmentation plays a part; the handshake refuses them.
    """

    name = "solve"
    needs = frozenset({"frozen_backbone"})
    by_steps = False
    reads = "one"
    words = "head solved on cached features"
