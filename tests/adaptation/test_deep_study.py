"""benchmarks/results_deep_adaptation.py: no method is left out, and its figures are what they are called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.strategies.terms.domains import DOMAIN_TERMS

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def study() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import deep_adaptation_data
        import deep_adaptation_methods
        import deep_adaptation_tables
        import results_deep_adaptation

        yield SimpleNamespace(
            data=deep_adaptation_data, methods=deep_adaptation_methods, tables=deep_adaptation_tables, main=results_deep_adaptation
        )  # fmt: skip
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_every_term_of_adaptation_is_tried_somewhere_once(study: Any) -> None:
    tried: list[str] = []
    for kind in ("closed", "several", "partial", "open", "whole"):
        pair = SimpleNamespace(kind=kind, few=kind == "closed")
        names = study.methods.methods(pair)
        assert len(names) == len(set(names))
        assert set(names) <= set(study.methods.METHODS)
        tried += names
    assert set(DOMAIN_TERMS) <= set(tried)


def test_shares_add_up_to_the_score(study: Any) -> None:
    y, said = np.array([0, 1, 2, 2, 2]), np.array([0, 0, 2, 2, 1])
    assert study.main.right(y, said, None).sum() == pytest.approx(3 / 5)
    assert study.main.right(y, said, 2).sum() == pytest.approx((1 / 2 + 2 / 3) / 2)  # known rows, unknown rows


def cell(method: str, right: list[int], **more: Any) -> dict[str, Any]:
    rows = (np.array(right) / len(right)).tolist()
    return {
        "set": "s", "pair": "a -> b", "kind": "closed", "seed": 0, "method": method, "score": sum(rows), "shares": rows,
        "clusters": list(range(len(rows))), "told": {}, "n_source": 9, "n_train": 9, "n_test": len(rows), "note": "made up", "cpu": 1.0,
        **more,
    }  # fmt: skip


def test_the_share_of_the_way_is_counted_from_the_source_alone_to_the_target_alone(study: Any) -> None:
    done = [
        cell("source_only", [1] * 40 + [0] * 60), cell("target_only", [1] * 90 + [0] * 10), cell("joint_norms", [1] * 50 + [0] * 50),
        cell("dann", [1] * 65 + [0] * 35),
    ]  # fmt: skip
    text = study.tables.tables(done)
    assert "DANN recovers 50% of the way to target-only on a -> b (+0.250" in text
    assert "| `dann` | 1 | 1 | 0 | 0 | +0.250 | +0.150 | 50% (a -> b) | 1.0 |" in text


def test_printed_digits_are_ten_shapes(study: Any) -> None:
    X, y = study.data.printed(200, 0)
    assert X.shape == (200, 64) and X.min() >= 0 and X.max() <= 1
    again, _ = study.data.printed(200, 0)
    np.testing.assert_array_equal(X, again)
    means = np.stack([X[y == c].mean(0) for c in range(10)])
    nearest = ((X[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == y).mean() > 0.7
