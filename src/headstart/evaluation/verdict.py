"""Did the transfer help? One sentence, and what to try; never "better" inside the noise."""

from __future__ import annotations

import math
from typing import Any

from headstart.evaluation.gain import beyond_noise

NO_TRANSFER = ("scratch", "raw_pixels")
Z_975, Z_80 = 1.959964, 0.841621
METRICS_ZH = {"accuracy": "准确率", "balanced_accuracy": "平衡准确率", "macro_f1": "宏平均 F1"}
NAMES = {
    "en": {"scratch": "training from scratch", "raw_pixels": "logistic regression on raw pixels", "probe": "the probe"},
    "zh": {"scratch": "从零训练", "raw_pixels": "原始像素上的逻辑回归", "probe": "线性探针"},
}


def verdict(gains: dict[str, dict[str, Any]], *, metric: str = "accuracy", strategy: str = "") -> dict[str, Any]:
    """Judge the gains over the baselines that use no source.

    Transfer *hurt* where any of them is better beyond the noise (:func:`headstart.evaluation.gain.beyond_noise`: interval and
    p-value); it *helped* where the gain over each of them is beyond the noise; anything else is inside it.

    Args:
        gains: baseline -> ``{"value", "ci95", "p_value", "n"}``, the transferred model minus the baseline.
        metric: what they are measured in, for the sentence.
        strategy: name of the strategy, for the advice.

    Returns:
        ``{"negative_transfer": bool | None, "level": "hurt" | "helped" | "no_evidence" | "not_measured", "why": str,
        "why_zh": str, "try": [str], "try_zh": [str]}``.
    """
    rivals = {name: gain for name, gain in gains.items() if name in NO_TRANSFER}
    what, what_zh = metric.replace("_", " "), METRICS_ZH.get(metric, metric)
    if not rivals:
        return _result(
            None, "not_measured", "Whether the transfer helped was not measured: there is no baseline without a source.",
            "没有无源基线，因此未测量迁移是否有帮助。", ["Leave --baselines at its default to have the proof."], ["去掉 --baselines none 即可得到证明。"],
        )  # fmt: skip
    hurt = {name: gain for name, gain in rivals.items() if beyond_noise(gain) < 0}
    if hurt:
        name, gain = min(hurt.items(), key=lambda item: item[1]["value"])
        return _result(
            True, "hurt",
            f"Transfer hurt: {_points(-gain['value'])} points of {what} below {NAMES['en'][name]} ({_between(gain)}).",
            f"迁移有害：{what_zh}比{NAMES['zh'][name]}低 {_points(-gain['value'])} 个百分点（{_between(gain, 'zh')}）。",
            [
                "Another source: headstart rank DATA --source A --source B, nearer to your images.",
                "Hold the model less to this source: --strategy finetune, or --strategy last(1) for a part of it.",
                f"Use {NAMES['en'][name]} itself: it is what these data support now.",
            ],
            ["换一个更接近你的图像的源：headstart rank DATA --source A --source B。", "减少对源的依赖：--strategy finetune 或 last(1)。", f"直接使用{NAMES['zh'][name]}。"],
        )  # fmt: skip
    open_ = {name: gain for name, gain in rivals.items() if beyond_noise(gain) < 1}
    name, gain = min((open_ or rivals).items(), key=lambda item: item[1]["value"])
    if not open_:
        return _result(
            False, "helped",
            f"Transfer helped: {_points(gain['value'])} points of {what} above {NAMES['en'][name]} ({_between(gain)}), "
            f"{'the stronger baseline' if len(rivals) > 1 else 'the baseline'} without a source.",
            f"迁移有帮助：{what_zh}比{NAMES['zh'][name]}高 {_points(gain['value'])} 个百分点（{_between(gain, 'zh')}）。",
            ["More labels: run again with more and see whether the gain stays.", "If the scores must be higher: --strategy finetune or l2sp from the same source."],
            ["增加标注后再运行，看增益是否保持。", "若需更高得分：用同一源尝试 --strategy finetune 或 l2sp。"],
        )  # fmt: skip
    need = examples_needed(gain)
    more = (
        f"About {need:,} test images would tell a difference of this size four times of five (now {gain['n']:,})."
        if need
        else "Add test images: these cannot tell the two apart."
    )
    more_zh = (
        f"约需 {need:,} 张测试图像，才能以八成把握分辨这样的差异（现有 {gain['n']:,} 张）。"
        if need
        else "增加测试图像：现有的无法分辨两者。"
    )
    return _result(
        None, "no_evidence",
        f"No evidence that transfer helped: {gain['value'] * 100:+.1f} points of {what} against {NAMES['en'][name]} ({_between(gain)}), inside the noise.",
        f"没有证据表明迁移有帮助：与{NAMES['zh'][name]}相比，{what_zh} {gain['value'] * 100:+.1f} 个百分点（{_between(gain, 'zh')}），在噪声之内。",
        [more, "Another source may fit better: headstart rank DATA.", "A simple model may be enough here: look at the baselines."],
        [more_zh, "换一个源可能更合适：headstart rank DATA。", "简单模型可能已足够：请看基线。"],
    )  # fmt: skip


def examples_needed(gain: dict[str, Any]) -> int | None:
    """Test examples at which a true gain of this size would be told from zero with power 80 %; ``None`` beyond a million.

    ``n (se (z_0.975 + z_0.8) / gain)^2`` with the standard error ``se`` read off the interval: it shrinks as ``1 / sqrt(n)``.
    """
    error = (gain["ci95"][1] - gain["ci95"][0]) / (2 * Z_975)
    if gain["value"] == 0 or error == 0:
        return None
    need = math.ceil(gain["n"] * (error * (Z_975 + Z_80) / abs(gain["value"])) ** 2)
    return None if need > 1_000_000 else max(need, gain["n"] + 1)


def _points(value: float) -> str:
    return f"{value * 100:.1f}"


def _between(gain: dict[str, Any], lang: str = "en") -> str:
    low, high = (f"{x * 100:+.1f}" for x in gain["ci95"])
    p = f"p = {gain['p_value']:.2g}" if gain["p_value"] >= 1e-4 else "p < 0.0001"
    if lang == "zh":
        return f"95 % 区间 {low} 至 {high}，{p}，{gain['n']} 张测试图像"
    return f"95 % interval {low} to {high}, {p}, {gain['n']} test images"


def _result(
    negative: bool | None, level: str, why: str, why_zh: str, advice: list[str], advice_zh: list[str]
) -> dict[str, Any]:
    return {
        "negative_transfer": negative,
        "level": level,
        "why": why,
        "why_zh": why_zh,
        "try": advice,
        "try_zh": advice_zh,
    }
