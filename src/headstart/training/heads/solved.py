"""What a solver of a head gives back, whatever the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Solved:
    """A linear head, solved on features.

    Attributes:
        weight: float32 (rows, d). bias: float32 (rows,).
        criterion: how its strength was chosen, in words.
        cross_validated: the held-out score at that strength, larger is better; ``None`` where nothing could be held out.
        held_out: float32 (n, M): what the task decodes for each row from the folds that did not see it, nan where none did;
            ``None`` where no such predictions exist.
    """

    weight: np.ndarray
    bias: np.ndarray
    criterion: str
    cross_validated: float | None = None
    held_out: np.ndarray | None = None


Solver = Callable[..., Solved]
"""(X (n, d), labels, task, *, groups, seed) -> :class:`Solved`."""


def finite(value: Any) -> float | None:
    """A number, or ``None`` for nan."""
    return float(value) if np.isfinite(value) else None
