"""N-LEEP: LEEP with clusters of the features in the place of the source's classes, for sources that have no head."""

from __future__ import annotations

import warnings

import numpy as np

from headstart.errors import DataError, sentence
from headstart.functional.covariance import spectrum
from headstart.ranking.checks import check_finite, check_labels, check_rows
from headstart.ranking.leep import leep


def nleep(X: np.ndarray, y: np.ndarray, *, energy: float = 0.8, components: int | None = None, seed: int = 0) -> float:
    """N-LEEP (Li et al. 2021, "Ranking neural checkpoints"), in nats, at most 0; higher is better: LEEP on the posteriors
    p(v | x) of a Gaussian mixture fitted to the leading principal components.

    The paper leaves the covariances open; here they are diagonal, as principal components are uncorrelated. The features
    are held in memory.

    Args:
        X: (n, d) features.
        y: int (n,).
        energy: in (0, 1]; the fewest components with this share of the variance are kept.
        components: of the mixture; default five a class as in the paper, at most n / 2.
        seed: of the mixture's start.

    Raises:
        DataError: other lengths, one class, features that are not finite or do not vary.
    """
    return leep(posteriors(X, y, energy=energy, components=components, seed=seed), y)


def posteriors(X: np.ndarray, y: np.ndarray, *, energy: float, components: int | None, seed: int) -> np.ndarray:
    """p(v | x), float64 (n, components)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    check_rows(X, y)
    _, n_classes = check_labels(y)
    check_finite(np.asarray(X).sum(dtype=np.float64), X)
    found = spectrum(np.asarray(X))
    if not len(found.values):
        raise DataError(sentence("features that do not vary", got=f"{X.shape[0]} x {X.shape[1]}"))
    kept = 1 + int(np.searchsorted(np.cumsum(found.values) / found.values.sum(), energy - 1e-12))
    Z = (X - found.mean) @ found.axes[:, :kept]
    v = max(1, min(components or 5 * n_classes, len(X) // 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(v, covariance_type="diag", random_state=seed).fit(Z).predict_proba(Z)
