"""The epoch of an adaptation is chosen without a label of the target."""

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier, is_regressor
from torch import nn

from headstart.adapters import SCORERS, AdaptationSearchCV, HeldOutSource, ImportanceWeightedScorer, make_method
from headstart.adapters.search import paired_error
from headstart.data.rows import ArrayRows
from headstart.errors import ArrayError
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.deep_adapter import DeepAdapter
from headstart.training.selecting import DeepHead, EpochJudge, held_out

CPU = torch.device("cpu")


def blobs(n=90, d=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(0, 0.6, (n, d)) + 3 * np.eye(3, d)[y] + shift).astype(np.float32), y


def model(seed=0):
    torch.manual_seed(seed)
    return Model(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 3)).eval()


@pytest.mark.parametrize("name", SCORERS)
def test_an_epoch_is_judged_as_the_scorer_judges_the_head_on_deep_features(name):
    (X, y), (Xt, _) = blobs(), blobs(seed=1, shift=0.5)
    task, net = Classification(("a", "b", "c")), model()
    found = EpochJudge(name, task, ArrayRows(X), y, ArrayRows(Xt), CPU, 0)(net)
    deep = [net.backbone(torch.as_tensor(rows)).detach().numpy() for rows in (X, Xt)]
    logits = [net.head(torch.as_tensor(rows)).detach().softmax(1).numpy() for rows in deep]
    if name == "source":
        assert found[name] == pytest.approx((logits[0].argmax(1) == y).mean())
    if name == "entropy":
        assert found[name] == pytest.approx((logits[1] * np.log(logits[1])).sum(1).mean(), rel=1e-5)
    if name == "iwv":
        weights = ImportanceWeightedScorer()._weights(*deep)
        assert found[name] == pytest.approx((weights * (logits[0].argmax(1) == y)).mean(), rel=1e-5)
    assert np.isfinite(found[name])
    assert found["order"] == 1


def test_reverse_goes_back_by_a_linear_head_on_deep_features():
    (X, y), (Xt, yt) = blobs(), blobs(seed=1)
    head = DeepHead(nn.Linear(4, 3), Classification(("a", "b", "c")))
    assert is_classifier(head) and not is_regressor(head)
    assert (head.fit(Xt, yt).predict(X) == y).mean() > 0.9


def test_a_fifth_of_each_class_is_held_out_and_never_the_last_row():
    y = np.repeat([0, 1, 2], [50, 10, 1])
    rows = held_out(y, 0)
    assert np.bincount(y[rows], minlength=3).tolist() == [10, 2, 0]
    np.testing.assert_array_equal(rows, held_out(y, 0))
    assert not np.array_equal(rows, held_out(y, 1))
    assert len(held_out(np.linspace(0, 1, 50), 0, classes=False)) == 10


def test_the_best_epoch_is_kept_and_held_out_rows_are_not_trained_on():
    (X, y), (Xt, _) = blobs(), blobs(seed=1, shift=0.5)
    made = DeepAdapter("finetune", epochs=4, select="source", hidden=(8,))
    fitted = made.fit(X, y, X_target=Xt)
    scores = [row["valid_source"] for row in fitted.history_]
    held = fitted.held_out_
    assert (fitted.predict(X[held]) == y[held]).mean() == pytest.approx(scores[fitted.best_epoch_ - 1])
    assert len(fitted.epochs_said_) == 4
    np.testing.assert_allclose(
        fitted.epochs_said_[fitted.best_epoch_ - 1], fitted.predict_proba(Xt)[fitted.compared_], atol=1e-6
    )
    moved = X.copy()
    moved[held] += 100  # what is not trained on changes no weight
    again = made.fit(moved, y, X_target=Xt)
    assert again.history_[0]["train_loss"] == pytest.approx(fitted.history_[0]["train_loss"])
    plain = DeepAdapter("finetune", epochs=2, hidden=(8,)).fit(X, y, X_target=Xt)
    assert not len(plain.held_out_) and plain.best_epoch_ == 2
    with pytest.raises(ArrayError, match="chosen by looking at the target"):
        DeepAdapter("finetune", select="iwv").fit(X, y)
    assert not made.fit(X, y).epochs_said_


class Recorded:
    """A scorer that says what was written down, epoch by epoch."""

    def __init__(self, rows):
        self.rows = iter(rows)

    def each(self, estimator, X, y, X_target):
        return next(self.rows)


def test_the_latest_epoch_within_the_noise_of_the_best_is_kept():
    (X, y), task, net = blobs(), Classification(("a", "b", "c")), model()
    judge = EpochJudge("source", task, ArrayRows(X), y, None, CPU, 0)

    def right(n):
        return np.r_[np.ones(n), np.zeros(90 - n)]

    # 60 of 90 right, 80, 79 (a row less is one standard error, at most), 70 (ten are more), 79 again
    judge.scorer = Recorded([right(60), right(80), right(79), right(70), right(79)])
    assert [judge(net)["order"] for _ in range(5)] == [1, 2, 3, 0, 5]
    assert not judge.said


def test_values_choose_their_epoch_too():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (100, 3)).astype(np.float32)
    y = X @ [1.0, -2.0, 0.5] + 10
    fitted = DeepAdapter("finetune", task="regression", epochs=5, select="source").fit(X, y, X_target=X + 1)
    said = fitted.predict(X[fitted.held_out_])
    held = y[fitted.held_out_]
    assert fitted.history_[fitted.best_epoch_ - 1]["valid_source"] == pytest.approx(
        1 - ((said - held) ** 2).mean() / held.var(), rel=1e-4
    )


def test_scores_are_means_over_rows_and_a_candidate_has_to_beat_the_noise():
    (X, y), (Xt, _) = blobs(), blobs(seed=1, shift=0.5)
    net = make_method("source_only").fit(X, y, X_target=Xt)
    for name, kind in SCORERS.items():
        assert kind()(net, X, y, X_target=Xt) == pytest.approx(kind().each(net, X, y, X_target=Xt).mean()), name
    assert HeldOutSource()(net, X, y, X_target=Xt) == net.score(X, y)
    a, b = np.array([1.0, 0, 1, 1]), np.array([0.0, 0, 1, 0])
    assert paired_error(a, b) == pytest.approx(np.std([1, 0, 0, 1], ddof=1) / 2)
    search = AdaptationSearchCV(["source_only", "scaler"])
    methods = ["source_only", "other"]
    for worse, choice in (
        (0, 1),
        (2, 0),
    ):  # three of a hundred rows better are beyond a standard error, with two worse not
        each = [np.r_[np.zeros(3), np.ones(worse), np.zeros(97 - worse)], np.r_[np.ones(3), np.zeros(97)]]
        means = np.array([part.mean() for part in each])
        assert search._choice(methods, means, each)[:2] == (choice, choice == 0)
    assert AdaptationSearchCV(baseline=None)._choice(methods, means, each)[0] == 1


def test_the_search_keeps_what_each_candidate_says_of_the_target():
    (X, y), (Xt, _) = blobs(), blobs(seed=1, shift=0.5)
    search = AdaptationSearchCV(["source_only", "scaler"], max_rows=60).fit(X, y, X_target=Xt)
    assert len(search.compared_) == 60
    assert all(len(said) == 60 for said in search.cv_results_["target_predictions"])
