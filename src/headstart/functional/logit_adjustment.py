"""Logit adjustment for long tails (Menon, Jayasumana, Rawat, Jain, Veit, Kumar, ICLR 2021)."""

from __future__ import annotations

import torch


def adjust(logits: torch.Tensor, log_prior: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    """``f_k + tau log pi_k``, to be trained with cross-entropy (equation 10); predictions read ``f`` alone.

    ``softmax(f + log pi)`` is made to fit the training images, so that ``softmax(f)`` is the posterior with every class
    equally frequent, whose argmax has the smallest balanced error.

    Args:
        logits: float (B, K).
        log_prior: float (K,), log of each class's share of the training images.
        tau: 0 changes nothing, 1 is consistent for the balanced error.
    """
    return logits + tau * log_prior
