"""Weights of several losses that let all tasks train at similar rates (GradNorm; Chen et al., ICML 2018)."""

from __future__ import annotations

import torch


def gradnorm_targets(
    norms: torch.Tensor, weights: torch.Tensor, losses: torch.Tensor, first: torch.Tensor, alpha: float
) -> torch.Tensor:
    """(K,): what each weighted gradient norm ``G_k = w_k n_k`` should be, ``mean(G) r_k^alpha``.

    ``r_k`` is the inverse training rate: ``L_k / L_k(0)`` divided by its mean over the tasks. A task that has come less far
    than the others gets the larger gradient.

    Args:
        norms: (K,) n_k, of the unweighted gradients by the last shared layer.
        weights: (K,) > 0.
        losses, first: (K,), now and before the first step, > 0.
        alpha: >= 0, how strongly rates are pulled together; 0 asks for equal norms.
    """
    rates = losses / first
    return (weights * norms).mean() * (rates / rates.mean()) ** alpha


def gradnorm_gradient(
    norms: torch.Tensor, weights: torch.Tensor, losses: torch.Tensor, first: torch.Tensor, alpha: float
) -> torch.Tensor:
    """(K,): the derivative by the weights of ``sum_k |w_k n_k - target_k|``, the targets held constant."""
    return torch.sign(weights * norms - gradnorm_targets(norms, weights, losses, first, alpha)) * norms


def gradnorm_step(weights: torch.Tensor, gradient: torch.Tensor, norms: torch.Tensor, lr: float) -> torch.Tensor:
    """(K,): the weights after one step, scaled so that they sum to K again.

    The gradient is divided by the mean norm, so that ``lr`` means the same whatever the scale of the losses (the paper's Adam
    does this in its own way); no weight falls below a hundredth.
    """
    moved = (weights - lr * gradient / norms.mean().clamp_min(1e-12)).clamp_min(0.01)
    return moved * len(moved) / moved.sum()
