"""Did the transfer help? One sentence, and what to try; never "better" inside the noise."""

from __future__ import annotations

import math
from typing import Any

from headstart.evaluation.gain import beyond_noise
from headstart.evaluation.scoring.scoring import Metric

NO_TRANSFER = ("scratch", "raw_pixels", "classical", "copy", "dictionary", "lead")
"""Baselines that use no source: what transfer has to beat."""
Z_975, Z_80 = 1.959964, 0.841621
SHARE = Metric()
METRICS_ZH = {
    "accuracy": "准确率", "balanced_accuracy": "平衡准确率", "macro_f1": "宏平均 F1", "micro_f1": "微平均 F1",
    "mean_average_precision": "平均精度均值", "rmse": "均方根误差", "mae": "平均绝对误差", "r2": "决定系数 R²",
    "quadratic_kappa": "二次加权 kappa", "equal_error_rate": "等错误率", "hierarchical_distance": "层级距离",
    "f1": "F1", "exact_match": "完全匹配率", "precision": "精确率", "recall": "召回率", "bleu": "BLEU", "chrf": "chrF", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L",
    "recall_at_1": "Recall@1", "recall_at_5": "Recall@5", "mean_reciprocal_rank": "平均倒数排名", "ndcg_at_10": "nDCG@10", "tar_at_far_0.01": "TAR@FAR 0.01", "tar_at_far_0.001": "TAR@FAR 0.001",
}  # fmt: skip
NAMES = {
    "en": {
        "scratch": "training from scratch",
        "raw_pixels": "logistic regression on raw pixels",
        "classical": "logistic regression on TF-IDF",
        "probe": "the probe",
        "zeroshot": "the names of the classes alone",
        "copy": "copying the text",
        "dictionary": "a dictionary, word by word",
        "lead": "the first sentences",
    },
    "zh": {
        "scratch": "从零训练",
        "raw_pixels": "原始像素上的逻辑回归",
        "classical": "TF-IDF 上的逻辑回归",
        "probe": "线性探针",
        "zeroshot": "仅凭类别名称",
        "copy": "照抄原文",
        "dictionary": "逐词词典",
        "lead": "开头几句",
    },
}


def verdict(
    gains: dict[str, dict[str, Any]], *, metric: str = "accuracy", spec: Metric = SHARE, ranked: bool = True
) -> dict[str, Any]:
    """Judge the gains over the baselines that use no source.

    Transfer *hurt* where any of them is better beyond the noise (:func:`headstart.evaluation.gain.beyond_noise`: interval and
    p-value); it *helped* where the gain over each of them is beyond the noise; anything else is inside it.

    Args:
        gains: baseline -> ``{"value", "ci95", "p_value", "n"}``, the transferred model minus the baseline.
        metric: what they are measured in, for the sentence.
        spec: whether that is a share, and in which unit it is otherwise.
        ranked: whether `headstart rank` can compare sources for this task, for the advice.

    Returns:
        ``{"negative_transfer": bool | None, "level": "hurt" | "helped" | "no_evidence" | "not_measured", "why": str,
        "why_zh": str, "try": [str], "try_zh": [str]}``.
    """
    rivals = {name: gain for name, gain in gains.items() if name in NO_TRANSFER}
    say, say_zh = Says(metric, spec, "en"), Says(metric, spec, "zh")
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
            f"Transfer hurt: {say.than(gain, name)} ({say.between(gain)}).",
            f"迁移有害：{say_zh.than(gain, name)}（{say_zh.between(gain)}）。",
            [
                "Another source: headstart rank DATA --source A --source B, nearer to your images." if ranked else "Another source, nearer to your images.",
                "Hold the model less to this source: --strategy finetune, or --strategy last(1) for a part of it.",
                f"Use {say.name(name)} itself: it is what these data support now.",
            ],
            ["换一个更接近你的图像的源：headstart rank DATA --source A --source B。" if ranked else "换一个更接近你的图像的源。", "减少对源的依赖：--strategy finetune 或 last(1)。", f"直接使用{say_zh.name(name)}。"],
        )  # fmt: skip
    open_ = {name: gain for name, gain in rivals.items() if beyond_noise(gain) < 1}
    name, gain = min((open_ or rivals).items(), key=lambda item: item[1]["value"])
    if not open_:
        return _result(
            False, "helped",
            f"Transfer helped: {say.than(gain, name)} ({say.between(gain)}), "
            f"{'the stronger baseline' if len(rivals) > 1 else 'the baseline'} without a source.",
            f"迁移有帮助：{say_zh.than(gain, name)}（{say_zh.between(gain)}）。",
            ["More labels: run again with more and see whether the gain stays.", "If the scores must be higher: another strategy from the same source, such as finetune or l2sp, or more --epochs."],
            ["增加标注后再运行，看增益是否保持。", "若需更高得分：用同一源换一种策略（如 finetune、l2sp），或加大 --epochs。"],
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
        f"No evidence that transfer helped: {say.against(gain, name)} ({say.between(gain)}), inside the noise.",
        f"没有证据表明迁移有帮助：{say_zh.against(gain, name)}（{say_zh.between(gain)}），在噪声之内。",
        [more, "Another source may fit better: headstart rank DATA." if ranked else "Another source may fit better: --source.", "A simple model may be enough here: look at the baselines."],
        [more_zh, "换一个源可能更合适：headstart rank DATA。" if ranked else "换一个源可能更合适：--source。", "简单模型可能已足够：请看基线。"],
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


class Says:
    """A gain in words: in points of a share, else as a number in the metric's unit."""

    def __init__(self, metric: str, spec: Metric, lang: str) -> None:
        self.spec, self.lang = spec, lang
        self.what = METRICS_ZH.get(metric, metric.replace("_", " ")) if lang == "zh" else metric.replace("_", " ")
        self.classes = metric in ("accuracy", "balanced_accuracy", "macro_f1")

    def name(self, baseline: str) -> str:
        if baseline == "raw_pixels" and not self.classes:
            return "the solved head on raw pixels" if self.lang == "en" else "原始像素上的求解头"
        if baseline == "classical" and not self.classes:
            return "a linear model on TF-IDF" if self.lang == "en" else "TF-IDF 上的线性模型"
        return NAMES[self.lang][baseline]

    def amount(self, value: float, sign: str = "") -> str:
        if self.spec.percent:
            return f"{value * 100:{sign}.1f} {'points' if self.lang == 'en' else '个百分点'}"
        return f"{value:{sign}.3g}{self.spec.unit if self.lang == 'en' else ''}"

    def than(self, gain: dict[str, Any], baseline: str) -> str:
        """How far the model is above or below a baseline."""
        value, name = gain["value"], self.name(baseline)
        if self.spec.percent and self.spec.larger:
            if self.lang == "zh":
                return f"{self.what}比{name}{'高' if value > 0 else '低'} {self.amount(abs(value))}"
            return f"{self.amount(abs(value))} of {self.what} {'above' if value > 0 else 'below'} {name}"
        if self.lang == "zh":
            return f"{self.what}比{name}{'好' if value > 0 else '差'} {self.amount(abs(value))}"
        return (
            f"the {self.what} is {'better' if value > 0 else 'worse'} by {self.amount(abs(value))} than that of {name}"
        )

    def against(self, gain: dict[str, Any], baseline: str) -> str:
        """The signed gain, where it is no evidence of anything."""
        amount, name = self.amount(gain["value"], "+"), self.name(baseline)
        if self.lang == "zh":
            return f"与{name}相比，{self.what} {amount}"
        if self.spec.percent and self.spec.larger:
            return f"{amount} of {self.what} against {name}"
        return f"a gain in {self.what} of {amount} against {name}"

    def between(self, gain: dict[str, Any]) -> str:
        low, high = (f"{x * 100:+.1f}" if self.spec.percent else f"{x:+.3g}" for x in gain["ci95"])
        p = f"p = {gain['p_value']:.2g}" if gain["p_value"] >= 1e-4 else "p < 0.0001"
        if self.lang == "zh":
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
