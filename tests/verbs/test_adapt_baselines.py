"""The baselines beside source-only: the same labels without adaptation, and the same network where auto chose a deep method."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

import headstart as hs
from headstart.evaluation.adaptation import adaptation_verdict


@pytest.fixture
def concept(tmp_path):
    """The target's labels are the source's turned round, which only labels can tell."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = [rng.standard_normal((120, 4)) + 3 * y[:, None] * np.eye(4)[0] for _ in range(2)]
    np.savez(tmp_path / "s.npz", X=X[0], y=y)
    np.savez(tmp_path / "t.npz", X=X[1], y=1 - y)
    return tmp_path / "s.npz", tmp_path / "t.npz"


def by_hand(paths, run, make, kind):
    """Labels or values that the learner gives the judged rows, taught on the source and the labelled rows of the run."""
    s, t = (np.load(path) for path in paths)
    scaler = StandardScaler().fit(s["X"])
    table = pd.read_csv(run.path / "predictions.csv")
    few = (table["split"] == "labelled").to_numpy()
    X = np.concatenate([scaler.transform(s["X"]), scaler.transform(t["X"][few])])
    y = np.concatenate([s["y"].astype(kind), t["y"][few].astype(kind)])
    return make.fit(X, y).predict(scaler.transform(t["X"][~few])), t["y"][~few].astype(kind)


def test_the_gain_of_labels_is_told_apart_from_that_of_adapting(concept, tmp_path):
    run = hs.adapt(*concept, method="easyadapt", target_labels=20, out=tmp_path / "run")
    m = run.metrics
    said, truth = by_hand(concept, run, LogisticRegression(max_iter=2000), str)
    assert m["baselines"]["source_and_labels"]["accuracy"]["value"] == pytest.approx((said == truth).mean())
    assert m["judged_against"] == "source_and_labels" and m["transfer_gain"] == m["gains"]["source_and_labels"]
    assert m["gains"]["source_only"]["versus"] == "source_only"
    assert "logistic regression with the same 40 labels of the target and no adaptation" in m["why"]
    page = (run.path / "report.html").read_text()
    assert "source only was not" in page and "the verdict is against this one" in page


def test_a_deep_method_with_labels_has_the_same_network_with_them(concept, tmp_path):
    run = hs.adapt(*concept, method="dann", target_labels=20, epochs=3, out=tmp_path / "run")
    m = run.metrics
    assert m["judged_against"] == "source_and_labels"
    assert m["baselines_are"]["source_and_labels"].startswith("the same network with the same 40 labels")
    # the labels say what the source cannot: without them the network is wrong nearly everywhere
    assert m["baselines"]["source_only"]["accuracy"]["value"] < 0.3
    assert m["baselines"]["source_and_labels"]["accuracy"]["value"] > m["baselines"]["source_only"]["accuracy"]["value"]


def test_values(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for name, shift in (("s", 0.0), ("t", 1.0)):
        X = rng.standard_normal((80, 3)) + shift
        paths.append(tmp_path / f"{name}.npz")
        np.savez(paths[-1], X=X, y=X @ [1.0, -2.0, 0.5] + 3 * shift + 0.01 * rng.standard_normal(80))
    run = hs.adapt(*paths, method="source_regularized", target_labels=10, out=tmp_path / "run")
    said, truth = by_hand(paths, run, Ridge(), float)
    assert run.metrics["baselines"]["source_and_labels"]["mae"]["value"] == pytest.approx(np.abs(said - truth).mean())
    assert "lower mean absolute error" in (run.path / "report.html").read_text()


def test_without_labels_the_verdict_names_source_only_and_what_it_is(concept, tmp_path):
    shallow = hs.adapt(*concept, method="coral", out=tmp_path / "a").metrics
    assert shallow["judged_against"] == "source_only" and shallow["gains"].keys() == {"source_only"}
    assert "source only, logistic regression" in shallow["why"]
    deep = hs.adapt(*concept, method="dann", epochs=1, out=tmp_path / "b").metrics
    assert "source only, the same network without the target" in deep["why"]


def test_where_auto_chose_a_deep_method_the_same_network_stands_beside(concept, tmp_path, monkeypatch):
    from headstart.adapters import catalogue
    from headstart.adapters.search import AdaptationSearchCV
    from headstart.verbs import adapt_methods

    monkeypatch.setitem(catalogue.DEFAULT_SEARCH, "classification", ("source_only",))
    monkeypatch.setitem(adapt_methods.DEEP_SEARCH, "classification", ("dann",))
    fit = AdaptationSearchCV.fit

    def take_the_deep_one(self, *args, **options):
        fit(self, *args, **options)
        name, model = self.candidates[1]
        self.best_method_, self.best_index_ = name, 1
        self.best_estimator_ = clone(model).fit(args[0], args[1], X_target=options["X_target"])
        return self

    monkeypatch.setattr(AdaptationSearchCV, "fit", take_the_deep_one)
    run = hs.adapt(*concept, epochs=2, out=tmp_path / "run")
    m = run.metrics
    assert m["method"] == "dann" and m["judged_against"] == "source_only"
    assert m["baselines"].keys() >= {"source_only", "same_network"} and m["gains"].keys() == {
        "source_only",
        "same_network",
    }
    assert m["baselines_are"]["source_only"] == "source only, logistic regression"
    assert "the same network without the target" in (run.path / "report.html").read_text()
    assert json.loads((run.path / "metrics.json").read_text())["gains"]["same_network"]["versus"] == "same_network"


def test_columns_that_hardly_vary_in_the_source_are_told():
    from headstart.data.feature_tables import FeatureTable
    from headstart.verbs.adapt_gap import far_columns

    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((200, 3)), rng.standard_normal((200, 3))
    X[:, 1] *= 1e-3
    X[:, 2] = 0
    source, target = (FeatureTable(part, None, ["a", "b", "c"], "", []) for part in (X, T))
    assert far_columns(source, target) == ["b"] and far_columns(source, source) == []


def test_the_sentence_names_the_baseline():
    gain = {"value": 0.1, "ci95": [0.05, 0.15], "p_value": 0.001, "n": 50}
    why = adaptation_verdict(gain, "dann", "accuracy", "points", "the same network")["why"]
    assert "10.0 points better in accuracy than the same network (95 %" in why
