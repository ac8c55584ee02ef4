"""Which fold holds out which row, and which rows stand for all: stratified by class, whole groups together."""

from __future__ import annotations

import numpy as np


def assign_folds(y: np.ndarray, *, folds: int = 5, groups: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """int64 (n,): the fold (0..F-1) that holds each row out, or -1 for a row that is in training every time.

    Args:
        y: int (n,).
        folds: F at most. It is lowered to the number of examples of the rarest class that has two or more (without
            groups), or to the number of groups. A class with one example (one group) is never held out without
            groups, because nothing would be left to learn it from.
        groups: (n,) of any kind that compares; rows that share one are held out together.
        seed: of the shuffle.

    All are -1 where no cross-validation is possible: no class has two examples, or there is one group only.
    """
    y = np.asarray(y)
    rng = np.random.default_rng(seed)
    fold = np.full(len(y), -1, dtype=np.int64)
    if groups is not None:
        names, member = np.unique(np.asarray(groups), return_inverse=True)
        n_folds = min(folds, len(names))
        if n_folds < 2:
            return fold
        # the groups in falling order of size go where they leave the classes most even (as scikit-learn's
        # StratifiedGroupKFold does), one vector operation a group
        counts = np.zeros((len(names), int(y.max()) + 1))
        np.add.at(counts, (member, y), 1)
        rarity = 1 / np.maximum(counts.sum(0), 1)
        filled = np.zeros((n_folds, counts.shape[1]))
        home = np.zeros(len(names), dtype=np.int64)
        order = rng.permutation(len(names))
        for g in order[np.argsort(-counts[order].std(1), kind="stable")]:
            # adding counts to fold f raises the sum of squares by 2 * filled_f . counts + const
            crowding = ((2 * filled + counts[g]) * counts[g] * rarity**2).sum(1)
            best = np.flatnonzero(crowding <= crowding.min() + 1e-12)
            home[g] = best[np.argmin(filled[best].sum(1))]
            filled[home[g]] += counts[g]
        return home[member]
    size = np.bincount(y)
    if not (size >= 2).any():
        return fold
    n_folds = max(2, min(folds, int(size[size >= 2].min())))
    turn = 0
    for k in np.flatnonzero(size >= 2):
        rows = rng.permutation(np.flatnonzero(y == k))
        fold[rows] = (np.arange(len(rows)) + turn) % n_folds
        turn += len(rows)
    return fold


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
