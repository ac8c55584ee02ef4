"""Bi-Tuning: two contrastive losses beside the cross-entropy (Zhong, Ma, Wang, Kou, Long 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headstart.functional.bituning import contrastive_cross_entropy
from headstart.functional.contrastive import supervised_contrastive
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class BiTuning(Term):
    """``weight * (CCE + CCL)``: a contrastive cross-entropy on the classifier, a categorical contrastive loss on a projector.

    *Bi-tuning of Pre-trained Representations*, arXiv 2011.06182. CCE is
    :func:`headstart.functional.bituning.contrastive_cross_entropy` with the head's own rows, CCL is
    :func:`headstart.functional.contrastive.supervised_contrastive` behind a linear projector, which is trained and dropped
    afterwards.

    Two things differ from the paper, for small batches and small data: the keys are the images of the batch and, without
    gradient, the features of the last ``queue`` images as they were when they came by, not those of a second, slowly
    moving encoder (another copy of the network and another pass through it); and the classifier's rows are not scaled to length one,
    since a head here starts at zero. The queue starts empty and belongs to the checkpoint; with
    several processes each has its own.

    Args:
        weight: > 0, default 1 (the paper's sum of the three losses).
        temperature: tau > 0, default 0.07 (the paper's).
        dim: outputs of the projector, a whole number >= 1, default 128 (the paper's).
        queue: earlier images to compare with, a whole number >= 0, default 256.

    Raises:
        RecipeError: arguments out of range.
    """

    weight: float = 1.0
    temperature: float = 0.07
    dim: float = 128
    queue: float = 256

    name = "bituning"
    needs = frozenset({"trainable_backbone", "class_probabilities", "hard_labels"})

    def __post_init__(self) -> None:
        check_argument(self.name, "temperature", self.temperature, self.temperature > 0, "> 0")
        for key, value, least in (("dim", self.dim, 1), ("queue", self.queue, 0)):
            good = value >= least and value == int(value)
            check_argument(self.name, key, value, good, f"a whole number from {least} on")

    def bind(self, start: Start) -> Penalty:
        return _Both(self, start)

    def describe(self) -> str:
        return f"Bi-Tuning (weight {self.weight:g}, temperature {self.temperature:g}, queue {self.queue:g})"


class _Both(Penalty):
    keys: torch.Tensor
    labels: torch.Tensor

    def __init__(self, term: BiTuning, start: Start) -> None:
        super().__init__()
        self.term = term
        assert isinstance(start.model.head, nn.Linear)
        width = start.model.head.in_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start.seed)
            self.projector = nn.Linear(width, int(term.dim))
        self.register_buffer("keys", torch.zeros(int(term.queue), width))
        self.register_buffer("labels", torch.full((int(term.queue),), -1))  # -1: not filled yet

    def forward(self, seen: Seen) -> torch.Tensor:
        features, labels, tau = seen.features, seen.batch.targets, self.term.temperature
        assert labels is not None
        assert isinstance(seen.model.head, nn.Linear)
        weight = seen.model.head.weight
        filled = self.labels >= 0
        keys, key_labels = self.keys[filled], self.labels[filled]
        with torch.autocast(features.device.type, enabled=False):
            z, z_keys = self.projector(features.float()), self.projector(keys)
            cce = contrastive_cross_entropy(weight, features, labels, tau, keys, key_labels)
            ccl = supervised_contrastive(z, labels, tau, z_keys, key_labels)
        self._keep(features.detach(), labels)
        return self.term.weight * (cce + ccl)

    @torch.no_grad()
    def _keep(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """The newest first; as many as there is room for."""
        n = len(self.labels)
        self.keys.copy_(torch.cat([features.to(self.keys.dtype), self.keys])[:n])
        self.labels.copy_(torch.cat([labels, self.labels])[:n])
