"""The cross-validated accuracy of a linear head: what the features are worth once a probe is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.training.probe import fit_probe


@dataclass(frozen=True)
class ProbeScore:
    """Attributes:
    accuracy: held-out accuracy in 0..1; nan where nothing could be held out.
    se: its standard error over the images.
    right: float (n,): 1 where the held-out prediction was right, 0 where not, nan where the row was never held out.
    """

    accuracy: float
    se: float
    right: np.ndarray


def probe_score(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    groups: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
    device: str = "cpu",
) -> ProbeScore:
    """Cross-validated accuracy of :func:`headstart.training.probe.fit_probe` at the strength that it chooses.

    The strength is chosen on the same folds, so that the accuracy is a little too good (by less than a standard error
    on ten strengths); all sources are flattered alike. Arguments and errors are those of ``fit_probe``.
    """
    probe = fit_probe(X, y, n_classes, groups=groups, folds=folds, seed=seed, device=device)
    if probe.oof is None:
        return ProbeScore(float("nan"), float("nan"), np.full(len(y), np.nan))
    held = ~np.isnan(probe.oof[:, 0])
    right = np.where(held, np.nan_to_num(probe.oof).argmax(1) == y, np.nan)
    return ProbeScore(float(np.nanmean(right)), probe.cv_se, right)
