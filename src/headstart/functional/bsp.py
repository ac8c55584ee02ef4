"""Batch spectral penalisation: the largest singular values of each domain's features (Chen et al. 2019)."""

from __future__ import annotations

import torch

from headstart.functional.shares import comparable, nothing


def largest_singular_values(
    Xs: torch.Tensor, Xt: torch.Tensor, source: torch.Tensor, target: torch.Tensor, k: int = 1
) -> torch.Tensor:
    """``sum_{i=1..k} sigma_{s,i}^2 + sigma_{t,i}^2``, a scalar: the k largest singular values of each domain's matrix, squared.

    Chen, Wang, Long, Wang, *Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
    Adaptation*, ICML 2019, its L_bsp. The gradient of one is ``2 sigma_i u_i v_i^T``, which no other singular value enters, so
    that equal ones do no harm.

    Args:
        Xs, Xt: (n, d), (m, d). A row counts n a_i times in its matrix (its square root scales the row).
        source, target: shares a (n,), (m,) of :func:`headstart.functional.shares.shares`; a domain of which no row counts
            adds nothing.
        k: >= 1; all where there are fewer.
    """
    total = nothing(Xs, Xt)
    for X, side in ((Xs, source), (Xt, target)):
        if comparable(side):
            values = torch.linalg.svdvals(X * (side * len(side)).sqrt()[:, None])
            total = total + values[:k].square().sum()
    return total
