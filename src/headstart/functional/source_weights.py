"""What each of several sources counts, from what it costs."""

from __future__ import annotations

import torch


def worst_case_shares(costs: torch.Tensor, gamma: float) -> torch.Tensor:
    """``exp(gamma c_i) / sum_j exp(gamma c_j)``: the gradient of ``1/gamma log sum_i exp(gamma c_i)``, the largest cost made smooth.

    Zhao, Zhang, Wu, Moura, Costeira, Gordon, *Adversarial Multiple Source Domain Adaptation*, NeurIPS 2018, equation 6; with
    ``gamma`` infinite all of it goes to the largest (equation 5).

    Args:
        costs: (S,). gamma: > 0, ``math.inf`` included.
    """
    if gamma == float("inf"):
        return torch.nn.functional.one_hot(costs.argmax(), len(costs)).to(costs.dtype)
    return torch.softmax(gamma * costs, 0)


def best_case_shares(costs: torch.Tensor, tau: float) -> torch.Tensor:
    """The alpha on the simplex with the least ``sum_i alpha_i c_i + tau ||alpha||_2``: sources that cost much get nothing.

    Wen, Greiner, Schuurmans, *Domain Aggregation Networks for Multi-Source Domain Adaptation*, ICML 2020, section 4: alpha is
    proportional to ``max(0, nu - c)``, with nu such that ``||max(0, nu - c)||_2 = tau`` (found by bisection).

    Args:
        costs: (S,). tau: > 0; large ones give even shares.
    """
    c = costs.double()
    low, high = c.min(), c.min() + tau  # at ``high`` the cheapest alone gives tau
    for _ in range(60):
        nu = (low + high) / 2
        if (nu - c).clamp_min(0).norm() < tau:
            low = nu
        else:
            high = nu
    alpha = (high - c).clamp_min(0)
    return (alpha / alpha.sum()).to(costs.dtype)
