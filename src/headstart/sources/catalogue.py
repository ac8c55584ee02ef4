"""The list of what can be transferred from."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.sources import minilm
from headstart.sources import timm as from_timm
from headstart.sources import torchvision as from_torchvision
from headstart.sources.bundle import bundled_folder, bundled_names
from headstart.sources.folder import TOKENIZERS, is_of_texts


def list_sources(offline: bool = False) -> list[dict[str, Any]]:
    """One row a source: name, architecture, description, licence, modality (``"image"`` or ``"text"``), size (pixels, or tokens of a text;
    or ``None``), here (on this machine).

    Args:
        offline: only those on this machine.
    """
    rows = bundled_sources() + _timm() + _torchvision() + _cached_texts()
    rows = [{"modality": "image", **row} for row in rows]
    return [row for row in rows if row["here"]] if offline else rows


def bundled_sources() -> list[dict[str, Any]]:
    """Rows of the sources that come with the package, or, for texts, with one that the extra ``[offline]`` installs."""
    rows: list[dict[str, Any]] = []
    for name in bundled_names():
        config = json.loads((bundled_folder() / name / "config.json").read_text(encoding="utf-8"))
        cfg = config.get("pretrained_cfg", {})
        rows.append(
            {
                "name": f"bundled/{name}", "modality": "image", "architecture": config["architecture"], "description": config.get("headstart", {}).get("description", ""),
                "licence": cfg.get("license", "not stated"), "size": cfg.get("input_size", [3, 0, 0])[-1], "here": True,
            }
        )  # fmt: skip
    here = find_spec(minilm.PACKAGE) is not None and find_spec("transformers") is not None
    rows.append({
        "name": minilm.NAME, "modality": "text", "architecture": "bert", "licence": minilm.LICENCE, "size": 256, "here": here,
        "description": minilm.DESCRIPTION + ("" if here else " (pip install 'headstart[offline]')"),
    })  # fmt: skip
    return rows


def _cached_texts() -> list[dict[str, Any]]:
    """Models of texts in the local cache of the Hugging Face hub."""
    from huggingface_hub import constants

    rows = []
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        config = next(folder.glob("snapshots/*/config.json"), None)
        if config is None:
            continue
        try:
            said = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        beside = {path.name for path in config.parent.iterdir()}
        weights = any(name.startswith(("model", "pytorch_model")) for name in beside)
        if isinstance(said, dict) and is_of_texts(said) and weights and beside & set(TOKENIZERS):
            rows.append({
                "name": "hf/" + folder.name.removeprefix("models--").replace("--", "/", 1), "modality": "text",
                "architecture": said["model_type"], "description": "in the cache of the hub", "licence": "not stated",
                "size": said.get("max_position_embeddings"), "here": True,
            })  # fmt: skip
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
