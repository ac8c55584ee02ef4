"""Early-learning regularisation: a network learns right labels first; hold it to what it said then (Liu et al., NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.errors import HandshakeError, sentence
from headstart.functional.early_learning import FLOOR, early_learning, moved_targets
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class EarlyLearning(Term):
    """``weight / B * sum_i log(1 - <p_i, t_i>)``, t_i being the running average of the predictions for image i.

    The authors' equation 6, with their order of things: the average takes in the new prediction, then the term is formed.
    An image that comes several times in a batch (repeated augmentation) enters its average with the mean of its predictions.

    Args:
        weight: > 0, default 3 (the paper's lambda for CIFAR-10; 7 for its 100 classes).
        beta: in [0, 1), default 0.7 (0.9 for CIFAR-100): how slowly the average moves.

    Raises:
        RecipeError: beta out of range.
        HandshakeError: in :meth:`bind`, with several processes.
    """

    weight: float = 3.0
    beta: float = 0.7

    name = "elr"
    needs = frozenset({"class_probabilities", "hard_labels"})

    def __post_init__(self) -> None:
        check_argument(self.name, "beta", self.beta, 0 <= self.beta < 1, "0 <= beta < 1")

    def bind(self, start: Start) -> Penalty:
        shared = torch.distributed.is_available() and torch.distributed.is_initialized()
        processes = torch.distributed.get_world_size() if shared else 1
        if processes > 1:
            raise HandshakeError(
                sentence("'elr' keeps a memory of every image, which several processes do not share",
                         got=f"{processes} processes", fix="one process, or 'smallloss'")
            )  # fmt: skip
        return _EarlyLearning(self, start.total, start.model.head, start.device)

    def describe(self) -> str:
        return f"early-learning regularisation (weight {self.weight:g}, beta {self.beta:g})"


class _EarlyLearning(Penalty):
    memory: torch.Tensor

    def __init__(self, term: EarlyLearning, n: int, head: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.term = term
        classes = head.out_features
        assert isinstance(classes, int)
        self.register_buffer("memory", torch.zeros(n, classes, device=device))

    def forward(self, seen: Seen) -> torch.Tensor:
        index = seen.batch.index
        assert index is not None
        p = torch.softmax(seen.outputs.float(), dim=1)
        with torch.no_grad():
            said = p.clamp(FLOOR, 1 - FLOOR)
            said = said / said.sum(1, keepdim=True)
            rows, place = index.unique(return_inverse=True)
            mean = torch.zeros(len(rows), p.shape[1], device=p.device).index_add_(0, place, said)
            mean = mean / torch.bincount(place, minlength=len(rows))[:, None]
            self.memory[rows] = moved_targets(self.memory[rows], mean, self.term.beta)
        return self.term.weight * early_learning(p, self.memory[index]).mean()
