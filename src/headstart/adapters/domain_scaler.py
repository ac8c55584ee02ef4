"""Standardising each domain by its own mean and deviation: the simplest alignment of marginals, and a strong one."""

from __future__ import annotations

import numpy as np
from sklearn.base import OneToOneFeatureMixin

from headstart.adapters.base import TwoSided
from headstart.functional.blocks import row_blocks


class DomainScaler(OneToOneFeatureMixin, TwoSided):
    """z-scores by domain: the source side by the source's mean and standard deviation, the target side by the target's.

    A column that is constant in a domain is centred and left unscaled there.

    Args:
        with_mean, with_std: what is taken out. Defaults True.

    Attributes:
        source_mean_, source_scale_, target_mean_, target_scale_: float64 (d,).
    """

    def __init__(self, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean = with_mean
        self.with_std = with_std

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        self.source_mean_, self.source_scale_ = self._moments(Xs)
        self.target_mean_, self.target_scale_ = self._moments(Xt)

    def _moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = X.shape[1]
        first, second = np.zeros(d), np.zeros(d)
        origin = X[0].astype(np.float64)  # sums about a row, so that a large mean does not eat the digits
        for _, block in row_blocks(X):
            rows = block - origin
            first += rows.sum(0)
            second += (rows**2).sum(0)
        mean = first / len(X)
        deviation = np.sqrt(np.maximum(second / len(X) - mean**2, 0))
        # what rounding alone makes of a constant column
        deviation[deviation <= 1e-12 * np.maximum(1, np.abs(origin))] = 1
        return (origin + mean if self.with_mean else np.zeros(d)), (deviation if self.with_std else np.ones(d))

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        return (X - self.source_mean_) / self.source_scale_

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return (X - self.target_mean_) / self.target_scale_
