"""Every estimator is one of scikit-learn's: its own checks, clone, pickle, frames, float32, pipelines, searches."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from headstart import adapters
from headstart.adapters.scorers import TargetScorer
from headstart.errors import ArrayError

NOT_ESTIMATORS_OF_ROWS = {
    "AdaptationPipeline": "built from steps",
    "OpenSetClassifier": "answers a label that it was not given",
    "AdaptationSearchCV": "needs a target: without one there is nothing to choose by",
}
ESTIMATORS = [
    getattr(adapters, name)
    for name in adapters.__all__
    if isinstance(getattr(adapters, name), type)
    and issubclass(getattr(adapters, name), BaseEstimator)
    and not issubclass(getattr(adapters, name), TargetScorer)
    and name not in NOT_ESTIMATORS_OF_ROWS
]
SMALL = {  # settings with which a check takes milliseconds
    "BBSE": {"n_boot": 20},
    "RLLS": {"n_boot": 20},
    "SaerensEM": {"n_boot": 5},
    "TrAdaBoost": {"n_estimators": 5},
    "TrAdaBoostR2": {"n_estimators": 3, "n_steps": 3},
    "SourceOnly": {"estimator": LogisticRegression()},
}
# name of the estimator -> name of the check -> why it is not expected to pass
EXPECTED_FAILURES: dict[str, dict[str, str]] = {}


def made(kind):
    return kind(**SMALL.get(kind.__name__, {}))


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda k: k.__name__)
def test_scikit_learns_own_checks(kind):
    expected = EXPECTED_FAILURES.get(kind.__name__, {})
    failed = {}
    for estimator, check in estimator_checks_generator(made(kind)):
        name = check.func.__name__
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator)
        except Exception as problem:
            if type(problem).__name__ == "SkipTest":
                continue
            failed[name] = f"{type(problem).__name__}: {problem}"
    unexpected = {name: why for name, why in failed.items() if name not in expected}
    assert unexpected == {}
    assert set(expected) <= set(failed), "a check that was expected to fail passes: take it out of the table"


def two_domains(dtype=np.float64, seed=0):
    """80 source rows and 60 target rows of 6 columns, two classes, the target moved and stretched."""
    rng = np.random.default_rng(seed)
    ys, yt = rng.integers(0, 2, 80), rng.integers(0, 2, 60)
    Xs = rng.standard_normal((80, 6)) + 2 * ys[:, None] * np.eye(6)[0]
    Xt = (rng.standard_normal((60, 6)) + 2 * yt[:, None] * np.eye(6)[0]) * 1.3 + 0.4
    return Xs.astype(dtype), ys, Xt.astype(dtype), yt


def fitted(kind, Xs, ys, Xt, yt):
    model = made(kind)
    more = {"X_target": Xt}
    if "Regressor" in kind.__name__ or kind.__name__ in ("TrAdaBoostR2", "SourceRegularizedRidge"):
        ys, yt = ys + 0.5, yt + 0.5
    if kind.__name__ in ("CoupledCCA", "KernelCCA"):
        Xs, ys = Xs[: len(Xt)], ys[: len(Xt)]
    if any("y_target" in cls.__dict__.get(f"_{cls.__name__}__metadata_request__fit", {}) for cls in kind.__mro__):
        more["y_target"] = yt
    return model.fit(Xs, ys, **more)


def answers(model, Xt):
    """What a fitted estimator gives for target rows."""
    for name in ("transform", "predict_weights", "predict"):
        if hasattr(model, name):
            return np.asarray(getattr(model, name)(Xt))
    raise AssertionError(f"{type(model).__name__} gives nothing")


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda k: k.__name__)
def test_clone_pickle_and_frames(kind):
    Xs, ys, Xt, yt = two_domains()
    model = fitted(kind, Xs, ys, Xt, yt)
    first = answers(model, Xt)
    np.testing.assert_allclose(answers(pickle.loads(pickle.dumps(model)), Xt), first, rtol=1e-9, atol=1e-12)
    assert clone(model).get_params().keys() == model.get_params().keys()
    assert not hasattr(clone(model), "n_features_in_") or kind.__name__ == "SourceOnly"
    names = [f"c{j}" for j in range(6)]
    framed = fitted(kind, pd.DataFrame(Xs, columns=names), ys, pd.DataFrame(Xt, columns=names), yt)
    np.testing.assert_allclose(answers(framed, pd.DataFrame(Xt, columns=names)), first, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda k: k.__name__)
def test_float32_in_float32_out_and_the_same_answer(kind):
    Xs, ys, Xt, yt = two_domains(np.float32)
    single, double = (
        fitted(kind, Xs, ys, Xt, yt),
        fitted(kind, *(a.astype(np.float64) if a.dtype == np.float32 else a for a in (Xs, ys, Xt, yt))),
    )
    a, b = answers(single, Xt), answers(double, Xt.astype(np.float64))
    if hasattr(single, "transform") or hasattr(single, "weights_"):
        assert a.dtype == np.float32
        assert b.dtype == np.float64
        if hasattr(single, "transform"):
            assert single.transform_source(Xs).dtype == np.float32
    if is_classifier(single):
        assert (a == b).mean() >= 0.95
    elif is_regressor(single) and "TrAda" not in kind.__name__:
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-2)
    elif hasattr(single, "weights_"):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=0.05)


TRANSFORMERS = [
    k
    for k in ESTIMATORS
    if hasattr(k, "transform")
    and k.__name__ not in ("CoupledCCA", "KernelCCA", "CoOptimalTransport", "KernelManifoldAlignment")
]


@pytest.mark.parametrize("kind", TRANSFORMERS, ids=lambda k: k.__name__)
def test_a_pipeline_sends_the_target_through_the_steps_before(kind):
    Xs, ys, Xt, yt = two_domains()
    pipe = adapters.make_adaptation_pipeline(StandardScaler(), made(kind), LogisticRegression()).fit(
        Xs, ys, X_target=Xt
    )
    scaler = StandardScaler().fit(Xs)
    alone = made(kind)
    moved = alone.fit_transform(scaler.transform(Xs), ys, X_target=scaler.transform(Xt))
    model = LogisticRegression().fit(moved, ys)
    np.testing.assert_array_equal(pipe.predict(Xt), model.predict(alone.transform(scaler.transform(Xt))))
    assert (pipe.predict(Xt) == yt).mean() > 0.6


def test_grid_search_with_metadata_routing_over_a_pipeline():
    Xs, ys, Xt, yt = two_domains()
    pipe = adapters.make_adaptation_pipeline(StandardScaler(), adapters.CORAL(), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipe, {"coral__reg": [0.01, 1.0]}, cv=3, scoring=adapters.ImportanceWeightedScorer())
        search.fit(Xs, ys, X_target=Xt)
    assert set(search.cv_results_["param_coral__reg"]) == {0.01, 1.0}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert (search.predict(Xt) == yt).mean() > 0.6


@pytest.mark.parametrize(
    "model, grid",
    [
        (adapters.ReweightedClassifier(reweighter=adapters.KMM()), {"reweighter__gamma": [0.1, 1.0]}),
        (adapters.BBSE(n_boot=0), {"refit": [False, True]}),
        (adapters.MEDA(n_components=3), {"lam": [1.0, 10.0]}),
    ],
)
def test_grid_search_gives_the_target_to_classifiers(model, grid):
    Xs, ys, Xt, yt = two_domains()
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error", adapters.AdaptationWarning)  # no fold is fitted without its target
        search = GridSearchCV(model, grid, cv=2).fit(Xs, ys, X_target=Xt)
    assert (search.predict(Xt) == yt).mean() > 0.6


@pytest.mark.parametrize("kind", [k for k in ESTIMATORS if is_classifier(made(k))], ids=lambda k: k.__name__)
def test_one_class_and_other_widths_are_said(kind):
    Xs, ys, Xt, yt = two_domains()
    with pytest.raises(ValueError, match=r"one class|class"):
        fitted(kind, Xs, np.zeros_like(ys), Xt, np.zeros_like(yt))
    if kind.__name__ != "SourceOnly":
        with pytest.raises(ArrayError, match="other widths"):
            fitted(kind, Xs, ys, Xt[:, :4], yt)
        with pytest.raises(ArrayError, match="the target has no rows"):
            fitted(kind, Xs, ys, Xt[:0], yt[:0])
        bad = Xt.copy()
        bad[2, 1] = np.inf
        with pytest.raises(ArrayError, match=r"1 infinity in X_target, columns 1 \(1\)"):
            fitted(kind, Xs, ys, bad, yt)


def test_a_class_that_the_source_lacks_is_no_obstacle():
    Xs, ys, Xt, yt = two_domains()
    yt = yt.copy()
    yt[:6] = 7
    for kind in (
        adapters.TrAdaBoost,
        adapters.FeatureAugmentation,
        adapters.SourceRegularizedLogistic,
        adapters.SourceStacking,
    ):
        model = fitted(kind, Xs, ys, Xt, yt)
        assert 7 in model.classes_


@pytest.mark.parametrize("kind", [k for k in ESTIMATORS if is_classifier(made(k))], ids=lambda k: k.__name__)
def test_classifiers_keep_the_names_of_the_classes(kind):
    Xs, ys, Xt, yt = two_domains()
    names = np.array(["no", "yes"])
    model = fitted(kind, Xs, names[ys], Xt, names[yt])
    assert set(model.predict(Xt)) <= {"no", "yes"}
    assert list(model.classes_) == ["no", "yes"]


def test_without_a_target_a_warning_says_that_nothing_is_adapted():
    Xs, _, _, _ = two_domains()
    with pytest.warns(adapters.AdaptationWarning, match="no X_target"):
        adapters.CORAL().fit(Xs)
    with pytest.warns(adapters.AdaptationWarning, match="KMM was given no X_target"):
        weights = adapters.KMM().fit(Xs).weights_
    assert abs(weights.mean() - 1) < 0.1
