"""Retention and offers by hand, the line as a picture, sets and abstaining as counts."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from headstart.evaluation.charts import tradeoff
from headstart.evaluation.forgetting import best_place, offers, retention
from headstart.evaluation.selective import answered_scores, set_scores

BAD = {"value": -0.3, "ci95": [-0.4, -0.2], "p_value": 0.001, "n": 100}
LINE = [
    {"alpha": 0.0, "target": 0.50, "source": 0.90},
    {"alpha": 0.3, "target": 0.60, "source": 0.89},
    {"alpha": 0.6, "target": 0.78, "source": 0.80},
    {"alpha": 1.0, "target": 0.80, "source": 0.60},
]


def said(right):
    """Probabilities of two classes where class 0 is true and told where ``right`` says so."""
    right = np.asarray(right, dtype=float)
    return np.stack([right, 1 - right], 1)


def test_retention_is_the_share_that_is_still_right():
    before = said([1] * 80 + [0] * 20)
    after = said([1] * 40 + [0] * 40 + [1] * 10 + [0] * 10)
    labels = np.zeros(100, dtype=int)
    found = retention(before, after, labels)
    assert found["value"] == pytest.approx(50 / 80)
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 100, (4000, 100))
    shares = (after.argmax(1) == 0)[draws].sum(1) / (before.argmax(1) == 0)[draws].sum(1)
    assert found["ci95"] == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.015)
    assert retention(said([0, 0]), said([1, 0]), np.zeros(2, dtype=int))["value"] is None
    same = retention(before, before, labels)
    assert same["value"] == 1 and same["ci95"][0] < 0.97 < 1 < same["ci95"][1]


def test_the_best_place_keeps_half_of_what_was_learned():
    # means 0.70, 0.745, 0.79, 0.70; what is learned is 0.3, so 0.65 is the least
    best, now = best_place(LINE, 1.0)
    assert (best["alpha"], now["alpha"]) == (0.6, 1.0)
    flat = [dict(row, target=0.5 + 0.02 * (i == 3)) for i, row in enumerate(LINE)]
    assert best_place(flat, 1.0) is None  # every other place has lost what was learned
    assert best_place(LINE, 0.6) is None  # already there
    assert best_place([], 1.0) is None


def test_offers_are_made_only_where_something_was_forgotten():
    assert [o["type"] for o in offers(BAD, "finetune", LINE, None)] == [
        "--wise 0.6",
        "--strategy l2sp",
        "--strategy probe",
    ]
    assert "80.0% of the source's images instead of 60.0%" in offers(BAD, "finetune", LINE, None)[0]["why"]
    assert [o["type"] for o in offers(BAD, "lora(8)", [], None)] == ["--strategy l2sp"]
    assert "--strategy l2sp" not in [o["type"] for o in offers(BAD, "finetune+l2sp(0.01)", [], None)]
    assert offers({**BAD, "p_value": 0.2}, "finetune", LINE, None) == []


def test_the_picture_of_the_line_has_every_place_and_says_it_in_words():
    picture = ET.fromstring(str(tradeoff(LINE, 0.6, label="line", x_label="target", y_label="source")))
    circles = picture.findall("circle")
    assert len(circles) == 4 and [c.get("r") for c in circles].count("5.5") == 1
    xs, ys = zip(*((float(c.get("cx")), float(c.get("cy"))) for c in circles), strict=True)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys)  # target rises to the right, source falls down
    assert "0.6: 78.0 %, 80.0 %" in picture.get("aria-label")
    flat = [dict(row, target=1.0, source=1.0) for row in LINE]
    ET.fromstring(str(tradeoff(flat, None, label="line", x_label="target", y_label="source")))


def test_sets_and_answers_are_counted():
    sets = np.array([[1, 0], [1, 1], [0, 1], [0, 1]], dtype=bool)
    found = set_scores(sets, np.array([0, 0, 0, 1]))
    assert found["covered"]["value"] == 0.75 and found["size"] == 1.25
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    found = answered_scores(p, np.array([0, 0, 0, 1]), 0.7)
    assert found["answered"]["value"] == 0.5 and found["accuracy"]["value"] == 0.5
    assert answered_scores(p, np.array([0, 0, 0, 1]), 0.95)["accuracy"] is None
