"""Losses on a sphere: ArcFace's additive angular margin, and the triplet loss over all triples of a batch."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def unit(x: torch.Tensor) -> torch.Tensor:
    """Rows of length 1, as float32; a row of zeros stays zero."""
    return F.normalize(x.float(), dim=1)


def arcface_logits(cosines: torch.Tensor, targets: torch.Tensor, *, margin: float, scale: float) -> torch.Tensor:
    """``s cos(theta_y + m)`` for the true class, ``s cos(theta_j)`` for the others (Deng et al., CVPR 2019, eq. 3).

    Where ``theta_y + m`` would pass pi, cos is not falling any more; there the logit goes on as ``s (cos(theta_y) - m sin(m))``,
    as in the authors' code.

    Args:
        cosines: (B, C) in [-1, 1], of each embedding to each class centre.
        targets: int (B,).
        margin: m in radians, in [0, pi / 2).
        scale: s > 0.
    """
    own = cosines.gather(1, targets[:, None])
    sine = (1 - own.square()).clamp_min(0).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    turned = torch.where(own > -math.cos(margin), turned, own - margin * math.sin(margin))
    return scale * cosines.scatter(1, targets[:, None], turned)


def triplet_loss(embeddings: torch.Tensor, targets: torch.Tensor, *, margin: float) -> torch.Tensor:
    """Mean of ``[||a - p||^2 - ||a - n||^2 + margin]_+`` over the triples of the batch that are not yet solved.

    FaceNet's loss (Schroff et al., CVPR 2015, eq. 3) over all triples (a, p, n) with one identity for a and p, another for n;
    the mean is over those with a positive loss (Hermans et al. 2017, "batch all, non-zero"). 0 where there is none.

    Args:
        embeddings: (B, D), rows of length 1.
        targets: int (B,).
        margin: > 0, in squared distance.
    """
    squared = (2 - 2 * embeddings @ embeddings.T).clamp_min(0)
    same = targets[:, None] == targets[None, :]
    positive = same & ~torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    over = (squared[:, :, None] - squared[:, None, :] + margin).clamp_min(0)
    over = over * (positive[:, :, None] & ~same[:, None, :])
    return over.sum() / (over > 0).sum().clamp_min(1)
