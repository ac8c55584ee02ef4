"""How well a linear classifier tells two domains apart on rows it has not seen."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve


def held_out_correct(Xs: np.ndarray, Xt: np.ndarray, folds: int = 5, ridge: float = 1e-2, seed: int = 0) -> np.ndarray:
    """0/1 for each pooled row (n_s + n_t,): was its domain told right by a ridge discriminant fitted on the other folds?

    The rows of each domain weigh one half together, so that a large domain does not win by its size. The discriminant is
    least squares on standardised columns with targets +1 and -1 (Fisher's direction), penalty ``ridge`` on unit variance;
    where d > n it is solved through the n x n Gram matrix.
    """
    X = np.concatenate([Xs, Xt]).astype(np.float64, copy=False)
    sign = np.r_[np.ones(len(Xs)), -np.ones(len(Xt))]
    weight = np.where(sign > 0, 0.5 / len(Xs), 0.5 / len(Xt))
    rng = np.random.default_rng(seed)
    fold = np.concatenate([rng.permutation(np.arange(m) % folds) for m in (len(Xs), len(Xt))])
    right = np.zeros(len(X))
    for f in range(folds):
        test = fold == f
        if not test.any() or len(set(sign[~test])) < 2:
            continue
        w = weight[~test] / weight[~test].sum()
        mean = w @ X[~test]
        A = X[~test] - mean
        scale = np.sqrt(w @ A**2)
        A /= np.where(scale > 0, scale, 1)
        y = sign[~test] - w @ sign[~test]
        root = np.sqrt(w)[:, None]
        A, y = A * root, y * root[:, 0]
        if A.shape[1] <= A.shape[0]:
            beta = solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ y, assume_a="pos")
        else:
            beta = A.T @ solve(A @ A.T + ridge * np.eye(A.shape[0]), y, assume_a="pos")
        # the middle between the two class means is the threshold
        score = (X - mean) / np.where(scale > 0, scale, 1) @ beta
        middle = (score[~test][sign[~test] > 0].mean() + score[~test][sign[~test] < 0].mean()) / 2
        right[test] = (np.where(score[test] > middle, 1, -1) == sign[test]).astype(float)
    return right


def proxy_a_distance(Xs: np.ndarray, Xt: np.ndarray, folds: int = 5, seed: int = 0) -> float:
    """2 (1 - 2 error) with the mean held-out error of the two domains (Ben-David et al. 2007): 0 the same, 2 apart."""
    folds = min(folds, len(Xs), len(Xt))
    if folds < 2:
        return 0.0
    right = held_out_correct(Xs, Xt, folds, seed=seed)
    error = 1 - (right[: len(Xs)].mean() + right[len(Xs) :].mean()) / 2
    return 2 * (1 - 2 * error)
