"""Verified once, bad files named, copies found, results cached."""

import numpy as np
import pytest
from PIL import Image

from headstart.data import scan as scanning
from headstart.data.checks import inspect_dataset
from headstart.data.near_copies import near_pairs
from headstart.data.readers import read_dataset
from headstart.data.scan import scan
from headstart.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "d"
    for name in "ab":
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(root / name / f"{i}.jpg")
    return root


def test_ask19_a_truncated_jpeg_among_many_is_named_and_counted(folder, tmp_path):
    bad = folder / "a" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:400])
    dataset, found = scan(read_dataset(folder), cache_dir=tmp_path)
    assert found.bad == [(str(bad), "the file is cut short")]
    assert len(dataset) == 11
    assert len(set(dataset.digests)) == 11
    with pytest.raises(
        DataError, match="1 of 12 images cannot be decoded.*3.jpg: the file is cut short.*--on-bad-sample skip"
    ):
        scan(read_dataset(folder), cache_dir=tmp_path, on_bad="fail")


def test_the_second_scan_decodes_nothing(folder, tmp_path, monkeypatch):
    first, a = scan(read_dataset(folder), cache_dir=tmp_path)

    def look(reference):
        raise AssertionError("decoded again")

    monkeypatch.setattr(scanning, "_look", look)
    second, b = scan(read_dataset(folder), cache_dir=tmp_path)
    assert first.digests.tolist() == second.digests.tolist()
    assert a.phash.tolist() == b.phash.tolist()
    assert a.mode == b.mode


def test_a_changed_file_is_looked_at_again(folder, tmp_path):
    first, _ = scan(read_dataset(folder), cache_dir=tmp_path)
    Image.fromarray(RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "a" / "0.jpg")
    second, _ = scan(read_dataset(folder), cache_dir=tmp_path)
    assert (first.digests != second.digests).sum() == 1


def test_nothing_that_can_be_decoded(tmp_path):
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="none of the images can be decoded"):
        scan(read_dataset(tmp_path / "d"), cache_dir=tmp_path)


def test_ask18_copies_near_copies_and_leaks_across_splits(tmp_path):
    root = tmp_path / "d"
    for split in ("train", "test"):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            for i in range(4):
                blobs = Image.fromarray(RNG.integers(0, 256, (9, 9), dtype=np.uint8))
                blobs.resize((64, 64), Image.Resampling.BICUBIC).save(root / split / name / f"{i}.png")
    (root / "test" / "a" / "copy.png").write_bytes((root / "train" / "a" / "0.png").read_bytes())
    (root / "train" / "b" / "wrong.png").write_bytes((root / "train" / "a" / "1.png").read_bytes())
    Image.open(root / "train" / "b" / "2.png").save(root / "test" / "b" / "near.jpg", quality=80)
    dataset, found = scan(read_dataset(root), cache_dir=tmp_path)
    info = inspect_dataset(dataset, found)
    assert info["n_duplicates"] == 2
    assert info["leaks"] == [["test/a/copy.png", "train/a/0.png"]]
    assert info["n_label_conflicts"] == 1
    assert ["test/b/near.jpg", "train/b/2.png"] in info["near_leaks"]
    said = " ".join(info["warnings"])
    for words in ("stand in more than one split", "nearly equal images", "under another label"):
        assert words in said


def test_near_pairs_equal_brute_force():
    hashes = RNG.integers(0, 2**63, 300, dtype=np.uint64)
    for i in range(0, 60, 2):  # plant neighbours at 0 to 3 bits
        flip = np.uint64(0)
        for bit in RNG.choice(64, i % 8 // 2, replace=False):
            flip |= np.uint64(1) << np.uint64(bit)
        hashes[i + 1] = hashes[i] ^ flip
    brute = [(i, j) for i in range(300) for j in range(i + 1, 300) if bin(int(hashes[i] ^ hashes[j])).count("1") <= 3]
    assert near_pairs(hashes) == brute
    assert len(brute) >= 30


def test_inspect_says_what_is_unequal_few_and_small(tmp_path):
    root = tmp_path / "d"
    for name, n in (("common", 40), ("rare", 4)):
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(RNG.integers(0, 256, (12, 90, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    info = inspect_dataset(*scan(read_dataset(root), cache_dir=tmp_path))
    assert info["counts"] == {"common": 40, "rare": 4}
    assert info["imbalance"] == 10.0
    assert info["few"] == {"rare": 4}
    assert info["height"] == {"min": 12, "median": 12, "max": 12}
    assert info["modes"] == {"RGB": 44}
    said = " ".join(info["warnings"])
    for words in (
        "The classes are unequal: common has 40 images, rare has 4",
        "fewer than 10 images: rare (4)",
        "side of 12 pixels",
    ):
        assert words in said
