"""Style of feature maps mixed between inputs (Zhou et al., ICLR 2021)."""

from __future__ import annotations

import torch

EPS = 1e-6


def mix_style(x: torch.Tensor, partner: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Each input's maps with statistics between its own and those of its partner:

    ``(lambda sigma(x) + (1 - lambda) sigma(x~)) (x - mu(x)) / sigma(x) + lambda mu(x) + (1 - lambda) mu(x~)``, mu and sigma over
    the positions of each channel of each input, without gradient (Zhou, Yang, Qiao, Xiang, *Domain Generalization with MixStyle*,
    ICLR 2021, equations 4 to 6).

    Args:
        x: (B, C, H, W). partner: int64 (B,), which input x~ is. share: lambda (B,), in [0, 1].
    """
    mu = x.detach().mean((2, 3), keepdim=True)
    sigma = (x.detach().var((2, 3), correction=0, keepdim=True) + EPS).sqrt()
    lam = share.to(x.dtype).view(-1, 1, 1, 1)
    return (lam * sigma + (1 - lam) * sigma[partner]) * ((x - mu) / sigma) + lam * mu + (1 - lam) * mu[partner]


def partners(domain: torch.Tensor | None, count: int, device: torch.device) -> torch.Tensor:
    """int64 (count,): for each input one drawn from those of other domains; a random order of all where these are not known.

    Args:
        domain: int64 (count,), or ``None``.
    """
    if domain is None or (domain == domain[0]).all():
        return torch.randperm(count, device=device)
    return torch.multinomial((domain[:, None] != domain[None, :]).float(), 1)[:, 0]
