"""What a strategy does to each layer, as a table."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from headstart.sources.source import Source
from headstart.strategies.strategy import Strategy
from headstart.strategies.tuning.tuning import Stage, first_epoch, moving, part
from headstart.training.optim import Optimisation


def stage_table(
    source: Source, strategy: Strategy, stages: Sequence[Stage], options: Optimisation | None
) -> list[dict[str, Any]]:
    """One row a stage for the plan and the report.

    Each has ``name``, ``modules`` (how many), ``parameters``, ``moving`` (how many of them, or of its adapters, are
    trained), ``only`` (which: all, bias, norm, adapter), ``lr`` at its peak, ``opens`` (the epoch from which on it moves,
    ``None`` where it never does), ``bn`` and ``mode``: a layer is in eval mode while it is frozen.
    """
    backbone = source.backbone
    if any(stage.trainable and stage.only == "adapter" for stage in stages):
        backbone = copy.deepcopy(backbone)
        strategy.tuning.rewire(backbone, source.layers, source.preprocessing.size)
    rows = []
    for stage in stages:
        items = [part(source.backbone, name) for name in stage.layer.modules]
        modules = [m for item in items if isinstance(item, nn.Module) for m in item.modules()]
        norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules)
        count = sum(sum(p.numel() for p in i.parameters()) if isinstance(i, nn.Module) else i.numel() for i in items)
        moved = sum(p.numel() for p in moving(backbone, stage))
        opens = first_epoch(stage, options.epochs) if options and moved else None
        bn = "adapts" if moved and stage.bn == "adapt" else "frozen statistics"
        mode = "eval" if not moved else "train" if opens in (None, 1) else f"eval, train from epoch {opens}"
        rows.append(
            {
                "name": stage.layer.name,
                "modules": len(stage.layer.modules),
                "parameters": count,
                "moving": moved,
                "only": stage.only,
                "trainable": moved > 0,
                "lr": options.lr * stage.lr_scale if options and moved else 0.0,
                "opens": opens,
                "bn": bn if norms else "none",
                "mode": mode,
            }
        )
    return rows
