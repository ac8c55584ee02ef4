"""Invariant risk minimisation: the gradient of each domain's risk with respect to a scale of the outputs (Arjovsky et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs (B, K), targets (B, ...)) -> (B,)."""


def scale_slopes(outputs: torch.Tensor, targets: torch.Tensor, losses: Losses) -> torch.Tensor:
    """``d l_i(w f(x_i)) / dw`` at w = 1 for each row, (B,), differentiable once more.

    It is the inner product of a row's outputs with the gradient of its loss with respect to them.

    Args:
        outputs: (B, K), with gradient. targets: (B, ...).
    """
    with torch.enable_grad():
        found = losses(outputs, targets).sum()
        (slope,) = torch.autograd.grad(found, outputs, create_graph=True)
    return (slope * outputs).reshape(len(outputs), -1).sum(1)


def irm_penalty(
    slopes: torch.Tensor, domain: torch.Tensor, count: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """``1/E sum_e (d/dw R_e(w f))^2`` at w = 1, each square estimated by the product of the slopes of two halves of e's rows.

    Arjovsky, Bottou, Gulrajani, Lopez-Paz, *Invariant Risk Minimization*, 2019, equation IRMv1 and appendix D: the product of two
    halves has no bias, whereas the square over a small batch also counts its noise (the value can be below 0). Every
    second row of a domain is of the first half. Domains with one row or none are passed by.

    Args:
        slopes: (B,), of :func:`scale_slopes`. domain: int64 (B,). count: E, domains from there on are passed by.
        weights: (B,), what each row counts, or ``None``.
    """
    values = slopes if weights is None else slopes * weights.to(slopes.dtype)
    parts = [values[domain == e] for e in range(count)]
    squares = [part[::2].mean() * part[1::2].mean() for part in parts if len(part) > 1]
    return torch.stack(squares).mean() if squares else values.sum() * 0
