"""L2-SP: the squared distance to the starting point (Li, Grandvalet, Davoine 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def squared_distance(parameters: Sequence[torch.Tensor], anchors: Sequence[torch.Tensor]) -> torch.Tensor:
    """``sum_k ||p_k - a_k||^2``, a scalar; its gradient with respect to ``p_k`` is ``2 (p_k - a_k)``.

    Args:
        parameters: tensors of any shapes.
        anchors: tensors of the same shapes, without gradient.
    """
    return torch.stack([(p - a).square().sum() for p, a in zip(parameters, anchors, strict=True)]).sum()
