"""Unlabelled images: what is read, what is left out and said, and the stream of views."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.data.augment import Augmentation, strong_view
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache
from headstart.data.preprocessing import Preprocessing
from headstart.data.scan import scan
from headstart.data.unlabelled import read_unlabelled
from headstart.data.view_pairs import Views
from headstart.errors import DataError

PREP = Preprocessing(size=24)


@pytest.fixture
def target(tmp_path) -> Dataset:
    """12 labelled files, the last four of which are for validation and test."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for i in range(12):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(paths[-1])
    splits = np.array(["train"] * 8 + ["valid"] * 2 + ["test"] * 2)
    made, _ = scan(Dataset(paths, np.arange(12) % 2, ("a", "b"), splits), cache_dir=tmp_path / "cache")
    return made


@pytest.fixture
def folder(tmp_path, target):
    """Five new images in two folders, one broken file, copies of a training, a validation and two test images."""
    root = tmp_path / "unlabelled"
    rng = np.random.default_rng(1)
    for i in range(5):
        path = root / ("cat" if i % 2 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(path)
    (root / "broken.png").write_bytes(b"\x89PNG no")
    for i in (0, 8, 10, 11):
        (root / f"copy{i}.png").write_bytes(Path(target.inputs[i]).read_bytes())
    return root


def check(found, target):
    assert len(found.dataset) == 6
    assert found.dataset.labels is None
    assert not set(found.dataset.digests) & set(target.digests[target.splits != "train"])
    assert set(found.dataset.digests) & set(target.digests[target.splits == "train"])
    info = found.info
    assert (info["n"], info["n_bad"], info["test_copies"], info["valid_copies"]) == (6, 1, 2, 1)
    assert "broken.png" in info["bad"][0][0]
    said = " ".join(found.notes)
    assert "6 unlabelled images" in said
    assert "1 unlabelled files cannot be decoded and are left out (first: " in said
    assert "2 unlabelled images are exact copies of test images" in said
    assert "1 unlabelled images are exact copies of validation images" in said


def test_a_folder(folder, target, tmp_path):
    check(read_unlabelled(folder, target, cache_dir=tmp_path / "cache"), target)


def test_a_zip(folder, target, tmp_path):
    with zipfile.ZipFile(tmp_path / "u.zip", "w") as made:
        for path in sorted(folder.rglob("*.png")):
            made.write(path, path.relative_to(folder))
    check(read_unlabelled(tmp_path / "u.zip", target, cache_dir=tmp_path / "cache"), target)


@pytest.mark.parametrize("column", ["file", "where"])
def test_a_table(folder, target, tmp_path, column):
    rows = [f"{i},{path.relative_to(folder)}" for i, path in enumerate(sorted(folder.rglob("*.png")))]
    (folder / "list.csv").write_text("\n".join([f"number,{column}", *rows, "99,"]))
    check(read_unlabelled(folder / "list.csv", target, cache_dir=tmp_path / "cache"), target)


def test_a_file_that_a_table_names_and_that_is_gone_is_counted(folder, target, tmp_path):
    (folder / "list.csv").write_text("file\ncat/1.png\nlost.png\n")
    found = read_unlabelled(folder / "list.csv", target, cache_dir=tmp_path / "cache")
    assert (found.info["n"], found.info["n_bad"]) == (1, 1)
    assert "lost.png" in found.notes[1]


def test_nothing_left_and_nothing_there(target, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    with pytest.raises(DataError, match="there are no images"):
        read_unlabelled(only, target, cache_dir=tmp_path / "cache")
    (only / "x.png").write_bytes(Path(target.inputs[11]).read_bytes())
    with pytest.raises(DataError, match="no unlabelled image to learn from.*1 that are test or validation images"):
        read_unlabelled(only, target, cache_dir=tmp_path / "cache")
    with pytest.raises(DataError, match="no such folder or file"):
        read_unlabelled(tmp_path / "onl", target, cache_dir=tmp_path / "cache")


def images(n: int = 7) -> Dataset:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(n)]
    return Dataset(pictures, None, (), np.full(n, ""), digests=np.array([f"u{i}" for i in range(n)]))


def test_every_image_comes_once_a_round():
    stream = Views(images(), PREP, None, seed=0)
    places = stream.places(0, 21)
    for turn in range(3):
        assert sorted(index for t, index in places if t == turn) == list(range(7))
    assert [i for _, i in places[:7]] != [i for _, i in places[7:14]]
    assert Views(images(), PREP, None, seed=1).places(0, 21) != places


def test_a_place_of_the_stream_depends_on_nothing_else():
    light = Augmentation(shift=0.1, rotate=10)
    whole = Views(images(), PREP, light, seed=3)(0, 20)
    later = Views(images(), PREP, light, seed=3, workers=1, cache=DecodedCache(10**6))(12, 8)
    for a, b in zip(whole, later, strict=True):
        assert a.shape == (20, 3, 24, 24)
        assert torch.equal(a[12:], b)


def test_weak_and_strong_are_views_of_the_same_image_and_change_every_round():
    stream = Views(images(1), PREP, None, seed=0)
    weak, strong = stream(0, 6)
    assert all(torch.equal(weak[0], view) for view in weak)  # no weak augmentation: the plain image
    assert len({view.numpy().tobytes() for view in strong}) == 6
    weak, _ = Views(images(1), PREP, Augmentation(rotate=20), seed=0)(0, 6)
    assert len({view.numpy().tobytes() for view in weak}) == 6


def test_the_strong_view_is_the_weak_one_and_more():
    assert strong_view(None) == Augmentation(randaugment=10, erase=0.5)
    assert strong_view(Augmentation(flip=0.5, randaugment=15, erase=0.7)) == Augmentation(
        flip=0.5, randaugment=15, erase=0.7
    )


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Views(images(), PREP, Augmentation(rotate=20), seed=0)(0, 4)
    assert torch.equal(torch.rand(3), expected)
