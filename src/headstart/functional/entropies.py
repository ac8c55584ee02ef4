"""Entropy of predictions: of each, and of all together."""

from __future__ import annotations

import math

import torch


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """(B,): ``H(p_i) = -sum_k p_ik log p_ik`` in nats of the softmax of (B, K) logits (Grandvalet and Bengio, NeurIPS 2004)."""
    logs = torch.log_softmax(logits, dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def information(logits: torch.Tensor) -> torch.Tensor:
    """``I(x; y) = H(1/B sum_i p_i) - 1/B sum_i H(p_i)`` in nats, of (B, K) logits: what an input says of its class.

    Large where each prediction is certain and the classes are used evenly (Krause, Perona, Gomes, NeurIPS 2010, equation 2; Shi and
    Sha, ICML 2012).
    """
    mean = torch.logsumexp(torch.log_softmax(logits, dim=1), dim=0) - math.log(len(logits))
    return -(mean.exp() * mean).sum() - entropy(logits).mean()


def certainty_weights(logits: torch.Tensor) -> torch.Tensor:
    """(B,): ``1 + exp(-H(p_i))`` divided by its mean, without gradient: certain predictions count more, by at most 2 to 1.

    Equation 8 of CDAN (Long et al., NeurIPS 2018) and equation 5 of MCC (Jin et al., ECCV 2020).
    """
    raw = 1 + torch.exp(-entropy(logits.detach()))
    return raw / raw.mean()
