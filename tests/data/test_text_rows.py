"""Texts by rows, and two views of unlabelled ones."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.data.rows import TextRows, rows_of
from headstart.data.text_augment import text_augmentation
from headstart.data.text_preprocessing import TextPreprocessing, padded
from headstart.data.text_variation import variation
from headstart.data.view_pairs import Views
from headstart.errors import DataError

_spec = importlib.util.spec_from_file_location("tiny_texts", Path(__file__).parents[1] / "tiny_texts.py")
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)


@pytest.fixture(scope="module")
def prep(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tiny.save_bert(tmp_path_factory.mktemp("bert"))
    return TextPreprocessing(AutoTokenizer.from_pretrained(folder, local_files_only=True), 24)


def data(n=13, seed=0):
    texts, _ = tiny.reviews(n, seed)
    return Dataset(texts, None, (), np.full(n, ""), modality="text", names=np.array([f"row {i}" for i in range(n)]))


def same(a, b):
    """Encoded texts that say the same, however far they are filled up."""
    both = padded([a, b])
    return torch.equal(both[: len(a)], both[len(a) :])


def test_rows_are_those_of_the_texts_in_the_order_that_is_asked_for(prep):
    given = data()
    rows = rows_of(given, prep)
    assert isinstance(rows, TextRows) and rows.shape == (3, 24) and len(rows) == 13
    order = np.array([5, 0, 12, 7, 7])
    found = list(rows.stream(order, 2, 0, vary=False))
    assert [len(part) for part in found] == [2, 2, 1]
    assert same(padded(found), prep([given.inputs[i] for i in order]))
    some = rows[np.array([3, 1])]
    assert some.dataset.inputs == [given.inputs[3], given.inputs[1]]
    other = rows_of(data(4, 1), prep)
    both = some.join([other])
    assert both.dataset.inputs == [*some.dataset.inputs, *other.dataset.inputs] and both.dataset.modality == "text"
    assert list(both.dataset.names[:2]) == ["row 3", "row 1"]
    with pytest.raises(DataError, match="different shapes"):
        rows.join([rows_of(data(4, 1), prep.resized(12))])


def test_rows_vary_only_where_asked_and_the_same_way_for_the_same_seed(prep):
    rows = rows_of(data(), prep, variation(text_augmentation({"delete": 0.4, "swap": 0.4})))
    order = np.arange(13)

    def passed(seed, vary):
        return padded(list(rows.stream(order, 5, seed, vary=vary)))

    assert same(passed(0, False), prep(rows.dataset.inputs)) and same(passed(1, True), passed(1, True))
    assert not same(passed(1, True), passed(2, True)) and not same(passed(1, True), passed(1, False))


def test_the_weak_view_of_rows_is_the_plain_text_where_nothing_varies_it(prep):
    rows = rows_of(data(), prep)
    weak, strong = (padded(parts) for parts in zip(*rows.views(np.arange(13), 5, 0), strict=True))
    assert same(weak, prep(rows.dataset.inputs)) and weak.shape[0] == strong.shape[0] == 13
    differ = [not same(weak[i : i + 1], strong[i : i + 1]) for i in range(13)]
    assert sum(differ) > 9
    again = padded([part for _, part in rows.views(np.arange(13), 5, 0)])
    assert same(strong, again)


def test_views_of_unlabelled_texts_depend_on_their_place_alone(prep):
    light = variation(text_augmentation("standard"))
    stream = Views(data(7), prep, light, seed=3)
    weak, strong = stream(0, 20)
    later = Views(data(7), prep, light, seed=3)(12, 8)
    assert strong is not None and later[1] is not None
    assert same(weak[12:], later[0]) and same(strong[12:], later[1])
    assert sorted(index for turn, index in stream.places(0, 21) if turn == 1) == list(range(7))
    alone, none = Views(data(7), prep, None, strong=False, seed=3)(0, 7)
    assert none is None and same(alone, prep([data(7).inputs[i] for _, i in stream.places(0, 7)]))


def test_the_strong_view_needs_no_weak_one(prep):
    weak, strong = Views(data(1), prep, None, seed=0)(0, 6)
    assert all(torch.equal(weak[0], view) for view in weak)
    assert strong is not None and len({view.numpy().tobytes() for view in strong}) > 3
