"""Distances to a teacher: of its outputs (Hinton et al. 2015; Li & Hoiem 2016) and of its features (Romero et al. 2015)."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity


def soft_divergence(logits: torch.Tensor, teacher: torch.Tensor, temperature: float = 2.0) -> torch.Tensor:
    """``T^2 / B sum_b KL( softmax(teacher_b / T) || softmax(logits_b / T) )``, a scalar, 0 where both agree.

    Li & Hoiem, *Learning without Forgetting*, ECCV 2016, equation 2, is its cross-entropy, which differs by the
    teacher's entropy: a constant, so that the gradient is the same. ``T^2`` keeps the gradient's size whatever the
    temperature (Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015).

    Args:
        logits, teacher: (B, Z); the teacher's carry no gradient.
        temperature: T > 0.
    """
    q = torch.log_softmax(teacher.detach().float() / temperature, dim=1)
    p = torch.log_softmax(logits.float() / temperature, dim=1)
    return temperature**2 * (q.exp() * (q - p)).sum(1).mean()


def squared_difference(features: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """``1/(B d) sum_b ||f_b - g_b||^2``, a scalar; both (B, d) (the hint loss of Romero et al., *FitNets*, ICLR 2015)."""
    return (features.float() - teacher.detach().float()).square().mean()


def cosine_distance(features: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """``1/B sum_b (1 - cos(f_b, g_b))``, a scalar in [0, 2]; both (B, d)."""
    return 1 - cosine_similarity(features.float(), teacher.detach().float(), dim=1).mean()
