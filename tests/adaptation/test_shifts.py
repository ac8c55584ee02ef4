"""Where a method must win by its theory, and where it must not be used: five draws of a named shift each.

The table of docs: ``pytest tests/adaptation/test_shifts.py -m slow -s``.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from headstart.adapters import OpenSetClassifier
from headstart.training.deep_adapter import DeepAdapter

_spec = importlib.util.spec_from_file_location("shifts", Path(__file__).with_name("shifts.py"))
assert _spec is not None and _spec.loader is not None
shifts = importlib.util.module_from_spec(_spec)
sys.modules["shifts"] = shifts
_spec.loader.exec_module(shifts)

SEEDS, MARGIN, WORDS = 5, 0.02, {"wins": "must win", "fails": "must not be used"}
USUAL: dict[str, Any] = {"hidden": (32,), "epochs": 30, "batch_size": 60, "lr": 3e-3}
SETTINGS: dict[str, dict[str, Any]] = {
    "covariate": {"hidden": (2,), "lr": 1e-2},
    "partial": {"epochs": 40, "batch_size": 32},
    "open": {"epochs": 40, "batch_size": 32},
    "few labels": {"epochs": 40, "batch_size": 32},
    "drift": {"hidden": (64,), "epochs": 50, "batch_size": 32},
}
"""A narrow network under covariate shift: the theory of weights is about models that are wrong somewhere."""


@dataclass(frozen=True)
class Case:
    """What a strategy must do on a shift.

    Attributes:
        must: ``"wins"``: the interval of its gain lies above ``margin``. ``"fails"``: it lies below it, so that no gain is to be had.
        over: what the gain is over: ``"source"`` (the source alone), ``"joint"`` (the same, but batch norms see both domains),
            ``"few"`` (the few labels beside the source), or another strategy.
    """

    shift: str
    strategy: str
    must: str = "wins"
    over: str = "source"
    margin: float = MARGIN

    def __str__(self) -> str:
        return f"{self.strategy} {self.must} over {self.over}, {self.shift}"


@functools.cache
def reached(shift: str, strategy: str, seed: int) -> float:
    """Accuracy on the target's rows whose labels were not given; in an open set the mean over classes, unknown one of them."""
    drawn = shifts.SHIFTS[shift](seed)
    options = {**USUAL, **SETTINGS.get(shift, {}), "random_state": seed}
    threshold, text = strategy.startswith("threshold on "), strategy.removeprefix("threshold on ")
    model = DeepAdapter("finetune" if text == "source" else f"finetune+{text}", **options)
    more: dict[str, Any] = {}
    rest = slice(None)
    if drawn.domain is not None and text != "source":
        more["domain"] = drawn.domain
    if shift == "few labels" and text != "source":
        more["y_target"] = np.array([*drawn.yt[:4], *[None] * (len(drawn.yt) - 4)], dtype=object)
        rest = slice(4, None)
    if text in ("few", "joint"):
        model.strategy = "finetune"
    if text != "source" or threshold:
        more["X_target"] = drawn.Xt
    said = (OpenSetClassifier(model) if threshold else model).fit(drawn.X, drawn.y, **more).predict(drawn.Xt)
    right, truth = (said == drawn.yt)[rest], drawn.yt[rest]
    return float(np.mean([right[truth == c].mean() for c in np.unique(truth)]) if shift == "open" else right.mean())


def gain(case: Case, seeds: int = SEEDS) -> tuple[float, float, float]:
    """Mean over draws of the gain, with its 95 % t interval."""
    found = np.array([reached(case.shift, case.strategy, s) - reached(case.shift, case.over, s) for s in range(seeds)])
    half = stats.t.ppf(0.975, seeds - 1) * max(stats.sem(found), 1e-9)
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


CASES = [
    *(Case("subspace", name) for name in ("dan", "jan", "deepcoral", "cmd", "swd", "afn", "alignment", "mcd", "adda")),
    *(Case("subspace", name) for name in ("mcc", "selftrain", "shot", "infomax")),
    *(
        Case("drift", name, over="joint")
        for name in ("dann", "cdan", "cdan(entropy=true)", "mdd", "adda", "bsp+dann", "mcc")
    ),
    Case("covariate", "weights"),
    *(Case("covariate", name, "fails") for name in ("weights(by=bbse)",)),
    *(Case("concept", name, "fails") for name in ("dan", "dann", "mcc", "selftrain", "shot", "weights")),
    *(Case("label", f"weights(by={by})") for by in ("bbse", "rlls", "em")),
    *(Case("label", name, "fails") for name in ("dann", "dan", "jan", "deepcoral", "infomax")),
    Case("partial", "iwan(2)", over="dann(2)"),
    Case("partial", "pada(2)", over="dann(2)", margin=0.0),
    Case("partial", "dann(2)", "fails"),
    Case("open", "osbp"),
    Case("open", "threshold on source"),
    Case("open", "dann", "fails"),
    *(Case("several", name) for name in ("mdan(sources=near)", "m3sda(sources=near)")),
    Case("few labels", "mme(0.3)"),
    Case("few labels", "mme(0.3)", over="few", margin=0.0),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_method_does_on_a_shift_what_its_theory_says(case: Case) -> None:
    mean, low, high = gain(case)
    names = (case.strategy, case.over, "joint")
    a, b, c = (np.mean([reached(case.shift, name, s) for s in range(SEEDS)]) for name in names)
    print(
        f"\n| {case.shift} | `{case.strategy}` | {WORDS[case.must]} | {case.over} {b:.3f} | {c:.3f} | {a:.3f} | {mean:+.3f} [{low:+.3f}, {high:+.3f}] |",
        end="",
    )
    assert low > case.margin if case.must == "wins" else high < case.margin, (mean, low, high)


def test_the_cheapest_win_in_every_draw_and_a_planted_fault_shows() -> None:
    """Two draws; a target that is the source itself (the wrong rows handed over) brings less."""
    for seed in range(2):
        plain = reached("subspace", "source", seed)
        won = reached("subspace", "dan", seed)
        assert won > plain + MARGIN
        drawn = shifts.SHIFTS["subspace"](seed)
        wrong = DeepAdapter("finetune+dan", **USUAL, random_state=seed).fit(drawn.X, drawn.y, X_target=drawn.X)
        assert (wrong.predict(drawn.Xt) == drawn.yt).mean() < won - MARGIN
