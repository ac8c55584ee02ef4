"""Where values move with the inputs, matching the domains takes away what tells the value: it must not be used, and the docs say so.

The figures of docs: ``pytest tests/adaptation/test_moved_values.py -m slow -s``.
"""

import numpy as np
import pytest
from scipy import stats

from headstart.training.deep_adapter import DeepAdapter

SEEDS = 5


def moved(seed, n=240, d=5, by=1.5):
    """Inputs of the target moved along the direction that the value grows in; the value is the same function of them."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(d)
    w /= np.linalg.norm(w)
    Xs, Xt = rng.standard_normal((n, d)), rng.standard_normal((n, d)) + by * w
    ys, yt = (X @ w + 0.1 * rng.standard_normal(n) for X in (Xs, Xt))
    return Xs.astype(np.float32), ys, Xt.astype(np.float32), yt


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dann", "dan", "deepcoral"])
def test_matching_domains_loses_the_value(method):
    gains, errors = [], []
    for seed in range(SEEDS):
        Xs, ys, Xt, yt = moved(seed)
        given = {"hidden": (32,), "task": "regression", "epochs": 30, "lr": 3e-3, "random_state": seed}
        plain = DeepAdapter("finetune", **given).fit(Xs, ys)
        model = DeepAdapter(method, **given).fit(Xs, ys, X_target=Xt)
        errors.append([float(np.abs(m.predict(Xt) - yt).mean()) for m in (plain, model)])
        gains.append(errors[-1][0] - errors[-1][1])
    half = stats.t.ppf(0.975, SEEDS - 1) * np.std(gains, ddof=1) / np.sqrt(SEEDS)
    before, after = np.mean(errors, 0)
    print(f"| moved values | `{method}` | {before:.3f} | {after:.3f} | {np.mean(gains):+.3f} [{np.mean(gains) - half:+.3f}, {np.mean(gains) + half:+.3f}] |")  # fmt: skip
    assert np.mean(gains) + half < 0, "no gain is to be had"
