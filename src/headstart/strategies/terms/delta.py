"""DELTA: the last feature maps stay near the source's, the channels that matter most of all (Li et al., ICLR 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from headstart.data.batch import Batch
from headstart.data.text_preprocessing import MASK
from headstart.errors import HandshakeError, sentence
from headstart.functional.delta import as_channels, attended_distance, channel_attention, channels_last
from headstart.functional.l2sp import squared_distance
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.sample import sample
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model

NUMBERS = 1 << 25
"""Of a stage's output with channels switched off that are held at once, at most (128 MB)."""


@dataclass(frozen=True)
class DELTA(Term):
    """``weight * sum over stages of 1/B sum_b sum_j a_j ||FM_j(x_b) - FM*_j(x_b)||^2 / positions + head_weight * ||theta_head||^2``.

    FM_j is channel j of what a stage of the backbone gives, FM*_j the same of the frozen source
    (:func:`headstart.functional.delta.attended_distance`). With ``attention="rise"``, the paper's, a_j comes from how much
    the loss of a linear head on the frozen source rises on training images when channel j is switched off
    (:func:`headstart.functional.delta.channel_attention`): that costs one pass through the rest of the network for each channel
    and image, which is next to nothing for the last stage and dear for early ones. ``"equal"`` has a_j = 1 / channels
    (the distance without attention that the paper compares with). The squared distances are divided by the number of positions of
    a map, and the sum over a batch by its images, so that the weight does not hang on either.

    Args:
        weight: > 0, default 1.
        head_weight: >= 0, default 0.005 (``beta``; the paper's second part).
        stages: the last so many of the source's stages, a whole number >= 1, default 1.
        attention: ``"rise"`` or ``"equal"``.
        images: training images drawn for the rise, a whole number >= 1, default 128.

    Raises:
        RecipeError: arguments out of range.
        HandshakeError: from :meth:`bind`, where stages cannot be read.
    """

    weight: float = 1.0
    head_weight: float = 0.005
    stages: float = 1
    attention: str = "rise"
    images: float = 128

    name = "delta"
    needs = frozenset({"trainable_backbone", "pretrained_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "attention", self.attention, self.attention in ("rise", "equal"), "rise, equal")
        for key, value in (("stages", self.stages), ("images", self.images)):
            check_argument(self.name, key, value, value >= 1 and value == int(value), "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        if getattr(start.model.backbone, "window", None) is not None:
            raise _refused("compares texts token by token, and these are cut into chunks", "chunks", "truncated texts")
        return _Maps(self, start)

    def describe(self) -> str:
        where = f"last {self.stages:g} stages" if self.stages > 1 else "last stage"
        return f"DELTA ({where}, weight {self.weight:g}, head {self.head_weight:g}, attention {self.attention})"


class _Maps(Penalty):
    """Hooks keep what the stages give: on the moving backbone while it is watched, on the frozen one for good."""

    def __init__(self, term: DELTA, start: Start) -> None:
        super().__init__()
        self.term = term
        self.names = _stages(start, int(term.stages))
        self.now: dict[str, torch.Tensor] = {}
        self.then: dict[str, torch.Tensor] = {}
        self.attention: dict[str, torch.Tensor | None] = dict.fromkeys(self.names)
        if term.attention == "rise":
            self.attention = _by_rise(start, self.names, int(term.images))
        self.head = list(start.model.head.parameters())
        self.origin = [torch.zeros_like(p) for p in self.head]
        self._hooks(start.frozen, self._keep_then)

    def _hooks(self, backbone: nn.Module, keep: Callable[..., None]) -> list[RemovableHandle]:
        return [backbone.get_submodule(name).register_forward_hook(partial(keep, name)) for name in self.names]

    def _keep_now(self, n: int, name: str, module: nn.Module, inputs: Any, value: torch.Tensor) -> None:
        self.now[name] = value[:n]  # inputs of another domain come after the labelled ones

    def _keep_then(self, name: str, module: nn.Module, inputs: Any, value: torch.Tensor) -> None:
        self.then[name] = value

    @contextmanager
    def watching(self, model: Model, batch: Batch) -> Iterator[None]:
        self.now.clear()  # of a pass that ran out of memory
        handles = self._hooks(model.backbone, partial(self._keep_now, len(batch)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, seen: Seen) -> torch.Tensor:
        seen.source_features  # noqa: B018  has the frozen backbone run on these images
        total = self.term.head_weight * squared_distance(self.head, self.origin)
        for name in self.names:
            value, anchor = as_channels(self.now[name]), as_channels(self.then[name])
            if not seen.batch.inputs.is_floating_point():
                counts = token_weights(seen.batch.inputs[:, MASK])
                value, anchor = value * counts, anchor * counts
            attention = self.attention[name]
            if attention is None:
                attention = torch.full((value.shape[2],), 1 / value.shape[2], device=value.device)
            total = total + self.term.weight * attended_distance(value, anchor, attention)
        self.now.clear()
        self.then.clear()
        return total


def _stages(start: Start, n: int) -> list[str]:
    """Dotted names of the modules whose outputs are those of the last ``n`` stages."""
    modules = dict(start.frozen.named_modules())
    names = [next((m for m in reversed(layer.modules) if m in modules), "") for layer in start.layers]
    found = [name for name in names if name][-n:]
    if len(found) < n:
        raise _refused("reads more stages than this backbone has", n, f"1 to {len(found)}")
    return found


@torch.no_grad()
def _by_rise(start: Start, names: list[str], n: int) -> dict[str, torch.Tensor | None]:
    """The attention of each stage's channels, from the rise of the loss without each."""
    batches = list(sample(start, n))
    if not batches[0].inputs.is_floating_point():
        raise _refused(
            "would run the whole network on each text once for each channel to find its attention", "rise", "equal"
        )
    features = [start.frozen(batch.inputs).float() for batch in batches]
    targets = [batch.targets for batch in batches if batch.targets is not None]
    head = _solved_head(start, torch.cat(features), torch.cat(targets))
    task, found = start.task, dict[str, torch.Tensor | None]()
    for name in names:
        rise, mass = torch.zeros(0), sum(task.mass(y) for y in targets)
        for batch, y, f in zip(batches, targets, features, strict=True):
            value = _output(start.frozen, name, batch.inputs)
            if not torch.allclose(_rest(start.frozen, name, value, batch.inputs), f, rtol=1e-2, atol=1e-3):
                raise _refused("cannot run the network from this stage on alone", name, "another stage")
            width, size = as_channels(value).shape[2], len(value)
            each, step = [], max(1, NUMBERS // value.numel())
            for first in range(0, width, step):
                off = range(first, min(first + step, width))
                out = head(_rest(start.frozen, name, _switched_off(value, off), batch.inputs).float())
                each += [task.loss(part, y) for part in out.split(size)]
            more = (torch.stack(each) - task.loss(head(f), y)) * (task.mass(y) / mass)
            rise = rise.to(more.device) + more if len(rise) else more
        found[name] = channel_attention(rise)
    return found


def token_weights(mask: torch.Tensor) -> torch.Tensor:
    """(B, T, 1) from a mask (B, T): what padding leaves of a squared mean over T places is the mean over the tokens alone."""
    share = mask.float()
    return (share * share.shape[1] / share.sum(1, keepdim=True).clamp(min=1)).sqrt().unsqueeze(-1)


def _switched_off(value: torch.Tensor, channels: range) -> torch.Tensor:
    """The batch once for each channel, with zeros in its place: (len(channels) * B, ...)."""
    parts = value.repeat(len(channels), *[1] * (value.ndim - 1)).unflatten(0, (len(channels), len(value)))
    for i, j in enumerate(channels):
        parts[i].select(-1 if channels_last(value) else 1, j).zero_()
    return parts.flatten(0, 1)


def _output(backbone: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """What the module of that name gives."""
    found: list[Any] = []
    handle = backbone.get_submodule(name).register_forward_hook(lambda module, inputs, value: found.append(value))
    try:
        backbone(images)
    finally:
        handle.remove()
    if len(found) != 1 or not isinstance(found[0], torch.Tensor) or found[0].ndim not in (2, 3, 4):
        raise _refused("needs a stage that runs once and gives a map, tokens or a vector", name, "another source")
    return found[0]


def _rest(backbone: nn.Module, name: str, value: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The backbone's features where the module of that name gave ``value``; what comes before it sees one image only."""
    handle = backbone.get_submodule(name).register_forward_hook(lambda module, inputs, old: value)
    try:
        return backbone(images[:1])
    finally:
        handle.remove()


@torch.enable_grad()
def _solved_head(start: Start, X: torch.Tensor, targets: torch.Tensor) -> nn.Module:
    """A head of the task on frozen features: L-BFGS on its loss, with ``1e-3 ||W||^2`` to keep it finite."""
    head = start.task.head(X.shape[1]).to(start.device)
    parameters = list(head.parameters())
    solver = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        held = sum((p.square().sum() for p in parameters if p.ndim > 1), torch.zeros((), device=X.device))
        loss = start.task.loss(head(X), targets) + 1e-3 * held
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return head.requires_grad_(False)


def _refused(problem: str, got: object, allowed: object) -> HandshakeError:
    return HandshakeError(
        sentence(
            f"term 'delta' {problem}", got=got, allowed=allowed, fix="--strategy 'delta(attention=equal)' or distill"
        )
    )
