"""Small-loss selection: images whose loss is largest are taken for wrongly labelled (Han et al., NeurIPS 2018)."""

from __future__ import annotations

import torch


def forget_share(rate: float, progress: float, warmup: float) -> float:
    """The share to leave out, ``rate * min(progress / warmup, 1)``: nothing at first, while all labels are still learned.

    Args:
        rate: the share of wrong labels, in [0, 1).
        progress: share of the training that has passed, in [0, 1).
        warmup: share of the training after which ``rate`` is reached, in [0, 1].
    """
    return rate * (min(progress / warmup, 1.0) if warmup else 1.0)


def smallest(losses: torch.Tensor, forget: float) -> torch.Tensor:
    """bool (B,): the ``B - floor(forget * B)`` smallest losses, at least one; of equal ones the first.

    Args:
        losses: float (B,).
        forget: share to leave out, in [0, 1).
    """
    n = len(losses)
    keep = max(1, n - int(forget * n + 1e-9))
    order = torch.argsort(losses.detach(), stable=True)
    mask = torch.zeros(n, dtype=torch.bool, device=losses.device)
    mask[order[:keep]] = True
    return mask
