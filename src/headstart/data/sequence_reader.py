"""Texts whose label is a text: two columns of a table, parallel files of lines, two lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.data.dataset import Dataset
from headstart.data.encodings import lines_of, said
from headstart.data.tables import ENDINGS, SPLIT, SPLIT_NAMES, must_have, read_frame
from headstart.errors import DataError, near, sentence

SOURCES = ("source", "src", "text", "article", "document", "dialogue", "content", "原文", "正文")
TARGETS = ("target", "tgt", "translation", "summary", "highlights", "reference", "abstract", "title", "译文", "摘要")
"""Usual names of the two columns."""


def read_sequences(
    data: Any,
    *,
    task: str,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    group: str | None = None,
    idle: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read pairs of a text and what is to be made of it, for ``task`` translation or summarization.

    Args:
        data: a table (CSV, TSV, JSONL, Parquet); a folder of tables named after the splits (``train.tsv``, ``test.tsv``); a folder of
            parallel files of lines (``a.en`` and ``a.zh``, or ``train.en``, ``train.zh``, ``test.en``, ...); two such files, as a pair or
            with a comma between them; or two lists of texts.
        text_col, label_col: the two columns, or the two endings of parallel files; guessed, and said, where a table has just two columns
            or they have usual names.
        split_col, group: columns of a table, as for :func:`headstart.data.readers.read_dataset`.
        idle: other options of the reader, which mean nothing here.

    Raises:
        DataError: a column or file is missing (those found are listed), files of unequal length, no pair at all.
    """
    for name, value in (idle or {}).items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise DataError(sentence(f"{flag} means nothing for pairs of texts", where=f"--task {task}", got=value, fix="leave it out"))  # fmt: skip
    if isinstance(data, (tuple, list)) and len(data) == 2:
        if all(isinstance(part, (str, Path)) for part in data):
            return _two_files(Path(data[0]), Path(data[1]), task, split_col, group)
        return _two_lists(data[0], data[1], task)
    if not isinstance(data, (str, Path)):
        raise DataError(sentence("data is a path, two paths or two lists of texts", got=type(data).__name__))
    root = Path(data)
    if not root.exists() and str(data).count(",") == 1:
        one, other = (Path(part.strip()) for part in str(data).split(","))
        return _two_files(one, other, task, split_col, group)
    if not root.exists():
        close = near(root.name, [p.name for p in root.parent.iterdir()], 1) if root.parent.is_dir() else []
        raise DataError(sentence("no such folder or file", got=str(root), fix=str(root.parent / close[0]) if close else None))  # fmt: skip
    if root.is_file():
        if root.suffix.lower() not in ENDINGS:
            raise DataError(
                sentence("one file of lines is half of a pair", got=str(root), allowed=[*sorted(ENDINGS), "a.en,a.zh"], fix=f"headstart fit {root},OTHER")
            )  # fmt: skip
        return _table(read_frame(root, only_empty=True), root, said(root), task, text_col, label_col, split_col, group)
    return _folder(root, task, text_col, label_col, split_col, group)


def _folder(
    root: Path, task: str, text_col: str | None, label_col: str | None, split_col: str | None, group: str | None
) -> Dataset:
    files = sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith("."))
    tables = {p: SPLIT_NAMES[p.stem.lower()] for p in files if p.suffix.lower() in ENDINGS and p.stem.lower() in SPLIT_NAMES}  # fmt: skip
    if tables:
        _no_column("split-col", split_col, root)
        frames = [
            read_frame(path, only_empty=True).assign(**{_SPLIT: name, _ROW: f"{path.name} row "})
            for path, name in tables.items()
        ]
        frame = pd.concat([f.assign(**{_ROW: f[_ROW] + (f.index + 2).astype(str)}) for f in frames], ignore_index=True)
        return _table(
            frame, root, [line for path in tables for line in said(path)], task, text_col, label_col, _SPLIT, group
        )
    endings: dict[str, dict[str, Path]] = {}
    for path in files:
        if path.suffix and path.suffix.lower() not in (".md", ".json", ".yaml"):
            endings.setdefault(path.suffix[1:], {})[path.stem] = path
    if text_col is None and label_col is None and len(endings) == 2:
        text_col, label_col = sorted(endings)
        note: tuple[str, ...] = (
            f"Guessed: from .{text_col} to .{label_col}; --text-col {label_col} --label-col {text_col} is the other way.",
        )
    elif text_col is None or label_col is None:
        raise DataError(
            sentence("which files are the texts, and which what is made of them, is not clear", where=str(root),
                     got=[f".{e}" for e in sorted(endings)][:10] or "no files", allowed="train.tsv, or a.en and a.zh", fix="--text-col en --label-col zh")
        )  # fmt: skip
    else:
        note = ()
    text_col, label_col = text_col.lstrip("."), label_col.lstrip(".")
    for flag, ending in (("text-col", text_col), ("label-col", label_col)):
        if ending not in endings:
            close = near(ending, endings, 1)
            raise DataError(
                sentence(f"no file ends in .{ending}", where=str(root), allowed=[f".{e}" for e in sorted(endings)], fix=f"--{flag} {close[0] if close else sorted(endings)[0]}")
            )  # fmt: skip
    _no_column("split-col", split_col, root)
    _no_column("group", group, root)
    stems = sorted(set(endings[text_col]) & set(endings[label_col]))
    alone = sorted(set(endings[text_col]) ^ set(endings[label_col]))
    if not stems or alone:
        raise DataError(
            sentence("parallel files come in pairs of one name", where=str(root), got=", ".join(alone[:4]), allowed=f"NAME.{text_col} and NAME.{label_col}")
        )  # fmt: skip
    texts: list[str] = []
    targets: list[str] = []
    splits: list[str] = []
    names: list[str] = []
    named = all(stem.lower() in SPLIT_NAMES for stem in stems)
    for stem in stems:
        files_of = endings[text_col][stem], endings[label_col][stem]
        one, other = _lines(*files_of)
        note = (*note, *(line for path in files_of for line in said(path)))
        texts += one
        targets += other
        splits += [SPLIT_NAMES[stem.lower()] if named else ""] * len(one)
        names += [f"{stem}:{i + 1}" for i in range(len(one))]
    return _made(
        texts, targets, np.array(splits, dtype="U5"), None, names, (label_col, text_col), str(root), task, note
    )


_SPLIT, _ROW = "\0split", "\0row"
"""Names that no column of a table has."""


def _two_files(one: Path, other: Path, task: str, split_col: str | None, group: str | None) -> Dataset:
    for path in (one, other):
        if not path.is_file():
            raise DataError(sentence("no such file of lines", got=str(path), allowed="two parallel files: a.en,a.zh"))
    _no_column("split-col", split_col, one)
    _no_column("group", group, one)
    texts, targets = _lines(one, other)
    names = [f"{one.stem}:{i + 1}" for i in range(len(texts))]
    ends = (other.suffix[1:] or other.name, one.suffix[1:] or one.name)
    notes = (*said(one), *said(other))
    return _made(texts, targets, np.full(len(texts), "", dtype="U5"), None, names, ends, str(one.parent), task, notes)


def _no_column(flag: str, value: str | None, where: Path) -> None:
    if value is not None:
        raise DataError(
            sentence(f"--{flag} is about the columns of one table", where=str(where), got=value, fix="leave it out")
        )


def _two_lists(texts: Any, targets: Any, task: str) -> Dataset:
    texts, targets = [str(t) for t in texts], [str(t) for t in targets]
    if len(texts) != len(targets):
        raise DataError(sentence("texts and targets are not equally many", got=[len(texts), len(targets)]))
    names = [f"#{i}" for i in range(len(texts))]
    return _made(texts, targets, np.full(len(texts), "", dtype="U5"), None, names, ("target", "source"), "", task, ())


def _lines(one: Path, other: Path) -> tuple[list[str], list[str]]:
    found = [lines_of(path) for path in (one, other)]
    if len(found[0]) != len(found[1]):
        raise DataError(
            sentence("parallel files have a line each for the same thing, but these are of unequal length", where=f"{one}, {other}",
                     got=[len(lines) for lines in found])
        )  # fmt: skip
    return found[0], found[1]


def _table(
    frame: pd.DataFrame, path: Path, notes: list[str], task: str, text_col: str | None, label_col: str | None, split_col: str | None,
    group: str | None,
) -> Dataset:  # fmt: skip
    for value, flag in ((text_col, "text-col"), (label_col, "label-col"), (split_col, "split-col"), (group, "group")):
        if value is not None and value != _SPLIT:
            must_have(frame, path, value, flag)
    if split_col is None:
        known = [c for c in frame.columns if c.lower() in SPLIT]
        split_col = next((c for c in known if set(_cells(frame[c]).str.lower()) <= set(SPLIT_NAMES)), None)
    if text_col is None or label_col is None:
        text_col, label_col = _guess(frame, path, text_col, label_col, {split_col, group, _ROW})
        notes.append(f"Guessed columns of {path.name}: from {text_col!r} to {label_col!r}; --text-col and --label-col say otherwise.")  # fmt: skip
    if text_col == label_col:
        raise DataError(sentence("one column is both the text and what is made of it", where=str(path), got=text_col))
    splits = np.full(len(frame), "", dtype="U5")
    if split_col is not None:
        raw = _cells(frame[split_col]).str.lower()
        wrong = sorted(set(raw) - set(SPLIT_NAMES))
        if wrong:
            raise DataError(sentence("unknown split", where=f"column {split_col!r} of {path}", got=wrong[0], allowed=["train", "valid", "test"]))  # fmt: skip
        splits = raw.map(SPLIT_NAMES).to_numpy().astype("U5")
    groups = None if group is None else frame[group].astype(str).to_numpy()
    names = frame[_ROW].tolist() if _ROW in frame else [f"row {i + 2}" for i in range(len(frame))]
    texts, targets = (_cells(frame[c]).tolist() for c in (text_col, label_col))
    return _made(texts, targets, splits, groups, names, (label_col, text_col), str(path), task, tuple(notes))


def _cells(column: pd.Series) -> pd.Series:
    return column.fillna("").astype(str).str.strip()


def _guess(
    frame: pd.DataFrame, path: Path, text_col: str | None, label_col: str | None, others: set[str | None]
) -> tuple[str, str]:
    left = [c for c in frame.columns if c not in others and not c.startswith("\0")]
    lowered = {c.lower(): c for c in reversed(left)}
    text = text_col or next((lowered[n] for n in SOURCES if n in lowered), None)
    label = label_col or next((lowered[n] for n in TARGETS if n in lowered and lowered[n] != text), None)
    if len(left) == 2:
        text = text or next(c for c in left if c != label)
        label = label or next(c for c in left if c != text)
    if text is None or label is None:
        raise DataError(
            sentence("which column holds the texts, and which what is made of them, is not clear", where=str(path), allowed=left,
                     fix=f"--text-col {left[0]} --label-col {left[-1]}")
        )  # fmt: skip
    return text, label


def _made(
    texts: Sequence[str], targets: Sequence[str], splits: np.ndarray, groups: np.ndarray | None, names: Sequence[str],
    ends: tuple[str, str], root: str, task: str, notes: tuple[str, ...],
) -> Dataset:  # fmt: skip
    """The data set of those pairs that have both sides; ``ends`` names what is made, and from what."""
    both = np.array([bool(a.strip()) and bool(b.strip()) for a, b in zip(texts, targets, strict=True)], dtype=bool)
    if not both.any():
        raise DataError(sentence("there is no pair of texts", where=root or None, got=f"{len(texts)} rows"))
    if not both.all():
        first = names[int(np.flatnonzero(~both)[0])]
        notes = (*notes, f"{int((~both).sum())} rows without a text or without what is made of it were left out (first: {first}).")  # fmt: skip
    labels = np.empty(len(targets), dtype=object)
    labels[:] = [t.strip() for t in targets]
    found = Dataset(
        inputs=[t.strip() for t in texts], labels=labels, classes=(ends[0],), splits=splits, groups=groups, root=root, layout="pairs",
        notes=notes, task=task, modality="text", names=np.array(names),
    )  # fmt: skip
    return found.subset(np.flatnonzero(both))
