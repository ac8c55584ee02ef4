"""LogME against the evidence of the model it stands for, maximised by another optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from headstart.errors import DataError
from headstart.ranking.logme import logme


def brute_force(F: np.ndarray, t: np.ndarray) -> float:
    """max over (alpha, beta) of log N(t; 0, I / beta + F F' / alpha), from many starts."""

    def loss(x: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(x, -60, 60))
        return -float(multivariate_normal.logpdf(t, np.zeros(len(t)), np.eye(len(t)) / beta + F @ F.T / alpha))

    starts = [(a, b) for a in (-4.0, 1.0, 6.0) for b in (0.0, 4.0)]
    runs = [
        minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})
        for start in starts
    ]
    return -min(run.fun for run in runs)


@pytest.mark.parametrize(
    ("n", "d", "classes", "noise", "seed"),
    [(40, 6, 3, 0.5, 0), (30, 6, 2, 3.0, 1), (12, 30, 3, 0.5, 2), (25, 25, 4, 1.0, 3), (60, 3, 5, 0.1, 4)],
)
def test_equals_the_brute_force_evidence(n: int, d: int, classes: int, noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n, d)) * rng.uniform(0.1, 2, d) + 0.3
    y = (F[:, :1] * np.arange(classes) + noise * rng.gumbel(size=(n, classes))).argmax(1)
    targets = [(y == k).astype(float) for k in np.unique(y)]
    expected = np.mean([brute_force(F, t) for t in targets]) / n
    assert logme(F, y, classes) == pytest.approx(expected, abs=1e-6)


def test_features_that_carry_the_labels_score_higher() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    noise = rng.normal(size=(200, 20))
    informed = noise.copy()
    informed[:, :3] += np.eye(3)[y]
    assert logme(informed, y, 3) > logme(noise, y, 3) + 0.05


def test_a_rotation_of_the_features_and_an_order_of_the_rows_change_nothing() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 8)), rng.integers(0, 3, 50)
    turn, order = np.linalg.qr(rng.normal(size=(8, 8)))[0], rng.permutation(50)
    expected = logme(X, y, 3)
    assert logme(X @ turn, y, 3) == pytest.approx(expected, abs=1e-9)
    assert logme(X[order], y[order], 3) == pytest.approx(expected, abs=1e-9)
    assert logme(5 * X, y, 3) == pytest.approx(expected, abs=1e-6)


def test_a_class_without_examples_and_float32_are_fine() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 8)), rng.integers(0, 3, 50)
    assert logme(X, y, 9) == logme(X, y, 3)
    assert logme(X.astype(np.float32), y, 3) == pytest.approx(logme(X, y, 3), abs=1e-5)


def test_what_has_no_evidence_is_refused() -> None:
    with pytest.raises(DataError, match="differ in length or are empty"):
        logme(np.ones((3, 2)), np.zeros(2, dtype=int), 2)
    with pytest.raises(DataError, match="all zero or not finite: got '3 x 2'"):
        logme(np.zeros((3, 2)), np.array([0, 1, 0]), 2)
