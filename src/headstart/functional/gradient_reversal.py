"""The identity whose gradient is turned round (Ganin and Lempitsky, ICML 2015)."""

from __future__ import annotations

import math
from typing import Any

import torch


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return -ctx.scale * gradient, None


def reverse_gradient(x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """``x`` itself; its gradient is ``-scale`` times what arrives."""
    return _Reverse.apply(x, scale)


def ramp_up(progress: float, gamma: float = 10.0) -> float:
    """``2 / (1 + exp(-gamma p)) - 1``: from 0 to nearly 1 over the training (Ganin et al., JMLR 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-gamma * progress)) - 1
