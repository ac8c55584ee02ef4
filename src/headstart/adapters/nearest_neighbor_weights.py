"""Weights from nearest neighbours: M. Loog, *Nearest Neighbor-based Importance Weighting*, MLSP 2012."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from headstart.adapters.weights import ImportanceWeights
from headstart.errors import RecipeError, sentence


class NearestNeighborWeights(ImportanceWeights):
    """A source row weighs as many target rows as lie nearest to it (in its Voronoi cell), times n_s / n_t.

    Args:
        laplace: add one to each count before it is scaled to mean 1, as in the paper, so that no weight is 0. Default True.
        clip: cut weights above it. Default not.
    """

    def __init__(self, laplace: bool = True, clip: float | None = None) -> None:
        self.laplace = laplace
        self.clip = clip

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        if not isinstance(self.laplace, (bool, np.bool_)):
            raise RecipeError(sentence("laplace is a switch", got=self.laplace, allowed=[True, False]))
        nearest = NearestNeighbors(n_neighbors=1).fit(Xs).kneighbors(Xt, return_distance=False)[:, 0]
        counts = np.bincount(nearest, minlength=len(Xs)).astype(np.float64)
        weights = (counts + 1 if self.laplace else counts) * (len(Xs) / (len(Xt) + (len(Xs) if self.laplace else 0)))
        self._keep_rows(Xs, weights)
        return weights
