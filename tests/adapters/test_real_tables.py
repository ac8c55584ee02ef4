"""The readers of benchmarks/adaptation_data.py against the counts that the data sets' own READMEs name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COUNTS = {
    "wine red -> white": (1599, 4898, 11),
    "students mathematics -> Portuguese": (395, 649, None),
    "students Portuguese -> mathematics": (649, 395, None),
    "bikes 2011 -> 2012": (8645, 8734, None),
    "newsgroups": (1977, 1976, 200),
    "sentiment amazon -> imdb": (1000, 1000, 200),
    "credit German -> Australian": (1000, 690, None),
}
"""Rows of the source, rows of the target, columns."""


@pytest.fixture(scope="module")
def data() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import adaptation_data

        yield adaptation_data
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def pairs(data: Any, shared_data: Path) -> Any:
    if not (shared_data / "nonvision").is_dir():
        pytest.skip("../shared/data holds no folder nonvision")

    def read(name: str, seed: int = 0, rows: int = 10**9) -> dict[tuple[str, str], Any]:
        return {(pair.name, pair.task): pair for pair in data.load(name, shared_data, seed, rows)}

    return read


@pytest.mark.parametrize("name", ["wine", "students", "bikes", "newsgroups", "sentiment", "credit"])
def test_counts_are_those_of_the_readme(pairs: Any, name: str) -> None:
    named = [(key, pair) for (key, _), pair in pairs(name).items() if key in COUNTS]
    assert named
    for key, pair in named:
        n_source, n_target, width = COUNTS[key]
        assert pair.Xs.shape[0] == len(pair.ys) == n_source
        assert pair.Xt.shape[0] == len(pair.yt) == len(pair.groups) == len(pair.clusters) == n_target
        assert width is None or pair.Xs.shape[1] == pair.Xt.shape[1] == width


def test_classes_are_counted_as_the_readmes_say(pairs: Any) -> None:
    german = pairs("credit")["credit German -> Australian", "classification"]
    assert np.bincount(german.ys).tolist() == [300, 700]
    assert np.bincount(german.yt).tolist() == [383, 307]
    news = pairs("newsgroups")["newsgroups", "classification"]
    assert np.bincount(news.ys).tolist() == [993, 984]
    assert np.bincount(news.yt).tolist() == [987, 989]
    for pair in pairs("sentiment").values():
        assert np.bincount(pair.ys).tolist() == np.bincount(pair.yt).tolist() == [500, 500]


def test_activity_has_36_users_once_each(pairs: Any) -> None:
    pair = pairs("activity", seed=3)["activity 18 users -> 18 others", "classification"]
    assert len(pair.ys) + len(pair.yt) == 5418
    assert len(np.unique(pair.clusters)) == 18
    counts = dict(zip(pair.classes, np.bincount(np.r_[pair.ys, pair.yt]).tolist(), strict=True))
    assert counts == {
        "Walking": 2081, "Jogging": 1625, "Upstairs": 632, "Downstairs": 528, "Sitting": 306, "Standing": 246
    }  # fmt: skip


def test_air_has_six_sites(pairs: Any) -> None:
    found = pairs("air")
    assert [name.split(" -> ")[1] for name, _ in found] == ["Changping", "Huairou", "Shunyi"]
    sources = {len(pair.ys) for pair in found.values()}
    assert len(sources) == 1
    # 210384 rows in the README, of which 187370 have no missing value: three sites are the source, three the targets
    assert sources.pop() + sum(len(pair.yt) for pair in found.values()) == 187370


@pytest.mark.parametrize("name", ["wine", "students", "activity", "air", "bikes", "newsgroups", "sentiment", "credit"])
def test_draws_are_small_finite_and_repeatable(pairs: Any, name: str) -> None:
    first, again, other = (pairs(name, seed=seed, rows=300) for seed in (1, 1, 2))
    for key, pair in first.items():
        assert len(pair.ys) <= 300 or name in ("students", "sentiment", "credit")  # these are small: no draw
        assert np.isfinite(pair.Xs).all()
        assert np.isfinite(pair.Xt).all()
        assert np.array_equal(pair.Xt, again[key].Xt)
        assert np.array_equal(pair.ys, again[key].ys)
        assert pair.note
        assert (pair.task == "classification") == bool(pair.classes)
        drawn_anew = pair.Xs.shape != other[key].Xs.shape or not np.array_equal(pair.Xs, other[key].Xs)
        assert drawn_anew == (name not in ("students", "sentiment", "credit"))


def test_no_grade_and_no_count_is_among_the_columns(pairs: Any) -> None:
    """G1, G2, and the two parts of the count of bikes, would give the answer away."""
    students = pairs("students")["students mathematics -> Portuguese", "regression"]
    for X, y in ((students.Xs, students.ys), (students.Xt, students.yt)):
        assert np.abs(np.corrcoef(np.c_[X, y], rowvar=False)[-1, :-1]).max() < 0.5  # G2 has 0.9
    bikes = pairs("bikes")["bikes 2011 -> 2012", "regression"]
    assert np.abs(np.corrcoef(np.c_[bikes.Xs, bikes.ys], rowvar=False)[-1, :-1]).max() < 0.7  # registered has 0.8


def test_students_in_both_tables_have_one_number(pairs: Any) -> None:
    pair = pairs("students")["students mathematics -> Portuguese", "classification"]
    shared = np.intersect1d(pair.source_groups, pair.groups)
    assert len(shared) == 366  # persons by the 13 columns that the data set's authors join on
