"""Means over inputs that do not all count alike."""

from __future__ import annotations

import torch


def weighted_mean(values: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """``1/B sum_i w_i v_i``, the plain mean without weights.

    It is divided by B and not by the sum of the weights: with weights whose mean over the data set is 1 it is then an unbiased
    estimate of the weighted mean over the data set.

    Args:
        values: (B, ...).
        weights: (B,), at least 0, or ``None``.
    """
    if weights is None:
        return values.mean()
    return (values * weights.reshape(-1, *[1] * (values.ndim - 1)).to(values.dtype)).mean()
