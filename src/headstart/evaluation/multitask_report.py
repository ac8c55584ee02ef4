"""The report of several tasks: one self-contained page, from the files of the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.evaluation.charts import Dot, curves, dots
from headstart.evaluation.fonts import embedded_font
from headstart.evaluation.multitask import level_of
from headstart.evaluation.multitask_words import WORDS, verdict_zh
from headstart.evaluation.report import metric_word
from headstart.evaluation.words import WORDS as SCORES
from headstart.folder import read_json, write_text


def write_multitask_report(run: Path, *, name: str, lang: str = "en") -> Path:
    """Write ``report.html`` into a run folder of `multitask` from metrics.json, history.csv, data.json and recipe.yaml.

    Args:
        lang: ``"en"`` or ``"zh"``.

    Raises:
        RunError: one of them is missing.
    """
    m, w = read_json(run / "metrics.json"), WORDS[lang]
    why, advice = verdict_zh(m) if lang == "zh" else (m["why"], m["try"])

    def metric(key: str) -> str:
        return metric_word(key, SCORES[lang]) if lang == "zh" else key.replace("_", " ")

    history = pd.read_csv(run / "history.csv")
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    env = Environment(
        loader=PackageLoader("headstart.evaluation", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    env.filters |= {"count": lambda n: f"{n:,}"}
    page = env.get_template("multitask.html.j2").render(
        m=m, name=name, recipe=recipe, w=w, lang="zh-CN" if lang == "zh" else "en", headline=w[f"level_{m['level']}"], why=why, advice=advice, metric=metric,
        charts=_charts(m, w, metric), matrix=_matrix(m), curves=_curves(m, history, w),
        factors=_factors(m, history), score=_score, gain=_gain, total_seconds=sum(m["seconds"].values()),
        phases=sorted(m["seconds"].items(), key=lambda item: -item[1]), env=read_json(run / "env.json"), data=read_json(run / "data.json"),
    )  # fmt: skip
    font = embedded_font(page)
    if font:
        page = page.replace("/*FONT*/", f'@font-face{{font-family:"Headstart CJK";src:url({font}) format("woff")}}')
    write_text(run / "report.html", page)
    return run / "report.html"


def _percent(cell: dict[str, Any]) -> bool:
    return cell["metrics"][cell["metric"]]["percent"]


def _score(cell: dict[str, Any], which: str) -> str:
    """``91.2 % [88.0, 94.1]``, or a plain number with its interval, of a task together or alone."""
    found = cell[which][cell["metric"]]
    low, high = found["ci95"]
    if _percent(cell):
        return f"{found['value']:.1%} [{low * 100:.1f}, {high * 100:.1f}]"
    return f"{found['value']:.4g} [{low:.4g}, {high:.4g}]"


def _gain(found: dict[str, Any], cell: dict[str, Any]) -> str:
    """A signed gain with its interval: in points for a share, positive is better whatever the metric."""
    low, high = found["ci95"]
    if _percent(cell):
        return f"{found['value'] * 100:+.1f} [{low * 100:+.1f}, {high * 100:+.1f}]"
    return f"{found['value']:+.3g} [{low:+.3g}, {high:+.3g}]"


def _matrix(m: dict[str, Any]) -> list[dict[str, Any]]:
    """Trained with -> judged on: one row a training of several tasks, a cell for each judged task."""
    judged = [name for name, cell in m["tasks"].items() if cell["judged"]]
    rows = []
    for training in m["trainings"]:
        if len(training["tasks"]) < 2:
            continue
        cells = []
        for name in judged:
            found = training["gains"].get(name)
            if found is None:
                cells.append({"text": "", "level": ""})
            else:
                level = {"helped": "good", "hurt": "bad", "no_evidence": ""}[level_of(found)]
                cells.append({"text": _gain(found, m["tasks"][name]), "level": level})
        rows.append({"name": " + ".join(training["tasks"]), "all": training["name"] == "together", "cells": cells})
    return rows


def _charts(m: dict[str, Any], w: dict[str, str], word: Callable[[str], str]) -> list[dict[str, Any]]:
    """Together beside alone, for each judged task."""
    found = []
    for name, cell in m["tasks"].items():
        if cell["judged"]:
            rows = []
            for which, kind in (("together", "model"), ("alone", "other")):
                value = cell[which][cell["metric"]]
                rows.append(Dot(w[which], value["value"], value["ci95"][0], value["ci95"][1], kind))
            metric = word(cell["metric"])
            picture = dots(rows, label=w["of"].format(metric=metric, name=name), percent=_percent(cell))
            found.append({"name": name, "metric": metric, "svg": picture})
    return found


def _curves(m: dict[str, Any], history: pd.DataFrame, w: dict[str, str]) -> list[dict[str, Any]]:
    """The training loss of each judged task, together and alone."""
    found = []
    for name, cell in m["tasks"].items():
        if not cell["judged"]:
            continue
        both, own = history[history.model == "together"], history[history.model == f"{name} alone"]
        lines = {
            "model": list(zip(both.epoch.tolist(), both[f"loss_{name}"].tolist(), strict=True)),
            "other": list(zip(own.epoch.tolist(), own.train_loss.tolist(), strict=True)),
        }
        found.append({"name": name, "svg": curves(lines, label=w["loss_of"].format(name=name), x_label=w["epoch"])})
    return found


def _factors(m: dict[str, Any], history: pd.DataFrame) -> list[dict[str, Any]]:
    """What the gradient of each task counted in the shared weights: on average in the first epoch and in the last."""
    rows = history[history.model == "together"]
    return [
        {"name": name, "first": float(rows[f"weight_{name}"].iloc[0]), "last": float(rows[f"weight_{name}"].iloc[-1])}
        for name in m["tasks"]
    ]
