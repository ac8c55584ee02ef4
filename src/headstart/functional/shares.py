"""Weights of rows as shares of a whole: what turns weighted rows into a distribution."""

from __future__ import annotations

import torch


def shares(rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """``w_i / sum_j w_j`` (n,), without gradient, in the type of ``rows``; 1 / n without weights.

    Rows without any weight, or no rows, have shares of 0: :func:`comparable` says so.

    Args:
        rows: (n, d), for number, type and device.
        weights: (n,), at least 0, on any scale, or ``None``.
    """
    if weights is None:
        return rows.new_full((len(rows),), 1 / max(len(rows), 1))
    given = weights.detach().to(rows)
    total = given.sum()
    return given / total if total > 0 else torch.zeros_like(given)


def comparable(*sides: torch.Tensor) -> bool:
    """Whether every side has a row that counts: shares (n,) that are not all 0."""
    return all(bool(side.any()) for side in sides)


def spread(side: torch.Tensor) -> torch.Tensor:
    """``1 - sum_i a_i^2`` of shares a (n,), computed without cancellation: (n - 1) / n where all are alike, 0 for one row."""
    return (side * (1 - side)).sum()


def nothing(*values: torch.Tensor) -> torch.Tensor:
    """0 with a gradient of 0 to all of ``values``."""
    return torch.stack([value.sum() * 0.0 for value in values]).sum()
