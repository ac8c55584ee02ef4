"""`hf/ORG/NAME`: a model on the Hugging Face hub in timm's layout, from the local cache or the network."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import SourceError, sentence
from headstart.sources import folder
from headstart.sources.missing import missing_weights, unusable_weights
from headstart.sources.network import online
from headstart.sources.source import Source

FILES = ["config.json", "model.safetensors", "pytorch_model.bin", "labels.txt"]


def load(name: str, *, image_size: int | None = None) -> Source:
    """A hub model whose config.json names a timm architecture. Other kinds are refused in words.

    Raises:
        SourceError: not a name of the form ORG/NAME, not to be had, or of another kind.
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
                    f"config.json and {FILES[1]} of https://huggingface.co/{name} in a folder, given as --source FOLDER"
                )
                raise missing_weights(f"hf/{name}", FILES[1], place, []) from None
            path = snapshot_download(name, allow_patterns=FILES)
    except SourceError:
        raise
    except Exception as error:  # hub clients change their HTTP library, and its exceptions, from version to version
        raise unusable_weights(f"hf/{name}", None, error) from None
    return folder.load(f"hf/{name}", Path(path), image_size=image_size)
