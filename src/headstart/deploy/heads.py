"""The heads of several tasks beside their shared backbone: one file of a model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.errors import RunError, near, sentence
from headstart.sources.source import Source
from headstart.tasks.task import Task

HEADS = "heads.safetensors"


@dataclass(frozen=True)
class Head:
    """One head as it is kept: a linear layer, its task, and the backbone's buffers (batch-norm statistics) that go with it."""

    task: Task
    weight: torch.Tensor
    bias: torch.Tensor
    buffers: dict[str, torch.Tensor]


def buffers_of(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Those that are saved with a model, by name."""
    kept = backbone.state_dict()
    return {name: value.detach().cpu() for name, value in backbone.named_buffers() if name in kept}


def save_heads(folder: Path, heads: Mapping[str, Head], default: str | None) -> None:
    """Write all heads; ``default`` is the one that speaks where none is named."""
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    about = []
    for k, (name, head) in enumerate(heads.items()):
        parts = {"weight": head.weight, "bias": head.bias, **{f"buffers.{n}": b for n, b in head.buffers.items()}}
        tensors |= {f"{k}.{part}": value.detach().cpu().contiguous().clone() for part, value in parts.items()}
        about.append(
            {"name": name, "classes": list(head.task.classes), "task": {"name": head.task.name, **head.task.state()}}
        )
    text = json.dumps({"heads": about, "default": default}, ensure_ascii=False, default=float)
    save_file(tensors, folder / HEADS, metadata={"heads": text})


def load_head(folder: Path, name: str | None, source: Source) -> tuple[Source, dict[str, Any] | None]:
    """The source of a model folder with the head of one task, and what is kept of that task; as it is where the folder has one head.

    Raises:
        RunError: no such head, several and none named, or a file that cannot be used.
    """
    from safetensors import SafetensorError, safe_open

    if not (folder / HEADS).is_file():
        if name is not None:
            raise RunError(
                sentence(
                    "this model has one head, which has no name",
                    where=str(folder),
                    got=f"--head {name}",
                    fix="leave --head out",
                )
            )
        return source, None
    try:
        with safe_open(folder / HEADS, "pt") as file:
            kept = json.loads(file.metadata()["heads"])
            names = [head["name"] for head in kept["heads"]]
            chosen = kept["default"] if name is None else name
            if chosen in names:
                k = names.index(chosen)
                held = [key for key in file.keys() if key.startswith(f"{k}.")]  # noqa: SIM118
                tensors = {key.partition(".")[2]: file.get_tensor(key) for key in held}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            sentence("the file of the heads cannot be used", where=str(folder / HEADS), got=str(error)[:120], fix="copy the folder again")
        ) from None  # fmt: skip
    if chosen not in names:
        close = near(str(chosen), names, 1)
        what = "this model has several heads" if name is None else "this model has no such head"
        raise RunError(
            sentence(
                what,
                where=str(folder),
                got=name or "none named",
                allowed=names,
                fix=f"--head {close[0] if close else names[0]}",
            )
        )
    about = kept["heads"][k]
    own = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith("buffers.")}
    source.backbone.load_state_dict({**source.backbone.state_dict(), **own})
    return replace(source, head=(tensors["weight"], tensors["bias"]), classes=tuple(about["classes"])), about["task"]
