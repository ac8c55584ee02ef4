"""Headless backbones of timm and torchvision, their classifier's name, and their layers by depth."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headstart.errors import SourceError, near, sentence
from headstart.sources.source import Layer


def complete_arguments(library: str, architecture: str, model_args: dict[str, Any]) -> dict[str, Any]:
    """``model_args`` with what Headstart adds to the library's defaults."""
    if library == "torchvision" and architecture in ("inception_v3", "googlenet"):
        # the published weights expect ImageNet-normalised input and convert it; the auxiliary head only serves their own training
        return {"transform_input": True, "aux_logits": False, "init_weights": False} | model_args
    return dict(model_args)


def build_backbone(library: str, architecture: str, model_args: dict[str, Any]) -> tuple[nn.Module, str]:
    """A backbone with random weights, (B, 3, H, W) -> (B, width), and the dotted name of the head it lacks.

    Raises:
        SourceError: an unknown library or architecture (near ones offered), or arguments that it does not take.
    """
    if library == "timm":
        return _timm(architecture, model_args)
    if library == "torchvision":
        return _torchvision(architecture, model_args)
    raise SourceError(sentence("unknown library of a model", got=library, allowed=["timm", "torchvision"]))


def build_whole(library: str, architecture: str, model_args: dict[str, Any], n_classes: int) -> nn.Module:
    """The library's own model with a head of ``n_classes`` rows; without memory for weights where it can be had so."""
    import timm
    import torchvision.models as models

    def build() -> nn.Module:
        if library == "timm":
            return timm.create_model(architecture, pretrained=False, num_classes=n_classes, **model_args)
        arguments = complete_arguments(library, architecture, model_args)
        return models.get_model(architecture, weights=None, num_classes=n_classes, **arguments)

    try:
        with torch.device("meta"):
            return build()
    except (RuntimeError, NotImplementedError):  # a constructor that looks at values
        return build()


def _timm(architecture: str, model_args: dict[str, Any]) -> tuple[nn.Module, str]:
    import timm

    base = architecture.split(".")[0]
    if not timm.is_model(base):
        close = near(base, timm.list_models())
        raise SourceError(
            sentence(
                "timm has no such architecture",
                got=architecture,
                allowed=close or None,
                fix=f"timm/{close[0]}" if close else "headstart sources timm",
            )
        )
    try:
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **model_args)
    except (TypeError, RuntimeError, ValueError) as error:
        raise _cannot_build(architecture, model_args, error) from None
    config: Any = model.pretrained_cfg
    name = config.get("classifier") or "head"
    return model.eval(), name if isinstance(name, str) else name[0]


def _torchvision(architecture: str, model_args: dict[str, Any]) -> tuple[nn.Module, str]:
    import torchvision.models as models

    known = models.list_models(module=models)
    if architecture not in known:
        close = near(architecture, known)
        raise SourceError(
            sentence(
                "torchvision has no such classifier",
                got=architecture,
                allowed=close or None,
                fix=f"torchvision/{close[0]}" if close else "headstart sources torchvision",
            )
        )
    try:
        model = models.get_model(
            architecture, weights=None, **complete_arguments("torchvision", architecture, model_args)
        )
    except (TypeError, RuntimeError, ValueError) as error:
        raise _cannot_build(architecture, model_args, error) from None
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linears:
        raise SourceError(
            sentence("this architecture has no linear head to replace", got=f"torchvision/{architecture}")
        )
    name = linears[-1]
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())
    return model.eval(), name


def _cannot_build(architecture: str, model_args: dict[str, Any], error: Exception) -> SourceError:
    where = f"model_args {model_args}" if model_args else None
    return SourceError(
        sentence(f"the architecture {architecture} cannot be built", where=where, got=str(error).splitlines()[0][:120])
    )


@torch.inference_mode()
def feature_width(backbone: nn.Module, size: int, name: str) -> int:
    """The number of features, found by a dry forward of one grey image.

    Raises:
        SourceError: the backbone does not take an RGB image of that size, or gives no vector.
    """
    try:
        features = backbone.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SourceError(
            sentence(
                "the backbone does not take an RGB image of this size",
                where=name,
                got=f"3 x {size} x {size}: {str(error).splitlines()[0][:120]}",
                fix="--image-size",
            )
        ) from None
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise SourceError(
            sentence(
                "the backbone gives no vector of features",
                where=name,
                got=str(getattr(features, "shape", type(features).__name__)),
            )
        )
    return int(features.shape[1])


def layers_of(backbone: nn.Module) -> list[Layer]:
    """Stages from the input to the output; each parameter in exactly one.

    Containers (``blocks``, ``features``, ``layer1``) are opened, so that a stage is a block; a bare norm joins the layer
    before it; bare parameters (class token, position embedding) join the first layer.
    """
    found: list[tuple[str, list[str]]] = []
    bare: list[str] = []

    def has_parameters(module: nn.Module) -> bool:
        return next(module.parameters(), None) is not None

    def opened(module: nn.Module, depth: int) -> bool:
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            return sum(has_parameters(child) for child in module.children()) > 1 and depth < 2
        holds = [c for c in module.children() if isinstance(c, (nn.Sequential, nn.ModuleList))]
        return depth == 1 and any(sum(has_parameters(x) for x in c.children()) >= 3 for c in holds)

    def walk(module: nn.Module, prefix: str, depth: int) -> None:
        bare.extend(prefix + name for name, _ in module.named_parameters(recurse=False))
        for name, child in module.named_children():
            if not has_parameters(child):
                continue
            if opened(child, depth + (0 if isinstance(child, (nn.Sequential, nn.ModuleList)) else 1)):
                walk(child, f"{prefix}{name}.", depth + 1)
            elif found and isinstance(child, _NORMS):
                found[-1][1].append(prefix + name)
            else:
                found.append((prefix + name, [prefix + name]))

    walk(backbone, "", 0)
    if bare and found:
        found[0][1][:0] = bare
    elif bare:
        found.append(("parameters", bare))
    return [Layer(name, tuple(modules)) for name, modules in found]


_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
