"""Features of every stage of a source in one pass over the images, each stage cached by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.features.extract import extract
from headstart.progress import Progress
from headstart.sources.source import Source
from headstart.sources.taps import Tap, tapped, taps_of


@dataclass(frozen=True)
class LayerFeatures:
    """Features of a data set at several stages, in its order.

    Attributes:
        taps: one a stage, from the input to the output.
        X: float32 (n, sum of the widths), the stages side by side.
        computed: images that went through the backbone.
        precision: what they were computed in.
        left_out: stages that cannot be read (:func:`headstart.sources.taps.taps_of`).
    """

    taps: tuple[Tap, ...]
    X: np.ndarray
    computed: int
    precision: str
    left_out: tuple[str, ...]

    def parts(self) -> list[np.ndarray]:
        """Views of ``X``, one a stage: float32 (n, width)."""
        return np.split(self.X, np.cumsum([tap.width for tap in self.taps])[:-1], axis=1)


def extract_layers(
    source: Source,
    dataset: Dataset,
    *,
    cache_dir: Path | None,
    grid: int = 1,
    device: str = "cpu",
    precision: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LayerFeatures:
    """Features of every image at every stage that can be read, by one forward pass an image, or from the cache.

    Each stage is kept as a source of its own (:func:`headstart.sources.taps.tapped`): ``extract`` of one stage finds
    what this computed, and the last stage is the ordinary features of the source. In reduced precision every stage
    must keep its first images (see :func:`headstart.features.extract.extract`); else all are computed in fp32.

    Args:
        grid: spatial maps are averaged to ``grid`` x ``grid`` means a channel; the width grows with its square.
        Others: as for ``extract``; memory is that of all stages together.

    Raises:
        As ``extract``.
    """
    taps = taps_of(source, grid)
    known = {tap.layer for tap in taps}
    found = extract(
        tapped(source, taps), dataset, cache_dir=cache_dir, parts=[tapped(source, [tap]) for tap in taps], device=device,
        precision=precision, batch_size=batch_size, workers=workers, progress=progress,
    )  # fmt: skip
    left_out = tuple(layer.name for layer in source.layers if layer.name not in known)
    return LayerFeatures(tuple(taps), found.X, found.computed, found.precision, left_out)
