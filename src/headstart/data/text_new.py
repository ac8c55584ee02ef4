"""Texts without labels: those to predict, and those beside a labelled target."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.encodings import of_bytes, read_file
from headstart.data.saved_datasets import is_saved, open_saved
from headstart.data.text_column import TextColumn
from headstart.data.text_columns import chosen
from headstart.data.text_files import FILES, LONGEST_PATH, path_of, text_tables
from headstart.data.text_preprocessing import Text
from headstart.data.text_reader import texts_in_memory
from headstart.data.text_table import open_table
from headstart.errors import DataError, near, sentence

STDIN = "-"
ENDS_OF_FILES = {*FILES, ".txt", ".conll"}
"""What one word ends in that is meant as a file."""


def read_new_texts(
    inputs: Sequence[Any], *, text_col: str | None = None, pairs: bool | None = None, literal: bool = True
) -> Dataset:
    """Texts without labels.

    Args:
        inputs: each is a path of a table (one text a row), of a .txt file (one text a line, blank lines left out), of a folder (one text a
            .txt file below it, or tables as for :func:`headstart.data.readers.read_dataset`), or of a data set that Hugging Face's library
            saved; ``"-"``, the standard input (one text a line); any other string, which is a text itself; or a pair (str, str).
        text_col: column of the tables, or the two of pairs with a comma between; guessed if left out.
        pairs: what the model reads: pairs of texts (``True``), single ones (``False``), or not known (``None``).
        literal: whether a string that is no path is a text.

    Raises:
        DataError: no text; a path that does not exist; pairs where single texts are read, or the other way round.
    """
    texts: list[Sequence[Text]] = []
    names: list[Any] = []
    notes: list[str] = []
    for item in inputs:
        some, called, said = _one(item, text_col, literal)
        texts.append(some)
        names.append(called)
        notes += said
    n = sum(map(len, texts))
    if not n:
        raise DataError(
            sentence(
                "there are no texts",
                got=", ".join(map(str, inputs))[:80] or "no input",
                fix='headstart predict RUN "a text"',
            )
        )
    one = len(texts) == 1
    whole: Sequence[Text] = texts[0] if one else texts_in_memory([text for some in texts for text in some])
    called = (
        names[0]
        if one
        else np.array([f"row {name}" if isinstance(name, np.integer) else str(name) for part in names for name in part])
    )
    dataset = Dataset(
        whole, None, (), np.full(n, "", dtype="U5"), root=str(inputs[0]) if one and isinstance(whole, TextColumn) else "", modality="text",
        names=called, notes=tuple(notes),
    )  # fmt: skip
    given = not isinstance(whole[0], str)
    if pairs is not None and given != pairs:
        words = ("pairs of texts", "single texts")
        raise DataError(
            sentence(f"the model reads {words[not pairs]}", got=words[not given], fix="--text-col A,B" if pairs else "--text-col COLUMN")
        )  # fmt: skip
    return dataset


def _one(item: Any, text_col: str | None, literal: bool) -> tuple[Sequence[Text], np.ndarray, list[str]]:
    """The texts of one input, what they are called, and what to say."""
    if isinstance(item, (tuple, list)):
        return texts_in_memory([item]), np.array(["pair"]), []
    if not isinstance(item, (str, Path)):
        raise DataError(sentence("neither a text nor a path", got=type(item).__name__, allowed="str, (str, str), Path"))
    if item == STDIN:
        data = sys.stdin.buffer.read()
        some, called = _lines(data.decode(of_bytes(data)), "stdin")
        return some, called, [f"The standard input is read as one text a line: {len(some)} texts."]
    path = path_of(item)
    if path is None:
        if isinstance(item, Path) or not literal or _like_a_path(item):
            raise DataError(_missing(Path(item)))
        return [str(item)], np.array([str(item) if len(item) <= 40 else f"{item[:37]}..."]), []
    tables = text_tables(path, sure=text_col is not None or path.is_file())
    if is_saved(path) or tables:
        table = open_table(tables, path) if tables else open_saved(path)
        columns, guessed = chosen(table.head(), path, text_col, None)
        rows = np.arange(len(table))
        said = (
            [f"Guessed column of {path.name}: text = {' and '.join(columns)!r}; --text-col says otherwise."]
            if guessed
            else []
        )
        return table.texts(columns, rows), table.row_names(rows), [*table.notes, *said]
    if path.is_dir():
        files = sorted(path.rglob("*.txt"))
        if not files:
            raise DataError(sentence("there are no texts", where=str(path), got="no .txt file and no table of texts"))
        return (
            [read_file(file)[0] for file in files],
            np.array([file.relative_to(path).as_posix() for file in files]),
            [],
        )
    if path.suffix.lower() != ".txt":
        raise DataError(
            sentence("not a file of texts", got=str(path), allowed=[*sorted(FILES), ".txt (one text a line)", "a folder of .txt files"])
        )  # fmt: skip
    whole, name = read_file(path)[0], path.name
    some, called = _lines(whole, name)
    return some, called, [f"{name} is read as one text a line: {len(some)} texts (of a folder, each .txt file is one)."]


def _lines(text: str, name: str) -> tuple[list[Text], np.ndarray]:
    found = [(i, line.strip("\r")) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [line for _, line in found], np.array([f"{name} line {i}" for i, _ in found], dtype=str)


def _like_a_path(item: str) -> bool:
    """Whether a string that names nothing was meant as a path: one word with the ending of a file that is read."""
    return len(item.split()) == 1 and len(item) <= LONGEST_PATH and Path(item).suffix.lower() in ENDS_OF_FILES


def _missing(path: Path) -> str:
    close = near(path.name, [other.name for other in path.parent.iterdir()], 1) if path.parent.is_dir() else []
    return sentence("no such folder or file", got=str(path), fix=str(path.parent / close[0]) if close else None)
