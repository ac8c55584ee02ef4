"""Bi-Tuning's contrastive cross-entropy: the softmax over images instead of over classes (Zhong et al. 2020)."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def contrastive_cross_entropy(
    weight: torch.Tensor,
    features: torch.Tensor,
    labels: torch.Tensor,
    temperature: float = 0.07,
    keys: torch.Tensor | None = None,
    key_labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """For each image, which images of the pool the weight vector of its class picks out; a scalar::

        1/B sum_i -1/|P(y_i)| sum_{p in P(y_i)} log [ exp(w_{y_i} . h_p / tau) / sum_a exp(w_{y_i} . h_a / tau) ]

    with h the features divided by their length, a over the batch and the keys, and P(y) those of them with label y. Zhong
    et al., *Bi-tuning of Pre-trained Representations*, 2020, equation 3. The classes' weights are not divided by their length:
    a head that starts at zero has none.

    Args:
        weight: (K, d), the classifier's rows.
        features: (B, d).
        labels: int (B,).
        temperature: tau > 0.
        keys, key_labels: (Q, d) and int (Q,), more images of the pool, without gradient.
    """
    pool, pool_labels = normalize(features.float(), dim=1), labels
    if keys is not None and key_labels is not None:
        pool = torch.cat([pool, normalize(keys.float(), dim=1).detach()])
        pool_labels = torch.cat([labels, key_labels])
    logp = torch.log_softmax(weight.float()[labels] @ pool.T / temperature, dim=1)
    positive = labels[:, None] == pool_labels[None]
    return -((logp * positive).sum(1) / positive.sum(1)).mean()
