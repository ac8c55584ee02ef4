"""The two sides that a term on domains compares, and what such terms have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from headstart.errors import HandshakeError, sentence
from headstart.functional.adaptation_ramp import adaptation_ramp
from headstart.functional.shares import nothing, shares
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class Sides:
    """One joint pass, by domain: n rows of the source (of all sources), m of the target.

    Attributes:
        source_features, target_features: (n, width), (m, width), float32 or float64.
        source_outputs, target_outputs: (n, K), (m, K) of the head.
        source_labels, target_labels: int64 (n,), (m,), -1 without a label; empty where targets are no classes.
        source, target: shares (n,), (m,) of the rows (:func:`headstart.functional.shares.shares`): of ``seen.weights`` for
            the labelled ones, and all alike for the unlabelled ones.
    """

    source_features: torch.Tensor
    target_features: torch.Tensor
    source_outputs: torch.Tensor
    target_outputs: torch.Tensor
    source_labels: torch.Tensor
    target_labels: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor


def two_sides(seen: Seen) -> Sides:
    """What a pass saw, by domain. Labelled rows of the target stand on the side of the target."""
    F, O, y = _wide(seen.features), _wide(seen.outputs), seen.batch.targets  # noqa: E741
    Ft, Ot = F[:0], O[:0]
    if seen.target_features is not None and seen.target_outputs is not None:
        Ft, Ot = _wide(seen.target_features), _wide(seen.target_outputs)
    if y is None or y.ndim != 1 or y.is_floating_point():
        y = torch.full((len(F),), -1, device=F.device)
    none = torch.full((len(Ft),), -1, dtype=y.dtype, device=F.device)
    weights = seen.weights
    if seen.batch.domain is None:
        return Sides(F, Ft, O, Ot, y, none, shares(F, weights), shares(Ft))
    mine = seen.batch.domain < seen.start.sources
    few = ~mine
    beside = None if weights is None else torch.cat([weights[few], weights.new_ones(len(Ft))])
    Ft, Ot, yt = torch.cat([F[few], Ft]), torch.cat([O[few], Ot]), torch.cat([y[few], none])
    own = None if weights is None else weights[mine]
    return Sides(F[mine], Ft, O[mine], Ot, y[mine], yt, shares(F[mine], own), shares(Ft, beside))


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()


@dataclass(frozen=True)
class OnTwoDomains(Term):
    """``weight * (2 / (1 + exp(-ramp p)) - 1) *`` a number read off both domains' rows of a batch.

    Args:
        weight: > 0.
        ramp: >= 0, how fast the weight grows with the share p of the training that has passed
            (:func:`headstart.functional.adaptation_ramp.adaptation_ramp`); 0: it does not, the whole weight from the start.

    Raises:
        RecipeError: arguments out of range.
        HandshakeError: from :meth:`bind`, where a batch holds fewer rows of a domain than ``least``.
    """

    weight: float = 1.0
    ramp: float = 10.0

    needs = frozenset({"trainable_backbone", "target_stream"})
    least = 2
    """Rows of a domain in a batch, without which the term says nothing."""

    def __post_init__(self) -> None:
        check_argument(self.name, "ramp", self.ramp, self.ramp >= 0, "0 (none) or more")

    @abstractmethod
    def between(self, sides: Sides) -> torch.Tensor:
        """The value without its weight, a scalar with gradient; 0 where a side has no rows."""

    def bind(self, start: Start) -> Penalty:
        rows = min(start.batch, start.target_total)
        if rows < self.least:
            raise HandshakeError(
                sentence(
                    f"term {self.name!r} compares rows of a batch by domain, and there are too few, so it cannot act",
                    got=f"{rows} of a domain", allowed=f"{self.least} or more", fix="a larger --batch-size, or more of the target",
                )
            )  # fmt: skip
        return _Between(self)

    def words(self) -> str:
        return f"weight {self.weight:g}" + (f", ramp {self.ramp:g}" if self.ramp else "")


class _Between(Penalty):
    def __init__(self, term: OnTwoDomains) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        with torch.autocast(seen.features.device.type, enabled=False):
            factor = self.term.weight * adaptation_ramp(seen.progress, self.term.ramp)
            return factor * self.term.between(two_sides(seen)) + nothing(seen.features, seen.outputs)


def whole(term: Term, key: str, least: int = 1) -> None:
    """Refuse an argument that is not a whole number from ``least`` on.

    Raises:
        RecipeError: it is not.
    """
    value = getattr(term, key)
    check_argument(term.name, key, value, value >= least and value == int(value), f"a whole number from {least} on")
