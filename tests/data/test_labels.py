"""Labels are read as what they are: guessed and said, or asked for; wrong ones are refused in words."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data.labels import align, of_arrays, one_column, one_hot
from headstart.data.readers import read_dataset
from headstart.data.splits import make_splits
from headstart.errors import DataError


def column(cells, task="auto", **options):
    return one_column(cells, task=task, name="label", where="t.csv", **options)


def test_lists_are_guessed_to_be_several_labels():
    found = column(["a|b", "b", "a|b|c", "c|a", "b"])
    assert found.task == "multilabel" and found.classes == ("a", "b", "c")
    assert found.values.tolist() == [[1, 1, 0], [0, 1, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]]
    assert "Guessed --task multilabel" in found.notes[0] and "'|'" in found.notes[0]
    spaced = column(["sun; sea", "sea", "", "sun"], "multilabel")
    assert spaced.classes == ("sea", "sun") and spaced.values.sum(1).tolist() == [2, 1, 0, 1]
    assert "none of the labels" in spaced.notes[-1]


def test_commas_in_the_names_of_classes_are_no_lists():
    found = column(["Acer, red", "Quercus, white", "Acer, red", "Tilia, small"])
    assert found.task == "classification" and len(found.classes) == 3


def test_floats_are_a_quantity_and_whole_numbers_are_classes():
    found = column(["1.5", "2", "3.25", "7"])
    assert found.task == "regression" and found.values.tolist() == [1.5, 2, 3.25, 7] and found.classes == ("label",)
    assert "Guessed --task regression" in found.notes[0]
    assert column(["1", "2", "3"]).task == "classification"
    assert column(["1.0", "2.0", "1.0"]).task == "classification"
    assert column(["1", "2", "3"], "regression").task == "regression"
    with pytest.raises(DataError, match=r"no finite number.*'old'"):
        column(["1.5", "old"], "regression")


def test_ranks_need_an_order():
    assert column(["10", "9", "100"], "ordinal").classes == ("9", "10", "100")
    with pytest.raises(DataError, match="--order high,low, but from low to high"):
        column(["low", "high"], "ordinal")
    found = column(["low", "high", "mid"], "ordinal", order=["low", "mid", "high"])
    assert found.values.tolist() == [0, 2, 1]
    with pytest.raises(DataError, match="--order names other ranks.*mid"):
        column(["low", "high", "mid"], "ordinal", order=["low", "midd", "high"])


def test_columns_of_zeros_and_ones():
    found = one_hot({"cat": ["1", "0", "1"], "dog": ["1", "1", ""]}, task="auto", where="t.csv")
    assert found.task == "multilabel" and found.values.tolist() == [[1, 1], [0, 1], [1, 0]]
    single = one_hot({"cat": ["1", "0"], "dog": ["0", "1"]}, task="auto", where="t.csv")
    assert single.task == "classification" and single.values.tolist() == [0, 1] and "exactly one" in single.notes[0]
    with pytest.raises(DataError, match=r"column 'dog'.*'2'"):
        one_hot({"cat": ["1"], "dog": ["2"]}, task="auto", where="t.csv")


def test_arrays_say_what_they_are():
    assert of_arrays(np.array([[1, 0], [1, 1]]), task="auto").task == "multilabel"
    assert of_arrays(np.array([0.5, 1.0]), task="auto").task == "regression"
    assert of_arrays(np.array([0.0, 1.0]), task="auto").task == "classification"
    assert of_arrays(np.array([3, 1, 10]), task="ordinal").classes == ("1", "3", "10")
    with pytest.raises(DataError, match="0 or 1"):
        of_arrays(np.array([[1, 2], [1, 1]]), task="auto")


@pytest.fixture
def pictures(tmp_path):
    for i in range(24):
        Image.new("RGB", (8, 8), (i * 9, 0, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_a_table_of_one_hot_columns(pictures):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(24)], "split": ["train"] * 24})
    for name in ("red", "round", "old"):
        frame[name] = rng.integers(0, 2, 24)
    frame.to_csv(pictures / "t.csv", index=False)
    found = read_dataset(str(pictures / "t.csv"))
    assert found.task == "multilabel" and found.classes == ("red", "round", "old")
    np.testing.assert_array_equal(found.labels, frame[["red", "round", "old"]])
    some = read_dataset(str(pictures / "t.csv"), label_col="old,red")
    assert some.classes == ("old", "red") and some.labels.shape == (24, 2)
    with pytest.raises(DataError, match="no column 'odl'.*old"):
        read_dataset(str(pictures / "t.csv"), label_col="odl,red")


def test_a_table_of_lists_from_json_lines(pictures):
    frame = pd.DataFrame({"path": ["0.png", "1.png", "2.png"], "labels": [["a", "b"], ["b"], []]})
    frame.to_json(pictures / "t.jsonl", orient="records", lines=True)
    found = read_dataset(str(pictures / "t.jsonl"), task="multilabel")
    assert found.labels.tolist() == [[1, 1], [0, 1], [0, 0]]


def test_levels_in_columns_and_in_folders(pictures, tmp_path):
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(4)], "kind": list("aabb"), "name": list("xyzz")})
    frame.to_csv(pictures / "t.csv", index=False)
    found = read_dataset(str(pictures / "t.csv"), task="hierarchical", label_col="kind,name")
    assert found.classes == ("a/x", "a/y", "b/z") and found.labels.tolist() == [0, 1, 2, 2]
    root = tmp_path / "nested"
    for name in ("animal/cat", "animal/dog", "plant/oak", "plant/rose"):
        (root / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 8)).save(root / name / f"{i}.png")
    found = read_dataset(str(root))
    assert found.task == "hierarchical" and found.classes == ("animal/cat", "animal/dog", "plant/oak", "plant/rose")
    assert "Guessed --task hierarchical" in found.notes[0]
    assert read_dataset(str(root), task="classification").classes == ("animal", "plant")
    with pytest.raises(DataError, match="a table"):
        read_dataset(str(root), task="regression")
    Image.new("RGB", (8, 8)).save(root / "animal" / "odd.png")
    with pytest.raises(DataError, match="unequal depths"):
        read_dataset(str(root), task="hierarchical")
    assert read_dataset(str(root)).task == "classification"


def test_batches_in_class_folders_are_no_hierarchy(tmp_path):
    for name in ("cat/day1", "cat/day2", "dog/day1", "dog/day2"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i}.png")
    assert read_dataset(str(tmp_path)).classes == ("cat", "dog")


def test_labels_are_aligned_by_name():
    data = read_arrays(np.array([[1, 0], [0, 1]]))
    found = align(data, ("label_1", "other", "label_0"), "here", "fit")
    assert found.labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(DataError, match="label_1"):
        align(data, ("label_0",), "here", "fit")


def read_arrays(labels, task="auto"):
    images = [np.full((4, 4, 3), i % 250, dtype=np.uint8) for i in range(len(labels))]
    return read_dataset((images, labels), task=task)


def test_every_label_is_learned_and_tested_in_its_share():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 5)) < [0.6, 0.3, 0.1, 0.05, 0.2]).astype(int)
    found = make_splits(read_arrays(labels), test=0.25, valid=0.2, seed=1)
    test = found.select("test")
    share = test.labels.sum(0) / labels.sum(0)
    assert (np.abs(share - 0.25) < 0.12).all(), share
    assert abs(len(test) / 200 - 0.25) < 0.06
    with pytest.raises(DataError, match="every image has the label"):
        make_splits(read_arrays(np.column_stack([labels[:, 0], np.ones(200, dtype=int)])), seed=0)


def test_a_quantity_is_split_evenly_over_its_range():
    y = np.random.default_rng(0).lognormal(size=100)
    found = make_splits(read_arrays(y), test=0.2, valid=0.0, seed=0)
    test = np.sort(found.select("test").labels)
    assert len(test) == 20 and test[0] < np.quantile(y, 0.2) and test[-1] > np.quantile(y, 0.8)
    assert [((test > a) & (test <= b)).sum() for a, b in zip([0, *np.quantile(y, [0.2, 0.4, 0.6, 0.8])], [*np.quantile(y, [0.2, 0.4, 0.6, 0.8]), 99], strict=True)] == [4] * 5  # fmt: skip


def test_identities_of_the_test_are_never_learned():
    found = make_splits(read_arrays(np.repeat(np.arange(12), 4), "embedding"), test=0.25, valid=0.2, seed=0)
    ids = {split: set(found.labels[found.splits == split]) for split in ("train", "valid", "test")}
    assert len(ids["test"]) == 3 and len(ids["valid"]) == 2 and len(ids["train"]) == 7
    assert not ids["train"] & (ids["valid"] | ids["test"]) and not ids["valid"] & ids["test"]
    assert ids["train"] == set(range(7)), "the identities that are learned come first"
    with pytest.raises(DataError, match="too few identities"):
        make_splits(read_arrays(np.repeat(np.arange(3), 4), "embedding"), seed=0)
