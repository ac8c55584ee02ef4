"""Prediction sets from a model folder: cut where the kept scores say; values that cannot act are refused."""

import hashlib

import numpy as np
import pytest

from headstart.deploy.held_out import HeldOut, save_held_out, sets_of
from headstart.errors import RunError
from headstart.verbs.predict import check_options


def digests(n, salt=""):
    return np.array([hashlib.sha256(f"{salt}{i}".encode()).hexdigest()[:24] for i in range(n)])


@pytest.fixture
def folder(tmp_path):
    """Nine held-out images of class 0 with p = 0.91, 0.92, ... 0.99."""
    p = np.arange(0.91, 0.995, 0.01)
    held = HeldOut(np.stack([p, 1 - p], 1).astype(np.float32), np.zeros(9, dtype=np.int64), digests(9), "by hand")
    save_held_out(tmp_path, held)
    return tmp_path


def test_a_set_by_hand(folder):
    # the ninth smallest of 1 - p is 0.09 and rank ceil(10 * 0.9) = 9: class k is in where p_k >= 0.91
    p = np.array([[0.95, 0.05], [0.905, 0.095], [0.3, 0.7]])
    assert sets_of(folder, p, digests(3), 0.9).tolist() == [
        [True, False],
        [True, False],
        [False, True],
    ]  # none is empty
    # at 0.2 the second smallest counts: p_k >= 0.98; at 0.85 it is the ninth again
    assert sets_of(folder, np.array([[0.975, 0.025]]), digests(1), 0.2).tolist() == [[True, False]]
    wide = HeldOut(np.full((9, 2), 0.5, dtype=np.float32), np.arange(9) % 2, digests(9), "by hand")
    save_held_out(folder, wide)
    assert sets_of(folder, np.array([[0.5, 0.5], [0.6, 0.4]]), digests(2), 0.5).tolist() == [
        [True, True],
        [True, False],
    ]


def test_the_same_image_has_the_same_aps_set_wherever_it_stands(folder):
    p = np.random.default_rng(0).dirichlet(np.ones(2), 20)
    names = digests(20, "new")
    found = sets_of(folder, p, names, 0.8, "aps")
    turned = sets_of(folder, p[::-1], names[::-1], 0.8, "aps")
    assert (found == turned[::-1]).all()


@pytest.mark.parametrize(
    ("coverage", "method", "words"),
    [
        (0.95, "lac", "9 held-out images are too few.*allowed: up to 0.9"),
        (1.5, "lac", "coverage is a share.*got 1.5"),
        (0.5, "raps", "unknown kind of prediction sets.*lac, aps"),
    ],
)
def test_what_cannot_act_is_refused(folder, coverage, method, words):
    with pytest.raises(RunError, match=words):
        sets_of(folder, np.array([[0.5, 0.5]]), digests(1), coverage, method)


def test_a_run_without_held_out_scores_says_what_to_type(tmp_path):
    with pytest.raises(RunError, match="this run kept none.*--valid-fraction 0.2"):
        sets_of(tmp_path, np.array([[0.5, 0.5]]), digests(1), 0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((None, "aps", None, 1), "--sets chooses.*--coverage 0.9"),
        ((None, "lac", 1.2, 1), "abstain-below is a confidence: got 1.2"),
        ((0.9, "lac", None, 4), "with tta their coverage would not hold"),
    ],
)
def test_options_that_contradict_each_other_are_refused(values, words):
    with pytest.raises(RunError, match=words):
        check_options(*values)
