"""Tensors from a file into a backbone: prefixes, wrappers, a wrong head, and a refusal where too little fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.errors import SourceError, sentence
from headstart.sources.source import LoadReport

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema", "model_ema", "backbone")
PREFIXES = ("module.", "backbone.", "model.", "encoder.", "net.", "_orig_mod.", "base_encoder.", "encoder_q.")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pt or .pth file; halves are widened to float32.

    Raises:
        SourceError: the file is missing, is no state dict, holds code (``weights_only``).
    """
    if not path.is_file():
        raise SourceError(sentence("no such checkpoint", got=str(path)))
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state: Any = load_file(path)
        except (SafetensorError, OSError) as error:
            raise SourceError(
                sentence("the file is no safetensors file", got=str(path), allowed=str(error)[:100])
            ) from None
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            text = str(error)
            if "weights_only" in text or "Unsupported" in text or "global" in text.lower():
                reason = "it holds Python objects, which could run code, not only tensors"
            else:
                reason = text.splitlines()[0][:100] if text else type(error).__name__
            raise SourceError(
                sentence(
                    "the checkpoint is not opened",
                    got=str(path),
                    allowed=f"a file of tensors; {reason}",
                    fix="save model.state_dict() as .safetensors",
                )
            ) from None
    state = _unwrapped(state)
    if state is None:
        raise SourceError(
            sentence(
                "the file holds no state dict (names -> tensors)",
                got=str(path),
                fix="torch.save(model.state_dict(), ...)",
            )
        )
    tensors = {}
    for name, value in state.items():
        value = value.detach().cpu()
        tensors[name] = value.float() if value.is_floating_point() else value
    return tensors


def check_finite(tensors: dict[str, torch.Tensor], where: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        SourceError: naming the first tensor.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise SourceError(sentence("the weights hold NaN or infinity", where=where, got=name))


def _unwrapped(state: Any) -> dict[str, torch.Tensor] | None:
    for _ in range(3):
        if not isinstance(state, dict):
            return None
        if state and all(isinstance(v, torch.Tensor) for v in state.values()):
            return {str(k): v for k, v in state.items()}
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), dict)), None)
        if inner is None:
            only = {str(k): v for k, v in state.items() if isinstance(v, torch.Tensor)}
            return only if len(only) > len(state) / 2 else None
        state = inner
    return None


def strip_prefix(names: list[str], wanted: set[str]) -> str:
    """The prefix (of up to three parts) whose removal makes the most names fit."""
    candidates = {""}
    for _ in range(3):
        candidates |= {c + p for c in candidates for p in PREFIXES if any(n.startswith(c + p) for n in names)}

    def fits(prefix: str) -> int:
        return sum(n.startswith(prefix) and n[len(prefix) :] in wanted for n in names)

    return max(sorted(candidates, key=len), key=fits)


def fill(
    backbone: nn.Module, tensors: dict[str, torch.Tensor], classifier: str, width: int, name: str
) -> tuple[LoadReport, tuple[torch.Tensor, torch.Tensor] | None]:
    """Copy what fits by name and shape into ``backbone``; give the report, and the head where there is one of ``width``.

    Raises:
        SourceError: under half of the backbone's tensors are filled, the weights are for images of another number of
            channels, or they hold NaN.
    """
    check_finite(tensors, name)
    own = backbone.state_dict()
    prefix = strip_prefix(list(tensors), set(own))
    rest = {(k[len(prefix) :] if k.startswith(prefix) else k): v for k, v in tensors.items()}
    good = {k: v for k, v in rest.items() if k in own and own[k].shape == v.shape}
    counted = [k for k in own if not k.endswith("num_batches_tracked")]
    filled = [k for k in counted if k in good]
    _check_channels(rest, own, name)
    if len(filled) * 2 < len(counted):
        wrong = next((k for k in rest if k in own and own[k].shape != rest[k].shape), None)
        detail = (
            f"{wrong} is {tuple(rest[wrong].shape)}, the architecture has {tuple(own[wrong].shape)}"
            if wrong
            else f"names such as {next(iter(tensors), 'none')}"
        )
        raise SourceError(
            sentence(
                f"the checkpoint fills only {len(filled)} of {len(counted)} tensors of the backbone, under half", where=name, got=detail,
                fix="--arch with the architecture that the checkpoint was made with",
            )
        )  # fmt: skip
    backbone.load_state_dict(good, strict=False)
    head = None
    used = set(good)
    weight, bias = (
        rest.get(f"{classifier}.{part}", tensors.get(f"{classifier}.{part}")) for part in ("weight", "bias")
    )
    if weight is not None and weight.flatten(1).shape[1] == width and weight.numel() == weight.shape[0] * width:
        weight = weight.flatten(1)
        head = (weight, bias if bias is not None else torch.zeros(len(weight)))
        used |= {f"{classifier}.weight", f"{classifier}.bias"}
    dropped = tuple(k for k in rest if k not in used and not k.endswith("num_batches_tracked"))
    new = tuple(k for k in counted if k not in good)
    return LoadReport(len(filled), new, dropped, len(counted)), head


def _check_channels(found: dict[str, torch.Tensor], own: dict[str, torch.Tensor], name: str) -> None:
    """Refuse a first layer for another number of channels: it would stay random, and every feature with it."""
    for key, value in found.items():
        if key not in own or own[key].ndim != 4 or value.ndim != 4 or own[key].shape == value.shape:
            continue
        mine, theirs = own[key].shape, value.shape
        if mine[1] == 3 and (theirs[0], *theirs[2:]) == (mine[0], *mine[2:]):
            raise SourceError(
                sentence(
                    "the checkpoint is for images of another number of channels", where=name, got=f"{theirs[1]} in {key}",
                    allowed="3 (grey images are repeated over the three channels)", fix="a checkpoint trained on RGB images",
                )
            )  # fmt: skip
