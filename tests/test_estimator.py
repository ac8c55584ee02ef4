"""TransferClassifier among scikit-learn's own tools."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from headstart import TransferClassifier
from headstart.errors import DataError, HandshakeError


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    y = np.repeat(["dark", "light"], 15)
    X = (
        rng.integers(0, 90, (30, 16, 16, 3)).astype(np.uint8)
        + (y == "light")[:, None, None, None].astype(np.uint8) * 110
    )
    return X, y


@pytest.fixture
def model(tiny_source):
    return TransferClassifier(str(tiny_source))


def test_learns_and_gives_probabilities(model, pictures):
    X, y = pictures
    model.fit(X, y)
    assert model.score(X, y) > 0.9
    found = model.predict_proba(X)
    assert found.shape == (30, 2)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert model.classes_.tolist() == ["dark", "light"]


def test_arrays_pictures_paths_and_rows_are_the_same(model, pictures, tmp_path):
    X, y = pictures
    expected = model.fit(X, y).predict_proba(X)
    pil = [Image.fromarray(x) for x in X]
    np.testing.assert_allclose(model.predict_proba(pil), expected, atol=1e-3)
    paths = []
    for i, picture in enumerate(pil):
        paths.append(tmp_path / f"{i}.png")
        picture.save(paths[-1])
    np.testing.assert_allclose(model.predict_proba(paths), expected, atol=1e-3)
    rows = clone(model).set_params(image_shape=(16, 16, 3)).fit(X.reshape(30, -1), y)
    np.testing.assert_allclose(rows.predict_proba(X.reshape(30, -1)), expected, atol=1e-3)


def test_in_cross_validation_pipeline_and_grid_search(model, pictures):
    X, y = pictures
    assert cross_val_score(model, X, y, cv=3).mean() > 0.8
    pipe = make_pipeline(FunctionTransformer(lambda a: 255 - a), model)
    assert pipe.fit(X, y).score(X, y) > 0.9
    search = GridSearchCV(model, {"image_size": [16, 32]}, cv=2).fit(X, y)
    assert search.best_params_["image_size"] in (16, 32)
    assert search.best_score_ > 0.8


def test_clone_keeps_parameters_and_pickle_keeps_predictions(model, pictures):
    X, y = pictures
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_fine_tuning_is_repeatable(tiny_source, pictures):
    X, y = pictures
    a, b = (TransferClassifier(str(tiny_source), "finetune", epochs=2).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_floats_beyond_one_are_scaled_by_the_training_maximum(tiny_source):
    from sklearn.datasets import load_digits

    digits = load_digits()
    a = TransferClassifier(str(tiny_source)).fit(digits.images[:100], digits.target[:100])
    b = TransferClassifier(str(tiny_source)).fit(digits.images[:100] / 16, digits.target[:100])
    np.testing.assert_array_equal(a.predict_proba(digits.images[:20]), b.predict_proba(digits.images[:20] / 16))


def test_wrong_questions(model, pictures):
    X, y = pictures
    with pytest.raises(DataError, match="X and y have unequal lengths: got '30 images, 29 labels'"):
        model.fit(X, y[:-1])
    with pytest.raises(DataError, match="only one class in y"):
        model.fit(X[:5], y[:5])
    with pytest.raises(DataError, match="flat rows need the shape of the image.*image_shape"):
        model.fit(X.reshape(30, -1), y)
    with pytest.raises(HandshakeError, match="epochs"):
        model.set_params(epochs=3).fit(X, y)
