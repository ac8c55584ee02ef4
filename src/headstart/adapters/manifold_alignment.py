"""Kernel manifold alignment: D. Tuia, G. Camps-Valls, *Kernel Manifold Alignment for Domain Adaptation*, PLoS ONE 11(2), 2016;
the linear form: C. Wang, S. Mahadevan, *Heterogeneous Domain Adaptation Using Manifold Alignment*, IJCAI 2011."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import block_diag, eigh
from scipy.sparse.csgraph import laplacian
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import Tags

from headstart.adapters.coupled_cca import KernelComponents
from headstart.adapters.other_columns import OtherColumns
from headstart.errors import ArrayError, RecipeError, sentence
from headstart.functional.covariance import signed
from headstart.functional.kernels import Kernel, median_gamma


class KernelManifoldAlignment(ClassNamePrefixFeaturesOutMixin, OtherColumns):
    """KEMA: a common space in which rows of one class meet, rows of other classes part, and neighbours stay neighbours.

    Minimises tr((V^T G^T (mu L + L_s) G V) (V^T G^T L_d G V)^-1), with L the domains' neighbour graphs, L_s the graph of equal
    and L_d that of different labels across and within the domains, and G their kernel principal components. A few labelled
    target rows are enough; the domains may have other columns.

    Args:
        n_components: default as many as classes.
        kernel, gamma: default ``"linear"``, the steadier one with few labels; ``"rbf"`` takes the median heuristic of each domain.
        mu: weight of the graphs in [0, 1]. Default 0.1.
        n_neighbors: default 10.
        rank: kernel components of a domain. Default 50.
        reg: ridge of both sides. Default 1e-3.
        max_rows: source rows used, drawn at random beyond. Default 2,000.
        random_state: default 0.

    Attributes:
        classes_, eigenvalues_ (k,), rising.

    ``fit(X, y, X_target=..., y_target=..., X_unlabeled=...)``: X_target are the labelled target rows; X_unlabeled, if given, more
    rows of the target, which shape its graph.
    """

    __metadata_request__fit = {"X_target": True, "y_target": True, "X_unlabeled": True}

    def __init__(
        self,
        n_components: int | None = None,
        kernel: Kernel = "linear",
        gamma: float | None = None,
        mu: float = 0.1,
        n_neighbors: int = 10,
        rank: int = 50,
        reg: float = 1e-3,
        max_rows: int = 2000,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.mu = mu
        self.n_neighbors = n_neighbors
        self.rank = rank
        self.reg = reg
        self.max_rows = max_rows
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(
        self, X: Any, y: Any = None, *, X_target: Any = None, y_target: Any = None, X_unlabeled: Any = None
    ) -> Self:
        """Align source rows X (n_s, d_s), y with labelled target rows X_target (n_t, d_t), y_target."""
        self._align(X, y, X_target, y_target, X_unlabeled)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, X_target: Any = None, y_target: Any = None, X_unlabeled: Any = None
    ) -> np.ndarray:
        """Fit, and return the source rows in the common space (n_s, k)."""
        Xs = self._align(X, y, X_target, y_target, X_unlabeled)
        return self._source_side(Xs).astype(Xs.dtype, copy=False)

    def _align(self, X: Any, y: Any, X_target: Any, y_target: Any, X_unlabeled: Any) -> np.ndarray:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: rows meet by their labels")
        if not (0 <= self.mu <= 1 and self.reg > 0 and self.rank >= 1 and self.n_neighbors >= 1):
            got = f"mu={self.mu}, reg={self.reg}, rank={self.rank}, n_neighbors={self.n_neighbors}"
            raise RecipeError(
                sentence("KernelManifoldAlignment cannot use this", got=got, allowed="mu in [0, 1], reg above 0")
            )
        Xs, ys, Xt = self._domains(X, y, X_target)
        assert ys is not None
        yt = ys if X_target is None else y_target
        if yt is None or len(yt) != len(Xt):
            got = "none" if yt is None else f"{len(yt)} labels for {len(Xt)} rows"
            raise ArrayError(
                sentence("KernelManifoldAlignment needs labels of its target rows", got=got, fix="y_target=...")
            )
        labels = [ys, np.asarray(yt)]
        self.classes_ = np.unique(np.concatenate([ys, labels[1].astype(ys.dtype)]))
        everything = Xs
        if len(Xs) > self.max_rows:
            use = np.sort(np.random.default_rng(self.random_state).choice(len(Xs), self.max_rows, replace=False))
            everything, labels[0] = Xs[use], ys[use]
        n_t = len(Xt)
        if X_unlabeled is not None:
            Xt = np.concatenate([Xt, self._target_rows(X_unlabeled, Xt.dtype)])
        domains = [everything] if X_target is None else [everything, Xt]
        self._parts = []
        for rows in domains:
            gamma = self.gamma if self.gamma is not None or self.kernel != "rbf" else median_gamma(rows)
            self._parts.append(KernelComponents(rows, self.kernel, gamma, self.rank))
        scores = [part.map(rows) for part, rows in zip(self._parts, domains, strict=True)]
        scales = [max(float(np.sqrt((s**2).mean())), 1e-300) for s in scores]
        graphs = [
            s.T @ neighbours(rows, self.n_neighbors) @ s / c**2
            for s, rows, c in zip(scores, domains, scales, strict=True)
        ]
        marked, code = scores[0] / scales[0], np.searchsorted(self.classes_, labels[0])
        owner = np.zeros(len(code), int)
        if X_target is not None:
            marked = block_diag(marked, scores[1][:n_t] / scales[1])
            code = np.r_[code, np.searchsorted(self.classes_, labels[1].astype(ys.dtype))]
            owner = np.r_[owner, np.ones(n_t, int)]
        same, other = class_laplacians(code, owner, marked)
        size = len(same)
        hold = (1 - self.mu) * same / max(np.trace(same), 1e-300) + self.mu * unit_trace(block_diag(*graphs))
        part = other / max(np.trace(other), 1e-300) if np.trace(other) > 0 else np.eye(size) / size
        ridge = self.reg / size * np.eye(size)
        k = min(size, max(2, len(self.classes_)) if self.n_components is None else self.n_components)
        values, vectors = eigh(hold + ridge, part + ridge, subset_by_index=[0, k - 1], check_finite=False)
        self.eigenvalues_, self._n_features_out = values, k
        # scaled by how well a direction parts the classes
        directions = signed(vectors) / np.sqrt(np.maximum(values, 1e-12))
        cut = scores[0].shape[1]
        self._directions = [directions[:cut] / scales[0]]
        if X_target is not None:
            self._directions.append(directions[cut:] / scales[1])
        return Xs

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        return self._parts[0].map(X) @ self._directions[0]

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return self._parts[-1].map(X) @ self._directions[-1]


def unit_trace(A: np.ndarray) -> np.ndarray:
    return A / max(float(np.trace(A)), 1e-300)


def neighbours(rows: np.ndarray, p: int) -> np.ndarray:
    """The Laplacian (n, n) of the symmetric p-nearest-neighbour graph."""
    if len(rows) < 2:
        return np.zeros((len(rows), len(rows)))
    near = kneighbors_graph(rows, min(p, len(rows) - 1), mode="connectivity")
    return laplacian(near.maximum(near.T).toarray())


def class_laplacians(code: np.ndarray, owner: np.ndarray, G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G^T L_s G and G^T L_d G (m, m) with L_s joining rows of equal labels, L_d rows of different ones.

    A pair weighs 1 / (rows of its class in its own domain) on either side, so that a few target rows are heard beside many
    source rows. By sums over classes: no n x n matrix.
    """
    C = int(code.max()) + 1
    count = np.zeros((2, C))
    np.add.at(count, (owner, code), 1)
    weight = 1 / count[owner, code]
    sums = np.zeros((C, G.shape[1]))
    np.add.at(sums, code, weight[:, None] * G)
    mass = np.bincount(code, weights=weight, minlength=C)
    moment = [(G * (weight * (code == c))[:, None]).T @ G for c in range(C)]
    same = sum(mass[c] * moment[c] - np.outer(sums[c], sums[c]) for c in range(C))
    whole = mass.sum() * sum(moment) - np.outer(sums.sum(0), sums.sum(0))
    return np.asarray(same), np.asarray(whole - same)
