"""Whitening within classes: afterwards the variation within a class is the same in every direction."""

import numpy as np
import torch

from headstart.functional.within_whitening import within_whitening


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(12), 40)
    X = rng.normal(size=(12, 5))[y] * 2 + rng.normal(size=(480, 5)) @ np.diag([5, 3, 1, 0.5, 0.2])
    return torch.from_numpy(X), torch.from_numpy(y)


def test_the_covariance_within_classes_becomes_the_identity():
    X, y = problem()
    weight, bias = within_whitening(X, y, shrinkage=1e-9, dim=5)
    Z = X @ weight.T + bias
    off = Z - torch.stack([Z[y == c].mean(0) for c in range(12)])[y]
    torch.testing.assert_close(off.T @ off / (480 - 12), torch.eye(5, dtype=Z.dtype), atol=1e-5, rtol=0)
    torch.testing.assert_close(Z.mean(0), torch.zeros(5, dtype=Z.dtype), atol=1e-8, rtol=0)


def test_full_shrinkage_is_principal_components_and_fewer_axes_are_the_first():
    X, y = problem()
    weight, bias = within_whitening(X, y, shrinkage=1.0, dim=2)
    Z = (X @ weight.T + bias).numpy()
    centred = (X - X.mean(0)).numpy()
    first = np.linalg.svd(centred, full_matrices=False)[2][:2]
    for found, peer in zip(Z.T, first @ centred.T, strict=True):
        assert abs(np.corrcoef(found, peer)[0, 1]) > 1 - 1e-8
    torch.testing.assert_close(within_whitening(X, y, shrinkage=1.0, dim=5)[0][:2].abs(), weight.abs())
