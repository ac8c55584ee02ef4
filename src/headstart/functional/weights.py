"""Weights as points of a space: the mean of several, and the straight line between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

State = Mapping[str, torch.Tensor]
"""Names -> tensors, as ``Module.state_dict()`` gives them."""


def interpolate(start: State, end: State, alpha: float) -> dict[str, torch.Tensor]:
    """``(1 - alpha) start + alpha end`` (WiSE-FT: Wortsman et al., CVPR 2022, eq. 1), as new tensors.

    At 0 and 1 these are the end points bit for bit. Running statistics of batch norms lie on the line too, so that it is
    continuous at both ends; tensors of whole numbers (counters) are those of the nearer end.

    Args:
        start, end: the same names and shapes.
        alpha: in [0, 1].

    Raises:
        ValueError: other names, other shapes, or ``alpha`` outside.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, not in [0, 1]")
    _check([start, end])
    nearer = start if alpha < 0.5 else end
    return {
        name: torch.lerp(a, end[name].to(a.device), alpha)
        if 0 < alpha < 1 and a.is_floating_point()
        else nearer[name].clone()
        for name, a in start.items()
    }


def mean_weights(states: Sequence[State]) -> dict[str, torch.Tensor]:
    """``1/N sum_i theta_i``, the uniform soup (Wortsman et al., ICML 2022), summed in float64.

    Tensors of whole numbers are those of the first. The running statistics of batch norms come out as means too, which
    is not what the averaged network sees: :func:`headstart.training.averaging.refresh_batch_norm` measures them anew.

    Raises:
        ValueError: no states, or other names or shapes.
    """
    _check(states)
    first = states[0]
    return {
        name: sum((s[name].to(value.device, torch.float64) for s in states[1:]), value.to(torch.float64))
        .div(len(states))
        .to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in first.items()
    }


def _check(states: Sequence[State]) -> None:
    if not states:
        raise ValueError("no weights to average")
    first = states[0]
    for other in states[1:]:
        if other.keys() != first.keys():
            raise ValueError(f"other tensors: {sorted(other.keys() ^ first.keys())[:4]}")
        for name, value in first.items():
            if other[name].shape != value.shape:
                raise ValueError(f"{name} is {tuple(value.shape)} and {tuple(other[name].shape)}")
