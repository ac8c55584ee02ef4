"""`torchvision/NAME[.WEIGHTS]`: torchvision's classifiers with their weights and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.data.preprocessing import Preprocessing
from headstart.errors import SourceError, near, sentence
from headstart.sources.assemble import assemble
from headstart.sources.missing import missing_weights, unusable_weights
from headstart.sources.network import online
from headstart.sources.source import Source


def load(name: str, *, image_size: int | None = None) -> Source:
    """A torchvision classifier with its pretrained weights, from the local cache or the network.

    The weights go through torchvision's own builder, which renames the tensors of old files (DenseNet).

    Raises:
        SourceError: unknown name or weights, or weights that are neither here nor to be had.
    """
    import torchvision.models as models

    base, weights = resolve(name)
    full = f"torchvision/{base}.{weights.name}"
    path = weights_file(weights)
    if not path.is_file() and not online(weights.url):
        others = [w for w in models.get_model_weights(base) if w is not weights and weights_file(w).is_file()]
        raise missing_weights(
            full, path.name, f"{weights.url} saved as {path}", [f"torchvision/{base}.{w.name}" for w in others]
        )
    try:
        model = models.get_model(base, weights=weights, progress=False)
    except Exception as error:  # whatever torch raises on a file that is cut off, of other shapes, or not to be had
        raise unusable_weights(full, path if path.is_file() else None, error) from None
    return assemble(
        full, "torchvision", base, {}, preprocessing_of(weights, image_size), model.state_dict(),
        licence="BSD-3-Clause (torchvision); ImageNet terms may apply to the weights",
        classes=tuple(weights.meta.get("categories", ())), description=weights.name,
    )  # fmt: skip


def resolve(name: str) -> tuple[str, Any]:
    """``"resnet18"`` -> ``("resnet18", ResNet18_Weights.DEFAULT)``.

    Raises:
        SourceError: a classifier or weights that torchvision does not have.
    """
    import torchvision.models as models

    base, _, tag = name.partition(".")
    known = models.list_models(module=models)
    if base not in known:
        close = near(base, known)
        raise SourceError(
            sentence(
                "torchvision has no such classifier", got=f"torchvision/{name}", allowed=[f"torchvision/{c}" for c in close] or None,
                fix=f"torchvision/{close[0]}" if close else "headstart sources torchvision",
            )
        )  # fmt: skip
    options = models.get_model_weights(base)
    names = [w.name for w in options]
    if tag and tag != "DEFAULT" and tag not in names:
        close = near(tag, names, 1)
        raise SourceError(
            sentence(
                "torchvision has no such weights", got=f"torchvision/{name}", allowed=[f"torchvision/{base}.{n}" for n in names],
                fix=f"torchvision/{base}.{close[0] if close else names[0]}",
            )
        )  # fmt: skip
    return base, options[tag or "DEFAULT"]


def weights_file(weights: Any) -> Path:
    """Where torch keeps the file of these weights."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


def preprocessing_of(weights: Any, image_size: int | None = None) -> Preprocessing:
    """The evaluation transform that comes with the weights."""
    transform = weights.transforms()
    crop, resize = transform.crop_size[0], transform.resize_size[0]
    return Preprocessing(
        size=image_size or crop, mean=tuple(transform.mean), std=tuple(transform.std),
        interpolation=transform.interpolation.value, crop_pct=crop / resize,
    )  # fmt: skip
