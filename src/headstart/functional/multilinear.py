"""Features and class probabilities as one vector, so that a discriminator sees how they go together (CDAN, Long et al., NeurIPS 2018)."""

from __future__ import annotations

import math

import torch


def multilinear(features: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """``T(f, g) = f (x) g``, the outer product of each row (section 3.1): (B, d) and (B, K) -> (B, K * d), class by class."""
    return (probabilities[:, :, None] * features[:, None, :]).flatten(1)


def randomized_multilinear(
    features: torch.Tensor, probabilities: torch.Tensor, on_features: torch.Tensor, on_probabilities: torch.Tensor
) -> torch.Tensor:
    """``T(f, g) = (R_f f) * (R_g g) / sqrt(m)``, elementwise (equation 6): (B, d) and (B, K) -> (B, m).

    With entries of the R independent, of mean 0 and variance 1, the inner product of two such vectors is in expectation that
    of the two outer products (theorem 1).

    Args:
        on_features: R_f, (m, d).
        on_probabilities: R_g, (m, K).
    """
    return (features @ on_features.T) * (probabilities @ on_probabilities.T) / math.sqrt(len(on_features))
