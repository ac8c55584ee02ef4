"""What all importance weights share: w(x) = p_target(x) / p_source(x) at the source's rows, and how much data they leave."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.adapters.base import FLOATS, TwoDomains, finite
from headstart.errors import ArrayError, sentence


class ImportanceWeights(TwoDomains):
    """Base of the reweighters. Subclasses write ``_ratio``; those that know w(x) only at fitted rows leave ``_ratio_at``.

    Attributes:
        weights_: (n_s,) of the source's rows, >= 0, of the type of X. A density ratio: their mean is about 1.
        effective_sample_size_: (sum w)^2 / sum w^2 (Kish 1965), between 1 and n_s. All weights zero: 0.
        n_clipped_: rows whose weight was cut to ``clip``.
    """

    clip: float | None = None

    def _ratio(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _ratio_at(self, X: np.ndarray) -> np.ndarray:
        """By default that of the nearest fitted source row."""
        from sklearn.neighbors import NearestNeighbors

        nearest = NearestNeighbors(n_neighbors=1).fit(self._fit_rows).kneighbors(X, return_distance=False)[:, 0]
        return self._fit_weights[nearest]

    def _keep_rows(self, Xs: np.ndarray, weights: np.ndarray) -> None:
        self._fit_rows, self._fit_weights = Xs, weights

    def fit(self, X: Any, y: Any = None, *, X_target: Any = None) -> Self:
        """Weigh the source's rows X (n_s, d) by where the target's rows X_target (n_t, d) lie. ``y`` is not used."""
        if self.clip is not None and not self.clip > 0:
            raise ArrayError(sentence("clip is out of range", got=self.clip, allowed="above 0, or None", fix="clip=10"))
        Xs, _, Xt = self._domains(X, None, X_target)
        weights = np.maximum(self._ratio(Xs, Xt), 0)
        self.n_clipped_ = 0
        if self.clip is not None:
            self.n_clipped_ = int((weights > self.clip).sum())
            weights = np.minimum(weights, self.clip)
        self.weights_ = weights.astype(Xs.dtype, copy=False)
        self.effective_sample_size_ = effective_sample_size(weights)
        return self

    def predict_weights(self, X: Any) -> np.ndarray:
        """Weights (n,) of other rows X (n, d) of the source's domain."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite=False)
        finite(rows, "X")
        weights = np.maximum(self._ratio_at(rows), 0)
        return (weights if self.clip is None else np.minimum(weights, self.clip)).astype(rows.dtype, copy=False)


def effective_sample_size(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 of weights (n,): how many equally weighted rows estimate a mean as well."""
    square = float(np.square(weights, dtype=np.float64).sum())
    return float(weights.sum(dtype=np.float64)) ** 2 / square if square > 0 else 0.0


def pick_centres(Xt: np.ndarray, n: int, seed: int | None) -> np.ndarray:
    """At most ``n`` rows of the target, drawn without replacement."""
    if len(Xt) <= n:
        return np.asarray(Xt)
    return np.asarray(Xt[np.sort(np.random.default_rng(seed).choice(len(Xt), n, replace=False))])
