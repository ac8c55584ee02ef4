"""Open-set domain adaptation: target rows of classes that the source does not have, told apart as *unknown*."""

from __future__ import annotations

import torch


def boundary_loss(outputs: torch.Tensor, t: float = 0.5) -> torch.Tensor:
    """``1/U sum_u -t log p_u - (1 - t) log(1 - p_u)`` with p_u the probability of the last output, *unknown*; a scalar.

    Equation 3 of OSBP (Saito, Yamamoto, Ushiku, Harada, *Open Set Domain Adaptation by Backpropagation*, ECCV 2018). The
    classifier descends it and so draws p_u to t; the features climb it (gradient reversal) and so have to leave t, to
    either side: *unknown*, or one of the known classes.

    Args:
        outputs: float (U, K + 1) logits of target rows, U >= 1.
        t: in (0, 1).
    """
    z = outputs.float()
    total = torch.logsumexp(z, dim=1)
    unknown = z[:, -1] - total
    known = torch.logsumexp(z[:, :-1], dim=1) - total
    return -(t * unknown + (1 - t) * known).mean()
