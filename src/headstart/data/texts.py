"""Texts with a class each: tables with a column of sentences, and folders of .txt files, one folder a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.encodings import read_file
from headstart.data.feature_tables import LABEL_NAMES
from headstart.data.tables import ENDINGS, read_frame
from headstart.data.text_columns import PEEK, text_columns
from headstart.errors import DataError, sentence


@dataclass(frozen=True)
class Texts:
    """One domain.

    Attributes:
        texts: n of them.
        y: (n,) labels as text, or ``None``.
        origin: what was read. ids: n names of rows or files.
        notes: sentences for the user.
    """

    texts: list[str]
    y: np.ndarray | None
    origin: str
    ids: list[str]
    notes: tuple[str, ...] = ()


def holds_texts(path: Path) -> bool:
    """Whether :func:`read_texts` reads it: a folder of .txt files, or a table with a column of sentences."""
    if path.is_dir():
        return any(True for _ in path.glob("*.txt")) or any(True for _ in path.glob("*/*.txt"))
    if path.suffix.lower() not in ENDINGS or not path.is_file():
        return False
    return bool(text_columns(read_frame(path, PEEK)))


def read_texts(path: Path, label: str | None, *, needs_label: bool) -> Texts:
    """The texts of a table or a folder, in its order (files by name).

    Args:
        label: column of a table with the label; guessed from its usual names if left out.

    Raises:
        DataError: no label where one is needed, several columns of texts, or an empty text.
    """
    return _folder(path, needs_label) if path.is_dir() else _table(path, label, needs_label)


def _table(path: Path, label: str | None, needs_label: bool) -> Texts:
    frame = read_frame(path)
    guessed = [c for c in frame.columns if c.lower() in LABEL_NAMES]
    name = label or (guessed[0] if guessed else None)
    if (name is None or name not in frame.columns) and (needs_label or label):
        got = f"no column {label!r}" if label else "no column named like a label"
        if needs_label:
            raise DataError(sentence(got, where=str(path), allowed=list(frame.columns[:20]), fix="--label COLUMN"))
        name = None
    columns = text_columns(frame, name)
    if len(columns) != 1:
        raise DataError(
            sentence(
                "one column of texts is read", where=str(path), got=columns or "none", fix="a table with one of them"
            )
        )
    texts = frame[columns[0]].fillna("").astype(str).str.strip().tolist()
    _none_empty(texts, f"{path}, column {columns[0]}")
    y = None if name is None else frame[name]
    if y is not None and y.isna().any():
        if needs_label or not y.isna().all():
            raise DataError(
                sentence("labels are missing", where=f"{path}, column {name}", got=f"{int(y.isna().sum())} of {len(y)}")
            )
        y = None
    left = [c for c in frame.columns if c not in (name, columns[0])]
    notes = (f"Only the texts of column {columns[0]} are read; left out: {', '.join(left[:5])}.",) if left else ()
    labels = None if y is None else np.array([str(v) for v in y])
    return Texts(texts, labels, str(path), [str(i) for i in range(len(texts))], notes)


def _folder(path: Path, needs_label: bool) -> Texts:
    files = sorted(path.glob("*/*.txt"))
    if not files:
        files = sorted(path.glob("*.txt"))
        if needs_label:
            raise DataError(
                sentence("texts of a source stand in one folder a class", where=str(path), got="files in no class folder",
                         fix="FOLDER/CLASS/1.txt")
            )  # fmt: skip
    classed = files[0].parent != path
    texts = [read_file(file)[0].strip() for file in files]
    _none_empty(texts, str(path))
    y = np.array([file.parent.name for file in files]) if classed else None
    return Texts(texts, y, str(path), [str(file.relative_to(path)) for file in files])


def _none_empty(texts: list[str], where: str) -> None:
    empty = [i for i, text in enumerate(texts) if not text]
    if empty:
        raise DataError(
            sentence("texts are empty", where=where, got=f"{len(empty)} of {len(texts)}, the first in row {empty[0]}")
        )
