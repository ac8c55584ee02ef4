"""`headstart rank`: which source fits these data best, at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headstart.data.wording import Worded, said
from headstart.errors import DataError, RecipeError, SourceError, sentence
from headstart.folder import cache_root
from headstart.progress import SILENT, Progress
from headstart.ranking.layers import LayerRanking, rank_layers
from headstart.ranking.rank import DEFAULT, Ranking, rank_sources
from headstart.sources import load_source
from headstart.sources.catalogue import bundled_sources
from headstart.sources.source import Source
from headstart.training.device import pick_device
from headstart.verbs.prepare import Prepared, prepare
from headstart.verbs.reading import as_loaded, check_reading
from headstart.verbs.settings import refuse_by_token, refuse_sequences


def candidates(named: Sequence[str] = (), modality: str = "image") -> list[str]:
    """The sources to rank: those named, or every bundled one that reads images, or texts."""
    return list(named) or [row["name"] for row in bundled_sources() if row["modality"] == modality]


def rank_prepared(
    target: Prepared,
    names: Sequence[str],
    *,
    device: str = "cpu",
    seed: int = 0,
    scores: Sequence[str] | None = None,
    by: str | None = None,
    max_images: int = 2000,
    reading: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Ranking:
    """Rank sources on the training and validation images of a prepared target; its test images are never seen.

    Args:
        reading: how they read their inputs, options of :func:`headstart.sources.load_source`; weights of layers are not learned here,
            and ``pool="weighted"`` is left out.
    """
    asked = {key: value for key, value in (reading or {}).items() if value is not None}
    if asked.get("pool") == "weighted":
        del asked["pool"]
    modality = target.dataset.modality
    found = rank_sources(
        list(names), target.learning, scores=scores or DEFAULT, by=by, cache_dir=cache_root(), device=device, seed=seed,
        max_images=max_images, reading=asked, progress=Worded(progress, modality),
    )  # fmt: skip
    return replace(found, why=said(found.why, modality), modality=modality)


def rank_layers_prepared(
    target: Prepared,
    source: Source,
    *,
    score: str = "probe",
    device: str = "cpu",
    seed: int = 0,
    max_images: int = 2000,
    progress: Progress = SILENT,
) -> LayerRanking:
    """Rank the layers of one source on the same images as :func:`rank_prepared`."""
    modality = target.dataset.modality
    found = rank_layers(
        source, target.learning, score=score, cache_dir=cache_root(), device=device, seed=seed, max_images=max_images,
        progress=Worded(progress, modality),
    )  # fmt: skip
    return replace(found, why=said(found.why, modality))


def rank(
    data: Any,
    *,
    sources: Sequence[str] | None = None,
    layers: bool = False,
    scores: Sequence[str] | None = None,
    by: str | None = None,
    max_images: int = 2000,
    labels_per_class: int | None = None,
    test_fraction: float = 0.2,
    group: str | None = None,
    path_col: str | None = None,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    max_length: int | None = None,
    pool: str | None = None,
    long: str | None = None,
    device: str = "auto",
    seed: int = 0,
    workers: int | None = None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
    progress: Progress = SILENT,
) -> Ranking | LayerRanking:
    """Order sources, or the layers of one, by how well their features serve these labels.

    Args:
        data: as for :func:`headstart.fit`. The split is the one that ``fit`` would make with the same ``seed``, and only
            its training part is used, so that a later ``fit`` is judged on images that chose nothing.
        sources: names of sources; default: every bundled one.
        layers: score every stage of the one source that is named instead, by the one of ``scores`` (probe, logme or knn).
        scores: names of :data:`headstart.ranking.scores.SCORES`; default: ``["probe", "logme", "knn"]``.
        by: the score that decides, or ``"combined"`` for the share of comparisons won over all of ``scores``; default: the
            first of them.
        max_images: rank on a stratified sample of at most this many images.
        max_length, pool, long: how sources read texts, as for ``fit``; default: each in its own way.
        task, label_delimiter, order: as for :func:`headstart.data.readers.read_dataset`; scores of classes take the strata of another task.

    Returns:
        A :class:`headstart.ranking.rank.Ranking` with ``rows``, ``chosen`` and ``why``; with ``layers``, a
        :class:`headstart.ranking.layers.LayerRanking` with the same.

    Raises:
        DataError: the data cannot be used; an unknown score; several scores, or ``by``, with ``layers``.
        SourceError: none of the sources could be loaded; ``layers`` without exactly one source.
        RecipeError: ``max_length``, ``pool`` or ``long`` of images; a ``pool`` that could not act.
    """
    refuse_sequences(task)
    if layers and len(sources or ()) != 1:
        raise SourceError(
            sentence(
                "the layers are those of one source", got=list(sources or ()) or "none", fix="--source NAME --layers"
            )
        )
    if layers and (by or len(scores or ()) > 1):
        got = f"--by {by}" if by else ", ".join(scores or ())
        raise DataError(sentence("layers are ordered by one score", got=got, fix="--layers --score probe"))
    check_pool(pool, layers)
    target = prepare(
        data, path_col=path_col, text_col=text_col, label_col=label_col, split_col=split_col, group=group, test_fraction=test_fraction,
        labels_per_class=labels_per_class, seed=seed, workers=workers, task=task, label_delimiter=label_delimiter, order=order,
        progress=progress,
    )  # fmt: skip
    refuse_by_token(target.dataset.task, "rank")
    reading = {"max_length": max_length, "pool": pool, "long": long}
    check_reading(reading, f"{target.dataset.modality}s")
    asked = as_loaded(reading)
    how: dict[str, Any] = {
        "device": str(pick_device(device)),
        "seed": seed,
        "max_images": max_images,
        "progress": progress,
    }
    if layers:
        return rank_layers_prepared(
            target, load_source((sources or [])[0], **asked), score=(scores or DEFAULT)[0], **how
        )
    return rank_prepared(
        target,
        candidates(sources or (), target.dataset.modality),
        scores=scores,
        by=by,
        reading=asked,
        **how,
    )


def check_pool(pool: str | None, layers: bool) -> None:
    """Refuse a pool that nothing would be read by.

    Raises:
        RecipeError: learned weights, of which ranking learns none; any pool of layers.
    """
    if pool is not None and (layers or pool == "weighted"):
        why = (
            "a layer is read as the mean over its tokens"
            if layers
            else "weights of layers are learned in fit, and sources are ranked as they are"
        )
        raise RecipeError(sentence(f"this pool would do nothing: {why}", got=f"--pool {pool}", fix="leave it out"))
