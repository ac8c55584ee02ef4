"""Entropy of what is said of rows without labels, as minimax entropy uses it."""

from __future__ import annotations

import torch


def negative_entropy(outputs: torch.Tensor) -> torch.Tensor:
    """``1/U sum_u sum_k p_uk log p_uk``, a scalar in [-log K, 0].

    Minus the H of MME (Saito, Kim, Sclaroff, Darrell, Saenko, *Semi-supervised Domain Adaptation via Minimax Entropy*, ICCV
    2019, equation 2). A classifier that descends it raises the entropy; with the gradient reversed in front of the
    classifier the features lower it.

    Args:
        outputs: float (U, K) logits, U >= 1.
    """
    log_p = torch.log_softmax(outputs.float(), dim=1)
    return (log_p.exp() * log_p).sum(1).mean()
