"""Scorers by hand, distances by double loops, tests of significance by their level, and the search."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.adapters import (
    CORAL,
    AdaptationSearchCV,
    AdaptationWarning,
    DeepEmbeddedValidation,
    EntropyScorer,
    ImportanceWeightedScorer,
    InfoMaxScorer,
    LogisticDensityRatio,
    ReverseValidation,
    SoftNeighborhoodDensity,
    TransferComponentAnalysis,
    coral_distance,
    domain_distances,
    energy,
    list_methods,
    make_adaptation_pipeline,
    make_method,
    mmd,
    proxy_a,
    sliced_wasserstein,
)
from headstart.adapters.distances import wasserstein_sorted
from headstart.errors import ArrayError, RecipeError


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    ys, yt = rng.integers(0, 2, 120), rng.integers(0, 2, 90)
    Xs = rng.standard_normal((120, 3)) + 2.5 * ys[:, None] * np.eye(3)[0]
    Xt = rng.standard_normal((90, 3)) + 2.5 * yt[:, None] * np.eye(3)[0] + np.array([1.5, 0, 0])
    return Xs, ys, Xt, yt


def test_scorers_by_hand(data):
    Xs, ys, Xt, _ = data
    model = LogisticRegression().fit(Xs, ys)
    p = model.predict_proba(Xt)
    H = lambda q: -(q * np.log(q)).sum(-1)  # noqa: E731
    assert EntropyScorer()(model, Xs, ys, X_target=Xt) == pytest.approx(-H(p).mean())
    assert InfoMaxScorer()(model, Xs, ys, X_target=Xt) == pytest.approx(H(p.mean(0)) - H(p).mean())
    w = LogisticDensityRatio().fit(Xs, X_target=Xt).weights_
    w = w / w.mean()
    loss = (model.predict(Xs) != ys).astype(float)
    assert ImportanceWeightedScorer()(model, Xs, ys, X_target=Xt) == pytest.approx(1 - (w * loss).sum() / w.sum())
    cov = np.cov(w * loss, w, ddof=0)
    eta = -cov[0, 1] / cov[1, 1]
    assert DeepEmbeddedValidation()(model, Xs, ys, X_target=Xt) == pytest.approx(
        1 - ((w * loss).mean() + eta * w.mean() - eta)
    )
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    total = 0.0
    for i in range(90):
        near = np.array([np.exp(unit[i] @ unit[j] / 0.05) for j in range(90) if j != i])
        total += H(near / near.sum())
    assert SoftNeighborhoodDensity()(model, Xs, ys, X_target=Xt) == pytest.approx(total / 90)
    values = Ridge().fit(Xs, Xs[:, 0])
    error = (values.predict(Xs) - Xs[:, 0]) ** 2 / Xs[:, 0].var()
    assert ImportanceWeightedScorer()(values, Xs, Xs[:, 0], X_target=Xt) == pytest.approx(-(w * error).sum() / w.sum())


def test_reverse_validation_goes_there_and_back(data):
    Xs, ys, Xt, _ = data
    good = make_method("scaler").fit(Xs, ys, X_target=Xt)
    said = good.predict(Xt)
    back = make_method("scaler").fit(Xt, said, X_target=Xs)
    assert ReverseValidation()(good, Xs, ys, X_target=Xt) == pytest.approx((back.predict(Xs) == ys).mean())
    lazy = make_method("source_only").fit(Xs, ys, X_target=Xt)
    assert ReverseValidation()(lazy, Xs, ys, X_target=Xt + 100) == 0.0


def test_scorers_refuse_what_they_cannot_judge(data):
    Xs, ys, Xt, _ = data
    with pytest.raises(ArrayError, match="no X_target"):
        EntropyScorer()(LogisticRegression().fit(Xs, ys), Xs, ys)
    with pytest.raises(RecipeError, match="for classifiers"):
        InfoMaxScorer()(Ridge().fit(Xs, ys), Xs, ys, X_target=Xt)


def test_mmd_and_energy_are_their_double_loops(data):
    Xs, _, Xt, _ = data
    Xs, Xt = Xs[:20], Xt[:15]
    k = lambda a, b: np.exp(-0.3 * ((a - b) ** 2).sum())  # noqa: E731
    d = lambda a, b: np.linalg.norm(a - b)  # noqa: E731
    for f, sign, found in ((k, 1, mmd(Xs, Xt, gamma=0.3, permutations=0)), (d, -1, energy(Xs, Xt, permutations=0))):
        ss, tt, st = (np.mean([f(a, b) for a in A for b in B]) for A, B in ((Xs, Xs), (Xt, Xt), (Xs, Xt)))
        assert found.value == pytest.approx(sign * (ss + tt - 2 * st), rel=1e-9)
        assert found.p_value is None


def test_one_dimensional_transport_is_that_of_quantile_functions():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.standard_normal(7)), np.sort(rng.standard_normal(5) + 3)
    grid = (np.arange(70_000) + 0.5) / 70_000
    want = ((a[(grid * 7).astype(int)] - b[(grid * 5).astype(int)]) ** 2).mean()
    assert wasserstein_sorted(a, b) == pytest.approx(want, rel=1e-6)
    far = sliced_wasserstein(a[:, None], b[:, None], permutations=0).value
    assert far == pytest.approx(np.sqrt(want), rel=1e-6)
    assert far >= wasserstein_distance(a, b) - 1e-9


def test_coral_distance_is_its_formula(data):
    Xs, _, Xt, _ = data
    want = ((np.cov(Xs.T) - np.cov(Xt.T)) ** 2).sum() / 36
    assert coral_distance(Xs, Xt, permutations=0).value == pytest.approx(want, rel=1e-9)


def test_distances_see_a_shift_and_only_a_shift():
    rng = np.random.default_rng(0)
    A, B, C = rng.standard_normal((200, 4)), rng.standard_normal((200, 4)), rng.standard_normal((200, 4)) * 1.5 + 1
    apart = domain_distances(A, C)
    assert list(apart) == ["mmd", "energy", "sliced_wasserstein", "coral", "proxy_a"]
    assert all(d.p_value < 0.02 for d in apart.values())
    same = domain_distances(A, B)
    assert all(d.p_value > 0.02 for d in same.values())
    assert all(apart[name].value > same[name].value for name in apart)
    assert 0.5 < apart["proxy_a"].value <= 2
    with pytest.raises(ArrayError, match="other widths"):
        domain_distances(A, C[:, :3])
    with pytest.raises(RecipeError, match="unknown distance"):
        domain_distances(A, C, names=["mmd2"])


@pytest.mark.slow
@pytest.mark.parametrize("test", [mmd, energy, sliced_wasserstein, coral_distance, proxy_a], ids=lambda t: t.__name__)
def test_significance_is_kept_under_no_shift(test):
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        more = {} if test is proxy_a else {"permutations": 99}
        p.append(test(rng.standard_normal((40, 3)), rng.standard_normal((30, 3)), random_state=seed, **more).p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_the_search_chooses_without_target_labels_and_survives_a_failure(data):
    Xs, ys, Xt, yt = data
    candidates = [
        "source_only",
        "scaler",
        (
            "coral",
            make_adaptation_pipeline(CORAL(), LogisticRegression()),
            {"coral__reg": [0.1, 1.0], "coral__align_means": [False, True]},
        ),
        ("broken", make_adaptation_pipeline(TransferComponentAnalysis(99), LogisticRegression())),
    ]
    with pytest.warns(AdaptationWarning, match="broken failed"):
        search = AdaptationSearchCV(candidates, scorer="reverse").fit(Xs, ys, X_target=Xt)
    r = search.cv_results_
    assert r["method"] == ["source_only", "scaler", *["coral"] * 4, "broken"]
    assert np.isnan(r["mean_test_score"][-1])
    assert "n_components" in r["error"][-1]
    assert r["rank_test_score"][search.best_index_] == 1
    assert search.best_score_ == np.nanmax(r["mean_test_score"])
    assert search.score(Xt, yt) > LogisticRegression().fit(Xs, ys).score(Xt, yt)
    assert set(search.predict(Xt)) <= {0, 1}


@pytest.mark.parametrize("name", ["infomax", "iwv", "dev", "snd", "entropy", "reverse"])
def test_every_criterion_runs_in_the_search(data, name):
    Xs, ys, Xt, _ = data
    search = AdaptationSearchCV(["source_only", "scaler"], scorer=name).fit(Xs, ys, X_target=Xt)
    assert search.best_method_ in ("source_only", "scaler")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    if name in ("iwv", "dev", "reverse"):
        values = AdaptationSearchCV(["source_only", "scaler"], scorer=name, task="regression").fit(
            Xs, Xs[:, 0], X_target=Xt
        )
        assert np.isfinite(values.predict(Xt)).all()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_name_makes_an_estimator_that_predicts(data, task):
    Xs, ys, Xt, yt = data
    labels = (ys, yt) if task == "classification" else (Xs[:, 0] + ys, Xt[:, 0] + yt)
    for name in list_methods(task):
        few = name in list_methods(needs="target_labels")
        more = {"X_target": Xt[:20], "y_target": labels[1][:20]} if few else {"X_target": Xt}
        said = make_method(name, task=task).fit(Xs, labels[0], **more).predict(Xt)
        assert len(said) == 90, name
        assert np.isfinite(np.asarray(said, dtype=float)).all(), name


def test_names_and_parameters_that_do_not_exist_are_said():
    with pytest.raises(RecipeError, match="--method coral"):
        make_method("corl")
    with pytest.raises(RecipeError, match="not for regression"):
        make_method("bbse", task="regression")
    with pytest.raises(RecipeError, match="no such parameter"):
        make_method("coral", regg=1)
    with pytest.raises(RecipeError, match="unknown scorer"):
        AdaptationSearchCV(["coral"], scorer="best").fit(np.eye(4), [0, 1, 0, 1], X_target=np.eye(4))
