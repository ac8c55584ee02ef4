"""Choosing a strategy by folds: the race, its budget and its rule, with trainings whose outcome and cost are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import headstart.ranking.choose as choose
from headstart.data.dataset import Dataset
from headstart.errors import WorkError
from headstart.evaluation.metrics import point_metrics
from headstart.ranking.choose import Candidate, choose_strategy
from headstart.training.transfer import Settings


class Race:
    """Trainings that take a given time and are right on a given share of the images, always the same ones first."""

    def __init__(self, monkeypatch, shares, costs, broken=()):
        self.now, self.runs, self.shares, self.costs, self.broken = 0.0, [], shares, costs, broken
        monkeypatch.setattr(choose, "transfer", self.transfer)
        monkeypatch.setattr(choose, "probabilities", self.probabilities)

    def transfer(self, source, strategy, classes, train, valid, how, *, layer, **rest):
        short = {"probe>finetune": "lpft", "finetune+l2sp": "l2sp"}.get(strategy.name, strategy.name)
        name = Candidate(short, layer, how.optimisation.get("lr")).name
        assert valid is None
        self.now += self.costs[name]
        self.runs.append((name, tuple(train.labels)))
        if name in self.broken:
            raise WorkError("the loss is no longer a finite number")
        return SimpleNamespace(name=name)

    def probabilities(self, moved, source, classes, test, **rest):
        easy = np.array([float(str(ref)) for ref in test.inputs]) < self.shares[moved.name]
        said = np.where(easy, test.labels, 1 - test.labels)
        return np.eye(2)[said]

    def clock(self):
        return self.now


def images(n):
    """n images; the name of each is its place on a scale of difficulty from 0 to 1."""
    order = np.random.default_rng(0).permutation(n)
    return Dataset([f"{(i + 0.5) / n}" for i in order], np.arange(n) % 2, ("a", "b"), np.full(n, "train"))


def go(race, names, *, n=200, seconds=1e9, **more):
    return choose_strategy(
        None, [Candidate(*([x] if isinstance(x, str) else x)) for x in names], images(n), Settings(), seconds=seconds,
        device=torch.device("cpu"), seed=0, score=point_metrics, cache_dir=None, clock=race.clock, **more,
    )  # fmt: skip


def test_the_worse_half_leaves_after_each_rung_and_the_best_wins(monkeypatch):
    race = Race(
        monkeypatch, {"lpft": 0.9, "finetune": 0.7, "l2sp": 0.6, "last": 0.5}, dict.fromkeys(["lpft", "finetune", "l2sp", "last"], 10.0)
    )  # fmt: skip
    found = go(race, ["finetune", "lpft", "l2sp", "last"])
    assert found.chosen == Candidate("lpft")
    assert [t.name for t in found.trials] == ["lpft", "finetune", "l2sp", "last"]
    assert [t.folds for t in found.trials] == [3, 3, 1, 1]  # 1 fold each, 2 more for the better half, then one is left
    assert found.trials[2].out == found.trials[3].out == "in the worse half after one fold"
    assert found.trials[0].accuracy == pytest.approx(0.9, abs=0.03) and found.trials[0].images == 120
    assert found.seconds == race.now == 8 * 10
    assert "lpft: 9" in found.why and "the best of 4" in found.why


def test_the_cheap_one_wins_where_the_dear_one_is_not_clearly_better(monkeypatch):
    race = Race(monkeypatch, {"probe": 0.80, "finetune": 0.805}, {"probe": 0.1, "finetune": 20.0})
    found = go(race, ["probe", "finetune"])
    assert found.chosen == Candidate("probe")
    assert "not clearly better" in found.why and "200 times as long" in found.why
    assert found.trials[0].name == "finetune"
    race = Race(monkeypatch, {"probe": 0.80, "finetune": 0.88}, {"probe": 0.1, "finetune": 20.0})
    assert go(race, ["probe", "finetune"]).chosen == Candidate("finetune")


def test_a_cheap_candidate_stays_as_a_yardstick(monkeypatch):
    race = Race(monkeypatch, {"probe": 0.5, "finetune": 0.8, "lpft": 0.7}, {"probe": 0.1, "finetune": 20.0, "lpft": 20})
    found = {t.name: t for t in go(race, ["probe", "finetune", "lpft"]).trials}
    assert found["probe"].folds >= found["finetune"].folds > 1 and found["probe"].out == ""


def test_folds_are_the_same_for_all_and_repeat_with_new_splits(monkeypatch):
    race = Race(monkeypatch, {"probe": 0.5, "finetune": 0.5}, {"probe": 1.0, "finetune": 1.0})
    found = go(race, ["probe", "finetune"], n=50)
    ours = {name: [rows for who, rows in race.runs if who == name] for name in ("probe", "finetune")}
    assert ours["probe"][: len(ours["finetune"])] == ours["finetune"][: len(ours["probe"])]
    assert found.trials[0].folds >= 1


@pytest.mark.parametrize(("seconds", "folds"), [(45, 1), (125, 3), (1000, 7)])
def test_no_fold_is_begun_that_does_not_fit(monkeypatch, seconds, folds):
    race = Race(monkeypatch, {"probe": 0.7, "finetune": 0.7}, {"probe": 0.5, "finetune": 40.0})
    found = go(
        race, ["probe", "finetune"], seconds=seconds, forecast=lambda c, n: 40.0 if c.strategy == "finetune" else 0
    )
    assert race.now <= seconds
    assert {t.name: t.folds for t in found.trials}["finetune"] >= min(folds, 3)


def test_a_candidate_that_never_fits_is_named_and_the_rest_goes_on(monkeypatch):
    race = Race(monkeypatch, {"probe": 0.7, "finetune": 0.9}, {"probe": 0.5, "finetune": 500.0})
    found = go(race, ["probe", "finetune"], seconds=60, forecast=lambda c, n: 500.0 if c.strategy == "finetune" else 0)
    assert found.chosen == Candidate("probe")
    out = {t.name: t for t in found.trials}["finetune"]
    assert out.folds == 0 and out.accuracy is None and out.out.startswith("one training takes about 500 s, and")


def test_a_training_that_fails_leaves_the_race(monkeypatch):
    race = Race(monkeypatch, {"probe": 0.6, "finetune": 0.9}, {"probe": 0.5, "finetune": 5.0}, broken=("finetune",))
    found = go(race, ["probe", "finetune"])
    assert found.chosen == Candidate("probe")
    assert {t.name: t.out for t in found.trials}["finetune"] == "the loss is no longer a finite number"


def test_a_learning_rate_is_a_candidate_of_its_own(monkeypatch):
    race = Race(monkeypatch, {"finetune": 0.6, "finetune, lr 0.01": 0.9}, {"finetune": 5.0, "finetune, lr 0.01": 5.0})
    assert go(race, ["finetune", ("finetune", "last", 0.01)]).chosen.lr == 0.01


def test_nothing_to_hold_out_takes_the_first(monkeypatch):
    race = Race(monkeypatch, {}, {})
    found = go(race, ["probe", "finetune"], n=2)
    assert found.chosen == Candidate("probe") and "too few labels" in found.why and not race.runs


def test_a_single_small_fold_does_not_win_against_a_yardstick(monkeypatch):
    shares, costs = {"probe": 0.5, "finetune": 0.9}, {"probe": 0.1, "finetune": 40.0}
    found = go(Race(monkeypatch, shares, costs), ["probe", "finetune"], n=100, seconds=50)
    assert found.chosen == Candidate("probe")
    assert {t.name: t.out for t in found.trials}["finetune"].startswith("1 of the 3 folds")
    found = go(Race(monkeypatch, shares, costs), ["probe", "finetune"], n=1000, seconds=50)
    assert found.chosen == Candidate("finetune"), "a fold of 200 images is enough"
    found = go(Race(monkeypatch, shares, costs), ["probe", "finetune"], n=100, seconds=200)
    assert found.chosen == Candidate("finetune")


def test_what_is_light_goes_through_every_fold_and_is_known_well(monkeypatch):
    """Two solved heads are told apart on all images though the time allows a single fold of the dear one."""
    shares = {"probe": 0.60, "head2toe": 0.66, "finetune": 0.7}
    costs = {"probe": 0.2, "head2toe": 1.0, "finetune": 60.0}
    found = go(Race(monkeypatch, shares, costs), ["probe", "head2toe", "finetune"], seconds=90, n=150)
    assert {t.name: t.folds for t in found.trials} == {"probe": 10, "head2toe": 10, "finetune": 1}
    assert found.chosen == Candidate("head2toe")


def test_an_easy_fold_does_not_flatter(monkeypatch):
    """A candidate tested on an easy fold alone is placed by its difference to one tested on all."""
    right = {"a": np.full((2, 10), np.nan), "b": np.full((2, 10), np.nan)}
    right["a"][0] = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    right["b"][0, :4] = [1, 1, 1, 0]
    assert choose._level(right, "a") == pytest.approx(0.4)
    assert choose._level(right, "b") == pytest.approx(0.4 - 0.25)


def test_what_still_fits_goes_on_when_the_dearest_does_not(monkeypatch):
    shares, costs = {"probe": 0.6, "head2toe": 0.8, "finetune": 0.5}, {"probe": 0.2, "head2toe": 5.0, "finetune": 60.0}
    found = go(Race(monkeypatch, shares, costs), ["probe", "head2toe", "finetune"], seconds=100, n=60)
    assert {t.name: t.folds for t in found.trials} == {"probe": 10, "head2toe": 7, "finetune": 1}
    assert found.chosen == Candidate("head2toe")
