"""CDAN: a domain adversary that sees what the classifier says (Long, Cao, Wang, Jordan, NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.domain_classifier import domain_loss
from headstart.functional.entropies import certainty_weights
from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.functional.multilinear import multilinear, randomized_multilinear
from headstart.strategies.terms.adversary import (
    DROPOUT,
    at_least_two_classes,
    check_hidden,
    faces,
    linear_head,
    nothing,
    perceptron,
)
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term

LARGEST = 4096
"""Entries of the outer product up to which the discriminator gets it whole (the paper's, section 3.1)."""
RANDOM = 1024
"""Entries of the randomised product beyond that (the authors' code)."""


@dataclass(frozen=True)
class CDAN(Term):
    """``weight * L_d(D(R(T(f, g))))``: as :class:`headstart.strategies.terms.dann.DANN`, but D reads ``T(f, g)``.

    *Conditional Adversarial Domain Adaptation*, equations 2 and 7: T is the outer product of features and class probabilities
    (:func:`headstart.functional.multilinear.multilinear`), from 4096 entries on the randomised product of 1024. Domains are compared
    class by class, so that classes are not pulled over each other. No gradient goes back through the
    probabilities, as in the authors' code.

    Args:
        weight: > 0, default 1.
        entropy: CDAN+E, default false: certain predictions count more
            (:func:`headstart.functional.entropies.certainty_weights`, in each domain on average 1).
        gamma: > 0, default 10 (the paper's): how soon the backbone listens.
        hidden: units of each of the two hidden layers of D, a whole number >= 1, default 256.

    Raises:
        RecipeError: arguments out of range.
        HandshakeError: from :meth:`bind`, a head of one class: its probability is always 1, and T(f, g) = f.
    """

    weight: float = 1.0
    entropy: bool = False
    gamma: float = 10.0
    hidden: float = 256

    name = "cdan"
    needs = frozenset({"trainable_backbone", "target_stream", "class_probabilities"})

    def __post_init__(self) -> None:
        check_argument(self.name, "gamma", self.gamma, self.gamma > 0, "> 0")
        check_hidden(self.name, self.hidden)

    def bind(self, start: Start) -> Penalty:
        at_least_two_classes(
            self.name, start, "with one the outer product is the features, and it would be DANN", "dann"
        )
        return _CDAN(self, start)

    def describe(self) -> str:
        return f"conditional domain adversary (weight {self.weight:g}{', certain ones first' if self.entropy else ''})"


class _CDAN(Penalty):
    on_features: torch.Tensor
    on_probabilities: torch.Tensor

    def __init__(self, term: CDAN, start: Start) -> None:
        super().__init__()
        self.term = term
        head = linear_head(start)
        size = head.in_features * head.out_features
        self.whole = size <= LARGEST
        if not self.whole:
            drawn = torch.Generator().manual_seed(start.seed)
            self.register_buffer("on_features", torch.randn(RANDOM, head.in_features, generator=drawn))
            self.register_buffer("on_probabilities", torch.randn(RANDOM, head.out_features, generator=drawn))
        self.discriminator = perceptron(size if self.whole else RANDOM, term.hidden, 1, start.seed, DROPOUT)

    def joined(self, features: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        """What the discriminator reads."""
        if self.whole:
            return multilinear(features, probabilities)
        return randomized_multilinear(features, probabilities, self.on_features, self.on_probabilities)

    def forward(self, seen: Seen) -> torch.Tensor:
        if not faces(seen):
            return nothing(seen)
        features, outputs, weights = seen.source_side()
        assert seen.target_features is not None
        assert seen.target_outputs is not None
        n, coefficient = len(features), adversarial_schedule(seen.progress, self.term.gamma)
        with torch.autocast(features.device.type, enabled=False):
            logits = torch.cat([outputs, seen.target_outputs]).detach().float()
            both = torch.cat([features, seen.target_features]).float()
            judged = self.discriminator(reverse_gradient(self.joined(both, logits.softmax(dim=1)), coefficient))
            of_target = None
            if self.term.entropy:
                of_target = certainty_weights(logits[n:])
                certain = certainty_weights(logits[:n])
                weights = certain if weights is None else weights * certain
            return self.term.weight * domain_loss(judged[:n], judged[n:], weights, of_target)
