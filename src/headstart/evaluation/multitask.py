"""Which task helped which: the gain of training together over training alone, judged beyond the noise, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.evaluation.gain import beyond_noise
from headstart.evaluation.scoring.scoring import Metric
from headstart.evaluation.verdict import Says, examples_needed

LEVELS = {1: "helped", 0: "no_evidence", -1: "hurt"}


def level_of(gain: dict[str, Any]) -> str:
    """``"helped"``, ``"hurt"`` or ``"no_evidence"``: interval and p-value, as of :func:`beyond_noise`."""
    return LEVELS[beyond_noise(gain)]


def in_words(gain: dict[str, Any], metric: str, spec: Metric, name: str) -> str:
    """How far a task is above or below itself alone: ``5.1 points of accuracy above birds alone (95 % interval ...)``."""
    say = Says(metric, spec, "en")
    size, better = say.amount(abs(gain["value"])), gain["value"] > 0
    if not gain["value"]:
        what = f"the same {say.what} as {name} alone"
    elif spec.percent and spec.larger:
        what = f"{size} of {say.what} {'above' if better else 'below'} {name} alone"
    else:
        what = f"the {say.what} {'better' if better else 'worse'} by {size} than of {name} alone"
    return f"{what} ({say.between(gain)})"


def target_verdict(name: str, others: list[str], gain: dict[str, Any], metric: str, spec: Metric) -> dict[str, Any]:
    """The headline where one task is judged and the others are auxiliary.

    Returns:
        ``{"negative_transfer", "level", "why", "try"}`` as of :func:`headstart.evaluation.verdict.verdict`, in English.
    """
    beside, level = " and ".join(others), level_of(gain)
    said = in_words(gain, metric, spec, name)
    if level == "helped":
        why, advice = (
            f"Training beside {beside} helped {name}: {said}.",
            ["More labels: run again with more and see whether the gain stays."],
        )
    elif level == "hurt":
        why = f"Negative transfer: training beside {beside} hurt {name}: {said}."
        advice = [
            f"Train {name} alone: headstart fit.",
            "Less of it: --weight NAME=0.2; or gradients without their conflicts: --balance pcgrad.",
            *(["Which of them hurts: --pairs."] if len(others) > 1 else []),
        ]
    else:
        why = f"No evidence that training beside {beside} helped {name}: {said}, inside the noise."
        need = examples_needed(gain)
        advice = [
            f"About {need:,} test images would tell a difference of this size four times of five (now {gain['n']:,})."
            if need else "Add test images: these cannot tell the two apart."
        ]  # fmt: skip
    return {"negative_transfer": {"helped": False, "hurt": True}.get(level), "level": level, "why": why, "try": advice}


def all_verdict(gains: Mapping[str, dict[str, Any]], words: Mapping[str, str]) -> dict[str, Any]:
    """The headline where every task is judged: hurt where any of them is, else helped where any is.

    Args:
        gains: task -> its gain from training together.
        words: task -> its gain in words.
    """
    found: dict[str, list[str]] = {"helped": [], "hurt": [], "no_evidence": []}
    for name, gain in gains.items():
        found[level_of(gain)].append(name)
    level = "hurt" if found["hurt"] else "helped" if found["helped"] else "no_evidence"
    parts = []
    if found["helped"]:
        parts.append(f"Training together helped {'; '.join(f'{n}: {words[n]}' for n in found['helped'])}.")
    if found["hurt"]:
        start = "It hurt" if parts else "Negative transfer: training together hurt"
        parts.append(f"{start} {'; '.join(f'{n}: {words[n]}' for n in found['hurt'])}.")
    if found["no_evidence"]:
        start = "No evidence either way for" if parts else "No evidence that training together helped"
        parts.append(f"{start} {'; '.join(f'{n}: {words[n]}' for n in found['no_evidence'])}.")
    advice = {
        "helped": [],
        "hurt": [f"Train {' and '.join(found['hurt'])} alone: headstart fit; or --balance pcgrad, gradnorm."],
        "no_evidence": [
            "More test images would tell; or one model is enough: it costs no task what can be measured here."
        ],
    }[level]
    return {
        "negative_transfer": {"helped": False, "hurt": True}.get(level),
        "level": level,
        "why": " ".join(parts),
        "try": advice,
    }
