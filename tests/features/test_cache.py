"""The feature cache: whole chunks or none, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DiskFull
from headstart.features.cache import FeatureCache


def rows(n: int, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def read(cache: FeatureCache, keys: list[str]) -> np.ndarray:
    out = np.zeros((len(keys), cache.width), dtype=np.float32)
    cache.read(keys, out, range(len(keys)))
    return out


def test_rows_come_back_by_key_from_several_chunks(tmp_path: Path) -> None:
    X = rows(5)
    writer = FeatureCache(tmp_path / "c", 4)
    writer.write(["a", "b", "c"], X[:3])
    writer.write(["d", "e"], X[3:])
    again = FeatureCache(tmp_path / "c", 4)
    for cache in (writer, again):
        assert len(cache) == 5 and "d" in cache and "x" not in cache
        np.testing.assert_array_equal(read(cache, ["e", "a", "d"]), X[[4, 0, 3]])


def test_nothing_is_made_before_the_first_chunk(tmp_path: Path) -> None:
    FeatureCache(tmp_path / "c", 4).write([], rows(0))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "json", "width", "keys"])
def test_a_corrupt_chunk_is_removed_and_the_others_stay(tmp_path: Path, harm: str) -> None:
    cache = FeatureCache(tmp_path, 4)
    cache.write(["a", "b"], rows(2))
    block, head = next(tmp_path.glob("*.npy")), next(tmp_path.glob("*.json"))
    if harm == "flip":
        data = bytearray(block.read_bytes())
        data[-3] ^= 1
        block.write_bytes(data)
    elif harm == "cut":
        block.write_bytes(block.read_bytes()[:-8])
    elif harm == "empty":
        block.write_bytes(b"")
    elif harm == "json":
        head.write_text("{")
    elif harm == "width":
        np.save(block, rows(2, 5))
    else:
        head.write_text(head.read_text().replace('"a", ', ""))
    cache.write(["c"], rows(1, seed=1))
    again = FeatureCache(tmp_path, 4)
    assert "a" not in again and "c" in again
    assert not block.exists() and not head.exists()
    again.write(["a"], rows(1, seed=2))
    np.testing.assert_array_equal(read(FeatureCache(tmp_path, 4), ["a"]), rows(1, seed=2))


def test_a_head_without_its_block_is_removed(tmp_path: Path) -> None:
    FeatureCache(tmp_path, 4).write(["a"], rows(1))
    next(tmp_path.glob("*.npy")).unlink()
    assert len(FeatureCache(tmp_path, 4)) == 0
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    for name in ("old.npy", "old.npy.tmp", "new.npy", "new.json.tmp"):
        (tmp_path / name).write_bytes(b"x")
        if name.startswith("old"):
            os.utime(tmp_path / name, (time.time() - 86_400,) * 2)
    FeatureCache(tmp_path, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.json.tmp", "new.npy"]


def test_a_cache_sees_what_another_process_wrote_meanwhile(tmp_path: Path) -> None:
    here, there = FeatureCache(tmp_path, 4), FeatureCache(tmp_path, 4)
    there.write(["a"], rows(1))
    here.write(["a"], rows(1))
    assert len(list(tmp_path.glob("*.npy"))) == 2
    here.refresh()
    np.testing.assert_array_equal(read(here, ["a"]), rows(1))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path, 4)
    cache.write(["a"], rows(1))

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        DiskFull, match="no room left for the feature cache in .*: got '0.0 MB to write'.*HEADSTART_CACHE"
    ):
        cache.write(["b"], rows(1))
    assert len(list(tmp_path.iterdir())) == 2 and "b" not in cache


def test_other_failures_to_write_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        FeatureCache(tmp_path / "file" / "c", 4).write(["a"], rows(1))


WRITER = """
import sys, numpy as np
from pathlib import Path
from headstart.features.cache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]), 8)
for i in range(100000):
    cache.write([f"{sys.argv[2]}-{i}-{j}" for j in range(20)], np.full((20, 8), i, dtype=np.float32))
    print(i, flush=True)
"""


def test_two_writers_killed_at_a_random_moment_leave_whole_chunks_only(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in "xy"
    ]
    done = []
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        done.append(len(writer.stdout.read().split()) + 5)
        writer.wait()
        writer.stdout.close()
    cache = FeatureCache(tmp_path, 8)
    for name, count in zip("xy", done, strict=True):
        keys = [f"{name}-{i}-{j}" for i in range(count) for j in range(20)]
        assert all(key in cache for key in keys)
        np.testing.assert_array_equal(read(cache, keys)[:, 0], np.repeat(np.arange(count), 20))
    assert len(cache) % 20 == 0
