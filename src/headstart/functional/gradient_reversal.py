"""Gradient reversal: nothing on the way forward, the other sign on the way back (Ganin et al., JMLR 2016, section 4.2)."""

from __future__ import annotations

import math
from typing import Any

import torch


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, coefficient: float) -> torch.Tensor:
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:
        return -ctx.coefficient * gradients[0], None


def reverse_gradient(x: torch.Tensor, coefficient: float = 1.0) -> torch.Tensor:
    """``x`` itself; its gradient is ``-coefficient`` times the one that arrives (equations 19 and 20).

    A loss behind it is lowered by what comes after the reversal (a discriminator, whose gradient is the plain one) and raised by
    what comes before it (the features), in one step of descent.

    Args:
        x: of any shape.
        coefficient: lambda >= 0.
    """
    return _Reversal.apply(x, coefficient)


def adversarial_schedule(progress: float, gamma: float = 10.0) -> float:
    """``lambda_p = 2 / (1 + exp(-gamma p)) - 1``, from 0 to almost 1 (section 5.2.2).

    While the discriminator is still noise, the features do not listen to it.

    Args:
        progress: p, share of the training that has passed, in [0, 1].
        gamma: > 0, default 10 (the paper's).

    >>> adversarial_schedule(0.0)
    0.0
    >>> round(adversarial_schedule(0.1), 6) == round((math.e - 1) / (math.e + 1), 6)
    True
    """
    return 2 / (1 + math.exp(-gamma * progress)) - 1
