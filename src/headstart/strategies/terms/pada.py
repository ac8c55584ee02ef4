"""Partial adversarial domain adaptation: the target has some of the source's classes (Cao, Ma, Long, Wang, ECCV 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from headstart.functional.gradient_reversal import ramp_up, reverse_gradient
from headstart.functional.partial import class_shares, row_weights
from headstart.functional.weighted import weighted_mean
from headstart.strategies.terms.asking import answers
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.discriminator import discriminator
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class PADA(Term):
    """``weight * L_d`` with the gradient reversed, source rows counted by gamma in it, in the task's loss and in other terms.

    The paper's equation 7: ``1/n_s sum gamma_{y_i} L_y + lambda (1/n_s sum gamma_{y_i} L_d + 1/n_t sum L_d)``, gamma being the mean
    prediction for the target (:func:`headstart.functional.partial.class_shares`), taken anew before each epoch; the reversed
    gradient grows with :func:`headstart.functional.gradient_reversal.ramp_up`. gamma is divided by its mean over the
    source, not by its largest value. Labelled rows of the target count 1.

    What it tells at the end: gamma by class.

    Args:
        weight: lambda > 0, default 1.
        hidden: units of each of the discriminator's two hidden layers, a whole number >= 1, default 256.

    Raises:
        RecipeError: hidden out of range.
    """

    weight: float = 1.0
    hidden: float = 256

    name = "pada"
    needs = frozenset({
        "target_stream", "trainable_backbone", "class_probabilities", "class_labels", "loss_per_image", "hard_labels",
    })  # fmt: skip

    def __post_init__(self) -> None:
        good = self.hidden >= 1 and self.hidden == int(self.hidden)
        check_argument(self.name, "hidden", self.hidden, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Partial(self, start)

    def describe(self) -> str:
        return f"partial adversarial adaptation (weight {self.weight:g})"


class _Partial(Penalty):
    shares: torch.Tensor
    counts: torch.Tensor

    def __init__(self, term: PADA, start: Start) -> None:
        super().__init__()
        head = start.model.head
        assert isinstance(head, torch.nn.Linear) and start.target_batches is not None
        self.term, self.task, self.sources, self.device = term, start.task, start.sources, start.device
        self.target_batches = start.target_batches
        self.discriminator = discriminator(head.in_features, int(term.hidden), start.seed)
        counts = torch.zeros(head.out_features)
        for batch in start.batches():
            assert batch.targets is not None
            labels = batch.targets if batch.domain is None else batch.targets[batch.domain < start.sources]
            counts += torch.bincount(labels.cpu(), minlength=head.out_features)
        self.register_buffer("counts", counts)
        self.register_buffer("shares", torch.full((head.out_features,), 1 / head.out_features))

    def begin(self, model: Model, progress: float) -> None:
        decoded = self.task.decode(answers(model, self.target_batches(), self.device))
        self.shares.copy_(class_shares(decoded))

    def weigh(self, seen: Seen) -> torch.Tensor:
        batch = seen.batch
        assert batch.targets is not None
        weights = row_weights(self.shares, batch.targets, counts=self.counts)
        return weights if batch.domain is None else torch.where(batch.domain < self.sources, weights, 1.0)

    def said(self) -> dict[str, Any]:
        names = self.task.classes
        return {"classes": {str(c): float(s) for c, s in zip(names, self.shares, strict=True)}}

    def forward(self, seen: Seen) -> torch.Tensor:
        assert seen.target_features is not None
        source = ours(seen)
        return self.term.weight * domain_loss(
            self.discriminator, seen.features[source], seen.target_features,
            None if seen.weights is None else seen.weights[source], ramp_up(seen.progress),
        )  # fmt: skip


def ours(seen: Seen) -> torch.Tensor:
    """bool (B,): which labelled rows are of a source, not of the target."""
    domain = seen.batch.domain
    if domain is None:
        return torch.ones(len(seen.batch), dtype=torch.bool, device=seen.features.device)
    return domain < seen.start.sources


def domain_loss(
    network: torch.nn.Module, source: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """``mean_i w_i L_d(source_i, 1) + mean_u L_d(target_u, 0)`` of a discriminator behind a reversed gradient, a scalar.

    Args:
        source: (B, width). target: (U, width). weights: (B,) or ``None``.
        scale: of the gradient that comes back to the features, turned round.
    """
    logits = network(reverse_gradient(torch.cat([source, target]), scale))[:, 0].float()
    ours, theirs = logits[: len(source)], logits[len(source) :]
    first = weighted_mean(cross_entropy(ours, torch.ones_like(ours), reduction="none"), weights)
    return first + cross_entropy(theirs, torch.zeros_like(theirs))
