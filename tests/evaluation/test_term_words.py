"""What the terms of a deep adaptation tell stands in words and tables, every kind of it."""

import json

import numpy as np
import pytest

import headstart as hs
from headstart.evaluation.adaptation_report import _losses
from headstart.evaluation.term_words import first_and_last, told


def test_sources_classes_thresholds_and_counts_by_hand():
    (mdan,) = told({"mdan": {"sources": [0.6, 0.1, 0.3]}}, ["a", "b", "c"])
    assert mdan.lines == ["a counts most (0.600) and b least (0.100); equal would be 0.333 each."] and not mdan.tables
    (unnamed,) = told({"m3sda": {"sources": [0.5, 0.5], "distances": [2.0, 1.0]}})
    assert unnamed.lines == ["All 2 sources count about alike (equal would be 0.500 each)."]
    assert unnamed.tables == [
        (["source", "weight", "distance to the target"], [["source 1", "0.5", "2"], ["source 2", "0.5", "1"]])
    ]
    (pada,) = told({"pada": {"classes": {"cat": 0.9, "dog": 0.1}}})
    assert pada.tables == [(["class", "mean prediction for the target"], [["cat", "0.900"], ["dog", "0.100"]])]
    (self_training,) = told({"selftrain": {"thresholds": {"cat": 0.8, "dog": None}, "labelled": 0.25}})
    assert "25.0% of the target's rows" in self_training.lines[0] and "predicted as dog" in self_training.lines[1]
    assert self_training.tables[0][1] == [["cat", "0.800"]]
    (shot,) = told({"shot": {"labels": {"cat": 1200, "dog": 3}}})
    assert shot.tables[0] == (["class", "rows"], [["cat", "1,200"], ["dog", "3"]])
    weighed = {"by": "bbse", "on": "inputs", "rows": 100, "effective_sample_size": 8.0, "largest": 9.0, "clipped": 2, "classes": {"x": 2.0}}  # fmt: skip
    (weights,) = told({"weights": weighed})
    assert "worth 8 of 100 rows" in weights.lines[0] and "2 were cut" in weights.lines[0]
    assert "unsteady" in weights.lines[1] and weights.tables[0][1] == [["x", "2.000"]]
    assert told({"vrex": {"losses": [1.0, 2.0]}}, ["a", "b"]) == [] and told({"dann": {}}) == []


def test_a_term_that_the_page_does_not_know_is_told_all_the_same():
    (new,) = told({"new": {"a_number": 0.5, "some": [1.0, 2.0], "by": {"x": 1.0}, "none": None}})
    assert new.lines == ["a number: 0.5.", "some: 1, 2.", "none: none."]
    assert new.tables == [(["", "by"], [["x", "1"]])]


def test_of_many_classes_the_extremes_are_shown():
    (pada,) = told({"pada": {"classes": {f"c{i}": float(i) for i in range(40)}}})
    names = [row[0] for row in pada.tables[0][1]]
    assert names[:2] == ["c39", "c38"] and names[6] == "28 more between" and names[-1] == "c0" and len(names) == 13


def test_the_first_and_the_last_epoch_of_each_part():
    history = [{"epoch": 1, "train_loss": 2.0, "dan": 0.5}, {"epoch": 2, "train_loss": 1.0, "dan": 0.25}]
    assert first_and_last(history, ["train_loss", "dan"]) == [["train_loss", "2", "1"], ["dan", "0.5", "0.25"]]
    assert first_and_last([], ()) == []


def test_a_term_that_adds_nothing_to_the_loss_is_no_part_of_it():
    history = [
        {"epoch": 1, "train_loss": 2.0, "weights": 0.0, "dan": 0.0},
        {"epoch": 2, "train_loss": 1.0, "weights": 0.0, "dan": 0.1},
    ]
    assert _losses(history) == ["train_loss", "dan"] and _losses([]) == []


@pytest.mark.parametrize(
    "method, words",
    [
        ("weights(by=bbse)", "Source rows weighed by bbse"),
        ("pada", "mean prediction for the target"),
        ("selftrain", "confidence from which it labels"),
    ],
)
def test_the_page_holds_no_raw_object(method, words, tmp_path):
    rng = np.random.default_rng(0)
    for name, shift in (("s", 0.0), ("t", 1.0)):
        y = np.arange(60) % 2
        X = rng.standard_normal((60, 3)) + 3 * y[:, None] + shift
        np.savez(tmp_path / f"{name}.npz", X=X.astype(np.float32), y=y)
    run = hs.adapt(tmp_path / "s.npz", tmp_path / "t.npz", method=method, epochs=2, out=tmp_path / "run")
    page = (run.path / "report.html").read_text()
    assert words in page and "Each part of the loss, with its weight" in page
    assert json.loads((run.path / "adaptation.json").read_text())["terms"]
    assert "&#34;" not in page.split("recipe.yaml")[0] and "{&#" not in page
