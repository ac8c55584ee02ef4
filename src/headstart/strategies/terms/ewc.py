"""EWC: L2-SP weighed by the Fisher information (Kirkpatrick et al., PNAS 2017; L2-SP-Fisher of Li et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from headstart.errors import HandshakeError, sentence
from headstart.functional.fisher import fisher_diagonal, weighted_squared_distance
from headstart.functional.l2sp import squared_distance
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.sample import sample
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class EWC(Term):
    """``weight * sum_k F_k (theta_k - theta_source,k)^2 + head_weight * ||theta_head||^2``.

    F is the diagonal of the *true* Fisher information of the **source model**, backbone and source head as they start,
    on **the target's training images**, without augmentation: for each image one label drawn from the model's own
    probabilities (:func:`headstart.functional.fisher.fisher_diagonal`). It says how much the source's answers on such
    images depend on each parameter. The paper takes the images of the old task, which are not at hand here; no
    label of the target plays a part, so that this is not the empirical Fisher.

    F is divided by its mean over all moving parameters, so that ``weight`` has the scale of ``l2sp``'s, whatever the
    network: with F equal everywhere both are the same. ``normalize=false`` keeps F as it is. One
    backward pass an image, before the first step.

    Args:
        weight: > 0, default 0.05 (``lambda / 2`` of the paper).
        head_weight: >= 0, default 0.005.
        images: at most so many are drawn for F, a whole number >= 1, default 128.
        normalize: divide F by its mean.

    Raises:
        RecipeError: ``images`` out of range.
        HandshakeError: from :meth:`bind`, where the source's answers depend on no parameter that moves.
    """

    weight: float = 0.05
    head_weight: float = 0.005
    images: float = 128
    normalize: bool = True

    name = "ewc"
    needs = frozenset({"trainable_backbone", "pretrained_backbone", "source_head", "plain_weights"})

    def __post_init__(self) -> None:
        good = self.images >= 1 and self.images == int(self.images)
        check_argument(self.name, "images", self.images, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Weighed(self, start)

    def describe(self) -> str:
        return f"EWC (weight {self.weight:g}, head {self.head_weight:g}, Fisher of {self.images:g} images)"


class _Weighed(Penalty):
    def __init__(self, term: EWC, start: Start) -> None:
        super().__init__()
        self.term = term
        self.moving = [p for p in start.model.backbone.parameters() if p.requires_grad]
        self.anchors = [p.detach().clone() for p in self.moving]
        self.fisher = _fisher(start, self.moving, int(term.images))
        mean = float(sum(f.sum() for f in self.fisher)) / sum(f.numel() for f in self.fisher)
        if not mean > 0:
            raise HandshakeError(
                sentence(
                    "term 'ewc' weighs parameters by how much the source's answers depend on them, but these depend on "
                    "none that moves, so it cannot act", fix="--strategy l2sp",
                )
            )  # fmt: skip
        if term.normalize:
            self.fisher = [f / mean for f in self.fisher]
        self.head = list(start.model.head.parameters())
        self.origin = [torch.zeros_like(p) for p in self.head]

    def forward(self, seen: Seen) -> torch.Tensor:
        value = self.term.weight * weighted_squared_distance(self.moving, self.anchors, self.fisher)
        if self.term.head_weight:
            value = value + self.term.head_weight * squared_distance(self.head, self.origin)
        return value


def _fisher(start: Start, moving: list[torch.nn.Parameter], n: int) -> list[torch.Tensor]:
    """The diagonal, the mean over the images drawn; the model is left as it was."""
    assert start.source_head is not None
    weight, bias = (part.to(start.device) for part in start.source_head)
    backbone = start.model.backbone
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()

    def log_probabilities(images: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(linear(backbone(images).float(), weight, bias), dim=1)

    drawn = torch.Generator().manual_seed(start.seed)
    total, count = [torch.zeros_like(p) for p in moving], 0
    for batch in sample(start, n):
        with torch.no_grad():
            chances = log_probabilities(batch.inputs).exp().cpu()
        labels = torch.multinomial(chances, 1, generator=drawn)[:, 0]
        for f, more in zip(total, fisher_diagonal(log_probabilities, moving, batch.inputs, labels), strict=True):
            f += more
        count += len(labels)
    for module, mode in modes.items():
        module.training = mode
    return [f / count for f in total]
