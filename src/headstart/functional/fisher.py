"""The diagonal of the Fisher information, and the squared distance that it weighs (Kirkpatrick et al. 2017, EWC)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def fisher_diagonal(
    log_probabilities: Callable[[torch.Tensor], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """The sum over ``images`` of squared gradients of the log-likelihood, one tensor a parameter::

        F_k = sum_i sum_y p(y | x_i) (d log p(y | x_i) / d theta_k)^2

    That is n times the diagonal of the *true* Fisher information on these inputs: the label is the model's own, every
    one of them with its probability (one backward pass a class). With ``labels`` only ``y_i`` counts for image i: labels
    drawn from p give an unbiased estimate of the same at one backward pass an image, and observed labels give the
    *empirical* Fisher, which is another quantity (Kunstner et al. 2019).

    Args:
        log_probabilities: images (1, ...) -> log p (1, K), differentiable in ``parameters``.
        parameters: tensors that require a gradient; one that does not act has a Fisher of zero.
        images: (n, ...).
        labels: int (n,), or ``None`` for the expectation over all K classes.
    """
    total = [torch.zeros_like(p) for p in parameters]
    for i in range(len(images)):
        logp = log_probabilities(images[i : i + 1])[0]
        wanted = range(len(logp)) if labels is None else [int(labels[i])]
        for step, y in enumerate(wanted):
            grads = torch.autograd.grad(logp[y], parameters, retain_graph=step + 1 < len(wanted), allow_unused=True)
            share = logp[y].detach().exp() if labels is None else 1.0
            for f, g in zip(total, grads, strict=True):
                if g is not None:
                    f += share * g.square()
    return total


def weighted_squared_distance(
    parameters: Sequence[torch.Tensor], anchors: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
) -> torch.Tensor:
    """``sum_k F_k (p_k - a_k)^2``, a scalar; its gradient with respect to ``p_k`` is ``2 F_k (p_k - a_k)``.

    Args:
        parameters: tensors of any shapes.
        anchors: tensors of the same shapes, without gradient.
        weights: the F_k >= 0, of the same shapes.
    """
    return torch.stack(
        [(f * (p - a).square()).sum() for p, a, f in zip(parameters, anchors, weights, strict=True)]
    ).sum()
