"""Splits: stratified, whole groups, copies together, few labels nested, the test set never moved by them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.dataset import Dataset
from headstart.data.splits import make_splits
from headstart.errors import DataError


def dataset(labels, groups=None, digests=None, splits=None) -> Dataset:
    labels = np.asarray(labels)
    n = len(labels)
    return Dataset(
        inputs=[str(i) for i in range(n)], labels=labels, classes=tuple(f"c{k}" for k in range(labels.max() + 1)),
        splits=np.full(n, "", dtype="U5") if splits is None else np.asarray(splits, dtype="U5"),
        groups=groups, digests=np.array([f"d{i}" for i in range(n)]) if digests is None else np.asarray(digests),
    )  # fmt: skip


def by_split(found, split):
    return {found.inputs[i] for i in np.flatnonzero(found.splits == split)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=6), st.integers(0, 5), st.sampled_from([0.0, 0.2, 0.4]))
def test_every_class_is_learned_and_shares_are_kept(counts, seed, valid):
    data = dataset(np.repeat(np.arange(len(counts)), counts))
    found = make_splits(data, test=0.25, valid=valid, seed=seed)
    for label, n in enumerate(counts):
        mine = found.labels == label
        assert (found.splits[mine] == "train").sum() >= 1
        assert (found.splits[mine] == "test").sum() == min(max(1, round(0.25 * n)), n - 1)
    assert make_splits(data, test=0.25, valid=valid, seed=seed).splits.tolist() == found.splits.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(4, 12), st.integers(0, 5))
def test_ask17_no_group_stands_in_two_splits(classes, n_groups, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups * classes), 4)
    labels = groups % classes
    order = rng.permutation(len(groups))
    found = make_splits(dataset(labels[order], groups=groups[order].astype(str)), seed=seed)
    for group in set(found.groups):
        assert len(set(found.splits[found.groups == group])) == 1, group
    assert set(found.splits) >= {"train", "test"}


def test_exact_copies_stay_together():
    digests = [f"d{i // 2}" for i in range(40)]
    found = make_splits(dataset(np.arange(40) // 2 % 2, digests=digests))
    for digest in set(digests):
        assert len(set(found.splits[found.digests == digest])) == 1


def test_few_labels_are_nested_and_leave_the_test_set_alone():
    data = dataset(np.repeat(np.arange(3), 60))
    whole = make_splits(data, valid=0, seed=3)
    five, ten = (make_splits(data, valid=0, seed=3, labels_per_class=k) for k in (5, 10))
    assert by_split(five, "test") == by_split(ten, "test") == by_split(whole, "test")
    assert by_split(five, "train") < by_split(ten, "train") < by_split(whole, "train")
    assert np.bincount(five.labels[five.splits == "train"]).tolist() == [5, 5, 5]


def test_given_splits_are_kept():
    splits = ["train"] * 20 + ["test"] * 10
    found = make_splits(dataset(np.tile([0, 1], 15), splits=splits))
    assert by_split(found, "test") == {str(i) for i in range(20, 30)}
    assert len(by_split(found, "valid")) == 4


@pytest.mark.parametrize(
    ("labels", "words"),
    [([0, 0, 0], "only one class.*'c0'"), ([0, 0, 0, 1], "a class has only one image.*'c1'.*one image")],
)
def test_too_little_is_said(labels, words):
    with pytest.raises(DataError, match=words):
        make_splits(dataset(labels))


def test_a_class_whose_images_are_all_one_group_is_said():
    groups = np.array(["g"] * 4 + ["h", "i", "j", "k"])
    found = make_splits(dataset([0] * 4 + [1] * 4, groups=groups))
    assert set(found.splits[:4]) == {"train"}, (
        "a class of one group is learned, since it cannot be both learned and tested"
    )
    with pytest.raises(DataError, match="a class has no training image.*'c0'"):
        make_splits(dataset([0, 0, 1, 1], splits=["test", "test", "train", "train"]))
