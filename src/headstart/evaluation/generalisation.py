"""How well a domain that nobody has seen is told: each source in turn left out, against plain training on the pooled others."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.gain import beyond_noise

NONE = "No comparison was made: this is plain training on the pooled sources."


def mean_over_sources(values: list[float]) -> dict[str, Any]:
    """The mean over S left-out sources with Student's interval for S - 1 degrees of freedom, S >= 2: what another source may bring."""
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return {"value": mean, "ci95": [mean - half, mean + half]}


def generalisation_verdict(gain: dict[str, Any] | None, method: str, metric: str, unit: str) -> dict[str, Any]:
    """Judge a method against plain training (ERM) on rows of left-out sources.

    Args:
        gain: as of ``paired_gain``, over the rows of all left-out sources; ``None`` for plain training itself.
        metric: what it is measured in, for the sentence.
        unit: ``"points"`` for shares of 0 to 1, else the label's own unit.

    Returns:
        ``{"negative_transfer": bool | None, "level": "helped" | "hurt" | "no_evidence" | "not_measured", "why": str}``.
    """
    if gain is None:
        return {"negative_transfer": None, "level": "not_measured", "why": NONE}
    factor, digits = (100, 1) if unit == "points" else (1, 3)
    low, high = (f"{x * factor:+.{digits}f}" for x in gain["ci95"])
    p = f"p = {gain['p_value']:.2g}" if gain["p_value"] >= 1e-4 else "p < 0.0001"
    size = f"{abs(gain['value']) * factor:.{digits}f}{' points' if unit == 'points' else ''}"
    where = f"on sources left out (95 % interval {low} to {high}, {p}, {gain['n']} rows)"
    beyond = beyond_noise(gain)
    if beyond > 0:
        why = f"It helped: {method} is {size} better in {metric} than plain training on the pooled sources, {where}."
        return {"negative_transfer": False, "level": "helped", "why": why}
    if beyond < 0:
        why = f"It hurt: {method} is {size} worse in {metric} than plain training on the pooled sources, {where}; use --method erm."
        return {"negative_transfer": True, "level": "hurt", "why": why}
    sign = "+" if gain["value"] >= 0 else "-"
    why = f"No evidence that it helped: {method} against plain training on the pooled sources is {sign}{size} in {metric}, inside the noise, {where}."
    return {"negative_transfer": None, "level": "no_evidence", "why": why}
