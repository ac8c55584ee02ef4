"""The supervised contrastive loss (Khosla et al. 2020)."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def supervised_contrastive(
    features: torch.Tensor,
    labels: torch.Tensor,
    temperature: float = 0.1,
    keys: torch.Tensor | None = None,
    key_labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images of one class together, of others apart; a scalar::

        1/|I| sum_{i in I} -1/|P(i)| sum_{p in P(i)} log [ exp(z_i . z_p / tau) / sum_{a != i} exp(z_i . z_a / tau) ]

    with z the features divided by their length, a over the other images of the batch and the keys, P(i) those of them
    with the label of i, and I the images that have any. Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020,
    equation 2. Without any pair of one class the value is 0.

    Args:
        features: (B, d), gradients flow through both sides.
        labels: int (B,).
        temperature: tau > 0.
        keys, key_labels: (Q, d) and int (Q,), more images to compare with, without gradient.
    """
    z = normalize(features.float(), dim=1)
    pool, pool_labels = z, labels
    if keys is not None and key_labels is not None:
        pool = torch.cat([z, normalize(keys.float(), dim=1).detach()])
        pool_labels = torch.cat([labels, key_labels])
    itself = torch.eye(len(z), len(pool), dtype=torch.bool, device=z.device)
    logits = (z @ pool.T / temperature).masked_fill(itself, float("-inf"))
    positive = (labels[:, None] == pool_labels[None]) & ~itself
    logp = torch.log_softmax(logits, dim=1).masked_fill(~positive, 0.0)
    count = positive.sum(1)
    has = count > 0
    each = -logp.sum(1) / count.clamp(min=1)
    return (each * has).sum() / has.sum().clamp(min=1)
