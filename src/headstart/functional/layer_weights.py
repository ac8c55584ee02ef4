"""Shares of the layers of a network, by what a ridge regression on their sum would get wrong on rows that it has not seen."""

from __future__ import annotations

import torch

STEPS = 40
CALM = 1e-3
"""Weight of the squared size of the mix: shares that make no difference stay equal."""


def mixed(layers: torch.Tensor, mix: torch.Tensor, *, scaled: bool = False) -> torch.Tensor:
    """(L, n, d), (L,) -> (n, d): sum_l softmax(mix)_l layers_l; ``scaled`` brings each row to the length sqrt(d)."""
    Z = torch.einsum("l,lnd->nd", mix.softmax(0), layers)
    return torch.nn.functional.normalize(Z, dim=1) * Z.shape[1] ** 0.5 if scaled else Z


def left_out_error(Z: torch.Tensor, Y: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Mean squared error on each row of a ridge regression (with an intercept that is not penalised) fitted on all the others.

    In closed form: with the hat matrix H, e_i = (y_i - (H y)_i) / (1 - H_ii) (Allen 1974, *The relationship between variable selection and
    data augmentation*).

    Args:
        Z: float64 (n, d).
        Y: float64 (n, M).
        strength: of the penalty, as a share of the mean squared length of a centred row; > 0.
    """
    n, d = Z.shape
    Z, Y = Z - Z.mean(0), Y - Y.mean(0)
    penalty = strength * Z.square().sum() / n + torch.finfo(Z.dtype).tiny
    if n <= d:
        eye = torch.eye(n, dtype=Z.dtype, device=Z.device)
        inverse = torch.linalg.inv(Z @ Z.T + penalty * eye)
        left, own = penalty * (inverse @ Y), 1 - penalty * inverse.diagonal()
    else:
        solved = torch.linalg.solve(Z.T @ Z + penalty * torch.eye(d, dtype=Z.dtype, device=Z.device), Z.T)
        left, own = Y - Z @ (solved @ Y), (Z * solved.T).sum(1)
    return (left / (1 - own - 1 / n).clamp(min=1e-6)[:, None]).square().mean()


def fit_layer_weights(layers: torch.Tensor, Y: torch.Tensor, *, scaled: bool = False) -> torch.Tensor:
    """The mix (L,), float32, whose sum of layers serves ``Y`` best, by :func:`left_out_error` over the variance of ``Y``; the strength of the
    penalty is found with it, by L-BFGS from equal shares.

    Args:
        layers: (L, n, d).
        Y: (n, M), what is predicted: columns of 0 and 1, or quantities.
        scaled: see :func:`mixed`.
    """
    layers, Y = layers.double(), Y.double()
    layers = layers / layers.square().mean().sqrt().clamp(min=1e-12)
    spread = (Y - Y.mean(0)).square().mean()
    mix = torch.zeros(len(layers), dtype=torch.float64, device=layers.device, requires_grad=True)
    strength = torch.tensor(0.0, dtype=torch.float64, device=layers.device, requires_grad=True)
    if len(Y) < 3 or not spread > 0:
        return mix.detach().float()
    optimiser = torch.optim.LBFGS([mix, strength], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        wrong = left_out_error(mixed(layers, mix, scaled=scaled), Y, strength.clamp(-12, 12).exp()) / spread
        value = wrong + CALM * mix.square().mean()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    return mix.detach().float() if bool(torch.isfinite(mix).all()) else torch.zeros(len(layers))
