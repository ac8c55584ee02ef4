"""What one trial is worth: trained on folds of the training images, scored on what each fold held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.errors import DataError, sentence
from headstart.progress import SILENT
from headstart.sources.source import Source
from headstart.strategies.strategy import Strategy
from headstart.training.folds import assign_folds
from headstart.training.transfer import Score, Settings, probabilities, transfer

FOLDS = 5
"""The training images are cut into so many parts, of which one at a time is held out."""


TIE = 1e-4
"""What a nat of log loss takes off a score on the way, where trials are compared; not off the score that is kept."""


@dataclass(frozen=True)
class Judged:
    """Attributes:
    score: of the metric, the mean over the folds.
    loss: log loss in nats on the same images; ``None`` where the solver's cross-validation was taken.
    """

    score: float
    loss: float | None


def cut(dataset: Dataset, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """``folds`` pairs (rows to learn from, rows held out), int64. A validation split that the data has is the first one.

    Args:
        dataset: labelled training and validation images; no test image.
        folds: 1 to 5.

    Raises:
        DataError: nothing can be held out.
    """
    assert dataset.labels is not None
    splits = None if dataset.splits is None else np.asarray(dataset.splits)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    if splits is not None and (splits == "valid").any() and folds == 1:
        return [(np.flatnonzero(splits != "valid"), np.flatnonzero(splits == "valid"))]
    fold = assign_folds(dataset.strata[0], folds=FOLDS, groups=dataset.groups, seed=seed)
    for k in range(min(folds, int(fold.max()) + 1)):
        pairs.append((np.flatnonzero(fold != k), np.flatnonzero(fold == k)))
    if not pairs:
        raise DataError(
            sentence("too few labels to hold any out, so that trials cannot be told apart", got=len(dataset), allowed="two a class")
        )  # fmt: skip
    return pairs


def judge(
    source: Source,
    strategy: Strategy,
    settings: Settings,
    dataset: Dataset,
    folds: Sequence[tuple[np.ndarray, np.ndarray]] | None,
    *,
    score: Score,
    metric: str,
    device: torch.device,
    seed: int,
    cache_dir: Path | None,
    layer: str = "last",
    head: Callable[[int, Dataset], Any] | None = None,
    best_epoch: bool = False,
    on_share: Callable[[float, float], None] | None = None,
) -> Judged:
    """Train and score.

    Args:
        dataset: labelled training and validation images; no test image.
        folds: of :func:`cut`; ``None``: the head is solved, and the accuracy of the solver's own cross-validation over all of
            ``dataset`` counts.
        score: (probabilities (n, K), labels (n,)) -> scores with ``metric`` and ``loss``.
        head: (fold, its training images) -> the solved head that the training starts from, where the strategy has one.
        best_epoch: what is held out chooses the epoch, too, as `fit` does with a validation split; else the last epoch counts, as
            `fit` takes it without one.
        on_share: told after each epoch of the share of the training that is done, in (0, 1], and the score so far; what it
            raises ends the trial.

    Raises:
        WorkError: the training failed.
    """
    how: dict[str, Any] = {"device": device, "cache_dir": cache_dir}
    if folds is None:
        moved = transfer(
            source, strategy, dataset.classes, dataset, None, settings, seed=seed, score=score, metric=metric, layer=layer,
            progress=SILENT, **how,
        )  # fmt: skip
        if moved.cross_validated is None:
            raise DataError(
                sentence("too few labels to hold any out, so that trials cannot be told apart", got=len(dataset))
            )
        return Judged(moved.cross_validated, None)
    if strategy.procedure.by_steps and not best_epoch:
        # nothing that is held out may end a training that `fit` would not end
        settings = replace(
            settings, optimisation={**settings.optimisation, "patience": settings.optimisation["epochs"]}
        )
    scores: list[float] = []
    losses: list[float] = []
    for k, (learn, held) in enumerate(folds):
        train_set, held_out = dataset.subset(learn), dataset.subset(held)
        assert held_out.labels is not None
        own = _without(settings, held_out)
        best = [-np.inf]
        epochs = settings.optimisation["epochs"] if strategy.procedure.by_steps else 1

        def hook(row: dict[str, Any], k: int = k, best: list[float] = best, epochs: int = epochs) -> None:
            now = row[f"valid_{metric}"]
            if 0 <= now <= 1:  # a share of a few images is often the same for two trials: the loss tells them apart
                now -= TIE * min(row["valid_loss"], 10.0)
            best[0] = max(best[0], now) if best_epoch else now
            if on_share:
                on_share((k + row["epoch"] / epochs) / len(folds), float(np.mean([*scores, best[0]])))

        moved = transfer(
            source, strategy, dataset.classes, train_set, held_out if strategy.procedure.by_steps else None, own, seed=seed,
            score=score, metric=metric, layer=layer, head=head(k, train_set) if head and strategy.solved_head and not strategy.before else None,
            progress=SILENT, on_epoch=hook, **how,
        )  # fmt: skip
        if strategy.procedure.by_steps and not best_epoch:
            found = {name: moved.history[-1][f"valid_{name}"] for name in (metric, "loss")}
        else:
            found = score(
                probabilities(
                    moved, source, dataset.classes, held_out, workers=settings.feeding.workers, progress=SILENT, **how
                ),
                held_out.labels,
            )
        scores.append(found[metric])
        losses.append(found["loss"])
    return Judged(float(np.mean(scores)), float(np.mean(losses)))


def _without(settings: Settings, held_out: Dataset) -> Settings:
    """The same without unlabelled images that are exact copies of those held out: they judge the trial.

    Raises:
        DataError: none is left.
    """
    images = settings.feeding.unlabelled
    if images is None:
        return settings
    assert images.digests is not None and held_out.digests is not None
    left = np.flatnonzero(~np.isin(images.digests, held_out.digests))
    if not len(left):
        raise DataError(
            sentence("every unlabelled image is a copy of one that is held out", fix="--unlabelled with other images")
        )
    return replace(settings, feeding=replace(settings.feeding, unlabelled=images.subset(left)))


def with_epochs(settings: Settings, n: int, source: Source) -> Settings:
    """The same with the number of epochs written down, so that shares of the training can be told."""
    from headstart.training.transfer import resolve

    known = resolve(settings.optimisation, n, settings.feeding.batch_size, pretrained=source.pretrained, source=source)
    return replace(settings, optimisation={**settings.optimisation, "epochs": known.epochs})
