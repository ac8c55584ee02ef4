"""From tables, saved data sets and folders of texts to one data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.encodings import NAMES, read_file
from headstart.data.images import is_image
from headstart.data.labels import of_arrays, of_folders
from headstart.data.saved_datasets import is_saved, open_saved
from headstart.data.tables import labels_of
from headstart.data.text_columns import WORDS, chosen, words_in
from headstart.data.text_files import SPLITS, path_of, text_folder, text_tables
from headstart.data.text_preprocessing import Text
from headstart.data.text_table import open_table
from headstart.data.wording import said_again, worded
from headstart.errors import DataError, sentence


def read_texts_below(
    root: Path,
    *,
    path_col: str | None,
    text_col: str | None,
    label_col: str | None,
    split_col: str | None,
    group: str | None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
) -> Dataset | None:
    """The labelled texts of a path; ``None`` where there are none, so that it may hold images. Arguments as for
    :func:`headstart.data.readers.read_dataset`.

    Raises:
        DataError: columns are named of folders, or the texts cannot be read.
    """
    saved = is_saved(root)
    files = [] if saved or path_col is not None else text_tables(root, sure=text_col is not None)
    if saved or files:
        return read_text_table(
            files, root, text_col=text_col, label_col=label_col, split_col=split_col, group=group, task=task,
            label_delimiter=label_delimiter, order=order,
        )  # fmt: skip
    if path_col is not None or not text_folder(root):
        return None
    columns = {"text-col": text_col, "label-col": label_col, "split-col": split_col, "label-delimiter": label_delimiter}
    refuse_columns({name: value for name, value in columns.items() if value is not None}, root)
    return read_text_folder(root, task=task, order=order)


def refuse_columns(given: dict[str, str], root: Path) -> None:
    """Raises:
    DataError: an option about columns is given where there are only folders.
    """
    for name, value in given.items():
        raise DataError(
            sentence(
                f"--{name} is about the columns of a table, but these data are folders", where=str(root), got=value
            )
        )


def read_text_table(
    files: Sequence[tuple[Path, str]],
    root: Path,
    *,
    text_col: str | None,
    label_col: str | None,
    split_col: str | None,
    group: str | None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
) -> Dataset:
    """Read tables of labelled texts, or a data set saved by Hugging Face's library; arguments as for
    :func:`headstart.data.readers.read_dataset`.

    Args:
        files: (path, split) of each table; none for a saved data set.
        root: what the user named.

    Raises:
        DataError: a column is missing (those found are listed), several could be the texts, a file cannot be read.
    """
    table = open_table(files, root) if files else open_saved(root)
    columns, guessed = chosen(table.head(), root, text_col, label_col)
    frame = table.frame(columns)
    frame[columns] = (
        frame[columns].astype(object).where(frame[columns].notna(), "")
    )  # an empty text is named by the scan
    shown = " and ".join(map(repr, columns))
    try:
        found = labels_of(
            frame, root, set(columns), label_col=label_col, split_col=split_col, group=group, task=task, label_delimiter=label_delimiter,
            order=order, guessed=f"text = {shown}" if guessed or label_col is None else "", flag="--text-col",
        )  # fmt: skip
    except DataError as error:
        raise said_again(error, "text") from None
    if words_in(columns[0]) >= WORDS and not set(found.labels.classes).isdisjoint(frame.columns):
        raise DataError(
            sentence("the first line is one of texts, not of names of columns", where=str(root), got=columns[0][:60], fix="a line such as text,label above it")
        )  # fmt: skip
    rows = found.frame.index.to_numpy()
    return Dataset(
        inputs=table.texts(columns, rows), labels=found.labels.values, classes=found.labels.classes, splits=found.splits,
        groups=found.groups, root=str(root), layout="table" if files else "saved", notes=(*table.notes, *found.notes, *worded(found.labels.notes, "text")),
        task=found.labels.task, modality="text", names=table.row_names(rows),
    )  # fmt: skip


def read_text_folder(root: Path, *, task: str = "auto", order: Sequence[str] | None = None) -> Dataset:
    """Folders of .txt files, one folder a class and one file a text, with or without ``train``, ``valid`` and ``test`` above them.

    Raises:
        DataError: files in no class folder.
    """
    files = sorted(
        path for path in root.rglob("*.txt") if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    parts = [path.relative_to(root).parts for path in files]
    split_level = all(p[0].lower() in SPLITS for p in parts if len(p) > 1) and any(len(p) > 2 for p in parts)
    depth = 3 if split_level else 2
    inside = [i for i, p in enumerate(parts) if len(p) >= depth]
    if not inside:
        raise DataError(
            sentence("the texts are not in class folders", where=str(root), got=f"{len(files)} .txt files", allowed="DATA/CLASS/1.txt",
                     fix="put each class into a folder of its name")
        )  # fmt: skip
    notes = []
    if len(inside) < len(files):
        notes.append(f"{len(files) - len(inside)} .txt files outside of class folders were left out.")
    names = [parts[i][depth - 2] for i in inside]
    labels = of_folders(
        names, ["/".join(parts[i][depth - 2 : -1]) for i in inside], task=task, where=str(root), order=order
    )
    read = [read_file(files[i]) for i in inside]
    notes += _encodings([name for _, name in read])
    return Dataset(
        inputs=[text for text, _ in read], labels=labels.values, classes=labels.classes,
        splits=np.array([SPLITS[parts[i][0].lower()] if split_level else "" for i in inside], dtype="U5"), root=str(root), layout="folders",
        notes=(*labels.notes, *notes), task=labels.task, modality="text", names=np.array(["/".join(parts[i]) for i in inside]),
    )  # fmt: skip


def _encodings(names: Sequence[str]) -> list[str]:
    """What to say of files that are not UTF-8."""
    counts = Counter(NAMES[name] for name in names if NAMES[name] != "UTF-8")
    return [f"{n} files are read as {name}." for name, n in counts.most_common()]


def read_text_arrays(texts: Sequence[Any], labels: Any, *, task: str, order: Sequence[str] | None) -> Dataset:
    """Texts in memory, or pairs of them, and their labels.

    Raises:
        DataError: unequal lengths, no text, or something that is neither a text nor a pair.
    """
    found = of_arrays(labels, task=task, order=order)
    if len(texts) != len(found.values):
        raise DataError(
            sentence("texts and labels have unequal lengths", got=f"{len(texts)} texts, {len(found.values)} labels")
        )
    return Dataset(
        inputs=texts_in_memory(texts), labels=found.values, classes=found.classes, splits=np.full(len(texts), "", dtype="U5"), layout="arrays",
        notes=found.notes, task=found.task, modality="text",
    )  # fmt: skip


def texts_in_memory(texts: Sequence[Any]) -> list[Text]:
    """Strings or pairs of strings, checked.

    Raises:
        DataError: something else, or texts and pairs together.
    """
    found: list[Text] = []
    for i, text in enumerate(texts):
        if isinstance(text, str):
            found.append(str(text))
        elif isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(part, str) for part in text):
            found.append((str(text[0]), str(text[1])))
        else:
            raise DataError(
                sentence(
                    "neither a text nor a pair of texts",
                    where=f"input {i}",
                    got=str(text)[:40],
                    allowed="str or (str, str)",
                )
            )
    if found and len({isinstance(text, str) for text in found}) > 1:
        raise DataError(sentence("some inputs are texts and some are pairs of them", allowed="one of the two"))
    return found


def are_texts(inputs: Sequence[Any]) -> bool:
    """Whether inputs in memory are texts: strings that name neither an image nor a file, or pairs of strings."""
    first = list(inputs[:20])
    if first and all(
        isinstance(x, (tuple, list)) and len(x) == 2 and all(isinstance(part, str) for part in x) for x in first
    ):
        return True
    return any(isinstance(x, str) and not is_image(x) and path_of(x) is None for x in first)
