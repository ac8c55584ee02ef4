"""DELTA: the distance of feature maps, each channel as heavy as the loss that it saves (Li et al. 2019)."""

from __future__ import annotations

import torch


def as_channels(value: torch.Tensor) -> torch.Tensor:
    """What a stage gives -> (B, positions, C).

    Maps (B, C, H, W) and (B, H, W, C) (told by its two equal middle sides), tokens (B, T, C) and vectors (B, C) are known.
    """
    if value.ndim == 2:
        return value[:, None]
    if value.ndim == 3:
        return value
    return (value if channels_last(value) else value.movedim(1, 3)).flatten(1, 2)


def channels_last(value: torch.Tensor) -> bool:
    """Whether the channels of a stage's output (4 axes or fewer) are its last axis; inputs are square."""
    return value.ndim != 4 or (value.shape[2] != value.shape[3] and value.shape[1] == value.shape[2])


def channel_attention(rise: torch.Tensor) -> torch.Tensor:
    """``softmax(rise)``, (C,), of sum 1: a channel counts more, the more the loss rises without it.

    Li, Xiong, Wang, Rao, Liu, Huan, *DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional
    Networks*, ICLR 2019, equation 6.

    Args:
        rise: (C,), ``L(without channel j) - L``.
    """
    return torch.softmax(rise, dim=0)


def attended_distance(value: torch.Tensor, anchor: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """``1/B sum_b sum_j a_j 1/P sum_p (f_bpj - f*_bpj)^2``, a scalar.

    Equation 4 of the paper, the squared distance of a channel divided by its number of positions P as in the authors' code.

    Args:
        value, anchor: (B, P, C), see :func:`as_channels`.
        attention: (C,).
    """
    return ((value.float() - anchor.float()).square().mean(1) * attention).sum(1).mean()
