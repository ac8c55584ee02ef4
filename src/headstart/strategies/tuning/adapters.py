"""Adapters by peft inside a plain backbone: where they can sit, putting them in, merging them back into plain weights."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.sources.source import Layer
from headstart.sources.text_backbone import dry_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftConfig

RATE = 10.0
"""Adapters move at this many times the rate of full fine-tuning, which is also the rate of the new head."""


def require_peft() -> None:
    """Raises:
    RecipeError: peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise RecipeError(
            sentence("LoRA, DoRA and (IA)3 need a package that is not installed", fix="pip install 'headstart[peft]'")
        )


@torch.no_grad()
def reached(backbone: nn.Module, size: int) -> set[str]:
    """Names of the linear and convolution layers whose own forward runs when an image goes through.

    Some modules read the weights of a linear layer instead of calling it: ``torch.nn.MultiheadAttention``, torchvision's
    Swin, timm's BEiT. An adapter around such a layer would never act.

    Args:
        size: side of the image in pixels, or tokens of the text, that the backbone takes.
    """
    called: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, _output, name=name: called.add(name))
        for name, module in backbone.named_modules()
        if _carries(module)
    ]
    first = next(backbone.parameters())
    try:
        with _eval(backbone):
            backbone(dry_input(backbone, size).to(first.device))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def transposed(module: nn.Module) -> bool:
    """Whether it is the linear layer of GPT-2 (``Conv1D`` of transformers), whose weight is (in, out)."""
    return type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")


def _carries(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, nn.Conv2d)) or transposed(module)


def targets(backbone: nn.Module, layers: Sequence[Layer], size: int, *, grouped: bool) -> tuple[list[str], list[str]]:
    """Linear and convolution layers of ``layers`` that an adapter can act on, and those that it cannot.

    Left out are layers that are never called (:func:`reached`) and, unless ``grouped``, convolutions in groups: a low-rank
    product mixes all channels, theirs do not mix, and the two cannot be merged.
    """
    inside = tuple(name for layer in layers for name in layer.modules)
    called = reached(backbone, size)
    good: list[str] = []
    left: list[str] = []
    for name, module in backbone.named_modules():
        if _carries(module) and any(name == i or name.startswith(f"{i}.") for i in inside):
            fits = name in called and (grouped or not isinstance(module, nn.Conv2d) or module.groups == 1)
            (good if fits else left).append(name)
    return good, left


def counted(good: Sequence[str], left: Sequence[str]) -> str:
    """In words, how many layers can carry an adapter, and which cannot."""
    words = f"{len(good)} of {len(good) + len(left)} linear and convolution layers can carry an adapter"
    if not left:
        return words
    more = f" and {len(left) - 2} more" if len(left) > 2 else ""
    return f"{words}; left out, in groups or read without being called: {', '.join(left[:2])}{more}"


def inject(backbone: nn.Module, config: PeftConfig) -> None:
    """Put peft's adapters into ``backbone``, in place; they change nothing until they are trained."""
    from peft import inject_adapter_in_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, backbone)
    for module in backbone.modules():
        if hasattr(module, "lora_A"):
            module.register_forward_pre_hook(_in_order)


def exactly(names: Sequence[str]) -> str:
    """The pattern that peft matches against whole names; its lists match the ends of names, ``conv1`` also ``1.conv1``."""
    return "|".join(map(re.escape, names)) or "(?!)"


def refuse_nothing(names: Sequence[str], what: str) -> None:
    """Raises:
    HandshakeError: there is no layer for an adapter.
    """
    if not names:
        raise HandshakeError(
            sentence(
                f"{what} has nothing to act on: no linear or convolution layer that can carry an adapter moves",
                fix="--strategy finetune",
            )
        )


def _in_order(module: nn.Module, _inputs: Any = None) -> None:
    """Lay the adapter's kernels out in order: peft's DoRA reads those of a convolution as a matrix, which channels-last is not."""
    for p in module.lora_A.parameters():  # type: ignore[union-attr, operator]
        if not p.is_contiguous():
            p.data = p.data.contiguous()


@torch.no_grad()
def merge(backbone: nn.Module) -> None:
    """Merge every adapter into the weights it sits on and take it out, in place; all parameters can be trained again.

    LoRA: ``W + (alpha / rank) B A``. DoRA: ``m (W + scaled B A) / ||W + scaled B A||``, the norm by output. (IA)3: the rows,
    or for the second layer of an MLP the columns, of ``W`` scaled by ``l``.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [(name, module) for name, module in backbone.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in found:
        if hasattr(module, "lora_A"):
            _in_order(module)  # type: ignore[arg-type]
        module.merge()
        parent, _, last = name.rpartition(".")
        setattr(backbone.get_submodule(parent) if parent else backbone, last, module.get_base_layer())
    if hasattr(backbone, "peft_config"):
        del backbone.peft_config
    backbone.requires_grad_(True)


@contextmanager
def _eval(module: nn.Module) -> Iterator[None]:
    modes: list[tuple[Any, bool]] = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode
