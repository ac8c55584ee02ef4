"""How far two domains are apart, in five ways, each with a test of significance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.utils.validation import check_array

from headstart.adapters.base import FLOATS, finite
from headstart.errors import ArrayError, RecipeError, sentence
from headstart.functional.covariance import moments
from headstart.functional.domain_error import held_out_correct
from headstart.functional.kernels import kernel_matrix, median_gamma, squared_distances

NAMES = ("mmd", "energy", "sliced_wasserstein", "coral", "proxy_a")


@dataclass(frozen=True)
class Distance:
    """A distance between two domains.

    Attributes:
        value: in the units that the function's docstring gives.
        p_value: chance of a distance as large between two samples of one domain; ``None`` where no test was asked for.
        null95: the 95 % quantile of the distance under permuted domains, or ``None``.
    """

    value: float
    p_value: float | None
    null95: float | None = None


def checked(X: Any, X_target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both domains as finite arrays of one width.

    Raises:
        ArrayError: other widths, an empty domain, NaN or infinity.
    """
    for rows, name in ((X, "X"), (X_target, "X_target")):
        if len(np.shape(rows)) == 2 and np.shape(rows)[0] == 0:
            raise ArrayError(sentence("a domain has no rows", where=name))
    Xs, Xt = (check_array(rows, dtype=FLOATS, ensure_all_finite=False) for rows in (X, X_target))
    finite(Xs, "the source X")
    finite(Xt, "X_target")
    if Xs.shape[1] != Xt.shape[1]:
        raise ArrayError(sentence("the two domains have other widths", got=f"{Xs.shape[1]} and {Xt.shape[1]} columns"))
    return Xs, Xt


def permuted_signs(n_s: int, n_t: int, permutations: int, seed: int | None) -> np.ndarray:
    """(n_s + n_t, permutations) of +1/n_s and -1/n_t in random order."""
    rng = np.random.default_rng(seed)
    signs = np.r_[np.full(n_s, 1 / n_s), np.full(n_t, -1 / n_t)]
    return (
        np.column_stack([rng.permutation(signs) for _ in range(permutations)])
        if permutations
        else np.empty((n_s + n_t, 0))
    )


def tested(value: float, null: np.ndarray) -> Distance:
    """p = (1 + how many null values are as large) / (1 + how many there are): never 0 (Phipson and Smyth 2010)."""
    if not len(null):
        return Distance(value, None)
    p = (1 + int((null >= value - 1e-12 * abs(value)).sum())) / (1 + len(null))
    return Distance(value, p, float(np.quantile(null, 0.95)))


def quadratic(K: np.ndarray, n_s: int, n_t: int, permutations: int, seed: int | None) -> Distance:
    """e^T K e with e the signed weights of the domains, and its permutation test: all permutations in one matrix product."""
    e = np.r_[np.full(n_s, 1 / n_s), np.full(n_t, -1 / n_t)]
    E = permuted_signs(n_s, n_t, permutations, seed)
    return tested(float(e @ K @ e), np.einsum("ij,ij->j", E, K @ E))


def mmd(
    X: Any, X_target: Any, gamma: float | None = None, permutations: int = 200, random_state: int | None = 0
) -> Distance:
    """Squared maximum mean discrepancy with an RBF kernel (A. Gretton et al., JMLR 13, 2012, eq. 5; biased, so never negative).

    Args:
        gamma: default the median heuristic on the pooled rows.
        permutations: of the test; 0 for none.
    """
    Xs, Xt = checked(X, X_target)
    rows = np.concatenate([Xs, Xt])
    K = kernel_matrix("rbf", rows, gamma=median_gamma(Xs, Xt) if gamma is None else gamma)
    return quadratic(K.astype(np.float64, copy=False), len(Xs), len(Xt), permutations, random_state)


def energy(X: Any, X_target: Any, permutations: int = 200, random_state: int | None = 0) -> Distance:
    """Energy distance 2 E||x - z|| - E||x - x'|| - E||z - z'|| (G. Székely, M. Rizzo 2013; means over all pairs), in units of X."""
    Xs, Xt = checked(X, X_target)
    D = np.sqrt(squared_distances(np.concatenate([Xs, Xt]).astype(np.float64, copy=False)))
    return quadratic(-D, len(Xs), len(Xt), permutations, random_state)


def sliced_wasserstein(
    X: Any, X_target: Any, n_projections: int = 100, permutations: int = 200, random_state: int | None = 0
) -> Distance:
    """Root mean squared 2-Wasserstein distance of one-dimensional projections (N. Bonneel et al. 2015), in units of X."""
    Xs, Xt = checked(X, X_target)
    rng = np.random.default_rng(random_state)
    directions = rng.standard_normal((Xs.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    pooled = np.concatenate([Xs, Xt]).astype(np.float64, copy=False) @ directions
    n_s, n_t = len(Xs), len(Xt)
    order = pooled.argsort(0)
    ranked = np.take_along_axis(pooled, order, 0)

    def value(is_source: np.ndarray) -> float:
        mask = is_source[order]
        total = 0.0
        for j in range(n_projections):
            total += wasserstein_sorted(ranked[mask[:, j], j], ranked[~mask[:, j], j])
        return float(np.sqrt(total / n_projections))

    mine = np.r_[np.ones(n_s, bool), np.zeros(n_t, bool)]
    return tested(value(mine), np.array([value(rng.permutation(mine)) for _ in range(permutations)]))


def wasserstein_sorted(a: np.ndarray, b: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two sorted samples (n,), (m,): the integral over both quantile functions."""
    n, m = len(a), len(b)
    if n == m:
        return float(((a - b) ** 2).mean())
    cuts = np.union1d(np.arange(1, n + 1) / n, np.arange(1, m + 1) / m)
    width = np.diff(np.r_[0.0, cuts])
    middle = cuts - width / 2
    i, j = np.minimum((middle * n).astype(int), n - 1), np.minimum((middle * m).astype(int), m - 1)
    return float(width @ (a[i] - b[j]) ** 2)


def coral_distance(X: Any, X_target: Any, permutations: int = 200, random_state: int | None = 0) -> Distance:
    """||C_s - C_t||_F^2 / (4 d^2) (B. Sun, K. Saenko, *Deep CORAL*, 2016, eq. 1)."""
    Xs, Xt = checked(X, X_target)
    rows = np.concatenate([Xs, Xt]).astype(np.float64, copy=False)
    n_s, d = len(Xs), Xs.shape[1]
    # the mean of a domain is not part of this distance, and must not be of its test
    rows = np.concatenate([rows[:n_s] - rows[:n_s].mean(0), rows[n_s:] - rows[n_s:].mean(0)])

    def value(of: np.ndarray) -> float:
        difference = moments(rows[of[:n_s]])[1] - moments(rows[of[n_s:]])[1]
        return float((difference**2).sum() / (4 * d * d))

    rng = np.random.default_rng(random_state)
    null = [value(rng.permutation(len(rows))) for _ in range(permutations)]
    return tested(value(np.arange(len(rows))), np.array(null))


def proxy_a(X: Any, X_target: Any, folds: int = 5, test: bool = True, random_state: int | None = 0) -> Distance:
    """Proxy A-distance 2 (1 - 2 error) of a linear domain classifier on held-out rows (S. Ben-David et al., NIPS 2007): 0 to 2.

    The error is the mean of both domains' errors. The p-value is a binomial test of the held-out decisions of the smaller
    domain and as many of the larger one against a coin; decisions of one fold share a classifier, so it is approximate.
    """
    Xs, Xt = checked(X, X_target)
    folds = min(folds, len(Xs), len(Xt))
    if folds < 2:
        return Distance(0.0, None)
    right = held_out_correct(Xs, Xt, folds, seed=random_state or 0)
    per_domain = right[: len(Xs)], right[len(Xs) :]
    error = 1 - (per_domain[0].mean() + per_domain[1].mean()) / 2
    if not test:
        return Distance(2 * (1 - 2 * error), None)
    n = 2 * min(len(Xs), len(Xt))
    p = binomtest(round((1 - error) * n), n, 0.5, alternative="greater").pvalue
    null95 = 2 * (1 - 2 * (0.5 - 1.645 * 0.5 / np.sqrt(n)))
    return Distance(2 * (1 - 2 * error), float(p), float(null95))


def domain_distances(
    X: Any,
    X_target: Any,
    *,
    permutations: int = 200,
    max_rows: int = 2000,
    random_state: int | None = 0,
    names: Any = NAMES,
) -> dict[str, Distance]:
    """All five distances between the source's rows X (n_s, d) and X_target (n_t, d), each with a p-value.

    Args:
        permutations: of each test; 0 for values alone. Default 200.
        max_rows: rows of a domain, drawn at random beyond. Default 2,000.
        names: which. Default all of ``NAMES``.

    Raises:
        RecipeError: an unknown name.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise RecipeError(sentence("unknown distance", got=unknown[0], allowed=NAMES))
    Xs, Xt = checked(X, X_target)
    rng = np.random.default_rng(random_state)
    Xs, Xt = (
        rows if len(rows) <= max_rows else rows[rng.choice(len(rows), max_rows, replace=False)] for rows in (Xs, Xt)
    )
    options: dict[str, Any] = {"permutations": permutations, "random_state": random_state}
    calls: dict[str, Callable[[], Distance]] = {
        "mmd": lambda: mmd(Xs, Xt, **options),
        "energy": lambda: energy(Xs, Xt, **options),
        "sliced_wasserstein": lambda: sliced_wasserstein(Xs, Xt, 50, **options),
        "coral": lambda: coral_distance(Xs, Xt, **options),
        "proxy_a": lambda: proxy_a(Xs, Xt, test=permutations > 0, random_state=random_state),
    }
    return {name: calls[name]() for name in names}
