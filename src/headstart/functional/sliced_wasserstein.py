"""The Wasserstein distance of two weighted samples along lines, where it has a closed form (Rabin et al. 2011)."""

from __future__ import annotations

import torch

from headstart.functional.shares import comparable, nothing


def random_directions(d: int, n: int, like: torch.Tensor) -> torch.Tensor:
    """(d, n) directions of length 1, uniform on the sphere, from torch's own generator of the device of ``like``."""
    drawn = torch.randn(d, n, dtype=like.dtype, device=like.device)
    return drawn / torch.linalg.vector_norm(drawn, dim=0).clamp(min=1e-12)


def sliced_wasserstein(
    Xs: torch.Tensor,
    Xt: torch.Tensor,
    directions: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    p: int = 2,
) -> torch.Tensor:
    """``1/L sum_l integral_0^1 |F_l^-1(u) - G_l^-1(u)|^p du``, a scalar, in units of features to the power of p.

    F_l, G_l are the distributions of both domains' rows along direction l; on a line the best plan matches quantiles, so that
    samples of any sizes and weights are compared without one being cut. Rabin, Peyre, Delon, Bernot, *Wasserstein
    Barycenter and its Application to Texture Mixing*, SSVM 2011; Lee, Batra, Baig, Ulbricht, *Sliced Wasserstein Discrepancy for
    Unsupervised Domain Adaptation*, CVPR 2019, compare the outputs of two
    classifiers in the same way; here it is the features of two domains.

    Args:
        Xs, Xt: (n, d), (m, d).
        directions: (d, L), of :func:`random_directions`.
        source, target: shares (n,), (m,) of :func:`headstart.functional.shares.shares`.
        p: 1 or 2, default 2.

    Returns:
        0 with gradient where a domain has no row that counts.
    """
    if not comparable(source, target):
        return nothing(Xs, Xt)
    along_s, up_s = _quantiles(Xs @ directions, source)
    along_t, up_t = _quantiles(Xt @ directions, target)
    cuts = torch.cat([up_s, up_t], 1).clamp(max=1).sort(1).values
    width = torch.diff(cuts, dim=1, prepend=cuts.new_zeros(len(cuts), 1))
    middle = cuts - width / 2
    gap = _at(along_s, up_s, middle) - _at(along_t, up_t, middle)
    return (gap.abs().pow(p) * width).sum(1).mean()


def _quantiles(along: torch.Tensor, side: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows sorted along each direction (L, n), and the share of the sample up to each, (L, n)."""
    values, order = along.T.sort(1)
    up = side[order].cumsum(1)
    return values, up / up[:, -1:]


def _at(values: torch.Tensor, up: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The quantile function at each share, (L, q)."""
    return values.gather(1, torch.searchsorted(up, share).clamp(max=values.shape[1] - 1))
