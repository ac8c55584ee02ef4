"""A source and a target of real rows, as the study of benchmarks/results_adaptation.py takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """A source and a target.

    Attributes:
        name: ``"wine red -> white"``.
        Xs, ys, Xt, yt: float (n, d) and (n,); the two widths differ in the credit pair only. Classes are 0 .. K-1.
        task: ``"classification"`` or ``"regression"``.
        note: what was left out or drawn, one line.
        groups: int (n_t,); target rows with one number are never parted between the training and the test half.
        clusters: int (n_t,); rows with one number depend on each other: what the bootstrap draws. The same number means
            the same thing in every draw.
        source_groups: int (n_s,) or None; source rows whose number is in the target's test half are not trained on.
        standardize: whether columns are to be scaled (a text's rows have length 1 already).
        classes: the names of the classes; empty for a regression.
    """

    name: str
    Xs: np.ndarray
    ys: np.ndarray
    Xt: np.ndarray
    yt: np.ndarray
    task: str
    note: str
    groups: np.ndarray
    clusters: np.ndarray
    source_groups: np.ndarray | None = None
    standardize: bool = True
    classes: tuple[str, ...] = ()


def drawn(n: int, rows: int, seed: int) -> np.ndarray:
    """At most ``rows`` of n row numbers, in order, without repetition."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:rows])
