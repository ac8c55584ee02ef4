"""The classical baseline: TF-IDF by hand, the optimum of what it minimises, every task, and a fault that scores show."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart.data.labels import TASKS as KNOWN
from headstart.features.bag_of_words import BagOfWords, unspaced
from headstart.tasks.classification import Classification
from headstart.tasks.embedding import Embedding
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression
from headstart.training.classical import HEADS, STRENGTHS, few_axes, fit_classical, solve_logistic

from .tiny_bert import chinese, sentences


@pytest.fixture
def exact(monkeypatch):
    """Solutions to the last digits, to compare with those of others."""
    monkeypatch.setattr("headstart.training.classical.TOLERANCE", 1e-6)


def test_tf_idf_by_hand():
    """(1 + ln n) (1 + ln((1 + N) / (1 + N_t))), words and pairs of words, to unit length."""
    bag = BagOfWords(["red red fish", "blue fish"])
    names = bag.kinds[0].get_feature_names_out().tolist()
    assert names == ["blue", "blue fish", "fish", "red", "red fish", "red red"]
    rare, common = 1 + np.log(3 / 2), 1.0
    raw = np.array([0, 0, common, (1 + np.log(2)) * rare, rare, rare])
    row = bag(["red red fish"]).toarray()[0]
    assert row[:6] == pytest.approx(raw / np.linalg.norm(raw), abs=1e-6)
    assert np.linalg.norm(row[6:]) == pytest.approx(1, abs=1e-6)  # letters
    assert {" re", "red ", "fish", " blue"} <= set(bag.kinds[1].get_feature_names_out())


def test_scripts_without_spaces_are_read_by_letters():
    texts, _ = chinese(6)
    assert (
        unspaced(texts)
        and unspaced(["これはペンです"])
        and not unspaced(["un été à Paris", "Привет мир", "한국어 문장"])
    )
    bag = BagOfWords(texts)
    assert [kind.analyzer for kind in bag.kinds] == ["char"] and bag.says == "letters"
    assert {"酒", "酒店", "家酒店"} <= set(bag.kinds[0].get_feature_names_out())
    assert BagOfWords(["!!", "?"])(["!"]).shape[0] == 1


def test_of_long_texts_the_letters_of_the_beginning_are_counted(monkeypatch):
    """So that the terms of long texts fit into memory; words count wherever they stand."""
    monkeypatch.setattr("headstart.features.bag_of_words.LETTERS", 20)
    monkeypatch.setattr("headstart.features.bag_of_words.LEAST", 5)
    bag = BagOfWords(["zebra lion", "tiger yak"])
    words, letters = (set(kind.get_feature_names_out()) for kind in bag.kinds)
    assert bag.letters == 10 and {"lion", "yak"} <= words and {" lion", "yak "} <= letters
    monkeypatch.setattr("headstart.features.bag_of_words.LETTERS", 10)
    short = BagOfWords(["zebra lion", "tiger yak"])
    assert (
        "lion" in short.kinds[0].vocabulary_
        and " li" not in short.kinds[1].vocabulary_
        and "zeb" in short.kinds[1].vocabulary_
    )


def test_of_a_pair_the_common_words_are_seen():
    bag = BagOfWords([("red fish", "blue fish"), ("red", "green")])
    width = sum(len(kind.vocabulary_) for kind in bag.kinds)
    row = bag([("red fish", "fish")]).toarray()[0].reshape(3, width)
    fish, red = (bag.kinds[0].vocabulary_[word] for word in ("fish", "red"))
    assert row[2, fish] == pytest.approx(row[0, fish] * row[1, fish]) and row[2, fish] > 0
    assert row[0, red] > 0 == row[1, red] == row[2, red]


def test_the_solution_is_the_optimum_of_the_penalised_likelihood(exact):
    """At the optimum of C sum_i l_i + |W|^2 / 2 the gradient C X' (P - Y) + W is zero, and so is its part for the bias."""
    texts, labels = sentences(90, classes=3)
    y = np.unique(labels, return_inverse=True)[1]
    X = BagOfWords(texts)(texts)
    weights = np.where(y == 0, 2.0, 1.0)
    weight, bias, C, accuracy, oof = solve_logistic(X, y, 3, weights=weights, groups=None, seed=0)
    logits = X @ weight.T + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    left = (p - np.eye(3)[y]) * weights[:, None]
    gradient = C * (X.T @ left).T + weight
    near = 1e-4 * C * weights.sum()
    assert np.abs(gradient).max() < near < 0.1 * np.abs(C * (X.T @ (np.eye(3)[y] - 1 / 3))).max()
    assert np.abs(C * left.sum(0)).max() < near
    assert C in STRENGTHS and accuracy > 0.9 and oof.shape == (90, 3) and np.allclose(oof.sum(1), 1, atol=1e-5)
    # two classes: two rows, of which one is the other's negative; their difference is scikit-learn's row
    two = y < 2
    weight, bias, C, *_ = solve_logistic(X[two], y[two], 2, weights=None, groups=None, seed=0)
    assert np.allclose(weight[0], -weight[1], atol=1e-6)
    theirs = LogisticRegression(C=C, tol=1e-6, max_iter=1000).fit(X[two], y[two])
    assert np.abs(weight[1] - weight[0] - theirs.coef_[0]).max() < 0.02 * np.abs(theirs.coef_).max()
    assert bias[1] - bias[0] == pytest.approx(theirs.intercept_[0], abs=0.02)
    # a class that has no example is never said; one example alone cannot be held out
    weight, bias, *_ = solve_logistic(X[two], y[two], 3, weights=None, groups=None, seed=0)
    assert bias[2] == -1e4
    *_, accuracy, oof = solve_logistic(X[:3], y[:3], 3, weights=None, groups=None, seed=0)
    assert np.isnan(accuracy) and oof is None


def test_rotated_rows_have_the_same_solution(exact, monkeypatch):
    texts, labels = sentences(60, classes=3)
    y, X = np.unique(labels, return_inverse=True)[1], BagOfWords(texts)(texts)
    design, back = few_axes(X)
    assert design.rows.shape[1] <= 61 < X.shape[1]
    W = torch.randn(design.rows.shape[1] - 1, 2, generator=torch.Generator().manual_seed(0))
    assert np.allclose(X @ back(W).numpy(), design.rows[:, :-1] @ W, atol=1e-4)
    sooner = solve_logistic(X, y, 3, weights=None, groups=None, seed=0)
    monkeypatch.setattr("headstart.training.classical.FEW", 0)
    plain = solve_logistic(X, y, 3, weights=None, groups=None, seed=0)
    assert sooner[2] == plain[2] and np.allclose(sooner[4], plain[4], atol=0.02)
    assert np.abs(sooner[0] - plain[0]).max() < 0.02 * np.abs(plain[0]).max()


def test_of_much_the_strength_is_chosen_on_a_draw_and_all_is_learned_from(exact, monkeypatch):
    texts, labels = sentences(120, classes=3)
    y, X = np.unique(labels, return_inverse=True)[1], BagOfWords(texts)(texts)
    monkeypatch.setattr("headstart.training.classical.FEW", 60)
    monkeypatch.setattr("headstart.training.classical.MUCH", 10)
    weight, bias, C, accuracy, oof = solve_logistic(X, y, 3, weights=None, groups=None, seed=0)
    drawn = np.flatnonzero(np.isfinite(oof[:, 0]))
    assert len(drawn) == 60 and accuracy > 0.8 and np.bincount(y[drawn]).min() > 15
    theirs = LogisticRegression(C=C, tol=1e-6, max_iter=1000).fit(X, y)
    assert np.abs(weight - theirs.coef_).max() < 0.03 * np.abs(theirs.coef_).max()
    assert np.allclose(bias - bias.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=0.02)


def test_held_out_groups_stay_out():
    """Copies in one group: held out together, their accuracy is chance; without groups the copies give the label away."""
    rng = np.random.default_rng(0)
    texts = [f"word{i // 4} other{i // 4}" for i in range(80)]
    y = np.repeat(rng.integers(0, 2, 20), 4)
    X, groups = BagOfWords(texts)(texts), np.arange(80) // 4
    together = solve_logistic(X, y, 2, weights=None, groups=groups, seed=0)[3]
    assert solve_logistic(X, y, 2, weights=None, groups=None, seed=0)[3] > 0.95 > 0.75 > together


def test_every_task_has_its_model():
    texts, labels = sentences(120, classes=3)
    fresh, truth = sentences(60, classes=3, seed=1)
    names, y = np.unique(labels, return_inverse=True)
    new = np.searchsorted(names, truth)
    assert set(HEADS) <= set(KNOWN)
    found = fit_classical(texts, y, Classification(tuple(names)))
    assert (found.predict(fresh).argmax(1) == new).mean() > 0.9 and "TF-IDF of words and letters" in found.criterion
    several = np.stack([y == 0, y != 1], 1).astype(np.float32)
    many = fit_classical(texts, several, Multilabel(("a", "b")))
    said = many.predict(fresh) >= many.task.thresholds
    assert (said == np.stack([new == 0, new != 1], 1)).mean() > 0.9
    ranked = fit_classical(texts, y, Ordinal(tuple(names))).predict(fresh)
    assert np.allclose(ranked.sum(1), 1, atol=1e-5) and (ranked.argmax(1) == new).mean() > 0.85
    amount = fit_classical(texts, y * 10.0, Regression(("stars",), center=10.0, scale=8.0)).predict(fresh)[:, 0]
    assert np.corrcoef(amount, new)[0, 1] > 0.85 and np.abs(amount - 10 * new).mean() < 5
    embedded = fit_classical(texts, y, Embedding(tuple(names), size=8)).predict(fresh)
    assert embedded.shape == (60, 8) and np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-4)


def test_labels_in_another_order_score_like_chance():
    """A planted fault: with labels that are not those of the texts nothing can be learned, and the score says so."""
    texts, labels = sentences(120)
    fresh, truth = sentences(100, seed=1)
    y, new = np.array(labels) == "bad", np.array(truth) == "bad"
    task = Classification(("good", "bad"))
    right = fit_classical(texts, y.astype(int), task).predict(fresh).argmax(1)
    mixed = fit_classical(texts, np.random.default_rng(0).permutation(y).astype(int), task).predict(fresh).argmax(1)
    assert (right == new).mean() > 0.9 and (mixed == new).mean() < 0.75
