"""The mean of Gaussian kernels of several widths, on torch rows and with their gradient (Long et al. 2015)."""

from __future__ import annotations

import torch


def pair_distances(rows: torch.Tensor) -> torch.Tensor:
    """``||x_i - x_j||^2`` (n, n), never negative, exactly 0 on the diagonal; what
    :func:`headstart.functional.kernels.squared_distances` is for arrays. Smooth everywhere: equal rows have a gradient of 0.

    Args:
        rows: (n, d).
    """
    if not len(rows):
        return rows @ rows.T
    rows = rows - rows.detach().mean(0)  # distances stay, rounding of long rows does not
    length = rows.square().sum(1)
    found = (length[:, None] + length - 2 * rows @ rows.T).clamp(min=0)
    return found * (1 - torch.eye(len(rows), dtype=rows.dtype, device=rows.device))


def median_width(distances: torch.Tensor) -> float:
    """The median heuristic: the median of ``||x - x'||^2`` over pairs of distinct rows; their mean where that is 0, 1 where
    all rows are equal. Its inverse is :func:`headstart.functional.kernels.median_gamma`.

    Args:
        distances: (n, n), of :func:`pair_distances`; read without gradient.
    """
    n = len(distances)
    if n < 2:
        return 1.0
    pairs = distances.detach().flatten()[1:].view(n - 1, n + 1)[:, :-1]  # all but the diagonal
    middle = float(pairs.median()) or float(pairs.mean())
    return middle if middle > 0 else 1.0


def gaussian_kernels(distances: torch.Tensor, widths: int = 5, width: float | None = None) -> torch.Tensor:
    """``1/m sum_k exp(-||x_i - x_j||^2 / (2^k s))`` (n, n), in (0, 1], k = -(m - 1) / 2 .. (m - 1) / 2 in steps of 1.

    Long, Cao, Wang, Jordan, *Learning Transferable Features with Deep Adaptation Networks*, ICML 2015: kernels
    whose widths are the median of the squared distances times powers of 2. All have the same coefficient here, where the
    paper solves a quadratic programme for them.

    Args:
        distances: (n, n), of :func:`pair_distances`.
        widths: m >= 1, default 5: a quarter of the median to four times it.
        width: s > 0; ``None`` is :func:`median_width`, a constant for the gradient.
    """
    middle = median_width(distances) if width is None else width
    each = [-1 / (middle * 2.0 ** (k - (widths - 1) / 2)) for k in range(widths)]
    return torch.exp(distances * distances.new_tensor(each)[:, None, None]).mean(0)
