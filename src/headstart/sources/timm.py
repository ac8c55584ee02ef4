"""`timm/NAME[.TAG]`: timm's models with timm's weights and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import SourceError, near, sentence
from headstart.sources.assemble import assemble, timm_preprocessing
from headstart.sources.missing import missing_weights, unusable_weights
from headstart.sources.network import online
from headstart.sources.source import Source

FILES = ("model.safetensors", "pytorch_model.bin")


def load(name: str, *, image_size: int | None = None) -> Source:
    """A timm model with its pretrained weights, from the local cache or the hub.

    Raises:
        SourceError: unknown name, no weights of that tag, or weights that are neither here nor to be had.
    """
    import timm

    full, config = resolve(name)
    values = config.to_dict()
    preprocessing = timm_preprocessing(values, image_size)
    path = cached(config)
    address = f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url
    if path is None and not online("" if config.hf_hub_id else address):
        base = full.partition(".")[0]
        raise missing_weights(
            f"timm/{full}", *_place(config, address),
            [f"timm/{other}" for other in tagged(base) if other != full and cached(resolve(other)[1]) is not None],
        )  # fmt: skip
    overlay = {"file": str(path)} if path is not None else {}
    try:
        model = timm.create_model(full, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # whatever timm, torch, safetensors or a hub client raise on a bad file or connection
        raise unusable_weights(f"timm/{full}", path, error) from None
    return assemble(
        f"timm/{full}", "timm", full.partition(".")[0], {}, preprocessing, model.state_dict(),
        licence=values.get("license") or "not stated", description=full.partition(".")[2], classifier=_classifier(values),
    )  # fmt: skip


def resolve(name: str) -> tuple[str, Any]:
    """``"resnet18"`` -> ``("resnet18.a1_in1k", its pretrained_cfg)``; without a tag, timm's own choice.

    Raises:
        SourceError: an architecture or tag that timm does not have, or one without weights.
    """
    import timm
    from timm.models import get_pretrained_cfg

    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        close = near(base, timm.list_models())
        raise SourceError(
            sentence(
                "timm has no such model", got=f"timm/{name}", allowed=[f"timm/{c}" for c in close] or None,
                fix=f"timm/{close[0]}" if close else "headstart sources timm",
            )
        )  # fmt: skip
    names = tagged(base)
    if not names:
        raise SourceError(
            sentence(
                "timm has no pretrained weights for this architecture", got=f"timm/{name}",
                fix=f"headstart pretrain DATA --arch timm/{base}",
            )
        )  # fmt: skip
    if tag and name not in names:
        close = [n for n in names if n.startswith(name)] or near(name, names, 1)
        raise SourceError(
            sentence(
                "timm has no such weights", got=f"timm/{name}", allowed=[f"timm/{n}" for n in names[:8]],
                fix=f"timm/{close[0] if close else names[0]}",
            )
        )  # fmt: skip
    if not tag:
        default = get_pretrained_cfg(base)
        name = f"{base}.{default.tag}" if default is not None and default.tag else base
        name = name if name in names else names[0]
    config = get_pretrained_cfg(name)
    assert config is not None
    return name, config


def tagged(base: str) -> list[str]:
    """All ``NAME.TAG`` of one architecture that have weights."""
    import timm

    return [n for n in timm.list_pretrained(f"{base}*") if n.partition(".")[0] == base]


def cached(config: Any) -> Path | None:
    """The weights' file in the local caches, if it is there."""
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        for file in FILES:
            found = try_to_load_from_cache(config.hf_hub_id, file)
            if isinstance(found, str):
                return Path(found)
    if config.url:
        path = _torch_cache(config.url)
        if path.is_file():
            return path
    return None


def _torch_cache(url: str) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _place(config: Any, address: str) -> tuple[str, str]:
    """The missing file, and where to put it."""
    if config.hf_hub_id:
        return FILES[0], f"config.json and {FILES[0]} of {address} in a folder, given as --source FOLDER"
    return address.rsplit("/", 1)[-1], f"{address} saved as {_torch_cache(address)}"


def _classifier(values: dict[str, Any]) -> str | None:
    name = values.get("classifier")
    return name if isinstance(name, str) or name is None else name[0]
