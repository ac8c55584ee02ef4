"""Several runs on the test images they share: paired intervals, p-values corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from headstart.errors import RunError, sentence
from headstart.evaluation.gain import beyond_noise, check_metric, paired_gain
from headstart.evaluation.metrics import class_counts, from_counts
from headstart.evaluation.scoring.catalogue import SCORING
from headstart.folder import read_json
from headstart.tasks.catalogue import TASKS
from headstart.tasks.regression import Regression
from headstart.tasks.task import Task


def compare_runs(folders: list[Path], *, metric: str = "auto") -> dict[str, Any]:
    """Compare runs pair by pair.

    Args:
        folders: two finished run folders or more.
        metric: one of the task's (:meth:`headstart.evaluation.scoring.scoring.Scoring.metrics`); ``"auto"`` is its headline.

    Returns:
        ``{"metric", "less_is_better", "n", "runs": [{run, value, n_own, source, strategy}], "pairs": [{a, b, value, ci95, p_value, p_holm,
        verdict}]}``; values on the shared test images, ``p_holm`` corrected by Holm (1979).

    Raises:
        RunError: fewer than two runs, no shared test image, other classes, or other labels of the same images.
        QuestionError: unknown metric.
    """
    if len(folders) < 2:
        raise RunError(sentence("comparing needs two runs or more", got=len(folders), fix="headstart compare RUN RUN"))
    tasks = [read_json(folder / "metrics.json").get("task", "classification") for folder in folders]
    for folder, task in zip(folders[1:], tasks[1:], strict=True):
        if task != tasks[0]:
            raise RunError(
                sentence("the runs are of other tasks", got=f"{folder}: {task}", allowed=f"{folders[0]}: {tasks[0]}")
            )
    if tasks[0] != "classification":
        return compare_tasks(folders, tasks[0], metric)
    metric = "accuracy" if metric == "auto" else metric
    check_metric(metric)
    tables = [_predictions(folder) for folder in folders]
    _one_target(folders)
    own_classes = [{c.removeprefix("prob_") for c in t.columns if c.startswith("prob_")} for t in tables]
    for folder, found in zip(folders[1:], own_classes[1:], strict=True):
        if found != own_classes[0]:
            raise RunError(
                sentence(
                    "the runs have other classes, so their scores are not about one question",
                    got=f"{folder}: {_some(found - own_classes[0]) or 'fewer'}",
                    allowed=f"{folders[0]}: {_some(own_classes[0])}",
                    fix="runs on the same data",
                )
            )
    shared = set(tables[0].path).intersection(*(set(t.path) for t in tables[1:]))
    if not shared:
        raise RunError(
            sentence(
                "the runs share no test image",
                got=", ".join(map(str, folders)),
                fix="runs on the same data with the same --seed (the split) share their test images",
            )
        )
    tables = [t[t.path.isin(shared)].drop_duplicates("path").set_index("path").sort_index() for t in tables]
    classes = sorted(set(tables[0].label).union(*(set(t.label) | set(t.predicted) for t in tables)))
    for folder, table in zip(folders[1:], tables[1:], strict=True):
        if (table.label != tables[0].label).any():
            raise RunError(
                sentence("the runs label the same test images differently", got=str(folder), allowed=str(folders[0]))
            )
    index = {name: i for i, name in enumerate(classes)}
    labels = tables[0].label.map(index).to_numpy()
    said = [t.predicted.map(index).to_numpy() for t in tables]
    values = [float(from_counts(*class_counts(own, labels, len(classes)))[metric][0]) for own in said]
    return _compared(
        folders, metric, len(labels), values, lambda i, j: paired_gain(said[i], said[j], labels, metric=metric)
    )


def compare_tasks(folders: list[Path], name: str, metric: str) -> dict[str, Any]:
    """The same for the other tasks, from the decoded predictions that the runs wrote; values of runs of adapt by the rows they were judged on."""
    scoring = SCORING[name]
    recipes = [_recipe(folder) for folder in folders]
    of_rows = [recipe.get("verb") == "adapt" and name == "regression" for recipe in recipes]
    if all(of_rows):
        _one_target(folders)
        metric = "mae" if metric == "auto" else metric
    tables = [
        _predictions(folder) if rows else pd.read_csv(folder / "predictions.csv", dtype={"path": str}, keep_default_na=False)
        for folder, rows in zip(folders, of_rows, strict=True)
    ]  # fmt: skip
    shared = set(tables[0].path).intersection(*(set(t.path) for t in tables[1:]))
    if not shared:
        raise RunError(
            sentence(
                "the runs share no test image", got=", ".join(map(str, folders)),
                fix="runs on the same data with the same --seed (the split) share their test images",
            )
        )  # fmt: skip
    tables = [t[t.path.isin(shared)].drop_duplicates("path").set_index("path").sort_index() for t in tables]
    tasks, found, labels = [], [], []
    for folder, table, rows in zip(folders, tables, of_rows, strict=True):
        task = Regression(("the label",)) if rows else _task(folder, name)
        tasks.append(task)
        if name != "embedding" and task.classes != tasks[0].classes:
            raise RunError(
                sentence("the runs have other classes, so their scores are not about one question", got=str(folder), allowed=str(folders[0]))
            )  # fmt: skip
        got, truth = scoring.read(table, task)
        found.append(got)
        labels.append(truth)
        if not np.array_equal(truth, labels[0]):
            raise RunError(
                sentence("the runs label the same test images differently", got=str(folder), allowed=str(folders[0]))
            )
    metric = scoring.check_metric(metric, tasks[0].classes)
    values = [scoring.scores(f, labels[0], t)[metric]["value"] for f, t in zip(found, tasks, strict=True)]
    return _compared(
        folders, metric, len(labels[0]), values,
        lambda i, j: scoring.gain(found[i], found[j], labels[0], metric, (tasks[i], tasks[j])),
        larger=scoring.metrics(tasks[0].classes)[metric].larger,
    )  # fmt: skip


def _task(folder: Path, name: str) -> Task:
    """The task of a run of networks, as its model folder holds it."""
    config = read_json(folder / "model" / "config.json")["headstart"]["task"]
    classes = tuple((folder / "model" / "labels.txt").read_text(encoding="utf-8").splitlines())
    return TASKS[name].restore(classes, config)


def _compared(
    folders: list[Path], metric: str, n: int, values: list[float], gain: Callable[[int, int], dict[str, Any]],
    larger: bool = True,
) -> dict[str, Any]:  # fmt: skip
    names = _names(folders)
    runs = []
    for folder, name, value in zip(folders, names, values, strict=True):
        m = read_json(folder / "metrics.json")
        runs.append(
            {
                "run": name,
                "value": value,
                "n_own": m["n"].get("test", m["n"].get("evaluated", n)),
                "source": m["source_model"]["name"]
                if "source_model" in m
                else _recipe(folder).get("backbone") or "rows",
                "strategy": m["strategy"]["name"] if "strategy" in m else m["method"],
            }
        )
    pairs: list[dict[str, Any]] = [
        {"a": names[i], "b": names[j], **gain(i, j)} for i, j in combinations(range(len(folders)), 2)
    ]
    for pair, p in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
        sure = beyond_noise({**pair, "p_value": p}) != 0
        better = pair["a"] if pair["value"] > 0 else pair["b"]
        pair["verdict"] = f"{better} is better" if sure else "no difference beyond the noise"
    return {"metric": metric, "less_is_better": not larger, "n": n, "runs": runs, "pairs": pairs}


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction (1979): the k-th smallest of m is multiplied by m - k + 1, never below the one before, at most 1."""
    order = np.argsort(p_values)
    found, last = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        last = max(last, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = last
    return found


def _predictions(folder: Path) -> pd.DataFrame:
    """What a run said of its test images, or, of one of adapt, of the target rows that it was judged on, by ``path``."""
    table = pd.read_csv(
        folder / "predictions.csv",
        dtype={"path": str, "row": str, "label": str, "predicted": str},
        keep_default_na=False,
    )
    if "label" not in table:
        raise RunError(sentence("nothing to compare by: the target of this run has no labels", got=str(folder)))
    if "path" not in table:
        table = table.rename(columns={"row": "path"})
        table = table[table.split == "evaluated"] if "split" in table else table
    return table


def _recipe(folder: Path) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def _one_target(folders: list[Path]) -> None:
    """Refuse rows of different targets: they are known by their place alone."""
    recipes = [_recipe(folder) for folder in folders]
    key = "target_digest" if recipes[0].get("target_digest") else "source_digest"
    found = [recipe.get(key) if recipe.get("verb") == "adapt" else None for recipe in recipes]
    for folder, digest in zip(folders[1:], found[1:], strict=True):
        if digest != found[0] and None not in (digest, found[0]):
            raise RunError(
                sentence("the runs adapt to other targets", got=str(folder), allowed=f"that of {folders[0]}")
            )


def _some(names: set[str], most: int = 6) -> str:
    shown = ", ".join(sorted(names)[:most])
    return f"{shown}, and {len(names) - most} more" if len(names) > most else shown


def _names(folders: list[Path]) -> list[str]:
    short = [folder.name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]
