"""Entropic optimal transport in one matrix of memory (M. Cuturi, *Sinkhorn Distances*, NIPS 2013)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from headstart.functional.kernels import squared_distances


@dataclass(frozen=True)
class EntropicPlan:
    """The plan diag(u) K diag(v), (n, m), in three pieces.

    Attributes:
        K: exp(-(C - f - g) / reg), (n, m).
        u, v: (n,), (m,).
        error: Euclidean norm of (column sums - b) at the end.
        iterations: done.
    """

    K: np.ndarray
    u: np.ndarray
    v: np.ndarray
    error: float
    iterations: int

    def dense(self) -> np.ndarray:
        return self.u[:, None] * self.K * self.v

    def barycentres(self, Xt: np.ndarray) -> np.ndarray:
        """For each source row the mean of the target rows (m, d) that its mass goes to, (n, d)."""
        v = self.v.astype(self.K.dtype)
        weight = self.K @ v
        return (self.K @ (v[:, None] * Xt.astype(self.K.dtype, copy=False))) / weight[:, None]


def normalised_cost(Xs: np.ndarray, Xt: np.ndarray, norm: str | None) -> np.ndarray:
    """Squared distances (n, m), divided by their maximum or median where asked, in place."""
    cost = squared_distances(Xs, Xt)
    value = 1.0 if norm is None else float(cost.max() if norm == "max" else np.median(cost))
    if value > 0 and value != 1:
        cost /= value
    return cost


def sinkhorn(
    cost: np.ndarray, reg: float, a: np.ndarray, b: np.ndarray, max_iter: int = 1000, tol: float = 1e-9
) -> EntropicPlan:
    """min <P, C> + reg sum P log P over plans with row sums a and column sums b. ``cost`` is overwritten.

    Plain scaling where exp(-C / reg) keeps mass in every row and column. Where it underflows, potentials from the
    logarithmic domain, computed in blocks of rows, are absorbed first; nothing larger than C is ever held.

    Args:
        cost: (n, m), float32 or float64; becomes K.
        reg: > 0, in the units of the cost.
        tol: on the Euclidean norm of the marginal's error, looked at every 10 iterations.
    """
    low = cost.min(1, keepdims=True)  # a shift of rows changes the scaling u alone, and keeps every row alive
    cost -= low
    if (cost.min(0) / reg).max() > 500 if cost.dtype == np.float64 else (cost.min(0) / reg).max() > 60:
        f, g = log_potentials(cost, reg, a, b)
        cost -= f[:, None].astype(cost.dtype)
        cost -= g.astype(cost.dtype)
    cost /= -reg
    K = np.exp(cost, out=cost)
    small = K.dtype
    v, error, iteration = np.ones(len(b)), np.inf, 0
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for iteration in range(1, max_iter + 1):
            u = a / (K @ v.astype(small)).astype(np.float64)
            column = (u.astype(small) @ K).astype(np.float64)
            if iteration % 10 == 1 and iteration > 1:
                error = float(np.linalg.norm(v * column - b))
                if error < tol:
                    break
            v = b / column
            if not (np.isfinite(u).all() and np.isfinite(v).all()):
                raise FloatingPointError("Sinkhorn's scalings left the range of floats")
    if error >= tol:
        error = float(np.linalg.norm(v * (u.astype(small) @ K) - b))
    if error > max(tol * 1e3, 1e-4):
        warnings.warn(
            f"Sinkhorn stopped after {iteration} iterations with a marginal error of {error:.1e}", stacklevel=3
        )
    return EntropicPlan(K, u, v, error, iteration)


def log_potentials(
    cost: np.ndarray, reg: float, a: np.ndarray, b: np.ndarray, max_iter: int = 100, rows: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials f (n,), g (m,) by a hundred rounds in the logarithmic domain at most, in blocks of rows."""
    f, g = np.zeros(len(a)), np.zeros(len(b))
    for _ in range(max_iter):
        old = g
        gather = np.full(len(b), -np.inf)
        for start in range(0, len(a), rows):
            part = slice(start, start + rows)
            block = -cost[part] / reg
            f[part] = reg * (np.log(a[part]) - logsumexp(block + g / reg, axis=1))
            gather = np.logaddexp(gather, logsumexp(block + f[part, None] / reg, axis=0))
        g = reg * (np.log(b) - gather)
        if np.abs(g - old).max() < 10 * reg:
            break
    return f, g
