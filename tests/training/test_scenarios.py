"""Partial, open-set, label-shift and few-label targets: each method where its theory says that it wins, and where it must not be used.

The table of figures: pytest tests/training/test_scenarios.py -m slow -s
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from headstart.adapters import OpenSetClassifier
from headstart.errors import HandshakeError, RecipeError
from headstart.evaluation.open_set import open_set_metrics
from headstart.training.deep_adapter import DeepAdapter

SEEDS = range(5)


def circle(k, d, radius=4.0):
    """k means on a circle in the first two of d columns."""
    a = 2 * np.pi * np.arange(k) / k
    return np.pad(radius * np.column_stack([np.cos(a), np.sin(a)]), ((0, 0), (0, d - 2)))


def turned(X, angle):
    """The first two columns turned."""
    R = np.eye(X.shape[1])
    R[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return X @ R.T


def partial(seed):
    """Ten classes; the target is turned by 6 degrees, moved in columns that say nothing, and has three of them."""
    rng, means = np.random.default_rng(seed), circle(10, 6)
    y, yt = np.arange(300) % 10, np.arange(150) % 3
    Xt = turned(means[yt] + rng.normal(0, 0.6, (150, 6)), 0.1)
    Xt[:, 2:] += 1.5
    return means[y] + rng.normal(0, 0.6, (300, 6)), y, Xt, yt


def open_target(seed):
    """Four classes; the target is turned and moved a little, and a fifth of it lies in a place of its own."""
    rng, means = np.random.default_rng(seed), np.vstack([circle(4, 6), 4 * np.eye(6)[2]])
    y, yt = np.arange(300) % 4, np.arange(300) % 5
    Xt = turned(means[yt] + rng.normal(0, 0.8, (300, 6)), 0.1)
    Xt[:, 3:] += 0.5
    return means[y] + rng.normal(0, 0.8, (300, 6)), y, Xt, np.where(yt == 4, -1, yt)


def label_shift(seed, prior=(0.8, 0.1, 0.1), moved=0.0):
    """Three classes that overlap, even in the source; the target has most of one (and, for harm, has moved instead)."""
    rng, means = np.random.default_rng(seed), 1.5 * np.eye(3, 4)
    y, yt = np.arange(300) % 3, rng.choice(3, 400, p=prior)
    Xt = means[yt] + rng.normal(0, 1, (400, 4))
    Xt[:, 0] += moved
    return means[y] + rng.normal(0, 1, (300, 4)), y, Xt, yt


def moved(seed):
    return label_shift(seed, prior=(1 / 3, 1 / 3, 1 / 3), moved=1.5)


def few_labels(seed):
    """Four classes; the target is turned by 40 degrees, nearly half the way to the next class; one label a class is known."""
    rng, means = np.random.default_rng(seed), circle(4, 6)
    y = np.arange(300) % 4
    Xt = turned(means[y] + rng.normal(0, 0.6, (300, 6)), 0.7)
    Xt[:, 2:] += 1
    return means[y] + rng.normal(0, 0.6, (300, 6)), y, Xt, y


def deep(strategy, seed, **options):
    return DeepAdapter(strategy, **{"hidden": (32,), "epochs": 40, "lr": 3e-3, "random_state": seed, **options})


@cache
def accuracy(strategy, problem, seed):
    X, y, Xt, yt = problem(seed)
    return float((deep(strategy, seed).fit(X, y, X_target=Xt).predict(Xt) == yt).mean())


@cache
def on_the_rest(strategy, problem, seed):
    """Accuracy on the target rows whose labels were not given."""
    X, y, Xt, yt = problem(seed)
    few = np.full(len(yt), None, dtype=object)
    few[:4] = yt[:4]
    model = deep(strategy, seed).fit(X, y, X_target=Xt, y_target=few)
    return float((model.predict(Xt) == yt)[4:].mean())


MODELS = {
    "dann": lambda seed: deep("finetune+dann", seed),
    "osbp": lambda seed: deep("finetune+osbp", seed),
    "threshold": lambda seed: OpenSetClassifier(deep("finetune", seed)),
}


@cache
def answered(model, seed):
    """Scores over the known classes and the unknown."""
    X, y, Xt, yt = open_target(seed)
    said, k = MODELS[model](seed).fit(X, y, X_target=Xt).predict(Xt), y.max() + 1
    found = open_set_metrics(*(np.where(v == -1, k, v) for v in (said, yt)), k, n_boot=0)
    return {name: score["value"] for name, score in found.items()}


def gain(name, better, worse):
    """Mean difference over the seeds and the lower and upper end of its 95 % interval (Student), said in a line."""
    a, b = (np.array([measure(seed) for seed in SEEDS]) for measure in (better, worse))
    low, high = stats.t.interval(0.95, len(SEEDS) - 1, (a - b).mean(), max(stats.sem(a - b), 1e-9))
    print(
        f"\n{name}: {a.mean():.3f} against {b.mean():.3f}, {(a - b).mean():+.3f} [{low:+.3f}, {high:+.3f}]",
        end="",
        flush=True,
    )
    return low, high


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pada(2)", "iwan(2)"])
def test_partial_methods_beat_the_closed_set_adversary_on_a_partial_target(method):
    low, _ = gain(
        f"partial: {method} against dann(2)",
        lambda s: accuracy(f"finetune+{method}", partial, s),
        lambda s: accuracy("finetune+dann(2)", partial, s),
    )
    assert low > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["osbp", "threshold"])
def test_open_set_methods_beat_a_closed_set_on_an_open_target(method):
    low, _ = gain(
        f"open set, mean recall over known and unknown: {method} against dann",
        lambda s: answered(method, s)["os"],
        lambda s: answered("dann", s)["os"],
    )
    assert low > 0
    hos = [answered(method, s)["hos"] for s in SEEDS]
    print(f"; HOS {np.mean(hos):.3f}", end="", flush=True)
    assert min(hos) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("by", ["bbse", "em"])
def test_weights_win_under_label_shift(by):
    low, _ = gain(
        f"label shift: weights(by={by}) against source-only",
        lambda s: accuracy(f"finetune+weights(by={by})", label_shift, s),
        lambda s: accuracy("finetune", label_shift, s),
    )
    assert low > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("by", ["bbse"])
def test_weights_of_label_shift_must_not_be_used_where_the_features_moved(by):
    _, high = gain(
        f"moved features, even classes: weights(by={by}) against source-only",
        lambda s: accuracy(f"finetune+weights(by={by})", moved, s),
        lambda s: accuracy("finetune", moved, s),
    )
    assert high < -0.02


@pytest.mark.slow
@pytest.mark.parametrize("against", ["finetune"])
def test_minimax_entropy_makes_more_of_one_label_a_class(against):
    low, _ = gain(
        f"few labels: mme(0.3) against {against} with the same labels",
        lambda s: on_the_rest("finetune+mme(0.3)", few_labels, s),
        lambda s: on_the_rest(against, few_labels, s),
    )
    assert low > 0.01


# how the pieces meet in the estimator


def test_osbp_answers_the_label_of_the_unknown():
    X, y, Xt, yt = open_target(0)
    model = deep("osbp", 0, epochs=15).fit(X, y, X_target=Xt)
    assert model.classes_.tolist() == [0, 1, 2, 3, -1] and model.answers_unknown
    assert model.predict_proba(Xt).shape == (300, 5)
    assert (model.predict(Xt)[yt == -1] == -1).mean() > 0.5 > (model.predict(Xt)[yt != -1] == -1).mean()
    names = np.array(["n", "e", "s", "w"])[y]
    assert deep("osbp", 0, epochs=1).fit(X, names, X_target=Xt).classes_.tolist() == ["e", "n", "s", "w", "unknown"]
    with pytest.raises(RecipeError, match="a class of the source has the name.*got -1"):
        deep("osbp", 0, epochs=1).fit(X, y - 1, X_target=Xt)


def test_what_the_terms_tell_arrives():
    X, y, Xt, _ = partial(0)
    said = deep("pada+iwan+weights(by=bbse)", 0, epochs=10).fit(X, y, X_target=Xt).said_
    assert said["pada"]["classes"]["1"] > 3 * said["pada"]["classes"]["6"]
    assert set(said["iwan"]["classes"]) == set("0123456789")
    assert 20 < said["weights"]["effective_sample_size"] < 150


@pytest.mark.parametrize("term", ["pada", "iwan", "osbp", "mme", "weights"])
def test_values_are_refused(term):
    X, y, Xt, _ = partial(0)
    with pytest.raises(HandshakeError, match=f"term '{term}' .*but the task"):
        DeepAdapter(f"finetune+{term}", task="regression", epochs=1).fit(X, y.astype(float), X_target=Xt)


def test_what_cannot_act_on_this_target_is_refused():
    X, y, Xt, _ = partial(0)
    with pytest.raises(HandshakeError, match="weights by kmm compare two distributions.*got '3 rows'"):
        DeepAdapter("finetune+weights", epochs=1).fit(X, y, X_target=Xt[:3])
    with pytest.raises(HandshakeError, match="learns from a few labelled inputs of the target, but there are none"):
        DeepAdapter("finetune+mme", epochs=1).fit(X, y, X_target=Xt)
    with pytest.raises(RecipeError, match="a second threshold would act on top of it: got 'osbp'"):
        OpenSetClassifier(DeepAdapter("osbp")).fit(X, y, X_target=Xt)
