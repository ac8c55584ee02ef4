"""How far two classifiers differ on the same inputs (Saito, Watanabe, Ushiku, Harada, CVPR 2018)."""

from __future__ import annotations

import torch


def classifier_discrepancy(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """``1/U sum_u 1/K sum_k |p1_uk - p2_uk|`` of two (U, K) tables of logits (equation 3): in [0, 2/K]."""
    return (torch.softmax(first, dim=1) - torch.softmax(second, dim=1)).abs().mean()
