"""Checkpoints: `last` to go on from, `best` to keep; each written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from headstart.errors import RunError, sentence
from headstart.folder import disk_errors

LAST, BEST = "last.pt", "best.safetensors"


def _replace(path: Path, write: Any) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.tmp")
        try:
            write(aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def save_last(folder: Path, state: dict[str, Any]) -> None:
    """Keep tensors and plain values of the epoch just finished."""
    _replace(folder / LAST, lambda path: torch.save(state, path))


def load_last(folder: Path) -> dict[str, Any] | None:
    """The state of the last finished epoch, or ``None`` before the first.

    Raises:
        RunError: the file is there but cannot be read.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(
            sentence("the checkpoint cannot be read", where=str(path), got=str(error)[:80], fix="--force")
        ) from None


def save_best(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Keep the weights of the best epoch so far."""
    whole = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    _replace(folder / BEST, lambda path: save_file(whole, path))


def load_best(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the best epoch.

    Raises:
        RunError: there are none.
    """
    path = folder / BEST
    if not path.exists():
        raise RunError(sentence("the run has no best checkpoint", got=str(path), fix="--force"))
    return load_file(path)
