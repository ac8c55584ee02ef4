"""Optimisers and learning-rate schedules over the stages of a tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headstart.sources.source import Source
from headstart.strategies.tuning.tuning import moving
from headstart.training.objective import Objective

HEAD_LR_SCALE = 10.0
"""A new head learns this many times faster than a pretrained backbone (the usual practice in transfer learning)."""


@dataclass(frozen=True)
class Optimisation:
    """How gradient steps are taken.

    Attributes:
        epochs: >= 1.
        lr: peak learning rate of the backbone; the head's is ``head_lr_scale`` times that.
        find_lr: replace ``lr``, the family's default, by what a range test says (:mod:`headstart.training.lr_range`).
        optimizer: ``"adamw"`` or ``"sgd"``.
        momentum: of SGD, in [0, 1).
        weight_decay: >= 0; none on biases, norms and other vectors.
        schedule: ``"cosine"``, ``"onecycle"`` (Smith 2018: up for the first 30 %, then cosine down),
            ``"slanted"`` (ULMFiT's triangle, Howard and Ruder 2018) or ``"constant"``.
        warmup: below 1 a share of all steps, from 1 on a number of steps; not used by onecycle and slanted, which have their own.
        head_lr_scale: factor on the head's learning rate.
        grad_clip: largest norm of the whole gradient, or ``None``.
        accumulate: batches added up before a step.
        patience: epochs without a better validation score before training stops, or ``None``.
        average: weights averaged along the way, see :func:`headstart.training.averaging.parse_average`.
        seconds: no epoch is begun that would end later than this after the first, or ``None``.
    """

    epochs: int
    lr: float
    optimizer: str = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.1
    head_lr_scale: float = HEAD_LR_SCALE
    grad_clip: float | None = 1.0
    accumulate: int = 1
    patience: int | None = None
    find_lr: bool = False
    average: str = "none"
    seconds: float | None = None


def reads_texts(source: Source | None) -> bool:
    return source is not None and source.preprocessing.modality == "text"


def default_lr(optimizer: str, *, pretrained: bool, source: Source | None = None) -> float:
    """The peak rate of a family with AdamW; 20 times that with SGD.

    Networks of images: 5e-4 from a source, 2e-3 from random weights. Transformers of texts: 5e-4 from random weights; from a source
    ``5e-5 (768 / width)^2``, at most 3e-4, which is the usual rate at a width of 768 (BERT's base) and 1024 (3e-5), and the best of 5e-5 to 4e-4
    at 384 (MiniLM).
    """
    usual = 5e-4 if pretrained else 2e-3
    if reads_texts(source):
        assert source is not None
        usual = min(3e-4, 5e-5 * (768 / source.width) ** 2) if pretrained else 5e-4
    return usual * (20 if optimizer == "sgd" else 1)


def parameter_groups(objective: Objective, options: Optimisation) -> list[dict[str, Any]]:
    """Two groups (with and without weight decay) for each stage that moves, for the head, and for each term that learns.

    All stages are in from the first step; one that is not open yet has no gradients, and an optimiser passes it by.
    """
    model = objective.model
    parts: list[tuple[str, float, list[nn.Parameter]]] = [
        (
            stage.layer.name,
            options.head_lr_scale if stage.layer.fresh else stage.lr_scale,
            moving(model.backbone, stage),
        )
        for stage in objective.stages
    ]
    # an adapter's vector may have the shape of the weight that it scales: (out, 1) or (1, out, 1, 1)
    vectors = {
        id(p)
        for stage in objective.stages
        if stage.only == "adapter"
        for p in moving(model.backbone, stage)
        if p.squeeze().ndim < 2
    }
    parts.append(("head", options.head_lr_scale, list(model.head.parameters())))
    parts += [(name, options.head_lr_scale, list(term.parameters())) for name, term in objective.penalties.items()]
    groups = []
    for name, scale, parameters in parts:
        for decay in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1 and id(p) not in vectors) == decay]
            if chosen:
                groups.append(
                    {
                        "name": f"{name}{'' if decay else ' (no decay)'}",
                        "params": chosen,
                        "lr": options.lr * scale,
                        "weight_decay": options.weight_decay if decay else 0.0,
                    }
                )
    return groups


def make_optimizer(groups: list[dict[str, Any]], options: Optimisation) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or SGD with Nesterov momentum; each in one kernel, which a CPU ends several times as fast."""
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=options.lr, momentum=options.momentum, nesterov=options.momentum > 0, fused=True
        )
    return torch.optim.AdamW(groups, lr=options.lr, fused=True)


def schedule_factor(step: int, total: int, options: Optimisation) -> float:
    """The factor on every learning rate at optimiser step ``step`` of ``total`` (0 <= step < total).

    cosine: linear warm-up from ``1 / (w + 1)``, then ``(1 + cos(pi t)) / 2`` with t from 0 to 1 over the rest.
    slanted: in a line from 1/32 up to 1 over the first tenth, then in a line down to 1/32 (their equation 3 with cut_frac = 0.1, ratio = 32).
    onecycle: from 1/25 up to 1 over the first 30 % and down to 1e-4 / 25, both along a cosine.
    """
    if options.schedule == "onecycle":
        up = max(1, round(0.3 * total))
        low, end = 1 / 25, 1e-4 / 25
        if step < up:
            return low + (1 - low) * (1 - math.cos(math.pi * step / up)) / 2
        return end + (1 - end) * (1 + math.cos(math.pi * (step - up) / max(1, total - up))) / 2
    if options.schedule == "slanted":
        cut = max(1, int(0.1 * total))
        p = step / cut if step < cut else 1 - (step - cut) / max(1, total - cut)
        return (1 + p * 31) / 32
    warm = round(options.warmup * total) if options.warmup < 1 else min(round(options.warmup), total)
    if step < warm:
        return (step + 1) / (warm + 1)
    if options.schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warm) / max(1, total - warm))) / 2
