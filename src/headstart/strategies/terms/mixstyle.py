"""MixStyle: the style of early feature maps mixed between inputs of different domains (Zhou et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.errors import HandshakeError, sentence
from headstart.functional.mixstyle import mix_style, partners
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class MixStyle(Term):
    """In training, means and deviations of the first stages' feature maps lie between those of an input and of another one.

    With the chance ``p`` for each batch and stage, and ``lambda ~ Beta(alpha, alpha)`` for each input
    (:func:`headstart.functional.mixstyle.mix_style`). Where several domains are there the other input is of another one, else any
    of the batch. The head thus sees styles that no source has. It needs no target; nothing is added to the loss.
    A stage is all layers whose maps have the same size, its end is where it acts; a single first layer (the
    stem) is none, as in the paper's residual networks.

    Args:
        p: in (0, 1], default 0.5 (the paper's).
        alpha: > 0, default 0.1 (the paper's).
        stages: a whole number >= 1, default 2.

    Raises:
        RecipeError: arguments out of range.
        HandshakeError: from :meth:`bind`, where the backbone has fewer stages with feature maps.
    """

    weight: float = 1.0
    p: float = 0.5
    alpha: float = 0.1
    stages: float = 2

    name = "mixstyle"
    needs = frozenset({"feature_maps", "trainable_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "p", self.p, 0 < self.p <= 1, "more than 0, at most 1")
        check_argument(self.name, "alpha", self.alpha, self.alpha > 0, "> 0")
        good = self.stages >= 1 and self.stages == int(self.stages)
        check_argument(self.name, "stages", self.stages, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        ends = stage_ends(start)
        if len(ends) < self.stages:
            raise HandshakeError(
                sentence(
                    "term 'mixstyle' mixes feature maps of the first stages, and this backbone has fewer of them",
                    got=f"stages={self.stages:g}", allowed=f"1 to {len(ends)}" if ends else "a network of convolutions",
                    fix=f"mixstyle(stages={len(ends)})" if ends else "leave it out",
                )
            )  # fmt: skip
        return _Mixing(self, ends[: int(self.stages)], start.sources)

    def describe(self) -> str:
        return f"styles of inputs mixed (MixStyle, p {self.p:g}, alpha {self.alpha:g}, {self.stages:g} stages)"


class _Mixing(Penalty):
    adds = False

    def __init__(self, term: MixStyle, names: list[str], sources: int) -> None:
        super().__init__()
        self.term, self.names, self.sources = term, names, sources

    @contextmanager
    def watching(self, model: Model, batch: Batch) -> Iterator[None]:
        domain = batch.domain
        if batch.target is not None:
            mine = torch.zeros(len(batch), dtype=torch.long, device=batch.inputs.device) if domain is None else domain
            domain = torch.cat([mine, torch.full((len(batch.target),), self.sources, device=mine.device)])
        mix = partial(self._mix, domain)
        handles = [model.backbone.get_submodule(name).register_forward_hook(mix) for name in self.names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _mix(self, domain: torch.Tensor | None, module: nn.Module, inputs: Any, value: torch.Tensor) -> torch.Tensor:
        if not self.training or torch.rand(()) >= self.term.p:
            return value
        alpha = torch.full((len(value),), self.term.alpha)
        share = torch.distributions.Beta(alpha, alpha).sample().to(value.device)
        return mix_style(value, partners(domain, len(value), value.device), share)

    def forward(self, seen: Seen) -> torch.Tensor:
        return seen.outputs.new_zeros(())


@torch.no_grad()
def stage_ends(start: Start) -> list[str]:
    """Dotted names of the modules whose outputs end the stages, from the input to the output."""
    backbone = start.model.backbone
    modules = dict(backbone.named_modules())
    last = [next((m for m in reversed(layer.modules) if m in modules), "") for layer in start.layers]
    found: list[tuple[str, int]] = []

    def keep(name: str, module: nn.Module, inputs: Any, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.ndim == 4 and value.shape[2] * value.shape[3] > 1:
            found.append((name, value.shape[2]))

    handles = [modules[name].register_forward_hook(partial(keep, name)) for name in last if name]
    training = backbone.training
    backbone.eval()
    try:
        backbone(next(iter(start.batches())).inputs[:1].to(start.device))
    finally:
        for handle in handles:
            handle.remove()
        backbone.train(training)
    runs = [[name for name, size in found if size == side] for side in dict.fromkeys(size for _, size in found)]
    if len(runs) > 1 and len(runs[0]) == 1:
        runs = runs[1:]
    return [run[-1] for run in runs]
