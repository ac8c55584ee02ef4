"""Order sources by how well their features serve the labels, and by what they cost."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import ImageDataset
from headstart.errors import DataError, HeadstartError, QuestionError, SourceError, WorkError, sentence
from headstart.features.extract import extract
from headstart.progress import SILENT, Progress
from headstart.ranking.knn import knn_score
from headstart.ranking.logme import logme
from headstart.ranking.probe import probe_score
from headstart.sources.source import Source
from headstart.tables import Table

SCORES = Table("score", {"probe": "cross-validated probe", "logme": "LogME", "knn": "5 nearest neighbours"}, DataError)


@dataclass(frozen=True)
class Row:
    """One source. Numbers that were not asked for, or that could not be had, are ``None``.

    Attributes:
        source: its name.
        probe, probe_se: cross-validated accuracy of a linear head in 0..1, and its standard error.
        logme: log evidence an image (higher is better).
        knn: leave-one-out accuracy of 5 nearest neighbours.
        seconds: to load it, compute (or read) the features and the scores.
        parameters, width: of the backbone, and of its features.
        macs: multiplications and additions for one image.
        images_per_second: loading and forward pass on this machine.
        licence: of the weights.
        error: why there is no score, else ``""``.
    """

    source: str
    probe: float | None = None
    probe_se: float | None = None
    logme: float | None = None
    knn: float | None = None
    seconds: float = 0.0
    parameters: int | None = None
    macs: int | None = None
    images_per_second: float | None = None
    width: int | None = None
    licence: str = ""
    error: str = ""


@dataclass(frozen=True)
class Ranking:
    """Attributes:
    rows: best first; those that failed last.
    chosen: the name of the first.
    by: the score that decided.
    why: a sentence for people.
    n: images that the scores were made on.
    """

    rows: list[Row]
    chosen: str
    by: str
    why: str
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def rank_sources(
    sources: Sequence[str | Source],
    dataset: ImageDataset,
    *,
    scores: Sequence[str] = ("probe", "logme", "knn"),
    cache_dir: Path | None,
    device: str = "cpu",
    max_images: int = 2000,
    seed: int = 0,
    precision: str = "auto",
    progress: Progress | None = None,
) -> Ranking:
    """Score every source on the same images and order them.

    The first of ``scores`` decides. With ``"probe"``, sources that are not clearly worse than the best (within one
    standard error of the paired difference over the images) count as equal, and the cheaper one comes first.
    Each backbone runs once over the images, and not at all where the cache has its features.

    Args:
        sources: names for :func:`headstart.sources.load_source`, or sources.
        dataset: labelled, scanned; keep test images out of it.
        scores: out of ``"probe"``, ``"logme"``, ``"knn"``.
        cache_dir: of the features, or ``None``.
        device, precision: see :func:`headstart.features.extract.extract`.
        max_images: more are cut to a sample of this size with the same shares of the classes, at least two a class
            where there are two.
        seed: of the sample and the folds.
        progress: told of each source.

    Raises:
        DataError: no labels, fewer than two classes, an unknown score.
        SourceError: no source given, or none could be used.
    """
    progress = SILENT if progress is None else progress
    for score in scores:
        SCORES[score]
    if not scores:
        raise DataError(sentence("no score to rank by", got=list(scores), allowed=list(SCORES)))
    if not sources:
        raise SourceError(sentence("no source to rank", fix="headstart sources, for the list of names"))
    if dataset.labels is None or len(np.unique(dataset.labels)) < 2:
        raise DataError(sentence("ranking needs labels of at least two classes", where=dataset.root or None))
    part = dataset.subset(sample(dataset.labels, max_images, seed))
    results = []
    for source in sources:
        row, right = _score(source, part, scores, cache_dir, device, seed, precision, progress)
        if row.error:
            progress.say(f"{row.source} is left out: {row.error}")
        results.append((row, right))
    good = [result for result in results if not result[0].error]
    if not good:
        reasons = "; ".join(f"{row.source}: {row.error}" for row, _ in results)
        raise SourceError(sentence("none of the sources could be used", got=reasons, fix="headstart sources --offline"))
    by = scores[0]
    ordered, equal = _order(good, by)
    rows = ordered + [row for row, _ in results if row.error]
    return Ranking(rows, rows[0].source, by, _why(ordered, equal, by, len(part)), len(part))


def sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Sorted indices of about ``size`` rows: each class keeps its share, and two rows where it has two."""
    n = len(labels)
    if n <= size:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    picked = []
    for k in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == k))
        picked.append(rows[: max(2, round(size * len(rows) / n))])
    return np.sort(np.concatenate(picked))


def count_macs(source: Source) -> int | None:
    """Multiply-adds of one forward pass, counted without computing anything where the backbone allows it."""
    from torch.utils.flop_counter import FlopCounterMode

    size = source.preprocessing.size
    for place in ("meta", "cpu"):
        try:
            model = copy.deepcopy(source.backbone).eval().to(place)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(torch.zeros(1, 3, size, size, device=place))
            return int(counter.get_total_flops()) // 2
        except (RuntimeError, NotImplementedError):
            continue  # a backbone that builds tensors on the CPU inside its forward
    return None


def _score(
    source: str | Source,
    part: ImageDataset,
    scores: Sequence[str],
    cache_dir: Path | None,
    device: str,
    seed: int,
    precision: str,
    progress: Progress,
) -> tuple[Row, np.ndarray | None]:
    began = time.perf_counter()
    name = source if isinstance(source, str) else source.name
    facts: dict[str, Any] = {}
    right = None
    assert part.labels is not None
    y, K = part.labels, len(part.classes)
    try:
        loaded = _load(source) if isinstance(source, str) else source
        facts.update(parameters=loaded.parameters, width=loaded.width, licence=loaded.licence)
        facts["macs"] = count_macs(loaded)
        found = extract(loaded, part, cache_dir=cache_dir, device=device, precision=precision, progress=progress)
        facts["images_per_second"] = found.images_per_second
        if "logme" in scores:
            facts["logme"] = logme(found.X, y, K)
        if "knn" in scores:
            facts["knn"] = knn_score(found.X, y, K)
        if "probe" in scores:
            probe = probe_score(found.X, y, K, groups=part.groups, seed=seed, device=device)
            if math.isfinite(probe.accuracy):
                facts.update(probe=probe.accuracy, probe_se=probe.se)
                right = probe.right
    except (HeadstartError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, QuestionError | WorkError):
            facts["error"] = str(error)
        else:
            facts["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return Row(source=name, seconds=time.perf_counter() - began, **facts), right


def _load(name: str) -> Source:
    from headstart.sources import load_source

    return load_source(name)


def _order(results: list[tuple[Row, np.ndarray | None]], by: str) -> tuple[list[Row], int]:
    """Rows, best first, and how many of them count as equal to the best."""

    def height(row: Row) -> float:
        value = getattr(row, by)
        return -math.inf if value is None else value

    ranked = sorted(results, key=lambda result: -height(result[0]))
    top, reference = ranked[0]
    equal = [top]
    if by == "probe" and reference is not None:
        for row, right in ranked[1:]:
            if right is None:
                break
            gap = reference - right
            gap = gap[np.isfinite(gap)]
            # the error of the difference if both were equally good, as in McNemar's test
            if gap.sum() > math.sqrt((gap**2).sum()) + 1e-9:
                break
            equal.append(row)
    cost = sorted(equal, key=lambda row: (math.inf if row.macs is None else row.macs, row.parameters or 0))
    return cost + [row for row, _ in ranked[len(equal) :]], len(equal)


def _why(rows: list[Row], equal: int, by: str, n: int) -> str:
    first = rows[0]
    value = getattr(first, by)
    if value is None:
        return f"{first.source} comes first as given: {n} images are too few for a score"
    shown = f"{value:.3f} nats an image" if by == "logme" else f"{value:.1%} held-out accuracy"
    said = f"{first.source} is chosen: {shown} by {SCORES[by]} on {n} images"
    if len(rows) == 1:
        return said + ", the only source that could be used"
    if equal > 1:
        best = max(rows[:equal], key=lambda row: getattr(row, by))
        if best is not first:
            return said + (
                f"; {best.source} has {getattr(best, by):.1%}, which is not clearly better "
                "(within one standard error), and costs more"
            )
        return said + f", the best of {len(rows)}, and cheaper than {equal - 1} that it does not clearly beat"
    second = getattr(rows[1], by)
    if second is None:
        return said
    return said + f", ahead of {rows[1].source} with " + (f"{second:.3f}" if by == "logme" else f"{second:.1%}")
