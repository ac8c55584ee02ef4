"""Canonical correlation between two feature spaces over paired rows: H. Hotelling, *Relations Between Two Sets of Variates*,
1936; for transfer: Y.-R. Yeh, C.-H. Huang, Y.-C. F. Wang, *Heterogeneous Domain Adaptation and Classification by Exploiting
the Correlation Subspace*, IEEE TIP 2014. With kernels: D. Hardoon, S. Szedmak, J. Shawe-Taylor, Neural Computation 2004."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from headstart.adapters.base import components_wanted
from headstart.adapters.other_columns import OtherColumns
from headstart.errors import ArrayError, RecipeError, sentence
from headstart.functional.covariance import signed
from headstart.functional.kernels import Kernel, kernel_matrix


class CoupledCCA(ClassNamePrefixFeaturesOutMixin, OtherColumns):
    """Both domains' columns into the space in which paired rows correlate most: row i of X_target is the same thing as row i of X.

    Args:
        n_components: default all that both spaces have.
        reg: >= 0, added to both covariances, in units of their mean variance. Default 1e-3; with 0 directions without variance
            are left out.
        scale_by_correlation: multiply each component by its correlation, so that what the domains do not share counts less
            (Yeh et al.). Default True.

    Attributes:
        correlations_: (k,), falling, in [0, 1].
        source_directions_ (d_s, k), target_directions_ (d_t, k).

    Raises:
        ArrayError: domains of other lengths: rows must be paired.
    """

    def __init__(self, n_components: int | None = None, reg: float = 1e-3, scale_by_correlation: bool = True) -> None:
        self.n_components = n_components
        self.reg = reg
        self.scale_by_correlation = scale_by_correlation

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        self.source_mean_, self.target_mean_ = Xs.mean(0, dtype=np.float64), Xt.mean(0, dtype=np.float64)
        found = canonical(Xs - self.source_mean_, Xt - self.target_mean_, self.n_components, self.reg)
        self.source_directions_, self.target_directions_, self.correlations_ = found
        self._n_features_out = len(self.correlations_)

    def _weight(self) -> np.ndarray:
        return self.correlations_ if self.scale_by_correlation else np.ones_like(self.correlations_)

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        return (X - self.source_mean_) @ self.source_directions_ * self._weight()

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return (X - self.target_mean_) @ self.target_directions_ * self._weight()


class KernelCCA(ClassNamePrefixFeaturesOutMixin, OtherColumns):
    """CCA in the spaces of two kernels, each through its leading ``rank`` kernel principal components.

    Args:
        n_components: default ``min(20, rank)``.
        kernel, gamma: default RBF with gamma = 1 / d of each domain.
        rank: components of a kernel kept. Default 100, or fewer where there are not so many rows.
        reg: as for :class:`CoupledCCA`; default 1e-2: kernels without it correlate perfectly with anything.

    Attributes:
        correlations_: (k,).
    """

    def __init__(
        self,
        n_components: int | None = None,
        kernel: Kernel = "rbf",
        gamma: float | None = None,
        rank: int = 100,
        reg: float = 1e-2,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.rank = rank
        self.reg = reg

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        if self.rank < 1:
            raise RecipeError(sentence("rank of KernelCCA is out of range", got=self.rank, allowed="1 or more"))
        self._source, self._target = (KernelComponents(X, self.kernel, self.gamma, self.rank) for X in (Xs, Xt))
        a, b = self._source.map(Xs), self._target.map(Xt)
        self._a, self._b, self.correlations_ = canonical(a, b, self.n_components, self.reg, default=20)
        self._n_features_out = len(self.correlations_)

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        return self._source.map(X) @ self._a

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return self._target.map(X) @ self._b


class KernelComponents:
    """Kernel principal components of some rows (B. Schölkopf, A. Smola, K.-R. Müller 1998), at most ``rank``."""

    def __init__(self, X: np.ndarray, kernel: Kernel, gamma: float | None, rank: int) -> None:
        self.rows, self.kernel, self.gamma = X, kernel, gamma
        K = kernel_matrix(kernel, X, gamma=gamma).astype(np.float64, copy=False)
        self.column, self.whole = K.mean(0), float(K.mean())
        centred = K - self.column - self.column[:, None] + self.whole
        low = max(0, len(K) - rank)
        values, vectors = eigh(centred, subset_by_index=[low, len(K) - 1], check_finite=False)
        keep = values > max(values[-1], 1e-300) * 1e-10
        if not keep.any():
            keep[-1] = True
        self.directions = signed(vectors[:, keep][:, ::-1]) / np.sqrt(np.maximum(values[keep][::-1], 1e-12))

    def map(self, X: np.ndarray) -> np.ndarray:
        """(n, rank) scores."""
        K = kernel_matrix(self.kernel, X, self.rows.astype(X.dtype, copy=False), self.gamma).astype(
            np.float64, copy=False
        )
        return (K - K.mean(1, keepdims=True) - self.column + self.whole) @ self.directions


def canonical(
    A: np.ndarray, B: np.ndarray, k: int | None, reg: float, default: int = 10**9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (d_a, k), (d_b, k) and correlations (k,) of centred paired rows (n, d_a), (n, d_b)."""
    if len(A) != len(B):
        raise ArrayError(
            sentence(
                "CCA needs paired rows: row i of X_target is the same thing as row i of X",
                got=f"{len(A)} source rows, {len(B)} target rows",
                fix="KernelManifoldAlignment or CoOptimalTransport, which need no pairs",
            )
        )
    if not reg >= 0:
        raise RecipeError(sentence("reg of CCA is out of range", got=reg, allowed="0 or more"))
    left, right = whitener(A, reg), whitener(B, reg)
    U, s, Vt = np.linalg.svd(left.T @ (A.T @ B / len(A)) @ right, full_matrices=False)
    k = (
        min(default, len(s))
        if k is None
        else components_wanted(k, max(1, len(s)), why="directions with variance in both domains")
    )
    a, b = left @ U[:, :k], right @ Vt[:k].T
    sign = np.where(np.abs(a).max(0) == a.max(0), 1.0, -1.0)
    return a * sign, b * sign, np.minimum(s[:k], 1.0)


def whitener(A: np.ndarray, reg: float) -> np.ndarray:
    """(d, r) with which centred rows (n, d) get unit covariance (with the ridge)."""
    C = A.T @ A / len(A)
    values, vectors = eigh(C, driver="evd", check_finite=False)
    keep = values > max(values[-1], 1e-300) * 1e-12
    if not keep.any():
        keep[-1] = True
    ridge = reg * max(float(values.mean()), 1e-300)
    return vectors[:, keep] / np.sqrt(np.maximum(values[keep], 0) + ridge + 1e-300)
