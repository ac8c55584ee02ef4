"""A model folder (config.json + model.safetensors in timm's local layout) or a run folder as a source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.errors import SourceError, sentence
from headstart.sources.assemble import GUESSED, assemble, timm_preprocessing
from headstart.sources.checkpoint import read_tensors
from headstart.sources.fingerprint import TOLERANCE, probe_activation, probe_difference, weights_digest
from headstart.sources.source import Source

TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "source.spm", "sentencepiece.bpe.model", "tokenizer.model",
    "spm.model", "bpe.codes", "vocab.model",
)  # fmt: skip
"""Files of which a tokenizer has at least one."""


def load(name: str, folder: Path, *, image_size: int | None = None, **texts: Any) -> Source:
    """A source from a folder; a run folder means its ``model/``. ``texts``: ``pool`` and ``long``, for models of texts.

    Raises:
        SourceError: no config.json or weights, an unknown layout, or weights that are not those the config was written for.
    """
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    config = read_config(folder)
    if is_of_texts(config):
        from headstart.sources.texts import load as load_texts

        return load_texts(name, folder, max_length=image_size, licence=_licence_file(folder), **texts)
    refuse_texts(name, texts)
    weights = next((folder / f for f in ("model.safetensors", "pytorch_model.bin") if (folder / f).is_file()), None)
    if weights is None:
        raise SourceError(sentence("the model folder has no weights", where=str(folder), allowed="model.safetensors"))
    if "architecture" not in config:
        kind = config.get("model_type") or (config.get("architectures") or ["unknown"])[0]
        raise SourceError(
            sentence(
                "this model folder is of a kind that does not serve images here yet",
                where=str(folder),
                got=kind,
                allowed="timm's layout (config.json with 'architecture')",
            )
        )
    cfg = {**config, **_published(config), **config.get("pretrained_cfg", {})}
    labels = folder / "labels.txt"
    classes = (
        tuple(labels.read_text(encoding="utf-8").splitlines()) if labels.is_file() else cfg.get("label_names") or ()
    )
    own = config.get("headstart", {})
    model_args = _meaningful(config)
    classifier = cfg.get("classifier")
    source = assemble(
        name, config.get("library", "timm"), config["architecture"], model_args, timm_preprocessing(cfg, image_size),
        read_tensors(weights), licence=cfg.get("license") or _licence_file(folder), classes=tuple(classes),
        description=own.get("description", ""), classifier=classifier if isinstance(classifier, str) else None,
    )  # fmt: skip
    check_recorded(own, source, str(folder))
    if not {"mean", "std"} & {*config, *config.get("pretrained_cfg", {})}:
        source.extra["guessed"] = GUESSED
    return source


def is_of_texts(config: dict[str, Any]) -> bool:
    """Whether a config.json is of transformers, and not of a model of images."""
    if "architecture" in config or "model_type" not in config:
        return False
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as OF_IMAGES
    except ImportError:
        return True
    return config["model_type"] not in OF_IMAGES


def refuse_texts(name: str, texts: dict[str, Any]) -> None:
    """Options of texts act on no other source.

    Raises:
        SourceError: one of them is set.
    """
    said = [f"--{key} {value}" for key, value in texts.items() if value is not None]
    if said:
        raise SourceError(
            sentence("this source reads images, and these options are for texts", where=name, got=", ".join(said), fix="leave them out")
        )  # fmt: skip


def check_recorded(own: dict[str, Any], source: Source, where: str) -> None:
    """Compare the weights, and what they answer to a known picture, with what the folder recorded when it was written.

    Raises:
        SourceError: they differ.
    """
    digest = weights_digest(source.backbone) if "digest" in own else None
    if digest != own.get("digest"):
        raise SourceError(
            sentence(
                "the weights are not those that this folder was written with", where=where, got=f"digest {digest}",
                allowed=own["digest"], fix="copy the folder again",
            )
        )  # fmt: skip
    recorded = own.get("probe_activation")
    if recorded:
        difference = probe_difference(recorded, probe_activation(source.backbone, recorded["size"]))
        if not difference <= TOLERANCE:
            raise SourceError(
                sentence(
                    "the model answers a known picture with other features than when this folder was written", where=where,
                    got=f"a difference of {difference:.2g} of their size", allowed=f"<= {TOLERANCE}",
                    fix=f"the model_args and the version of {source.library} that it was written with",
                )
            )  # fmt: skip


def _meaningful(config: dict[str, Any]) -> dict[str, Any]:
    """``model_args`` without those that timm writes though they are its defaults, so that every route gives one digest."""
    given = dict(config.get("model_args") or {})
    given.pop("num_classes", None)  # the head is not the backbone's
    if given.get("in_chans") == 3:
        del given["in_chans"]
    name = str(config["architecture"]).split(".")[0]
    if "global_pool" in given and config.get("library", "timm") == "timm":
        import timm
        import torch

        if timm.is_model(name):
            with torch.device("meta"):
                own = timm.create_model(name, pretrained=False)
            owner = own if hasattr(own, "global_pool") else getattr(own, "head", None)
            default = getattr(owner, "global_pool", None)
            default = getattr(default, "pool_type", default)
            if given["global_pool"] == default:
                del given["global_pool"]
    return given


def _published(config: dict[str, Any]) -> dict[str, Any]:
    """timm's record for the architecture, for what a config without ``pretrained_cfg`` leaves out."""
    if config.get("pretrained_cfg") or config.get("library", "timm") != "timm":
        return {}
    from timm.models import get_pretrained_cfg, is_model

    name = str(config["architecture"]).split(".")[0]
    found = get_pretrained_cfg(name) if is_model(name) else None
    keys = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "classifier")
    return {k: v for k, v in (found.to_dict() if found else {}).items() if k in keys and k not in config}


def read_config(folder: Path) -> dict[str, Any]:
    """config.json.

    Raises:
        SourceError: it is missing or is not JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise SourceError(
            sentence(
                "not a model folder: it has no config.json",
                got=str(folder),
                allowed="config.json + model.safetensors, or a run folder",
                fix="--source FILE.safetensors --arch timm/NAME for a bare checkpoint",
            )
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(sentence("config.json is not JSON", where=str(folder), got=str(error)[:80])) from None
    if not isinstance(config, dict):
        raise SourceError(sentence("config.json is not a map", where=str(folder), got=type(config).__name__))
    return config


def _licence_file(folder: Path) -> str:
    """What the first lines of a LICENSE file say, where the config is silent."""
    path = next((folder / n for n in ("LICENSE", "LICENSE.txt", "LICENSE.md") if (folder / n).is_file()), None)
    if path is None:
        return "not stated"
    head = " ".join(path.read_text(encoding="utf-8", errors="replace").split())[:300]
    for words, name in (("Apache License", "apache-2.0"), ("MIT License", "mit"), ("BSD 3-Clause", "bsd-3-clause")):
        if words in head:
            return f"{name} (its LICENSE file)"
    return "see its LICENSE file"
