"""What a classifier of domains is taught."""

from __future__ import annotations

import torch
from torch.nn.functional import softplus

from headstart.functional.weighted import weighted_mean


def domain_loss(
    source: torch.Tensor,
    target: torch.Tensor,
    source_weights: torch.Tensor | None = None,
    target_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """``-1/2 (1/B sum_i w_i log d_i + 1/U sum_u w_u log(1 - d_u))``, d the chance of being of the source: log 2 for one that guesses.

    Both domains count alike, however many inputs a batch has of each.

    Args:
        source: (B,) or (B, 1) logits of d.
        target: (U,) or (U, 1), the same.
        source_weights, target_weights: what each input counts, (B,) and (U,), or ``None``.
    """
    of_source = weighted_mean(softplus(-source.reshape(-1)), source_weights)
    return 0.5 * (of_source + weighted_mean(softplus(target.reshape(-1)), target_weights))
