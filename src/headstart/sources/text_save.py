"""Write a model of texts in the layout of transformers, so that it is the next source and opens without Headstart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from headstart.sources.fingerprint import weights_digest
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import quietly


def save_text_model(
    folder: Path, source: Source, backbone: TextBackbone, classes: tuple[str, ...], card: str, extra: dict[str, Any]
) -> None:
    """``config.json``, ``model.safetensors`` and the tokenizer's files as transformers writes them, ``labels.txt`` and ``README.md``.

    ``AutoModel.from_pretrained(folder)`` opens it; what is ours is under ``headstart`` in the config. A digest of the weights is
    kept and checked when it is loaded. Of an encoder and a decoder only the encoder is there: ``AutoModel...get_encoder()`` is what was
    trained, and transformers draws the decoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quietly():
        save_weights(folder, backbone.model)
        source.preprocessing.tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["headstart"] = {
        "digest": weights_digest(backbone), "pool": backbone.pool, "scaled": backbone.scaled, "size": source.preprocessing.size, "long": source.preprocessing.long,
        **({"mix": backbone.mix.tolist()} if backbone.pool == "weighted" else {}),
        "description": f"moved from {source.name} to {len(classes)} classes", "licence": source.licence,
        "from": source.name, "from_digest": source.digest, **extra,
    }  # fmt: skip
    path.write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def save_weights(folder: Path, model: nn.Module) -> None:
    """As transformers writes them; an encoder under the names that it has in the whole model."""
    config: Any = model.config
    if not getattr(config, "is_encoder_decoder", False):
        model.save_pretrained(folder)  # type: ignore[operator]
        return
    tensors = {f"encoder.{key}": value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    tensors["shared.weight"] = model.get_input_embeddings().weight.detach().cpu().contiguous().clone()  # type: ignore[operator]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
