"""Scores of several labels, quantities, ranks and nested classes against scikit-learn and by hand."""

from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as peer

from headstart.data.dataset import SEQUENCES
from headstart.data.labels import TASKS as READ
from headstart.evaluation.precision_recall import average_precisions
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.evaluation.scoring.ordinal import median_rank
from headstart.functional.thresholds import best_thresholds
from headstart.recipe import METRICS, Recipe
from headstart.tasks.catalogue import TASKS
from headstart.tasks.hierarchical import Hierarchical, levels_of, node_probabilities
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression
from headstart.training.heads.catalogue import SOLVERS

RNG = np.random.default_rng(0)


def test_every_task_has_a_solver_and_a_scoring_and_a_name_in_the_recipe():
    solved = {name for name in TASKS if not TASKS[name].by_token and name not in SEQUENCES}
    assert solved == set(SOLVERS)
    assert set(TASKS) == set(SCORING) == set(READ)
    assert {"auto", *TASKS} == set(get_args(Recipe.model_fields["task"].annotation))
    known = {name for _, scoring in SCORING.items() for name in scoring.metrics(("a", "b"))}
    assert set(METRICS) == known | {"auto"}
    for name, scoring in SCORING.items():
        known = scoring.metrics(("a/x", "a/y", "b/z"))
        assert scoring.name == name and next(iter(known)) == scoring.headline


@pytest.fixture
def several() -> tuple[np.ndarray, np.ndarray, Multilabel]:
    labels = (np.random.default_rng(1).random((80, 4)) < [0.5, 0.3, 0.1, 0.2]).astype(np.float32)
    found = np.clip(0.5 * labels + np.random.default_rng(2).random((80, 4)) * 0.6, 0, 1).round(2)  # rounded: ties
    return found, labels, Multilabel(tuple("abcd"), thresholds=np.array([0.5, 0.4, 0.7, 0.6]))


def test_multilabel_scores_are_scikit_learns(several):
    found, labels, task = several
    scores = SCORING["multilabel"].scores(found, labels, task)
    said = found >= task.thresholds
    assert scores["mean_average_precision"]["value"] == pytest.approx(peer.average_precision_score(labels, found))
    assert scores["micro_f1"]["value"] == pytest.approx(peer.f1_score(labels, said, average="micro"))
    assert scores["macro_f1"]["value"] == pytest.approx(peer.f1_score(labels, said, average="macro"))
    for cell in scores.values():
        assert cell["ci95"][0] < cell["value"] < cell["ci95"][1]
    points = SCORING["multilabel"].points(found, labels, task.classes)
    inside = found.astype(np.float64).clip(1e-7, 1 - 1e-7)
    assert points["loss"] == pytest.approx(np.mean([peer.log_loss(labels[:, k], inside[:, k]) for k in range(4)]))
    row = SCORING["multilabel"].details(found, labels, task)["per_label"][2]
    assert row["precision"] == pytest.approx(peer.precision_score(labels[:, 2], said[:, 2]))
    assert row["recall"] == pytest.approx(peer.recall_score(labels[:, 2], said[:, 2]))


def test_average_precision_of_resamples_is_scikit_learns_with_weights(several):
    found, labels, _ = several
    weights = np.random.default_rng(3).multinomial(80, np.full(80, 1 / 80), size=3).astype(float)
    ours = average_precisions(found, labels, weights)
    for b in range(3):
        theirs = [peer.average_precision_score(labels[:, k], found[:, k], sample_weight=weights[b]) for k in range(4)]
        np.testing.assert_allclose(ours[b], theirs)


def test_a_label_without_a_positive_does_not_count():
    labels = np.array([[1, 0], [0, 0], [1, 0]], dtype=np.float32)
    found = np.array([[0.9, 0.1], [0.2, 0.2], [0.8, 0.4]])
    assert np.isnan(average_precisions(found, labels)[0, 1])
    assert SCORING["multilabel"].points(found, labels, ("a", "b"))["mean_average_precision"] == 1


def test_thresholds_have_the_best_f1_of_all_cuts(several):
    found, labels, _ = several
    best = best_thresholds(found, labels)
    for k in range(4):
        cuts = [0, *(np.unique(found[:, k]) + 1e-9)]
        f1 = [peer.f1_score(labels[:, k], found[:, k] >= cut) for cut in cuts]
        assert peer.f1_score(labels[:, k], found[:, k] >= best[k]) == pytest.approx(max(f1))
    assert (
        best_thresholds(np.array([[0.2], [0.9], [0.3]]), np.array([[0], [1], [0]]))[0] == 0.5
    )  # any cut between would do
    assert (
        best_thresholds(np.array([[np.nan], [0.7]]), np.array([[1], [0]]))[0] == 0.5
    )  # nothing positive was predicted


def test_a_multilabel_gain_sees_each_models_own_thresholds(several):
    found, labels, task = several
    lazy = Multilabel(task.classes, thresholds=np.full(4, 0.99))
    gain = SCORING["multilabel"].gain(found, found, labels, "micro_f1", (task, lazy))
    direct = [SCORING["multilabel"].scores(found, labels, t)["micro_f1"]["value"] for t in (task, lazy)]
    assert gain["value"] == pytest.approx(direct[0] - direct[1]) and gain["p_value"] < 0.01
    better = SCORING["multilabel"].gain(labels * 0.9 + 0.05, found, labels, "mean_average_precision", (task, task))
    assert better["value"] == pytest.approx(1 - peer.average_precision_score(labels, found)) and better["ci95"][0] > 0


def test_regression_scores_are_scikit_learns_and_fewer_errors_are_a_gain():
    truth = RNG.normal(size=60) * 4 + 10
    found = (truth + RNG.normal(size=60))[:, None]
    task = Regression(("age",))
    scores = SCORING["regression"].scores(found, truth, task)
    assert scores["rmse"]["value"] == pytest.approx(peer.root_mean_squared_error(truth, found))
    assert scores["mae"]["value"] == pytest.approx(peer.mean_absolute_error(truth, found))
    assert scores["r2"]["value"] == pytest.approx(peer.r2_score(truth, found))
    worse = found + RNG.normal(size=(60, 1)) * 2
    gain = SCORING["regression"].gain(found, worse, truth, "rmse", (task, task))
    assert gain["value"] == pytest.approx(
        peer.root_mean_squared_error(truth, worse) - peer.root_mean_squared_error(truth, found)
    )
    assert gain["value"] > 0 and gain["ci95"][0] > 0 and gain["p_value"] < 0.01
    watched = SCORING["regression"].watch(found, truth, ("age",))
    assert watched["minus_rmse"] == -watched["rmse"] and SCORING["regression"].watched("rmse", ("age",)) == "minus_rmse"


def test_ordinal_scores_are_scikit_learns():
    labels = np.random.default_rng(4).integers(0, 4, 70)
    found = np.random.default_rng(5).dirichlet(np.ones(4), 70)
    found[np.arange(70), labels] += 0.7
    found /= found.sum(1, keepdims=True)
    task = Ordinal(tuple("abcd"))
    said = median_rank(found)
    scores = SCORING["ordinal"].scores(found, labels, task)
    assert scores["quadratic_kappa"]["value"] == pytest.approx(
        peer.cohen_kappa_score(labels, said, weights="quadratic")
    )
    assert scores["mae"]["value"] == pytest.approx(np.abs(labels - said).mean())
    assert scores["accuracy"]["value"] == pytest.approx((labels == said).mean())
    # the median rank has the lowest expected absolute error of all ranks
    cost = np.abs(np.arange(4)[:, None] - np.arange(4))
    assert (said == (found @ cost).argmin(1)).all()


def test_a_level_of_the_hierarchy_is_the_sum_of_its_leaves():
    classes = ("animal/cat", "animal/dog", "plant/oak", "plant/rose", "plant/fern")
    (outer, node), (leaves, own) = levels_of(classes)
    assert outer == ("animal", "plant") and node.tolist() == [0, 0, 1, 1, 1]
    assert leaves == classes and own.tolist() == [0, 1, 2, 3, 4]
    # the best leaf is a cat, yet the plants have more together
    found = np.array([[0.4, 0.0, 0.25, 0.2, 0.15], [0.1, 0.6, 0.1, 0.1, 0.1], [0.0, 0.1, 0.1, 0.7, 0.1]])
    np.testing.assert_allclose(node_probabilities(found, node), [[0.4, 0.6], [0.7, 0.3], [0.1, 0.9]])
    labels = np.array([0, 0, 4])
    scores = SCORING["hierarchical"].points(found, labels, classes)
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["accuracy_level_1"] == pytest.approx(2 / 3)
    assert scores["hierarchical_distance"] == pytest.approx((0 + 1 + 1) / 3)
    table = SCORING["hierarchical"].columns(found, None, Hierarchical(classes), classes)
    assert table["level_1"] == ["plant", "animal", "plant"] and table["predicted"][0] == "animal/cat"
