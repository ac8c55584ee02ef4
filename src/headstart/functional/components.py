"""Directions that keep the variance of two domains and lose what tells them apart (TCA, JDA, BDA share this).

With coordinates G (n, m) of all rows (the rows themselves, or their kernel matrix), MMD vectors E (n, r) and the centring
matrix H, the k largest eigenvectors of

    G^T H G a = mu (G^T E E^T G + lam I) a,           a^T (G^T E E^T G + lam I) a = 1

The right-hand matrix is a multiple of the identity plus a matrix of rank r, so its inverse square root is known in closed
form and the problem is an ordinary symmetric one; E E^T (n x n) and G^T H G for a kernel matrix are never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.functional.blocks import row_blocks
from headstart.functional.covariance import signed, thin_svd
from headstart.functional.eigen import largest
from headstart.functional.kernels import Kernel, kernel_matrix


def mmd_vector(n_s: int, n_t: int) -> np.ndarray:
    """e (n_s + n_t,) with e e^T the MMD matrix of two domains: 1/n_s for source rows, -1/n_t for target rows."""
    return np.r_[np.full(n_s, 1.0 / n_s), np.full(n_t, -1.0 / n_t)]


def class_mmd_vectors(ys: np.ndarray, yt: np.ndarray, classes: np.ndarray, prior_weighted: bool = False) -> np.ndarray:
    """One MMD vector a class that both domains have, (n_s + n_t, r), r <= C.

    Args:
        ys, yt: (n_s,) labels, (n_t,) labels or pseudo-labels.
        prior_weighted: scale a side by the square root of its class prior (W-BDA, Wang et al. 2017, eq. 9).
    """
    columns = []
    for c in classes:
        a, b = ys == c, yt == c
        if a.any() and b.any():
            wa, wb = (np.sqrt(a.mean()), np.sqrt(b.mean())) if prior_weighted else (1.0, 1.0)
            columns.append(np.r_[a * (wa / a.sum()), b * (-wb / b.sum())])
    return np.column_stack(columns) if columns else np.empty((len(ys) + len(yt), 0))


@dataclass
class Dense:
    """Coordinates that are a tall matrix: G (n, m) with m small. ``scatter`` is G^T H G."""

    G: np.ndarray

    def __post_init__(self) -> None:
        self.width = self.G.shape[1]
        centred = self.G - self.G.mean(0)
        self.scatter = centred.T @ centred

    def adjoint(self, E: np.ndarray) -> np.ndarray:
        return self.G.T @ E

    def embed(self, A: np.ndarray) -> np.ndarray:
        return self.G @ A

    def leading(self, root: LowRankRoot, k: int, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        inner = root.apply(root.apply(self.scatter).T)
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return values[::-1][:k], vectors[:, ::-1][:, :k]


class LinearMoments(Dense):
    """The linear kernel's problem from second moments alone, for domains that are read in blocks of rows; d x d memory.

    As in :func:`linear_kernel`, G = X V diag(s) with X^T X = V diag(s^2) V^T; its scatter and its mean difference follow from
    X^T X and the two means.
    """

    def __init__(self, Xs: np.ndarray, Xt: np.ndarray) -> None:
        d = Xs.shape[1]
        gram, sums = np.zeros((d, d)), []
        for X in (Xs, Xt):
            total = np.zeros(d)
            for _, block in row_blocks(X):
                gram += block.T @ block
                total += block.sum(0, dtype=np.float64)
            sums.append(total)
        n = len(Xs) + len(Xt)
        mean = (sums[0] + sums[1]) / n
        values, vectors = np.linalg.eigh(gram)
        keep = values > max(values[-1], 1e-300) * (1e-13 if Xs.dtype == np.float64 else 1e-7)
        self.back = vectors[:, keep] * np.sqrt(values[keep])
        self.width = self.back.shape[1]
        self.scatter = self.back.T @ (gram - n * np.outer(mean, mean)) @ self.back
        self.difference = self.back.T @ (sums[0] / len(Xs) - sums[1] / len(Xt))

    def adjoint(self, E: np.ndarray) -> np.ndarray:
        """G^T e of the one MMD vector of the two whole domains; E itself is not needed."""
        return self.difference[:, None]


def linear_kernel(rows: np.ndarray) -> tuple[Dense, np.ndarray]:
    """The linear kernel's problem in r = rank(rows) dimensions instead of n, exactly: W = U a with rows = U diag(s) V^T.

    Returns:
        its coordinates K U = U diag(s^2); and (d, r) with which a becomes directions of the columns, X^T W.
    """
    left, s, right = thin_svd(rows)
    return Dense(left * s**2), right * s


class SymmetricKernel:
    """Coordinates that are a kernel matrix K (n, n): its lower half, in strips of rows. Half the memory, products by strips.

    Args:
        X: (n, d) rows of both domains.
        dtype: of what is stored; products come out in float64.
    """

    def __init__(self, kernel: Kernel, X: np.ndarray, gamma: float | None, dtype: type, strip: int = 2000) -> None:
        n = self.width = len(X)
        self.strips: list[tuple[int, int, np.ndarray]] = []
        X = X.astype(dtype, copy=False)
        if n <= 3 * strip:
            self.strips.append((0, n, kernel_matrix(kernel, X, gamma=gamma)))
        else:
            for a in range(0, n, strip):
                b = min(n, a + strip)
                self.strips.append((a, b, kernel_matrix(kernel, X[a:b], X[:b], gamma)))
        # H (K - c 1 1^T) = H K and (K - c 1 1^T) e = K e for every e of sum 0: a wide kernel is near the constant c, and would
        # drown the digits in which rows differ
        self.shift = float(self.strips[0][2].mean(dtype=np.float64))
        for _, _, K in self.strips:
            K -= dtype(self.shift)

    def times(self, V: np.ndarray) -> np.ndarray:
        """(K - c) V, (n, b)."""
        if len(self.strips) == 1:
            K = self.strips[0][2]
            return (K @ V.astype(K.dtype, copy=False)).astype(np.float64, copy=False)
        out = np.zeros((self.width, V.shape[1]))
        for a, b, K in self.strips:
            v = V[:b].astype(K.dtype, copy=False)
            out[a:b] += K @ v
            if a:
                out[:a] += K[:, :a].T @ v[a:]
        return out

    adjoint = times  # of MMD vectors, which have sum 0

    def embed(self, A: np.ndarray) -> np.ndarray:
        """K A with the true kernel matrix."""
        return self.times(A) + self.shift * A.sum(0)

    def leading(self, root: LowRankRoot, k: int, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        def apply(V: np.ndarray) -> np.ndarray:
            inner = self.times(root.apply(V))
            inner -= inner.mean(0)
            return root.apply(self.times(inner))

        exact = self.strips[0][2].dtype == np.float64
        return largest(apply, self.width, k, start=start, tol=1e-9 if exact else 1e-6)


class LowRankRoot:
    """(lam I + u u^T)^(-1/2) for u (m, r), applied from the left."""

    def __init__(self, u: np.ndarray, lam: float) -> None:
        q, s, _ = np.linalg.svd(u, full_matrices=False)
        self.q, self.lam = q, lam
        self.less = 1 - 1 / np.sqrt(1 + s**2 / lam)

    def apply(self, V: np.ndarray) -> np.ndarray:
        return (V - self.q @ (self.less[:, None] * (self.q.T @ V))) / np.sqrt(self.lam)


def solve_components(
    coordinates: Dense | SymmetricKernel, E: np.ndarray, lam: float, k: int, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best directions of the problem at the top of this file.

    Args:
        E: (n, r) MMD vectors; their scale is the weight of the discrepancy against ``lam``.
        lam: > 0.
        start: (m, b), what a call before this one gave as its third value.

    Returns:
        directions A (m, k); eigenvalues (k,), falling; the orthonormal vectors to start a next call from.
    """
    root = LowRankRoot(coordinates.adjoint(E), lam)
    values, vectors = coordinates.leading(root, k, start)
    vectors = signed(vectors)
    return root.apply(vectors), values, vectors
