"""Minimum class confusion (Jin, Wang, Long, Wang, ECCV 2020)."""

from __future__ import annotations

import torch

from headstart.functional.entropies import certainty_weights


def class_confusion(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """``1/K sum_j sum_{j' != j} C_jj'``: how much of the classes' mass the predictions of a batch share with other classes.

    ``C = P^T W P`` with each row divided by its sum (equations 3 to 7), P (B, K) the probabilities at the temperature, W the weights of
    :func:`headstart.functional.entropies.certainty_weights`, without gradient as in the authors' code. In [0, 1 - 1/K].

    Args:
        logits: (B, K), K >= 2.
        temperature: T > 0.
    """
    scaled = logits / temperature
    probabilities = torch.softmax(scaled, dim=1)
    together = (probabilities * certainty_weights(scaled)[:, None]).T @ probabilities
    together = together / together.sum(dim=1, keepdim=True)
    return (together.sum() - together.diagonal().sum()) / logits.shape[1]
