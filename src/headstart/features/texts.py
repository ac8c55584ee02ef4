"""Texts through a frozen source, as rows of unit length: what `adapt` compares domains by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.features.extract import extract
from headstart.progress import SILENT, Progress
from headstart.sources.source import Source


def embed_texts(
    dataset: Dataset,
    source: Source,
    *,
    cache_dir: Path | None,
    device: str = "cpu",
    precision: str = "auto",
    progress: Progress = SILENT,
) -> np.ndarray:
    """float32 (n, width), in the order of the texts, each row at length 1: :func:`headstart.features.extract.extract`, with its cache. A text
    that comes twice costs once.

    Args:
        dataset: texts, scanned.
        source: of texts.
        cache_dir: of the features; ``None`` keeps nothing.
        device: where the encoder runs.
        precision: as for ``extract``; in bf16 the similarity of two texts may be off by some 0.003.

    Raises:
        SourceError: a source that reads images. DiskFull: no room for the cache.
    """
    X = extract(source, dataset, cache_dir=cache_dir, device=device, precision=precision, progress=progress).X
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
