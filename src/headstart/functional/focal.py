"""Focal loss: hard images count for more (Lin, Goyal, Girshick, He, Dollar, ICCV 2017)."""

from __future__ import annotations

import torch


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """``-sum_k t_k (1 - p_k)^gamma log p_k`` with ``p = softmax(logits)``; for a hard target the paper's equation 4.

    Args:
        logits: float (B, K).
        targets: float (B, K), rows summing to 1.
        gamma: >= 0; 0 is the cross-entropy.

    Returns:
        (B,), one value an image.
    """
    log_p = torch.log_softmax(logits, dim=1)
    if gamma == 0:
        return -(targets * log_p).sum(1)
    # the floor keeps the gradient of a power below 1 finite where p is 1
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(logits.dtype).eps)
    return -(targets * rest**gamma * log_p).sum(1)
