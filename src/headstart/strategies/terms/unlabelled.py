"""Semi-supervised terms on unlabelled images of the target: pseudo-labels and FixMatch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.functional.confident import confident_labels, confident_loss, ramp
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class OnUnlabelled(Term):
    """What both have in common.

    Args:
        weight: > 0, default 1.
        threshold: in [0, 1): the least probability with which a prediction counts as a label, default 0.95.
        ratio: unlabelled images to a labelled one in a batch, > 0, default 1 (FixMatch's mu; the paper's 7 costs 7 times
            the images).
    """

    weight: float = 1.0
    threshold: float = 0.95
    ratio: float = 1.0

    needs = frozenset({"class_probabilities", "unlabelled_target"})
    strong = False

    def __post_init__(self) -> None:
        check_argument(self.name, "threshold", self.threshold, 0 <= self.threshold < 1, "0 <= threshold < 1")
        check_argument(self.name, "ratio", self.ratio, 0 < self.ratio <= 16, "0 < ratio <= 16")

    def words(self) -> str:
        return f"weight {self.weight:g}, threshold {self.threshold:g}, {self.ratio:g} unlabelled to a labelled image"


@dataclass(frozen=True)
class FixMatch(OnUnlabelled):
    """The label of a confident prediction on the weak view, asked of the strong view (Sohn et al., NeurIPS 2020, equation 4).

    ``weight / U * sum_u 1[max q_u >= threshold] H(argmax q_u, p(strong_u))``. The weak view passes first, without gradient.
    Batch norms use the statistics of the view that passes; running ones follow the weak view, which looks like the images
    that will be predicted, and not the strong one. Where no image of a batch is sure, the strong view is not computed.
    """

    name = "fixmatch"
    strong = True

    def bind(self, start: Start) -> Penalty:
        return _FixMatch(self)

    def describe(self) -> str:
        return f"FixMatch ({self.words()})"


class _FixMatch(Penalty):
    def __init__(self, term: FixMatch) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        weak, strong = seen.batch.weak, seen.batch.strong
        assert weak is not None
        assert strong is not None
        if not len(weak):  # a piece of a batch that was cut to fit into memory
            return seen.outputs.sum() * 0.0
        with torch.no_grad():
            labels, sure = confident_labels(seen.model(weak), self.term.threshold)
        if not sure.any():
            return seen.outputs.sum() * 0.0
        with statistics_kept(seen.model):
            outputs = seen.model(strong)
        return self.term.weight * confident_loss(outputs, labels, sure)


@dataclass(frozen=True)
class PseudoLabel(OnUnlabelled):
    """The predicted class of a confident unlabelled image taken for its label (Lee, ICML workshop 2013, equations 15, 16).

    ``alpha(t) weight / U * sum_u 1[max p_u >= threshold] H(argmax p_u, p_u)``; alpha grows in a line from 0 to 1 over the
    first ``warmup`` of the training. The paper has no threshold: 0 gives that.

    Args:
        warmup: in [0, 1], default 0.5.
    """

    warmup: float = 0.5

    name = "pseudo"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_argument(self.name, "warmup", self.warmup, 0 <= self.warmup <= 1, "0 to 1, a share of the epochs")

    def bind(self, start: Start) -> Penalty:
        return _PseudoLabel(self)

    def describe(self) -> str:
        return f"pseudo-labels ({self.words()}, warm-up {self.warmup:g})"


class _PseudoLabel(Penalty):
    def __init__(self, term: PseudoLabel) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        alpha = ramp(seen.progress, 0.0, self.term.warmup)
        assert seen.batch.weak is not None
        if alpha == 0 or not len(seen.batch.weak):
            return seen.outputs.sum() * 0.0
        outputs = seen.model(seen.batch.weak)
        labels, sure = confident_labels(outputs, self.term.threshold)
        return alpha * self.term.weight * confident_loss(outputs, labels, sure)


def unlabelled_stream(terms: Sequence[Term]) -> tuple[float, bool] | None:
    """(ratio, whether strong views are needed) for the terms that learn from unlabelled images; ``None`` without such a term.

    Raises:
        HandshakeError: two terms want different ratios of the one stream.
    """
    found = [term for term in terms if isinstance(term, OnUnlabelled)]
    if len({term.ratio for term in found}) > 1:
        raise HandshakeError(
            sentence("the terms on unlabelled images share one stream, so their ratio has to be the same",
                     got=" and ".join(f"{term.name}(ratio={term.ratio:g})" for term in found))
        )  # fmt: skip
    return (found[0].ratio, any(term.strong for term in found)) if found else None


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms in train mode normalise by the batch as always, and leave their running statistics as they are."""
    moving = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    moving = [m for m in moving if m.training]
    for norm in moving:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in moving:
            norm.track_running_stats = True
