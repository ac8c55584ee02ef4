"""Co-Tuning: what the source's classes are in terms of the target's (You et al. 2020)."""

from __future__ import annotations

import torch

TEMPERATURES = tuple(2.0 ** (i / 2) for i in range(-4, 9))
"""1/4 to 16: where a temperature is looked for."""


def relationship(P: torch.Tensor, labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """``p(y_s | y_t)``, (K, Z): the mean of the source's probabilities over the images of each target class.

    You, Kou, Long, Wang, *Co-Tuning for Transfer Learning*, NeurIPS 2020, the direct approach. (The reverse approach,
    p(y_t | y_s) first and then Bayes' rule, gives the same where p(y_t | y_s) is found by counting.) A class without
    an image gets the mean over all images.

    Args:
        P: (n, Z), rows summing to one.
        labels: int (n,), 0 to ``n_classes`` - 1.
    """
    onehot = torch.nn.functional.one_hot(labels, n_classes).to(P.dtype)
    count = onehot.sum(0)[:, None]
    return torch.where(count > 0, onehot.T @ P / count.clamp(min=1), P.mean(0))


def held_out_likelihood(P: torch.Tensor, labels: torch.Tensor, n_classes: int) -> float:
    """Mean log-probability of each label through the source's classes, the image itself left out of the counting::

        1/n sum_i log sum_z p_iz N^-i(y_i, z) / N^-i(z),   N^-i(y, z) = eps / K + sum_{j != i, y_j = y} p_jz

    (the expected log-likelihood of LEEP, Nguyen et al. 2020, with leave-one-out counts; eps = 1e-3 in all a source class).
    """
    onehot = torch.nn.functional.one_hot(labels, n_classes).to(P.dtype)
    joint = onehot.T @ P
    eps = 1e-3
    own = joint[labels] - P + eps / n_classes
    both = joint.sum(0) - P + eps
    return float((P * own / both).sum(1).log().mean())


def best_temperature(logits: torch.Tensor, labels: torch.Tensor, n_classes: int) -> float:
    """The temperature whose probabilities ``softmax(logits / T)`` tell most about labels left out.

    The paper calibrates on validation images of the source's own task. These are seldom at hand, so the target's
    training images are asked: :func:`held_out_likelihood` over :data:`TEMPERATURES`.

    Args:
        logits: (n, Z) of the source's head.
        labels: int (n,).
    """
    scores = [held_out_likelihood(torch.softmax(logits.double() / t, 1), labels, n_classes) for t in TEMPERATURES]
    return TEMPERATURES[max(range(len(scores)), key=scores.__getitem__)]


def soft_cross_entropy(logits: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """``-1/B sum_b sum_z q_bz log softmax(logits_b)_z``, a scalar; both (B, Z)."""
    return -(q * torch.log_softmax(logits.float(), dim=1)).sum(1).mean()
