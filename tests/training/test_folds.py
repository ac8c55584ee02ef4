"""Which fold holds out which row."""

from __future__ import annotations

import numpy as np

from headstart.training.folds import assign_folds


def test_every_fold_has_the_same_share_of_each_class() -> None:
    y = np.repeat([0, 1, 2], [50, 25, 10])
    fold = assign_folds(y, folds=5)
    for k, size in enumerate([50, 25, 10]):
        assert np.bincount(fold[y == k], minlength=5).tolist() == [size // 5] * 5


def test_the_rarest_class_sets_the_number_of_folds() -> None:
    assert assign_folds(np.repeat([0, 1], [50, 3]), folds=5).max() == 2
    assert assign_folds(np.repeat([0, 1], [2, 2]), folds=5).max() == 1


def test_a_class_with_one_example_always_trains() -> None:
    y = np.array([0] * 6 + [1] * 6 + [2])
    fold = assign_folds(y)
    assert fold[-1] == -1 and (fold[:-1] >= 0).all() and fold.max() == 4


def test_nothing_is_held_out_with_one_example_a_class() -> None:
    assert (assign_folds(np.arange(5)) == -1).all()


def test_a_group_stays_in_one_fold_and_classes_stay_even() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 400)
    y = (groups % 4 + (rng.random(400) < 0.2)) % 4
    fold = assign_folds(y, groups=groups.astype(str))
    assert all(len(set(fold[groups == g])) == 1 for g in range(40))
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    for k in range(4):
        assert np.bincount(fold[y == k], minlength=5).min() >= 10


def test_one_group_cannot_be_held_out() -> None:
    assert (assign_folds(np.array([0, 1, 0, 1]), groups=np.array(["a"] * 4)) == -1).all()


def test_the_seed_decides() -> None:
    y = np.repeat([0, 1], 20)
    assert (assign_folds(y, seed=1) == assign_folds(y, seed=1)).all()
    assert (assign_folds(y, seed=1) != assign_folds(y, seed=2)).any()
