"""From tables and folders of texts to one data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.labels import of_folders
from headstart.data.tables import labels_of, must_have, read_frame
from headstart.data.texts import text_columns
from headstart.errors import DataError, sentence

TEXTS = ("text", "sentence", "review", "content", "message", "query", "title", "body", "文本", "内容", "评论")
"""Usual names of a column of texts."""


def read_text_table(
    path: Path,
    *,
    text_col: str | None,
    label_col: str | None,
    split_col: str | None,
    group: str | None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
) -> Dataset:
    """Read a table of labelled texts; arguments as for :func:`headstart.data.readers.read_dataset`.

    Raises:
        DataError: a column is missing (those found are listed), or several could be the texts.
    """
    frame = read_frame(path)
    if text_col is not None:
        must_have(frame, path, text_col, "text-col")
    column = text_col or _guess(frame, path, label_col)
    found = labels_of(
        frame, path, {column}, label_col=label_col, split_col=split_col, group=group, task=task, label_delimiter=label_delimiter,
        order=order, guessed=f"text = {column!r}" if text_col is None or label_col is None else "", flag="--text-col",
    )  # fmt: skip
    texts = found.frame[column].astype(str).tolist()
    names = np.array([f"row {i + 2}" for i in found.frame.index])
    return Dataset(
        inputs=texts, labels=found.labels.values, classes=found.labels.classes, splits=found.splits, groups=found.groups,
        root=str(path), layout="table", notes=(*found.notes, *found.labels.notes), task=found.labels.task, modality="text", names=names,
    )  # fmt: skip


def _guess(frame, path: Path, label_col: str | None) -> str:  # type: ignore[no-untyped-def]
    columns = text_columns(frame, label_col)
    named = [name for name in columns if name.lower() in TEXTS]
    if len(columns) == 1 or len(named) == 1:
        return (named or columns)[0]
    raise DataError(
        sentence(
            "which column holds the texts is not clear", where=str(path), got=columns or "none that looks like sentences",
            allowed=list(frame.columns), fix=f"--text-col {(columns or list(frame.columns))[0]}",
        )
    )  # fmt: skip


def read_text_folder(root: Path, *, task: str = "auto", order: Sequence[str] | None = None) -> Dataset:
    """Folders of .txt files, one folder a class."""
    files = sorted(root.glob("*/*.txt"))
    labels = of_folders(
        [f.parent.name for f in files], [f.parent.name for f in files], task=task, where=str(root), order=order
    )
    texts = [file.read_text(encoding="utf-8") for file in files]
    return Dataset(
        inputs=texts, labels=labels.values, classes=labels.classes, splits=np.full(len(files), "", dtype="U5"), root=str(root),
        layout="folders", notes=labels.notes, task=labels.task, modality="text",
        names=np.array([str(f.relative_to(root)) for f in files]),
    )  # fmt: skip
