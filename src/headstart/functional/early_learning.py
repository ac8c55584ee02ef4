"""Early-learning regularisation against wrong labels (Liu, Niles-Weed, Razavian, Fernandez-Granda, NeurIPS 2020)."""

from __future__ import annotations

import torch

FLOOR = 1e-4
"""Probabilities are kept this far from 0 and 1, as in the authors' code, so that the logarithm stays finite."""


def moved_targets(memory: torch.Tensor, probabilities: torch.Tensor, beta: float) -> torch.Tensor:
    """``t <- beta t + (1 - beta) p``, the running average of what was predicted for an image.

    Args:
        memory: float (B, K).
        probabilities: float (B, K), rows summing to 1, without gradient.
        beta: in [0, 1).
    """
    return beta * memory + (1 - beta) * probabilities


def early_learning(probabilities: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """``log(1 - <p_i, t_i>)`` of each image (equation 6), (B,), at most 0: the lower, the more p agrees with its own past.

    Args:
        probabilities: float (B, K), with gradient.
        memory: float (B, K), without; rows sum to at most 1.
    """
    return torch.log(1 - (probabilities.clamp(FLOOR, 1 - FLOOR) * memory).sum(1))
