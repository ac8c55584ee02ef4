"""Batch spectral shrinkage: the smallest singular values of a batch of features (Chen et al. 2019)."""

from __future__ import annotations

import torch


def smallest_singular_values(features: torch.Tensor, k: int = 1) -> torch.Tensor:
    """``sum_{i=1..k} sigma_{-i}^2``, a scalar: the k smallest singular values of the matrix, squared.

    Chen, Wang, Fu, Long, Wang, *Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe
    Transfer Learning*, NeurIPS 2019, equation 4. The gradient is ``2 sum_i sigma_{-i} u_{-i} v_{-i}^T``.

    Args:
        features: (B, d), computed in float32 where it comes in half precision. The matrix has min(B, d) singular
            values; where these are k or fewer there is no spectrum to shrink, only a norm, and the value is 0.
        k: >= 1.
    """
    wide = features if features.dtype == torch.float64 else features.float()
    if min(wide.shape) <= k:
        return wide.sum() * 0.0
    return torch.linalg.svdvals(wide)[-k:].square().sum()
