"""A source: a pretrained model with all that must travel with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors.

    Attributes:
        loaded: tensors of the backbone (and head) that were filled from the checkpoint.
        new: names of the model's tensors that the checkpoint lacks and that keep their random start.
        dropped: names of the checkpoint's tensors that found no place (a head of another shape, say).
        total: tensors in the backbone.
    """

    loaded: int
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    total: int

    def line(self) -> str:
        """One line for the user: ``loaded 312 of 314 backbone tensors; new: a, b; dropped: fc.weight, fc.bias``."""

        def shown(names: tuple[str, ...]) -> str:
            if not names:
                return "none"
            return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

        return (
            f"loaded {self.loaded} of {self.total} backbone tensors; "
            f"new: {shown(self.new)}; dropped: {shown(self.dropped)}"
        )


@dataclass(frozen=True)
class Layer:
    """One stage of a backbone. ``modules`` are dotted module names inside the backbone (``""`` is never one).

    ``fresh``: new, with random weights; it is always trained, at the head's rate.
    """

    name: str
    modules: tuple[str, ...]
    fresh: bool = False


@dataclass
class Source:
    """A pretrained backbone and what must travel with it.

    Attributes:
        name: as the user wrote it, e.g. ``timm/resnet18.a1_in1k`` or ``bundled/glyphs``.
        library: who builds the architecture: ``"timm"`` or ``"torchvision"``.
        architecture: the builder's name inside that library, e.g. ``"resnet18"``.
        model_args: further keyword arguments of the builder.
        backbone: float32 (B, 3, H, W) -> (B, width); no head.
        preprocessing: what the backbone expects: a :class:`headstart.data.preprocessing.Preprocessing` of images, or a
            :class:`headstart.data.text_preprocessing.TextPreprocessing`.
        layers: stages from the input to the output; together they hold every parameter of the backbone exactly once.
        width: the number of features.
        classifier: the dotted name of the head in the library's own layout (``"fc"``, ``"classifier.6"``).
        licence: SPDX id or words; ``"not stated"`` where nothing is known.
        digest: sha256 (first 16 hex digits) over the backbone's tensors and their names.
        report: what was loaded, left new and dropped.
        head: (weight (K, width), bias (K,)) of the source task where the checkpoint has one, else ``None``.
        classes: the K class names of the source task, or ``()``.
        description: one line for tables (source data, year).
        build: makes a fresh backbone of the same architecture with random weights (used by the ``scratch`` baseline).
    """

    name: str
    library: str
    architecture: str
    model_args: dict[str, Any]
    backbone: nn.Module
    preprocessing: Any
    layers: list[Layer]
    width: int
    classifier: str
    licence: str
    digest: str
    report: LoadReport
    build: Callable[[], nn.Module]
    head: tuple[torch.Tensor, torch.Tensor] | None = None
    classes: tuple[str, ...] = ()
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of parameters of the backbone."""
        return sum(p.numel() for p in self.backbone.parameters())

    @property
    def pretrained(self) -> bool:
        """Whether the weights come from somewhere; ``random/...`` is an architecture alone."""
        return not self.name.startswith("random/")
