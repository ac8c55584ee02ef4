"""Co-Tuning: the source's own head goes on learning, on what the labels are in its classes (You et al., NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.cotuning import best_temperature, relationship, soft_cross_entropy
from headstart.strategies.terms.source_head import source_head
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class CoTuning(Term):
    """``weight *`` the cross-entropy of the source's head on the moving features against ``p(y_s | y_t)``.

    The relationship p(y_s | y_t) is the mean of the source's calibrated probabilities over the training images of each
    target class, by the model as it starts (:func:`headstart.functional.cotuning.relationship`). The source's head is trained
    along and dropped afterwards. The paper calibrates on source images; here the temperature is found on the target's
    (:func:`headstart.functional.cotuning.best_temperature`) unless it is given.

    Args:
        weight: > 0, default 2.3 (the authors' lambda).
        temperature: > 0, or 0 (default): found on the training images.
    """

    weight: float = 2.3
    temperature: float = 0.0

    name = "cotuning"
    needs = frozenset({"trainable_backbone", "pretrained_backbone", "source_head", "class_probabilities"})

    def bind(self, start: Start) -> Penalty:
        return _Related(self, start)

    def describe(self) -> str:
        said = f"temperature {self.temperature:g}" if self.temperature else "temperature found"
        return f"Co-Tuning (weight {self.weight:g}, {said})"


class _Related(Penalty):
    def __init__(self, term: CoTuning, start: Start) -> None:
        super().__init__()
        self.term = term
        self.head = source_head(start)
        assert isinstance(start.model.head, torch.nn.Linear)
        K = start.model.head.out_features
        logits, labels = _source_logits(self.head, start)
        temperature = term.temperature or best_temperature(logits, labels, K)
        self.given = relationship(torch.softmax(logits / temperature, 1), labels, K).to(start.device)

    def forward(self, seen: Seen) -> torch.Tensor:
        targets = seen.batch.targets
        assert targets is not None
        q = self.given[targets] if targets.ndim == 1 else targets.to(self.given.dtype) @ self.given
        return self.term.weight * soft_cross_entropy(self.head(seen.features), q)


@torch.no_grad()
def _source_logits(head: torch.nn.Linear, start: Start) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, S) of the source's head on the training images, and their labels (n,); on the CPU."""
    logits, labels = [], []
    for batch in start.batches():
        assert batch.targets is not None
        logits.append(head(start.frozen(batch.to(start.device).inputs).float()).cpu())
        labels.append(batch.targets.cpu())
    return torch.cat(logits), torch.cat(labels)
