"""Open-set domain adaptation: target rows of classes that the source does not have, told apart as *unknown*."""

from __future__ import annotations

import numpy as np
import torch

from headstart.functional.temperature import at_temperature, fit_temperature


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


def rejection(logits: np.ndarray, labels: np.ndarray, keep: float) -> tuple[float, float]:
    """(T, threshold): with ``softmax(logits / T)`` a share ``keep`` of held-out source rows has a largest probability of at
    least ``threshold``.

    T is the temperature of the lowest log loss on the same rows (Guo et al. 2017). The threshold is the largest value
    that at least ``keep * n`` rows reach.

    Args:
        logits: float (n, K) of held-out source rows, n >= 1; log-probabilities do as well.
        labels: int (n,), their classes.
        keep: in (0, 1).
    """
    temperature = fit_temperature(logits, labels)
    confidence = np.sort(at_temperature(np.asarray(logits, dtype=np.float64), temperature).max(1))
    return temperature, float(confidence[int(np.floor((1 - keep) * len(confidence) + 1e-9))])


def with_unknown(logits: np.ndarray, temperature: float, threshold: float) -> np.ndarray:
    """(n, K + 1) scores that sum to 1; the last, *unknown*, is the largest just where the confidence is below ``threshold``.

    ``[p, threshold] / (1 + threshold)`` with ``p = softmax(logits / T)``: an order of the answers, not a probability of
    *unknown*, of which nothing is known without an example.
    """
    p = at_temperature(np.asarray(logits, dtype=np.float64), temperature)
    # what just reaches the threshold is known: argmax takes the first of equals
    return np.column_stack([p, np.full(len(p), threshold)]) / (1 + threshold)
