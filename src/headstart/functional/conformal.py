"""Split conformal prediction: sets of classes that hold the true one as often as was asked for.

Where the held-out images and the new one are exchangeable, a set ``{k : s_k <= q}`` with ``q`` the
``ceil((n + 1) c)``-th smallest held-out score holds the true class with probability at least c, and at most
``c + 1 / (n + 1)`` where no two scores are equal (Vovk et al. 2005; Lei et al. 2018).
"""

from __future__ import annotations

import math

import numpy as np

METHODS = ("lac", "aps")


def rank_of(n: int, coverage: float) -> int:
    """``ceil((n + 1) coverage)``: which of n scores, from 1, is the threshold; n + 1 where n are too few.

    >>> rank_of(19, 0.9)
    18
    """
    return math.ceil((n + 1) * coverage - 1e-9)  # 10 * 0.9 may be 9.000000000000002


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The finite-sample quantile of held-out scores (n,); infinite where n are too few for this coverage.

    Args:
        coverage: in (0, 1).
    """
    k = rank_of(len(scores), coverage)
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else math.inf


def class_scores(probabilities: np.ndarray, method: str, draws: np.ndarray | None = None) -> np.ndarray:
    """How ill each class fits each image, float64 (n, K); the smaller the better.

    - ``"lac"`` (Sadinle, Lei and Wasserman 2019): ``1 - p_k``; the smallest sets on average.
    - ``"aps"`` (Romano, Sesia and Candes 2020): ``sum of the p_j above p_k + u p_k``; sets that grow with the
      difficulty of the image. u is a draw from [0, 1) for each image; classes of equal probability stand in order.

    Args:
        probabilities: (n, K), rows that sum to 1.
        draws: (n,), needed by ``"aps"``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if method == "lac":
        return 1 - p
    if method != "aps" or draws is None:
        raise ValueError(f"no conformal scores by {method!r} with draws {draws!r}")
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    above = np.cumsum(ranked, 1) - ranked
    found = np.empty_like(p)
    np.put_along_axis(found, order, above + np.asarray(draws)[:, None] * ranked, 1)
    return found


def true_scores(
    probabilities: np.ndarray, labels: np.ndarray, method: str, draws: np.ndarray | None = None
) -> np.ndarray:
    """The scores (n,) of the true classes: what :func:`threshold` is taken of."""
    return class_scores(probabilities, method, draws)[np.arange(len(labels)), labels]


def prediction_sets(
    probabilities: np.ndarray, threshold: float, method: str, draws: np.ndarray | None = None
) -> np.ndarray:
    """bool (n, K): which classes are in the set of each image; a set may be empty.

    Where the threshold is infinite every class is in.
    """
    return class_scores(probabilities, method, draws) <= threshold


def draws_of(digests: np.ndarray) -> np.ndarray:
    """One number in [0, 1) for each content hash (hexadecimal): the same image has the same draw wherever it comes from."""
    return np.array([int(str(digest)[:13], 16) / 16**13 for digest in digests])
