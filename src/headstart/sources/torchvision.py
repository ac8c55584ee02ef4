"""`torchvision/NAME[.WEIGHTS]`: torchvision's classifiers with their weights and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.data.preprocessing import Preprocessing
from headstart.errors import SourceError, near, sentence
from headstart.sources.assemble import assemble
from headstart.sources.network import online
from headstart.sources.source import Source


def load(name: str, *, image_size: int | None = None) -> Source:
    """A torchvision classifier with its pretrained weights, from the local cache or the network.

    Raises:
        SourceError: unknown name or weights, or weights that are neither here nor to be had.
    """
    import torchvision.models as models

    base, _, tag = name.partition(".")
    known = models.list_models(module=models)
    if base not in known:
        close = near(base, known)
        raise SourceError(
            sentence(
                "torchvision has no such classifier",
                got=f"torchvision/{name}",
                allowed=close or None,
                fix=f"torchvision/{close[0]}" if close else "headstart sources torchvision",
            )
        )
    options = list(models.get_model_weights(base))
    if tag and tag != "DEFAULT" and tag not in [w.name for w in options]:
        close = near(tag, [w.name for w in options], 1)
        raise SourceError(
            sentence(
                "torchvision has no such weights",
                got=f"torchvision/{name}",
                allowed=[f"torchvision/{base}.{w.name}" for w in options],
                fix=f"torchvision/{base}.{close[0] if close else options[0].name}",
            )
        )
    weights: Any = models.get_model_weights(base)[tag or "DEFAULT"]
    path = weights_file(weights)
    if not path.is_file() and not online(weights.url):
        raise SourceError(
            sentence(
                f"the weights of torchvision/{name} are not on this machine and there is no network", got=path.name,
                allowed="that file in TORCH_HOME/hub/checkpoints", fix="--source bundled/objects, or headstart sources --offline",
            )
        )  # fmt: skip
    tensors = weights.get_state_dict(progress=False, check_hash=True)
    return assemble(
        f"torchvision/{base}.{weights.name}", "torchvision", base, {}, preprocessing_of(weights, image_size), tensors,
        licence="BSD-3-Clause (torchvision); ImageNet terms may apply to the weights",
        classes=tuple(weights.meta.get("categories", ())), description=str(weights.meta.get("recipe", ""))[:80],
    )  # fmt: skip


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
