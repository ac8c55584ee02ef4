"""Are two images of one identity? Equal error rate, true accepts at a false accept rate; is the right one among the nearest?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_PAIRS = 500_000
"""Pairs of each kind at most; more are sampled, evenly at random."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of different images, by rising similarity.

    Attributes:
        score: float64 (p,), rising cosines.
        same: bool (p,), of one identity.
        first, second: int (p,), the identities.
        all: genuine and impostor pairs there are; ``len(score)`` of them are here.
    """

    score: np.ndarray
    same: np.ndarray
    first: np.ndarray
    second: np.ndarray
    all: tuple[int, int]


def make_pairs(embeddings: np.ndarray, labels: np.ndarray, *, most: int = MOST_PAIRS, seed: int = 0) -> Pairs:
    """All pairs i < j of embeddings (n, D) of length 1 with identities (n,)."""
    i, j = np.triu_indices(len(labels), 1)
    same = labels[i] == labels[j]
    every = int(same.sum()), int((~same).sum())
    rng = np.random.default_rng(seed)
    keep = np.concatenate(
        [
            where if len(where) <= most else rng.choice(where, most, replace=False)
            for where in (np.flatnonzero(same), np.flatnonzero(~same))
        ]
    )
    i, j, same = i[keep], j[keep], same[keep]
    score = np.einsum("pd,pd->p", embeddings[i].astype(np.float64), embeddings[j].astype(np.float64))
    order = np.argsort(score, kind="stable")
    return Pairs(score[order], same[order], labels[i][order], labels[j][order], every)


def rates(pairs: Pairs, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds (t,) at which a pair is taken for the same from there on, false accept and false reject rates there.

    The last threshold is above every score: nothing is accepted.
    """
    w = np.ones(len(pairs.score)) if weights is None else weights
    starts = np.flatnonzero(np.append(True, pairs.score[1:] > pairs.score[:-1]))
    below_same = np.concatenate([[0.0], np.cumsum(w * pairs.same)])
    below_other = np.concatenate([[0.0], np.cumsum(w * ~pairs.same)])
    at = np.append(starts, len(pairs.score))
    with np.errstate(invalid="ignore", divide="ignore"):
        rejected = below_same[at] / below_same[-1]
        accepted = 1 - below_other[at] / below_other[-1]
    return np.append(pairs.score[starts], np.inf), accepted, rejected


def equal_error_rate(pairs: Pairs, weights: np.ndarray | None = None) -> tuple[float, float]:
    """``(rate, threshold)`` where false accepts and false rejects are nearest to each other; the rate is their mean there."""
    thresholds, accepted, rejected = rates(pairs, weights)
    gap = np.abs(accepted - rejected)
    if not np.isfinite(gap).any():
        return float("nan"), float("nan")
    best = int(np.nanargmin(gap))
    return float((accepted[best] + rejected[best]) / 2), float(thresholds[best])


def true_accepts(pairs: Pairs, far: float, weights: np.ndarray | None = None) -> float:
    """The share of genuine pairs accepted at the lowest threshold whose false accept rate is at most ``far``."""
    _, accepted, rejected = rates(pairs, weights)
    # rounding: 1 - 90/100 is a little above 0.1
    allowed = accepted <= far + 1e-12
    return float(1 - rejected[np.argmax(allowed)]) if np.isfinite(accepted).any() else float("nan")


def found_among_nearest(embeddings: np.ndarray, labels: np.ndarray, ks: tuple[int, ...]) -> dict[int, np.ndarray]:
    """For each k float (n,): 1 where one of the k nearest other images has the identity, else 0; nan where no other image has it."""
    alone = np.array([(labels == label).sum() < 2 for label in labels])
    hits: dict[int, list[np.ndarray]] = {k: [] for k in ks}
    for start in range(0, len(labels), 512):
        similar = embeddings[start : start + 512] @ embeddings.T
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -np.inf
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, : max(ks)]
        right = labels[nearest] == labels[start : start + 512, None]
        for k in ks:
            hits[k].append(right[:, :k].any(1))
    return {k: np.where(alone, np.nan, np.concatenate(parts)) for k, parts in hits.items()}


def places_of_own(embeddings: np.ndarray, labels: np.ndarray, *, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Of each input as a query among all others, float (n,) each; nan where no other has its identity.

    The reciprocal rank ``1 / r`` of the first one of its identity (its mean is the MRR), and the normalised discounted cumulative gain::

        nDCG@k = sum_{i <= k} rel_i / log2(i + 1)  /  sum_{i <= min(k, R)} 1 / log2(i + 1)

    with rel_i = 1 where the i-th nearest has the identity, R of them in all (Jarvelin and Kekalainen 2002).
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    first, gained = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    for start in range(0, len(labels), 512):
        similar = embeddings[start : start + 512] @ embeddings.T
        rows = np.arange(start, start + len(similar))
        similar[np.arange(len(similar)), rows] = -np.inf
        order = np.argsort(-similar, axis=1, kind="stable")[:, :-1]  # itself is last
        own = labels[order] == labels[rows, None]
        count = own.sum(1)
        has = count > 0
        first[rows[has]] = 1 / (1 + own[has].argmax(1))
        top = own[:, :k]
        ideal = np.cumsum(np.pad(discount, (1, 0)))[np.minimum(count, k)]
        gained[rows[has]] = ((top * discount[: top.shape[1]]).sum(1)[has]) / ideal[has]
    return first, gained


def nearest_other(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which other image is the nearest to each, int (n,), and the cosine to it."""
    index, value = np.zeros(len(embeddings), dtype=np.int64), np.zeros(len(embeddings))
    for start in range(0, len(embeddings), 512):
        similar = embeddings[start : start + 512] @ embeddings.T
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -np.inf
        index[start : start + 512], value[start : start + 512] = similar.argmax(1), similar.max(1)
    return index, value
