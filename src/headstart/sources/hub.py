"""`hf/ORG/NAME`: a model on the Hugging Face hub, of images in timm's layout or of texts in that of transformers, from the local cache
or the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import SourceError, sentence
from headstart.sources import folder
from headstart.sources.missing import missing_weights, unusable_weights
from headstart.sources.network import online
from headstart.sources.source import Source

TEXTS = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model", "*.spm",
    "bpe.codes", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "model.safetensors.index.json", "model-*.safetensors",
]  # fmt: skip
"""What a model of texts has beside its weights."""
FILES = ["config.json", "model.safetensors", "pytorch_model.bin", "labels.txt", *TEXTS]


def load(name: str, *, image_size: int | None = None, **texts: Any) -> Source:
    """A hub model whose config.json names a timm architecture or a kind of model of transformers. Others are refused in words.

    Args:
        texts: ``pool`` and ``long``, for models of texts.

    Raises:
        SourceError: not a name of the form ORG/NAME, not to be had, or of another kind.
    """
    return folder.load(f"hf/{name}", snapshot(name), image_size=image_size, **texts)


def snapshot(name: str) -> Path:
    """The folder of ORG/NAME in the local cache, fetched where it is not there.

    Raises:
        SourceError: not a name of that form, or not to be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if name.count("/") != 1 or not all(name.split("/")):
        raise SourceError(sentence("a hub model is named by two parts", got=f"hf/{name}", allowed="hf/ORG/NAME"))
    try:
        try:
            path = snapshot_download(name, allow_patterns=FILES, local_files_only=True)
        except LocalEntryNotFoundError:
            if not online():
                place = (
                    f"config.json and {FILES[1]} of https://huggingface.co/{name} in a folder, given as --source FOLDER; "
                    "for a model of texts also its tokenizer.json and tokenizer_config.json"
                )
                raise missing_weights(f"hf/{name}", FILES[1], place, []) from None
            path = snapshot_download(name, allow_patterns=FILES)
    except SourceError:
        raise
    except Exception as error:  # hub clients change their HTTP library, and its exceptions, from version to version
        raise unusable_weights(f"hf/{name}", None, error) from None
    return Path(path)
