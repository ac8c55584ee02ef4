"""The solved head: its strength, its folds, its edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.errors import DataError
from headstart.training.folds import assign_folds
from headstart.training.probe import Probe, Search, default_strengths, fit_probe


def features(n: int, d: int, classes: int, seed: int = 0, spread: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative float32 features of uneven scale, overlapping classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(classes, 8)) * spread
    mix = np.random.default_rng(8).normal(size=(8, d))
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    X = np.maximum((centres[y] + rng.normal(size=(n, 8))) @ mix + 0.5 * rng.normal(size=(n, d)), 0)
    return (X * np.random.default_rng(9).uniform(0.01, 10, d)).astype(np.float32), y


def test_as_good_as_scikit_learns_cross_validation() -> None:
    X, y = features(3000, 40, 6)
    X, X_test, y, y_test = X[:600], X[600:], y[:600], y[600:]
    Cs = default_strengths(600, 40, 6)
    probe = fit_probe(X, y, 6, strengths=Cs)
    theirs = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=Cs, cv=5, max_iter=500)).fit(X, y)
    ours = (probe.logits(X_test).argmax(1) == y_test).mean()
    assert ours >= theirs.score(X_test, y_test) - 0.01
    assert probe.weight.dtype == np.float32 and probe.weight.shape == (6, 40) and probe.bias.shape == (6,)
    assert probe.folds == 5 and probe.converged


def test_weight_and_bias_are_those_of_standardised_features_folded_back() -> None:
    X, y = features(300, 10, 3)
    probe = fit_probe(X, y, 3, strengths=[0.05], tol=1e-8, max_iter=2000)
    scaler = StandardScaler().fit(X.astype(np.float64))
    theirs = LogisticRegression(C=0.05, tol=1e-9, max_iter=10_000).fit(scaler.transform(X.astype(np.float64)), y)
    np.testing.assert_allclose(probe.weight * scaler.scale_, theirs.coef_, atol=2e-3)
    expected = theirs.decision_function(scaler.transform(X.astype(np.float64)))
    np.testing.assert_allclose(probe.logits(X), expected, atol=2e-3)


def test_held_out_probabilities_come_from_models_that_did_not_see_the_row() -> None:
    X, y = features(200, 12, 3)
    probe = fit_probe(X, y, 3, strengths=[0.02], tol=1e-8, max_iter=2000, seed=3)
    fold = assign_folds(y, seed=3)
    S = (X - X.mean(0)) / X.std(0)
    for f in range(5):
        theirs = LogisticRegression(C=0.02, tol=1e-8, max_iter=10_000).fit(S[fold != f], y[fold != f])
        assert probe.oof is not None
        np.testing.assert_allclose(probe.oof[fold == f], theirs.predict_proba(S[fold == f]), atol=5e-3)
    right = probe.oof.argmax(1) == y
    assert probe.cv_accuracy.tolist() == pytest.approx([right.mean()])
    assert probe.cv_se == pytest.approx(right.std() / np.sqrt(200))


def test_the_rule_is_the_lowest_log_loss_among_those_not_clearly_worse() -> None:
    y = np.zeros(100, dtype=np.int64)
    search = Search(y, np.ones(100))

    def add(right: int, sure: float) -> None:
        p = np.full((100, 2), 0.5, dtype=np.float32)
        p[:, 0] = np.where(np.arange(100) < right, sure, 0.45)
        p[:, 1] = 1 - p[:, 0]
        search.add(p)

    add(60, 0.9)  # clearly worse in accuracy
    add(90, 0.6)
    add(89, 0.95)  # one image worse, far better log loss
    assert search.accuracy == pytest.approx([0.6, 0.9, 0.89])
    assert search.best == 2
    assert not search.over
    add(85, 0.6)
    assert not search.over
    add(80, 0.6)
    assert search.over


def test_the_path_ends_early_where_stronger_fits_only_get_worse() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 200)).astype(np.float32), rng.integers(0, 3, 60)
    probe = fit_probe(X, y, 3, strengths=np.logspace(-5, 3, 10).tolist())
    assert len(probe.strengths) == len(probe.cv_accuracy) == len(probe.cv_log_loss) < 10


def test_class_weights_act_and_two_copies_are_a_weight_of_two() -> None:
    X, y = features(300, 10, 3)
    w = np.where(y == 1, 2.0, 1.0)
    plain, weighted = fit_probe(X, y, 3, strengths=[0.01]), fit_probe(X, y, 3, strengths=[0.01], sample_weight=w)
    assert (weighted.logits(X).argmax(1) == 1).sum() > (plain.logits(X).argmax(1) == 1).sum()


def test_rows_of_weight_zero_are_left_out() -> None:
    X, y = features(200, 10, 3)
    w = np.ones(200)
    w[150:] = 0
    broken = X.copy()
    broken[150:] *= 1000
    a = fit_probe(broken, y, 3, sample_weight=w, seed=1)
    b = fit_probe(X[:150], y[:150], 3, seed=1)
    np.testing.assert_array_equal(a.weight, b.weight)
    assert a.oof is not None and np.isnan(a.oof[150:]).all() and np.isfinite(a.oof[:150]).all()


def test_groups_are_held_out_whole() -> None:
    """Labels are noise, but rows of a group are copies: only leaking folds could predict them."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    X = np.repeat(rng.normal(size=(60, 100)), 5, axis=0).astype(np.float32)
    y = np.repeat(rng.integers(0, 2, 60), 5)
    assert fit_probe(X, y, 2).cv_accuracy.max() > 0.95
    assert fit_probe(X, y, 2, groups=groups).cv_accuracy.max() < 0.7


def test_one_example_a_class_takes_the_middle_of_the_path_and_says_so() -> None:
    X, y = np.eye(4, dtype=np.float32), np.arange(4)
    probe = fit_probe(X, y, 4)
    assert probe.folds == 0 and probe.oof is None and np.isnan(probe.cv_accuracy).all()
    assert "nothing can be held out" in probe.why
    assert probe.strength == pytest.approx(default_strengths(4, 4, 4)[4])
    assert (probe.logits(X).argmax(1) == y).all()


def test_a_class_with_one_example_among_others_is_learnt() -> None:
    X, y = features(60, 10, 3)
    X, y = np.concatenate([X, X[:1] * 0 + 50]), np.append(y, 3)
    probe = fit_probe(X, y, 4)
    assert probe.oof is not None and np.isnan(probe.oof[-1]).all()
    assert probe.logits(X[-1:]).argmax() == 3


def test_a_class_missing_from_the_data_is_never_predicted() -> None:
    X, y = features(100, 6, 3)
    probe = fit_probe(X, y, 5)
    assert (probe.logits(X).argmax(1) < 3).all()
    assert np.isfinite(probe.weight).all() and np.isfinite(probe.bias).all()


def test_constant_columns_and_fewer_rows_than_columns() -> None:
    X, y = features(30, 300, 3)
    X[:, 5] = 4.2
    probe = fit_probe(X, y, 3)
    assert (probe.weight[:, 5] == 0).all() and np.isfinite(probe.weight).all()
    assert (probe.logits(X).argmax(1) == y).mean() > 0.9


@pytest.mark.parametrize("size", [1e-31, 1e-22, 1e-7, 0.0])
def test_dead_columns_count_nothing(size: float) -> None:
    """The last norm of MiniLM has weights of 1e-33 and 1e-9: squares of such columns are 0, and a weight that undoes 1e-7 ruins fine-tuning."""
    X, y = features(60, 6, 3)
    whole = np.column_stack([X, np.random.default_rng(1).standard_normal(len(X)) * size]).astype(np.float32)
    found, expected = (
        fit_probe(whole, y, 3),
        fit_probe(X.astype(np.float32), y, 3, strengths=fit_probe(whole, y, 3).strengths),
    )
    assert np.isfinite(found.weight).all() and not found.weight[:, -1].any()
    np.testing.assert_allclose(found.weight[:, :-1], expected.weight, atol=1e-3)


def test_same_seed_same_probe() -> None:
    X, y = features(150, 20, 3)
    a, b = (fit_probe(X, y, 3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(a.weight, b.weight)
    np.testing.assert_array_equal(a.cv_accuracy, b.cv_accuracy)


def test_the_number_of_threads_is_given_back() -> None:
    import torch

    before = torch.get_num_threads()
    fit_probe(*features(50, 5, 2), 2)
    assert torch.get_num_threads() == before


def test_progress_hears_of_each_strength() -> None:
    heard: list[str] = []
    fit_probe(*features(50, 5, 2), 2, strengths=[0.1, 1.0], progress=heard.append)
    assert len(heard) == 2 and heard[0].startswith("strength 1 of 2: held-out accuracy")


def fit(**changes: object) -> Probe:
    X, y = features(40, 5, 3)
    return fit_probe(**{"X": X, "y": y, "n_classes": 3, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folds": 1}, "too few folds"),
        ({"strengths": [0.0]}, "strength that is not positive"),
        ({"groups": np.arange(3)}, "groups and labels differ in length"),
        ({"sample_weight": np.full(40, -1.0)}, "negative or not finite"),
        ({"X": np.full((40, 5), np.inf)}, "not finite numbers"),
        ({"n_classes": 2}, "label out of range"),
        ({"y": np.zeros(40, dtype=int)}, "fewer than two classes"),
    ],
)
def test_what_cannot_be_fitted_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(**changes)


def test_a_class_that_a_fold_did_not_see_has_probability_zero_there() -> None:
    X, y = features(90, 8, 3)
    groups = np.where(y == 2, "only", (np.arange(90) % 4).astype(str))
    probe = fit_probe(X, y, 3, groups=groups)
    assert probe.oof is not None
    held = groups == "only"
    assert (probe.oof[held, 2] == 0).all() and (probe.oof[~held, 2] > 0).any()
    assert np.isfinite(probe.cv_log_loss).all()
