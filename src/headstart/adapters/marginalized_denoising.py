"""Marginalised stacked denoising autoencoders: M. Chen, Z. Xu, K. Weinberger, F. Sha, *Marginalized Denoising Autoencoders
for Domain Adaptation*, ICML 2012."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from headstart.adapters.base import TwoSided
from headstart.errors import RecipeError, sentence
from headstart.functional.blocks import row_blocks


class MarginalizedDenoising(ClassNamePrefixFeaturesOutMixin, TwoSided):
    """mSDA: layers that rebuild both domains' rows from randomly blanked ones, in closed form; outputs are stacked.

    A layer is W = E[P] E[Q]^-1, eq. (5), over all blankings at once, then tanh(W [x; 1]). Both sides are mapped alike.

    Args:
        noise: probability in [0, 1) that a value is blanked. Default 0.5.
        n_layers: default 3.
        reg: added to the diagonal of E[Q]. Default 1e-5.
        concatenate: stack the input and all layers (default, as in the paper); else the last layer alone.

    Attributes:
        weights_: a list of (d, d + 1), one a layer.
    """

    def __init__(self, noise: float = 0.5, n_layers: int = 3, reg: float = 1e-5, concatenate: bool = True) -> None:
        self.noise = noise
        self.n_layers = n_layers
        self.reg = reg
        self.concatenate = concatenate

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        if not (0 <= self.noise < 1 and self.n_layers >= 1):
            got = f"noise={self.noise}, n_layers={self.n_layers}"
            raise RecipeError(sentence("mSDA cannot use this", got=got, allowed="noise in [0, 1), n_layers 1 or more"))
        domains = [Xs] if Xt is Xs else [Xs, Xt]
        self.weights_: list[np.ndarray] = []
        for _ in range(self.n_layers):
            scatter = sum(extended_scatter(X) for X in domains)
            assert not isinstance(scatter, int)
            self.weights_.append(denoiser(scatter, self.noise, self.reg))
            domains = [layer(X, self.weights_[-1]) for X in domains]
        self._n_features_out = Xs.shape[1] * ((self.n_layers + 1) if self.concatenate else 1)

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        outputs = [X]
        for W in self.weights_:
            outputs.append(layer(outputs[-1], W))
        return np.concatenate(outputs, axis=1) if self.concatenate else outputs[-1]

    _target_side = _source_side


def extended_scatter(X: np.ndarray) -> np.ndarray:
    """sum of [x; 1] [x; 1]^T, (d + 1, d + 1), from blocks of rows."""
    d = X.shape[1]
    out = np.zeros((d + 1, d + 1))
    for _, block in row_blocks(X):
        out[:d, :d] += block.T @ block
        out[d, :d] += block.sum(0, dtype=np.float64)
    out[:d, d] = out[d, :d]
    out[d, d] = len(X)
    return out


def denoiser(scatter: np.ndarray, noise: float, reg: float) -> np.ndarray:
    """W (d, d + 1) of least mean squared error in rebuilding x from blanked [x; 1]; the last entry is never blanked."""
    kept = np.append(np.full(len(scatter) - 1, 1 - noise), 1.0)
    Q = scatter * np.outer(kept, kept)
    np.fill_diagonal(Q, kept * np.diag(scatter))
    P = scatter[:-1] * kept
    Q[np.diag_indices_from(Q)] += reg
    return solve(Q, P.T, assume_a="pos").T


def layer(X: np.ndarray, W: np.ndarray) -> np.ndarray:
    """tanh(W [x; 1]) of each row, (n, d)."""
    return np.tanh(X @ W[:, :-1].T.astype(X.dtype) + W[:, -1].astype(X.dtype))
