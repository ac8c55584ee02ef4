"""Moments of several domains brought together (Peng et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch

TINY = 1e-12
"""Under the root, so that equal moments have a gradient."""


def moments(x: torch.Tensor, count: int, weights: torch.Tensor | None = None) -> torch.Tensor:
    """``E x^k`` for k = 1 ... count, elementwise: (B, d) -> (count, d).

    Args:
        weights: (B,), what each row counts, or ``None``; they are divided by their sum.
    """
    w = torch.full((len(x),), 1 / len(x), device=x.device) if weights is None else weights / weights.sum()
    return torch.stack([w.to(x.dtype) @ x**k for k in range(1, count + 1)])


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``sum_k ||a_k - b_k||_2`` of two (K, d)."""
    return ((a - b).square().sum(1) + TINY).sqrt().sum()


def moment_distances(
    sources: Sequence[torch.Tensor], target: torch.Tensor, shares: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """To the target, (S,), and the mean over pairs of sources, a scalar (0 for one source).

    Peng, Bai, Xia, Huang, Saenko, Wang, *Moment Matching for Multi-Source Domain Adaptation*, ICCV 2019, equation 1:
    ``MD^2 = sum_k (1/S sum_i ||E X_i^k - E X_T^k|| + 2 / (S (S - 1)) sum_{i<j} ||E X_i^k - E X_j^k||)`` is the mean of the
    first plus the second.

    Args:
        sources: (K, d) :func:`moments` of each source. target: (K, d).
        shares: (S,), what each source counts; a pair counts by the product of its two. ``None``: all alike.
    """
    to_target = torch.stack([distance(m, target) for m in sources])
    pairs = [distance(a, b) for a, b in combinations(sources, 2)]
    if not pairs:
        return to_target, to_target.sum() * 0
    w = [1.0] * len(pairs) if shares is None else [float(a * b) for a, b in combinations(shares, 2)]
    weights = to_target.new_tensor(w)
    return to_target, weights / weights.sum() @ torch.stack(pairs)
