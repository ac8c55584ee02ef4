"""The squared maximum mean discrepancy of weighted rows, from one kernel matrix (Gretton et al. 2012)."""

from __future__ import annotations

import torch

from headstart.functional.shares import comparable, nothing


def kernel_discrepancy(
    K: torch.Tensor, source: torch.Tensor, target: torch.Tensor, unbiased: bool = True
) -> torch.Tensor:
    """``sum_ij a_i a_j k(s_i, s_j) + sum_ij b_i b_j k(t_i, t_j) - 2 sum_ij a_i b_j k(s_i, t_j)``, a scalar.

    Gretton, Borgwardt, Rasch, Schoelkopf, Smola, *A Kernel Two-Sample Test*, JMLR 13, 2012. The sums run over all pairs in
    the V-statistic (equation 5), which is never negative and is not 0 for two samples of one distribution. In the
    unbiased U-statistic (equation 3) the first two leave out i = j and are divided by the ``sum_{i != j} a_i a_j`` that is left.

    Args:
        K: (n + m, n + m), the kernel between all rows, the n of the source first.
        source, target: shares a (n,), b (m,) of :func:`headstart.functional.shares.shares`.
        unbiased: the U-statistic, default. A domain of which one row counts has no such pairs: the value is then 0.

    Returns:
        0 with gradient where a domain has no row that counts.
    """
    Q = pair_weights(source, target, unbiased)
    return nothing(K) if Q is None else (K * Q).sum()


def pair_weights(source: torch.Tensor, target: torch.Tensor, unbiased: bool) -> torch.Tensor | None:
    """What each pair of rows counts, (n + m, n + m), ``None`` where there is nothing to compare."""
    if not comparable(source, target):
        return None
    n, signed = len(source), torch.cat([source, -target])
    Q = torch.outer(signed, signed)
    if unbiased:
        for within in (Q[:n, :n], Q[n:, n:]):
            within.diagonal().zero_()
            mass = float(within.sum())
            if mass == 0:
                return None
            within /= mass
    return Q


def class_discrepancies(K: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The V-statistic between every class of the source and every class of the target, (C, C), never below 0 but for rounding.

    ``D[c, c'] = |mean of k(s, .) over class c - mean of k(t, .) over class c'|^2`` (Kang et al. 2019, equations 3 and 4).

    Args:
        K: (n + m, n + m), the kernel between all rows, the n of the source first.
        source, target: (n, C), (m, C): the share of each row in each class; columns sum to 1, or are 0 for a class without
            rows, whose row and column mean nothing.
    """
    n = len(source)
    within_source = ((K[:n, :n] @ source) * source).sum(0)
    within_target = ((K[n:, n:] @ target) * target).sum(0)
    return within_source[:, None] + within_target - 2 * source.T @ K[:n, n:] @ target
