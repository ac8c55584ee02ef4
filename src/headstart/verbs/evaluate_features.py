"""`headstart evaluate` of a run of `adapt` that is a model over features: labelled rows, images or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable, is_feature_file, labels_as, read_raw, read_rows
from headstart.errors import DataError, RecipeError, sentence
from headstart.functional.rejection import UNKNOWN
from headstart.progress import Progress
from headstart.verbs.adapt_judge import Judge
from headstart.verbs.adapt_question import Question


class Saved(Judge):
    """Scores a saved model as `adapt` scored it."""

    def __init__(self, saved: dict[str, Any], y: np.ndarray) -> None:
        self.question = Question("", None, 0, "logistic", saved["task"], 0)
        self.open = saved["task"] == "classification" and UNKNOWN in saved["classes"]
        known = list(saved["classes"])
        self.classes = known if self.open else known + sorted(set(map(str, y)) - set(known))
        if saved["task"] == "regression":
            self.classes = []


def evaluate_features(
    run: Path,
    data: Any,
    *,
    label: str | None,
    text_col: str | None = None,
    options: dict[str, Any],
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Scores of a run over features on labelled data of its own kind; what :func:`headstart.verbs.evaluate.evaluate` returns.

    Args:
        label, text_col: columns of a table with the label, and with the texts of a run of texts; guessed if left out.
        options: of ``evaluate`` by name, ``None`` where the user is silent; none of them acts here.

    Raises:
        RecipeError: one of them is set. DataError: data of another kind, without labels, or with none of the run's classes.
    """
    import joblib

    saved = joblib.load(run / "model" / "model.joblib")
    kind = saved.get("kind", "rows")
    given = {"text_col": text_col} if kind != "texts" else {}
    for name, value in {**options, **given}.items():
        if value is not None:
            raise RecipeError(
                sentence(f"this run is a model over features of {kind}, for which this option would do nothing", got=f"--{name.replace('_', '-')} {value}",
                         fix="leave it out")
            )  # fmt: skip
    if not isinstance(data, (str, Path)):
        raise DataError(sentence(f"this run is evaluated on {kind} from files", got=type(data).__name__, fix="a path"))
    try:
        if kind == "rows":
            table = _rows(Path(data), saved, label)
        else:
            table = _inputs(Path(data), kind, saved, label, text_col, device, progress)
    except DataError as error:  # readers name the option as adapt does
        raise DataError(str(error).replace("--label COLUMN", "--label-col COLUMN")) from error
    if table.y is None:
        raise DataError(sentence("the data has no labels to judge by", where=str(data), fix="--label-col COLUMN, or class folders"))  # fmt: skip
    judge = Saved(saved, table.y)
    if judge.classes and not {str(c) for c in saved["estimator"].classes_} & set(map(str, table.y)):
        raise DataError(
            sentence("the data has none of the classes of the run", where=str(data), got=", ".join(sorted(set(map(str, table.y)))[:5]),
                     allowed=saved["classes"][:10])
        )  # fmt: skip
    said = judge.says(saved["estimator"], saved["scaler"].transform(table.X).astype(table.X.dtype, copy=False))
    there = set(map(str, table.y))
    return {
        "scores": judge.scores(said, table.y),
        "n": len(table.X),
        "things": kind,
        "split": "all",
        "missing": [c for c in saved["classes"] if c not in {*there, UNKNOWN}] if judge.classes else [],
        "bad": [],
        "less_is_better": ["mae", "rmse", "log_loss", "ece"],
        "unknown": sorted(there - {str(c) for c in saved["estimator"].classes_}) if judge.classes else [],
    }


def _rows(path: Path, saved: dict[str, Any], label: str | None) -> FeatureTable:
    if not is_feature_file(path):
        fix = "a .csv or .npz with the columns of the source, and labels"
        raise DataError(sentence("this run is evaluated on rows of features", got=str(path)[:60], fix=fix))
    if path.suffix.lower() == ".npz":
        _no_label(label, "the labels of an .npz are its array y")
    _, y = read_raw(path, label, needs_label=True)
    X = read_rows(path, saved["columns"], saved.get("fill"))
    return FeatureTable(X, labels_as(y, saved["task"], str(path)), saved["columns"], str(path), [])


def _inputs(
    path: Path,
    kind: str,
    saved: dict[str, Any],
    label: str | None,
    text_col: str | None,
    device: str,
    progress: Progress,
) -> FeatureTable:
    from headstart.sources import load_source
    from headstart.verbs.domains import FEATURES, kind_of, read_inputs
    from headstart.verbs.reading import KINDS, as_loaded

    if kind == "images":
        _no_label(label, "the class of an image is its folder")
    elif (found := kind_of(path, sure=text_col is not None)) != kind:
        fix = "a table with a column of texts and labels, or a folder of class folders of .txt files"
        raise DataError(sentence("this run is evaluated on texts", got=f"{path} ({KINDS[found]})", fix=fix))
    data = read_inputs(path, kind, label=label, text_col=text_col, progress=progress, needs_label=True)
    reader = load_source(saved["backbone"], **as_loaded(saved))
    return FEATURES[kind](data, reader, str(path), device, None, progress)


def _no_label(label: str | None, why: str) -> None:
    if label is not None:
        raise RecipeError(sentence(f"--label-col is for tables: {why}", got=label, fix="leave it out"))
