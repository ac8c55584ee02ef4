"""Sources of images read images, sources of texts read texts."""

from __future__ import annotations

from headstart.errors import SourceError, sentence
from headstart.sources.source import Source

INSTEAD = {"text": "bundled/minilm", "image": "bundled/objects"}


def check_modality(source: Source, modality: str) -> None:
    """Args:
        modality: ``"image"`` or ``"text"``, of the data.

    Raises:
        SourceError: the source reads the other kind.
    """
    reads = source.preprocessing.modality
    if reads != modality:
        raise SourceError(
            sentence(
                f"the source reads {reads}s, and the data are {modality}s", got=source.name, fix=f"--source {INSTEAD[modality]}"
            )
        )  # fmt: skip
