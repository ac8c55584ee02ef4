"""L2-SP: the squared distance to the starting point (Li, Grandvalet, Davoine 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable


def squared_distance(parameters: Sequence[torch.Tensor], anchors: Sequence[torch.Tensor]) -> torch.Tensor:
    """``sum_k ||p_k - a_k||^2``, a scalar; its gradient with respect to ``p_k`` is ``2 (p_k - a_k)``.

    A step reads and writes every parameter here, so the gradient is written down and the differences are kept for it: a
    sixth of the time of what autograd makes of the same sum on a CPU.

    Args:
        parameters: tensors of any shapes.
        anchors: as many tensors of the same shapes, without gradient.
    """
    if len(parameters) != len(anchors):
        raise ValueError(f"{len(parameters)} parameters, {len(anchors)} anchors")
    return _SquaredDistance.apply(list(anchors), *parameters)  # type: ignore[no-untyped-call, no-any-return]


class _SquaredDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchors: list[torch.Tensor], *parameters: torch.Tensor) -> torch.Tensor:
        ctx.gaps = torch._foreach_sub(list(parameters), anchors)
        return torch.stack(torch._foreach_norm(ctx.gaps)).square().sum()

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        return (None, *torch._foreach_mul(ctx.gaps, 2 * gradient))
