"""Small-loss selection: the images of a batch that cost most are taken for wrongly labelled and left out (Han et al., NeurIPS 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.errors import HandshakeError, sentence
from headstart.functional.small_loss import forget_share, smallest
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class SmallLoss(Term):
    """The loss over the ``1 - R`` share of a batch with the smallest losses, minus the loss over all of it.

    Added to the task's loss, it leaves the first of the two. R grows in a line from 0 to ``rate`` over the first ``warmup``
    of the training, as in the paper's algorithm 1. The paper's two networks select for each other; here one selects for
    itself, at half the cost, and keeps what it got wrong in the warm-up. A batch that is cut to fit into memory, or shared
    between processes, is selected from piece by piece.

    Args:
        rate: in (0, 1), the share of wrong labels that is expected.
        warmup: in [0, 1], default 0.3.
    """

    weight: float = 1.0
    rate: float = 0.2
    warmup: float = 0.3

    name = "smallloss"
    needs = frozenset({"loss_per_image", "hard_labels"})

    def __post_init__(self) -> None:
        check_argument(self.name, "rate", self.rate, 0 < self.rate < 1, "0 < rate < 1, the share of wrong labels")
        check_argument(self.name, "warmup", self.warmup, 0 <= self.warmup <= 1, "0 to 1, a share of the epochs")

    def bind(self, start: Start) -> Penalty:
        if int(self.rate * start.batch + 1e-9) < 1:
            raise HandshakeError(
                sentence(
                    "term 'smallloss' leaves the rate of images with the largest losses out of each batch, and of so few that "
                    "is none, so it cannot act", got=f"rate={self.rate:g}, {start.batch} images a batch",
                    fix=f"a rate from {1 / start.batch:.2g} on, or a larger --batch-size" if start.batch > 1 else "--batch-size 32",
                )
            )  # fmt: skip
        return _SmallLoss(self, start)

    def describe(self) -> str:
        return f"small-loss selection (rate {self.rate:g}, warm-up {self.warmup:g})"


class _SmallLoss(Penalty):
    def __init__(self, term: SmallLoss, start: Start) -> None:
        super().__init__()
        self.term, self.task = term, start.task

    def forward(self, seen: Seen) -> torch.Tensor:
        outputs, targets = seen.outputs, seen.batch.targets
        assert targets is not None
        forget = forget_share(self.term.rate, seen.progress, self.term.warmup)
        keep = smallest(self.task.each(outputs, targets), forget)
        return self.task.loss(outputs[keep], targets[keep]) - self.task.loss(outputs, targets)
