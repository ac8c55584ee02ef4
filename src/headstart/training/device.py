"""Devices and precision, behind Accelerate."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn.modules.conv import _ConvNd

from headstart.errors import RecipeError, sentence
from headstart.features.precision import cpu_has_bf16


def pick_device(name: str = "auto") -> torch.device:
    """``"auto"`` -> cuda, mps or cpu, the first that is there; otherwise the device of that name.

    Raises:
        RecipeError: a name that torch does not know, or a device that is not there.
    """
    have = ["cpu"]
    if torch.cuda.is_available():
        have.insert(0, "cuda")
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if name == "auto":
        return torch.device(have[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(sentence("unknown device", got=name, allowed=["auto", *have])) from None
    if device.type not in have or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise RecipeError(
            sentence("this device is not on this machine", got=name, allowed=["auto", *have], fix="headstart doctor")
        )
    return device


def reads_tokens(network: nn.Module) -> bool:
    """Whether a network is all embeddings and products of matrices, as those of texts are: bf16 of a CPU makes their steps about twice
    as fast, those of depthwise convolutions slower."""
    kinds = [type(part) for part in network.modules()]
    return any(issubclass(k, nn.Embedding) for k in kinds) and not any(issubclass(k, _ConvNd) for k in kinds)


def accelerator(device: torch.device, precision: str = "auto", network: nn.Module | None = None) -> Accelerator:
    """An Accelerator on ``device``.

    Args:
        device: where to train.
        precision: ``"auto"`` (bf16 on a GPU that has it, and for a ``network`` that reads tokens on a CPU that multiplies bf16 in
            hardware; else fp32), ``"fp32"``, ``"bf16"`` or ``"fp16"``.

    Raises:
        RecipeError: fp16 on a CPU, which has no gradient scaling there.
    """
    if precision == "auto":
        fast = {
            "cuda": torch.cuda.is_bf16_supported,
            "cpu": lambda: network is not None and cpu_has_bf16() and reads_tokens(network),
        }
        precision = "bf16" if fast.get(device.type, bool)() else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise RecipeError(
            sentence("fp16 training needs a GPU", got="cpu", allowed="fp32, bf16", fix="--precision bf16")
        )
    # Accelerate keeps one state a process; runs of other precision in the same process need a new one.
    AcceleratorState._reset_state(True)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
    )
