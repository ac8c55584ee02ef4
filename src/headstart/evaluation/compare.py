"""Several runs on the test images they share: paired intervals, p-values corrected for the number of pairs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import RunError, sentence
from headstart.evaluation.gain import beyond_noise, check_metric, paired_gain
from headstart.evaluation.metrics import class_counts, from_counts
from headstart.folder import read_json


def compare_runs(folders: list[Path], *, metric: str = "accuracy") -> dict[str, Any]:
    """Compare runs pair by pair.

    Args:
        folders: two finished run folders or more.
        metric: ``"accuracy"``, ``"balanced_accuracy"`` or ``"macro_f1"``.

    Returns:
        ``{"metric", "n", "runs": [{run, value, n_own, source, strategy}], "pairs": [{a, b, value, ci95, p_value, p_holm,
        verdict}]}``; values on the shared test images, ``p_holm`` corrected by Holm (1979).

    Raises:
        RunError: fewer than two runs, no shared test image, other classes, or other labels of the same images.
        QuestionError: unknown metric.
    """
    check_metric(metric)
    if len(folders) < 2:
        raise RunError(sentence("comparing needs two runs or more", got=len(folders), fix="headstart compare RUN RUN"))
    tables = [
        pd.read_csv(
            folder / "predictions.csv", dtype={"path": str, "label": str, "predicted": str}, keep_default_na=False
        )
        for folder in folders
    ]
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
    names = _names(folders)
    runs = []
    for folder, name, own in zip(folders, names, said, strict=True):
        m = read_json(folder / "metrics.json")
        value = float(from_counts(*class_counts(own, labels, len(classes)))[metric][0])
        runs.append(
            {
                "run": name,
                "value": value,
                "n_own": m["n"]["test"],
                "source": m["source_model"]["name"],
                "strategy": m["strategy"]["name"],
            }
        )
    pairs: list[dict[str, Any]] = [
        {"a": names[i], "b": names[j], **paired_gain(said[i], said[j], labels, metric=metric)}
        for i, j in combinations(range(len(folders)), 2)
    ]
    for pair, p in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        pair["p_holm"] = p
        sure = beyond_noise({**pair, "p_value": p}) != 0
        better = pair["a"] if pair["value"] > 0 else pair["b"]
        pair["verdict"] = f"{better} is better" if sure else "no difference beyond the noise"
    return {"metric": metric, "n": len(labels), "runs": runs, "pairs": pairs}


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction (1979): the k-th smallest of m is multiplied by m - k + 1, never below the one before, at most 1."""
    order = np.argsort(p_values)
    found, last = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        last = max(last, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = last
    return found


def _some(names: set[str], most: int = 6) -> str:
    shown = ", ".join(sorted(names)[:most])
    return f"{shown}, and {len(names) - most} more" if len(names) > most else shown


def _names(folders: list[Path]) -> list[str]:
    short = [folder.name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]
