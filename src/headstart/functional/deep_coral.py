"""The distance of two domains' covariances (Sun & Saenko 2016)."""

from __future__ import annotations

import torch

from headstart.functional.shares import nothing, spread


def coral_loss(Xs: torch.Tensor, Xt: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``||C_s - C_t||_F^2 / (4 d^2)``, a scalar.

    Sun, Saenko, *Deep CORAL: Correlation Alignment for Deep Domain Adaptation*, ECCV workshops 2016, equations 1 to 3. With
    shares a that sum to 1, ``C = sum_i a_i (x_i - m)(x_i - m)^T / (1 - sum_i a_i^2)``, ``m = sum_i a_i x_i``: divided by n - 1,
    as in the paper, where all rows count alike. Where d is larger than the number of rows no d x d matrix is made: with Z the
    scaled rows of both domains and the sign s = +1 for the source's, -1 for the target's,
    ``||C_s - C_t||_F^2 = sum_ij s_i s_j (z_i . z_j)^2``.

    Args:
        Xs, Xt: (n, d), (m, d).
        source, target: shares (n,), (m,) of :func:`headstart.functional.shares.shares`.

    Returns:
        0 with gradient where fewer than two rows of a domain count: they have no covariance.
    """
    if not (spread(source) > 0 and spread(target) > 0):
        return nothing(Xs, Xt)
    Zs, Zt = _scaled(Xs, source), _scaled(Xt, target)
    d = Xs.shape[1]
    if len(Zs) + len(Zt) < d:
        between = 2 * (Zs @ Zt.T).square().sum()
        distance = (Zs @ Zs.T).square().sum() + (Zt @ Zt.T).square().sum() - between
    else:
        distance = (Zs.T @ Zs - Zt.T @ Zt).square().sum()
    return distance / (4 * d * d)


def _scaled(X: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Rows Z with Z^T Z the covariance."""
    return (X - side @ X) * (side / spread(side)).sqrt()[:, None]
