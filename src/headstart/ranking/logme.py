"""LogME: how likely the labels are under a Bayesian linear model of the features."""

from __future__ import annotations

import numpy as np

from headstart.errors import DataError, sentence

LIMIT = 1e12
"""Largest ratio of signal to noise, times the largest eigenvalue: where the evidence has no maximum, it stops there."""


def log_evidence(eigenvalues: np.ndarray, z2: np.ndarray, rest: np.ndarray, n: int) -> np.ndarray:
    """max over alpha, beta of log p(y | F) for K targets, float64 (K,).

    With w ~ N(0, 1/alpha I) and y = F w + e, e ~ N(0, 1/beta I), y has covariance (I + t F F') / beta, t = beta / alpha.
    For a given t the best beta is n / q(t), q(t) = sum_i z_i^2 / (1 + t s_i) + rest, so that one number is searched for::

        log p = -1/2 [ n log(2 pi) + n + n log(q(t) / n) + sum_i log(1 + t s_i) ]

    Args:
        eigenvalues: s (r,), the positive eigenvalues of F F'.
        z2: (r, K): squared coordinates of each target along the eigenvectors.
        rest: (K,): squared length of each target outside them.
        n: rows of F.
    """
    tiny = np.finfo(np.float64).tiny

    def value(log_t: np.ndarray) -> np.ndarray:
        ts = 1 + np.exp(log_t) * eigenvalues[:, None]
        q = np.maximum((z2 / ts).sum(0) + rest, tiny)
        return -0.5 * (n * np.log(2 * np.pi) + n + n * np.log(q / n) + np.log(ts).sum(0))

    top = np.log(eigenvalues.max())
    grid = np.linspace(np.log(1e-8) - top, np.log(LIMIT) - top, 121)
    values = np.array([value(np.full(z2.shape[1], g)) for g in grid])
    best = values.argmax(0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(45):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = value(a) >= value(b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    return np.maximum(value((low + high) / 2), values.max(0))


def logme(X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Log maximum evidence (You et al. 2021, "LogME: practical assessment of pre-trained models for transfer learning",
    eq. 2), divided by n and averaged over the one-hot columns of the classes seen.

    The paper climbs to a fixed point of alpha and beta; here beta is eliminated and the one number that is left is
    searched on a grid and then by golden section, which also finds the better of two maxima. Higher is better; values of
    different sources on the same images compare, values on different images do not.

    Args:
        X: (n, d) features, any float type; not standardised.
        y: int (n,), in 0..n_classes-1.
        n_classes: K.

    Raises:
        DataError: lengths that differ, no rows, or features that are all zero or not finite.
    """
    from scipy.linalg import eigh

    F, y = np.asarray(X, dtype=np.float64), np.asarray(y)
    n = len(F)
    if n == 0 or len(y) != n:
        raise DataError(sentence("features and labels differ in length or are empty", got=(n, len(y))))
    if not np.isfinite(F).all() or not F.any():
        raise DataError(sentence("features that are all zero or not finite", got=f"{n} x {F.shape[1]}"))
    targets = np.eye(n_classes)[y][:, np.bincount(y, minlength=n_classes) > 0]
    small = n <= F.shape[1]
    s, vectors = eigh(F @ F.T if small else F.T @ F, driver="evd")
    keep = s > s[-1] * 1e-13
    s, vectors = s[keep], vectors[:, keep]
    z = vectors.T @ targets if small else (vectors.T @ (F.T @ targets)) / np.sqrt(s)[:, None]
    rest = np.maximum((targets**2).sum(0) - (z**2).sum(0), 0)
    return float(log_evidence(s, z**2, rest, n).mean() / n)
