"""Black box shift estimation: Z. Lipton, Y.-X. Wang, A. Smola, *Detecting and Correcting for Label Shift with Black Box
Predictors*, ICML 2018."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.adapters.label_shift import LabelShift, joint_counts, resampled_confusions
from headstart.functional.label_shift import bbse


class BBSE(LabelShift):
    """Label shift from a confusion matrix: w solves joint w = (shares of what is said of the target).

    Args:
        estimator: a classifier with ``predict_proba``. Default logistic regression.
        cv: folds for the held-out confusion matrix. Default 5.
        refit: learn again with w as sample weights instead of adjusting posteriors. Default False.
        n_boot: bootstrap samples of the interval; 0 leaves it out. Default 500.
        random_state: default 0.
    """

    def __init__(
        self, estimator: Any = None, cv: int = 5, refit: bool = False, n_boot: int = 500, random_state: int | None = 0
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.refit = refit
        self.n_boot = n_boot
        self.random_state = random_state

    def _solve(self, joint: np.ndarray, said: np.ndarray) -> np.ndarray:
        return bbse(joint, said)

    def _weights(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        k = held_out.shape[1]
        self.joint_ = joint_counts(held_out.argmax(1), truth, k) / len(truth)
        return self._solve(self.joint_, np.bincount(posterior.argmax(1), minlength=k) / len(posterior))

    def _resampled(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        pairs = resampled_confusions(held_out, truth, posterior, self.n_boot, self.random_state)
        return np.array([self._solve(joint, said) for joint, said in pairs])
