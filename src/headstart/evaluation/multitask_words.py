"""The words of the report of several tasks in each language, and its verdict in Chinese."""

from __future__ import annotations

from typing import Any

from headstart.evaluation.multitask import level_of
from headstart.evaluation.scoring.scoring import Metric
from headstart.evaluation.verdict import Says, examples_needed

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Several tasks", "report": "Report on several tasks", "level_helped": "Training together helped", "level_hurt": "Training together hurt",
        "level_no_evidence": "No evidence that training together helped", "on_test": "{name}: {metric} on {n} test images", "alone_is": "alone {score}",
        "joined": "how the gradients are joined", "updates": "{n} updates, a batch of {b} of each task", "time": "time", "peak": "peak memory {mb} MB",
        "first": "Read this first", "which": "Which task helped which",
        "which_line": "Gain of the task in the column from the training in the row, over that task trained alone with the same batches of its own and as many updates; positive is better. In points where the metric is a share. 95 % intervals in brackets, over test images; coloured where interval and p-value exclude zero. Another seed moves a training, too: a small gain is worth a second look with another --seed.",
        "trained_with": "trained with", "judged_on": "judged on {name}", "tasks": "The tasks", "name": "name", "task": "task", "metric": "metric", "together": "together", "alone": "alone",
        "gain": "gain", "p": "p", "train": "train", "valid": "valid", "test": "test", "auxiliary": "(auxiliary)", "trainings": "The trainings", "loss": "{name}: training loss",
        "loss_of": "Training loss of {name}", "of": "{metric} of {name}", "epoch": "epoch", "training": "training", "kept": "the epoch that is kept",
        "counted": "What the gradient of each task counted in the shared weights", "first_epoch": "first epoch", "last_epoch": "last epoch",
        "counted_line": "1 is the plain mean of the gradients. Each head learns from the loss of its own task alone, and keeps batch-norm statistics of its own images.",
        "source": "Source and data", "source_line": "{name} ({architecture}, {parameters} parameters, {size} px, licence: {licence}).", "again": "To do it again", "seconds": "seconds", "seed": "seed {n}",
        "made_by": "Written by headstart multitask. The page loads nothing from elsewhere.",
    },
    "zh": {
        "title": "多任务", "report": "多任务报告", "level_helped": "共同训练有帮助", "level_hurt": "共同训练有害",
        "level_no_evidence": "没有证据表明共同训练有帮助", "on_test": "{name}：{n} 张测试图像上的{metric}", "alone_is": "单独训练 {score}",
        "joined": "梯度的合并方式", "updates": "{n} 次更新，每个任务每次一批 {b} 张", "time": "用时", "peak": "峰值内存 {mb} MB",
        "first": "请先阅读", "which": "哪个任务帮助了哪个",
        "which_line": "每格为该行的训练使该列任务获得的增益，相对于该任务单独训练（自身批次相同，更新次数相同）；正值为好。指标为比例时以百分点计。方括号内为对测试图像的 95 % 区间；区间与 p 值均排除零时着色。换一个随机种子训练也会变动：增益较小时，值得换一个 --seed 再看。",
        "trained_with": "共同训练的任务", "judged_on": "以 {name} 评判", "tasks": "各任务", "name": "名称", "task": "任务", "metric": "指标", "together": "共同", "alone": "单独",
        "gain": "增益", "p": "p 值", "train": "训练", "valid": "验证", "test": "测试", "auxiliary": "（辅助）", "trainings": "各次训练", "loss": "{name}：训练损失",
        "loss_of": "{name} 的训练损失", "of": "{name} 的{metric}", "epoch": "轮次", "training": "训练", "kept": "保留的轮次",
        "counted": "各任务的梯度在共享权重中所占的权重", "first_epoch": "第一轮", "last_epoch": "最后一轮",
        "counted_line": "1 表示梯度的简单平均。每个头只从自己任务的损失中学习，并保留自己图像的批归一化统计量。",
        "source": "源与数据", "source_line": "{name}（{architecture}，{parameters} 个参数，{size} 像素，许可证：{licence}）。", "again": "如何重现", "seconds": "秒", "seed": "随机种子 {n}",
        "made_by": "由 headstart multitask 生成。本页不从别处加载任何内容。",
    },
}  # fmt: skip


def verdict_zh(m: dict[str, Any]) -> tuple[str, list[str]]:
    """Why, and what to try, in Chinese, from the metrics.json that says them in English."""
    judged = {name: cell for name, cell in m["tasks"].items() if cell["judged"]}
    said = {name: _in_words(name, cell) for name, cell in judged.items()}
    if m.get("judged") is not None:
        return _of_target(m, m["judged"], said[m["judged"]])
    found: dict[str, list[str]] = {"helped": [], "hurt": [], "no_evidence": []}
    for name, cell in judged.items():
        found[level_of(cell["gain"])].append(name)
    heads = {"helped": "共同训练有帮助", "hurt": "共同训练有害", "no_evidence": "没有证据表明有影响"}
    why = "".join(f"{heads[level]}：{'；'.join(said[n] for n in names)}。" for level, names in found.items() if names)
    advice = {
        "helped": [],
        "hurt": [f"单独训练 {'、'.join(found['hurt'])}：headstart fit；或 --balance pcgrad、gradnorm。"],
        "no_evidence": ["更多测试图像才能分辨；或者一个模型就够了：在此可测的范围内它对任何任务都没有损害。"],
    }[m["level"]]
    return why, advice


def _of_target(m: dict[str, Any], name: str, said: str) -> tuple[str, list[str]]:
    others = [other for other in m["tasks"] if other != name]
    beside = "、".join(others)
    if m["level"] == "helped":
        return f"与 {beside} 共同训练帮助了 {name}：{said}。", ["更多标签：增加标签后再运行一次，看增益是否仍在。"]
    if m["level"] == "hurt":
        advice = [
            f"单独训练 {name}：headstart fit。",
            "减小它的权重：--weight NAME=0.2；或去掉梯度间的冲突：--balance pcgrad。",
        ]
        return f"负迁移：与 {beside} 共同训练损害了 {name}：{said}。", [*advice, *(["看是哪一个有害：--pairs。"] if len(others) > 1 else [])]  # fmt: skip
    gain = m["tasks"][name]["gain"]
    need = examples_needed(gain)
    advice = [
        f"约需 {need:,} 张测试图像，才能在五次中有四次分辨出这样大小的差异（现有 {gain['n']:,} 张）。"
        if need else "请增加测试图像：现有的图像无法分辨两者。"
    ]  # fmt: skip
    return f"没有证据表明与 {beside} 共同训练帮助了 {name}：{said}，在噪声之内。", advice


def _in_words(name: str, cell: dict[str, Any]) -> str:
    """How far a task is above or below itself alone, in Chinese."""
    gain, spec = cell["gain"], Metric(**cell["metrics"][cell["metric"]])
    say = Says(cell["metric"], spec, "zh")
    size = say.amount(abs(gain["value"]))
    if not gain["value"]:
        what = f"{name} 的{say.what}与单独训练相同"
    elif spec.percent and spec.larger:
        what = f"{name} 的{say.what}比单独训练{'高' if gain['value'] > 0 else '低'} {size}"
    else:
        what = f"{name} 的{say.what}比单独训练{'好' if gain['value'] > 0 else '差'} {size}"
    return f"{what}（{say.between(gain)}）"
