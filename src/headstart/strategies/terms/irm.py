"""IRM: one head that is best in every source at once (Arjovsky et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.errors import HandshakeError, sentence
from headstart.functional.irm import irm_penalty, scale_slopes
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class IRM(Term):
    """``weight * 1/E sum_e (d/dw R_e(w f))^2`` at w = 1 over the sources e: IRMv1.

    A feature whose relation to the label differs between the sources leaves a slope in some of them; what is invariant leaves
    none (:func:`headstart.functional.irm.irm_penalty`, without the bias of small batches). Over the first ``anneal`` of
    the training the weight is 1 at most, so that something is learned before it is restrained. It needs no target.

    Args:
        weight: > 0, default 10; the papers use 100 and more, on batches of hundreds of rows of each source.
        anneal: in [0, 1), default 0.1, a share of the training.

    Raises:
        RecipeError: anneal out of range. HandshakeError: from :meth:`bind`, fewer than two rows of a source in a batch.
    """

    weight: float = 10.0
    anneal: float = 0.1

    name = "irm"
    needs = frozenset({"several_sources", "loss_per_image", "hard_labels", "trainable_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "anneal", self.anneal, 0 <= self.anneal < 1, "0 to below 1, a share of the epochs")

    def bind(self, start: Start) -> Penalty:
        two_of_each(self.name, start)
        return _Slopes(self, start)

    def describe(self) -> str:
        return f"one head best in every source (IRM, weight {self.weight:g})"


def two_of_each(name: str, start: Start) -> None:
    """Refuse batches with fewer than two rows of a source.

    Raises:
        HandshakeError: such batches.
    """
    if start.batch < 2 * start.sources:
        raise HandshakeError(
            sentence(
                f"term {name!r} needs two rows of every source in each batch", got=f"{start.batch} rows of {start.sources} sources",
                fix=f"--batch-size {2 * start.sources} or more",
            )
        )  # fmt: skip


def annealed(weight: float, anneal: float, progress: float) -> float:
    """``weight``, but at most 1 before the share ``anneal`` of the training has passed."""
    return weight if progress >= anneal else min(1.0, weight)


class _Slopes(Penalty):
    def __init__(self, term: IRM, start: Start) -> None:
        super().__init__()
        self.term, self.task, self.sources = term, start.task, start.sources

    def forward(self, seen: Seen) -> torch.Tensor:
        batch = seen.batch
        assert batch.targets is not None and batch.domain is not None
        slopes = scale_slopes(seen.outputs.float(), batch.targets, self.task.each)
        weight = annealed(self.term.weight, self.term.anneal, seen.progress)
        return weight * irm_penalty(slopes, batch.domain, self.sources, seen.weights)
