"""Texts through a frozen encoder, once: what was computed before is read from the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.errors import SourceError, sentence
from headstart.features.cache import FeatureCache
from headstart.progress import SILENT, Progress
from headstart.sources.minilm import AT_ONCE, NAME, WIDTH, MiniLM, weights_folder

FORMAT = 1
"""Raised when the meaning of cached rows changes; part of the key."""


def embed_texts(
    texts: Sequence[str],
    source: str = NAME,
    *,
    cache_dir: Path | None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> np.ndarray:
    """float32 (n, 384), in the order of the texts. Rows are keyed by the text itself, so that one that comes twice costs once.

    Args:
        source: ``"bundled/minilm"``.
        device: where the encoder runs.
        cache_dir: rows go to ``cache_dir/features/minilm-...``; ``None`` keeps nothing.

    Raises:
        SourceError: another source, or its package is not installed. DiskFull: no room for the cache.
    """
    if source != NAME:
        raise SourceError(
            sentence("texts are read by one source so far", got=source, allowed=[NAME], fix=f"--backbone {NAME}")
        )
    weights_folder()
    keys = [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
    X = np.empty((len(texts), WIDTH), dtype=np.float32)
    cache = None if cache_dir is None else FeatureCache(Path(cache_dir) / "features" / f"minilm-l6-v2-{FORMAT}", WIDTH)
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        if cache is None or key not in cache:
            first.setdefault(key, i)
    # texts of like length together, so that little is padded
    todo = sorted(first.values(), key=lambda i: (len(texts[i]), i))
    if todo:
        encoder = MiniLM(device)
        progress.start(f"features of {source}", len(todo), "text")
        for at in range(0, len(todo), AT_ONCE):
            some = todo[at : at + AT_ONCE]
            X[some] = encoder([texts[i] for i in some])
            if cache is not None:
                cache.write([keys[i] for i in some], X[some])
            progress.advance(len(some))
        progress.done()
    if cache is not None:
        rest = np.array([i for i, key in enumerate(keys) if key not in first], dtype=np.int64)
        cache.read([keys[i] for i in rest], X, rest)
    for i, key in enumerate(keys):
        if first.get(key, i) != i:
            X[i] = X[first[key]]
    return X
