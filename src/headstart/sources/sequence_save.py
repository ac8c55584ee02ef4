"""Write an encoder-decoder in the layout of transformers, so that it is the next source and opens without Headstart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.sources.fingerprint import weights_digest
from headstart.sources.sequence_backbone import SequenceBackbone
from headstart.sources.source import Source
from headstart.sources.texts import quietly


def save_sequence_model(
    folder: Path, source: Source, backbone: SequenceBackbone, target: str, card: str, extra: dict[str, Any], how: Any
) -> None:
    """``config.json``, ``generation_config.json``, ``model.safetensors``, the tokenizer's files, ``labels.txt`` and ``README.md``.

    ``AutoModelForSeq2SeqLM.from_pretrained(folder)`` opens it, and its ``generate`` writes as the run did; what is ours is under
    ``headstart`` in the config, with a digest of the weights that is checked when it is loaded.

    Args:
        target: the name of what is written.
        how: transformers' settings of generation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model: Any = backbone.model
    preprocessing: Any = source.preprocessing
    model.generation_config = how
    with quietly():
        model.save_pretrained(folder)
        preprocessing.tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["headstart"] = {
        "sequence_digest": weights_digest(backbone), "size": preprocessing.size, "prefix": preprocessing.prefix,
        "description": f"moved from {source.name} to {target}", "licence": source.licence, "from": source.name,
        "from_digest": source.digest, **extra,
    }  # fmt: skip
    path.write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "labels.txt").write_text(f"{target}\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
