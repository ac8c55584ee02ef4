"""A named shift that these terms undo: each term against the source alone, over three seeds (`-m slow -s` prints the table)."""

import numpy as np
import pytest

from headstart.training.deep_adapter import DeepAdapter

SEEDS = range(3)


def drift(n: int, seed: int, target: bool) -> tuple[np.ndarray, np.ndarray]:
    """Covariate shift: four classes in 12 columns; in the target each column has another scale, and all rows have moved by 8 one way."""
    fixed, own = np.random.default_rng(seed), np.random.default_rng([seed, int(target)])
    means, way, scales = fixed.normal(0, 1, (4, 12)), fixed.normal(0, 1, 12), np.exp(fixed.normal(0, 0.3, 12))
    y = np.arange(n) % 4
    X = means[y] + own.normal(0, 0.7, (n, 12))
    return (X * scales + 8 * way / np.linalg.norm(way) if target else X).astype(np.float32), y


def accuracies(text: str) -> np.ndarray:
    """On the target, one a seed."""
    found = []
    for seed in SEEDS:
        (X, y), (T, t) = drift(256, seed, False), drift(256, seed, True)
        model = DeepAdapter(text, hidden=(64,), epochs=50, lr=3e-3, random_state=seed).fit(X, y, X_target=T)
        found.append((model.predict(T) == t).mean())
    return np.array(found)


@pytest.fixture(scope="module")
def source_only():
    """The same network and batches, target rows in the statistics of its batch norms too."""
    found = accuracies("finetune")
    print(f"\nfinetune {found.mean():.3f}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("text", ["dann", "cdan", "mdd", "adda", "mcc", "infomax"])
def test_each_undoes_a_drift(text, source_only):
    found = accuracies(text)
    print(f"{text} {found.mean():.3f}")
    assert (found > source_only).all()
    assert (found - source_only).mean() > 0.05
