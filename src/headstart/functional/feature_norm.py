"""Adaptive feature norm: both domains' features to one, large length (Xu et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from headstart.functional.shares import comparable, nothing


def hard_feature_norm(
    Xs: torch.Tensor, Xt: torch.Tensor, source: torch.Tensor, target: torch.Tensor, radius: float
) -> torch.Tensor:
    """``(mean ||s_i|| - R)^2 + (mean ||t_j|| - R)^2``, a scalar: HAFN.

    Xu, Li, Yang, Lin, *Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain Adaptation*,
    ICCV 2019, section 3.2.

    Args:
        Xs, Xt: (n, d), (m, d); a row of zeros has a gradient of 0.
        source, target: shares (n,), (m,) of :func:`headstart.functional.shares.shares`; a domain of which no row counts
            adds nothing.
        radius: R > 0, the length that the means shall have.
    """
    return _sum(Xs, Xt, source, target, lambda length, side: (side @ length - radius).square())


def stepwise_feature_norm(
    Xs: torch.Tensor, Xt: torch.Tensor, source: torch.Tensor, target: torch.Tensor, step: float = 1.0
) -> torch.Tensor:
    """``mean (||s_i|| - (||s_i|| as a constant + step))^2 + the same of t``, a scalar: SAFN.

    Xu et al., ICCV 2019, section 3.3. Its value is always ``2 step^2``; what acts is its gradient, ``-2 step x / ||x||`` times the
    share of a row: every row is drawn out by the same amount.

    Args:
        step: > 0, default 1 (the paper's); other arguments as in :func:`hard_feature_norm`.
    """

    def of(length: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        return side @ (length - (length.detach() + step)).square()

    return _sum(Xs, Xt, source, target, of)


def _sum(
    Xs: torch.Tensor,
    Xt: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    total = nothing(Xs, Xt)
    for X, side in ((Xs, source), (Xt, target)):
        if comparable(side):
            total = total + of(torch.linalg.vector_norm(X, dim=1), side)
    return total
