"""All pairs of a batch by their cosine: those that share a label together, others apart (Tunstall et al. 2022)."""

from __future__ import annotations

import torch


def pair_contrast(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``1/2 mean_same (cos - 1)^2 + 1/2 mean_other cos^2``, a scalar; a kind of pairs that the batch has none of counts nothing.

    The expectation of the squared difference of a pair's cosine to its label, 1 or 0, when a pair of either kind is drawn at even odds
    (Tunstall et al., *Efficient Few-Shot Learning Without Prompts*, 2022, section 3.1, with sentence-transformers' cosine loss).

    With several labels an input a pair is one of the same where the two share a label (as in the authors' code), or where neither has any.

    Args:
        features: float (B, d).
        labels: int64 (B,), a class; or (B, K), 1 for each label that the input has, else 0.
    """
    with torch.autocast(features.device.type, enabled=False):  # a cosine in bf16 has two digits
        unit = torch.nn.functional.normalize(features.float(), dim=1)
        cosine = unit @ unit.T
    same = shared(labels)
    upper = torch.ones_like(same).triu(1)
    parts = [(cosine[same & upper] - 1).square(), cosine[~same & upper].square()]
    found = [part.mean() for part in parts if len(part)]
    return sum(found, cosine.sum() * 0.0) / 2


def shared(labels: torch.Tensor) -> torch.Tensor:
    """bool (B, B), whether two inputs have a label in common (or both none); ``labels`` as for :func:`pair_contrast`."""
    if labels.ndim == 1:
        return labels[:, None] == labels[None, :]
    has = labels.float()
    none = has.sum(1) == 0
    return (has @ has.T > 0) | (none[:, None] & none[None, :])
