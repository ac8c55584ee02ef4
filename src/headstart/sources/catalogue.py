"""The list of what can be transferred from."""

from __future__ import annotations

import json
from typing import Any

from headstart.sources import timm as from_timm
from headstart.sources import torchvision as from_torchvision
from headstart.sources.bundle import bundled_folder, bundled_names


def list_sources(offline: bool = False) -> list[dict[str, Any]]:
    """One row a source: name, architecture, description, licence, size (pixels or ``None``), here (on this machine).

    Args:
        offline: only those on this machine.
    """
    rows = _bundled() + _timm() + _torchvision()
    return [row for row in rows if row["here"]] if offline else rows


def _bundled() -> list[dict[str, Any]]:
    rows = []
    for name in bundled_names():
        config = json.loads((bundled_folder() / name / "config.json").read_text(encoding="utf-8"))
        cfg = config.get("pretrained_cfg", {})
        rows.append(
            {
                "name": f"bundled/{name}", "architecture": config["architecture"], "description": config.get("headstart", {}).get("description", ""),
                "licence": cfg.get("license", "not stated"), "size": cfg.get("input_size", [3, 0, 0])[-1], "here": True,
            }
        )  # fmt: skip
    return rows


def _timm() -> list[dict[str, Any]]:
    import timm
    from timm.models import get_pretrained_cfg

    rows = []
    for full in timm.list_pretrained():
        config = get_pretrained_cfg(full)
        if config is None:
            continue
        architecture, _, tag = full.partition(".")
        rows.append(
            {
                "name": f"timm/{full}", "architecture": architecture, "description": tag, "licence": config.license or "not stated",
                "size": config.input_size[-1], "here": from_timm.cached(config) is not None,
            }
        )  # fmt: skip
    return rows


def _torchvision() -> list[dict[str, Any]]:
    import torchvision.models as models

    return [
        {
            "name": f"torchvision/{base}.{weights.name}", "architecture": base, "description": weights.name, "licence": "BSD-3-Clause",
            "size": None, "here": from_torchvision.weights_file(weights).is_file(),
        }
        for base in models.list_models(module=models)
        for weights in models.get_model_weights(base)
    ]  # fmt: skip
