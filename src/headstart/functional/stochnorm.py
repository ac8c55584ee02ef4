"""Stochastic normalisation: each channel by the batch's statistics or by the moving ones (Kou et al. 2020)."""

from __future__ import annotations

import torch


def drawn_channels(by_batch: torch.Tensor, by_moving: torch.Tensor, p: float) -> torch.Tensor:
    """``(1 - s) by_batch + s by_moving`` with one draw ``s_j ~ Bernoulli(p)`` a channel.

    Kou, You, Long, Wang, *Stochastic Normalization*, NeurIPS 2020, algorithm 1.

    Args:
        by_batch, by_moving: (B, C, ...), the same input normalised in both ways, of the same shape.
        p: in [0, 1], the chance of the moving statistics.
    """
    s = torch.rand(by_batch.shape[1], device=by_batch.device) < p
    return torch.where(s.view(1, -1, *[1] * (by_batch.ndim - 2)), by_moving, by_batch)
