"""Margin disparity discrepancy (Zhang, Liu, Long, Jordan, ICML 2019)."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from headstart.functional.weighted import weighted_mean


def log_rest(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(B,): ``log(1 - p_y)``, without loss of digits where ``p_y`` is close to 1; logits (B, K) with K >= 2, labels int64 (B,)."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return torch.logsumexp(others, dim=1) - torch.logsumexp(logits, dim=1)


def margin_disparity(
    source: torch.Tensor,
    source_labels: torch.Tensor,
    target: torch.Tensor,
    target_labels: torch.Tensor,
    margin: float,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """``-gamma E_s[log s_y(f')] - E_t[log(1 - s_y(f'))]``: what the second classifier f' descends and the features climb (equations 28 to 30).

    y is what the first classifier predicts: f' is taught to agree with it on the source and to differ from it on the target.

    Args:
        source, target: logits of f', (B, K) and (U, K), K >= 2.
        source_labels, target_labels: int64, the predictions y of the first classifier.
        margin: gamma >= 1, the exponential of the margin rho.
        weights: (B,), what each input of the source counts, or ``None``.
    """
    agree = weighted_mean(cross_entropy(source, source_labels, reduction="none"), weights)
    return margin * agree - log_rest(target, target_labels).mean()
