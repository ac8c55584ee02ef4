"""Train, valid and test: stratified, whole groups, exact copies together; few labels nested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data.dataset import SEQUENCES, Dataset
from headstart.errors import DataError, near, sentence


def make_splits(
    dataset: Dataset, *, test: float = 0.2, valid: float = 0.2, seed: int = 0, labels_per_class: int | None = None
) -> Dataset:
    """Keep the splits that are given, make those that are missing.

    Stratified by class. Images of one group, and exact copies (equal digests; of texts also near ones, ``Dataset.copies``), stay in one split. The test split depends
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
    if dataset.task == "embedding":
        return identity_splits(dataset, test=test, valid=valid, seed=seed, labels_per_class=labels_per_class)
    _check_enough(dataset)
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
        keep = _few(dataset, splits, labels_per_class, np.random.default_rng([seed, 1]))
        dataset, splits, units = dataset.subset(keep), splits[keep], units[keep]
    if "valid" not in given and valid > 0:
        _carve(
            dataset, splits, units, np.flatnonzero(splits == "train"), "valid", valid, np.random.default_rng([seed, 2])
        )
    left = dataset.members[splits == "train"].sum(0)
    if dataset.task != "regression" and not dataset.annotated and (left[: len(dataset.classes)] == 0).any():
        bare = dataset.classes[int(np.argmin(left[: len(dataset.classes)]))]
        raise DataError(
            sentence(
                f"a class has no training {dataset.modality}",
                where=dataset.root,
                got=bare,
                fix=f"more {dataset.modality}s, smaller --test-fraction, or another --group",
            )
        )
    return replace(dataset, splits=splits)


def identity_splits(
    dataset: Dataset, *, test: float, valid: float, seed: int, labels_per_class: int | None = None
) -> Dataset:
    """Whole identities a split, so that the test is of people (things) never seen: open-set verification.

    Splits that the data name are kept, and must not share an identity. The classes of the result begin with those of the
    training split: a class that stands behind them is one that no training image has.

    Raises:
        DataError: too few identities with two images; an identity in two splits.
    """
    assert dataset.labels is not None
    if dataset.groups is not None:
        raise DataError(
            sentence("identities are kept whole by themselves, so --group would do nothing", where=dataset.root, fix="leave --group out")
        )  # fmt: skip
    splits = dataset.splits.astype("U5").copy()
    given = set(splits) - {""}
    rng = np.random.default_rng(seed)
    several = np.flatnonzero(dataset.counts >= 2)
    if "train" in given:
        splits[splits == ""] = "train"
    free = np.array(
        [k for k in rng.permutation(several) if set(splits[dataset.labels == k]) <= {"", "train"}], dtype=int
    )
    if "test" not in given:
        number = max(2, round(test * len(free)))
        if len(free) - number < 2:
            raise DataError(
                sentence(
                    f"too few identities with two {dataset.modality}s or more: two at least are needed to learn from and two to test on",
                    where=dataset.root, got=len(free), allowed=">= 4",
                )
            )  # fmt: skip
        splits[np.isin(dataset.labels, free[:number])] = "test"
        free = free[number:]
    splits[splits == ""] = "train"
    if "valid" not in given and valid > 0 and len(free) >= 5:
        splits[np.isin(dataset.labels, free[: max(2, round(valid * len(free)))])] = "valid"
    for split in ("valid", "test"):
        both = set(dataset.labels[splits == split]) & set(dataset.labels[splits == "train"])
        if both:
            raise DataError(
                sentence(
                    f"identities stand in the train and in the {split} split, so that the test would not be of unseen ones",
                    where=dataset.root, got=", ".join(dataset.classes[i] for i in sorted(both)[:5]), fix="--task classification",
                )
            )  # fmt: skip
    if labels_per_class is not None:
        keep = _few(dataset, splits, labels_per_class, np.random.default_rng([seed, 1]))
        dataset, splits = dataset.subset(keep), splits[keep]
    assert dataset.labels is not None
    learned = sorted(set(dataset.labels[splits == "train"]))
    order = [*learned, *sorted(set(range(len(dataset.classes))) - set(learned))]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return replace(
        dataset, splits=splits, labels=place[dataset.labels], classes=tuple(dataset.classes[i] for i in order)
    )


def _check_enough(dataset: Dataset) -> None:
    """Refuse what cannot be both learned and tested.

    Raises:
        DataError: one class only; a class with one image; a label that every image has.
    """
    names, counts, one = dataset.classes, dataset.counts, dataset.modality
    if dataset.task in ("regression", *SEQUENCES):
        if len(dataset) < 10:
            what = "pairs to learn" if dataset.task in SEQUENCES else f"{one}s to learn a quantity"
            raise DataError(sentence(f"too few {what} from", where=dataset.root, got=len(dataset), allowed=">= 10"))
        return
    if dataset.annotated:
        if len(dataset) < 5:
            raise DataError(
                sentence("too few annotated texts to learn from", where=dataset.root, got=len(dataset), allowed=">= 5")
            )
        return
    if dataset.task == "multilabel" and (counts == len(dataset)).any():
        raise DataError(
            sentence(
                f"every {one} has the label, so there is nothing to tell apart", where=dataset.root,
                got=names[int(counts.argmax())], fix="leave the label out",
            )
        )  # fmt: skip
    if len(names) < 2 and dataset.task != "multilabel":
        raise DataError(
            sentence(
                "only one class",
                where=dataset.root,
                got=", ".join(names),
                allowed="two classes or more",
                fix="one folder for each class" if one == "image" else "--label-col of a column with two or more",
            )
        )
    few = [names[i] for i in np.flatnonzero(counts < 2)]
    if like_ids(len(few), len(dataset)):
        raise DataError(
            sentence(f"nearly every {one} has a label of its own, as ids have", where=dataset.root, got=", ".join(few[:3]),
                     allowed="classes of several", fix="--label-col COLUMN, or --task regression for a quantity")
        )  # fmt: skip
    if few:
        close = near(few[0], [name for name, n in zip(names, counts, strict=True) if n >= 2], 1)
        meant = f" (or is it {close[0]!r}, misspelt?)" if close and one == "text" else ""
        raise DataError(
            sentence(
                f"a class has only one {one} that can be read, which cannot be both learned and tested"
                if counts[names.index(few[0])]
                else f"a class has no {one} that can be read",
                where=dataset.root,
                got=", ".join(few[:5]),
                allowed=f"two {one}s or more; one {one} is not enough",
                fix=f"add {one}s, or leave the class out{meant}",
            )
        )


def like_ids(alone: int, n: int) -> bool:
    """Whether labels that one example alone has are so many that the column can be none of classes."""
    return alone > 10 and 2 * alone > n


def _units(dataset: Dataset) -> np.ndarray:
    """int (n,): images with the same number must stay together (one group, or exact copies)."""
    n = len(dataset)
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for column in (dataset.groups, dataset.digests, dataset.copies):
        if column is None:
            continue
        first: dict[Any, int] = {}
        for i, key in enumerate(column):
            if key in first:
                parent[root(i)] = root(first[key])
            else:
                first[key] = i
    return np.array([root(i) for i in range(n)])


def _carve(
    dataset: Dataset,
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
    members = dataset.members
    have = members[pool].sum(0)
    want = np.where(have >= 2, np.maximum(1, np.round(share * have)), 0).astype(int)
    want = np.minimum(want, have - 1).clip(0)
    taken = np.zeros(len(have), dtype=int)
    order = rng.permutation(len(pool))
    by_unit: dict[int, list[int]] = {}
    for i in pool[order]:
        by_unit.setdefault(int(units[i]), []).append(int(i))
    turns = list(by_unit.values())
    if dataset.several:
        # the rarest label first: what it leaves over can still be evened out by the frequent ones (Sechidis et al. 2011)
        turns.sort(key=lambda unit: have[members[unit].any(0)].min())
    for unit in turns:
        counts = members[unit].sum(0)
        touched = counts > 0
        lack = want - taken
        if dataset.several:  # while its rarest label lacks images
            wanted = bool(touched.any()) and lack[np.where(touched, have, len(pool) + 1).argmin()] > 0
        else:  # while one of its classes lacks images, and none would overshoot by more than it lacks
            wanted = (lack[touched] > 0).any() and (counts[touched] <= 2 * np.maximum(lack[touched], 0)).all()
        if wanted and (taken + counts < have)[touched].all():  # some stay
            taken += counts
            splits[unit] = name


def _few(dataset: Dataset, splits: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Indices to keep: all that is not for training, and k training images a class, nested in k."""
    keep = splits != "train"
    for member in dataset.members.T:
        mine = np.flatnonzero((splits == "train") & member)
        keep[rng.permutation(mine)[:k]] = True
    return np.flatnonzero(keep)
