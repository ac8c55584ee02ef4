"""Class-balanced self-training (Zou et al., ECCV 2018): a confidence threshold for each class, and the labels above them."""

from __future__ import annotations

import math

import torch


def class_thresholds(p: torch.Tensor, portion: float) -> torch.Tensor:
    """(K,): of the rows that are predicted as class k, the share ``portion`` with the largest p_k lies at or above the k-th.

    ``exp(-k_c)`` of algorithm 2 of the paper. A class that no row is predicted as has infinity: it labels nothing.

    Args:
        p: (m, K) probabilities.
        portion: in (0, 1]; at least one row of a predicted class is in.
    """
    best, labels = p.max(dim=1)
    found = torch.full((p.shape[1],), math.inf, dtype=p.dtype, device=p.device)
    for k in labels.unique().tolist():
        falling = best[labels == k].sort(descending=True).values
        found[k] = falling[math.ceil(portion * len(falling) - 1e-9) - 1]
    return found


def class_balanced_labels(p: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """int64 (m,): ``argmax_k p_k / threshold_k`` where that ratio is 1 or more, else -1 (no label; equation 7 of the paper).

    A hard class, whose threshold is low, takes a row that an easy one would take by its probability alone.

    Args:
        p: (m, K) probabilities.
        thresholds: (K,) > 0, of :func:`class_thresholds`.
    """
    ratio, labels = (p / thresholds).max(dim=1)
    return torch.where(ratio >= 1, labels, -1)


def labelled_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``1/U sum_u 1[label_u >= 0] H(label_u, softmax(logits_u))``, a scalar: rows without a label count in the mean with 0.

    Args:
        logits: (U, K).
        labels: int64 (U,), -1 for none.
    """
    each = torch.nn.functional.cross_entropy(logits.float(), labels.clamp(min=0), reduction="none")
    return (each * (labels >= 0)).mean()
