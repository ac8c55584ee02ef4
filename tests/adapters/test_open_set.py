"""A threshold on the confidence of any classifier: what it keeps, what it sends to unknown, what it refuses."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.adapters import CORAL, KMM, OpenSetClassifier, ReweightedClassifier, make_adaptation_pipeline
from headstart.adapters.open_set import source_probabilities
from headstart.errors import ArrayError, RecipeError


def problem(seed=0, n=400):
    """Three classes at corners, the unknown in the middle; the target is stretched."""
    rng = np.random.default_rng(seed)
    means = np.array([[4, 0], [-2, 3.5], [-2, -3.5], [0, 0]])
    y, yt = np.arange(n) % 3, np.arange(n) % 4
    X, Xt = means[y] + rng.normal(0, 0.7, (n, 2)), (means[yt] + rng.normal(0, 0.7, (n, 2))) * 1.3
    return X, y, Xt, np.where(yt == 3, -1, yt)


@pytest.mark.parametrize(
    "inside",
    [None, ReweightedClassifier(reweighter=KMM()), make_adaptation_pipeline(CORAL(), LogisticRegression())],
    ids=["plain", "weights", "features"],
)
def test_known_rows_stay_known_and_others_do_not(inside):
    X, y, Xt, yt = problem()
    model = OpenSetClassifier(inside).fit(X, y, X_target=Xt)
    said = model.predict(Xt)
    assert model.classes_.tolist() == [0, 1, 2, -1] and len(model.held_out_) == 80
    assert (said == yt)[yt != -1].mean() > 0.85 and (said == -1)[yt == -1].mean() > 0.7
    np.testing.assert_allclose(model.predict_proba(Xt).sum(1), 1)


def test_the_threshold_is_that_of_held_out_source_rows():
    X, y, Xt, _ = problem()
    few, many = (OpenSetClassifier(keep=keep).fit(X, y) for keep in (0.5, 0.98))
    assert (few.predict(X) == -1).mean() > 0.35 > 0.08 > (many.predict(X) == -1).mean()
    assert few.threshold_ > many.threshold_
    frame = OpenSetClassifier().fit(pd.DataFrame(X), np.array(["a", "b", "c"])[y])
    assert frame.classes_.tolist() == ["a", "b", "c", "unknown"] and "unknown" in frame.predict(pd.DataFrame(Xt))


def test_held_out_rows_go_through_the_source_side():
    X, y, Xt, _ = problem()
    pipeline = make_adaptation_pipeline(CORAL(), LogisticRegression()).fit(X, y, X_target=Xt)
    moved = pipeline[-1].predict_proba(pipeline[0].transform_source(X))
    np.testing.assert_allclose(source_probabilities(pipeline, X), moved)
    assert np.abs(moved - pipeline.predict_proba(X)).max() > 0.01, "the target side is another one"


@pytest.mark.parametrize(
    ("model", "rows", "error", "words"),
    [
        (OpenSetClassifier(keep=1.0), 400, RecipeError, "keep is out of range"),
        (OpenSetClassifier(held_out=0), 400, RecipeError, "held_out is out of range"),
        (OpenSetClassifier(Ridge()), 400, RecipeError, "this estimator gives none: got 'Ridge'"),
        (OpenSetClassifier(), 60, ArrayError, "got '60 rows, 20 of the smallest class'; allowed: 100 rows"),
    ],
)
def test_what_cannot_be_used_is_refused(model, rows, error, words):
    X, y, Xt, _ = problem(n=rows)
    with pytest.raises(error, match=words):
        model.fit(X, y, X_target=Xt)
