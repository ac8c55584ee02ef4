"""Order sources by how well their features serve the labels, and by what they cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import DataError, HeadstartError, QuestionError, SourceError, WorkError, near, sentence
from headstart.features.extract import extract
from headstart.progress import SILENT, Progress
from headstart.ranking.combine import combined, places
from headstart.ranking.cost import count_macs, forward_memory
from headstart.ranking.scores import SCORES, Z95, bootstrap
from headstart.sources.source import Source
from headstart.training.folds import sample

COMBINED = "combined"
DEFAULT = ("probe", "logme", "knn")
"""The first decides, as the study in docs/results.md ("Which score to trust") supports it."""
WORDS = {"probe": "cross-validated probe", "knn": "5 nearest neighbours"}
SHARES = ("probe", "knn", "sfda", COMBINED)
"""Scores that are shown in per cent."""


@dataclass(frozen=True)
class Row:
    """One source. Numbers that were not asked for, or that could not be had, are ``None``.

    Attributes:
        source: its name.
        probe, probe_se: cross-validated accuracy of a linear head in 0..1, and its standard error.
        logme: log evidence an image (higher is better).
        knn: leave-one-out accuracy of 5 nearest neighbours.
        scores: name -> {"value", "low", "high", "why"} of each score that was asked for: the value with its 95 % interval
            over the images, or ``None`` and why there is none.
        combined: {"value", "low", "high"}: the share of comparisons won over all scores asked for; see
            :func:`headstart.ranking.combine.wins`. ``None`` for a single source.
        place: by the score that decided, ``"1="`` where sources cannot be told apart.
        seconds: to load it, compute (or read) the features and the scores.
        parameters, width: of the backbone, and of its features.
        macs: multiplications and additions for one image.
        images_per_second: loading and forward pass on this machine.
        memory: bytes of a forward pass over 64 images in float32, weights included.
        memory_how: ``"measured"`` or ``"counted"``; see :func:`headstart.ranking.cost.forward_memory`.
        licence: of the weights.
        note: what was guessed about the source, else ``""``.
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
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    combined: dict[str, float | None] | None = None
    place: str = ""
    memory: int | None = None
    memory_how: str = ""
    note: str = ""

    def value(self, by: str) -> float | None:
        """The score of that name, or the combined one."""
        if by in DEFAULT:
            return getattr(self, by)  # type: ignore[no-any-return]
        if by == COMBINED:
            return self.combined["value"] if self.combined else None
        return self.scores.get(by, {}).get("value")


@dataclass(frozen=True)
class _Result:
    """A row, whether the probe was right on each image, and the replicates of each score over the same resamples."""

    row: Row
    right: np.ndarray | None = None
    replicates: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranking:
    """Attributes:
    rows: best first; those that failed last.
    chosen: the name of the first.
    by: the score that decided.
    why: a sentence for people.
    n: images that the scores were made on.
    modality: what these are, ``"image"`` or ``"text"``.
    """

    rows: list[Row]
    chosen: str
    by: str
    why: str
    n: int
    modality: str = "image"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def rank_sources(
    sources: Sequence[str | Source],
    dataset: Dataset,
    *,
    scores: Sequence[str] = DEFAULT,
    by: str | None = None,
    resamples: int = 100,
    cache_dir: Path | None,
    device: str = "cpu",
    max_images: int = 2000,
    seed: int = 0,
    precision: str = "auto",
    reading: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Score every source on the same images and order them.

    The first of ``scores`` decides, or the one named by ``by``, or all of them (``"combined"``). Sources that are not worse
    than the best by more than one standard error of the paired difference over the images count as equal, and the cheaper
    one comes first; places are shared where a difference is under 1.96 standard errors. Each backbone runs once over the
    images, and not at all where the cache has its features. A source without a head has no LEEP and NCE; its row says so.

    Args:
        sources: names for :func:`headstart.sources.load_source`, or sources.
        dataset: labelled, scanned; keep test images out of it.
        scores: names of :data:`headstart.ranking.scores.SCORES`.
        by: one of ``scores`` or ``"combined"``; default: the first.
        resamples: for the intervals, >= 2.
        cache_dir: of the features, or ``None``.
        device, precision: see :func:`headstart.features.extract.extract`.
        max_images: more are cut to a sample of this size with the same shares of the classes, at least two a class
            where there are two.
        seed: of the sample and the folds.
        reading: how sources that are named read their inputs, options of ``load_source``; default: each in its own way.
        progress: told of each source.

    Raises:
        DataError: no labels, fewer than two classes, an unknown score, or a ``by`` that is not among them.
        SourceError: no source given, or none could be used.
    """
    progress = SILENT if progress is None else progress
    for score in scores:
        SCORES[score]
    if not scores:
        raise DataError(sentence("no score to rank by", got=list(scores), allowed=list(SCORES)))
    by = scores[0] if by is None else by
    if by not in (*scores, COMBINED):
        close = near(by, [*scores, COMBINED], 1)
        raise DataError(
            sentence(
                "the score to decide by is not among those asked for",
                got=by,
                allowed=[*scores, COMBINED],
                fix=close[0] if close else None,
            )
        )
    if not sources:
        raise SourceError(sentence("no source to rank", fix="headstart sources, for the list of names"))
    dataset = dataset.as_classes
    if dataset.labels is None or len(np.unique(dataset.labels)) < 2:
        raise DataError(sentence("ranking needs labels of at least two classes", where=dataset.root or None))
    part = dataset.subset(sample(dataset.labels, max_images, seed))
    results = []
    for source in sources:
        result = _score(source, reading or {}, part, scores, resamples, cache_dir, device, seed, precision, progress)
        for said in (result.row.error and f"left out: {result.row.error}", result.row.note):
            if said:
                progress.say(f"{result.row.source} is {said}")
        results.append(result)
    good = [result for result in results if not result.row.error]
    if not good:
        reasons = "; ".join(f"{result.row.source}: {result.row.error}" for result in results)
        raise SourceError(sentence("none of the sources could be used", got=reasons, fix="headstart sources --offline"))
    good = _placed(good, scores, by)
    ordered, equal = _order(good, by)
    rows = ordered + [result.row for result in results if result.row.error]
    return Ranking(rows, rows[0].source, by, _why(ordered, equal, by, len(part)), len(part))


def probabilities(source: Source, X: np.ndarray) -> np.ndarray | None:
    """softmax(X W' + b), float64 (n, Z), of the source's own classes; ``None`` where it has no head."""
    if source.head is None:
        return None
    weight, bias = (t.detach().double().cpu().numpy() for t in source.head)
    logits = X @ weight.T + bias
    P = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(P / P.sum(1, keepdims=True))


def _score(
    source: str | Source,
    reading: Mapping[str, Any],
    part: Dataset,
    scores: Sequence[str],
    resamples: int,
    cache_dir: Path | None,
    device: str,
    seed: int,
    precision: str,
    progress: Progress,
) -> _Result:
    began = time.perf_counter()
    name = source if isinstance(source, str) else source.name
    facts: dict[str, Any] = {"scores": {}}
    replicates: dict[str, np.ndarray] = {}
    right = None
    assert part.labels is not None
    y = part.labels
    try:
        loaded = _load(source, reading) if isinstance(source, str) else source
        facts.update(parameters=loaded.parameters, width=loaded.width, licence=loaded.licence)
        facts["note"] = loaded.extra.get("guessed", "")
        facts["macs"] = count_macs(loaded)
        facts["memory"], facts["memory_how"] = forward_memory(loaded, device)
        found = extract(loaded, part, cache_dir=cache_dir, device=device, precision=precision, progress=progress)
        facts["images_per_second"] = found.images_per_second
        P = probabilities(loaded, found.X) if any(SCORES[s].needs_probabilities for s in scores) else None
        for score in scores:
            if SCORES[score].needs_probabilities and P is None:
                facts["scores"][score] = _cell(None, why="the source has no head of its own")
                continue
            try:
                got = bootstrap(score, found.X, y, P, resamples=resamples, seed=seed, groups=part.groups, device=device)
            except QuestionError as error:
                facts["scores"][score] = _cell(None, why=str(error))
                continue
            if not math.isfinite(got.value):
                facts["scores"][score] = _cell(None, why=f"{len(y)} images are too few")
                continue
            facts["scores"][score] = _cell(got.value, got.low, got.high)
            replicates[score] = got.replicates
            if score in DEFAULT:
                facts[score] = got.value
            if score == "probe" and got.terms is not None:
                right = got.terms
                facts["probe_se"] = float(np.nanstd(right) / math.sqrt(np.isfinite(right).sum()))
    except (HeadstartError, RuntimeError, OSError, ValueError) as error:
        facts["scores"] = {}
        if isinstance(error, QuestionError | WorkError):
            facts["error"] = str(error)
        else:
            facts["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return _Result(Row(source=name, seconds=time.perf_counter() - began, **facts), right, replicates)


def _cell(value: float | None, low: float = math.nan, high: float = math.nan, why: str = "") -> dict[str, Any]:
    known = math.isfinite(low) and math.isfinite(high)
    return {"value": value, "low": low if known else None, "high": high if known else None, "why": why}


def _load(name: str, reading: Mapping[str, Any]) -> Source:
    from headstart.sources import load_source

    return load_source(name, **reading)


def _placed(results: list[_Result], scores: Sequence[str], by: str) -> list[_Result]:
    """The same results with the combined score, and places by ``by``."""
    least = [len(r.replicates[s]) for r in results for s in scores if s in r.replicates]
    B = min(least, default=0)
    none = np.full(B, np.nan)

    def table(score: str) -> tuple[np.ndarray, np.ndarray]:
        found = [r.row.scores.get(score, {}).get("value") for r in results]
        values = np.array([np.nan if value is None else value for value in found])
        return values, np.stack([r.replicates.get(score, none)[:B] for r in results])

    tables = [table(score) for score in scores]
    won, again = combined(np.stack([v for v, _ in tables]), np.stack([r for _, r in tables]))
    values, replicates = (won, again) if by == COMBINED else tables[list(scores).index(by)]
    place = places(values, replicates)
    out = []
    for i, result in enumerate(results):
        cell = None
        if math.isfinite(won[i]):
            half = Z95 * float(np.nanstd(again[i], ddof=1)) if B > 1 else math.nan
            cell = _cell(float(won[i]), max(0.0, won[i] - half), min(1.0, won[i] + half))
            del cell["why"]
        row = replace(result.row, combined=cell, place=place[i])
        out.append(replace(result, row=row, replicates={**result.replicates, COMBINED: again[i]}))
    return out


def _order(results: list[_Result], by: str) -> tuple[list[Row], int]:
    """Rows, best first, and how many of them count as equal to the best."""

    def height(result: _Result) -> float:
        value = result.row.value(by)
        return -math.inf if value is None else value

    ranked = sorted(results, key=lambda result: -height(result))
    top = ranked[0]
    equal = [top.row]
    for result in ranked[1:]:
        if not _as_good(top, result, by, height(top) - height(result)):
            break
        equal.append(result.row)
    cost = sorted(equal, key=lambda row: (math.inf if row.macs is None else row.macs, row.parameters or 0))
    return cost + [result.row for result in ranked[len(equal) :]], len(equal)


def _as_good(top: _Result, other: _Result, by: str, gap: float) -> bool:
    """Whether a lower score is within one standard error of the paired difference."""
    if by == "probe":
        if top.right is None or other.right is None:
            return False
        apart = top.right - other.right
        apart = apart[np.isfinite(apart)]
        # the error of the difference if both were equally good, as in McNemar's test
        return bool(apart.sum() <= math.sqrt((apart**2).sum()) + 1e-9)
    if by not in top.replicates or by not in other.replicates:
        return False
    apart = top.replicates[by] - other.replicates[by]
    apart = apart[np.isfinite(apart)]
    return bool(gap <= apart.std(ddof=1)) if len(apart) > 1 else False


def _shown(value: float, by: str) -> str:
    return f"{value:.1%}" if by in SHARES else f"{value:.3f}"


def _why(rows: list[Row], equal: int, by: str, n: int) -> str:
    first = rows[0]
    value = first.value(by)
    title = WORDS.get(by) or (by if by == COMBINED else SCORES[by].title)
    if value is None:
        if n < 20 or by in ("probe", COMBINED) or not first.scores.get(by, {}).get("why"):
            return f"{first.source} comes first as given: {n} images are too few for a score"
        return f"{first.source} comes first as given: no source has {title}, as {first.scores[by]['why']}"
    if by == COMBINED:
        names = ", ".join(SCORES[s].title for s in first.scores)
        said = f"{first.source} is chosen: it wins {value:.1%} of its comparisons by {names} on {n} images"
    else:
        unit = {"logme": " nats an image", "probe": " held-out accuracy", "knn": " held-out accuracy"}.get(by, "")
        said = f"{first.source} is chosen: {_shown(value, by)}{unit} by {title} on {n} images"
    if len(rows) == 1:
        return said + ", the only source that could be used"
    if equal > 1:
        best = max(rows[:equal], key=lambda row: row.value(by) or -math.inf)
        if best is not first:
            return said + (
                f"; {best.source} has {_shown(best.value(by) or 0.0, by)}, which is not clearly better "
                "(within one standard error), and costs more"
            )
        return said + f", the best of {len(rows)}, and cheaper than {equal - 1} that it does not clearly beat"
    second = rows[1].value(by)
    if second is None:
        return said
    return said + f", ahead of {rows[1].source} with {_shown(second, by)}"
