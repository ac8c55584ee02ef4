"""The discrepancy terms on a named shift: what each gains over the source alone, over seeds."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import t

from headstart.training.deep_adapter import DeepAdapter


def turned(seed, n=160, d=10, angle=1.5, away=3.0, noise=0.4):
    """Three classes; the target's rows are turned (a subspace shift) and moved away (a covariate shift), the labels follow.

    Returns source rows and labels, target rows and labels: (n, d), (n,) each.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(0, 1, (3, d))
    means *= 2.2 / np.linalg.norm(means, axis=1, keepdims=True)
    axis = rng.normal(0, 1, (d, d))
    axis -= axis.T
    turn = expm(angle * axis / np.linalg.norm(axis, 2))
    offset = rng.normal(0, 1, d)
    found = []
    for moved in (False, True):
        y = np.arange(n) % 3
        X = means[y] + noise * rng.normal(0, 1, (n, d))
        found += [X @ turn + away * offset / np.linalg.norm(offset) if moved else X, y]
    return found


def accuracy(strategy, seed):
    X, y, Xt, yt = turned(seed)
    model = DeepAdapter(strategy, hidden=(32,), epochs=40, random_state=seed).fit(X, y, X_target=Xt)
    return (model.predict(Xt) == yt).mean()


@pytest.fixture(scope="module")
def source_only():
    return [accuracy("finetune", seed) for seed in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dan", "jan", "deepcoral", "cmd", "swd", "afn", "alignment"])
def test_each_gains_over_the_source_alone(name, source_only):
    """By a mean of five seeds, the 90 % interval of which is above 0."""
    gains = np.array([accuracy(f"finetune+{name}", seed) for seed in range(5)]) - source_only
    low = gains.mean() - t.ppf(0.95, 4) * gains.std(ddof=1) / np.sqrt(5)
    assert low > 0 and gains.mean() > 0.03, gains


def test_mmd_brings_the_means_of_the_deep_features_together():
    X, y, Xt, _ = turned(0)
    gaps = []
    for strategy in ("finetune", "finetune+dan"):
        model = DeepAdapter(strategy, hidden=(32,), epochs=20).fit(X, y, X_target=Xt)
        a, b = model.transform(X), model.transform(Xt)
        gaps.append(np.linalg.norm(a.mean(0) - b.mean(0)) / np.concatenate([a, b]).std())
    assert gaps[1] < 0.5 * gaps[0]
