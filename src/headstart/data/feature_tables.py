"""Features in files: `.npz` with X and y, and tables with a label column, read as two domains of the same columns."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.missing_values import Missing, empty
from headstart.data.tables import read_frame
from headstart.errors import DataError, RecipeError, sentence

LABEL_NAMES = ("label", "target", "class", "y", "outcome")
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl")
MANY = 20
"""Distinct numbers in a label column from which on it is taken for a value to regress on."""


@dataclass(frozen=True)
class FeatureTable:
    """One domain.

    Attributes:
        X: float32 or float64 (n, d), finite.
        y: (n,) labels as text or values as float64; ``None`` where there are none.
        columns: d names.
        origin: what was read.
        ids: n names of rows.
    """

    X: np.ndarray
    y: np.ndarray | None
    columns: list[str]
    origin: str
    ids: list[str]

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers and labels, in their order."""
        found = hashlib.sha256(np.ascontiguousarray(self.X).tobytes())
        if self.y is not None:
            found.update("\x1f".join(map(str, self.y.tolist())).encode())
        return found.hexdigest()


def is_feature_file(path: str | Path) -> bool:
    """Whether ``read_domains`` reads it (and not the image readers)."""
    return Path(path).suffix.lower() in (".npz", *TABLES)


def read_domains(
    source: str | Path,
    target: str | Path,
    *,
    label: str | None = None,
    task: str = "auto",
    missing: Missing | None = None,
) -> tuple[FeatureTable, FeatureTable, str]:
    """Source and target with the same columns, and the task: ``"classification"`` or ``"regression"``.

    Text columns of tables become one column a value, with the values of both domains together. The target may have no
    labels.

    Args:
        label: column of a table with the label; guessed from its usual names if left out.
        task: ``"auto"``: regression where the source's labels are numbers with more than 20 values, or with fractions.
        missing: what is done about missing values (default: they are refused); it holds afterwards what was done.

    Raises:
        DataError: a file that is missing or cannot be read, no label in the source, missing values (which columns, how many),
            columns that differ, two domains of different kinds of file.
    """
    raw = [read_raw(Path(path), label, needs_label=i == 0) for i, path in enumerate((source, target))]
    parts = [Raw(*part, str(path)) for part, path in zip(raw, (source, target), strict=True)]
    tables, task = like_tables(parts, task, 1, missing)
    return tables[0], tables[1], task


@dataclass
class Raw:
    """A domain as it stands in its file: columns, labels, and what to call it."""

    frame: pd.DataFrame
    y: np.ndarray | None
    origin: str


def like_tables(
    raw: Sequence[Raw], task: str, sources: int, missing: Missing | None = None
) -> tuple[list[FeatureTable], str]:
    """Domains with the same columns as numbers, in the order of the first; the task is told by the labels of all that have some.

    Args:
        sources: how many of them are sources, which stand first.

    Raises:
        DataError: as :func:`read_domains` says.
    """
    for part in raw:
        if not len(part.frame):
            raise DataError(sentence("a domain has no rows", where=part.origin))
    frames, origins = [part.frame for part in raw], [part.origin for part in raw]
    for k in range(1, len(raw)):
        if list(frames[0].columns) != list(frames[k].columns):
            _same_columns([frames[0], frames[k]], origins[0], origins[k])
            frames[k] = frames[k][frames[0].columns]
    frames = (missing or Missing()).settle(frames, origins, sources)
    features = _numbers(frames, origins)
    told = [part for part in raw if part.y is not None]
    last = told[:-1] if len(told) == len(raw) and len(raw) > 1 else told  # the target's labels do not tell the task
    task = _task(np.concatenate([np.asarray(part.y, dtype=object) for part in last]), task, last[0].origin)
    return [
        FeatureTable(X, labels_as(part.y, task, part.origin), list(names), part.origin, [str(i) for i in range(len(X))])
        for (X, names), part in zip(features, raw, strict=True)
    ], task


def read_raw(
    path: Path, label: str | None, *, needs_label: bool, beside: str | None = None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Columns of a file, and its labels where it has some.

    Args:
        beside: an array of an ``.npz`` that becomes a column too.

    Raises:
        DataError: as :func:`read_domains` says.
    """
    if not path.exists():
        raise DataError(
            sentence("there is nothing", where=str(path), allowed=".npz, .csv, .tsv, .parquet, or a folder of images")
        )
    if path.suffix.lower() == ".npz":
        return _arrays(path, needs_label, beside)
    frame = read_frame(path)
    guessed = [c for c in frame.columns if c.lower() in LABEL_NAMES]
    name = label or (guessed[0] if guessed else None)
    if name is None or name not in frame.columns:
        if not needs_label:
            return frame, None
        got = f"no column {label!r}" if label else "no column named like a label"
        raise DataError(sentence(got, where=str(path), allowed=list(frame.columns[:20]), fix="--label COLUMN"))
    y = frame.pop(name)
    missing = int(y.isna().sum())
    if missing and missing < len(y):
        raise DataError(sentence("labels are missing", where=f"{path}, column {name}", got=f"{missing} of {len(y)}"))
    return frame, None if missing else y.to_numpy()


def _arrays(path: Path, needs_label: bool, beside: str | None) -> tuple[pd.DataFrame, np.ndarray | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            sentence("the arrays cannot be read", where=str(path), got=str(error).splitlines()[0])
        ) from None
    if "X" not in held or held["X"].ndim != 2:
        got = ", ".join(f"{name} {array.shape}" for name, array in held.items())
        raise DataError(
            sentence("an .npz needs X (rows, columns), and y (rows,) for labels", where=str(path), got=got or "nothing")
        )
    X, y = held["X"], held.get("y")
    if X.dtype.kind not in "fiub":
        raise DataError(sentence("X does not hold numbers", where=str(path), got=str(X.dtype)))
    if y is None and needs_label:
        raise DataError(sentence("the source has no labels", where=str(path), fix="np.savez(path, X=X, y=y)"))
    if y is not None and y.ravel().shape != (len(X),):
        raise DataError(sentence("X and y have other lengths", where=str(path), got=f"{X.shape} and {y.shape}"))
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    if beside in held:
        if held[beside].shape != (len(X),):
            raise DataError(
                sentence(
                    f"X and {beside} have other lengths", where=str(path), got=f"{X.shape} and {held[beside].shape}"
                )
            )
        frame[beside] = held[beside]
    return frame, None if y is None else y.ravel()


def _same_columns(frames: list[pd.DataFrame], source: str, target: str) -> None:
    only = [sorted(set(frames[i].columns) - set(frames[1 - i].columns)) for i in (0, 1)]
    if only[0] or only[1]:
        parts = [
            f"{len(names)} in {of} alone ({', '.join(names[:5])})"
            for names, of in zip(only, (source, target), strict=True)
            if names
        ]
        raise DataError(
            sentence(
                "the two domains have other columns",
                got="; ".join(parts),
                fix="the same columns in both, or in Python headstart.adapters.KernelManifoldAlignment, which joins other columns",
            )
        )


def _numbers(frames: list[pd.DataFrame], paths: Sequence[str]) -> list[tuple[np.ndarray, list[str]]]:
    """All frames as numbers: text columns as 0/1 columns, one a value."""
    parts: list[list[np.ndarray]] = [[] for _ in frames]
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    names: list[str] = []
    single = all((frame.dtypes == "float32").all() for frame in frames)
    for column in frames[0].columns:
        both = pd.concat([frame[column] for frame in frames], ignore_index=True)
        values = pd.to_numeric(both, errors="coerce")
        if values.notna().all():
            columns, labels = values.to_numpy(dtype=np.float64)[:, None], [column]
        else:
            known = sorted(both.dropna().astype(str).unique())
            if len(known) > 1000:
                raise DataError(
                    sentence("a text column has too many values", where=column, got=len(known), allowed="1,000")
                )
            columns = (both.astype(str).to_numpy()[:, None] == np.array(known)[None, :]).astype(np.float64)
            labels = [f"{column}={value}" for value in known]
        for part, own in zip(parts, np.split(columns, ends), strict=True):
            part.append(own)
        names += labels
    if not names:
        raise DataError(sentence("there is no column beside the label", where=paths[0]))
    found = [np.concatenate(part, axis=1).astype(np.float32 if single else np.float64) for part in parts]
    for X, path in zip(found, paths, strict=True):
        infinite = ~np.isfinite(X)
        if infinite.any():
            j = int(infinite.any(0).argmax())
            raise DataError(
                sentence("infinite values", where=f"{path}, column {names[j]}", got=int(infinite[:, j].sum()))
            )
    return [(X, names) for X in found]


def _task(y: np.ndarray, task: str, where: str) -> str:
    if task not in ("auto", "classification", "regression"):
        raise RecipeError(sentence("unknown task", got=task, allowed=["auto", "classification", "regression"]))
    values = pd.to_numeric(pd.Series(y), errors="coerce")
    if task == "regression" and values.isna().any():
        raise DataError(
            sentence("labels of a regression have to be numbers", where=where, got=str(y[values.isna().to_numpy()][0]))
        )
    if task != "auto":
        return task
    numeric = bool(values.notna().all())
    return "regression" if numeric and (values.nunique() > MANY or bool((values % 1 != 0).any())) else "classification"


def labels_as(y: np.ndarray | None, task: str, where: str) -> np.ndarray | None:
    """Labels (n,) as a task has them: text, or float64.

    Raises:
        DataError: a regression's label that is no number.
    """
    if y is None:
        return None
    if task == "regression":
        values = pd.to_numeric(pd.Series(y), errors="coerce").to_numpy(dtype=np.float64)
        if np.isnan(values).any():
            raise DataError(sentence("labels of a regression have to be numbers", where=where))
        return values
    numbers = pd.to_numeric(pd.Series(y), errors="coerce")
    if numbers.notna().all() and (numbers % 1 == 0).all():  # 1 in one file and 1.0 in the other are one class
        return numbers.astype(int).astype(str).to_numpy(dtype=object).astype(str)
    return np.array([str(v) for v in y])


def read_rows(path: Path, columns: list[str], fill: dict[str, float] | None = None) -> np.ndarray:
    """Rows of a file with the columns that a model knows (n, d); ``column=value`` names are made from text columns.

    Args:
        fill: what stands in for a missing number, by column.

    Raises:
        DataError: a column is missing, or a value.
    """
    frame, _ = read_raw(path, None, needs_label=False) if path.suffix.lower() == ".npz" else (_table(path), None)
    out = np.empty((len(frame), len(columns)))
    for j, name in enumerate(columns):
        plain, _, value = name.partition("=")
        if name in frame.columns:
            values = pd.to_numeric(frame[name], errors="coerce")
            if fill and name in fill:
                values = values.astype(float).mask(empty(frame[name]), fill[name])
            if values.isna().any():
                got = f"{int(values.isna().sum())} of {len(values)} rows"
                raise DataError(sentence("values are missing or no numbers", where=f"{path}, column {name}", got=got))
            out[:, j] = values
        elif plain in frame.columns:
            out[:, j] = frame[plain].astype(str) == value
        else:
            raise DataError(
                sentence("a column is missing", where=str(path), got=name, allowed=list(frame.columns[:20]))
            )
    return out


def _table(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise DataError(sentence("there is nothing", where=str(path)))
    return read_frame(path)
