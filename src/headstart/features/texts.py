"""Texts that come without a data set, through a frozen source: rows of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.text_scan import digest
from headstart.features.extract import extract
from headstart.progress import SILENT, Progress
from headstart.sources import load_source


def embed_texts(
    texts: Sequence[str],
    source: str = "bundled/minilm",
    *,
    cache_dir: Path | None,
    device: str = "cpu",
    precision: str = "auto",
    progress: Progress = SILENT,
) -> np.ndarray:
    """float32 (n, width), in the order of the texts, each row at length 1: :func:`headstart.features.extract.extract`, with its cache. A text
    that comes twice costs once.

    Args:
        source: of texts, see :func:`headstart.sources.load_source`.
        cache_dir: of the features; ``None`` keeps nothing.
        device: where the encoder runs.
        precision: as for ``extract``; in bf16 the similarity of two texts may be off by some 0.003.

    Raises:
        SourceError: a source that is not to be had, or that reads images. DiskFull: no room for the cache.
    """
    digests = np.array([digest(text) for text in texts])
    dataset = Dataset(list(texts), None, (), np.full(len(texts), ""), digests=digests, modality="text")
    X = extract(
        load_source(source), dataset, cache_dir=cache_dir, device=device, precision=precision, progress=progress
    ).X
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
