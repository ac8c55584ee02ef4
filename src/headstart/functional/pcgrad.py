"""Gradients of several tasks without their conflicts (PCGrad; Yu et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def pcgrad(gram: torch.Tensor, orders: Sequence[Sequence[int]]) -> torch.Tensor:
    """(K, K): row i holds the coefficients c of the projected gradient of task i, ``sum_j c_ij g_j``.

    Their algorithm 1: beginning with ``g_i``, for every other task j in the given order, where ``<g, g_j> < 0`` the part
    along ``g_j`` is taken off, ``g - <g, g_j> / |g_j|^2 g_j``. All of it happens in the span of the gradients, so that their
    inner products are all that is needed.

    Args:
        gram: (K, K), ``<g_i, g_j>``.
        orders: for each task the order in which it meets the others (the paper draws it anew for every update).
    """
    found = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for i, order in enumerate(orders):
        for j in order:
            product = found[i] @ gram[:, j]
            if j != i and product < 0:
                found[i, j] -= product / gram[j, j]
    return found
