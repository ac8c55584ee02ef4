"""Data sets that Hugging Face's library saved on the disk (``save_to_disk``): Arrow files, read without that library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.data.text_column import ArrowFile
from headstart.data.text_table import STREAM, Part, TextTable
from headstart.errors import DataError, sentence

SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}


def is_saved(root: Path) -> bool:
    """Whether a folder is a saved data set, or a dictionary of them by split."""
    return (root / "dataset_dict.json").is_file() or (
        (root / "state.json").is_file() and (root / "dataset_info.json").is_file()
    )


def open_saved(root: Path) -> TextTable:
    """The rows of a saved data set; its splits by their names, classes by theirs.

    Raises:
        DataError: a file is missing or broken, a split is of an unknown name, or the data are images or sounds.
    """
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json")["splits"]
    else:
        splits = [""]
    found, names, notes = [], {}, []
    for split in splits:
        if split and split not in SPLITS:
            notes.append(f"The split {split!r} of {root.name} is left out: {', '.join(SPLITS)} are read.")
            continue
        folder = root / split
        features = _json(folder / "dataset_info.json").get("features") or {}
        for column, feature in features.items():
            if feature.get("_type") in ("Image", "Audio", "Video"):
                raise DataError(
                    sentence(f"the saved data set holds {feature['_type'].lower()}s, of which only texts are read from this format",
                             where=str(folder), got=f"column {column!r}", fix="a folder of class folders, or a table of paths")
                )  # fmt: skip
            if (classes := _classes(feature)) is not None:
                names[column] = classes
        for entry in _json(folder / "state.json")["_data_files"]:
            found.append((folder / entry["filename"], SPLITS.get(split, "")))
    if not found:
        raise DataError(
            sentence(
                "the saved data set has no split to learn from",
                where=str(root),
                got=", ".join(splits),
                allowed=list(SPLITS),
            )
        )
    large = sum(path.stat().st_size for path, _ in found if path.is_file()) > STREAM
    parts = []
    for path, split in found:
        try:
            file = ArrowFile(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(
                sentence("a file of the saved data set cannot be read", where=str(path), got=str(error).splitlines()[0])
            ) from None
        parts.append(Part(path, split, file=file) if large else Part(path, split, frame=file.table.to_pandas()))
    if large:
        notes.append(f"{root.name} is larger than {STREAM >> 20} MB: its texts stay on the disk.")
    return TextTable(root, tuple(parts), names, tuple(notes))


def _classes(feature: dict[str, Any]) -> list[str] | None:
    """The names of classes whose numbers a column holds, also in lists."""
    inner = feature.get("feature")
    found = inner if isinstance(inner, dict) else feature
    return list(found["names"]) if found.get("_type") == "ClassLabel" else None


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            sentence("a file of the saved data set cannot be read", where=str(path), got=str(error))
        ) from None
