"""Train, valid and test: stratified, whole groups, exact copies together; few labels nested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.data.dataset import ImageDataset
from headstart.errors import DataError, sentence


def make_splits(
    dataset: ImageDataset, *, test: float = 0.2, valid: float = 0.2, seed: int = 0, labels_per_class: int | None = None
) -> ImageDataset:
    """Keep the splits that are given, make those that are missing.

    Stratified by class. Images of one group, and exact copies (equal digests), stay in one split. The test split depends
    on ``test`` and ``seed`` alone. ``labels_per_class = k`` keeps k training images a class; those of a smaller k are
    among those of a larger one; ``valid`` is then taken from the k.

    Args:
        test, valid: shares in [0, 1); ``valid`` is a share of what is left for training. 0 makes no such split.
        seed: >= 0.
        labels_per_class: k >= 1, or ``None`` for all.

    Returns:
        The data set with ``splits`` set; with ``labels_per_class`` the other training images are gone.

    Raises:
        DataError: one class only; a class with one image; a class without a training image.
    """
    assert dataset.labels is not None
    if len(dataset.classes) < 2:
        raise DataError(
            sentence(
                "only one class",
                where=dataset.root,
                got=", ".join(dataset.classes),
                allowed="two classes or more",
                fix="one folder for each class",
            )
        )
    few = [dataset.classes[i] for i in np.flatnonzero(dataset.counts < 2)]
    if few:
        raise DataError(
            sentence(
                "a class has only one image that can be read, which cannot be both learned and tested"
                if dataset.counts[dataset.classes.index(few[0])]
                else "a class has no image that can be read",
                where=dataset.root,
                got=", ".join(few[:5]),
                allowed="two images or more; one image is not enough",
                fix="add images, or leave the class out",
            )
        )
    splits = dataset.splits.astype("U5").copy()
    rng = np.random.default_rng(seed)
    units = _units(dataset)
    given = set(splits)
    free = np.isin(splits, ["", "train"]) if "train" in given else splits == ""
    if "train" in given:
        splits[splits == ""] = "train"
    if ("test" not in given and "valid" not in given) or ("test" not in given and test > 0):
        _carve(dataset, splits, units, np.flatnonzero(free), "test", test, rng)
    splits[splits == ""] = "train"
    if labels_per_class is not None:
        keep = _few(dataset, splits, units, labels_per_class, np.random.default_rng([seed, 1]))
        dataset, splits, units = dataset.subset(keep), splits[keep], units[keep]
    if "valid" not in given and valid > 0:
        _carve(
            dataset, splits, units, np.flatnonzero(splits == "train"), "valid", valid, np.random.default_rng([seed, 2])
        )
    assert dataset.labels is not None
    left = np.bincount(dataset.labels[splits == "train"], minlength=len(dataset.classes))
    if (left == 0).any():
        bare = dataset.classes[int(np.argmin(left))]
        raise DataError(
            sentence(
                "a class has no training image",
                where=dataset.root,
                got=bare,
                fix="more images, smaller --test-fraction, or another --group",
            )
        )
    return replace(dataset, splits=splits)


def _units(dataset: ImageDataset) -> np.ndarray:
    """int (n,): images with the same number must stay together (one group, or exact copies)."""
    n = len(dataset)
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for column in (dataset.groups, dataset.digests):
        if column is None:
            continue
        first: dict[str, int] = {}
        for i, key in enumerate(column):
            if key in first:
                parent[root(i)] = root(first[key])
            else:
                first[key] = i
    return np.array([root(i) for i in range(n)])


def _carve(
    dataset: ImageDataset,
    splits: np.ndarray,
    units: np.ndarray,
    pool: np.ndarray,
    name: str,
    share: float,
    rng: np.random.Generator,
) -> None:
    """Move whole units of ``pool`` into split ``name`` until each class has given its share, keeping one image a class at least."""
    if share <= 0 or not len(pool):
        return
    assert dataset.labels is not None
    k = len(dataset.classes)
    have = np.bincount(dataset.labels[pool], minlength=k)
    want = np.where(have >= 2, np.maximum(1, np.round(share * have)), 0).astype(int)
    want = np.minimum(want, have - 1).clip(0)
    taken = np.zeros(k, dtype=int)
    order = rng.permutation(len(pool))
    by_unit: dict[int, list[int]] = {}
    for i in pool[order]:
        by_unit.setdefault(int(units[i]), []).append(int(i))
    for members in by_unit.values():
        counts = np.bincount(dataset.labels[members], minlength=k)
        touched = counts > 0
        # a unit goes over while one of its classes still lacks images, none would overshoot by more than it lacks, and some stay
        lack = want - taken
        if (
            (lack[touched] > 0).any()
            and (counts[touched] <= 2 * np.maximum(lack[touched], 0)).all()
            and (taken + counts < have)[touched].all()
        ):
            taken += counts
            splits[members] = name


def _few(dataset: ImageDataset, splits: np.ndarray, units: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Indices to keep: all that is not for training, and k training images a class, nested in k."""
    assert dataset.labels is not None
    keep = splits != "train"
    for label in range(len(dataset.classes)):
        mine = np.flatnonzero((splits == "train") & (dataset.labels == label))
        keep[rng.permutation(mine)[:k]] = True
    return np.flatnonzero(keep)
