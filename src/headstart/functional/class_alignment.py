"""Contrastive domain discrepancy: classes together across domains, apart between them (Kang et al. 2019)."""

from __future__ import annotations

import torch
from torch.nn.functional import one_hot

from headstart.functional.gaussian_mixture_kernel import gaussian_kernels, pair_distances
from headstart.functional.mmd import class_discrepancies
from headstart.functional.shares import nothing


def contrastive_discrepancy(
    Xs: torch.Tensor,
    Xt: torch.Tensor,
    ys: torch.Tensor,
    yt: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    classes: int,
    *,
    between: float = 1.0,
    widths: int = 5,
    width: float | None = None,
) -> torch.Tensor:
    """``1/M sum_c D(c, c) - between / (M (M - 1)) sum_{c != c'} D(c, c')``, a scalar, in [-2, 2].

    Kang, Jiang, Yang, Hauptmann, *Contrastive Adaptation Network for Unsupervised Domain Adaptation*, CVPR 2019, equation 5: D is
    the squared MMD between class c of the source and class c' of the target, M the number of classes that both have. With
    one such class there is nothing to keep apart; with none the value is 0 with gradient.

    Args:
        Xs, Xt: (n, d), (m, d).
        ys, yt: int64 (n,), (m,): labels and pseudo-labels in 0..classes - 1; -1 for a row that has none and is left out.
        source, target: shares (n,), (m,) of :func:`headstart.functional.shares.shares`.
        classes: C.
        between: >= 0, what the part that keeps classes apart counts, default 1 (the paper's).
        widths, width: of the kernel (:func:`headstart.functional.gaussian_mixture_kernel.gaussian_kernels`); the median is
            taken over the rows that have a label and count.
    """
    rows_s, rows_t = (ys >= 0) & (source > 0), (yt >= 0) & (target > 0)
    in_s = _in_classes(ys[rows_s], source[rows_s], classes)
    in_t = _in_classes(yt[rows_t], target[rows_t], classes)
    both = (in_s.sum(0) > 0) & (in_t.sum(0) > 0)
    M = int(both.sum())
    if M == 0:
        return nothing(Xs, Xt)
    K = gaussian_kernels(pair_distances(torch.cat([Xs[rows_s], Xt[rows_t]])), widths, width)
    D = class_discrepancies(K, in_s[:, both], in_t[:, both])
    same = D.diagonal().sum()
    apart = (D.sum() - same) / (M * (M - 1)) if M > 1 else 0.0
    return same / M - between * apart


def _in_classes(labels: torch.Tensor, side: torch.Tensor, classes: int) -> torch.Tensor:
    """(n, C): the share of each row in its class; columns sum to 1, or to 0 for a class without rows."""
    member = one_hot(labels, classes).to(side.dtype) * side[:, None]
    total = member.sum(0)
    return member / torch.where(total > 0, total, torch.ones_like(total))
