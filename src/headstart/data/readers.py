"""From what people have to one data set: class folders, zip files of them, tables of paths and labels, arrays."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from headstart.data.annotated_reader import read_annotated
from headstart.data.dataset import SEQUENCES, Dataset, Reference
from headstart.data.images import INSIDE, is_image
from headstart.data.kinds import kind_of_inputs
from headstart.data.labels import LEVEL, TASKS, of_arrays, of_folders
from headstart.data.partners import read_partners
from headstart.data.sequence_reader import read_sequences
from headstart.data.tables import ENDINGS as TABLES
from headstart.data.tables import read_table
from headstart.data.text_files import FILES, SPLITS
from headstart.data.text_reader import are_texts, read_text_arrays, read_texts_below, refuse_columns
from headstart.errors import DataError, near, sentence

IGNORED = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


def read_dataset(
    data: Any,
    *,
    path_col: str | None = None,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    group: str | None = None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
) -> Dataset:
    """Read labelled images by reference, nothing is decoded; or labelled texts.

    Args:
        data: a folder of class folders, with or without ``train``, ``valid`` (or ``val``, ``validation``, ``dev``) and
            ``test`` above them; a .zip of the same; a CSV, TSV, JSONL or Parquet table of paths and labels, or a folder with
            ``metadata.csv`` or ``metadata.jsonl``; a table of texts, or a folder with ``train.csv`` (and ``valid.csv``, ``test.csv``); a
            folder of .txt files, one folder a class; a data set that Hugging Face's library saved; a SQuAD .json, columns of tokens and tags,
            JSON of texts and spans, or a folder with one such file a split; or ``(inputs, labels)``.
        path_col, text_col, label_col, split_col: columns of a table; guessed where not given, and the guess is said. A table with a column
            of sentences and none of paths holds texts; two with a comma between are pairs. ``label_col`` may
            name several, separated by commas: columns of 0 and 1, or the levels of nested classes.
        group: a column of the table; or a regular expression whose first group, found in the file name, names what must
            stay together; or ``"auto"``, which guesses from the stems of the file names and says so.
        task: what the labels are of, one of :data:`headstart.data.labels.TASKS`; ``"auto"`` guesses and says so.
        label_delimiter: what separates several labels in one cell of a table.
        order: names of the ranks from low to high, for ``task="ordinal"``; by number where it is not given.

    Raises:
        DataError: in one sentence.
    """
    if task not in ("auto", *TASKS):
        close = near(task, TASKS, 1)
        fix = f"--task {close[0]}" if close else None
        raise DataError(sentence("unknown task", got=task, allowed=["auto", *TASKS], fix=fix))
    if task in SEQUENCES:
        return read_sequences(
            data, task=task, text_col=text_col, label_col=label_col, split_col=split_col, group=group,
            idle={"path_col": path_col, "label_delimiter": label_delimiter, "order": order},
        )  # fmt: skip
    if task == "embedding" and text_col is not None and "," in text_col and label_col is None:
        idle = {"path_col": path_col, "label_delimiter": label_delimiter, "order": order}
        return read_partners(data, text_col=text_col, split_col=split_col, group=group, idle=idle)
    if isinstance(data, (tuple, list)) and len(data) == 2 and not isinstance(data[0], str):
        read = read_text_arrays if are_texts(data[0]) else _arrays
        return read(*data, task=task, order=order)
    if not isinstance(data, (str, Path)):
        fix = "(data['text'], data['label'])" if hasattr(data, "columns") else None
        raise DataError(sentence("data is a path or (inputs, labels)", got=type(data).__name__, fix=fix))
    root = Path(data)
    if not root.exists():
        raise DataError(_missing(root))
    of_tables = {"path-col": path_col, "text-col": text_col, "label-col": label_col, "split-col": split_col, "group": group, "label-delimiter": label_delimiter}  # fmt: skip
    annotated = read_annotated(root, task, SPLITS, of_tables)
    if annotated is not None:
        return annotated
    named = {
        "path_col": path_col,
        "text_col": text_col,
        "label_col": label_col,
        "split_col": split_col,
        "label_delimiter": label_delimiter,
    }
    texts = read_texts_below(root, **named, group=group, task=task, order=order)
    if texts is not None:
        # of a table, the group is a column and read already
        return _one_label_map(_grouped(texts, group) if group is not None and texts.layout == "folders" else texts)
    if text_col is not None:
        raise DataError(
            sentence("--text-col is about the columns of a table, and there is none", where=str(root), got=text_col)
        )
    table = _table_in(root)
    if table:
        dataset = read_table(
            table, path_col=path_col, label_col=label_col, split_col=split_col, group=group, task=task,
            label_delimiter=label_delimiter, order=order,
        )  # fmt: skip
    else:
        refuse_columns({name.replace("_", "-"): value for name, value in named.items() if value is not None}, root)
        dataset = _folders(root, task, order)
        dataset = _hinted(dataset) if group is None else _grouped(dataset, group)
    return _one_label_map(dataset)


def _missing(root: Path) -> str:
    from headstart.errors import near

    halves = [part.strip() for part in str(root).split(",")]
    if len(halves) == 2 and all(Path(half).is_file() for half in halves):
        return sentence("two files of lines are pairs of texts, and what the second is of the first is not said", got=str(root), fix="--task translation")  # fmt: skip
    parent = root.parent if root.parent.is_dir() else None
    close = near(root.name, [p.name for p in parent.iterdir()], 1) if parent else []
    return sentence(
        "no such folder or file",
        got=str(root),
        fix=str(parent / close[0]) if parent and close else "headstart inspect DATA",
    )


def _table_in(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() in TABLES else None
    for name in ("metadata.csv", "metadata.jsonl", "metadata.parquet"):
        if (root / name).is_file():
            return root / name
    return None


def _list(root: Path) -> tuple[list[tuple[str, tuple[str, ...]]], int]:
    """All images below a folder or in a zip file as (reference, parts of the relative path), and how many files are none."""
    found, others = [], 0
    if root.is_file():
        if root.suffix.lower() != ".zip" or not zipfile.is_zipfile(root):
            allowed = ["a folder of class folders", ".zip of images", *sorted(FILES), "SQuAD .json", ".conll"]
            what = "not a folder, a .zip or a table, nor texts in a layout that is known"
            raise DataError(sentence(what, got=str(root), allowed=allowed, fix=_instead(root)))
        with zipfile.ZipFile(root) as opened:
            for info in opened.infolist():
                if info.is_dir():
                    continue
                parts = PurePosixPath(_zip_name(info)).parts
                if any(p.startswith(".") or p.lower() in IGNORED for p in parts):
                    continue
                if is_image(parts[-1]):
                    found.append((f"{root}{INSIDE}{info.filename}", parts))
                else:
                    others += 1
    else:
        stack = [root]
        while stack:
            folder = stack.pop()
            for path in sorted(folder.iterdir()):
                if path.name.startswith(".") or path.name.lower() in IGNORED:
                    continue
                _check_name(path.name, root)
                if path.is_dir():
                    stack.append(path)
                elif is_image(path.name):
                    found.append((str(path), path.relative_to(root).parts))
                else:
                    others += 1
    found.sort(key=lambda item: item[1])
    return found, others


def _instead(root: Path) -> str:
    """What to do with data that are of no kind that is read."""
    if root.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers"):
        return "save the sheet as CSV in UTF-8"
    if root.suffix.lower() == ".txt":
        return "a table of texts and labels, or one folder a class with a .txt file for each text"
    if root.is_file():  # an archive without an image
        return "unpack it: of archives, images alone are read"
    if any(root.glob("*.txt")) or any(root.glob("*/*.txt")):
        return "two folders or more of .txt files, one a class"
    return "a folder with one folder of images, or of .txt files, a class"


def _check_name(name: str, root: Path) -> None:
    """Refuse a name that is no UTF-8 before it reaches a cache, a table or a report, none of which could hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            sentence(
                "a file or folder name is not in UTF-8, as some tools leave it when they unpack an archive made on Windows",
                where=str(root),
                got=os.fsencode(name).decode("gbk", "replace"),
                fix=f"the .zip itself, which is read as it is; or: convmv -f gbk -t utf8 -r --notest {root}",
            )
        ) from None


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; archives made on Chinese Windows carry GBK names without saying so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("gbk") if not info.filename.isascii() else info.filename
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


def _folders(root: Path, task: str = "auto", order: Sequence[str] | None = None) -> Dataset:
    found, others = _list(root)
    if not found:
        raise DataError(
            sentence(
                "there are no images and no texts", where=str(root), got=f"{others} other files", fix=_instead(root)
            )
        )
    while (
        all(len(parts) > 2 for _, parts in found)
        and len({parts[0] for _, parts in found}) == 1
        and found[0][1][0].lower() not in SPLITS
    ):
        found = [(reference, parts[1:]) for reference, parts in found]  # one folder around all the classes
    split_level = all(parts[0].lower() in SPLITS for _, parts in found if len(parts) > 1) and any(
        len(p) > 2 for _, p in found
    )
    images, names, paths, splits, loose = [], [], [], [], 0
    for reference, parts in found:
        inner = parts[1:] if split_level else parts
        if len(inner) < 2:
            loose += 1
            continue
        images.append(reference)
        names.append(inner[0])
        paths.append(LEVEL.join(inner[:-1]))
        splits.append(SPLITS[parts[0].lower()] if split_level else "")
    if not images:
        raise DataError(
            sentence(
                "the images are not in class folders",
                where=str(root),
                got=f"{loose} images directly in it",
                allowed="DATA/CLASS/image.jpg",
                fix="put each class into a folder of its name",
            )
        )
    notes = []
    if others:
        notes.append(f"{others} files that are no images were left out.")
    if loose:
        notes.append(f"{loose} images outside of class folders were left out.")
    labels = of_folders(names, paths, task=task, where=str(root), order=order)
    return Dataset(
        inputs=images, labels=labels.values, classes=labels.classes, splits=np.array(splits, dtype="U5"), root=str(root),
        layout="zip" if root.is_file() else "folders", notes=(*labels.notes, *notes), task=labels.task,
    )  # fmt: skip


def _arrays(images: Any, labels: Any, *, task: str, order: Sequence[str] | None) -> Dataset:
    found = of_arrays(labels, task=task, order=order)
    if len(images) != len(found.values):
        raise DataError(
            sentence("images and labels have unequal lengths", got=f"{len(images)} images, {len(found.values)} labels")
        )
    if not len(images):
        raise DataError(sentence("there are no images and no texts", got="0 inputs"))
    inputs = [str(x) if isinstance(x, Path) else x for x in images]
    modality = kind_of_inputs(inputs)
    if modality == "text":
        inputs = [str(x) if isinstance(x, str) else (str(x[0]), str(x[1])) for x in inputs]
    return Dataset(
        inputs=inputs, labels=found.values, classes=found.classes, splits=np.full(len(images), "", dtype="U5"), layout="arrays",
        notes=found.notes, task=found.task, modality=modality,
    )  # fmt: skip


def _names(dataset: Dataset) -> list[str]:
    called = dataset.inputs if dataset.names is None else dataset.names
    return [re.split(r"[/\\]", reference)[-1] for reference in called]


def _guess(dataset: Dataset) -> list[str] | None:
    """What the file names say before their last number (``lot7`` of ``lot7-02.png``), where that makes two groups a class or
    more and some group has several images; else ``None``."""
    stems = [Path(name).stem for name in _names(dataset)]
    # a name that is nothing but a number says nothing: its image stands alone
    groups = [re.sub(r"[-_ .]*\d+$", "", stem) or f"{stem} ({i})" for i, stem in enumerate(stems)]
    sizes = Counter(groups)
    return None if max(sizes.values()) < 2 or len(sizes) < 2 * len(dataset.classes) else groups


def _hinted(dataset: Dataset) -> Dataset:
    """A note where the file names look like groups that a split should not tear apart."""
    groups = _guess(dataset)
    if groups is None or len(groups) < 2 * len(set(groups)) or dataset.task == "embedding":  # kept whole by identity
        return dataset
    note = (
        f"The file names look like {len(set(groups))} groups (such as {groups[0]!r}); pictures of one patient, lot or video in two splits "
        "make the test score flatter: --group auto keeps them together."
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _grouped(dataset: Dataset, group: str) -> Dataset:
    """Groups from the file names."""
    names = _names(dataset)
    notes = dataset.notes
    if group == "auto":
        guess = _guess(dataset)
        if guess is None:
            return replace(
                dataset, notes=(*notes, "No groups could be guessed from the file names; every image stands alone.")
            )
        groups = guess
        notes = (
            *notes,
            f"Guessed {len(set(groups))} groups from the file names (such as {groups[0]!r}); give --group PATTERN if that is wrong.",
        )
    else:
        try:
            pattern = re.compile(group)
        except re.error as error:
            raise DataError(sentence("--group is no regular expression", got=group, allowed=str(error))) from None
        if not pattern.groups:
            raise DataError(sentence("--group has no group in brackets", got=group, fix=f"--group '({group})'"))
        hits = [pattern.search(name) for name in names]
        lost = [name for name, hit in zip(names, hits, strict=True) if not hit]
        if lost:
            raise DataError(
                sentence(f"--group does not match {len(lost)} of {len(names)} file names", got=lost[0], allowed=group)
            )
        groups = [hit.group(1) for hit in hits if hit]
        notes = (*notes, f"{len(set(groups))} groups, named by {group!r} in the file names, are kept together.")
    return replace(dataset, groups=np.array(groups, dtype=str), notes=notes)


def _one_label_map(dataset: Dataset) -> Dataset:
    """The classes are those of the training split; a class that only another split has is an error, a missing one a note."""
    splits = set(dataset.splits)
    if splits <= {""} or "train" not in splits or dataset.labels is None or dataset.task in ("regression", "embedding"):
        return dataset
    shown = dataset.members[:, : len(dataset.classes)]

    def names(split: str) -> set[str]:
        return {dataset.classes[i] for i in np.flatnonzero(shown[dataset.splits == split].any(0))}

    train = names("train")
    notes = list(dataset.notes)
    for split in ("valid", "test"):
        here = names(split)
        unknown = sorted(here - train)
        if unknown:
            raise DataError(
                sentence(
                    f"the {split} split has classes that the train split lacks",
                    where=dataset.root,
                    got=", ".join(unknown[:5]),
                    allowed=sorted(train)[:20],
                )
            )
        if here and train - here:
            notes.append(f"The {split} split has no {dataset.modality} of {', '.join(sorted(train - here)[:5])}.")
    return replace(dataset, notes=tuple(notes))


def read_images(inputs: Sequence[Reference]) -> Dataset:
    """Unlabelled images for prediction: files, folders (all images below), zip files, arrays, PIL pictures.

    Raises:
        DataError: a path is missing, or there is no image in it.
    """
    images: list[Reference] = []
    for item in inputs:
        if isinstance(item, Path):
            item = str(item)
        if not isinstance(item, str):
            images.append(item)
            continue
        if INSIDE in item:
            images.append(item)
            continue
        path = Path(item)
        if not path.exists():
            raise DataError(_missing(path))
        if path.is_dir() or path.suffix.lower() == ".zip":
            found, _ = _list(path)
            if not found:
                raise DataError(sentence("there are no images", where=item))
            images += [reference for reference, _ in found]
        else:
            images.append(item)
    if not images:
        raise DataError(sentence("nothing to predict", got="no input", fix="headstart predict RUN photo.jpg"))
    return Dataset(inputs=images, labels=None, classes=(), splits=np.full(len(images), "", dtype="U5"))
