"""Partial domain adaptation: how much each source class, or each source row, has to do with a target that lacks some classes."""

from __future__ import annotations

import torch


def class_shares(probabilities: torch.Tensor) -> torch.Tensor:
    """``gamma_k = 1/n sum_i p_ik``: how much of the target a model believes to be of each class (K,), summing to 1.

    Equation 5 of PADA (Cao, Ma, Long, Wang, *Partial Adversarial Domain Adaptation*, ECCV 2018).

    Args:
        probabilities: float (n, K) of target rows, each summing to 1; n >= 1.
    """
    return probabilities.mean(0)


def row_weights(shares: torch.Tensor, labels: torch.Tensor, *, counts: torch.Tensor) -> torch.Tensor:
    """``gamma_{y_i}`` divided by its mean over the whole source, so that the weights of all source rows have mean 1.

    PADA divides by the largest gamma instead: the same up to one factor for all rows.

    Args:
        shares: float (K,), >= 0 (:func:`class_shares`).
        labels: int64 (B,).
        counts: (K,), source rows a class.

    Returns:
        float (B,); all 1 where the shares give no source class any weight.
    """
    counts = counts.to(shares.dtype)
    mean = (shares * counts).sum() / counts.sum()
    return (shares / mean)[labels] if mean > 0 else torch.ones_like(shares)[labels]


def unlike_source(logits: torch.Tensor) -> torch.Tensor:
    """``w_i = (1 - D_i) / mean_j (1 - D_j)``, D = sigmoid(logit) being the probability that a row is of the source.

    Equations 6 and 7 of IWAN (Zhang, Ding, Li, Ogunbona, *Importance Weighted Adversarial Nets for Partial Domain Adaptation*,
    CVPR 2018): where a discriminator of the domains is sure of the source, the target has nothing, and the row counts little.

    Args:
        logits: float (B,) of source rows; no gradient flows back through the weights.

    Returns:
        float32 (B,), mean 1.
    """
    away = torch.sigmoid(-logits.detach().float())
    return away / away.mean().clamp_min(torch.finfo(away.dtype).tiny)
