"""Tables of image paths and labels: CSV, TSV, JSONL, Parquet; columns guessed, paths relative to the file that names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.dataset import ImageDataset
from headstart.data.images import is_image
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
    path: Path, *, path_col: str | None, label_col: str | None, split_col: str | None, group: str | None
) -> ImageDataset:
    """Read a table of labelled images.

    Raises:
        DataError: a column is missing (those found are listed), a cell is empty, files do not exist.
    """
    frame = read_frame(path)
    columns = list(frame.columns)
    notes = []
    paths = _column(frame, path, path_col, PATHS, "path-col", _looks_like_paths)
    labels = _column(frame, path, label_col, LABELS, "label-col", None)
    if path_col is None or label_col is None:
        rows = "; ".join(f"{a} -> {b}" for a, b in zip(frame[paths].head(3), frame[labels].head(3), strict=True))
        notes.append(
            f"Guessed columns of {path.name}: path = {paths!r}, label = {labels!r} ({rows}); --path-col and --label-col say otherwise."
        )
    empty = frame[paths].isna() | frame[labels].isna() | (frame[labels].astype(str).str.strip() == "")
    if empty.any():
        notes.append(
            f"{int(empty.sum())} rows without a path or a label were left out (first: row {int(np.flatnonzero(empty)[0]) + 2})."
        )
        frame = frame[~empty]
    if not len(frame):
        raise DataError(sentence("there are no images", where=str(path), got="no row with a path and a label"))
    images = [str(p if Path(p).is_absolute() else path.parent / p) for p in frame[paths].astype(str).str.strip()]
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
    names = frame[labels].astype(str).str.strip()
    classes = tuple(sorted(names.unique()))
    index = {name: i for i, name in enumerate(classes)}
    found = split_col or next((c for c in columns if c.lower() in SPLIT and _known_splits(frame[c])), None)
    splits = np.full(len(images), "", dtype="U5")
    if found is not None:
        _must_have(frame, path, found, "split-col")
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
        _must_have(frame, path, group, "group")
        groups = frame[group].astype(str).to_numpy()
        notes.append(f"{len(set(groups))} groups, named by the column {group!r}, are kept together.")
    return ImageDataset(
        images=images, labels=names.map(index).to_numpy(np.int64), classes=classes, splits=splits, groups=groups,
        root=str(path.parent), layout="table", notes=tuple(notes),
    )  # fmt: skip


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


def read_frame(path: Path) -> pd.DataFrame:
    """A table by the ending of its name, columns trimmed; text of CSV and TSV stays text, its encoding and separator are found.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix.lower() == ".jsonl":
            frame = pd.read_json(path, lines=True, dtype=False)
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else None
            with path.open("rb") as opened:
                if not any(sign in opened.readline() for sign in (b",", b";", b"\t", b"|", b" ", b":")):
                    separator = ","  # one column: nothing to be guessed from its letters
            for encoding in ("utf-8-sig", "gb18030", "latin-1"):
                try:
                    frame = pd.read_csv(path, sep=separator, engine="python", encoding=encoding, dtype=str)
                    break
                except UnicodeDecodeError:
                    continue
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(sentence("the table cannot be read", where=str(path), got=str(error).splitlines()[0])) from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not len(frame):
        raise DataError(sentence("the table has no rows", where=str(path)))
    return frame


def _looks_like_paths(column: pd.Series) -> bool:
    return bool(column.dropna().astype(str).head(20).map(is_image).all())


def _known_splits(column: pd.Series) -> bool:
    return set(column.dropna().astype(str).str.strip().str.lower()) <= set(SPLIT_NAMES)


def _must_have(frame: pd.DataFrame, path: Path, name: str, flag: str) -> None:
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


def _column(frame: pd.DataFrame, path: Path, given: str | None, guesses: tuple[str, ...], flag: str, fits) -> str:  # type: ignore[no-untyped-def]
    if given is not None:
        _must_have(frame, path, given, flag)
        return given
    lowered = {c.lower(): c for c in reversed(list(frame.columns))}
    for guess in guesses:
        if guess in lowered:
            return lowered[guess]
    if fits:
        for name in frame.columns:
            if fits(frame[name]):
                return str(name)
    raise DataError(
        sentence(
            f"cannot guess the {'path' if fits else 'label'} column",
            where=str(path),
            allowed=list(frame.columns),
            fix=f"--{flag} {frame.columns[-1]}",
        )
    )
