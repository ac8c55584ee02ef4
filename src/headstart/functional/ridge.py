"""Ridge regression, its strength chosen by cross-validation from one decomposition a fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headstart.functional.logistic import eigh, rotate, spread

STRENGTHS = tuple(float(a) for a in np.logspace(-6, 1, 15))
"""Default strengths, in units of n * d: the eigenvalues of the standardised X'X sum to n * d."""


@dataclass(frozen=True)
class Ridge:
    """A solved linear regression ``X @ weight + bias`` on the features as they came.

    Attributes:
        weight: float64 (d,). bias: float.
        strength: the chosen alpha of ``||y - X w - b||^2 + alpha ||w||^2`` on standardised features.
        strengths: those tried, rising.
        errors: float64, mean squared held-out error of each strength; nan where nothing could be held out.
        oof: float64 (n,), what each row was predicted by the fold that did not see it, at the chosen strength; nan for rows never held out.
    """

    weight: np.ndarray
    bias: float
    strength: float
    strengths: tuple[float, ...]
    errors: np.ndarray
    oof: np.ndarray


def fit_ridge(X: np.ndarray, y: np.ndarray, fold: np.ndarray, strengths: tuple[float, ...] | None = None) -> Ridge:
    """Hoerl and Kennard's ridge (1970) with an intercept that is not penalised.

    Columns are divided by their standard deviation over all rows (held-out ones included; it sees no labels). With several
    strengths the one with the lowest held-out squared error is taken; where nothing can be held out, the middle one.

    Args:
        X: float (n, d). y: float (n,).
        fold: int (n,), which fold holds each row out, -1 for never (:func:`headstart.training.folds.assign_folds`).
        strengths: alphas > 0; default :data:`STRENGTHS` times n * d.
    """
    n, d = X.shape
    tries = tuple(sorted(strengths)) if strengths else tuple(a * n * d for a in STRENGTHS)
    x = torch.from_numpy(np.ascontiguousarray(X)).double()
    design = rotate(x, spread(x))
    rows, target = design.rows[:, :-1], torch.from_numpy(np.asarray(y, dtype=np.float64))
    alphas = torch.tensor(tries, dtype=torch.float64)
    found = np.full((len(tries), n), np.nan)
    for f in range(int(fold.max()) + 1):
        held = torch.from_numpy(fold == f)
        w, b = _solve(rows[~held], target[~held], alphas)
        found[:, fold == f] = (rows[held] @ w + b).T.numpy()
    seen = np.isfinite(found[0])
    errors = np.full(len(tries), np.nan)
    best = (len(tries) - 1) // 2
    if seen.any():
        errors = ((found[:, seen] - np.asarray(y)[seen]) ** 2).mean(1)
        best = int(np.argmin(errors))
    w, b = _solve(rows, target, alphas[best : best + 1])
    weight = design.back @ w[:, 0]
    bias = float(b[0] - design.mean @ weight)
    return Ridge(weight.numpy(), bias, tries[best], tries, errors, found[best])


def _solve(X: torch.Tensor, y: torch.Tensor, alphas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients (r, A) and intercepts (A,) of all strengths from one eigendecomposition."""
    mean, middle = X.mean(0), y.mean()
    centred = X - mean
    values, axes = eigh(centred.T @ centred)
    part = axes.T @ (centred.T @ (y - middle))
    w = axes @ (part[:, None] / (values.clamp_min(0)[:, None] + alphas))
    return w, middle - mean @ w
