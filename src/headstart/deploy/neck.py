"""The new layers between a saved backbone and its head: one file beside the bare backbone of a model folder."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from headstart.errors import RunError, sentence
from headstart.sources.bottleneck import bottleneck, on_backbone
from headstart.sources.source import Layer, Source

NECK = "neck.safetensors"


def save_neck(folder: Path, layers: nn.Sequential, head: nn.Linear) -> None:
    """Write the bottleneck (:func:`headstart.sources.bottleneck.bottleneck`) and the linear head behind it."""
    from safetensors.torch import save_file

    tensors = {f"bottleneck.{k}": v for k, v in layers.state_dict().items()}
    tensors |= {f"head.{k}": v for k, v in head.state_dict().items()}
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, folder / NECK)


def load_neck(folder: Path, source: Source) -> Source:
    """The source of a model folder with the layers behind it and their head; the source itself where there are none.

    Raises:
        RunError: the file cannot be read, or is not of this backbone.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / NECK).is_file():
        return source
    try:
        tensors = load_file(folder / NECK)
        state = {k.removeprefix("bottleneck."): v for k, v in tensors.items() if k.startswith("bottleneck.")}
        linear = [v for v in state.values() if v.ndim == 2]
        hidden = [len(weight) for weight in linear]
        layers = bottleneck(source.width, hidden)
        layers.load_state_dict(state)
        weight, bias = tensors["head.weight"].float(), tensors["head.bias"].float()
        if weight.shape[1] != len(linear[-1]):
            raise ValueError(f"the head reads {weight.shape[1]} features, the layers give {len(linear[-1])}")
    except (SafetensorError, OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise RunError(
            sentence("the file of the head cannot be used", where=str(folder / NECK), got=str(error)[:120], fix="copy the folder again")
        ) from None  # fmt: skip
    body = nn.Sequential(OrderedDict(backbone=source.backbone, bottleneck=layers)).eval().requires_grad_(False)
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    stages = [Layer(layer.name, tuple(f"backbone.{name}" for name in layer.modules)) for layer in source.layers]
    return replace(
        source, backbone=body, width=hidden[-1], head=(weight, bias), classes=tuple(labels),
        layers=[*stages, Layer("bottleneck", ("bottleneck",))], build=partial(_build, source, hidden),
    )  # fmt: skip


def _build(source: Source, hidden: list[int]) -> nn.Module:
    """A fresh network of the same architecture, the layers behind it included."""
    return on_backbone(source.build(), source.layers, source.width, hidden).backbone


def neck_of(backbone: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    """The two parts of what :func:`headstart.sources.bottleneck.on_backbone` joined."""
    body, layers = backbone.get_submodule("backbone"), backbone.get_submodule("bottleneck")
    assert isinstance(layers, nn.Sequential)
    return body, layers
