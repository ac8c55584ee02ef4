"""Partial adversarial domain adaptation: the target has some of the source's classes (Cao, Ma, Long, Wang, ECCV 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.domain_classifier import domain_loss
from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.functional.partial import class_shares, row_weights
from headstart.strategies.terms.adversary import check_hidden, faces, linear_head, nothing, perceptron
from headstart.strategies.terms.asking import answers
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class PADA(Term):
    """``weight * L_d`` with the gradient reversed, source rows counted by gamma in it, in the task's loss and in other terms.

    The paper's equation 7: ``1/n_s sum gamma_{y_i} L_y - lambda L_d``, L_d counting source rows by gamma_{y_i} as well, gamma being the mean
    prediction for the target (:func:`headstart.functional.partial.class_shares`), taken anew before each epoch; the reversed
    gradient grows with :func:`headstart.functional.gradient_reversal.adversarial_schedule`. gamma is divided by its mean over the
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
        check_hidden(self.name, self.hidden)

    def bind(self, start: Start) -> Penalty:
        return _Partial(self, start)

    def describe(self) -> str:
        return f"partial adversarial adaptation (weight {self.weight:g})"


class _Partial(Penalty):
    shares: torch.Tensor
    counts: torch.Tensor

    def __init__(self, term: PADA, start: Start) -> None:
        super().__init__()
        head = linear_head(start)
        assert start.target_batches is not None
        self.term, self.task, self.sources, self.device = term, start.task, start.sources, start.device
        self.target_batches = start.target_batches
        self.discriminator = perceptron(head.in_features, term.hidden, 1, start.seed)
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
        return self.term.weight * adversary(self.discriminator, seen, adversarial_schedule(seen.progress))


def adversary(
    network: torch.nn.Module, seen: Seen, coefficient: float, more: torch.Tensor | None = None
) -> torch.Tensor:
    """:func:`headstart.functional.domain_classifier.domain_loss` of ``network`` behind a reversed gradient, source rows weighed.

    Args:
        network: (n, width) -> (n, 1), the logit of "of the source".
        coefficient: of the gradient that comes back to the features, turned round.
        more: (B',) factors on the weights of the rows of a source.
    """
    if not faces(seen):
        return nothing(seen)
    features, _, weights = seen.source_side()
    assert seen.target_features is not None
    if more is not None:
        weights = more if weights is None else weights * more
    with torch.autocast(features.device.type, enabled=False):
        both = torch.cat([features, seen.target_features]).float()
        logits = network(reverse_gradient(both, coefficient))
        return domain_loss(logits[: len(features)], logits[len(features) :], weights)
