"""The mean loss of each of several domains, and weights of domains spread over their rows."""

from __future__ import annotations

import torch


def domain_risks(
    losses: torch.Tensor, domain: torch.Tensor, count: int, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """``R_e = 1/n_e sum_{i in e} w_i l_i`` of each domain, (count,), and whether it has rows at all, bool (count,).

    The risk of a domain without rows is 0. Rows of a domain from ``count`` on (labelled ones of a target) are passed by.

    Args:
        losses: (B,), with gradient. domain: int64 (B,). count: domains.
        weights: (B,), what each row counts, or ``None``.
    """
    values = losses if weights is None else losses * weights.to(losses.dtype)
    mine = domain < count
    n = torch.bincount(domain[mine], minlength=count)
    sums = torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, domain[mine], values[mine])
    return sums / n.clamp_min(1), n > 0


def row_factors(shares: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
    """(B,) factors f with ``1/n sum_i f_i l_i = sum_e q_e R_e`` over the n rows of the domains: ``f_i = q_e n / n_e``.

    Rows of a domain without a share (labelled ones of a target) keep 1. A domain without rows in the batch leaves its share to
    the others.

    Args:
        shares: q (E,), at least 0. domain: int64 (B,).
    """
    mine = domain < len(shares)
    of = domain[mine]
    n = torch.bincount(of, minlength=len(shares))
    there = shares * (n > 0)
    q = there / there.sum().clamp_min(torch.finfo(there.dtype).tiny)
    factors = torch.ones(len(domain), dtype=shares.dtype, device=domain.device)
    factors[mine] = (q * len(of) / n.clamp_min(1))[of]
    return factors
