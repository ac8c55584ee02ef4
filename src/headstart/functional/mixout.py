"""Mixout: some parameters go back to the source's in each step, the others make up for it (Lee, Cho, Kang 2020)."""

from __future__ import annotations

import torch


def mixout(weight: torch.Tensor, source: torch.Tensor, p: float) -> torch.Tensor:
    """``((1 - m) source + m weight - p source) / (1 - p)`` with one draw ``m ~ Bernoulli(1 - p)`` a number; its expectation is ``weight``.

    Lee, Cho, Kang, *Mixout: Effective Regularization to Finetune Large-scale Pretrained Language Models*, ICLR 2020, equation 5
    (dropout of ``weight - source``). At ``p = 1``, where that has no value, it is ``source``.

    Args:
        weight, source: of the same shape.
        p: in [0, 1], the chance of the source's number. Gradients reach ``weight`` where it was kept, times ``1 / (1 - p)``.
    """
    if p == 1:
        return source.clone()
    return source + torch.nn.functional.dropout(weight - source, p)
