"""Manifold embedded distribution alignment: J. Wang, W. Feng, Y. Chen, H. Yu, M. Huang, P. S. Yu, *Visual Domain Adaptation
with Manifold Embedded Distribution Alignment*, ACM Multimedia 2018."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import solve
from sklearn.base import ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.adapters.balanced_distribution import check_balance, estimated_balance
from headstart.adapters.base import FLOATS, TwoDomains, finite
from headstart.adapters.geodesic_flow import GeodesicFlowKernel
from headstart.adapters.joint_distribution import frobenius_one, unit_rows
from headstart.errors import RecipeError, sentence
from headstart.functional.components import class_mmd_vectors, mmd_vector
from headstart.functional.kernels import kernel_matrix


class MEDA(ClassifierMixin, TwoDomains):
    """A kernel classifier on geodesic-flow features that fits the source, aligns both distributions and is smooth on the graph.

    alpha = ((A + lam M + rho L) K + eta I)^-1 A Y, eq. (16), with A marking source rows, M the balanced MMD matrix of
    pseudo-labels and L the normalised Laplacian of a cosine neighbour graph; ``n_iter`` times.

    Args:
        n_components: of the geodesic flow kernel. Default 20, or what the domains have.
        lam, rho, eta: weights of alignment, graph and ridge. Defaults 10, 1, 0.1, the paper's.
        n_neighbors: p of the graph. Default 10.
        n_iter: T. Default 10.
        balance: the paper's mu in [0, 1], or ``"auto"`` (default), by proxy A-distances.

    Attributes:
        classes_, balance_, pseudo_labels_ (n_t,).
    """

    def __init__(
        self,
        n_components: int | None = None,
        lam: float = 10.0,
        rho: float = 1.0,
        eta: float = 0.1,
        n_neighbors: int = 10,
        n_iter: int = 10,
        balance: float | str = "auto",
    ) -> None:
        self.n_components = n_components
        self.lam = lam
        self.rho = rho
        self.eta = eta
        self.n_neighbors = n_neighbors
        self.n_iter = n_iter
        self.balance = balance

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        check_balance(self.balance)
        if not (self.eta > 0 and self.lam >= 0 and self.rho >= 0) or self.n_iter < 1 or self.n_neighbors < 1:
            got = (
                f"lam={self.lam}, rho={self.rho}, eta={self.eta}, n_iter={self.n_iter}, n_neighbors={self.n_neighbors}"
            )
            raise RecipeError(
                sentence(
                    "MEDA cannot use this", got=got, allowed="eta above 0, lam and rho 0 or more, counts 1 or more"
                )
            )
        Xs, _, truth, Xt = self._classified(X, y, X_target)
        k, n_s = len(self.classes_), len(Xs)
        most = min(20, len(Xs), len(Xt), Xs.shape[1]) if self.n_components is None else self.n_components
        self._flow = GeodesicFlowKernel(most).fit(Xs, X_target=Xt)
        rows = unit_rows(np.concatenate([self._flow._source_side(Xs), self._flow._target_side(Xt)]).astype(np.float64))
        self._fit_rows, n = rows, len(rows)
        self._gamma = 0.5 / max(float(np.linalg.norm(rows, axis=1).mean()), 1e-300) ** 2
        K = kernel_matrix("rbf", rows, gamma=self._gamma)
        smooth = self.rho * normalised_laplacian(rows, min(self.n_neighbors, n - 1)) @ K
        smooth[:n_s] += K[:n_s]
        smooth[np.diag_indices(n)] += self.eta
        goal = np.vstack([np.eye(k)[truth], np.zeros((len(Xt), k))])
        pseudo = KNeighborsClassifier(1, algorithm="brute").fit(rows[:n_s], truth).predict(rows[n_s:])
        for _ in range(self.n_iter):
            if self.balance == "auto":
                self.balance_ = estimated_balance(rows[:n_s], truth, rows[n_s:], pseudo)
            else:
                self.balance_ = float(self.balance)
            marginal = np.sqrt(k * (1 - self.balance_)) * mmd_vector(n_s, len(Xt))[:, None]
            conditional = np.sqrt(self.balance_) * class_mmd_vectors(truth, pseudo, np.arange(k))
            E = frobenius_one(np.column_stack([marginal, conditional]))
            self._alpha = solve(smooth + self.lam * E @ (E.T @ K), goal, check_finite=False)
            said = (K[n_s:] @ self._alpha).argmax(1)
            if (said == pseudo).all():
                break
            pseudo = said
        self.pseudo_labels_ = self.classes_[said]
        return self

    def decision_scores(self, X: Any) -> np.ndarray:
        """(n, C) scores of target rows X (n, d)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite=False)
        finite(X, "X")
        rows = unit_rows(self._flow._target_side(X).astype(np.float64))
        return kernel_matrix("rbf", rows, self._fit_rows, self._gamma) @ self._alpha

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,) of target rows."""
        check_is_fitted(self)
        return self.classes_[self.decision_scores(X).argmax(1)]


def normalised_laplacian(rows: np.ndarray, p: int) -> np.ndarray:
    """I - D^-1/2 W D^-1/2 (n, n), W the cosine similarity of unit rows where either is among the other's p nearest."""
    from sklearn.neighbors import kneighbors_graph

    near = (
        kneighbors_graph(rows, p, mode="connectivity").maximum(kneighbors_graph(rows, p, mode="connectivity").T).tocoo()
    )
    W = np.zeros((len(rows), len(rows)))
    W[near.row, near.col] = np.maximum(np.einsum("ij,ij->i", rows[near.row], rows[near.col]), 0)
    root = 1 / np.sqrt(np.maximum(W.sum(1), 1e-12))
    return np.eye(len(rows)) - root[:, None] * W * root
