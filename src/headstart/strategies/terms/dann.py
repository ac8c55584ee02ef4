"""DANN: features that a domain classifier cannot tell apart (Ganin et al., JMLR 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.domain_classifier import domain_loss
from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.strategies.terms.adversary import DROPOUT, check_hidden, faces, linear_head, nothing, perceptron
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class DANN(Term):
    """``weight * L_d(D(R(f)))``: a domain classifier D on the features f, behind the reversal R of the gradient.

    *Domain-Adversarial Training of Neural Networks*, equations 18 to 20. L_d is
    :func:`headstart.functional.domain_classifier.domain_loss` (log 2 where D can only guess); D descends it, and the backbone
    climbs it with ``lambda_p`` of :func:`headstart.functional.gradient_reversal.adversarial_schedule`. It reads no labels and no
    outputs, so that any task will do. It makes the two domains alike as a whole: where their shares of the classes differ,
    classes are pulled over each other.

    Args:
        weight: > 0, default 1.
        gamma: > 0, default 10 (the paper's): how soon the backbone listens.
        hidden: units of each of the two hidden layers of D, with a dropout of one half, a whole number >= 1, default 256.

    Raises:
        RecipeError: arguments out of range.
    """

    weight: float = 1.0
    gamma: float = 10.0
    hidden: float = 256

    name = "dann"
    needs = frozenset({"trainable_backbone", "target_stream"})

    def __post_init__(self) -> None:
        check_argument(self.name, "gamma", self.gamma, self.gamma > 0, "> 0")
        check_hidden(self.name, self.hidden)

    def bind(self, start: Start) -> Penalty:
        return _DANN(self, start)

    def describe(self) -> str:
        return f"domain adversary (weight {self.weight:g})"


class _DANN(Penalty):
    def __init__(self, term: DANN, start: Start) -> None:
        super().__init__()
        self.term = term
        self.discriminator = perceptron(linear_head(start).in_features, term.hidden, 1, start.seed, DROPOUT)

    def forward(self, seen: Seen) -> torch.Tensor:
        if not faces(seen):
            return nothing(seen)
        features, _, weights = seen.source_side()
        assert seen.target_features is not None
        coefficient = adversarial_schedule(seen.progress, self.term.gamma)
        with torch.autocast(features.device.type, enabled=False):
            judged = self.discriminator(
                reverse_gradient(torch.cat([features, seen.target_features]).float(), coefficient)
            )
            n = len(features)
            return self.term.weight * domain_loss(judged[:n], judged[n:], weights)
