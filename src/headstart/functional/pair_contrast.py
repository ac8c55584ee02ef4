"""All pairs of a batch by their cosine: one label together, two labels apart (Tunstall et al. 2022)."""

from __future__ import annotations

import torch


def pair_contrast(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``1/2 mean_same (cos - 1)^2 + 1/2 mean_other cos^2``, a scalar; a kind of pairs that the batch has none of counts nothing.

    The expectation of the squared difference of a pair's cosine to its label, 1 or 0, when a pair of either kind is drawn at even odds
    (Tunstall et al., *Efficient Few-Shot Learning Without Prompts*, 2022, section 3.1, with sentence-transformers' cosine loss).

    Args:
        features: float (B, d).
        labels: int64 (B,).
    """
    with torch.autocast(features.device.type, enabled=False):  # a cosine in bf16 has two digits
        unit = torch.nn.functional.normalize(features.float(), dim=1)
        cosine = unit @ unit.T
    same = labels[:, None] == labels[None, :]
    upper = torch.ones_like(same).triu(1)
    parts = [(cosine[same & upper] - 1).square(), cosine[~same & upper].square()]
    found = [part.mean() for part in parts if len(part)]
    return sum(found, cosine.sum() * 0.0) / 2
