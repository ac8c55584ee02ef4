"""Write a model folder in the library's own layout, so that it is the next source and opens without Headstart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from headstart.data.preprocessing import Preprocessing
from headstart.sources.architecture import build_whole
from headstart.sources.fingerprint import probe_activation, weights_digest
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.text_save import save_text_model
from headstart.sources.texts import LIBRARY


def save_model(
    folder: Path,
    source: Source,
    backbone: nn.Module,
    head: nn.Linear | None,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    card: str,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write ``config.json``, ``model.safetensors``, ``labels.txt`` and ``README.md``.

    A digest of the weights and the answer to a known picture go into the config, and are checked when it is loaded.

    Args:
        folder: made if it is not there.
        source: says the architecture.
        backbone, head: the weights; the head goes under the library's own name for it. ``None`` leaves it out.
        classes: names in the order of the head's rows.
        card: text of the README.
        extra: kept under ``headstart`` in the config.
    """
    if source.library == LIBRARY:
        assert isinstance(backbone, TextBackbone)
        save_text_model(folder, source, backbone, classes, card, extra or {})
        return
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in backbone.state_dict().items()}
    rows = 0
    if head is not None:
        own = {f"{source.classifier}.{k}": v for k, v in head.state_dict().items()}
        tensors |= {k: v.detach().cpu().contiguous().clone() for k, v in own.items()}
        _fit_head(tensors, source, len(classes))
        rows = len(classes)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    side = preprocessing.size
    config = {
        "library": source.library,
        "architecture": source.architecture,
        "num_classes": rows,
        "num_features": source.width,
        "model_args": source.model_args,
        "pretrained_cfg": {
            "input_size": [3, side, side],
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": preprocessing.interpolation,
            "crop_pct": preprocessing.crop_pct,
            "crop_mode": preprocessing.crop_mode,
            "num_classes": rows,
            "classifier": source.classifier,
            "license": source.licence,
        },
        "headstart": {
            "digest": weights_digest(backbone),
            "probe_activation": probe_activation(backbone, preprocessing.size),
            "description": f"moved from {source.name} to {len(classes)} classes",
            "from": source.name,
            "from_digest": source.digest,
            **(extra or {}),
        },
    }
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _fit_head(tensors: dict[str, torch.Tensor], source: Source, n_classes: int) -> None:
    """Give the head's weight the library's own shape: some of its classifiers are 1 x 1 convolutions."""
    key = f"{source.classifier}.weight"
    whole = build_whole(source.library, source.architecture, source.model_args, n_classes).state_dict()
    if key in whole and whole[key].shape != tensors[key].shape:
        tensors[key] = tensors[key].reshape(whole[key].shape)
