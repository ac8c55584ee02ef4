"""The report: one self-contained HTML file from the files of a run folder alone."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.data.wording import said, worded
from headstart.evaluation.charts import Dot, curves, dots, histograms, identity_scatter, reliability, tradeoff
from headstart.evaluation.fonts import embedded_font
from headstart.evaluation.gain import beyond_noise
from headstart.evaluation.intervals import wilson
from headstart.evaluation.search_section import search_section
from headstart.evaluation.text_section import text_section
from headstart.evaluation.words import words_of
from headstart.folder import PARTIAL, read_json, write_text
from headstart.tasks.catalogue import by_vector

MATRIX_CLASSES = 20
WORST = 15


def write_report(run: Path, *, lang: str = "en") -> Path:
    """Write ``report.html`` into a run folder.

    Args:
        run: folder with metrics.json, data.json, predictions.csv, recipe.yaml, env.json; and, where they apply,
            history.csv, ranking.json, layers.json, plan.json, tuning.json, pictures.json.
        lang: ``"en"`` or ``"zh"``.

    Raises:
        RunError: one of the first files is missing.
    """
    m, data = read_json(run / "metrics.json"), read_json(run / "data.json")
    modality = m.get("modality", "image")
    words = words_of(lang, modality)
    table = pd.read_csv(
        run / "predictions.csv",
        dtype={"path": str, "label": str, "predicted": str},
        keep_default_na=False,
        usecols=lambda name: name in ("path", "label", "predicted", "confidence"),
    )
    env = Environment(
        loader=PackageLoader("headstart.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "number": _number,
        "amount": _amount,
        "score": _score,
        "signed": _signed,
        "count": lambda n: f"{n:,}",
        "p_value": _p_value,
        "noise": _noise,
    }
    zh = lang == "zh"
    shares = _shares(m)
    task = _task_charts(m, table, data, words)
    page = env.get_template("report.html.j2").render(
        w=words, lang="zh-CN" if zh else "en", m=m, data=data, name=_name(run),
        why=_body(m["why_zh"] if zh else m["why"], words[f"level_{m['level']}"]), advice=m["try_zh"] if zh else m["try"],
        baselines=_baseline_chart(m, words), curves=_curve_charts(run, m, words), shares=shares, percent=m["metric"] in shares,
        word=lambda key: metric_word(key, words), **task,
        ranking=_optional(run / "ranking.json"), layers=_optional(run / "layers.json"),
        choice=worded((_optional(run / "plan.json") or {}).get("choice"), modality), pictures=_optional(run / "pictures.json") or {"mistakes": [], "samples": []},
        texts=text_section(run, words), modality=modality, criterion=said(m["criterion"], modality),
        line=_line(m, words), ranks=by_vector(m["task"]),
        recipe=(run / "recipe.yaml").read_text(encoding="utf-8"), data_name=str(yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["data"]),
        env=read_json(run / "env.json"), font=None, counts=_counts(data, m), phases=sorted(m["seconds"].items(), key=lambda item: -item[1]),
        total_seconds=sum(m["seconds"].values()), search=search_section(run, m, lang),
    )  # fmt: skip
    font = embedded_font(page)
    if font:
        page = page.replace("/*FONT*/", f'@font-face{{font-family:"Headstart CJK";src:url({font}) format("woff")}}')
    path = run / "report.html"
    write_text(path, page)
    return path


def _name(run: Path) -> str:
    """The run's name, also while it is still written aside as ``.NAME.partial``."""
    return run.name[1:].removesuffix(PARTIAL) if run.name.endswith(PARTIAL) else run.name


def _body(why: str, level: str) -> str:
    """The verdict's sentence without the words that already stand above it in large letters."""
    rest = why.removeprefix(level).lstrip(":：, ，")
    return rest[:1].upper() + rest[1:]


def _optional(path: Path) -> Any:
    return read_json(path) if path.exists() else None


def _number(value: float, digits: int = 3) -> str:
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.1g}"
    return f"{value:.{digits}f}"


def _amount(value: float, percent: bool, sign: str = "") -> str:
    """A share in percent (without the sign for it), any other number to three digits."""
    return f"{value * 100:{sign}.1f}" if percent else f"{value:{sign}.3g}"


def _score(cell: dict[str, Any], percent: bool = True) -> str:
    low, high = cell["ci95"]
    if percent:
        return f"{cell['value'] * 100:.1f} % [{low * 100:.1f}, {high * 100:.1f}]"
    return f"{cell['value']:.3f} [{low:.3f}, {high:.3f}]"


def _signed(gain: dict[str, Any], percent: bool = True) -> str:
    low, high = (_amount(x, percent, "+") for x in gain["ci95"])
    return f"{_amount(gain['value'], percent, '+')} [{low}, {high}]"


def _shares(m: dict[str, Any]) -> set[str]:
    """The scores that are shown in percent."""
    if "metrics" in m:  # none of them may be a share, as of a quantity
        return {name for name, spec in m["metrics"].items() if spec["percent"]}
    return {name for name in m["target"] if name not in ("log_loss", "ece", "roc_auc")}


def metric_word(key: str, words: dict[str, str]) -> str:
    """The name of a score: from the table of words; of a level of nested classes with its number."""
    if key.startswith("accuracy_level_"):
        return words["accuracy_level"].format(i=key.removeprefix("accuracy_level_"))
    return words.get(key, key.replace("_", " "))


def _task_charts(m: dict[str, Any], table: pd.DataFrame, data: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
    """What the task's own part of the page shows."""
    task = m["task"]
    if task == "regression":
        points = list(zip(table.label.astype(float), table.predicted.astype(float), strict=True))
        return {
            "scatter": identity_scatter(points, label=words["against"], x_label=words["true"], y_label=words["said"])
        }
    if task == "embedding":
        found = m["verification"]["histogram"]
        return {
            "similarities": histograms(
                found["edges"],
                {"model": found["genuine"], "other": found["impostor"]},
                label=words["verification"],
                x_label=words["cosine"],
            )
        }
    if task in ("multilabel", "token_classification", "question_answering") or "examples" in m:
        return {}
    charts: dict[str, Any] = {"confusion": _confusion(table, data["classes"]), "per_class": _per_class(table, words)}
    if "calibration" in m:
        found, before = m["calibration"], m["calibration"].get("before")
        charts["reliability"] = _reliability(found["bins"], words)
        charts["before"] = _reliability(before["bins"], words) if before else None
    return charts


def _p_value(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def _noise(gain: dict[str, Any]) -> str:
    """The CSS class of a gain: coloured only beyond the noise."""
    return ("", "good", "bad")[beyond_noise(gain)]


def _counts(data: dict[str, Any], m: dict[str, Any]) -> list[dict[str, Any]]:
    """Classes by size, with their images a split."""
    top = max(data["counts"].values(), default=1) or 1
    rows = [
        {
            "name": name,
            "n": n,
            "share": 100 * n / top,
            "splits": [data["counts_by_split"].get(s, {}).get(name, 0) for s in ("train", "valid", "test")],
        }
        for name, n in data["counts"].items()
    ]
    return sorted(rows, key=lambda row: -row["n"])


def _baseline_chart(m: dict[str, Any], words: dict[str, str]) -> Any:
    if not m["baselines"]:
        return None
    metric = m["metric"]
    rows = [(words["this_model"], m["target"][metric], "model")] + [
        (words[name], scores[metric], "other") for name, scores in m["baselines"].items()
    ]
    return dots(
        [Dot(name, cell["value"], cell["ci95"][0], cell["ci95"][1], kind) for name, cell, kind in rows],
        label=words["proof"],
        percent=metric in _shares(m),
    )


def _curve_charts(run: Path, m: dict[str, Any], words: dict[str, str]) -> list[dict[str, Any]]:
    """Training loss, each term, and the validation score, the transferred model beside scratch."""
    path = run / "history.csv"
    if not path.exists():
        return []
    history = pd.read_csv(path)
    known = {"model", "epoch", "step", "train_loss", "lr", "seconds", "images_per_second"}
    terms = [c for c in history.columns if c not in known and not c.startswith("valid_")]
    metric = metric_word(m["metric"], words)
    wanted = [
        ("train_loss", words["train_loss"]),
        *([("valid_loss", words["valid_score"].format(metric=words["loss"]))] if "examples" in m else []),
        (f"valid_{m['metric']}", words["valid_score"].format(metric=metric)),
        *((t, t) for t in terms),
    ]
    charts = []
    for column, title in wanted:
        if column not in history:
            continue
        lines = {}
        for name, rows in history.dropna(subset=[column]).groupby("model", sort=False):
            lines["model" if name == "transfer" else "other"] = list(
                zip(rows.epoch.astype(float), rows[column].astype(float), strict=True)
            )
        if lines:
            charts.append(
                {
                    "title": title,
                    "svg": curves(lines, label=title, x_label=words["epoch"]),
                    "model": "model" in lines,
                    "other": "other" in lines,
                }
            )
    swept = m["strategy"].get("lr_range")
    if swept and swept["curve"] and charts:
        points = [(math.log10(row["lr"]), row["loss"]) for row in swept["curve"]]
        title = words["lr_range"].format(lr=f"{swept['lr']:g}")
        charts.append(
            {"title": title, "svg": curves({"model": points}, label=title, x_label=words["log_lr"]), "model": True, "other": False}
        )  # fmt: skip
    return charts


def _confusion(table: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """A matrix for up to 20 classes, the most frequent mistakes otherwise."""
    wrong = table[table.label != table.predicted]
    pairs = wrong.groupby(["label", "predicted"]).size().sort_values(ascending=False).head(WORST)
    found: dict[str, Any] = {
        "pairs": [(*map(str, key), int(n)) for key, n in zip(pairs.index.tolist(), pairs, strict=True)],
        "matrix": None,
    }
    if len(classes) <= MATRIX_CLASSES:
        matrix = (
            pd.crosstab(table.label, table.predicted).reindex(index=classes, columns=classes, fill_value=0).to_numpy()
        )
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        found["matrix"] = [
            {
                "name": name,
                "short": name if len(name) <= 18 else name[:17] + "…",
                "head": _head(name),
                "cells": [
                    {"n": int(n), "share": float(s), "right": i == j}
                    for j, (n, s) in enumerate(zip(matrix[i], share[i], strict=True))
                ],
            }
            for i, name in enumerate(classes)
        ]
    return found


def _head(name: str) -> str:
    """How a name stands over its column: ``"flat"`` where it fits, ``"upright"`` (top to bottom) for Chinese, else ``"turned"``."""
    wide = [unicodedata.east_asian_width(c) in "WF" for c in name]
    if len(name) + sum(wide) <= 4:
        return "flat"
    return "upright" if any(wide) else "turned"


def _per_class(table: pd.DataFrame, words: dict[str, str]) -> dict[str, Any]:
    right = (table.label == table.predicted).groupby(table.label).agg(["sum", "count"])
    rows = [
        _class_dot(str(name), int(k), int(n))
        for name, k, n in zip(right.index, right["sum"], right["count"], strict=True)
    ]
    rows.sort(key=lambda dot: dot.value)
    shown = rows[:WORST]
    return {"svg": dots(shown, label=words["per_class"]), "shown": len(shown), "all": len(rows)}


def _class_dot(name: str, right: int, n: int) -> Dot:
    low, high = wilson(right, n)
    return Dot(f"{name} ({n})", right / n, low, high, "model")


def _line(m: dict[str, Any], words: dict[str, str]) -> Any:
    """Source against target along the line from the source's weights to the tuned ones, where it was measured."""
    curve = (m["source"] or {}).get("curve")
    if not curve:
        return None
    x_label, y_label = f"{words['on_target']} (%)", f"{words['on_source']} (%)"
    alpha = m["source"]["alpha"]
    return tradeoff(curve, 1.0 if alpha is None else alpha, label=words["line"], x_label=x_label, y_label=y_label)


def _reliability(bins: list[dict[str, float]], words: dict[str, str]) -> Any:
    return reliability(bins, label=words["calibration"], x_label=words["confidence"], y_label=words["right"])
