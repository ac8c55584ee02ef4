"""Tables of image paths and labels: CSV, TSV, JSONL, Parquet; columns guessed, paths relative to the file that names them."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.dataset import Dataset
from headstart.data.encodings import encoding_of
from headstart.data.images import is_image
from headstart.data.labels import Labels, holds_lists, levels_of_columns, one_column, one_hot
from headstart.errors import DataError, near, sentence

ENDINGS = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
PATHS = ("path", "file_name", "filename", "file", "image", "image_path", "filepath", "img", "picture", "图片", "路径")
LABELS = ("label", "class", "target", "category", "labels", "y", "标签", "类别")
SPLIT = ("split", "set", "fold", "subset")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "": "",
}


def read_table(
    path: Path,
    *,
    path_col: str | None,
    label_col: str | None,
    split_col: str | None,
    group: str | None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
) -> Dataset:
    """Read a table of labelled images; arguments as for :func:`headstart.data.readers.read_dataset`.

    Raises:
        DataError: a column is missing (those found are listed), a cell is empty, files do not exist.
    """
    frame = read_frame(path)
    paths = _column(frame, path, path_col, PATHS, "path-col", _looks_like_paths)
    found = labels_of(
        frame, path, {paths}, label_col=label_col, split_col=split_col, group=group, task=task, label_delimiter=label_delimiter,
        order=order, guessed=f"path = {paths!r}" if path_col is None or label_col is None else "", flag="--path-col",
    )  # fmt: skip
    images = [str(p if Path(p).is_absolute() else path.parent / p) for p in found.frame[paths].astype(str).str.strip()]
    lost = [p for p in images if not Path(p).exists()]
    if lost:
        raise DataError(
            sentence(
                f"{len(lost)} of {len(images)} files named in the table do not exist",
                where=str(path),
                got=lost[0],
                allowed=f"paths relative to {path.parent}",
            )
        )
    return Dataset(
        inputs=images, labels=found.labels.values, classes=found.labels.classes, splits=found.splits, groups=found.groups,
        root=str(path.parent), layout="table", notes=(*found.notes, *found.labels.notes), task=found.labels.task,
    )  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """The rows of a table that have an input and a label.

    Attributes:
        frame: these rows, with the index they had.
        labels, splits, groups: of these rows, as :class:`headstart.data.dataset.Dataset` has them.
        notes: what was guessed or left out, for the user.
    """

    frame: pd.DataFrame
    labels: Labels
    splits: np.ndarray
    groups: np.ndarray | None
    notes: tuple[str, ...]


def labels_of(
    frame: pd.DataFrame,
    path: Path,
    inputs: set[str],
    *,
    label_col: str | None,
    split_col: str | None,
    group: str | None,
    task: str,
    label_delimiter: str | None,
    order: Sequence[str] | None,
    guessed: str,
    flag: str,
) -> Labelled:
    """Labels, splits and groups of a table whose columns ``inputs`` hold the inputs.

    Args:
        guessed: what was guessed of the inputs' columns, for the user; empty where nothing was.
        flag: the option that names them.

    Raises:
        DataError: a column is missing (those found are listed), an unknown split, labels that cannot be read.
    """
    notes = []
    first = sorted(inputs)[0]
    found = split_col or next((c for c in frame.columns if c.lower() in SPLIT and _known_splits(frame[c])), None)
    wanted = _label_columns(frame, path, label_col, {*inputs, found, group}, label_delimiter)
    if guessed:
        shown = repr(wanted[0]) if len(wanted) == 1 else f"{wanted[0]!r} to {wanted[-1]!r} ({len(wanted)} columns)"
        rows = "; ".join(
            f"{_short(row[first])} -> {', '.join(_short(row[name]) for name in wanted[:5])}"
            for _, row in frame.head(3).iterrows()
        )
        notes.append(
            f"Guessed columns of {path.name}: {guessed}, label = {shown} ({rows}); {flag} and --label-col say otherwise."
        )
    blank = frame[wanted].isna() | (frame[wanted].astype(str).apply(lambda c: c.str.strip()) == "")
    bare_allowed = len(wanted) > 1 or task == "multilabel" or label_delimiter is not None
    if task == "auto" and not bare_allowed:
        bare_allowed = holds_lists([_text(cell) for cell in frame[wanted[0]].dropna()])
    empty = frame[sorted(inputs)].isna().any(axis=1) | (blank.all(axis=1) & (not bare_allowed))
    if empty.any():
        notes.append(
            f"{int(empty.sum())} rows without {'a path' if flag == '--path-col' else 'a text'} or a label were left out (first: row {int(np.flatnonzero(empty)[0]) + 2})."
        )
        frame = frame[~empty]
    if not len(frame):
        what = ("images", "path") if flag == "--path-col" else ("texts", "text")
        raise DataError(
            sentence(f"there are no {what[0]}", where=str(path), got=f"no row with a {what[1]} and a label")
        )
    labels = _labels(frame, path, wanted, task, label_delimiter, order)
    splits = np.full(len(frame), "", dtype="U5")
    if found is not None:
        must_have(frame, path, found, "split-col")
        raw = frame[found].fillna("").astype(str).str.strip().str.lower()
        wrong = sorted(set(raw) - set(SPLIT_NAMES))
        if wrong:
            raise DataError(
                sentence(
                    "unknown split",
                    where=f"column {found!r} of {path}",
                    got=wrong[0],
                    allowed=["train", "valid", "test"],
                )
            )
        splits = raw.map(SPLIT_NAMES).to_numpy().astype("U5")
    groups = None
    if group is not None:
        must_have(frame, path, group, "group")
        groups = frame[group].astype(str).to_numpy()
        notes.append(f"{len(set(groups))} groups, named by the column {group!r}, are kept together.")
    return Labelled(frame, labels, splits, groups, tuple(notes))


def _short(cell: Any, most: int = 40) -> str:
    line = " ".join(_text(cell).split()) if isinstance(cell, (list, tuple, np.ndarray)) or not pd.isna(cell) else ""
    line = line or "(empty)"
    return line if len(line) <= most else line[: most - 3] + "..."


def read_paths(path: Path, path_col: str | None = None) -> list[str]:
    """The images that a table names, in its order; rows without a path are left out.

    Args:
        path_col: the column of paths where the table has it; else it is guessed.

    Raises:
        DataError: the table cannot be read, has no such column or no path in it.
    """
    frame = read_frame(path)
    given = path_col if path_col in frame.columns else None
    column = frame[_column(frame, path, given, PATHS, "path-col", _looks_like_paths)].dropna().astype(str).str.strip()
    found = [str(p if Path(p).is_absolute() else path.parent / p) for p in column if p]
    if not found:
        raise DataError(sentence("there are no images", where=str(path), got="no row with a path"))
    return found


def _label_columns(
    frame: pd.DataFrame, path: Path, given: str | None, others: set[str | None], delimiter: str | None
) -> list[str]:
    """The columns of the labels: one, or several."""
    if given is not None and given not in frame.columns and "," in given:
        names = [name.strip() for name in given.split(",") if name.strip()]
        for name in names:
            must_have(frame, path, name, "label-col")
        return names
    if given is None and delimiter is None and not any(c.lower() in LABELS for c in frame.columns):
        binary = [c for c in frame.columns if c not in others and c.lower() not in SPLIT and _is_binary(frame[c])]
        if len(binary) > 1:
            return binary
        left = [c for c in frame.columns if c not in others and c.lower() not in SPLIT]
        if len(left) == 1:  # whatever its name, nothing else can be the label
            return left
    found = _column(frame, path, given, LABELS, "label-col", None, others)
    return [found if given is not None else _named(frame, found, others)]


def _named(frame: pd.DataFrame, numbers: str, others: set[str | None]) -> str:
    """The column with the names of the classes whose numbers stand in ``numbers``, if one does; else ``numbers``."""
    if not frame[numbers].dropna().map(lambda cell: str(cell).strip().isdigit()).all():
        return numbers
    for name in frame.columns:
        if name.lower() in LABELS and name != numbers and name not in others:
            pairs = frame[[numbers, name]].astype(str).drop_duplicates()
            if len(pairs) == pairs[numbers].nunique() == pairs[name].nunique() < len(frame):
                return str(name)
    return numbers


def _text(cell: object) -> str:
    """A cell as text; a list, as JSON Lines and Parquet have it, with bars between its items."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        return "|".join(map(str, cell))
    return str(cell).strip()


def _is_binary(column: pd.Series) -> bool:
    """Whether a column holds nothing but 0 and 1, and both of them."""
    return set(column.dropna().astype(str).str.strip()) in ({"0", "1"}, {"0.0", "1.0"}, {"False", "True"})


def _labels(
    frame: pd.DataFrame, path: Path, columns: list[str], task: str, delimiter: str | None, order: Sequence[str] | None
) -> Labels:
    texts = {name: [_text(cell) for cell in frame[name].fillna("")] for name in columns}
    if len(columns) == 1:
        (name,) = columns
        return one_column(texts[name], task=task, name=name, where=str(path), delimiter=delimiter, order=order)
    if delimiter is not None:
        raise DataError(
            sentence("--label-delimiter is about one column, but several are named", where=str(path), got=", ".join(columns[:5]))
        )  # fmt: skip
    if task == "hierarchical":
        return levels_of_columns(texts, str(path))
    if task not in ("auto", "multilabel", "classification"):
        raise DataError(
            sentence(f"--task {task} reads one column of labels", where=str(path), got=", ".join(columns[:5]))
        )
    found = one_hot(texts, task="auto" if task == "classification" else task, where=str(path))
    if task == "classification" and found.task != task:
        raise DataError(
            sentence("an image has several labels or none, so they are not classes", where=str(path), fix="--task multilabel")
        )  # fmt: skip
    return found


def read_frame(path: Path, rows: int | None = None, *, only_empty: bool = False) -> pd.DataFrame:
    """A table by the ending of its name, columns trimmed; text of CSV and TSV stays text, its encoding and separator are found.

    Args:
        rows: of CSV, TSV and JSON Lines no more than the first so many.
        only_empty: of CSV and TSV only empty cells are missing, and ``None``, ``NA`` and ``null`` are texts.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix.lower() == ".jsonl":
            frame = pd.read_json(path, lines=True, dtype=False, nrows=rows)
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else None
            with path.open("rb") as opened:
                if not any(sign in opened.readline() for sign in (b",", b";", b"\t", b"|", b" ", b":")):
                    separator = ","  # one column: nothing to be guessed from its letters
            quoting: Any = csv.QUOTE_NONE if separator == "\t" and _bare_quotes(path) else csv.QUOTE_MINIMAL
            frame = pd.read_csv(
                path, sep=separator, engine="python", encoding=encoding_of(path), dtype=str, nrows=rows, quoting=quoting,
                keep_default_na=not only_empty, na_values=[""],
            )  # fmt: skip
    except (ValueError, OSError, csv.Error, pd.errors.ParserError) as error:
        raise DataError(sentence("the table cannot be read", where=str(path), got=str(error).splitlines()[0])) from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not len(frame):
        raise DataError(sentence("the table has no rows", where=str(path)))
    return frame


def _bare_quotes(path: Path) -> bool:
    """Whether a TSV has cells that begin with a quotation mark and do not end with one: then marks are letters like others, and no
    cell is quoted (read as quotes, they would swallow tabs and lines). All rows then have the same number of cells."""
    cells = [line.rstrip(b"\r\n").split(b"\t") for line in path.read_bytes().splitlines(keepends=True) if line.strip()]
    open_ = any(c[:1] == b'"' and (len(c) == 1 or c[-1:] != b'"' or c[1:-1].replace(b'""', b"").count(b'"')) for row in cells for c in row)  # fmt: skip
    return open_ and len({len(row) for row in cells}) == 1


def _looks_like_paths(column: pd.Series) -> bool:
    cells = column.dropna().astype(str).head(20)
    return len(cells) > 0 and bool(cells.map(is_image).all())


def names_images(frame: pd.DataFrame) -> bool:
    """Whether a column is named like one of paths of images, or holds such paths."""
    return any(c.lower() in PATHS or _looks_like_paths(frame[c]) for c in frame.columns)


def _known_splits(column: pd.Series) -> bool:
    return set(column.dropna().astype(str).str.strip().str.lower()) <= set(SPLIT_NAMES)


def must_have(frame: pd.DataFrame, path: Path, name: str, flag: str) -> None:
    """Raises:
    DataError: the table has no column of this name; near ones are offered.
    """
    if name not in frame.columns:
        close = near(name, list(frame.columns), 1)
        raise DataError(
            sentence(
                f"no column {name!r}",
                where=str(path),
                allowed=list(frame.columns),
                fix=f"--{flag} {close[0] if close else frame.columns[0]}",
            )
        )


def _column(  # type: ignore[no-untyped-def]
    frame: pd.DataFrame, path: Path, given: str | None, guesses: tuple[str, ...], flag: str, fits, but: Collection[str | None] = ()
) -> str:  # fmt: skip
    if given is not None:
        must_have(frame, path, given, flag)
        return given
    lowered = {c.lower(): c for c in reversed(list(frame.columns))}
    for guess in guesses:
        if guess in lowered:
            return lowered[guess]
    if fits:
        for name in frame.columns:
            if fits(frame[name]):
                return str(name)
    if fits:
        raise DataError(
            sentence(
                "no column holds paths of images, and none holds sentences", where=str(path), got=", ".join(frame.columns),
                fix=f"--path-col {frame.columns[0]}, or --text-col {frame.columns[0]} for texts",
            )
        )  # fmt: skip
    left = [str(name) for name in frame.columns if name not in but]
    if not left:
        raise DataError(
            sentence("there is no column of labels", where=str(path), got=", ".join(frame.columns),
                     fix="a column 'label' beside it" + (", with , ; | or a tab between" if len(frame.columns) == 1 else ""))
        )  # fmt: skip
    raise DataError(
        sentence("cannot guess the label column", where=str(path), allowed=left, fix=f"--{flag} {left[-1]}")
    )
