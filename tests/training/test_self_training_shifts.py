"""Small shifts where theory says that learning from one's own labels helps, and one where it says that it does not."""

import numpy as np
import pytest
import torch

import headstart.strategies.terms.self_training as self_training
from headstart.data.rows import ArrayRows
from headstart.sources.bottleneck import Network
from headstart.training.deep_adapter import DeepAdapter
from headstart.training.optim import Optimisation
from headstart.training.source_free import source_free


def moved(seed, n=300, shift=4.0):
    """Four classes of 12 features, all of the target moved by one vector: a covariate shift that keeps the clusters."""
    rng = np.random.default_rng(seed)
    centres, step = rng.normal(0, 1.2, (4, 12)), rng.normal(0, 1, 12)
    y = np.arange(n) % 4
    source, target = (centres[y] + rng.normal(0, 0.9, (n, 12)) for _ in range(2))
    return source, y, target + shift * step / np.linalg.norm(step), y


def turned(seed, n=240, degrees=48.0):
    """Three clusters on a circle, the target turned nearly half the way to the next: what is sure is right, the gaps show the rest."""
    rng = np.random.default_rng(seed)

    def draw(turn):
        y = rng.integers(0, 3, n)
        angle = 2 * np.pi * y / 3 + np.deg2rad(turn)
        plane = 2 * np.c_[np.cos(angle), np.sin(angle)] + rng.normal(0, 0.35, (n, 2))
        return np.c_[plane, rng.normal(0, 0.35, (n, 3))], y

    return *draw(0.0), *draw(degrees)


def accuracies(method, shift, seeds, normed=False):
    """Of the target in each seed; ``""`` is the source alone, ``normed`` has the target pass through its batch norms too."""
    found = []
    for seed in seeds:
        X, y, T, truth = shift(seed)
        strategy = f"finetune+{method}" if method else "finetune"
        model = DeepAdapter(strategy, hidden=(32,), epochs=20, random_state=seed)
        model.fit(X, y, X_target=T if method or normed else None)
        found.append((model.predict(T) == truth).mean())
    return np.array(found)


@pytest.fixture(scope="module")
def alone():
    return {(shift, n): accuracies("", shift, range(5), n) for shift in (moved, turned) for n in (False, True)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "shift", "least"),
    [
        ("selftrain", moved, 0.08), ("meanteacher", moved, 0.08), ("fixmatch", moved, 0.1), ("pseudo", moved, 0.1),
        ("shot", moved, 0.1), ("selftrain", turned, 0.08), ("shot", turned, 0.04),
    ],
)  # fmt: skip
def test_each_beats_the_source_alone_in_five_seeds(alone, method, shift, least):
    found, plain, normed = accuracies(method, shift, range(5)), alone[shift, False], alone[shift, True]
    gain = found - plain
    error = gain.std(ddof=1) / np.sqrt(5)
    print(
        f"{method} on {shift.__name__}: {found.mean():.3f}, source alone {plain.mean():.3f}, gain {gain.mean():.3f} +- {error:.3f}; "
        f"source alone with the target in its batch norms {normed.mean():.3f}"
    )
    assert gain.min() > 0
    assert gain.mean() - 2.776 * error > least / 2  # a 95 % interval over the seeds
    assert gain.mean() > least
    if (method, shift) != ("selftrain", moved):  # there batch norms do it all
        assert (found - normed).mean() > 0.015


def test_self_training_gains_where_clusters_turned_and_wrong_labels_are_seen(monkeypatch):
    plain, good = (accuracies(method, turned, [0, 1]) for method in ("", "selftrain"))
    assert (good - plain).min() > 0.08
    real = self_training.class_balanced_labels  # planted: each label goes to the next class
    monkeypatch.setattr(
        self_training, "class_balanced_labels", lambda p, t: torch.where((k := real(p, t)) < 0, k, (k + 1) % 3)
    )
    assert (accuracies("selftrain", turned, [0, 1]) < plain).all()


def test_a_source_model_moves_without_its_source():
    """The same gain as with the source at hand, from the model and the target alone."""
    for seed in (0, 1):
        X, y, T, truth = moved(seed)
        model = DeepAdapter("finetune", hidden=(32,), epochs=20, random_state=seed).fit(X, y)
        before = (model.predict(T) == truth).mean()
        network = Network(model.model_.backbone, [*_layers(model)], 32, pretrained=False)
        source_free(
            network, model.model_.head, model.task_, ArrayRows(np.float32(T)), Optimisation(15, 1e-3), device=torch.device("cpu"), seed=0
        )  # fmt: skip
        assert (model.predict(T) == truth).mean() > before + 0.08


def _layers(model):
    from headstart.sources.bottleneck import on_rows

    return on_rows(model.model_.backbone[0].in_features, (32,)).layers


@pytest.mark.slow
def test_where_the_sure_rows_are_wrong_nothing_is_gained():
    """Turned beyond half the way to the next class: self-training then makes all of it wrong."""
    plain = accuracies("", lambda seed: turned(seed, degrees=80.0), range(3))
    found = accuracies("selftrain", lambda seed: turned(seed, degrees=80.0), range(3))
    assert (found <= plain + 0.02).all()
