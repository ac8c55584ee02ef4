"""Leave-one-out neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from headstart.errors import DataError
from headstart.ranking.knn import knn_score


def blobs(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 5)) + 1.2 * np.eye(3, 5)[y], y


@pytest.mark.parametrize("chunk", [7, 1024])
def test_one_neighbour_equals_scikit_learn(chunk: int) -> None:
    X, y = blobs()
    theirs = cross_val_predict(KNeighborsClassifier(1, metric="cosine"), X, y, cv=LeaveOneOut())
    assert knn_score(X, y, 3, k=1, chunk=chunk) == pytest.approx((theirs == y).mean())


def test_five_neighbours_differ_from_scikit_learn_only_where_votes_tie() -> None:
    X, y = blobs()
    plain = cross_val_predict(KNeighborsClassifier(5, metric="cosine"), X, y, cv=LeaveOneOut())
    assert knn_score(X, y, 3) == pytest.approx((plain == y).mean(), abs=0.08)


def test_votes_count_before_similarity_and_similarity_settles_ties() -> None:
    def at(degrees: float) -> list[float]:
        return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]

    X = np.array([at(0), at(1), at(40), at(41)])
    y = np.array([1, 0, 1, 1])
    # row 0 (class 1): one near 0, two farther 1s: majority says 1; rows 2, 3: two 1s; row 1 (class 0): wrong
    assert knn_score(X, y, 2, k=3) == pytest.approx(3 / 4)
    tie = np.array([at(0), at(4), at(10)])
    # with two neighbours of different classes the nearer decides
    assert knn_score(tie, np.array([0, 0, 1]), 2, k=2) == pytest.approx(2 / 3)
    assert knn_score(tie, np.array([0, 1, 1]), 2, k=2) == pytest.approx(1 / 3)


def test_the_length_of_a_row_does_not_matter_and_zeros_do_no_harm() -> None:
    X, y = blobs()
    assert knn_score(X * np.arange(1, 91)[:, None], y, 3) == knn_score(X, y, 3)
    X[3] = 0
    assert 0 <= knn_score(X, y, 3) <= 1


def test_more_neighbours_than_rows_are_all_of_them() -> None:
    X, y = np.eye(4), np.array([0, 0, 0, 1])
    assert knn_score(X, y, 2, k=50) == pytest.approx(3 / 4)


def test_what_has_no_neighbours_is_refused() -> None:
    with pytest.raises(DataError, match="too few rows for neighbours"):
        knn_score(np.ones((1, 2)), np.array([0]), 2)
    with pytest.raises(DataError, match="too few neighbours: got 0; allowed: k >= 1"):
        knn_score(np.ones((3, 2)), np.array([0, 1, 0]), 2, k=0)
