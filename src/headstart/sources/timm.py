"""`timm/NAME[.TAG]`: timm's models with timm's weights and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import SourceError, near, sentence
from headstart.sources.assemble import assemble, timm_preprocessing
from headstart.sources.network import online
from headstart.sources.source import Source

FILES = ("model.safetensors", "pytorch_model.bin")


def load(name: str, *, image_size: int | None = None) -> Source:
    """A timm model with its pretrained weights, from the local cache or the hub.

    Raises:
        SourceError: unknown name, no weights of that tag, or weights that are neither here nor to be had.
    """
    import timm
    from timm.models import get_pretrained_cfg

    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        close = near(base, timm.list_models())
        raise SourceError(
            sentence(
                "timm has no such model",
                got=f"timm/{name}",
                allowed=close or None,
                fix=f"timm/{close[0]}" if close else "headstart sources timm",
            )
        )
    tags = [t.partition(".")[2] for t in timm.list_pretrained(base) if t.partition(".")[0] == base]
    if not tags:
        raise SourceError(
            sentence(
                "timm has no pretrained weights for this architecture",
                got=f"timm/{name}",
                fix=f"headstart pretrain DATA --arch timm/{base}",
            )
        )
    if tag and tag not in tags:
        close = near(tag, tags, 1)
        raise SourceError(
            sentence(
                "timm has no such weights",
                got=f"timm/{name}",
                allowed=[f"timm/{base}.{t}" for t in tags[:8]],
                fix=f"timm/{base}.{close[0] if close else tags[0]}",
            )
        )
    config = get_pretrained_cfg(name if tag else f"{base}.{tags[0]}")
    assert config is not None
    path = cached(config)
    overlay: dict[str, Any] = {}
    if path is not None:
        overlay = {"file": str(path)}
    elif not online(config.url if not config.hf_hub_id and config.url else ""):
        raise SourceError(
            sentence(
                f"the weights of timm/{name} are not on this machine and there is no network", got=_place(config),
                allowed="that file from a machine with a network", fix="--source bundled/objects, or headstart sources --offline",
            )
        )  # fmt: skip
    tagged = name if tag else f"{base}.{tags[0]}"
    model = timm.create_model(tagged, pretrained=True, pretrained_cfg_overlay=overlay)
    values = config.to_dict()
    return assemble(
        f"timm/{tagged}", "timm", base, {}, timm_preprocessing(values, image_size), model.state_dict(),
        licence=values.get("license") or "not stated", description=tag or tags[0], classifier=_classifier(values),
    )  # fmt: skip


def _classifier(values: dict[str, Any]) -> str | None:
    name = values.get("classifier")
    return name if isinstance(name, str) or name is None else name[0]


def cached(config: Any) -> Path | None:
    """The weights' file in the local caches, if it is there."""
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        for file in FILES:
            found = try_to_load_from_cache(config.hf_hub_id, file)
            if isinstance(found, str):
                return Path(found)
    if config.url:
        import torch

        path = Path(torch.hub.get_dir()) / "checkpoints" / config.url.rsplit("/", 1)[-1]
        if path.is_file():
            return path
    return None


def _place(config: Any) -> str:
    if config.hf_hub_id:
        return f"{FILES[0]} of {config.hf_hub_id}, looked for in the Hugging Face cache (HF_HOME)"
    return f"{config.url.rsplit('/', 1)[-1]}, looked for in the torch cache (TORCH_HOME/hub/checkpoints)"
