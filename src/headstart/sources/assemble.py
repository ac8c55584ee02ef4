"""Put a source together from an architecture, its tensors and its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.data.preprocessing import Preprocessing
from headstart.sources.architecture import build_backbone, feature_width, layers_of
from headstart.sources.checkpoint import fill, weights_digest
from headstart.sources.source import LoadReport, Source


def assemble(
    name: str,
    library: str,
    architecture: str,
    model_args: dict[str, Any],
    preprocessing: Preprocessing,
    tensors: dict[str, torch.Tensor] | None,
    *,
    licence: str = "not stated",
    classes: tuple[str, ...] = (),
    description: str = "",
    classifier: str | None = None,
) -> Source:
    """A source. ``tensors`` are in the library's own names, head included; ``None`` leaves the random start.

    Raises:
        SourceError: unknown architecture, too few tensors fit, or no features come out.
    """
    backbone, own_classifier = build_backbone(library, architecture, model_args)
    classifier = classifier or own_classifier
    width = feature_width(backbone, preprocessing.size, name)
    head = None
    if tensors is None:
        names = tuple(k for k in backbone.state_dict() if not k.endswith("num_batches_tracked"))
        report = LoadReport(0, names, (), len(names))
    else:
        report, head = fill(backbone, tensors, classifier, width, name)
    if head is not None and len(classes) != len(head[0]):
        classes = tuple(f"class {i}" for i in range(len(head[0])))
    return Source(
        name=name, library=library, architecture=architecture, model_args=model_args, backbone=backbone.eval(),
        preprocessing=preprocessing, layers=layers_of(backbone), width=width, classifier=classifier, licence=licence,
        digest=weights_digest(backbone), report=report, build=partial(_fresh, library, architecture, model_args),
        head=head, classes=classes if head is not None else (), description=description,
    )  # fmt: skip


def _fresh(library: str, architecture: str, model_args: dict[str, Any]) -> nn.Module:
    return build_backbone(library, architecture, model_args)[0]


Loader = Callable[..., Source]
"""(rest of the name, image_size=...) -> Source."""


def timm_preprocessing(config: dict[str, Any], image_size: int | None = None) -> Preprocessing:
    """From timm's pretrained_cfg (or a model's default_cfg)."""
    side = image_size or int((config.get("input_size") or (3, 224, 224))[-1])
    interpolation = config.get("interpolation") or "bicubic"
    return Preprocessing(
        size=side, mean=tuple(config.get("mean") or (0.485, 0.456, 0.406)), std=tuple(config.get("std") or (0.229, 0.224, 0.225)),
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bicubic",
        crop_pct=float(config.get("crop_pct") or 0.875), crop_mode="squash" if config.get("crop_mode") == "squash" else "center",
    )  # fmt: skip
