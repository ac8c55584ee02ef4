"""From what the user named to labelled, checked, split images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.checks import inspect_dataset
from headstart.data.dataset import Dataset
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.data.splits import make_splits
from headstart.data.unlabelled import read_unlabelled
from headstart.folder import cache_root
from headstart.progress import Progress
from headstart.recipe import Recipe

MIN_TO_VALIDATE = 20
"""Training images a class, on average, from which on a validation split is held out by default."""


@dataclass
class Prepared:
    """A target ready to be learned.

    Attributes:
        dataset: scanned and split.
        info: what `inspect` says of it, for ``data.json`` and the report.
        unlabelled: images of the target without labels, none of them a test or validation image; or ``None``.
    """

    dataset: Dataset
    info: dict[str, Any]
    unlabelled: Dataset | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    def split(self, name: str) -> Dataset:
        return self.dataset.select(name)

    @property
    def learning(self) -> Dataset:
        """Training and validation images: all that may choose a source or a strategy."""
        return self.dataset.subset(np.flatnonzero(np.isin(self.dataset.splits, ["train", "valid"])))


def prepare(
    data: Any,
    *,
    path_col: str | None = None,
    text_col: str | None = None,
    label_col: str | None = None,
    split_col: str | None = None,
    group: str | None = None,
    test_fraction: float = 0.2,
    valid_fraction: float | None = None,
    labels_per_class: int | None = None,
    unlabelled: str | None = None,
    task: str = "auto",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
    on_bad: str = "skip",
    seed: int = 0,
    workers: int | None = None,
    progress: Progress,
) -> Prepared:
    """Read, verify (once; the result is cached), split and inspect.

    Args:
        data: see :func:`headstart.data.readers.read_dataset`.
        valid_fraction: share of the training images for validation; ``None``: 0.2 where that leaves the classes 20
            training images or more on average, else none at all (few labels teach more than they judge).
        labels_per_class: keep this many training images a class.
        unlabelled: see :func:`headstart.data.unlabelled.read_unlabelled`.
        task, label_delimiter, order: see :func:`headstart.data.readers.read_dataset`.
        on_bad: ``"skip"`` counts and names files that cannot be decoded, ``"fail"`` stops.

    Raises:
        DataError: the data cannot be used, in one sentence.
    """
    dataset = read_dataset(
        data, path_col=path_col, text_col=text_col, label_col=label_col, split_col=split_col, group=group, task=task,
        label_delimiter=label_delimiter, order=order,
    )  # fmt: skip
    dataset, scanned = scan(dataset, cache_dir=cache_root(), on_bad=on_bad, workers=workers, progress=progress)
    chosen = make_splits(
        dataset,
        test=test_fraction,
        valid=0.2 if valid_fraction is None else valid_fraction,
        seed=seed,
        labels_per_class=labels_per_class,
    )
    if valid_fraction is None and "valid" not in set(dataset.splits):
        learn = int(np.isin(chosen.splits, ["train", "valid"]).sum())
        if learn < MIN_TO_VALIDATE * dataset.members.shape[1] and dataset.task != "embedding":
            chosen = make_splits(dataset, test=test_fraction, valid=0.0, seed=seed, labels_per_class=labels_per_class)
    info = inspect_dataset(chosen, scanned)
    for note in [*chosen.notes, *info.get("warnings", [])]:
        progress.say(note)
    if unlabelled is None:
        return Prepared(chosen, info)
    more = read_unlabelled(
        unlabelled,
        chosen,
        path_col=path_col,
        text_col=text_col,
        cache_dir=cache_root(),
        on_bad=on_bad,
        workers=workers,
        progress=progress,
    )
    for note in more.notes:
        progress.say(note)
    info = {**info, "notes": [*info["notes"], *more.notes], "unlabelled": more.info}
    return Prepared(chosen, info, more.dataset)


def prepare_recipe(recipe: Recipe, progress: Progress) -> Prepared:
    """:func:`prepare` with what a recipe says of the data."""
    return prepare(
        recipe.data, path_col=recipe.path_col, text_col=recipe.text_col, label_col=recipe.label_col, split_col=recipe.split_col, group=recipe.group,
        test_fraction=recipe.test_fraction, valid_fraction=recipe.valid_fraction, labels_per_class=recipe.labels_per_class,
        unlabelled=recipe.unlabelled, on_bad=recipe.on_bad_sample, seed=recipe.seed, workers=recipe.workers, task=recipe.task,
        label_delimiter=recipe.label_delimiter, order=recipe.order, progress=progress,
    )  # fmt: skip
