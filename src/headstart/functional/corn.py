"""CORN: ranks by conditional probabilities (Shi, Cao and Raschka, Pattern Analysis and Applications 2023)."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def corn_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The negative log likelihood of the conditional ranks, a mean over the questions that are asked (their eq. 4).

    Logit j answers: given that the rank is at least j, is it above j? It is asked only of the examples with rank >= j, so that
    an example of rank y answers ``min(y + 1, K - 1)`` of the questions.

    Args:
        logits: (B, K - 1).
        targets: int (B,), ranks 0..K-1.
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    asked = targets[:, None] >= steps
    above = (targets[:, None] > steps).to(torch.float32)
    each = F.binary_cross_entropy_with_logits(logits.float(), above, reduction="none")
    return (each * asked).sum() / asked.sum()


def questions(targets: torch.Tensor, n_ranks: int) -> float:
    """How many questions a batch answers: ``sum_i min(y_i + 1, K - 1)``."""
    return float((targets + 1).clamp_max(n_ranks - 1).sum())


def rank_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Logits (B, K - 1) -> probabilities of the K ranks (B, K).

    ``P(y > j) = prod_{i <= j} sigmoid(z_i)`` falls with j by construction; ``P(y = j) = P(y > j - 1) - P(y > j)``.
    """
    above = torch.sigmoid(logits.double()).cumprod(1)
    one, none = above.new_ones(len(above), 1), above.new_zeros(len(above), 1)
    return (torch.cat([one, above], 1) - torch.cat([above, none], 1)).float()
