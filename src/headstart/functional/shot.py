"""SHOT (Liang et al., ICML 2020): information maximisation, and labels by the nearest centroid."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize, one_hot


def information_maximisation(logits: torch.Tensor) -> torch.Tensor:
    """``-1/B sum_i sum_k p_ik log p_ik + sum_k m_k log m_k``, m the mean of p: sure of each row, of all classes over the batch.

    Equations 2 and 3 (L_ent + L_div), a scalar with gradient, from -log K to log K.

    Args:
        logits: (B, K).
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    p = log_p.exp()
    mean = p.mean(dim=0)
    return -(p * log_p).sum(dim=1).mean() + (mean * mean.clamp(min=1e-12).log()).sum()


def centroid_labels(features: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """int64 (m,): the class of the nearest centroid by cosine, after one round of clustering (equations 4 to 6).

    The first centroids are means of the features weighed by the probabilities of their classes, ``c_k = sum_i p_ik f_i / sum_i p_ik``,
    the second ones means of the rows nearest to the first. Classes that no row is predicted as have no centroid.

    Args:
        features: (m, d).
        p: (m, K) probabilities.
    """
    unit = normalize(features, dim=1)

    def nearest(shares: torch.Tensor) -> torch.Tensor:
        there = shares.argmax(dim=1).unique()
        # the length of a centroid plays no part in a cosine, so that sums do
        return there[(unit @ normalize(shares[:, there].T @ features, dim=1).T).argmax(dim=1)]

    return nearest(one_hot(nearest(p), p.shape[1]).to(features.dtype))
