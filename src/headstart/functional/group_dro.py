"""Distributionally robust optimisation over groups: the weights of the worst group (Sagawa et al., ICLR 2020)."""

from __future__ import annotations

import torch


def exponentiated_shares(shares: torch.Tensor, risks: torch.Tensor, eta: float) -> torch.Tensor:
    """``q_g <- q_g exp(eta R_g) / sum_h q_h exp(eta R_h)``: one step of exponentiated gradient ascent on ``sum_g q_g R_g``.

    Sagawa, Koh, Hashimoto, Liang, *Distributionally Robust Neural Networks for Group Shifts*, ICLR 2020, algorithm 1.

    Args:
        shares: q (G,), of sum 1. risks: R (G,), losses of the groups; 0 for one that was not seen.
        eta: > 0.
    """
    return torch.softmax(shares.clamp_min(torch.finfo(shares.dtype).tiny).log() + eta * risks.to(shares.dtype), 0)
