"""A head over selected features of every layer (Head2Toe), the share of features chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from headstart.functional.group_lasso import fit_group_lasso
from headstart.functional.logistic import fit_path
from headstart.training.folds import assign_folds
from headstart.training.probe import Probe, Search, default_strengths, fit_probe

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Shares of the features that the cross-validation tries."""
MIDDLE = 0.1
"""The share where nothing can be held out."""
STRENGTHS = 6
"""Strengths that the cross-validation tries with each share."""


@dataclass(frozen=True)
class SelectedHead:
    """Attributes:
    columns: one int64 array a stage: the features kept, rising; empty where none is.
    probe: the head on the kept features, stage by stage, as they came.
    fraction: of all features that was asked for or chosen.
    cross_validated: held-out accuracy in 0..1 where selection and head both saw the other folds only; ``None`` where
        nothing could be held out.
    oof: float32 (n, K), the probabilities that it is the accuracy of, as :attr:`headstart.training.probe.Probe.oof`.
    """

    columns: tuple[np.ndarray, ...]
    probe: Probe
    fraction: float
    cross_validated: float | None
    oof: np.ndarray | None


def fit_head2toe(
    parts: Sequence[np.ndarray],
    y: np.ndarray,
    n_classes: int,
    *,
    fraction: float = 0.0,
    folds: int = 5,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    seed: int = 0,
) -> SelectedHead:
    """Rank the features of all stages by a group lasso, keep the best share, solve a head on those.

    Each stage is centred and divided by the root mean square of its features' spreads, so that stages compare and the
    spreads inside one keep their proportion. A feature's relevance is the norm of its row of weights in a softmax
    regression under a group lasso (Evci et al. 2022, Section 3: s_j = ||W_j||_2), solved to its optimum at a
    twentieth of the least penalty that uses no feature; features that it does not use follow in the order in which
    they fall short (:class:`headstart.functional.group_lasso.GroupLasso`). The authors take many gradient steps
    under a small fixed penalty instead.

    The share is chosen by a cross-validation that selects anew in every fold, by the rule of
    :func:`headstart.training.probe.fit_probe`: of the pairs of share and strength whose accuracy is not clearly
    worse than the best, the one with the lowest log loss; the strength of the final head is then chosen by
    ``fit_probe`` on the kept features.

    Args:
        parts: one array (n, width) a stage.
        y: int (n,), in 0..n_classes-1.
        n_classes: K >= 2.
        fraction: share kept, in (0, 1]; 0 tries 0.01, 0.02, 0.05, 0.1, 0.2 and 0.5. At least one feature is kept.
        folds, groups, sample_weight, seed: as for ``fit_probe``.

    Raises:
        DataError: as ``fit_probe``.
    """
    X = np.concatenate(parts, axis=1).astype(np.float32, copy=False)
    y = np.asarray(y).astype(np.int64, copy=False)
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    ready = torch.from_numpy(np.concatenate([normalised(part) for part in parts], axis=1))
    tries = [fraction] if fraction else list(FRACTIONS)
    found = _choose(ready, y, weights, n_classes, tries, assign_folds(y, folds=folds, groups=groups, seed=seed))
    share, accuracy, oof = (tries[0] if fraction else MIDDLE, None, None) if found is None else found
    keep = np.sort(_relevant(ready, y, weights, n_classes)[: count(share, X.shape[1])])
    probe = fit_probe(
        X[:, keep], y, n_classes, folds=folds, groups=groups, sample_weight=sample_weight, seed=seed
    )  # fmt: skip
    starts = np.cumsum([0, *(part.shape[1] for part in parts)])
    columns = tuple(keep[(keep >= a) & (keep < b)] - a for a, b in pairwise(starts))
    return SelectedHead(columns, probe, share, accuracy, oof)


def count(fraction: float, width: int) -> int:
    """How many of ``width`` features a share keeps: at least one."""
    return max(1, round(fraction * width))


def normalised(part: np.ndarray) -> np.ndarray:
    """float32 (n, width): centred, and divided by one number so that the mean variance of its features is 1."""
    centred = part.astype(np.float32) - part.mean(0, dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt(np.square(centred, dtype=np.float64).mean()))
    return centred / np.float32(spread if spread > 1e-6 * np.abs(part).max(initial=0) else np.inf)


def _relevant(X: torch.Tensor, y: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Features, the most relevant first."""
    used = torch.from_numpy(weights)
    relevance = fit_group_lasso(X, torch.from_numpy(y), n_classes, weights=used).relevance
    return np.argsort(-relevance.numpy(), kind="stable")


def _choose(
    X: torch.Tensor, y: np.ndarray, weights: np.ndarray, n_classes: int, tries: list[float], fold: np.ndarray
) -> tuple[float, float, np.ndarray] | None:
    """The share, its held-out accuracy and probabilities; ``None`` where nothing can be held out."""
    usable = [f for f in range(int(fold.max()) + 1) if len(np.unique(y[(fold != f) & (weights > 0)])) >= 2]
    usable = [f for f in usable if weights[fold == f].sum() > 0]
    if not usable:
        return None
    spread = X.std(0, correction=0)
    Z = X / torch.where(spread > 1e-6, spread, torch.inf)  # the head sees standardised features, as in a probe
    oof = np.full((len(tries), STRENGTHS, len(y), n_classes), np.nan, dtype=np.float32)
    for f in usable:
        learn, held = np.flatnonzero((fold != f) & (weights > 0)), np.flatnonzero(fold == f)
        order = _relevant(X[learn], y[learn], weights[learn], n_classes)
        for i, share in enumerate(tries):
            keep = order[: count(share, X.shape[1])].copy()
            path = fit_path(
                Z[learn][:, keep], torch.from_numpy(y[learn]), n_classes,
                default_strengths(len(learn), len(keep), n_classes, STRENGTHS),
                weights=torch.from_numpy(weights[learn]), tol=1e-3,
            )  # fmt: skip
            for j in range(STRENGTHS):
                logits = Z[held][:, keep] @ path.weight[j].T + path.bias[j]
                oof[i, j, held] = logits.softmax(1).numpy()
    search = Search(y, weights)
    for found in oof.reshape(-1, len(y), n_classes):
        search.add(found)
    best = search.best
    return tries[best // STRENGTHS], search.accuracy[best], search.oof[best]
