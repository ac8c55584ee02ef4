"""A backbone read at earlier stages than its last: a tap on each stage, and the source whose features are those of some taps."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from headstart.data.text_preprocessing import MASK
from headstart.errors import SourceError, near, sentence
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone, joined, pooled_tokens

FORMAT = 1
"""Raised when the meaning of a tap's features changes; part of the digest."""


@dataclass(frozen=True)
class Tap:
    """Where one stage is read.

    Attributes:
        layer: name of the stage (:attr:`headstart.sources.source.Source.layers`).
        module: dotted name of the module whose output is read; ``""`` for the backbone's own features.
        width: features that come out, all of them.
        grid: side of the grid that a spatial map is averaged to; 1 is one mean a channel.
        columns: which of the ``width`` features are kept, rising; ``None`` for all.
    """

    layer: str
    module: str
    width: int
    grid: int = 1
    columns: tuple[int, ...] | None = None

    @property
    def kept(self) -> int:
        """How many features are kept."""
        return self.width if self.columns is None else len(self.columns)


class Tapped(nn.Module):
    """(B, 3, H, W), or encoded texts (B, 3, T) -> float32 (B, sum of the taps' kept features), in the order of the taps.

    The forward pass ends once every tap has been read: an early stage costs less than the whole backbone.
    """

    def __init__(self, backbone: nn.Module, taps: Sequence[Tap]) -> None:
        super().__init__()
        self.backbone, self.taps = backbone, tuple(taps)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {}
        mask = owner = None
        if isinstance(self.backbone, TextBackbone):
            rows, owner = self.backbone.windows(images)
            mask = rows[:, MASK]

        def read(tap: Tap, value: torch.Tensor) -> None:
            features = pooled(value, tap.grid, mask)
            if tap.module and mask is not None:
                features = joined(features, mask, owner, len(images))
            found[tap.module] = features if tap.columns is None else features[:, list(tap.columns)]

        def hook(tap: Tap) -> Any:
            def reads(module: nn.Module, inputs: Any, value: Any) -> None:
                read(tap, value if mask is None else states(value))
                if len(found) == len(self.taps):
                    raise _Enough

            return reads

        # hooks live for one call: they would not survive a copy of the module, or a module put in another's place
        handles = [
            self.backbone.get_submodule(tap.module).register_forward_hook(hook(tap)) for tap in self.taps if tap.module
        ]
        try:
            value = self.backbone(images)
            for tap in self.taps:
                if not tap.module:
                    read(tap, value)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([found[tap.module] for tap in self.taps], dim=1)


class _Enough(Exception):
    """Every tap has been read."""


def states(value: Any) -> Any:
    """What a stage of a model of texts hands on: some blocks give it with other things behind it."""
    return value[0] if isinstance(value, tuple) else value


def pooled(value: torch.Tensor, grid: int = 1, mask: torch.Tensor | None = None) -> torch.Tensor:
    """One float32 vector an image or text from what a stage gives.

    A map (B, C, H, W) is averaged over space, (B, C), or to a ``grid`` x ``grid`` of means, (B, C * grid^2), at most as
    fine as the map; so is (B, H, W, C), which is told by its two equal middle sides (inputs are square). Tokens
    (B, T, C) are averaged over all of them, or over those where ``mask`` (B, T) is 1; (B, C) stays as it is.
    """
    if value.ndim == 2:
        return value.float()
    if value.ndim == 3 and mask is not None:
        return pooled_tokens(value.float(), mask, "mean")
    if value.ndim == 3:
        return value.mean(1, dtype=torch.float32)
    if value.shape[2] != value.shape[3] and value.shape[1] == value.shape[2]:
        value = value.permute(0, 3, 1, 2)
    if grid == 1:
        return value.mean((2, 3), dtype=torch.float32)
    return adaptive_avg_pool2d(value, (min(grid, value.shape[2]), min(grid, value.shape[3]))).flatten(1).float()


def taps_of(source: Source, grid: int = 1) -> list[Tap]:
    """A tap on every stage, from the input to the output; the last one gives the backbone's own features.

    A stage is read at its last module, or at the activation that follows it at once as a module of its own. A stage
    that has no module of its own, that runs twice in a forward pass, or that gives something else than a map, tokens or
    a vector, has no tap. One dry forward of noise finds all that.
    """
    backbone, texts = source.backbone, isinstance(source.backbone, TextBackbone)
    layers = [(layer.name, layer.modules[-1]) for layer in source.layers[:-1]]
    modules = dict(backbone.named_modules())
    wanted = {name for _, name in layers if name in modules}
    calls: Counter[str] = Counter()
    out: dict[str, Any] = {}
    after: dict[str, str] = {}

    def before(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            calls[name] += 1
            if inputs and _activates(module):
                after.update({stage: name for stage, value in out.items() if value is inputs[0]})

        return hook

    def behind(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, value: Any) -> None:
            out[name] = states(value) if texts else value

        return hook

    handles = [module.register_forward_pre_hook(before(name)) for name, module in modules.items() if name]
    handles += [modules[name].register_forward_hook(behind(name)) for name in wanted]
    training = backbone.training
    noise = source.preprocessing.noise(2 if texts else 1)
    try:
        with torch.inference_mode():
            backbone.eval()(noise)
            widths = {
                name: pooled(value, grid).shape[1]
                for name, value in out.items()
                if isinstance(value, torch.Tensor) and value.ndim in (2, 3, 4) and len(value) == len(noise)
            }
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    taps = []
    for layer, name in layers:
        if name in widths and calls[name] == 1:
            read = after[name] if calls[after.get(name, "")] == 1 else name
            taps.append(Tap(layer, read, widths[name], grid))
    return [*taps, Tap(source.layers[-1].name if source.layers else "output", "", source.width)]


def _activates(module: nn.Module) -> bool:
    """Whether a module is one function applied to each number."""
    place = type(module).__module__
    return place.startswith(("torch.nn.modules.activation", "timm.layers.activations")) and not list(
        module.parameters()
    )


def tapped(source: Source, taps: Sequence[Tap]) -> Source:
    """The source whose features are those of ``taps``, side by side; the source itself for its last stage alone."""
    taps = tuple(taps)
    if len(taps) == 1 and not taps[0].module and taps[0].columns is None:
        return source
    said = repr((FORMAT, source.digest, [(tap.module, tap.grid, tap.columns) for tap in taps]))
    where = taps[0].layer if len(taps) == 1 else f"{len(taps)} layers"
    return replace(
        source,
        name=f"{source.name} at {where}",
        backbone=Tapped(source.backbone, taps).train(source.backbone.training),
        width=sum(tap.kept for tap in taps),
        digest=hashlib.sha256(said.encode()).hexdigest()[:16],
        head=None,
        classes=(),
    )


def at_layer(source: Source, layer: str) -> Source:
    """The source read at one stage; ``"last"`` is the source itself.

    Raises:
        SourceError: no stage of that name, or one that cannot be read.
    """
    if layer == "last":
        return source
    taps = {tap.layer: tap for tap in taps_of(source)}
    if layer not in taps:
        close = near(layer, list(taps), 1)
        raise SourceError(
            sentence(
                "this source has no such layer to read", where=source.name, got=layer, allowed=[*taps, "last", "auto"],
                fix=f"--layer {close[0] if close else 'auto'}",
            )
        )  # fmt: skip
    return tapped(source, [taps[layer]])


def taps_read(source: Source) -> tuple[Tap, ...]:
    """What the features of a source are read from: its taps, or its last stage."""
    if isinstance(source.backbone, Tapped):
        return source.backbone.taps
    return (Tap(source.layers[-1].name if source.layers else "output", "", source.width),)
