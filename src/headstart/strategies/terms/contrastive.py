"""Contrastive regularisation: features of one class together, of others apart (Khosla et al. 2020; Gunel et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.errors import HandshakeError, sentence
from headstart.functional.contrastive import supervised_contrastive
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class Contrastive(Term):
    """``weight *`` the supervised contrastive loss of the batch's features, beside the task's loss.

    Gunel, Du, Conneau, Stoyanov, *Supervised Contrastive Learning for Pre-trained Language Model Fine-tuning*, ICLR 2021,
    with the loss of :func:`headstart.functional.contrastive.supervised_contrastive`: on the features themselves, without a
    projector, between the images of one batch. An image whose class comes once in the batch has no pair and adds nothing;
    with many classes and small batches, ``bituning`` compares with earlier batches too.

    Args:
        weight: > 0, default 0.1.
        temperature: > 0, default 0.1 (Khosla et al.).

    Raises:
        RecipeError: ``temperature`` out of range.
    """

    weight: float = 0.1
    temperature: float = 0.1

    name = "contrastive"
    needs = frozenset({"trainable_backbone", "class_probabilities", "hard_labels"})

    def __post_init__(self) -> None:
        check_argument(self.name, "temperature", self.temperature, self.temperature > 0, "> 0")

    def bind(self, start: Start) -> Penalty:
        if start.batch < 2:
            raise HandshakeError(
                sentence(
                    "term 'contrastive' compares the images of a batch, and a batch holds one, so it cannot act",
                    fix="a larger --batch-size, or bituning, which compares with earlier batches",
                )
            )
        return _Pairs(self)

    def describe(self) -> str:
        return f"supervised contrastive (weight {self.weight:g}, temperature {self.temperature:g})"


class _Pairs(Penalty):
    def __init__(self, term: Contrastive) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        assert seen.batch.targets is not None
        with torch.autocast(seen.features.device.type, enabled=False):
            return self.term.weight * supervised_contrastive(seen.features, seen.batch.targets, self.term.temperature)
