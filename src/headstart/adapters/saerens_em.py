"""Maximum likelihood of the target's prior: M. Saerens, P. Latinne, C. Decaestecker, *Adjusting the Outputs of a Classifier to
New a Priori Probabilities: a Simple Procedure*, Neural Computation 14, 2002."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.adapters.label_shift import LabelShift
from headstart.functional.label_shift import em_prior


class SaerensEM(LabelShift):
    """Label shift by expectation maximisation over the target's posteriors, temperature-calibrated on held-out source rows.

    Args:
        estimator: a classifier with ``predict_proba``. Default logistic regression.
        calibrate: bias-corrected temperature scaling first (Alexandari, Kundaje, Shrikumar 2020); the method needs posteriors
            that are true. Default True.
        cv, refit, n_boot, random_state: as for :class:`BBSE`; default ``n_boot`` 200.
    """

    def __init__(
        self,
        estimator: Any = None,
        calibrate: bool = True,
        cv: int = 5,
        refit: bool = False,
        n_boot: int = 200,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.calibrate = calibrate
        self.cv = cv
        self.refit = refit
        self.n_boot = n_boot
        self.random_state = random_state

    def _calibrated(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        if not self.calibrate:
            return posterior
        self.temperature_, self.bias_ = temperature_and_bias(held_out, truth)
        return rescaled(posterior, self.temperature_, self.bias_)

    def _weights(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        return em_prior(self._calibrated(held_out, truth, posterior), self.source_prior_) / self.source_prior_

    def _resampled(self, held_out: np.ndarray, truth: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        said, rng, n = (
            self._calibrated(held_out, truth, posterior),
            np.random.default_rng(self.random_state),
            len(posterior),
        )
        drawn = (rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64) for _ in range(self.n_boot))
        priors = [em_prior(said, self.source_prior_, tol=1e-6, counts=counts) for counts in drawn]
        return np.array(priors) / self.source_prior_

    def _said(self, X: np.ndarray) -> np.ndarray:
        said = self._posterior(X)
        return rescaled(said, self.temperature_, self.bias_) if self.calibrate and not self.refit else said


def temperature_and_bias(posterior: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """1/T > 0 and b (C,) of least cross-entropy of softmax(log p / T + b) on held-out rows (n, C)."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    logits = np.log(np.maximum(posterior, 1e-12))
    k = logits.shape[1]
    hot = np.eye(k)[truth]

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = logits * theta[0] + theta[1:]
        log_p = z - logsumexp(z, axis=1, keepdims=True)
        pull = (np.exp(log_p) - hot) / len(truth)
        penalty = 1e-3 * (theta[1:] @ theta[1:] + (theta[0] - 1) ** 2) / len(truth)
        gradient = np.r_[
            (pull * logits).sum() + 2e-3 * (theta[0] - 1) / len(truth), pull.sum(0) + 2e-3 * theta[1:] / len(truth)
        ]
        return float(-(log_p * hot).sum() / len(truth) + penalty), gradient

    found = minimize(
        objective, np.r_[1.0, np.zeros(k)], jac=True, method="L-BFGS-B", bounds=[(1e-2, 100.0)] + [(-20, 20)] * k
    )
    return float(found.x[0]), found.x[1:]


def rescaled(posterior: np.ndarray, scale: float, bias: np.ndarray) -> np.ndarray:
    """softmax(scale * log p + bias), (n, C)."""
    z = np.log(np.maximum(posterior, 1e-12)) * scale + bias
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)
