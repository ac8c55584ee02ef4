"""MDD: a second classifier that disagrees with the first on the target as much as it can (Zhang, Liu, Long, Jordan, ICML 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.functional.margin_disparity import margin_disparity
from headstart.strategies.terms.adversary import (
    at_least_two_classes,
    check_hidden,
    faces,
    linear_head,
    nothing,
    perceptron,
)
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class MDD(Term):
    """``weight *`` the margin disparity of a second classifier f' behind the reversal of the gradient.

    *Bridging Theory and Algorithm for Domain Adaptation*, equations 28 to 30;
    :func:`headstart.functional.margin_disparity.margin_disparity`. f' is taught to say what the head says on the source and something else on
    the target; the backbone, whose gradient is turned around and scaled by ``eta lambda_p``
    (:func:`headstart.functional.gradient_reversal.adversarial_schedule`, where the authors' code rises with the number of steps), leaves it
    no room for that. The head takes no part: its predictions are f''s labels.

    Args:
        weight: > 0, default 1.
        margin: gamma >= 1, default 4: what the source counts for f', the exponential of the margin.
        eta: > 0, default 0.1: the most that the backbone listens.
        hidden: units of each of the two hidden layers of f', a whole number >= 1, default 256.

    Raises:
        RecipeError: arguments out of range.
        HandshakeError: from :meth:`bind`, a head of one class.
    """

    weight: float = 1.0
    margin: float = 4.0
    eta: float = 0.1
    hidden: float = 256

    name = "mdd"
    needs = frozenset({"trainable_backbone", "target_stream", "class_probabilities"})

    def __post_init__(self) -> None:
        check_argument(self.name, "margin", self.margin, self.margin >= 1, "1 or more")
        check_argument(self.name, "eta", self.eta, self.eta > 0, "> 0")
        check_hidden(self.name, self.hidden)

    def bind(self, start: Start) -> Penalty:
        at_least_two_classes(self.name, start, "with one there is nothing to disagree about", "dann")
        return _MDD(self, start)

    def describe(self) -> str:
        return f"margin disparity (weight {self.weight:g}, margin {self.margin:g})"


class _MDD(Penalty):
    def __init__(self, term: MDD, start: Start) -> None:
        super().__init__()
        self.term = term
        head = linear_head(start)
        self.second = perceptron(head.in_features, term.hidden, head.out_features, start.seed)

    def forward(self, seen: Seen) -> torch.Tensor:
        if not faces(seen):
            return nothing(seen)
        features, outputs, weights = seen.source_side()
        assert seen.target_features is not None
        assert seen.target_outputs is not None
        n, coefficient = len(features), self.term.eta * adversarial_schedule(seen.progress)
        with torch.autocast(features.device.type, enabled=False):
            both = torch.cat([features, seen.target_features]).float()
            logits = self.second(reverse_gradient(both, coefficient))
            disparity = margin_disparity(
                logits[:n],
                outputs.argmax(dim=1),
                logits[n:],
                seen.target_outputs.argmax(dim=1),
                self.term.margin,
                weights,
            )
            return self.term.weight * disparity
