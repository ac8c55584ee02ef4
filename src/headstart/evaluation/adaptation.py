"""Did the adaptation help? The gain over the source's model as it is, judged beyond the noise, in one sentence."""

from __future__ import annotations

from typing import Any

from headstart.evaluation.gain import beyond_noise

DISTANCES = {
    "mmd": ("MMD²", "squared distance of the domains' means in an RBF kernel space; 0 is the same"),
    "energy": ("energy", "mean distance between the domains beyond that within them, in units of the features"),
    "sliced_wasserstein": (
        "sliced Wasserstein",
        "how far mass has to move along random directions, in units of the features",
    ),
    "coral": ("CORAL", "squared difference of the covariances"),
    "proxy_a": ("proxy A", "0: a linear classifier cannot tell the domains apart; 2: it always can"),
}


def adaptation_verdict(
    gain: dict[str, Any] | None, method: str, metric: str, unit: str, against: str = "source only"
) -> dict[str, Any]:
    """Judge an adapted model against a baseline.

    Args:
        gain: adapted minus baseline (for errors: how much lower), as of ``paired_gain``; ``None`` where the target has no
            labels to judge by.
        metric: what it is measured in, for the sentence.
        unit: ``"points"`` for shares of 0 to 1, else the label's own unit.
        against: what the baseline is, in words.

    Returns:
        ``{"negative_transfer": bool | None, "level": "helped" | "hurt" | "no_evidence" | "not_measured", "why": str}``.
    """
    if method == "source_only":
        return {
            "negative_transfer": None,
            "level": "not_measured",
            "why": "No adaptation was made: this is the source's model as it is.",
        }
    if gain is None:
        why = "Whether the adaptation helped was not measured: the target has no labels to judge it by."
        return {"negative_transfer": None, "level": "not_measured", "why": why}
    factor, digits = (100, 1) if unit == "points" else (1, 3)
    low, high = (f"{x * factor:+.{digits}f}" for x in gain["ci95"])
    p = f"p = {gain['p_value']:.2g}" if gain["p_value"] >= 1e-4 else "p < 0.0001"
    size = f"{abs(gain['value']) * factor:.{digits}f}{' points' if unit == 'points' else ''}"
    where = f"(95 % interval {low} to {high}, {p}, {gain['n']} target rows)"
    what = metric.replace("_", " ")
    beyond = beyond_noise(gain)
    if beyond > 0:
        return {
            "negative_transfer": False,
            "level": "helped",
            "why": f"The adaptation helped: {method} is {size} better in {what} than {against} {where}.",
        }
    if beyond < 0:
        why = f"Negative transfer: {method} is {size} worse in {what} than {against} {where}; use that one."
        return {"negative_transfer": True, "level": "hurt", "why": why}
    why = f"No evidence that the adaptation helped: {method} against {against} is {'+' if gain['value'] >= 0 else '-'}{size} in {what}, inside the noise {where}."
    return {"negative_transfer": None, "level": "no_evidence", "why": why}
