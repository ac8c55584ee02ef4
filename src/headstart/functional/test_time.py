"""What a model may learn from test inputs alone: statistics blended with the source's, and the entropy of what it says."""

from __future__ import annotations

import torch


def blended(source: torch.Tensor, found: torch.Tensor, n: int, prior: float) -> torch.Tensor:
    """``N / (N + n) source + n / (N + n) found``: the source's statistics count as ``N`` test inputs.

    Equations 1 and 2 of Schneider et al., NeurIPS 2020 (means and variances alike); N = 0 are the statistics of the batch
    alone (Nado et al. 2020), N to infinity those of the source.

    Args:
        source, found: (C,), a mean or a variance a channel.
        n: inputs that ``found`` was measured on, >= 1.
        prior: N >= 0.
    """
    share = prior / (prior + n)
    return share * source + (1 - share) * found


def mean_entropy(logits: torch.Tensor) -> torch.Tensor:
    """``-1/B sum_i sum_k p_ik log p_ik`` of the softmax, in nats, a scalar with gradient (Wang et al., ICLR 2021, section 3.1).

    Args:
        logits: (B, K).
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
