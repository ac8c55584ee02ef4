"""How much each number of an input speaks for an output: integrated gradients (Sundararajan, Taly and Yan, ICML 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch


def integrated_gradients(
    f: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    start: torch.Tensor,
    *,
    steps: int = 16,
    at_once: int = 16,
) -> torch.Tensor:
    """``(x - x') int_0^1 df(x' + a (x - x')) / dx da``, elementwise (equation 1 of the paper), of the shape of ``x``.

    The integral is taken by Gauss and Legendre's rule. The sum over all numbers is ``f(x) - f(x')`` (completeness), up to what the
    rule is short of.

    Args:
        f: points (S, *shape of x) -> (S,); each output depends on its own point alone.
        x: the input. start: x', what it is compared with.
        steps: points on the way, > 0.
        at_once: points that go through ``f`` together.
    """
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(x)
    for first in range(0, steps, at_once):
        part = slice(first, first + at_once)
        a, share = (
            torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in ((nodes[part] + 1) / 2, shares[part] / 2)
        )
        wide = (-1, *[1] * x.ndim)
        points = (start + a.view(wide) * (x - start)).detach().requires_grad_()
        gradient = torch.autograd.grad(f(points).sum(), points)[0]
        total += (share.view(wide) * gradient).sum(0)
    return (x - start) * total
