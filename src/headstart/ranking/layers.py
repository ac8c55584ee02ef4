"""Score every stage of one source: the last layer is not always the one that serves the labels best."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import DataError, sentence
from headstart.features.layers import extract_layers
from headstart.progress import SILENT, Progress
from headstart.ranking.knn import knn_score
from headstart.ranking.logme import logme
from headstart.ranking.probe import probe_score
from headstart.sources.source import Source
from headstart.tables import Table
from headstart.training.folds import sample

SCORES = Table("score", {"probe": "cross-validated probe", "logme": "LogME", "knn": "5 nearest neighbours"}, DataError)


@dataclass(frozen=True)
class LayerRow:
    """One stage.

    Attributes:
        layer: its name, for ``fit --layer``.
        width: its features.
        score: higher is better; ``None`` where nothing could be held out.
        se: standard error of an accuracy, ``None`` for LogME.
        equal: not clearly worse than the best.
    """

    layer: str
    width: int
    score: float | None
    se: float | None
    equal: bool = False


@dataclass(frozen=True)
class LayerRanking:
    """Attributes:
    rows: one a stage, from the input to the output.
    chosen: name of the layer to read.
    source: whose layers.
    by: the score.
    why: a sentence for people.
    n: images that the scores were made on.
    left_out: stages that cannot be read.
    """

    rows: list[LayerRow]
    chosen: str
    source: str
    by: str
    why: str
    n: int
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def rank_layers(
    source: Source,
    dataset: Dataset,
    *,
    score: str = "probe",
    cache_dir: Path | None,
    device: str = "cpu",
    max_images: int = 2000,
    seed: int = 0,
    precision: str = "auto",
    progress: Progress | None = None,
) -> LayerRanking:
    """Score every stage on the same images, by one pass through the backbone.

    Of the stages that are not clearly worse than the best, the last one is chosen (one-standard-error rule): an earlier
    layer must earn its place. "Not clearly worse" is, for the probe, within one standard error of the paired difference over
    the images; for k-NN, within one standard error of the best accuracy; LogME has no error, and the highest is chosen.

    Args:
        dataset: labelled, scanned; keep test images out of it.
        score: ``"probe"``, ``"knn"`` (leave-one-out, 5 neighbours) or ``"logme"``.
        Others: as for :func:`headstart.ranking.rank.rank_sources`.

    Raises:
        DataError: no labels, fewer than two classes, an unknown score.
    """
    progress = SILENT if progress is None else progress
    SCORES[score]
    dataset = dataset.as_classes
    if dataset.labels is None or len(np.unique(dataset.labels)) < 2:
        raise DataError(sentence("ranking needs labels of at least two classes", where=dataset.root or None))
    part = dataset.subset(sample(dataset.labels, max_images, seed))
    assert part.labels is not None
    y, K, n = part.labels, len(part.classes), len(part)
    found = extract_layers(source, part, cache_dir=cache_dir, device=device, precision=precision, progress=progress)
    values, errors, rights = [], [], []
    progress.start(f"layers of {source.name}", total=len(found.taps), unit="layer")
    try:
        for X in found.parts():
            X = np.ascontiguousarray(X)
            if score == "probe":
                probe = probe_score(X, y, K, groups=part.groups, seed=seed, device=device)
                values.append(probe.accuracy)
                errors.append(probe.se)
                rights.append(probe.right)
            elif score == "knn":
                values.append(knn_score(X, y, K))
                errors.append(math.sqrt(max(0.0, values[-1] * (1 - values[-1])) / n))
            else:
                values.append(logme(X, y, K))
                errors.append(math.nan)
            progress.advance(1)
    finally:
        progress.done()
    equal = _equal(np.array(values), np.array(errors), rights)
    rows = [
        LayerRow(tap.layer, tap.width, _known(value), _known(se), bool(same))
        for tap, value, se, same in zip(found.taps, values, errors, equal, strict=True)
    ]
    place = int(np.flatnonzero(equal)[-1])
    why = _why(rows, place, score, n)
    return LayerRanking(rows, rows[place].layer, source.name, score, why, n, found.left_out)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _equal(values: np.ndarray, errors: np.ndarray, rights: list[np.ndarray]) -> np.ndarray:
    """bool, one a stage: not clearly worse than the best. All are where nothing could be held out."""
    if not np.isfinite(values).any():
        return np.ones(len(values), dtype=bool)
    best = int(np.nanargmax(values))
    if not rights:
        return values >= values[best] - np.nan_to_num(errors[best])
    gaps = np.nan_to_num(rights[best] - np.array(rights))
    # the error of the difference if both were equally good, as in McNemar's test
    return gaps.sum(1) <= np.sqrt(np.square(gaps).sum(1)) + 1e-9


def _why(rows: list[LayerRow], place: int, by: str, n: int) -> str:
    chosen = rows[place]
    if chosen.score is None:
        return f"{chosen.layer}, the last layer, is kept: {n} images are too few for a score"
    best = max(rows, key=lambda row: -math.inf if row.score is None else row.score)
    last = place == len(rows) - 1

    def shown(row: LayerRow) -> str:
        return f"{row.score:.3f}" if by == "logme" else f"{row.score:.1%}"

    said = (
        f"{chosen.layer}{', the last layer,' if last else ''} is chosen: {shown(chosen)} by {SCORES[by]} on {n} images"
    )
    if best is not chosen:
        said += f"; {best.layer} has {shown(best)}, which is not clearly better (within one standard error)"
    if not last:
        said += f"; the last layer has {shown(rows[-1])}"
    return said
