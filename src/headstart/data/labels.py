"""What the labels are of: classes, several labels an image, a quantity, ranks, identities, nested classes; guessed and said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from headstart.data.dataset import SEQUENCES, Dataset
from headstart.errors import DataError, near, sentence

TASKS = (
    "classification", "multilabel", "regression", "ordinal", "embedding", "hierarchical", "token_classification", "question_answering",
    *SEQUENCES,
)  # fmt: skip
DELIMITERS = ("|", ";", ",")
LEVEL = "/"
"""Between the names of a nested class: ``animal/dog``."""


@dataclass(frozen=True)
class Labels:
    """Attributes:
    values: as :attr:`headstart.data.dataset.Dataset.labels` of ``task``.
    classes: names of what is predicted.
    task: one of :data:`TASKS`.
    notes: what was guessed, for the user.
    """

    values: np.ndarray
    classes: tuple[str, ...]
    task: str
    notes: tuple[str, ...] = ()


def one_column(
    cells: Sequence[str], *, task: str, name: str, where: str, delimiter: str | None = None, order: Sequence[str] | None = None
) -> Labels:  # fmt: skip
    """The labels of one column of text.

    Args:
        cells: one text an image; ``""`` is an image without any label, which only multilabel has.
        task: one of :data:`TASKS`, or ``"auto"``: multilabel where cells are lists (or ``delimiter`` is given), regression
            where they are numbers of which some have a fractional part, else classification.
        name: of the column, for messages.

    Raises:
        DataError: cells that are no labels of this task.
    """
    cells = [cell.strip() for cell in cells]
    notes: list[str] = []
    if task == "auto" and delimiter is None and _fractional(cells):
        task = "regression"
        notes.append(
            f"Guessed --task regression: the column {name!r} holds numbers with a fractional part; --task classification says otherwise."
        )
    if task in ("auto", "multilabel"):
        found = delimiter or _delimiter(cells, sure=task == "auto")
        if task == "auto" and found is not None:
            task = "multilabel"
            if delimiter is None:
                notes.append(
                    f"Guessed --task multilabel: the cells of {name!r} are lists separated by {found!r}; --task classification says otherwise."
                )
        elif task == "multilabel" and found is not None and delimiter is None:
            notes.append(f"Guessed --label-delimiter {found!r}, which separates the labels in the column {name!r}.")
    if task == "auto":
        task = "classification"
    if task == "multilabel":
        lists = [
            [p.strip() for p in cell.split(found) if p.strip()] if found else [cell] * bool(cell) for cell in cells
        ]
        return _several(lists, notes, where)
    empty = [i for i, cell in enumerate(cells) if not cell]
    if empty:
        raise DataError(sentence("a row has no label", where=where, got=f"row {empty[0] + 2} of {name!r}"))
    if task == "regression":
        return Labels(_numbers(cells, name, where), (name,), task, tuple(notes))
    classes = _ordered(sorted(set(cells)), order, where) if task == "ordinal" else tuple(sorted(set(cells)))
    index = {c: i for i, c in enumerate(classes)}
    found_labels = Labels(np.array([index[c] for c in cells], dtype=np.int64), classes, task, tuple(notes))
    if task == "hierarchical":
        check_levels(classes, where)
    return found_labels


def one_hot(columns: Mapping[str, Sequence[str]], *, task: str, where: str) -> Labels:
    """Labels of several columns of 0 and 1 (also true/false, yes/no); an empty cell is 0.

    With ``task="auto"`` each row of exactly one 1 means that the columns are the classes of one label; anything else is multilabel.

    Raises:
        DataError: another value.
    """
    words = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0, "": 0}
    table = np.zeros((len(next(iter(columns.values()))), len(columns)), dtype=np.float32)
    for k, (name, cells) in enumerate(columns.items()):
        for i, cell in enumerate(cells):
            value = words.get(str(cell).strip().lower())
            if value is None:
                raise DataError(
                    sentence("a label column holds something else than 0 and 1", where=f"column {name!r} of {where}", got=str(cell), allowed="0 or 1")
                )  # fmt: skip
            table[i, k] = value
    names = tuple(columns)
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    if task == "auto" and (table.sum(1) == 1).all():
        note = f"Each row has a 1 in exactly one of the columns {shown}: read as the classes of one label; --task multilabel says otherwise."
        return Labels(table.argmax(1).astype(np.int64), names, "classification", (note,))
    note = f"{len(names)} labels, one a column of 0 and 1 ({shown}); an image may have several or none (--task multilabel)."
    return Labels(table, names, "multilabel", (note,))


def levels_of_columns(columns: Mapping[str, Sequence[str]], where: str) -> Labels:
    """Nested classes from several columns, the coarsest first."""
    rows = list(zip(*columns.values(), strict=True))
    empty = [i for i, row in enumerate(rows) if not all(str(cell).strip() for cell in row)]
    if empty:
        raise DataError(sentence("a row lacks a level of its class", where=where, got=f"row {empty[0] + 2}"))
    return one_column(
        [LEVEL.join(str(cell).strip() for cell in row) for row in rows], task="hierarchical", name=", ".join(columns), where=where
    )  # fmt: skip


def of_arrays(labels: np.ndarray, *, task: str, order: Sequence[str] | None = None) -> Labels:
    """Labels in memory: (n,) of anything that sorts, floats for a quantity; (n, K) of 0 and 1 for several labels an image."""
    cells = labels if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=object)
    if cells.ndim == 1 and (missing := np.flatnonzero(pd.isna(cells))).size:
        raise DataError(
            sentence(f"{missing.size} of {len(cells)} labels are missing", got=f"{cells[missing[0]]} at {missing[0]}", fix="leave these examples out")
        )  # fmt: skip
    labels = np.asarray(labels)
    if labels.ndim == 2:
        if task not in ("auto", "multilabel") or not np.isin(labels, [0, 1]).all():
            raise DataError(
                sentence("labels of two dimensions are those of multilabel: 0 or 1 a label", got=f"shape {labels.shape}, task {task}")
            )  # fmt: skip
        return Labels(labels.astype(np.float32), tuple(f"label_{k}" for k in range(labels.shape[1])), "multilabel")
    if task == "regression" or (task == "auto" and labels.dtype.kind == "f" and _fractional(list(map(str, labels)))):
        note = "Guessed --task regression: the labels are floats."
        return Labels(labels.astype(np.float64), ("value",), "regression", (note,) if task == "auto" else ())
    names, index = np.unique(labels, return_inverse=True)
    texts = [str(v) for v in names.tolist()]
    if task == "multilabel":
        raise DataError(
            sentence("multilabel needs an array of 0 and 1", got=f"shape {labels.shape}", allowed="(n, labels)")
        )
    if task == "ordinal":
        classes = _ordered(texts, order, "the labels")
        place = {c: i for i, c in enumerate(classes)}
        index = np.array([place[texts[i]] for i in index])
        texts = list(classes)
    if task == "hierarchical":
        check_levels(tuple(texts), "the labels")
    return Labels(index.astype(np.int64), tuple(texts), "classification" if task == "auto" else task)


def of_folders(
    names: Sequence[str], paths: Sequence[str], *, task: str, where: str, order: Sequence[str] | None = None
) -> Labels:
    """Labels from folders: ``names`` are the outermost class folders, ``paths`` all of them (``animal/dog``).

    Raises:
        DataError: a task that folders cannot state.
    """
    if task in ("multilabel", "regression"):
        raise DataError(
            sentence(f"class folders cannot state the labels of --task {task}", where=where, fix="a table (CSV) of paths and labels")
        )  # fmt: skip
    nested = len(set(paths)) > len(set(names))
    clear = nested and _clearly_nested(paths)
    note: tuple[str, ...] = ()
    if task == "auto" and clear:
        task = "hierarchical"
        note = (
            f"Guessed --task hierarchical: class folders lie in folders ({sorted(set(paths))[0]!r}); --task classification takes the outer ones alone.",
        )
    elif task == "hierarchical" and not nested:
        raise DataError(
            sentence("the class folders are not nested, so there is no hierarchy to learn", where=where, allowed="DATA/animal/dog/image.jpg", fix="--task classification")
        )  # fmt: skip
    elif task == "auto":
        task = "classification"
    found = one_column(
        list(paths if task == "hierarchical" else names), task=task, name="class", where=where, order=order
    )
    return replace(found, notes=(*note, *found.notes))


def align(dataset: Dataset, classes: tuple[str, ...], where: str, fix: str) -> Dataset:
    """The same images with labels as positions in ``classes``: those of a model. Names count, never positions.

    Raises:
        DataError: a name that ``classes`` lacks.
    """
    assert dataset.labels is not None
    if dataset.task == "regression" or dataset.task == "embedding":
        return dataset
    if dataset.task == "question_answering":  # a question without an answer is one for any model
        return replace(dataset, classes=classes)
    unknown = [name for name in dataset.classes if name not in classes]
    if unknown:
        raise DataError(
            sentence("classes that the model does not know", where=where, got=", ".join(unknown[:5]), allowed=list(classes[:20]), fix=fix)
        )  # fmt: skip
    if dataset.annotated:
        return replace(dataset, classes=classes)
    place = np.array([classes.index(name) for name in dataset.classes], dtype=np.int64)
    if dataset.task == "multilabel":
        labels = np.zeros((len(dataset), len(classes)), dtype=np.float32)
        labels[:, place] = dataset.labels
    else:
        labels = place[dataset.labels]
    return replace(dataset, labels=labels, classes=classes)


def check_levels(classes: tuple[str, ...], where: str) -> None:
    """Refuse names of unequal depth, or of one level only.

    Raises:
        DataError: see above.
    """
    depths = Counter(name.count(LEVEL) + 1 for name in classes)
    if set(depths) == {1}:
        raise DataError(
            sentence("the classes have one level, so there is no hierarchy to learn", where=where, got=classes[0], allowed="animal/dog", fix="--task classification")
        )  # fmt: skip
    if len(depths) > 1:
        usual = depths.most_common(1)[0][0]
        odd = next(name for name in classes if name.count(LEVEL) + 1 != usual)
        raise DataError(
            sentence("the classes are nested to unequal depths", where=where, got=odd, allowed=f"{usual} levels, as most have")
        )  # fmt: skip


def holds_lists(cells: Sequence[str]) -> bool:
    """Whether the cells of a column are clearly lists of labels, so that an empty one is an image with none of them."""
    return not _fractional(cells) and _delimiter(cells, sure=True) is not None


def _several(lists: list[list[str]], notes: list[str], where: str) -> Labels:
    names = sorted({name for row in lists for name in row})
    if not names:
        raise DataError(sentence("no image has a label", where=where))
    index = {name: k for k, name in enumerate(names)}
    table = np.zeros((len(lists), len(names)), dtype=np.float32)
    for i, row in enumerate(lists):
        for name in row:
            table[i, index[name]] = 1
    none = int((table.sum(1) == 0).sum())
    if none:
        notes = [*notes, f"{none} images have none of the labels; they are kept as examples of none."]
    return Labels(table, tuple(names), "multilabel", tuple(notes))


def _delimiter(cells: Sequence[str], *, sure: bool) -> str | None:
    """What separates labels in lists. With ``sure``, only where half of the names in lists come in several different cells."""
    for mark in DELIMITERS:
        lists = {cell for cell in cells if mark in cell}
        if not lists:
            continue
        in_lists = {p.strip() for cell in lists for p in cell.split(mark) if p.strip()}
        where = Counter(p for cell in set(cells) for p in {p.strip() for p in cell.split(mark)} if p in in_lists)
        if not sure or sum(n > 1 for n in where.values()) * 2 >= len(where):
            return mark
    return None


def _fractional(cells: Sequence[str]) -> bool:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    return bool(np.isfinite(values).all()) and any(v != round(v) for v in values)


def _numbers(cells: Sequence[str], name: str, where: str) -> np.ndarray:
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            values[i] = float(cell)
        except ValueError:
            values[i] = np.nan
        if not np.isfinite(values[i]):
            raise DataError(
                sentence("a label is no finite number", where=f"column {name!r} of {where}", got=cell, fix="--task classification")
            )  # fmt: skip
    if values.min() == values.max():
        raise DataError(sentence("all labels are the same number", where=where, got=cells[0]))
    return values


def _ordered(names: Sequence[str], order: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """The ranks from low to high: as given, or by number where all names are numbers."""
    if order is not None:
        unknown, missing = [n for n in names if n not in order], [n for n in order if n not in names]
        if unknown or missing:
            odd = (unknown or missing)[0]
            close = near(odd, names if missing else order, 1)
            raise DataError(
                sentence(
                    "--order names other ranks than the labels", where=where, got=odd, allowed=list(names), fix=close[0] if close else None,
                )
            )  # fmt: skip
        if len(set(order)) < len(order):
            raise DataError(sentence("--order names a rank twice", got=", ".join(order)))
        return tuple(order)
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        raise DataError(
            sentence("the ranks are no numbers, so their order must be said", where=where, got=", ".join(names[:6]), fix=f"--order {','.join(names[:6])}, but from low to high")
        ) from None  # fmt: skip


def _clearly_nested(paths: Sequence[str]) -> bool:
    """All classes equally deep, half of the outer folders or more with two classes inside, no inner name in two outer folders."""
    classes = set(paths)
    if len({p.count(LEVEL) for p in classes}) != 1:
        return False
    outer = Counter(p.split(LEVEL, 1)[0] for p in classes)
    inner = Counter(p.split(LEVEL, 1)[1] for p in classes)
    sizes = Counter(paths)
    return (
        len(outer) > 1
        and sum(n > 1 for n in outer.values()) * 2 >= len(outer)
        and max(inner.values()) == 1
        and min(sizes.values()) > 1
        and not all(part.isdigit() for part in inner)
    )
