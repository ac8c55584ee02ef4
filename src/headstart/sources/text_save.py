"""Write a model of texts in the layout of transformers, so that it is the next source and opens without Headstart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.sources.fingerprint import weights_digest
from headstart.sources.source import Source
from headstart.sources.text_backbone import TextBackbone
from headstart.sources.texts import quietly


def save_text_model(
    folder: Path, source: Source, backbone: TextBackbone, classes: tuple[str, ...], card: str, extra: dict[str, Any]
) -> None:
    """``config.json``, ``model.safetensors`` and the tokenizer's files as transformers writes them, ``labels.txt`` and ``README.md``.

    ``AutoModel.from_pretrained(folder)`` opens it; what is ours is under ``headstart`` in the config. A digest of the weights is
    kept and checked when it is loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quietly():
        backbone.model.save_pretrained(folder)  # type: ignore[operator]
        source.preprocessing.tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["headstart"] = {
        "digest": weights_digest(backbone), "pool": backbone.pool, "scaled": backbone.scaled, "size": source.preprocessing.size,
        "description": f"moved from {source.name} to {len(classes)} classes", "licence": source.licence,
        "from": source.name, "from_digest": source.digest, **extra,
    }  # fmt: skip
    path.write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
