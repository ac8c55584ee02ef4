"""A metric in closed form: whiten by the covariance within the classes, keep the axes that carry the most."""

from __future__ import annotations

import torch

from headstart.functional.logistic import eigh


def within_whitening(
    X: torch.Tensor, y: torch.Tensor, *, shrinkage: float, dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A projection after which distances are Mahalanobis distances of the variation within a class.

    ``S_w = sum_i (x_i - mu_{y_i})(x_i - mu_{y_i})' / (n - C)`` is shrunk towards a multiple of the identity,
    ``(1 - a) S_w + a tr(S_w) / d I``, as in regularised discriminant analysis (Friedman 1989); then ``dim`` principal axes of the
    whitened data are kept. ``a = 1`` is principal components alone.

    Args:
        X: float64 (n, d). y: int (n,), 0..C-1.
        shrinkage: a in (0, 1].
        dim: axes kept at most.

    Returns:
        weight (D, d) and bias (D,), D = min(dim, d): the embedding before it is normalised is ``X @ weight.T + bias``.
    """
    n, d = X.shape
    classes = int(y.max()) + 1
    counts = torch.bincount(y, minlength=classes).clamp_min(1).to(X.dtype)
    means = X.new_zeros(classes, d).index_add_(0, y, X) / counts[:, None]
    off = X - means[y]
    within = off.T @ off / max(n - int((torch.bincount(y, minlength=classes) > 0).sum()), 1)
    level = (within.trace() / d).clamp_min(1e-12)
    values, axes = eigh((1 - shrinkage) * within + shrinkage * level * torch.eye(d, dtype=X.dtype))
    white = axes * values.clamp_min(1e-12).rsqrt()
    mean = X.mean(0)
    centred = (X - mean) @ white
    _, main = eigh(centred.T @ centred)
    weight = (white @ main.flip(1)[:, :dim]).T.contiguous()
    return weight, -weight @ mean
