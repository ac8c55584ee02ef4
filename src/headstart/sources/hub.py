"""`hf/ORG/NAME`: a model on the Hugging Face hub in timm's layout, from the local cache or the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from headstart.errors import SourceError, sentence
from headstart.sources import folder
from headstart.sources.network import online
from headstart.sources.source import Source


def load(name: str, *, image_size: int | None = None) -> Source:
    """A hub model whose config.json names a timm architecture.

    Raises:
        SourceError: not a name of the form ORG/NAME, not to be had, or of another kind.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if name.count("/") != 1:
        raise SourceError(sentence("a hub model is named by two parts", got=f"hf/{name}", allowed="hf/ORG/NAME"))
    files = ["config.json", "model.safetensors", "pytorch_model.bin", "labels.txt"]
    try:
        try:
            path = snapshot_download(name, allow_patterns=files, local_files_only=True)
        except LocalEntryNotFoundError:
            if not online():
                raise
            path = snapshot_download(name, allow_patterns=files)
    except LocalEntryNotFoundError:
        raise SourceError(
            sentence(
                f"hf/{name} is not on this machine and there is no network", got="config.json and model.safetensors, looked for in the Hugging Face cache (HF_HOME)",
                fix="copy both into a folder and give --source FOLDER, or --source bundled/objects",
            )
        ) from None  # fmt: skip
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise SourceError(
            sentence("the hub does not give this model", got=f"hf/{name}", allowed=str(error).splitlines()[0][:100])
        ) from None
    return replace(folder.load(f"hf/{name}", Path(path), image_size=image_size), name=f"hf/{name}")
