"""Which files hold texts: a table, one table a split, folders of .txt."""

from __future__ import annotations

import re
from pathlib import Path

from headstart.data.images import is_image
from headstart.data.tables import ENDINGS, names_images, read_frame
from headstart.data.text_columns import PEEK, text_columns
from headstart.data.text_table import peek
from headstart.errors import DataError, sentence

FILES = ENDINGS | {".json", ".ndjson"}
"""Endings of a table of texts that is named itself; in a folder, JSON may be anything."""

SPLITS = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test", "训练集": "train", "验证集": "valid", "测试集": "test",
}  # fmt: skip
"""What folders and files of a split are called."""


LONGEST_PATH = 1024
"""Letters of a path at most; what is longer is a text."""


def text_tables(root: Path, *, sure: bool) -> list[tuple[Path, str]]:
    """Tables of texts, each with the split that its name says: the file itself; in a folder ``train.csv`` and ``test.csv`` or the only table.

    Args:
        sure: the user says that there are texts; else empty where a table is one of images.

    Raises:
        DataError: tables of splits without one to learn from.
    """
    if root.is_file():
        return [(root, "")] if root.suffix.lower() in FILES and (sure or _of_texts(root)) else []
    for folder in (root, root / "data"):  # as repositories of data sets have it
        files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in ENDINGS] if folder.is_dir() else []
        named = [(path, split) for path in files if (split := _split_of(path))]
        if named and (sure or _of_texts(named[0][0])):
            if not any(split == "train" for _, split in named):
                raise DataError(
                    sentence("there is no table to learn from", where=str(root), got=", ".join(path.name for path, _ in named),
                             allowed="train.csv beside them", fix=f"headstart fit {named[0][0]}")
                )  # fmt: skip
            return sorted(named, key=lambda one: ("train", "valid", "test").index(one[1]))
        if len(files) == 1 and (sure or _of_texts(files[0])):
            return [(files[0], "")]
    return []


def _split_of(path: Path) -> str:
    """The split that a file is named after: ``train.csv``, ``test-00000-of-00002.parquet``; else ``""``."""
    return SPLITS.get(re.split(r"[-_.]", path.name.lower())[0], "")


def _of_texts(table: Path) -> bool:
    """Whether a table holds texts and no images."""
    if table.suffix.lower() not in ENDINGS:
        return True
    try:
        if names_images(read_frame(table, PEEK)):
            return False
    except DataError:
        pass  # one of texts may be too long a line for that reader, or have quotes that do not pair up
    return bool(text_columns(peek(table)))


def text_folder(root: Path) -> bool:
    """Whether a folder is one of texts: .txt files in two class folders or more, with or without splits above them, and no image."""
    if not root.is_dir():
        return False
    folders = {path.parent for pattern in ("*/*.txt", "*/*/*.txt") for path in root.glob(pattern)}
    return len(folders) > 1 and not any(is_image(path.name) for path in root.rglob("*"))


def path_of(item: str | Path) -> Path | None:
    """The path that a string names, if something is there."""
    if len(str(item)) > LONGEST_PATH or "\0" in str(item):
        return None
    try:
        path = Path(item)
        return path if str(item).strip() and path.exists() else None
    except OSError:
        return None
