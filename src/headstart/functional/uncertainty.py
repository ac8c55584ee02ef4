"""Weights of several losses from the uncertainty of each task (Kendall, Gal and Cipolla, CVPR 2018)."""

from __future__ import annotations

import torch


def uncertainty_loss(losses: torch.Tensor, log_variances: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """``sum_k c_k exp(-s_k) L_k + s_k / 2`` with ``s = log sigma^2``, their equations 7 and 10.

    A squared error is the negative log-likelihood of a normal distribution up to ``1 / 2``, so its share ``c`` is 1/2; of a
    cross-entropy, scaled as a Boltzmann distribution of temperature ``sigma^2``, it is 1. At fixed losses the minimum is at
    ``sigma_k^2 = 2 c_k L_k``: the loss itself for a squared error.

    Args:
        losses: (K,), each >= 0.
        log_variances: (K,), any real number.
        shares: (K,), 1/2 or 1.
    """
    return (shares * torch.exp(-log_variances) * losses + log_variances / 2).sum()


def uncertainty_gradient(losses: torch.Tensor, log_variances: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """(K,): the derivative of :func:`uncertainty_loss` by the log-variances, ``1 / 2 - c_k exp(-s_k) L_k``."""
    return 0.5 - shares * torch.exp(-log_variances) * losses
