"""A density ratio from a classifier of the domain: S. Bickel, M. Brückner, T. Scheffer, *Discriminative Learning Under
Covariate Shift*, JMLR 10, 2009."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from headstart.adapters.weights import ImportanceWeights
from headstart.errors import RecipeError, sentence
from headstart.functional.blocks import row_blocks


class LogisticDensityRatio(ImportanceWeights):
    """w(x) = (n_s / n_t) P(target | x) / P(source | x) by logistic regression on standardised columns.

    Rows are read in blocks, so that memory maps larger than memory can be fitted.

    Args:
        C: > 0, inverse strength of the penalty ||beta||^2 / 2 against the mean loss times the number of rows, as in
            scikit-learn. Default 1.
        max_iter: of L-BFGS. Default 200.
        clip: cut weights above it. Default not.

    Attributes:
        coef_ (d,), intercept_: of log w(x) on the columns as they are; log(n_s / n_t) included.
        n_iter_.
    """

    def __init__(self, C: float = 1.0, max_iter: int = 200, clip: float | None = None) -> None:
        self.C = C
        self.max_iter = max_iter
        self.clip = clip

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        if not self.C > 0:
            raise RecipeError(
                sentence("C of LogisticDensityRatio is out of range", got=self.C, allowed="above 0", fix="C=1.0")
            )
        n, d = len(Xs) + len(Xt), Xs.shape[1]
        mean, scale = pooled_moments([Xs, Xt])

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            beta, loss = theta[:d] / scale, 0.0
            gradient = np.zeros(d + 1)
            small = beta.astype(Xs.dtype)
            offset = theta[d] - mean @ beta
            for X, sign in ((Xs, -1.0), (Xt, 1.0)):
                for _, block in row_blocks(X):
                    margin = sign * (block @ small + offset)
                    loss += float(np.logaddexp(0, -margin).sum(dtype=np.float64))
                    pull = (-sign * expit(-margin)).astype(Xs.dtype)
                    gradient[:d] += pull @ block
                    gradient[d] += pull.sum(dtype=np.float64)
            gradient[:d] = (gradient[:d] - mean * gradient[d]) / scale
            loss = loss / n + theta[:d] @ theta[:d] / (2 * self.C * n)
            gradient /= n
            gradient[:d] += theta[:d] / (self.C * n)
            return loss, gradient

        start = np.zeros(d + 1)
        start[d] = np.log(len(Xt) / len(Xs))
        options = {
            "maxiter": self.max_iter,
            "ftol": 1e-12,
            "gtol": 1e-8 if Xs.dtype == np.float64 else 1e-6,
            "maxcor": 20,
        }
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        self.n_iter_ = int(found.nit)
        self.coef_ = found.x[:d] / scale
        self.intercept_ = float(found.x[d] - mean @ self.coef_ + np.log(len(Xs) / len(Xt)))
        return self._ratio_at(Xs)

    def _ratio_at(self, X: np.ndarray) -> np.ndarray:
        out = np.empty(len(X))
        coef = self.coef_.astype(X.dtype)
        for part, block in row_blocks(X):
            out[part] = np.exp(np.minimum(block @ coef + self.intercept_, 700))
        return out


def pooled_moments(domains: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1 where 0) of the columns of all rows together, float64 (d,), from blocks."""
    d = domains[0].shape[1]
    origin = domains[0][0].astype(np.float64)
    first, second, n = np.zeros(d), np.zeros(d), 0
    for X in domains:
        for _, block in row_blocks(X):
            rows = block - origin.astype(X.dtype)
            first += rows.sum(0, dtype=np.float64)
            second += np.einsum("ij,ij->j", rows, rows)
            n += len(block)
    mean = first / n
    deviation = np.sqrt(np.maximum(second / n - mean**2, 0))
    return origin + mean, np.where(deviation > 1e-9 * np.maximum(1, np.abs(origin)), deviation, 1.0)
