"""The central moment discrepancy (Zellinger et al. 2017)."""

from __future__ import annotations

import torch

from headstart.functional.shares import comparable, nothing


def central_moment_discrepancy(
    Xs: torch.Tensor,
    Xt: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    moments: int = 5,
    span: float | None = None,
) -> torch.Tensor:
    """``1/r ||E(s) - E(t)||_2 + sum_{k=2..K} 1/r^k ||c_k(s) - c_k(t)||_2``, a scalar; c_k(x) = E((x - E(x))^k) by coordinate.

    Zellinger, Grubinger, Lughofer, Natschlaeger, Saminger-Platz, *Central Moment Discrepancy (CMD) for Domain-Invariant
    Representation Learning*, ICLR 2017, definition 2, with r = b - a for features in [a, b]^d. The paper's come from a
    sigmoid or tanh, so that r is known; here it may be measured.

    Args:
        Xs, Xt: (n, d), (m, d).
        source, target: shares (n,), (m,) of :func:`headstart.functional.shares.shares`.
        moments: K >= 1, default 5 (the paper's).
        span: r > 0; ``None`` is the widest range of one coordinate over both domains, a constant for the gradient (1 where
            all rows are equal).

    Returns:
        0 with gradient where a domain has no row that counts.
    """
    if not comparable(source, target):
        return nothing(Xs, Xt)
    if span is None:
        both = torch.cat([Xs[source > 0], Xt[target > 0]]).detach()
        span = float((both.amax(0) - both.amin(0)).max()) or 1.0
    mean_s, mean_t = source @ Xs, target @ Xt
    total = torch.linalg.vector_norm((mean_s - mean_t) / span)
    As, At = (Xs - mean_s) / span, (Xt - mean_t) / span
    for k in range(2, moments + 1):
        total = total + torch.linalg.vector_norm(source @ As**k - target @ At**k)
    return total
