"""The k largest eigenpairs of a symmetric operator that is only known by what it does to a block of vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.errors import WorkError

DENSE = 700  # rows up to which a full decomposition is the cheaper way


def largest(
    apply: Callable[[np.ndarray], np.ndarray],
    n: int,
    k: int,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-10,
    max_restarts: int = 40,
    dense: int = DENSE,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues (falling) and orthonormal eigenvectors (n, k) of a symmetric positive semi-definite operator.

    Block Krylov iteration (Golub and Underwood 1977) with thick restarts (Wu and Simon 2000): the space grows by blocks,
    each orthogonal to all before it, so that the work lies in matrix-matrix products; at a restart the best Ritz vectors
    and the last residual block are kept. A pair is taken when ||A v - theta v|| <= tol * theta_max.

    Args:
        apply: (n, b) -> (n, b), A times a block of vectors.
        start: (n, b): a guess of the space, for example the solution of a problem nearby.
        tol: residual, relative to the largest eigenvalue.
        dense: size up to which a full decomposition is made instead.
    """
    if n <= max(dense, 3 * k):
        values, vectors = np.linalg.eigh(apply(np.eye(n)))
        return values[::-1][:k], vectors[:, ::-1][:, :k]
    block = max(8, min(32, k // 3 + 4))
    width = min(n, 2 * k + 4 * block)
    rng = np.random.default_rng(seed)
    fresh = rng.standard_normal((n, block))
    if start is not None:
        fresh = np.column_stack([start, fresh[:, : block // 2]])
    space = np.empty((n, width + max(block, fresh.shape[1])), order="F")
    images, have = np.empty_like(space), 0
    for _ in range(max_restarts):
        while have < width:
            q = beside(space[:, :have], fresh, rng)
            new = slice(have, have + q.shape[1])
            space[:, new], have = q, new.stop
            images[:, new] = apply(q)
            fresh = images[:, have - min(block, q.shape[1]) : have]
        V, W = space[:, :have], images[:, :have]
        small = V.T @ W
        theta, S = np.linalg.eigh((small + small.T) / 2)
        theta, S = theta[::-1], S[:, ::-1]
        keep = min(k + block, have)
        V, W = V @ S[:, :keep], W @ S[:, :keep]
        residual = W[:, :k] - V[:, :k] * theta[:k]
        sizes = np.linalg.norm(residual, axis=0)
        if sizes.max() <= tol * max(theta[0], 1e-300):
            return theta[:k], V[:, :k]
        space[:, :keep], images[:, :keep], have = V, W, keep
        fresh = residual[:, np.argsort(-sizes)[:block]]  # the directions in which the space has to grow
    if n > 6000:
        raise WorkError(f"the {k} largest eigenvectors of {n} rows did not converge; ask for fewer components")
    values, vectors = np.linalg.eigh(apply(np.eye(n)))
    return values[::-1][:k], vectors[:, ::-1][:, :k]


def beside(space: np.ndarray, fresh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An orthonormal block in the span of ``fresh`` (n, b), orthogonal to ``space`` (n, m).

    By Cholesky QR, twice (Yamamoto et al. 2015). Directions that ``space`` already has are replaced by random ones, so that
    the block never holds amplified noise.
    """
    q = fresh
    for _ in range(4):
        sizes = np.linalg.norm(q, axis=0)
        q = q / np.where(sizes > 0, sizes, 1)
        q = q - space @ (space.T @ q)
        inner = q.T @ q
        values, turn = np.linalg.eigh(inner)
        spent = values < 1e-12
        q = q @ (turn[:, ~spent] / np.sqrt(values[~spent]))
        if spent.any():
            q = np.column_stack([q, rng.standard_normal((len(q), int(spent.sum())))])
        elif values[0] > 0.5:
            break
    return q
