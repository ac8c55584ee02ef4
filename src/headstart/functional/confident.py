"""Labels for unlabelled images from the model's own confident predictions: pseudo-labels and FixMatch."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy


def confident_labels(logits: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 (U,), the predicted class of each image, and bool (U,), whether its probability is at least ``threshold``.

    Args:
        logits: float (U, K); no gradient flows back through the labels.
        threshold: in [0, 1).
    """
    best, labels = torch.softmax(logits.detach().float(), dim=1).max(dim=1)
    return labels, best >= threshold


def confident_loss(logits: torch.Tensor, labels: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """``1/U sum_u 1[sure_u] H(label_u, softmax(logits_u))``, a scalar: all images count in the mean, unsure ones with 0.

    With ``logits`` of the strong view and ``labels, sure`` of the weak one it is equation 4 of FixMatch (Sohn et al., NeurIPS
    2020); with both of the same view it is the second sum of equation 15 of pseudo-labels (Lee, ICML workshop 2013).

    Args:
        logits: float (U, K).
        labels: int64 (U,).
        sure: bool (U,).
    """
    return (cross_entropy(logits.float(), labels, reduction="none") * sure).mean()


def ramp(progress: float, begin: float, end: float) -> float:
    """Lee's alpha(t) (equation 16) with a final value of 1: 0 before ``begin``, then a line up to 1 at ``end``.

    Args:
        progress: share of the training that has passed, in [0, 1).
        begin, end: shares of the training, 0 <= begin <= end <= 1.
    """
    if progress < begin:
        return 0.0
    return 1.0 if progress >= end else (progress - begin) / (end - begin)
