"""Layouts people have: folders, splits, zip files, tables; and what is wrong with them, in words."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data.readers import read_dataset, read_images
from headstart.errors import DataError


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value, 0, 0)).save(path)


def layout(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        picture(root / name, i)
    return root


def test_class_folders(tmp_path):
    dataset = read_dataset(layout(tmp_path / "d", "cat/1.png", "cat/2.jpg", "dog/1.PNG"))
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels.tolist() == [0, 0, 1]
    assert set(dataset.splits) == {""}


@pytest.mark.parametrize("valid", ["val", "valid", "validation", "dev", "Val"])
def test_split_folders_by_any_usual_name(tmp_path, valid):
    dataset = read_dataset(layout(tmp_path / "d", "train/a/1.png", "train/b/1.png", f"{valid}/a/1.png", "test/b/1.png"))
    assert sorted(dataset.splits.tolist()) == ["test", "train", "train", "valid"]
    assert dataset.classes == ("a", "b")


def test_ask03_class_index_by_name(tmp_path):
    """A split that lacks a class must not shift the others' indices; an unknown class is an error."""
    root = layout(tmp_path / "d", "train/a/1.png", "train/b/1.png", "train/c/1.png", "test/c/1.png")
    dataset = read_dataset(root)
    assert dataset.labels[dataset.splits == "test"].tolist() == [2]
    assert any("test split has no image of a, b" in note for note in dataset.notes)
    picture(root / "test" / "zebra" / "1.png")
    with pytest.raises(
        DataError, match="the test split has classes that the train split lacks.*'zebra'; allowed: a, b, c"
    ):
        read_dataset(root)


def test_zip_files_with_a_folder_around_and_chinese_names(tmp_path):
    root = layout(tmp_path / "d", "all/猫/1.png", "all/狗/1.png", "all/狗/2.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as z:
        for path in sorted(root.rglob("*.png")):
            z.write(path, path.relative_to(root))
        z.writestr("__MACOSX/._1.png", b"x")
    dataset = read_dataset(tmp_path / "z.zip")
    assert set(dataset.classes) == {"猫", "狗"}
    assert len(dataset) == 3
    assert dataset.layout == "zip"


def test_a_name_that_is_not_utf8_is_refused_in_words(tmp_path):
    """As `unzip` leaves Chinese names of archives made on Windows; it used to end in a UnicodeEncodeError far below."""
    try:
        folder = tmp_path / os.fsdecode("狗".encode("gbk"))
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system holds no such names")
    Image.new("RGB", (8, 8)).save(folder / "1.png")
    with pytest.raises(DataError, match=r"not in UTF-8.*got '狗'.*convmv -f gbk -t utf8") as caught:
        read_dataset(tmp_path)
    str(caught.value).encode()  # it can be printed


def test_what_is_no_image_is_counted_not_read(tmp_path):
    root = layout(tmp_path / "d", "a/1.png", "b/1.png")
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / ".hidden.png").write_text("x")
    (root / "Thumbs.db").write_text("x")
    dataset = read_dataset(root)
    assert len(dataset) == 2
    assert dataset.notes == ("1 files that are no images were left out.",)


def test_ask20_columns_are_guessed_said_and_can_be_named(tmp_path):
    layout(tmp_path, "img/1.png", "img/2.png")
    table = tmp_path / "t.csv"
    pd.DataFrame({" file ": ["img/1.png", "img/2.png"], "kind": ["x", "y"], "Target": ["a", "b"]}).to_csv(
        table, index=False, encoding="utf-8-sig"
    )
    dataset = read_dataset(table)
    assert dataset.classes == ("a", "b")
    assert "path = 'file', label = 'Target'" in dataset.notes[0]
    assert read_dataset(table, label_col="kind").classes == ("x", "y")
    with pytest.raises(DataError, match=r"no column 'knd' in .*allowed: file, kind, Target. Try: --label-col kind"):
        read_dataset(table, label_col="knd")


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet"])
def test_other_tables(tmp_path, kind):
    layout(tmp_path, "1.png", "2.png", "3.png")
    frame = pd.DataFrame(
        {"path": ["1.png", "2.png", "3.png"], "label": ["a", "b", "a"], "split": ["train", "train", "val"]}
    )
    path = tmp_path / f"t.{kind}"
    {
        "tsv": lambda: frame.to_csv(path, sep="\t", index=False),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
    }[kind]()
    dataset = read_dataset(path)
    assert dataset.labels.tolist() == [0, 1, 0]
    assert dataset.splits.tolist() == ["train", "train", "valid"]


def test_a_folder_with_metadata(tmp_path):
    layout(tmp_path / "d", "1.png", "2.png")
    pd.DataFrame({"file_name": ["1.png", "2.png"], "label": ["a", "b"]}).to_csv(
        tmp_path / "d" / "metadata.csv", index=False
    )
    assert read_dataset(tmp_path / "d").classes == ("a", "b")


def test_ask21_paths_are_relative_to_the_table(tmp_path, monkeypatch):
    layout(tmp_path / "deep", "img/1.png", "img/2.png")
    pd.DataFrame({"path": ["img/1.png", "img/2.png"], "label": ["a", "b"]}).to_csv(
        tmp_path / "deep" / "t.csv", index=False
    )
    monkeypatch.chdir("/")
    assert read_dataset(tmp_path / "deep" / "t.csv").inputs[0] == str(tmp_path / "deep" / "img" / "1.png")


def test_tables_whose_files_are_missing(tmp_path):
    layout(tmp_path, "1.png")
    pd.DataFrame({"path": ["1.png", "2.png", "3.png"], "label": ["a", "b", "a"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    with pytest.raises(DataError, match="2 of 3 files named in the table do not exist.*2.png.*relative to"):
        read_dataset(tmp_path / "t.csv")


def test_ask17_groups_by_column_pattern_or_guess(tmp_path):
    names = [f"{c}/patient{p}_{i}.png" for c in "ab" for p in range(3) for i in range(2)]
    root = layout(tmp_path / "d", *names)
    assert len(set(read_dataset(root, group=r"(patient\d+)").groups)) == 3
    guessed = read_dataset(
        layout(tmp_path / "e", *[f"{c}/{c}lot{p}-{i}.png" for c in "ab" for p in "xyz" for i in range(2)]), group="auto"
    )
    assert len(set(guessed.groups)) == 6
    assert any("Guessed 6 groups" in note for note in guessed.notes)
    unasked = read_dataset(tmp_path / "e")
    assert unasked.groups is None
    assert any("look like 6 groups (such as 'alotx')" in note and "--group auto" in note for note in unasked.notes)
    assert not any(
        "groups" in note
        for note in read_dataset(layout(tmp_path / "f", *[f"{c}/{i:03d}.png" for c in "ab" for i in range(6)])).notes
    )
    with pytest.raises(DataError, match="--group does not match 12 of 12 file names"):
        read_dataset(root, group=r"(lot\d+)")
    with pytest.raises(DataError, match="no group in brackets"):
        read_dataset(root, group="patient")
    with pytest.raises(DataError, match="no regular expression"):
        read_dataset(root, group="(")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "none", "no such folder or file"),
        (lambda p: (p / "e").mkdir() or p / "e", "there are no images"),
        (
            lambda p: layout(p / "flat", "1.png", "2.png"),
            "the images are not in class folders.*2 images directly in it",
        ),
        (lambda p: (p / "x.txt").write_text("x") and p / "x.txt", "not a folder, a .zip or a table"),
    ],
)
def test_data_that_cannot_be_read(tmp_path, make, words):
    with pytest.raises(DataError, match=words):
        read_dataset(make(tmp_path))


def test_a_near_spelling_of_a_missing_folder(tmp_path):
    layout(tmp_path / "flowers", "a/1.png")
    with pytest.raises(DataError, match="Try: .*flowers"):
        read_dataset(tmp_path / "flowrs")


def test_images_to_predict(tmp_path):
    root = layout(tmp_path / "d", "a/1.png", "b/c/2.png")
    found = read_images([root, root / "a" / "1.png", np.zeros((2, 2), np.uint8)])
    assert len(found) == 4
    assert found.labels is None
    with pytest.raises(DataError, match="no such folder or file"):
        read_images([tmp_path / "none.png"])


def test_arrays_of_unequal_length():
    with pytest.raises(DataError, match="unequal lengths: got '2 images, 1 labels'"):
        read_dataset((np.zeros((2, 3, 3)), [0]))


def test_an_unknown_task_gets_the_nearest_one():
    with pytest.raises(DataError, match=r"unknown task: got 'embeding'.*Try: --task embedding"):
        read_dataset(".", task="embeding")


def test_the_one_column_beside_the_paths_is_the_label(image_folder):
    table = image_folder / "t.csv"
    table.write_text("path,brightness\nacross/000.png,0.5\nacross/001.png,1.25\n")
    assert read_dataset(table).task == "regression"
