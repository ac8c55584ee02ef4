"""The cells of benchmarks/results_adaptation.py by pair, task and method, and the gains between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from adaptation_gain import pooled_gain, verdict

Cell = dict[str, Any]
Key = tuple[str, str, str]
"""Pair, task, method."""

SHORT = {"classification": "accuracy", "regression": "R2"}
LABELLED = ("target_few", "pooled_few")


class Cells:
    """The cells by pair, task and method, and the gains between them."""

    def __init__(self, done: list[Cell]) -> None:
        self.by: dict[Key, dict[int, Cell]] = {}
        self.gains: dict[tuple[Key, str], dict[str, Any] | None] = {}
        for cell in done:
            self.by.setdefault((cell["pair"], cell["task"], cell["method"]), {})[cell["seed"]] = cell

    def scored(self, key: Key) -> dict[int, Cell]:
        return {seed: cell for seed, cell in self.by.get(key, {}).items() if "score" in cell}

    def mean(self, key: Key) -> float:
        return float(np.mean([cell["score"] for cell in self.scored(key).values()]))

    def gain(self, key: Key, rival: str) -> dict[str, Any] | None:
        """Over ``rival`` in the draws that both have, or None."""
        if (key, rival) not in self.gains:
            a, b = self.scored(key), self.scored((key[0], key[1], rival))
            seeds = sorted(a.keys() & b.keys())
            parts = [[np.array(side[s]["shares"]) for s in seeds] for side in (a, b)]
            clusters = [np.array(a[s]["clusters"]) for s in seeds]
            self.gains[key, rival] = pooled_gain(*parts, clusters) if seeds else None
        return self.gains[key, rival]


def said(gain: dict[str, Any]) -> str:
    low, high = gain["ci95"]
    mark = {"helped": " helped", "hurt": " **hurt**", "no evidence": ""}[verdict(gain)]
    return f"{gain['value']:+.3f} [{low:+.3f}, {high:+.3f}]{mark}"


def rival_of(cells: Cells, pair: str, task: str) -> str:
    """``source_only``, or ``target_few`` where source and target have other columns."""
    return "source_only" if (pair, task, "source_only") in cells.by else "target_few"


def pairs_of(done: list[Cell]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell["pair"], cell["task"]) for cell in done))


def adapting(cells: Cells, pair: str, task: str, needs: str) -> list[str]:
    """Methods of the catalogue (no reference, not ``auto``) that gave a score on a pair."""
    return [
        m for p, t, m in cells.by
        if (p, t) == (pair, task) and m != "source_only"
        and any(cell["needs"] == needs for cell in cells.scored((p, t, m)).values())
    ]  # fmt: skip


def labels_of(method: str, done: list[Cell]) -> str:
    if method == "target_only":
        return "all"
    needs = next(cell["needs"] for cell in done if cell["method"] == method)
    return "few" if method in LABELLED or needs == "target_labels" else "none"
