"""What the transfer made the model forget: retention on the source's own data, and what would keep more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.evaluation.gain import beyond_noise, no_difference_interval
from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval


def retention(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, n_boot: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Accuracy after the transfer as a share of that before it, on the same source examples.

    The interval is a percentile bootstrap over examples, both models resampled together.

    Args:
        before, after: float (n, K) probabilities.
        labels: int (n,).

    Returns:
        ``{"value", "ci95"}``, or the value ``None`` where nothing was right before.
    """
    knew, knows = (p.argmax(1) == labels for p in (before, after))
    if not knew.any():
        return {"value": None, "ci95": [None, None]}
    value = float(knows.sum() / knew.sum())
    if (knew == knows).all():  # no resample can differ, yet n images prove no certainty
        low, high = (bound / knew.mean() for bound in no_difference_interval(len(labels)))
        return {"value": value, "ci95": [float(1 + low), float(1 + high)]}
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [(w @ knows) / (w @ knew) for w in bootstrap_blocks(len(labels), n_boot, seed)]
    return {"value": value, "ci95": percentile_interval(np.concatenate(shares), value)}


def offers(
    change: dict[str, Any], strategy: str, curve: Sequence[dict[str, float]], alpha: float | None
) -> list[dict[str, str]]:
    """What to type where the source forgot something beyond the noise, each with its reason; nothing otherwise.

    Args:
        change: the paired gain on the source's data, after over before.
        strategy: the one that was used.
        curve: rows of ``alpha``, ``target``, ``source`` (accuracies along the line of weights), or empty.
        alpha: the place that was used, where one was.
    """
    if beyond_noise(change) >= 0:
        return []
    found = []
    place = best_place(curve, 1.0 if alpha is None else alpha)
    if place is not None:
        row, now = place
        found.append(
            {
                "type": f"--wise {row['alpha']:g}",
                "why": f"the weights at {row['alpha']:g} between source and tuned ones are right on {row['source']:.1%} of "
                f"the source's images instead of {now['source']:.1%}, and on {row['target']:.1%} of the target's instead "
                f"of {now['target']:.1%}",
            }
        )
    if "l2sp" not in strategy:
        found.append({"type": "--strategy l2sp", "why": "holds the weights near the source's while they are trained"})
    if not any(name in strategy for name in ("lora", "dora", "ia3", "probe", "head")):
        found.append(
            {
                "type": "--strategy probe",
                "why": "leaves the source as it is, so that nothing is forgotten: compare the scores",
            }
        )
    return found


def best_place(curve: Sequence[dict[str, float]], alpha: float) -> tuple[dict[str, float], dict[str, float]] | None:
    """The place on the line with the highest mean of both accuracies among those that keep at least half of what was
    learned on the target, where it is better on the source than now."""
    if not curve:
        return None
    now = min(curve, key=lambda row: abs(row["alpha"] - alpha))
    enough = (curve[0]["target"] + now["target"]) / 2
    best = max(
        (row for row in curve if row["target"] >= min(enough, now["target"])),
        key=lambda row: (row["target"] + row["source"], row["alpha"]),
    )
    return (best, now) if best["source"] > now["source"] else None
