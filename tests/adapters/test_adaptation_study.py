"""The gains and tables of benchmarks/results_adaptation.py: what they add up to, and what the interval counts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def study() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import adaptation_gain
        import adaptation_tables

        yield adaptation_gain, adaptation_tables
    finally:
        sys.path.remove(str(BENCHMARKS))


def width(gain: dict[str, Any]) -> float:
    return gain["ci95"][1] - gain["ci95"][0]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_shares_add_up_to_the_score_and_gains_to_its_difference(study: Any, task: str) -> None:
    gain, _ = study
    rng = np.random.default_rng(0)
    measure = accuracy_score if task == "classification" else r2_score
    parts: list[list[np.ndarray]] = [[], []]
    scores = []
    for n in (40, 60):  # two draws
        y = rng.integers(0, 3, n) if task == "classification" else rng.normal(size=n)
        said = [np.where(rng.random(n) < share, y, 0) for share in (0.7, 0.4)]
        for side, answer in zip(parts, said, strict=True):
            side.append(gain.shares(y, answer, task))
            assert gain.score(side[-1], task) == pytest.approx(measure(y, answer))
        scores.append(measure(y, said[0]) - measure(y, said[1]))
    found = gain.pooled_gain(*parts, [np.arange(40), np.arange(60)])
    assert found["value"] == pytest.approx(np.mean(scores))
    assert found["n"] == 60
    low, high = found["ci95"]
    assert low < found["value"] < high


def test_a_row_tested_in_two_draws_is_counted_once(study: Any) -> None:
    """The same rows in both draws tell no more than one draw; as different rows they would seem to."""
    gain, _ = study
    right = (np.random.default_rng(1).random((2, 200)) < [[0.8], [0.7]]) / 200
    a, b = right
    rows = np.arange(200)
    once = gain.pooled_gain([a], [b], [rows])
    twice = gain.pooled_gain([a, a], [b, b], [rows, rows])
    apart = gain.pooled_gain([a, a], [b, b], [rows, rows + 200])
    assert twice["value"] == pytest.approx(once["value"])
    assert width(twice) == pytest.approx(width(once))
    assert width(apart) < 0.85 * width(once)  # by sqrt(2)


def test_rows_of_one_cluster_widen_the_interval(study: Any) -> None:
    gain, _ = study
    user = np.repeat(np.arange(10), 30)
    better = np.isin(user, [0, 1, 2, 3, 4, 5]) / 300  # a is right on all rows of six users, b on none
    by_row = gain.pooled_gain([better], [np.zeros(300)], [np.arange(300)])
    by_user = gain.pooled_gain([better], [np.zeros(300)], [user])
    assert width(by_user) > 3 * width(by_row)
    assert by_user["p_value"] == pytest.approx(2 / 2**6, abs=0.015)  # all six signs alike
    assert by_row["p_value"] < 0.001


def test_verdicts_and_equal_methods(study: Any) -> None:
    gain, _ = study
    rows, ones, zeros = np.arange(100), np.full(100, 0.01), np.zeros(100)
    assert gain.verdict(gain.pooled_gain([ones], [zeros], [rows])) == "helped"
    assert gain.verdict(gain.pooled_gain([zeros], [ones], [rows])) == "hurt"
    same = gain.pooled_gain([ones], [ones], [rows])
    assert gain.verdict(same) == "no evidence"
    assert (
        gain.verdict({"value": 0.0019, "ci95": [0.0018, 0.002], "p_value": 0.001}) == "no evidence"
    )  # sure, but nothing
    assert gain.verdict({"value": 0.0021, "ci95": [0.002, 0.0022], "p_value": 0.001}) == "helped"
    assert same["value"] == 0
    assert width(same) > 0  # equal on 100 rows is not equal on all


def cell(method: str, seed: int, right: list[int], **more: Any) -> dict[str, Any]:
    return {
        "set": "bikes", "pair": "a -> b", "task": "classification", "seed": seed, "method": method, "chosen": "",
        "score": float(np.mean(right)), "shares": (np.array(right) / len(right)).tolist(), "clusters": list(range(len(right))),
        "needs": "target", "n_source": 9, "n_train": 5, "n_test": len(right), "n_few": 2, "note": "made up", "seconds": 0.1,
    } | more  # fmt: skip


def test_tables_say_what_helped_what_hurt_and_what_was_refused(study: Any) -> None:
    _, tables = study
    done = []
    for seed in (0, 1):
        done += [
            cell("source_only", seed, [1, 0] * 20),
            cell("good", seed, [1, 1] * 20),
            cell("bad", seed, [0, 0] * 20),
            cell("auto", seed, [1, 1] * 20, chosen="good", needs=""),
            cell("target_few", seed, [1, 0] * 20, needs=""),
        ]
        refused = cell("picky", seed, [0])
        done.append({k: v for k, v in refused.items() if k not in ("score", "shares")} | {"refused": "ArrayError: no"})
    text = tables.tables(done)
    summary = next(line for line in text.splitlines() if line.startswith("| a -> b | accuracy"))
    assert "| 0.500 | good +0.500" in summary
    assert "| good (2) | +0.500" in summary
    assert summary.endswith("| helped | 1 of 2: bad |")
    assert (
        "Without target labels, 2 gains over `source_only`: helped 1, hurt 1, no evidence 0. Helped: good (1). Hurt: bad (1)."
        in text
    )
    assert "2 gains over 1 pairs; 1 helped, 1 hurt, 0 show no evidence" in text
    assert "More helped: good (1:0). More hurt: bad (0:1). Hurt nowhere: good." in text
    assert "Refused, picky: ArrayError: no" in text
    assert "| picky | refused |" in text
