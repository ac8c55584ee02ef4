"""The texts of one domain: labelled ones as `fit` reads them, others as `predict` does."""

from __future__ import annotations

from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.images import is_image
from headstart.data.readers import read_dataset
from headstart.data.saved_datasets import is_saved
from headstart.data.text_files import text_tables
from headstart.data.text_new import read_new_texts
from headstart.errors import DataError


def holds_texts(path: Path, *, sure: bool = False) -> bool:
    """Whether :func:`read_texts` reads it: a table with a column of sentences, or one a split; a data set that Hugging Face's library saved; a
    folder of .txt files and no image.

    Args:
        sure: the user names the column of the texts, so that a table holds some whatever it looks like.
    """
    if not path.exists():
        return False
    if is_saved(path) or text_tables(path, sure=sure):
        return True
    if not path.is_dir():
        return False
    names = [file.name for file in path.rglob("*")]
    return any(name.endswith(".txt") for name in names) and not any(map(is_image, names))


def read_texts(path: Path, label: str | None = None, *, text_col: str | None = None, needs_label: bool) -> Dataset:
    """The texts of a path with a class each, or without labels where there are none.

    Args:
        label, text_col: columns of a table, as for :func:`headstart.data.readers.read_dataset`; guessed if left out.
        needs_label: else a path without labels has ``labels=None``.

    Raises:
        DataError: the texts cannot be read, or have no labels where they are needed.
    """
    try:
        return read_dataset(str(path), text_col=text_col, label_col=label, task="classification")
    except DataError:
        if needs_label:
            raise
    return read_new_texts([path], text_col=text_col, literal=False)
