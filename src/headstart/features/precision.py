"""A backbone made ready to run fast, and the proof that its features are still the same.

What is used where (``"auto"``):

* CPU with bf16 arithmetic (avx512_bf16 or amx): bf16 weights, channels_last, batch norms folded into convolutions;
* any other CPU: the same in fp32;
* CUDA: autocast to bf16 (fp16 where the GPU has no bf16), channels_last;
* other devices: fp32 as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from headstart.errors import RecipeError, sentence
from headstart.sources.taps import Tapped

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ENOUGH = 0.999
"""Cosine similarity to the fp32 features that each of the first images must reach."""

Forward = Callable[[torch.Tensor], torch.Tensor]


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (elsewhere bf16 is slower than fp32)."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16") or has.get("bf16"))


def fastest(device: str) -> str:
    """What ``"auto"`` tries first on a device: ``"fp32"``, ``"bf16"`` or ``"fp16"``."""
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.startswith("cpu") and cpu_has_bf16() else "fp32"


def check_precision(precision: str, device: str) -> None:
    """Raise :class:`RecipeError` for a precision that is unknown or that the device has not."""
    if precision not in PRECISIONS:
        raise RecipeError(sentence("unknown precision", got=precision, allowed=PRECISIONS, fix="--precision auto"))
    if precision == "fp16" and not device.startswith("cuda"):
        raise RecipeError(
            sentence("fp16 features need a GPU", got=device, allowed="auto, fp32, bf16", fix="--precision auto")
        )


def fold_batch_norm(backbone: nn.Module, read: Sequence[str] = ()) -> nn.Module:
    """A copy in eval mode in which each batch norm that directly follows a convolution is part of it.

    The outputs of the modules named in ``read`` stay what they are: no norm moves across their end.

    Works on plain ``nn.BatchNorm2d`` and on timm's subclass that also holds the activation. A backbone whose forward
    cannot be traced comes back as a plain copy.
    """
    if isinstance(backbone, Tapped):
        inner = fold_batch_norm(backbone.backbone, [tap.module for tap in backbone.taps if tap.module])
        return Tapped(inner, backbone.taps).eval()
    from torch import fx
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)

    model = copy.deepcopy(backbone).eval()
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        graph = Tracer().trace(model)
    except Exception:  # tracing runs the model's own code on proxies: anything may come out of it
        return model
    modules = dict(model.named_modules())
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[str(node.target)], nn.BatchNorm2d):
            continue
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        if any(_inside(str(before.target), name) and not _inside(str(node.target), name) for name in read):
            continue
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        if type(conv) is not nn.Conv2d or calls[str(before.target)] > 1 or calls[str(node.target)] > 1:
            continue
        rest = [m for name in ("drop", "act") if isinstance(m := getattr(norm, name, None), nn.Module)]
        known = type(norm) is nn.BatchNorm2d or type(norm).__name__ == "BatchNormAct2d"
        if not known or norm.running_mean is None or norm.running_var is None:
            continue
        _replace(model, str(before.target), fuse_conv_bn_eval(conv, norm))  # type: ignore[type-var]
        _replace(model, str(node.target), nn.Sequential(*rest) if rest else nn.Identity())
    return model  # its own forward finds the new modules under the old names


def _inside(module: str, other: str) -> bool:
    """Whether a dotted name is ``other`` or lies within it."""
    return f"{module}.".startswith(f"{other}.")


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def prepare(backbone: nn.Module, device: str, precision: str) -> Forward:
    """A function float32 (B, 3, H, W) on the CPU -> float32 (B, width) on the CPU, in ``precision``.

    The backbone itself is left as it is.
    """
    if device.startswith("cpu"):
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        model = fold_batch_norm(backbone).to(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def on_cpu(images: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                if images.is_floating_point():
                    images = images.to(kind, memory_format=torch.channels_last)
                return model(images).float()

        return on_cpu
    model = copy.deepcopy(backbone).eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cast = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    kind_of_device = torch.device(device).type

    def elsewhere(images: torch.Tensor) -> torch.Tensor:
        images = images.to(device, non_blocking=True)
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(kind_of_device, dtype=cast, enabled=cast is not None):
            return model(images).float().cpu()

    return elsewhere


def plain(backbone: nn.Module, device: str) -> Forward:
    """The backbone as it is, in fp32: what :func:`prepare` is compared with."""
    model = copy.deepcopy(backbone).eval().float().to(device)

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model(images.to(device)).float().cpu()

    return forward


def least_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """The smallest cosine similarity between rows of two (n, d) tensors; two rows of zeros count as equal, and any
    number that is not finite as -1."""
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return -1.0
    cosine = nn.functional.cosine_similarity(a.double(), b.double(), dim=1)
    empty = (a.norm(dim=1) == 0) & (b.norm(dim=1) == 0)
    return float(torch.where(empty, torch.ones_like(cosine), cosine).min())
